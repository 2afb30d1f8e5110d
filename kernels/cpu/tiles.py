"""Register tiles: tuples of vectors that stay in registers while a loop multiplies and adds into them.

A product of matrices over datapoints is bound by loads unless each loaded number is used several times. Eight sums in
flight use a loaded activation eight times and hide the latency of a multiply-add; sixteen, four rows by four columns,
use every number of an outer product four times.
"""

from __future__ import annotations

from typing import Any, TypeAlias

from llvmlite import ir
from llvmlite.binding import get_host_cpu_features
from numba import types
from numba.core import config
from numba.core.errors import RequireLiteralValue

from freewalk.kernels.machine.lanes import LANES, f32x16, intrinsic

Tile: TypeAlias = Any

_INT32 = ir.IntType(32)
_FLOAT = ir.FloatType()
_VECTOR = f32x16.llvm
_DOUBLES = ir.VectorType(ir.DoubleType(), LANES)
_FMA = ir.FunctionType(_VECTOR, [_VECTOR] * 3)


def _has_wide_registers() -> bool:
    """Return whether the kernels are compiled for AVX-512, on this machine or as Numba's settings say."""
    if config.CPU_FEATURES is not None:
        return "+avx512f" in config.CPU_FEATURES
    return bool(get_host_cpu_features().get("avx512f", False))


WIDE = _has_wide_registers()


def _fma(builder: Any, a: Any, b: Any, c: Any) -> Any:
    name = f"llvm.fma.v{LANES}f32"
    known = builder.module.globals.get(name)
    return builder.call(ir.Function(builder.module, _FMA, name) if known is None else known, [a, b, c])


def _vector_at(builder: Any, data: Any, index: Any, offset: int) -> Any:
    """Return the address of the vector that starts `offset` elements after `index`."""
    address = builder.gep(data, [builder.add(index, ir.Constant(index.type, offset))])
    return builder.bitcast(address, _VECTOR.as_pointer())


def _splat_at(builder: Any, data: Any, index: Any, offset: int) -> Any:
    """Return the number `offset` elements after `index` in all lanes."""
    scalar = builder.load(builder.gep(data, [builder.add(index, ir.Constant(index.type, offset))]))
    undefined = ir.Constant(_VECTOR, ir.Undefined)
    first = builder.insert_element(undefined, scalar, ir.Constant(_INT32, 0))
    return builder.shuffle_vector(first, undefined, ir.Constant(ir.VectorType(_INT32, LANES), [0] * LANES))


def _data_and_index(context: Any, builder: Any, sig: Any, args: Any, at: int) -> tuple[Any, Any]:
    """Return the data of the array that is argument `at`, and the index that follows it."""
    data = context.make_array(sig.args[at])(context, builder, args[at]).data
    return data, context.cast(builder, args[at + 1], sig.args[at + 1], types.intp)


@intrinsic
def empty_tile(typing_context: Any, count: Any) -> Any:
    """Return a tile of `count` vectors of zeros; the count is a literal."""
    if not isinstance(count, types.IntegerLiteral):
        raise RequireLiteralValue(count)
    tile = types.UniTuple(f32x16, count.literal_value)

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        zero = ir.Constant(_VECTOR, [0.0] * LANES)
        return context.make_tuple(builder, tile, [zero] * tile.count)

    return tile(count), codegen


def _unpacked(builder: Any, tile: Any, count: int) -> list[Any]:
    return [builder.extract_value(tile, k) for k in range(count)]


@intrinsic
def add_products(typing_context: Any, tile: Any, factors: Any, index: Any, vector: Any) -> Any:
    """Return tile[k] + factors[index + k] * vector for every k, rounded once each."""

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        data, at = _data_and_index(context, builder, sig, args, 1)
        sums = _unpacked(builder, args[0], tile.count)
        moved = [_fma(builder, _splat_at(builder, data, at, k), args[3], total) for k, total in enumerate(sums)]
        return context.make_tuple(builder, tile, moved)

    return tile(tile, factors, index, vector), codegen


