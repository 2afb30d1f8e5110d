"""Conversions between types."""

from __future__ import annotations

from emulator.ptx.floating import ROUNDINGS
from emulator.ptx.parse import Instruction
from emulator.ptx.scope import Parts, Scope
from emulator.ptx.types import PtxError, Type

_TO_INTEGRAL = {"rzi": "trunc", "rni": "nearbyint", "rmi": "floor", "rpi": "ceil"}


def convert(scope: Scope, i: Instruction, parts: Parts) -> str:
    """Translate cvt."""
    source, target = parts.type(), parts.type()
    x, saturates, flushes = scope.read(i.operands[1], source), parts.flag("sat"), parts.flag("ftz")
    integral, rounding = parts.one_of(*_TO_INTEGRAL), parts.one_of(*ROUNDINGS)
    if flushes and 32 not in (source.is_float * source.bits, target.is_float * target.bits):
        raise PtxError("unknown part .ftz")
    if flushes and source.name == "f32":
        x = f"flushed({x})"
    value = _converted(x, source, target, integral, rounding, saturates=saturates)
    if flushes and target.name == "f32":
        value = f"flushed({value})"
    return scope.write(i.operands[0], target, value)


def _converted(x: str, source: Type, target: Type, integral: str, rounding: str, *, saturates: bool) -> str:
    if source.is_float and not target.is_float:
        if not integral or rounding:
            raise PtxError("a conversion to an integer needs .rni, .rzi, .rmi or .rpi")
        # every float32 is a double; a NaN becomes 0, or the highest bit where one of the types is 64 bits wide
        nan = 1 << target.bits - 1 if 64 in (source.bits, target.bits) else 0
        name = target.name.replace("b", "u")
        return f"clamped_{name}({_TO_INTEGRAL[integral]}({x}), {nan:#x}ull)"
    if target.is_float:
        if source.is_float:
            if integral:
                x = f"{_TO_INTEGRAL[integral]}({x})"
            elif target.bits < source.bits and not rounding:
                raise PtxError("a narrower float needs a rounding mode")
        elif integral or not rounding:
            raise PtxError("a conversion from an integer needs a rounding mode")
        value = f"({target.c}){x}"
        if rounding not in ("", "rn"):
            value = f"directed_{source.name.replace('b', 'u')}_to_{target.name}({ROUNDINGS[rounding]}, {x})"
        return f"saturated({value})" if saturates else value
    if integral or rounding:
        raise PtxError("integers are not rounded")
    return f"clamp_{target.name.replace('b', 'u')}((__int128){x})" if saturates else f"({target.c}){x}"
