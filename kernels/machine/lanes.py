"""Vector values for Numba: one value for each of sixteen datapoints.

A kernel written with these reads like the formula for one datapoint. LLVM gets vectors of sixteen lanes whatever the
machine has (one AVX-512 register, two of AVX2, four of NEON), so three usual losses cannot happen: nothing depends on
the loop vectoriser, a 32-bit operation stays a 32-bit operation (Numba itself promotes it to 64 bits), and the
preference of LLVM for 256-bit registers does not apply to explicit 512-bit vectors.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any, TypeAlias

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.core.datamodel import models
from numba.core.errors import RequireLiteralValue
from numba.core.typing.templates import AbstractTemplate, infer_global, signature
from numba.extending import intrinsic as _numba_intrinsic
from numba.extending import lower_builtin, register_model

LANES = 16
"""Datapoints that travel together."""

F32x16: TypeAlias = Any
U32x16: TypeAlias = Any
U64x8: TypeAlias = Any

_INT32 = ir.IntType(32)


def intrinsic(function: Callable[..., Any]) -> Any:
    """Typed alias of `numba.extending.intrinsic`."""
    return _numba_intrinsic(function)


class LanesType(types.Type):  # type: ignore[misc]
    """A Numba type that LLVM sees as a vector of `count` elements."""

    def __init__(self, name: str, element: Any, count: int) -> None:
        self.element = element
        self.count = count
        self.llvm = ir.VectorType(element, count)
        super().__init__(name)

    @property
    def is_float(self) -> bool:
        """Whether the elements are floating-point numbers."""
        return isinstance(self.element, ir.FloatType)


@register_model(LanesType)
class _LanesModel(models.PrimitiveModel):  # type: ignore[misc]
    def __init__(self, manager: Any, numba_type: LanesType) -> None:
        super().__init__(manager, numba_type, numba_type.llvm)


f32x16 = LanesType("f32x16", ir.FloatType(), LANES)
u32x16 = LanesType("u32x16", _INT32, LANES)
u64x8 = LanesType("u64x8", ir.IntType(64), LANES // 2)


# Operators -----------------------------------------------------------------------------------------------------------

_OPERATORS: dict[Callable[..., Any], tuple[str | None, str | None]] = {
    # operator: (LLVM instruction for floats, for integers)
    operator.add: ("fadd", "add"),
    operator.sub: ("fsub", "sub"),
    operator.mul: ("fmul", "mul"),
    operator.truediv: ("fdiv", None),
    operator.and_: (None, "and_"),
    operator.or_: (None, "or_"),
    operator.xor: (None, "xor"),
}


def _register_operator(function: Callable[..., Any], on_floats: str | None, on_integers: str | None) -> None:
    def instruction(numba_type: LanesType) -> str | None:
        return on_floats if numba_type.is_float else on_integers

    @infer_global(function)
    class _Template(AbstractTemplate):  # type: ignore[misc]
        key = function

        def generic(self, args: Any, kws: Any) -> Any:
            same = len(args) == 2 and isinstance(args[0], LanesType) and args[0] == args[1]
            return signature(args[0], *args) if same and instruction(args[0]) else None

    @lower_builtin(function, LanesType, LanesType)  # type: ignore[untyped-decorator]
    def _lower(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        return getattr(builder, str(instruction(sig.return_type)))(*args)


for _function, (_on_floats, _on_integers) in _OPERATORS.items():
    _register_operator(_function, _on_floats, _on_integers)


# Making vectors ------------------------------------------------------------------------------------------------------


def _constant(numba_type: LanesType, values: list[Any]) -> Any:
    return ir.Constant(numba_type.llvm, values)


def _splat(builder: Any, numba_type: LanesType, scalar: Any) -> Any:
    undefined = ir.Constant(numba_type.llvm, ir.Undefined)
    first = builder.insert_element(undefined, scalar, ir.Constant(_INT32, 0))
    zeros = ir.Constant(ir.VectorType(_INT32, numba_type.count), [0] * numba_type.count)
    return builder.shuffle_vector(first, undefined, zeros)


def _make_splat(numba_type: LanesType, scalar_type: Any) -> Any:
    @intrinsic
    def splat(typing_context: Any, value: Any) -> Any:
        def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
            return _splat(builder, numba_type, context.cast(builder, args[0], sig.args[0], scalar_type))

        return numba_type(value), codegen

    return splat


splat_f32 = _make_splat(f32x16, types.float32)
splat_u32 = _make_splat(u32x16, types.uint32)
splat_u64 = _make_splat(u64x8, types.uint64)


@intrinsic
def every_second_from(typing_context: Any, start: Any) -> Any:
    """Return the u64x8 `start, start + 2, ..., start + 14`."""

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        first = _splat(builder, u64x8, context.cast(builder, args[0], sig.args[0], types.uint64))
        return builder.add(first, _constant(u64x8, [2 * lane for lane in range(u64x8.count)]))

    return u64x8(start), codegen


# Memory: arrays are C-contiguous and 1-D, `index` counts elements, and addresses need not be aligned ------------------


def _address(context: Any, builder: Any, array_type: Any, array: Any, index: Any, vector: Any) -> Any:
    data = context.make_array(array_type)(context, builder, array).data
    return builder.bitcast(builder.gep(data, [index]), vector.as_pointer())


def _make_load(numba_type: LanesType) -> Any:
    @intrinsic
    def load(typing_context: Any, array: Any, index: Any) -> Any:
        def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
            position = context.cast(builder, args[1], sig.args[1], types.intp)
            address = _address(context, builder, sig.args[0], args[0], position, numba_type.llvm)
            return builder.load(address, align=4)

        return numba_type(array, index), codegen

    return load


load_f32 = _make_load(f32x16)
load_u64 = _make_load(u64x8)


@intrinsic
def load_splat_f32(typing_context: Any, array: Any, index: Any) -> Any:
    """Return the f32x16 whose lanes all hold `array[index]`; the index is not negative, which spares looking at it."""

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        position = context.cast(builder, args[1], sig.args[1], types.intp)
        address = _address(context, builder, sig.args[0], args[0], position, f32x16.element)
        return _splat(builder, f32x16, builder.load(address))

    return f32x16(array, index), codegen


@intrinsic
def store(typing_context: Any, array: Any, index: Any, value: Any) -> Any:
    """Write a vector to `array[index : index + lanes]`."""

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        position = context.cast(builder, args[1], sig.args[1], types.intp)
        builder.store(args[2], _address(context, builder, sig.args[0], args[0], position, args[2].type), align=4)
        return context.get_dummy_value()

    return types.void(array, index, value), codegen


@intrinsic
def store_half(typing_context: Any, array: Any, index: Any, value: Any, half: Any) -> Any:
    """Write the first eight lanes of an f32x16, half 0, or the last eight, half 1, to `array[index : index + 8]`."""
    if not isinstance(half, types.IntegerLiteral):
        raise RequireLiteralValue(half)
    order = [half.literal_value * LANES // 2 + lane for lane in range(LANES // 2)]

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        part = builder.shuffle_vector(args[2], args[2], ir.Constant(ir.VectorType(_INT32, LANES // 2), order))
        position = context.cast(builder, args[1], sig.args[1], types.intp)
        builder.store(part, _address(context, builder, sig.args[0], args[0], position, part.type), align=4)
        return context.get_dummy_value()

    return types.void(array, index, value, half), codegen


# Arithmetic ----------------------------------------------------------------------------------------------------------


def _call_llvm(builder: Any, name: str, args: Any) -> Any:
    vector = args[0].type
    function_type = ir.FunctionType(vector, [vector] * len(args))
    full_name = f"{name}.v{vector.count}f32"
    return builder.call(cgutils.get_or_insert_function(builder.module, function_type, full_name), args)


@intrinsic
def fma(typing_context: Any, a: Any, b: Any, c: Any) -> Any:
    """Return a * b + c, rounded once."""

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        return _call_llvm(builder, "llvm.fma", args)

    return a(a, b, c), codegen


@intrinsic
def sqrt(typing_context: Any, a: Any) -> Any:
    """Return the correctly rounded square root."""

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        return _call_llvm(builder, "llvm.sqrt", args)

    return a(a), codegen


def _make_clamp(comparison: str) -> Any:
    @intrinsic
    def clamp(typing_context: Any, a: Any, bound: Any) -> Any:
        def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
            beyond = builder.fcmp_ordered(comparison, args[0], args[1])  # false for NaN, which therefore stays
            return builder.select(beyond, args[1], args[0])

        return a(a, bound), codegen

    return clamp


at_most = _make_clamp(">")
at_least = _make_clamp("<")


def _make_choice(comparison: str) -> Any:
    @intrinsic
    def choose(typing_context: Any, a: Any, b: Any, if_true: Any, if_false: Any) -> Any:
        def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
            return builder.select(builder.fcmp_ordered(comparison, args[0], args[1]), args[2], args[3])

        return if_true(a, b, if_true, if_false), codegen

    return choose


choose_if_above = _make_choice(">")
choose_if_numbers = _make_choice("ord")


@intrinsic
def sum_of_lanes(typing_context: Any, a: Any) -> Any:
    """Return the float32 sum of the lanes, added in halves: 8 + 8, 4 + 4, 2 + 2, 1 + 1."""

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        value = args[0]
        undefined = ir.Constant(value.type, ir.Undefined)
        half = LANES // 2
        while half:
            order = [(lane + half) % LANES for lane in range(LANES)]
            moved = builder.shuffle_vector(value, undefined, ir.Constant(ir.VectorType(_INT32, LANES), order))
            value = builder.fadd(value, moved)
            half //= 2
        return builder.extract_element(value, ir.Constant(_INT32, 0))

    return types.float32(a), codegen


# Bits ----------------------------------------------------------------------------------------------------------------


def _make_shift(instruction: str) -> Any:
    @intrinsic
    def shift(typing_context: Any, a: Any, distance: Any) -> Any:
        if not isinstance(distance, types.IntegerLiteral):
            raise RequireLiteralValue(distance)
        by = _constant(a, [distance.literal_value] * a.count)

        def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
            return getattr(builder, instruction)(args[0], by)

        return a(a, distance), codegen

    return shift


shift_left = _make_shift("shl")
shift_right = _make_shift("lshr")
shift_right_signed = _make_shift("ashr")


@intrinsic
def shift_right_joined(typing_context: Any, high: Any, low: Any, distance: Any) -> Any:
    """Return the low halves of the 64 bits that two u32x16 make, shifted right by any distance modulo 32."""

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        by = _splat(builder, u32x16, context.cast(builder, args[2], sig.args[2], types.uint32))
        function_type = ir.FunctionType(u32x16.llvm, [u32x16.llvm] * 3)
        function = cgutils.get_or_insert_function(builder.module, function_type, f"llvm.fshr.v{LANES}i32")
        return builder.call(function, [args[0], args[1], by])

    return u32x16(high, low, distance), codegen


def _make_conversion(instruction: str, source: LanesType, target: LanesType) -> Any:
    @intrinsic
    def convert(typing_context: Any, a: Any) -> Any:
        if a != source:
            return None

        def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
            return getattr(builder, instruction)(args[0], target.llvm)

        return target(a), codegen

    return convert


signed_to_float = _make_conversion("sitofp", u32x16, f32x16)
bits_of = _make_conversion("bitcast", f32x16, u32x16)
float_from_bits = _make_conversion("bitcast", u32x16, f32x16)


def _make_interleave(half: int, name: str) -> Any:
    @intrinsic
    def interleave(typing_context: Any, even: Any, odd: Any) -> Any:
        def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
            first, second = (builder.bitcast(value, u32x16.llvm) for value in args)
            order = [half + (lane if lane % 2 == 0 else LANES + lane - 1) for lane in range(LANES)]
            return builder.shuffle_vector(first, second, ir.Constant(ir.VectorType(_INT32, LANES), order))

        return u32x16(even, odd), codegen

    interleave.__doc__ = f"Return the u32x16 of the {name} halves of two u64x8: even[0], odd[0], even[1], odd[1], ..."
    return interleave


interleave_low_halves = _make_interleave(0, "low")
interleave_high_halves = _make_interleave(1, "high")


@intrinsic
def high_half(typing_context: Any, a: Any) -> Any:
    """Return a u64x8 whose low halves are the high halves of another's; its high halves hold the same.

    What a shift by 32 does to low halves, on another of the processor's ports.
    """

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        value = builder.bitcast(args[0], u32x16.llvm)
        order = ir.Constant(ir.VectorType(_INT32, LANES), [lane | 1 for lane in range(LANES)])
        return builder.bitcast(builder.shuffle_vector(value, value, order), u64x8.llvm)

    return u64x8(a), codegen


@intrinsic
def choose_by_bit(typing_context: Any, word: Any, bit: Any, if_set: Any, if_clear: Any) -> Any:
    """Return `if_set` in the lanes in which a bit of the u32x16 `word`, counted from 0, is set; else `if_clear`."""
    if not isinstance(bit, types.IntegerLiteral):
        raise RequireLiteralValue(bit)
    tested, nothing = _constant(u32x16, [1 << bit.literal_value] * LANES), _constant(u32x16, [0] * LANES)

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        is_set = builder.icmp_unsigned("!=", builder.and_(args[0], tested), nothing)
        return builder.select(is_set, args[2], args[3])

    return if_set(word, bit, if_set, if_clear), codegen