@intrinsic
def perturbed_factors(
    typing_context: Any, count: Any, factors: Any, index: Any, noise: Any, noise_index: Any, scale: Any
) -> Any:
    """Return a tile of factors[index + k] + scale * v_k, rounded once, for vectors v_k one after another in `noise`."""
    if not isinstance(count, types.IntegerLiteral):
        raise RequireLiteralValue(count)
    tile = types.UniTuple(f32x16, count.literal_value)

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        data, at = _data_and_index(context, builder, sig, args, 1)
        noise_data, noise_at = _data_and_index(context, builder, sig, args, 3)
        vectors = [_vector_at(builder, noise_data, noise_at, k * LANES) for k in range(tile.count)]
        made = [
            _fma(builder, args[5], builder.load(vector, align=4), _splat_at(builder, data, at, k))
            for k, vector in enumerate(vectors)
        ]
        return context.make_tuple(builder, tile, made)

    return tile(count, factors, index, noise, noise_index, scale), codegen


@intrinsic
def add_scaled(typing_context: Any, tile: Any, factors: Any, vector: Any) -> Any:
    """Return tile[k] + factors[k] * vector for every k of two tiles, rounded once each."""

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        pairs = zip(_unpacked(builder, args[1], tile.count), _unpacked(builder, args[0], tile.count), strict=True)
        return context.make_tuple(builder, tile, [_fma(builder, factor, args[2], total) for factor, total in pairs])

    return tile(tile, factors, vector), codegen


