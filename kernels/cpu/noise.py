"""Unit perturbations for one group of datapoints, drawn sixteen at a time."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from freewalk.kernels.cpu.functions import box_muller
from freewalk.kernels.cpu.layout import NoiseSource, Shape
from freewalk.kernels.machine.jit import choice, helper_function, inline_function
from freewalk.kernels.machine.lanes import (
    LANES,
    U32x16,
    U64x8,
    every_second_from,
    float_from_bits,
    high_half,
    interleave_high_halves,
    interleave_low_halves,
    shift_left,
    shift_right,
    shift_right_joined,
    splat_f32,
    splat_u32,
    splat_u64,
    store,
)
from freewalk.kernels.model.noise import MULTIPLIER_0, MULTIPLIER_1, NOISES, ROUNDS, RUN, Kind, NoiseKind, Stream

_M0 = np.uint64(MULTIPLIER_0)
_M1 = np.uint64(MULTIPLIER_1)
_LOW = np.uint64(0xFFFFFFFF)
_32 = np.uint64(32)
_PERTURBATIONS = np.uint64(Stream.PERTURBATIONS)
_ONE_BITS = np.uint32(0x3F800000)
_ZERO = np.float32(0.0)
_ROUNDS, _RUN = ROUNDS, RUN
_BITS = 32
Words = tuple[U32x16, U32x16, U32x16, U32x16]


@inline_function
def _round(
    c0: U64x8, c1: U64x8, c2: U64x8, c3: U64x8, keys: NDArray[np.uint64], r: int
) -> tuple[U64x8, U64x8, U64x8, U64x8]:
    """Return the next state, in the low halves of 64-bit lanes; the high halves hold what is left of the products.

    A multiplication reads the low halves only, so nothing needs masking between the rounds. One product is shifted, the
    other shuffled, which keeps two ports of the processor equally busy.
    """
    low = splat_u64(_LOW)
    product_0 = (c0 & low) * splat_u64(_M0)
    product_1 = (c2 & low) * splat_u64(_M1)
    return (
        shift_right(product_1, 32) ^ c1 ^ splat_u64(keys[2 * r]),
        product_1,
        high_half(product_0) ^ c3 ^ splat_u64(keys[2 * r + 1]),
        product_0,
    )


@inline_function
def _after_three_rounds(
    block: np.uint64, datapoints: U64x8, step: np.uint64, stream: np.uint64, keys: NDArray[np.uint64]
) -> tuple[U64x8, U64x8, U64x8, U64x8]:
    """Return the state after the first three rounds, in which half of the words are the same for all datapoints.

    Those stay scalars, which spares four of the six multiplications of vectors.
    """
    low = splat_u64(_LOW)
    product_0, product_1 = block * _M0, step * _M1
    c0 = datapoints ^ splat_u64((product_1 >> _32) ^ keys[0])
    c1 = product_1 & _LOW
    c2 = (product_0 >> _32) ^ stream ^ keys[1]
    c3 = product_0 & _LOW

    vector_0, product_1 = (c0 & low) * splat_u64(_M0), c2 * _M1
    c0_same = (product_1 >> _32) ^ c1 ^ keys[2]
    c1 = product_1 & _LOW
    c2_each = shift_right(vector_0, 32) ^ splat_u64(c3 ^ keys[3])

    product_0, vector_1 = c0_same * _M0, (c2_each & low) * splat_u64(_M1)
    return (
        shift_right(vector_1, 32) ^ splat_u64(c1 ^ keys[4]),
        vector_1,
        vector_0 ^ splat_u64((product_0 >> _32) ^ keys[5]),
        splat_u64(product_0 & _LOW),
    )


@inline_function
def _before_the_last_round(
    block: np.uint64, datapoints: U64x8, step: np.uint64, stream: np.uint64, keys: NDArray[np.uint64]
) -> tuple[U64x8, U64x8, U64x8, U64x8]:
    """Return the last products and words 1 and 3 of counter (block, datapoint, step, stream)."""
    low = splat_u64(_LOW)
    c0, c1, c2, c3 = _after_three_rounds(block, datapoints, step, stream, keys)
    for r in range(3, _ROUNDS - 1):
        c0, c1, c2, c3 = _round(c0, c1, c2, c3, keys, r)
    return (c0 & low) * splat_u64(_M0), c1, (c2 & low) * splat_u64(_M1), c3


@inline_function
def _last_round(
    even: tuple[U64x8, U64x8, U64x8, U64x8], odd: tuple[U64x8, U64x8, U64x8, U64x8], keys: NDArray[np.uint64]
) -> Words:
    even_0, even_c1, even_1, even_c3 = even
    odd_0, odd_c1, odd_1, odd_c3 = odd
    key_0, key_1 = splat_u32(np.uint32(keys[2 * _ROUNDS - 2])), splat_u32(np.uint32(keys[2 * _ROUNDS - 1]))
    return (
        interleave_high_halves(even_1, odd_1) ^ interleave_low_halves(even_c1, odd_c1) ^ key_0,
        interleave_low_halves(even_1, odd_1),
        interleave_high_halves(even_0, odd_0) ^ interleave_low_halves(even_c3, odd_c3) ^ key_1,
        interleave_low_halves(even_0, odd_0),
    )


@inline_function
def words_of(block: int, even: U64x8, odd: U64x8, step: int, stream: np.uint64, keys: NDArray[np.uint64]) -> Words:
    """Return the four words of one block of a stream for sixteen indices, those of even lanes and those of odd ones.

    The last round is made of the words of all sixteen, for which half the operations do.
    """
    where, when = np.uint64(block), np.uint64(step)
    return _last_round(
        _before_the_last_round(where, even, when, stream, keys),
        _before_the_last_round(where, odd, when, stream, keys),
        keys,
    )


@inline_function
def _all_but_the_last_round(
    blocks: U64x8, index: np.uint64, step: np.uint64, stream: np.uint64, keys: NDArray[np.uint64]
) -> tuple[U64x8, U64x8, U64x8, U64x8]:
    """Return what `_before_the_last_round` does, of as many blocks of one index."""
    low = splat_u64(_LOW)
    c0, c1, c2, c3 = blocks, splat_u64(index), splat_u64(step), splat_u64(stream)
    for r in range(_ROUNDS - 1):
        c0, c1, c2, c3 = _round(c0, c1, c2, c3, keys, r)
    return (c0 & low) * splat_u64(_M0), c1, (c2 & low) * splat_u64(_M1), c3


@inline_function
def words_of_blocks(
    even: U64x8, odd: U64x8, index: int, step: int, stream: np.uint64, keys: NDArray[np.uint64]
) -> Words:
    """Return the four words of sixteen blocks of a stream for one index, those of even lanes and those of odd ones."""
    which, when = np.uint64(index), np.uint64(step)
    return _last_round(
        _all_but_the_last_round(even, which, when, stream, keys),
        _all_but_the_last_round(odd, which, when, stream, keys),
        keys,
    )


@inline_function
def _words(block: int, first: int, step: int, keys: NDArray[np.uint64]) -> Words:
    """Return the four words of one block of the perturbations of the datapoints first .. first + 15."""
    even, odd = every_second_from(np.uint64(first)), every_second_from(np.uint64(first + 1))
    return words_of(block, even, odd, step, _PERTURBATIONS, keys)


@inline_function
def store_normals(words: Words, noise: NDArray[np.float32], at: int, rows: int) -> None:
    """Store a block's four rows of standard normals."""
    z0, z1 = box_muller(words[0], words[1])
    z2, z3 = box_muller(words[2], words[3])
    store(noise, at, z0)
    store(noise, at + LANES, z1)
    store(noise, at + 2 * LANES, z2)
    store(noise, at + 3 * LANES, z3)


