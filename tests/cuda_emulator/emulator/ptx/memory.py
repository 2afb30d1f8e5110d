"""Loads, stores and atomic operations; each access goes through the emulator's check first."""

from __future__ import annotations

from emulator.ptx.parse import Instruction, split_operands
from emulator.ptx.scope import Parts, Scope
from emulator.ptx.types import PREDICATE, U32, U64, PtxError, Type

_SPACES = ("global", "shared", "local", "const", "param")
_SCOPES = ("cta", "cluster", "gpu", "sys")
_STRONG = ("volatile", "relaxed", "acquire", "release", "mmio")
_CACHING = ("ca", "cg", "cs", "lu", "cv", "wb", "wt", "nc", "weak", "unified")
_VECTORS = {"v2": 2, "v4": 4}


def _access_parts(parts: Parts) -> tuple[str, bool, int]:
    """Take the state space, whether the access is strong (which never races with another strong one), and the width."""
    space, is_strong = parts.one_of(*_SPACES) or "generic", bool(parts.one_of(*_STRONG))
    parts.drop(*_SCOPES, *_CACHING)
    parts.drop_hints()
    if parts.flag("v8"):
        raise PtxError("unknown part .v8")
    return space, is_strong, _VECTORS[vector] if (vector := parts.one_of(*_VECTORS)) else 1


def _registers(operand: str, width: int) -> tuple[str, ...]:
    registers = split_operands(operand[1:-1]) if operand.startswith("{") else (operand,)
    if len(registers) != width:
        raise PtxError(f"{len(registers)} registers for {width} numbers")
    return registers


def _checked(scope: Scope, i: Instruction, operand: str, space: str, size: int, how: str) -> str:
    """Return the start of an access in C: its address, and the check unless it is of a parameter."""
    if space == "param":
        return f"char* place = (char*){scope.parameter(operand, size)}; "
    check = f"emu_access(thread, (uint64_t)place, {size}, {how}, SPACE_{space.upper()}, {scope.statement(i)}); "
    return f"char* place = (char*){scope.address(operand)}; {check}"


def load(scope: Scope, i: Instruction, parts: Parts) -> str:
    """Translate ld and ldu."""
    kind = parts.type()
    space, is_strong, width = _access_parts(parts)
    registers = _registers(i.operands[0], width)
    how = "READ | STRONG" if is_strong else "READ"
    unused = [k for k, register in enumerate(registers) if register == "_" or register in scope.unread]
    if unused:
        each = (1 << kind.bytes) - 1
        how += f" | UNUSED({sum(each << k * kind.bytes for k in unused):#x})"
    code = _checked(scope, i, i.operands[1], space, kind.bytes * width, how)
    for k, register in enumerate(registers):
        moved = f"memcpy(&value, place + {k * kind.bytes}, {kind.bytes});"
        code += f"{{ {kind.c} value; {moved} {scope.write(register, kind, 'value')} }} "
    return code


def store(scope: Scope, i: Instruction, parts: Parts) -> str:
    """Translate st."""
    kind = parts.type()
    space, is_strong, width = _access_parts(parts)
    registers = _registers(i.operands[1], width)
    how = "WRITE | STRONG" if is_strong else "WRITE"
    code = _checked(scope, i, i.operands[0], space, kind.bytes * width, how)
    for k, register in enumerate(registers):
        moved = f"memcpy(place + {k * kind.bytes}, &value, {kind.bytes});"
        code += f"{{ {kind.c} value = {scope.read(register, kind)}; {moved} }} "
    return code


_OPERATIONS = {
    "exch": "operand",
    "add": "old + operand",
    "and": "old & operand",
    "or": "old | operand",
    "xor": "old ^ operand",
    "min": "operand < old ? operand : old",
    "max": "operand > old ? operand : old",
    "inc": "old >= operand ? 0 : old + 1",
    "dec": "old == 0 || old > operand ? operand : old - 1",
    "cas": "old == operand ? swapped : old",
}