@intrinsic
def add_outer_product(typing_context: Any, tile: Any, a: Any, a_index: Any, b: Any, b_index: Any) -> Any:
    """Return tile[side * j + i] + a_i * b_j for vectors a_i and b_j that lie one after another in two arrays.

    A tile of sixteen has a side of four, a tile of four one of two.
    """
    side = {16: 4, 4: 2}[tile.count]

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        a_data, a_at = _data_and_index(context, builder, sig, args, 1)
        b_data, b_at = _data_and_index(context, builder, sig, args, 3)
        a_vectors = [builder.load(_vector_at(builder, a_data, a_at, i * LANES), align=4) for i in range(side)]
        b_vectors = [builder.load(_vector_at(builder, b_data, b_at, j * LANES), align=4) for j in range(side)]
        sums = _unpacked(builder, args[0], tile.count)
        moved = [_fma(builder, a_vectors[k % side], b_vectors[k // side], total) for k, total in enumerate(sums)]
        return context.make_tuple(builder, tile, moved)

    return tile(tile, a, a_index, b, b_index), codegen


@intrinsic
def add_multiples(typing_context: Any, tile: Any, vectors: Any, index: Any, factor: Any) -> Any:
    """Return tile[k] + v_k * factor, rounded once each, for vectors v_k one after another from `index` on."""

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        data, at = _data_and_index(context, builder, sig, args, 1)
        sums = _unpacked(builder, args[0], tile.count)
        loaded = [builder.load(_vector_at(builder, data, at, k * LANES), align=4) for k in range(tile.count)]
        moved = [_fma(builder, vector, args[3], total) for vector, total in zip(loaded, sums, strict=True)]
        return context.make_tuple(builder, tile, moved)

    return tile(tile, vectors, index, factor), codegen


@intrinsic
def store_tile(typing_context: Any, array: Any, index: Any, tile: Any) -> Any:
    """Write the vectors of a tile one after another to `array` from `index` on."""

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        data, at = _data_and_index(context, builder, sig, args, 0)
        for k, value in enumerate(_unpacked(builder, args[2], tile.count)):
            builder.store(value, _vector_at(builder, data, at, k * LANES), align=4)
        return context.get_dummy_value()

    return types.void(array, index, tile), codegen


@intrinsic
def store_transposed(typing_context: Any, source: Any, index: Any, target: Any, to: Any) -> Any:
    """Write element l of the sixteen vectors at `source[index]` to `target[to + 16 l]`, as vectors: the transpose."""

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        data, at = _data_and_index(context, builder, sig, args, 0)
        out, there = _data_and_index(context, builder, sig, args, 2)
        vectors = [builder.load(_vector_at(builder, data, at, k * LANES), align=4) for k in range(LANES)]
        order = ir.VectorType(_INT32, LANES)
        distance = LANES // 2
        while distance:  # exchange blocks of `distance` beside the diagonal, then within each of them
            stays = [lane if not lane & distance else LANES + lane - distance for lane in range(LANES)]
            comes = [lane + distance if not lane & distance else LANES + lane for lane in range(LANES)]
            for k in (k for k in range(LANES) if not k & distance):
                upper, lower = vectors[k], vectors[k + distance]
                vectors[k] = builder.shuffle_vector(upper, lower, ir.Constant(order, stays))
                vectors[k + distance] = builder.shuffle_vector(upper, lower, ir.Constant(order, comes))
            distance //= 2
        for k, vector in enumerate(vectors):
            builder.store(vector, _vector_at(builder, out, there, k * LANES), align=4)
        return context.get_dummy_value()

    return types.void(source, index, target, to), codegen


def _sums_of_lanes(builder: Any, vectors: list[Any]) -> Any:
    """Return a vector whose lane k * (LANES / n) is the sum of the lanes of vector k of n, a power of two.

    They are added as `lanes.sum_of_lanes` does: 8 + 8, 4 + 4, 2 + 2, 1 + 1. Vectors k and k + n/2 become one that holds
    the half sums of both, and so on: 15 additions for 16 sums.
    """
    order = ir.VectorType(_INT32, LANES)
    width = LANES
    while width > 1:
        n, half = max(1, len(vectors) // 2), width // 2
        other = LANES if len(vectors) > 1 else 0  # a single vector is folded onto itself
        # each run of `width` lanes of the result: half sums of vector k, then of vector k + n
        runs = range(0, LANES, width)
        low = [source + run + lane for run in runs for source in (0, other) for lane in range(half)]
        high = [index + half for index in low]
        vectors = [
            builder.fadd(
                builder.shuffle_vector(vectors[k], vectors[-n:][k], ir.Constant(order, low)),
                builder.shuffle_vector(vectors[k], vectors[-n:][k], ir.Constant(order, high)),
            )
            for k in range(n)
        ]
        width = half
    return vectors[0]


@intrinsic
def add_sums_of_lanes(typing_context: Any, totals: Any, index: Any, tile: Any) -> Any:
    """Add to float64 `totals`, in place, the float32 sum of the lanes of each vector of a tile.

    A tile of sixteen goes to `totals[index + k]`; a tile of four, a quarter of one, to `totals[index + 4 j + i]`.
    """

    def whole(builder: Any, data: Any, at: Any, sums: Any) -> None:
        address = builder.bitcast(builder.gep(data, [at]), _DOUBLES.as_pointer())
        builder.store(builder.fadd(builder.load(address, align=8), builder.fpext(sums, _DOUBLES)), address, align=8)

    def quarter(builder: Any, data: Any, at: Any, sums: Any) -> None:
        for k in range(4):
            address = builder.gep(data, [builder.add(at, ir.Constant(at.type, k // 2 * 4 + k % 2))])
            one = builder.extract_element(sums, ir.Constant(_INT32, k * LANES // 4))
            builder.store(builder.fadd(builder.load(address), builder.fpext(one, ir.DoubleType())), address)

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        data, at = _data_and_index(context, builder, sig, args, 0)
        sums = _sums_of_lanes(builder, _unpacked(builder, args[2], tile.count))
        {16: whole, 4: quarter}[tile.count](builder, data, at, sums)
        return context.get_dummy_value()

    return types.void(totals, index, tile), codegen


@intrinsic
def add_sums_in_a_row(typing_context: Any, totals: Any, index: Any, tile: Any) -> Any:
    """Add to float64 `totals[index + k]`, in place, the float32 sum of the lanes of vector k of a tile."""
    doubles = ir.VectorType(ir.DoubleType(), tile.count)

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        data, at = _data_and_index(context, builder, sig, args, 0)
        sums = _sums_of_lanes(builder, _unpacked(builder, args[2], tile.count))
        order = list(range(0, LANES, LANES // tile.count))
        picked = builder.shuffle_vector(sums, sums, ir.Constant(ir.VectorType(_INT32, tile.count), order))
        address = builder.bitcast(builder.gep(data, [at]), doubles.as_pointer())
        builder.store(builder.fadd(builder.load(address, align=8), builder.fpext(picked, doubles)), address, align=8)
        return context.get_dummy_value()

    return types.void(totals, index, tile), codegen