@inline_function
def _next_word(s0: U32x16, s1: U32x16, s2: U32x16, s3: U32x16) -> tuple[U32x16, U32x16, U32x16, U32x16, U32x16]:
    """Return the next output of xoshiro128++ and the state after it."""
    total = s0 + s3
    word = (shift_left(total, 7) | shift_right(total, 25)) + s0
    shifted = shift_left(s1, 9)
    s2, s3 = s2 ^ s0, s3 ^ s1
    s1, s0 = s1 ^ s2, s0 ^ s3
    return word, s0, s1, s2 ^ shifted, shift_left(s3, 11) | shift_right(s3, 21)


@inline_function
def store_run_of_normals(words: Words, noise: NDArray[np.float32], at: int, rows: int) -> None:
    """Store a state's rows of standard normals, `rows` or as many as it serves, rounded up to a multiple of four."""
    s0, s1, s2, s3 = words
    for row in range(0, min(rows, _RUN), 4):
        w0, s0, s1, s2, s3 = _next_word(s0, s1, s2, s3)
        w1, s0, s1, s2, s3 = _next_word(s0, s1, s2, s3)
        w2, s0, s1, s2, s3 = _next_word(s0, s1, s2, s3)
        w3, s0, s1, s2, s3 = _next_word(s0, s1, s2, s3)
        store_normals((w0, w1, w2, w3), noise, at + row * LANES, rows - row)


@inline_function
def _after_rows(words: Words, rows: int) -> Words:
    """Return the state after so many rows of normals."""
    s0, s1, s2, s3 = words
    for _ in range(rows):
        _, s0, s1, s2, s3 = _next_word(s0, s1, s2, s3)
    return s0, s1, s2, s3


