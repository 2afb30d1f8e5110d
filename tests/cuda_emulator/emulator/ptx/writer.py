"""Puts the translation of a module together: declarations, functions, and the table that the driver reads."""

from __future__ import annotations

import json
import os
import re
from collections import Counter

from emulator.ptx.control import LEAVE, function_name
from emulator.ptx.instructions import translate_instruction
from emulator.ptx.parse import (
    Brace,
    Directive,
    Function,
    Instruction,
    Item,
    Label,
    Variable,
    parse,
    parse_parameter,
)
from emulator.ptx.scope import RED_ZONE, Scope, c_name
from emulator.ptx.types import PREDICATE, PtxError, type_of

_ALIGNMENT = 16
_REGISTER = re.compile(r"%\w+")


def translate(ptx: str) -> str:
    """Return C that runs one thread of the kernel in a PTX text.

    Raises
    ------
    PtxError
        If something is not understood: the message names it.
    """
    module = parse(ptx)
    entries = [function for function in module.functions if function.is_entry]
    if len(entries) != 1:
        raise PtxError(f"{len(entries)} kernels in one text instead of one")
    scope = Scope(module)
    shared_bytes = _place_shared(scope)
    lines = ['#include "instructions.h"']
    lines += [_declaration(variable) for variable in module.variables if variable.space != "shared"]
    defined = [function for function in module.functions if function.body is not None]
    lines += [f"{_head(function)};" for function in defined]
    local_bytes = 0
    for function in defined:
        code, depot_bytes = _function(scope, function)
        lines += code
        local_bytes += depot_bytes
    lines += _table(scope, entries[0], shared_bytes, local_bytes)
    return "\n".join(lines) + "\n"


