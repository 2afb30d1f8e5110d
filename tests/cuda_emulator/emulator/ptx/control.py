"""Branches, calls and barriers."""

from __future__ import annotations

import re

from emulator.ptx.parse import Instruction, split_operands
from emulator.ptx.scope import Parts, Scope, c_name
from emulator.ptx.types import PREDICATE, U32, PtxError

LEAVE = "goto leave;"
"""Where a function gives back its local memory."""


def branch(scope: Scope, i: Instruction, parts: Parts) -> str:
    """Translate bra."""
    parts.drop("uni")
    return f"goto {c_name(i.operands[0])};"


def branch_by_index(scope: Scope, i: Instruction, parts: Parts) -> str:
    """Translate brx.idx: a branch to one of a list of labels."""
    parts.drop("uni")
    if not parts.flag("idx") or i.operands[1] not in scope.branch_targets:
        raise PtxError("unknown form of brx")
    cases = " ".join(f"case {k}: goto {c_name(x)};" for k, x in enumerate(scope.branch_targets[i.operands[1]]))
    fail = f'default: emu_fail(thread, "a branch goes beyond its list", {scope.statement(i)});'
    return f"switch ({scope.read(i.operands[0], U32)}) {{ {cases} {fail} }}"


def leave(scope: Scope, i: Instruction, parts: Parts) -> str:
    """Translate ret; exit is the same only in a kernel, which numba-cuda never leaves from a function."""
    parts.drop("uni")
    return LEAVE


def trap(scope: Scope, i: Instruction, parts: Parts) -> str:
    """Translate trap."""
    return f'emu_fail(thread, "the kernel stops itself", {scope.statement(i)});'


def call(scope: Scope, i: Instruction, parts: Parts) -> str:
    """Translate call of a function that the module defines, or of the device runtime's grid barrier."""
    parts.drop("uni")
    operands = list(i.operands)
    results = split_operands(operands.pop(0)[1:-1]) if operands[0].startswith("(") else ()
    name = operands.pop(0)
    arguments = split_operands(operands.pop(0)[1:-1]) if operands and operands[0].startswith("(") else ()
    places = [scope.parameters[word][0] for word in (*results, *arguments)]
    if name == "cudaCGGetIntrinsicHandle":
        return f"emu_grid_handle(thread, {', '.join(places)}, {scope.statement(i)});"
    if name == "cudaCGSynchronize":
        return f"emu_grid_barrier(thread, {', '.join(places)}, {scope.statement(i)});"
    if operands or not any(function.name == name and function.body for function in scope.module.functions):
        raise PtxError(f"unknown function {name}")
    return f"{function_name(name)}({', '.join(['thread', *places])});"


def function_name(name: str) -> str:
    """Return what a function of the module is called in C."""
    return "f_" + re.sub(r"\W", "_", name.replace("$", "_S_"))


def barrier(scope: Scope, i: Instruction, parts: Parts) -> str:
    """Translate bar and barrier: of a warp, or of all threads of the block, perhaps with a question to them all."""
    parts.drop("cta", "aligned")
    if parts.flag("warp"):
        if not parts.flag("sync"):
            raise PtxError("unknown form of bar.warp")
        return f"emu_warp_barrier(thread, {scope.read(i.operands[0], U32)}, {scope.statement(i)});"
    if parts.flag("red"):
        question = parts.one_of("and", "or", "popc")
        kind = parts.type("up")
        target, name, asked = i.operands if len(i.operands) == 3 else ("", "", "")
        if not question or not name:
            raise PtxError("unknown form of bar.red")
        value = f"emu_barrier(thread, {scope.read(name, U32)}, ASK_{question.upper()}, {scope.read(asked, PREDICATE)}"
        return scope.write(target, kind, f"{value}, {scope.statement(i)})")
    if not parts.flag("sync") or len(i.operands) != 1:  # with a count, only some threads of the block would meet
        raise PtxError("unknown form of bar")
    return f"emu_barrier(thread, {scope.read(i.operands[0], U32)}, ASK_NOTHING, 0, {scope.statement(i)});"