def atomic(scope: Scope, i: Instruction, parts: Parts) -> str:
    """Translate atom and red: no other thread runs between the load and the store."""
    kind = parts.type()
    space = parts.one_of("global", "shared") or "generic"
    parts.drop("relaxed", "acquire", "release", "acq_rel", *_SCOPES)
    parts.drop_hints()
    operation = parts.one_of(*_OPERATIONS)
    if not operation or kind.bits < 32 or (kind.is_float and operation not in ("add", "exch")):
        raise PtxError("unknown atomic operation")
    operands = list(i.operands)
    destination = operands.pop(0) if i.opcode == "atom" else "_"
    code = _checked(scope, i, operands[0], space, kind.bytes, "READ | WRITE | STRONG")
    code += f"{kind.c} old, operand = {scope.read(operands[1], kind)}; memcpy(&old, place, {kind.bytes}); "
    if operation == "cas":
        code += f"{kind.c} swapped = {scope.read(operands[2], kind)}; "
    code += f"{kind.c} new = {_OPERATIONS[operation]}; memcpy(place, &new, {kind.bytes}); "
    return code + scope.write(destination, kind, "old")


def convert_address(scope: Scope, i: Instruction, parts: Parts) -> str:
    """Translate cvta: here an address is the same in every space."""
    kind = parts.type("u")
    parts.drop("to")
    if kind.bits != 64 or not parts.one_of(*_SPACES):
        raise PtxError("unknown form of cvta")
    return scope.write(i.operands[0], kind, scope.bits(i.operands[1], 64))


def is_in_space(scope: Scope, i: Instruction, parts: Parts) -> str:
    """Translate isspacep."""
    space = parts.one_of("global", "shared", "local", "const")
    if not space:
        raise PtxError("unknown form of isspacep")
    question = f"emu_space(thread, {scope.read(i.operands[1], U64)}) == SPACE_{space.upper()}"
    return scope.write(i.operands[0], PREDICATE, question)


def hint(scope: Scope, i: Instruction, parts: Parts) -> str:
    """Translate prefetch and the like to nothing."""
    parts.drop("global", "local", "L1", "L2", "level", "uniform")
    parts.drop_hints()
    return ""


def fence(scope: Scope, i: Instruction, parts: Parts) -> str:
    """Translate fence and membar to nothing: threads here see memory in one order."""
    parts.drop("sc", "acq_rel", "acquire", "release", "gl", *_SCOPES)
    return ""


def shuffle(scope: Scope, i: Instruction, parts: Parts) -> str:
    """Translate shfl.sync: a register of another lane."""
    parts.type("b")
    mode = parts.one_of("up", "down", "bfly", "idx")
    if not parts.flag("sync") or not mode:
        raise PtxError("unknown form of shfl")
    destination, _, predicate = (part.strip() for part in i.operands[0].partition("|"))
    value, lane, limits, mask = (scope.read(operand, U32) for operand in i.operands[1:5])
    call = (
        f"emu_shuffle(thread, SHUFFLE_{mode.upper()}, {value}, {lane}, {limits}, {mask}, &found, {scope.statement(i)})"
    )
    code = f"int found; uint32_t value = {call}; " + scope.write(destination, U32, "value")
    return code + (scope.write(predicate, PREDICATE, "found") if predicate else "")


def vote(scope: Scope, i: Instruction, parts: Parts) -> str:
    """Translate vote.sync: what the predicates of a warp have in common."""
    kind: Type = parts.type("bp")
    mode = parts.one_of("all", "any", "uni", "ballot")
    if not parts.flag("sync") or not mode:
        raise PtxError("unknown form of vote")
    predicate, mask = scope.read(i.operands[1], PREDICATE), scope.read(i.operands[2], U32)
    call = f"emu_vote(thread, VOTE_{mode.upper()}, {predicate}, {mask}, {scope.statement(i)})"
    return scope.write(i.operands[0], kind, call)