def _place_shared(scope: Scope) -> int:
    """Give the arrays in shared memory their places; those without a size share the place behind the others."""
    offset = 0
    for variable in (v for v in scope.module.variables if v.space == "shared"):
        alignment = max(_ALIGNMENT, variable.alignment)
        offset = -(-offset // alignment) * alignment
        scope.shared[variable.name] = offset
        if variable.count:
            offset += variable.count * type_of(variable.type).bytes + RED_ZONE
    for variable in scope.module.variables:
        if variable.space == "shared" and not variable.count:
            offset = -(-offset // 128) * 128
            scope.shared[variable.name] = offset
    return offset


def _declaration(variable: Variable) -> str:
    kind = type_of(variable.type)
    for value in variable.values:
        try:
            int(value.rstrip("U"), 0)
        except ValueError:
            raise PtxError(f"unknown value {value} of {variable.name}") from None
    values = ", ".join(variable.values) or "0"
    aligned = f"__attribute__((aligned({max(16, variable.alignment)})))"
    return f"static {kind.register} {aligned} {c_name(variable.name)}[{max(1, variable.count)}] = {{{values}}};"


def _head(function: Function) -> str:
    if function.is_entry:
        return "static void run_thread(Thread* thread, char** parameters)"
    places = [f"char* {c_name(parameter.name)}" for parameter in (*function.results, *function.parameters)]
    return f"static void {function_name(function.name)}({', '.join(['Thread* thread', *places])})"


def _function(scope: Scope, function: Function) -> tuple[list[str], int]:
    """Return a function in C and the bytes that it has in local memory."""
    handed = (*function.results, *function.parameters)
    places = [f"parameters[{k}]" for k in range(len(handed))] if function.is_entry else [c_name(p.name) for p in handed]
    scope.parameters = {p.name: (place, p.bytes) for p, place in zip(handed, places, strict=True)}
    scope.registers, scope.source_line = set(), ""
    body = function.body or ()
    words = Counter(word for item in body if isinstance(item, Instruction) for word in _REGISTER.findall(item.text))
    scope.unread = {word for word, times in words.items() if times == 1}
    scope.branch_targets = _branch_targets(body)
    offsets, local_bytes = _place_local(body)
    scope.depots = {*offsets}
    lines = [
        _head(function),
        "{",
        "uint32_t carry = 0; (void)carry;",
        "const uint32_t used_before = thread->local_used;",
        f"char* const own = emu_enter(thread, {local_bytes});",
        *(f"char* const {c_name(name)} = own + {offset};" for name, offset in offsets.items()),
        *(_item(scope, item) for item in body),
    ]
    return [*lines, "leave:", "emu_leave(thread, used_before);", "}"], _aligned(local_bytes)


def _aligned(offset: int) -> int:
    return -(-offset // _ALIGNMENT) * _ALIGNMENT


def _place_local(body: tuple[Item, ...]) -> tuple[dict[str, int], int]:
    """Give a function's arrays in local memory (`.local .align 8 .b8 __local_depot0[40]`) their places."""
    offsets, end = {}, 0
    for item in body:
        if isinstance(item, Directive) and item.name == "local":
            *_, kind, array = item.rest.split()
            name, _, count = array.partition("[")
            offsets[name] = _aligned(end)
            end = offsets[name] + type_of(kind.removeprefix(".")).bytes * int(count.rstrip("]") or 1)
    return offsets, end


def _branch_targets(body: tuple[Item, ...]) -> dict[str, tuple[str, ...]]:
    """Return the lists of labels, each under the label that stands before it."""
    found, label = {}, ""
    for item in body:
        if isinstance(item, Label):
            label = item.name
        elif isinstance(item, Directive) and item.name == "branchtargets":
            found[label] = tuple(word.strip() for word in item.rest.split(","))
    return found


def _item(scope: Scope, item: Item) -> str:
    match item:
        case Brace():
            return "{" if item.opens else "}"
        case Label():
            return f"{c_name(item.name)}: ;"
        case Instruction():
            code = translate_instruction(scope, item)
            condition = f"if ({scope.read(item.predicate, PREDICATE)}) " if item.predicate else ""
            return code if code == LEAVE and not condition else f"{condition}{{ {code} }}"
    return _directive(scope, item)


def _directive(scope: Scope, item: Directive) -> str:
    match item.name:
        case "reg":
            kind, _, names = item.rest.partition(" ")
            return _registers(scope, kind.removeprefix("."), names)
        case "param":
            return scope.declare_memory(parse_parameter(f".param {item.rest}"))
        case "loc":
            file, line = item.rest.split()[:2]
            scope.source_line = f"{os.path.basename(scope.module.files.get(file, '?'))}:{line}"
            return ""
        case "branchtargets" | "pragma" | "local":
            return ""
    raise PtxError(f"unknown directive .{item.name} {item.rest}")


def _registers(scope: Scope, kind: str, names: str) -> str:
    declared = []
    for name in (word.strip() for word in names.split(",")):
        stem, _, count = name.partition("<")
        declared += [f"{stem}{k}" for k in range(int(count.rstrip(">")))] if count else [name]
    scope.registers.update(declared)
    zeros = ", ".join(f"{c_name(name)} = 0" for name in declared)
    return f"{type_of(kind).register} {zeros};" if declared else ""


def _table(scope: Scope, entry: Function, shared_bytes: int, local_bytes: int) -> list[str]:
    """Return the description of the kernel that driver/device.h declares."""
    shared, symbols = [], []
    for variable in scope.module.variables:
        size, name = variable.count * type_of(variable.type).bytes, json.dumps(variable.name)
        if variable.space == "shared":
            shared.append(f"{{{scope.shared[variable.name]}, {size}, {name}}}")
        else:
            is_const = int(variable.space == "const")
            symbols.append(f"{{(uint64_t){c_name(variable.name)}, {max(1, size)}, {is_const}, {name}}}")
    statements = [f"{{{json.dumps(text)}, {json.dumps(line)}}}" for text, line in scope.statements]
    sizes = [str(parameter.bytes) for parameter in entry.parameters]
    return [
        f"static const SharedArray shared_arrays[] = {{{', '.join(shared) or '{0}'}}};",
        f"static const Symbol symbols[] = {{{', '.join(symbols) or '{0}'}}};",
        f"static const Statement statements[] = {{{', '.join(statements) or '{0}'}}};",
        f"static const int parameter_bytes[] = {{{', '.join(sizes) or '0'}}};",
        '__attribute__((visibility("default"))) const Kernel emulated_kernel = {',
        f"run_thread, {shared_bytes}, {local_bytes}, {len(sizes)}, parameter_bytes,",
        f"{len(shared)}, shared_arrays, {len(symbols)}, symbols, statements}};",
    ]