@inline_function
def _store_bits(word: U32x16, noise: NDArray[np.float32], at: int, rows: int) -> None:
    for _ in range(min(rows, _BITS)):
        store(noise, at, float_from_bits(shift_left(word, 31) | splat_u32(_ONE_BITS)))
        word = shift_right(word, 1)
        at += LANES


@inline_function
def store_signs(words: Words, noise: NDArray[np.float32], at: int, rows: int) -> None:
    """Store a block's 128 rows of signs, or the `rows` that there are."""
    _store_bits(words[0], noise, at, rows)
    _store_bits(words[1], noise, at + _BITS * LANES, rows - _BITS)
    _store_bits(words[2], noise, at + 2 * _BITS * LANES, rows - 2 * _BITS)
    _store_bits(words[3], noise, at + 3 * _BITS * LANES, rows - 3 * _BITS)


@inline_function
def _from_row(words: Words, row: int) -> Words:
    """Return the words whose first signs are those of a row."""
    w0, w1, w2, w3 = words
    for _ in range(row // _BITS):
        w0, w1, w2, w3 = w1, w2, w3, w3
    return (
        shift_right_joined(w1, w0, row),
        shift_right_joined(w2, w1, row),
        shift_right_joined(w3, w2, row),
        shift_right_joined(w3, w3, row),
    )


def _make_draw(kind: NoiseKind, is_layered: bool) -> Any:
    """Return the compiled function that writes a kind's unit perturbations for sixteen datapoints."""
    store_block, rows_of_a_block = globals()[kind.cpu], kind.rows
    skip = _from_row if kind.cpu == "store_signs" else _after_rows  # a block of four normals is never cut

    @helper_function
    def draw_kind(
        shape: Shape,
        source: NoiseSource,
        first: int,
        step: int,
        noise: NDArray[np.float32],  # OUT from `at`: (n_padded, LANES)
        at: int,
    ) -> None:
        per_column = (shape.n_from + rows_of_a_block - 1) // rows_of_a_block
        if not is_layered:
            for column in range(shape.n_to):
                for k in range(per_column):
                    words = _words(column * per_column + k, first, step, source.round_keys)
                    row = k * rows_of_a_block
                    store_block(words, noise, at + (column * shape.n_rows + row) * LANES, shape.n_rows - row)
            return
        runs = shape.runs
        for run in range(len(runs)):  # number by number: views of its rows would be counted
            column, first_row, position = runs[run, 0], runs[run, 1], runs[run, 3]
            row, end = first_row, first_row + runs[run, 2]
            while row < end:
                k = row // rows_of_a_block
                words = _words(column * per_column + k, first, step, source.round_keys)
                skipped = row - k * rows_of_a_block  # rows of normals come in fours
                if skipped > 0:
                    words = skip(words, skipped)
                here = at + (position + row - first_row) * LANES
                store_block(words, noise, here, min(end - row, rows_of_a_block - skipped))
                row = (k + 1) * rows_of_a_block

    return draw_kind


DRAWS: dict[Kind, Any] = {name: _make_draw(kind, is_layered=False) for name, kind in NOISES.items()}
"""By kind of noise: what writes unit perturbations of a free network as `draw` does, without a mask."""
_LAYERED_DRAWS = [_make_draw(kind, is_layered=True) for kind in NOISES.values()]


@helper_function
def _copy_given(
    shape: Shape,
    source: NoiseSource,
    first: int,
    step: int,
    noise: NDArray[np.float32],  # OUT from `at`: (n_padded, LANES)
    at: int,
) -> None:
    given, runs = source.given, shape.runs
    for lane in range(min(LANES, given.shape[0] - first)):
        for run in range(len(runs)):
            column, first_row, position = runs[run, 0], runs[run, 1], runs[run, 3]
            for row in range(min(runs[run, 2], shape.n_from - first_row)):
                noise[at + (position + row) * LANES + lane] = given[first + lane, first_row + row, column]


_draw_free = choice([*DRAWS.values(), _copy_given])
_draw_layered = choice([*_LAYERED_DRAWS, _copy_given])


@helper_function
def draw(
    shape: Shape,
    source: NoiseSource,
    first: int,
    step: int,
    noise: NDArray[np.float32],  # OUT from `at`: (n_padded, LANES)
    at: int,
) -> None:
    """Write the unit perturbations of the datapoints first .. first + 15; zero where a mask allows no weight."""
    if len(shape.layers):
        _draw_layered(source.kind, shape, source, first, step, noise, at)
    else:
        _draw_free(source.kind, shape, source, first, step, noise, at)
    for position in range(len(source.mask)):
        if not source.mask[position]:
            store(noise, at + position * LANES, splat_f32(_ZERO))
