"""Floating-point arithmetic: every rounding mode, NaN and subnormal numbers as PTX has them."""

from __future__ import annotations

from emulator.ptx.parse import Instruction
from emulator.ptx.scope import Parts, Scope
from emulator.ptx.types import PREDICATE, PtxError, Type

ROUNDINGS = {"rn": "", "rz": "ROUND_TO_ZERO", "rm": "ROUND_DOWN", "rp": "ROUND_UP"}
_SIGNS = {"add": "+", "sub": "-", "mul": "*", "div": "/"}


def _operands(scope: Scope, i: Instruction, kind: Type, *, flushes: bool) -> list[str]:
    values = [scope.read(operand, kind) for operand in i.operands[1:]]
    return [f"flushed({value})" for value in values] if flushes else values


def _finished(scope: Scope, i: Instruction, kind: Type, value: str, *, flushes: bool, saturates: bool = False) -> str:
    if saturates:
        value = f"saturated({value})"
    return scope.write(i.operands[0], kind, f"flushed({value})" if flushes else value)


def _flushes(parts: Parts, kind: Type) -> bool:
    flushes = parts.flag("ftz")
    if flushes and kind.bits != 32:
        raise PtxError("unknown part .ftz")
    return flushes


def _directed(rounding: str, name: str, kind: Type, values: list[str]) -> str:
    return f"directed_{name}_{kind.name}({ROUNDINGS[rounding]}, {', '.join(values)})"


def arithmetic(scope: Scope, i: Instruction, parts: Parts, kind: Type) -> str:
    """Translate add, sub, mul, div, fma and mad, in each rounding mode; .approx and .full round like .rn."""
    flushes, saturates, rounding = _flushes(parts, kind), parts.flag("sat"), parts.one_of(*ROUNDINGS)
    if i.opcode == "div":
        parts.drop("approx", "full")
    values = _operands(scope, i, kind, flushes=flushes)
    fused = i.opcode in ("fma", "mad")
    if rounding in ("", "rn"):
        suffix = "f" if kind.bits == 32 else ""
        value = f"fma{suffix}({', '.join(values)})" if fused else f"{values[0]} {_SIGNS[i.opcode]} {values[1]}"
    else:
        value = _directed(rounding, "fma" if fused else i.opcode, kind, values)
    return _finished(scope, i, kind, value, flushes=flushes, saturates=saturates)


def root_or_reciprocal(scope: Scope, i: Instruction, parts: Parts) -> str:
    """Translate sqrt and rcp; .approx rounds like .rn, and rcp.approx.ftz.f64 knows the upper 32 bits only."""
    kind = parts.type("f")
    rounding, is_rough, flushes = parts.one_of(*ROUNDINGS), parts.flag("approx"), parts.flag("ftz")
    if kind.bits == 64 and flushes:
        if i.opcode != "rcp" or not is_rough:
            raise PtxError("unknown part .ftz")
        return scope.write(i.operands[0], kind, f"rough_reciprocal({scope.read(i.operands[1], kind)})")
    values = _operands(scope, i, kind, flushes=flushes)
    if rounding in ("", "rn"):
        root = "sqrtf" if kind.bits == 32 else "sqrt"
        value = f"1 / {values[0]}" if i.opcode == "rcp" else f"{root}({values[0]})"
    else:
        value = _directed(rounding, i.opcode, kind, values)
    return _finished(scope, i, kind, value, flushes=flushes)


_APPROXIMATE = {"ex2": "exp2f", "lg2": "log2f", "sin": "sinf", "cos": "cosf", "tanh": "tanhf", "rsqrt": "1 / sqrt"}


def approximate(scope: Scope, i: Instruction, parts: Parts) -> str:
    """Translate ex2, lg2, sin, cos, tanh and rsqrt: the processor's functions, which are more exact."""
    kind, flushes = parts.type("f"), parts.flag("ftz")
    if not parts.flag("approx") or (kind.bits == 64 and (i.opcode != "rsqrt" or flushes)):
        raise PtxError(f"unknown form of {i.opcode}")
    value = _operands(scope, i, kind, flushes=flushes)[0]
    return _finished(scope, i, kind, f"{_APPROXIMATE[i.opcode]}({value})", flushes=flushes)


def smaller_or_larger(scope: Scope, i: Instruction, parts: Parts, kind: Type) -> str:
    """Translate min and max: a NaN gives way to a number, or with .NaN wins; -0 is less than +0."""
    flushes, nan_wins = _flushes(parts, kind), parts.flag("NaN")
    values = _operands(scope, i, kind, flushes=flushes)
    if len(values) != 2:
        raise PtxError(f"{i.opcode} of {len(values)} numbers")
    value = f"{i.opcode}_{kind.name}({', '.join(values)}, {int(nan_wins)})"
    return _finished(scope, i, kind, value, flushes=flushes)


def sign(scope: Scope, i: Instruction, parts: Parts, kind: Type) -> str:
    """Translate abs and neg."""
    flushes = _flushes(parts, kind)
    value = _operands(scope, i, kind, flushes=flushes)[0]
    value = f"-{value}" if i.opcode == "neg" else f"fabs{'f' if kind.bits == 32 else ''}({value})"
    return _finished(scope, i, kind, value, flushes=flushes)


def copy_sign(scope: Scope, i: Instruction, parts: Parts) -> str:
    """Translate copysign: the first operand's sign, the second's size."""
    kind = parts.type("f")
    signed, size = (scope.read(operand, kind) for operand in i.operands[1:3])
    return scope.write(i.operands[0], kind, f"copysign{'f' if kind.bits == 32 else ''}({size}, {signed})")


_TESTS = {
    "finite": "isfinite({0})",
    "infinite": "isinf({0})",
    "number": "!isnan({0})",
    "notanumber": "isnan({0})",
    "normal": "isnormal({0})",
    "subnormal": "(fpclassify({0}) == FP_SUBNORMAL)",
}


def test_property(scope: Scope, i: Instruction, parts: Parts) -> str:
    """Translate testp."""
    kind, question = parts.type("f"), parts.one_of(*_TESTS)
    if not question:
        raise PtxError("unknown question of testp")
    return scope.write(i.operands[0], PREDICATE, _TESTS[question].format(scope.read(i.operands[1], kind)))
