"""Moves, selections, comparisons and logic."""

from __future__ import annotations

from emulator.ptx.parse import Instruction, split_operands
from emulator.ptx.scope import Parts, Scope
from emulator.ptx.types import PREDICATE, U32, PtxError, Type

_LOGIC = {"and": "&", "or": "|", "xor": "^"}
_ORDERED = {"eq": "==", "ne": "!=", "lt": "<", "le": "<=", "gt": ">", "ge": ">="}
_UNSIGNED = {"lo": "<", "ls": "<=", "hi": ">", "hs": ">="}
_UNORDERED = {f"{name}u": sign for name, sign in _ORDERED.items()}
_NAN = {"num": "(!isnan({0}) && !isnan({1}))", "nan": "(isnan({0}) || isnan({1}))"}


def move(scope: Scope, i: Instruction, parts: Parts) -> str:
    """Translate mov, also of several small registers into a large one and back."""
    kind, (target, source) = parts.type("busfp"), i.operands
    if kind == PREDICATE:
        return scope.write(target, kind, scope.read(source, kind))
    if target.startswith("{"):
        pieces = split_operands(target[1:-1])
        width = kind.bits // len(pieces)
        return f"uint{kind.bits}_t whole = {scope.bits(source, kind.bits)}; " + " ".join(
            f"{scope.register(piece)} = (uint{width}_t)(whole >> {k * width});"
            for k, piece in enumerate(pieces)
            if piece != "_"
        )
    if source.startswith("{"):
        pieces = split_operands(source[1:-1])
        width = kind.bits // len(pieces)
        whole = " | ".join(
            f"(uint{kind.bits}_t){scope.bits(piece, width)} << {k * width}" for k, piece in enumerate(pieces)
        )
        return f"{scope.register(target)} = {whole};"
    return f"{scope.register(target)} = {scope.bits(source, kind.bits)};"


def bitwise(scope: Scope, i: Instruction, parts: Parts) -> str:
    """Translate and, or and xor, of registers and predicates."""
    kind = parts.type("bp")
    x, y = (scope.read(operand, kind) for operand in i.operands[1:3])
    return scope.write(i.operands[0], kind, f"{x} {_LOGIC[i.opcode]} {y}")


def invert(scope: Scope, i: Instruction, parts: Parts) -> str:
    """Translate not and cnot."""
    kind = parts.type("bp")
    x = scope.read(i.operands[1], kind)
    return scope.write(i.operands[0], kind, f"{'!' if kind == PREDICATE or i.opcode == 'cnot' else '~'}({x})")


def select(scope: Scope, i: Instruction, parts: Parts) -> str:
    """Translate selp."""
    kind = parts.type()
    x, y = (scope.bits(operand, kind.bits) for operand in i.operands[1:3])
    return f"{scope.register(i.operands[0])} = {scope.read(i.operands[3], PREDICATE)} ? {x} : {y};"


def select_by_sign(scope: Scope, i: Instruction, parts: Parts) -> str:
    """Translate slct: a selection by the sign of the last operand."""
    judged, kind, flushes = parts.type("sf"), parts.type(), parts.flag("ftz")
    judge = scope.read(i.operands[3], judged)
    if flushes:
        judge = f"flushed({judge})"
    x, y = (scope.bits(operand, kind.bits) for operand in i.operands[1:3])
    return f"{scope.register(i.operands[0])} = {judge} >= 0 ? {x} : {y};"


def _compared(name: str, x: str, y: str, kind: Type) -> str:
    if kind.is_float:
        if name in _NAN:
            return _NAN[name].format(x, y)
        if name in _UNORDERED:
            return f"({x} {_UNORDERED[name]} {y} || isnan({x}) || isnan({y}))"
        if name == "ne":  # true of a NaN in C, false in PTX
            return f"({x} < {y} || {x} > {y})"
    elif name in _UNSIGNED:
        return f"({x} {_UNSIGNED[name]} {y})"
    if name not in _ORDERED:
        raise PtxError(f"unknown comparison .{name}")
    return f"({x} {_ORDERED[name]} {y})"


def _condition(scope: Scope, i: Instruction, parts: Parts, kind: Type) -> str:
    """Return what setp and set compute, in C."""
    comparison, joined = parts.one_of(*_ORDERED, *_UNSIGNED, *_UNORDERED, *_NAN), parts.one_of(*_LOGIC)
    flushes = parts.flag("ftz")
    x, y = (scope.read(operand, kind) for operand in i.operands[1:3])
    if flushes:
        x, y = f"flushed({x})", f"flushed({y})"
    condition = _compared(comparison, x, y, kind)
    if joined:
        condition = f"({condition} {_LOGIC[joined]} {scope.read(i.operands[3], PREDICATE)})"
    return condition


def compare(scope: Scope, i: Instruction, parts: Parts) -> str:
    """Translate setp, which may also write the opposite into a second predicate."""
    kind = parts.type()
    joined = next((part for part in i.parts if part in _LOGIC), None)
    if "|" not in i.operands[0]:
        return scope.write(i.operands[0], PREDICATE, _condition(scope, i, parts, kind))
    yes, no = (name.strip() for name in i.operands[0].split("|"))
    if joined:  # the second joins the opposite of the comparison, not of the result
        raise PtxError(f"unknown part .{joined} beside two predicates")
    value = f"int holds = {_condition(scope, i, parts, kind)}; "
    return value + scope.write(yes, PREDICATE, "holds") + scope.write(no, PREDICATE, "!holds")


def compare_to_number(scope: Scope, i: Instruction, parts: Parts) -> str:
    """Translate set: 1.0 or all bits where it holds, else 0."""
    kind, target = parts.type(), parts.type()
    condition = _condition(scope, i, parts, kind)
    if target.name == "f32":
        return scope.write(i.operands[0], target, f"{condition} ? 1.0f : 0.0f")
    if target.bits != 32:
        raise PtxError(f"unknown type .{target.name} of set")
    return scope.write(i.operands[0], U32, f"{condition} ? 0xffffffffu : 0u")
