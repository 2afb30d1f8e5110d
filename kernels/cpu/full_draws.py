"""Full perturbations in the order in which passes read weights: of sixteen perturbations at a time, or of one.

Lanes are sixteen perturbations of one weight, or sixteen columns of one perturbation. Either way a block of words is
drawn for all lanes, and gives the numbers of the rows that it serves.
"""

from __future__ import annotations

from typing import Any, Literal, NamedTuple, get_args

import numpy as np
from numpy.typing import NDArray

from freewalk.kernels.cpu.blocks import COLUMNS, ROWS, SINGLE, WORDS, A, B, Blocks, layers_in_order
from freewalk.kernels.cpu.factors import factor_source, write_orthogonal
from freewalk.kernels.cpu.functions import box_muller
from freewalk.kernels.cpu.noise import Words, words_of, words_of_blocks
from freewalk.kernels.cpu.products import BLOCK
from freewalk.kernels.machine.jit import choice, helper_function, inline_function
from freewalk.kernels.machine.lanes import (
    LANES,
    F32x16,
    U32x16,
    bits_of,
    float_from_bits,
    load_f32,
    load_u64,
    shift_right_joined,
    splat_f32,
    splat_u32,
    splat_u64,
    store,
    store_half,
)
from freewalk.kernels.model.directions import Block, blocks_of, words_of_block
from freewalk.kernels.model.network import FreeNetwork
from freewalk.kernels.model.noise import NOISES, Noise, Stream
from freewalk.kernels.model.walk import WalkConfiguration

_A, _B, _COLUMNS, _ROWS, _WORDS = A, B, COLUMNS, ROWS, WORDS
_BLOCK = BLOCK
_PERTURBATIONS, _ORTHOGONAL = np.uint64(Stream.PERTURBATIONS), np.uint64(Stream.ORTHOGONAL)
_SIGN, _ONE_BITS = np.uint32(0x80000000), np.uint32(0x3F800000)
_ZERO = np.float32(0.0)
_LANES = LANES
_HALF = LANES // 2
ORTHOGONAL = len(NOISES)
Kind = Noise | Literal["orthogonal"]


class Units(NamedTuple):
    """Where full perturbations come from, and where they go; blocks of weights as in `Blocks.layers`."""

    kind: int  # one of NOISE_CODES, or their number for orthogonal perturbations
    seed: np.uint64
    round_keys: NDArray[np.uint64]  # (20,)
    n_a: int  # rows of all blocks
    bases: NDArray[np.float32]  # as in FactorSource
    n_from: int
    blocks: NDArray[np.int64]  # (n_blocks, 9), layers, or the blocks that a mask of another kind makes
    rows: NDArray[np.int64]  # (n_a,) of the matrix
    columns: NDArray[np.int64]  # (n_b,)
    row_at: NDArray[np.int64]  # (n_a,), a weight lies at row_at + column_at
    column_at: NDArray[np.int64]  # (n_b,)
    side_by_side: int  # whether a block's columns are
    dead: NDArray[np.int64]  # (n,) positions where a mask allows no weight, which are drawn none the less


class Lanes(NamedTuple):
    """Scratch memory of drawing, one row a worker; or the rows of one worker."""

    indices: NDArray[np.uint64]  # (workers, LANES), of even lanes, then of odd ones
    words: NDArray[np.float32]  # (workers, 6 * LANES), a block's words or normals, then numbers of lanes
    a: NDArray[np.float32]  # (workers, n_a * LANES), of orthogonal perturbations, a column for each
    b: NDArray[np.float32]  # (workers, n_b * LANES)


def make_units(
    network: FreeNetwork,
    mask: NDArray[np.bool_] | None,
    blocks: Blocks,
    configuration: WalkConfiguration,
    seed: int,
) -> Units:
    """Return where a walk's perturbations come from; `blocks` are the layers in which its weights lie."""
    orthogonal = configuration.directions == "orthogonal"
    are_layers = layers_in_order(network, mask, configuration.timesteps) is not None
    numbered = blocks_of(network, mask if are_layers or orthogonal else None)
    table = blocks.layers if are_layers else _table_of(numbered)
    nothing = np.zeros(0, dtype=np.int64)
    rows, columns = (np.concatenate([nothing, *(block[k] for block in numbered)]) for k in range(2))
    row_at, column_at = rows * BLOCK, columns // BLOCK * network.n_from * BLOCK + columns % BLOCK
    if are_layers:
        for layer in table:
            n, j = layer[ROWS], np.arange(layer[COLUMNS])
            row_at[layer[A] : layer[A] + n] = np.arange(n) * BLOCK
            column_at[layer[B] : layer[B] + len(j)] = layer[SINGLE] + j // BLOCK * n * BLOCK + j % BLOCK
    dead = nothing
    if not are_layers and not orthogonal:
        i, j = np.nonzero(~mask)  # type: ignore[operator]
        dead = row_at[i] + column_at[j]
    own = blocks._replace(layers=table, n_a=len(rows), n_b=len(columns))
    source = factor_source(own, configuration.noise, 1, configuration.directions, seed)
    return Units(
        source.kind,
        source.seed,
        source.round_keys,
        source.n_a,
        source.bases,
        network.n_from,
        table,
        rows,
        columns,
        row_at,
        column_at,
        int(are_layers or not orthogonal),
        dead,
    )


def _table_of(numbered: tuple[Block, ...]) -> NDArray[np.int64]:
    """Return what drawing wants to know of blocks that are no layers."""
    table = np.zeros((len(numbered), 9), dtype=np.int64)
    first_a = first_b = words = 0
    for row, block in zip(table, numbered, strict=True):
        n, m = block.shape
        row[[ROWS, COLUMNS, A, B, WORDS]] = n, m, first_a, first_b, words
        first_a, first_b, words = first_a + n, first_b + m, words + words_of_block(n, m)
    return table


def make_lanes(units: Units, workers: int) -> Lanes:
    """Allocate scratch memory for `workers` threads."""
    n_a, n_b = (len(values) if units.kind == ORTHOGONAL else 0 for values in (units.rows, units.columns))
    return Lanes(
        np.zeros((workers, LANES), dtype=np.uint64),
        np.zeros((workers, 6 * LANES), dtype=np.float32),
        np.zeros((workers, n_a * LANES), dtype=np.float32),
        np.zeros((workers, (n_b + LANES) * LANES), dtype=np.float32),
    )


@inline_function
def lanes_of(lanes: Lanes, worker: int) -> Lanes:
    """Return one worker's arrays."""
    return Lanes(lanes.indices[worker], lanes.words[worker], lanes.a[worker], lanes.b[worker])


# What a block of words gives ------------------------------------------------------------------------------------------


@inline_function
def _keep_normals(words: Words, scratch: NDArray[np.float32]) -> None:
    z0, z1 = box_muller(words[0], words[1])
    z2, z3 = box_muller(words[2], words[3])
    store(scratch, 0, z0)
    store(scratch, _LANES, z1)
    store(scratch, 2 * _LANES, z2)
    store(scratch, 3 * _LANES, z3)


@inline_function
def _normal(scratch: NDArray[np.float32], row: int) -> F32x16:
    return load_f32(scratch, row * _LANES)


@inline_function
def _keep_words(words: Words, scratch: NDArray[np.float32]) -> None:
    store(scratch, 0, words[0])
    store(scratch, _LANES, words[1])
    store(scratch, 2 * _LANES, words[2])
    store(scratch, 3 * _LANES, words[3])


@inline_function
def _sign_bits(scratch: NDArray[np.float32], row: int) -> U32x16:
    """Return the bits of a row, in the place of signs."""
    word = bits_of(load_f32(scratch, (row >> 5) * _LANES))
    return shift_right_joined(word, word, (row & 31) + 1) & splat_u32(_SIGN)


@inline_function
def _sign(scratch: NDArray[np.float32], row: int) -> F32x16:
    return float_from_bits(_sign_bits(scratch, row) | splat_u32(_ONE_BITS))


# Drawing --------------------------------------------------------------------------------------------------------------


@inline_function
def _write_lanes(first: int, step: int, indices: NDArray[np.uint64]) -> None:
    """Write first, first + step, ...: of the even lanes, then of the odd ones."""
    for lane in range(_LANES):
        indices[lane // 2 + lane % 2 * _HALF] = np.uint64(first + lane * step)


def _make_draw(kind: Kind) -> Any:
    """Return the compiled function that writes a kind's perturbations first .. first + 15, a lane each."""
    orthogonal = kind == "orthogonal"
    keep, value, of_a_block, stream = _parts_of(kind)
    shift = of_a_block.bit_length() - 1

    @helper_function
    def draw_kind(units: Units, step: int, first: int, lanes: Lanes, out: NDArray[np.float32], at: int) -> None:
        keys, indices, scratch, a, b = units.round_keys, lanes.indices, lanes.words, lanes.a, lanes.b
        rows, columns, blocks = units.rows, units.columns, units.blocks
        row_at, column_at = units.row_at, units.column_at
        _write_lanes(first, 1, indices)
        for block in range(len(blocks)):
            n, m, first_a, first_b = blocks[block, _ROWS], blocks[block, _COLUMNS], blocks[block, _A], blocks[block, _B]
            of_a_column, word = (units.n_from + of_a_block - 1) // of_a_block, 0
            if orthogonal:
                of_a_column, word = (n + of_a_block - 1) // of_a_block, blocks[block, _WORDS]
                word += 1 + of_a_column + (m + of_a_block - 1) // of_a_block + (n * m + of_a_block - 1) // of_a_block
                for lane in range(_LANES):
                    at_a, at_b = first_a * _LANES + lane, first_b * _LANES + lane
                    set_ = write_orthogonal(units, blocks, block, first + lane, step, a, at_a, b, at_b, _LANES)
                    indices[lane // 2 + lane % 2 * _HALF] = np.uint64(set_)
            even, odd = load_u64(indices, 0), load_u64(indices, _HALF)
            for j in range(m):
                which = word + (j if orthogonal else columns[first_b + j]) * of_a_column
                current = -1
                for i in range(n):
                    row = i if orthogonal else rows[first_a + i]
                    if row >> shift != current:
                        current = row >> shift
                        keep(words_of(which + current, even, odd, step, stream, keys), scratch)
                    number = value(scratch, row & (of_a_block - 1))
                    if orthogonal:
                        own = load_f32(a, (first_a + i) * _LANES) * load_f32(b, (first_b + j) * _LANES)
                        number = float_from_bits(bits_of(own) ^ number)
                    store(out, at + (row_at[first_a + i] + column_at[first_b + j]) * _LANES, number)

    return draw_kind


def _make_draw_one(kind: Kind) -> Any:
    """Return the compiled function that writes one perturbation of a kind, sixteen columns at a time."""
    orthogonal = kind == "orthogonal"
    keep, value, of_a_block, stream = _parts_of(kind)
    shift = of_a_block.bit_length() - 1

    @helper_function
    def draw_kind(units: Units, step: int, index: int, lanes: Lanes, out: NDArray[np.float32]) -> None:
        keys, indices, scratch, a, b = units.round_keys, lanes.indices, lanes.words, lanes.a, lanes.b
        rows, columns, blocks = units.rows, units.columns, units.blocks
        row_at, column_at = units.row_at, units.column_at
        for block in range(len(blocks)):
            n, m, first_a, first_b = blocks[block, _ROWS], blocks[block, _COLUMNS], blocks[block, _A], blocks[block, _B]
            of_a_column, word, which = (units.n_from + of_a_block - 1) // of_a_block, 0, index
            if orthogonal:
                of_a_column, word = (n + of_a_block - 1) // of_a_block, blocks[block, _WORDS]
                word += 1 + of_a_column + (m + of_a_block - 1) // of_a_block + (n * m + of_a_block - 1) // of_a_block
                which = write_orthogonal(units, blocks, block, index, step, a, first_a, b, first_b, 1)
            for j in range(0, m, _LANES):
                left = min(_LANES, m - j)
                for lane in range(_LANES):  # those beyond the last column draw its numbers, and get zeros
                    column = j + min(lane, left - 1)
                    if not orthogonal:
                        column = columns[first_b + column]
                    indices[lane // 2 + lane % 2 * _HALF] = np.uint64(word + column * of_a_column)
                    scratch[4 * _LANES + lane] = np.float32(lane < left)
                even, odd, live = load_u64(indices, 0), load_u64(indices, _HALF), load_f32(scratch, 4 * _LANES)
                current = -1
                for i in range(n):
                    row = i if orthogonal else rows[first_a + i]
                    if row >> shift != current:
                        current = row >> shift
                        more = splat_u64(np.uint64(current))
                        keep(words_of_blocks(even + more, odd + more, which, step, stream, keys), scratch)
                    number = value(scratch, row & (of_a_block - 1))
                    if orthogonal:
                        own = splat_f32(a[first_a + i]) * load_f32(b, first_b + j)
                        number = float_from_bits(bits_of(own) ^ number)
                    number = number * live
                    to = row_at[first_a + i]
                    if units.side_by_side:
                        store_half(out, to + column_at[first_b + j], number, 0)
                        if left > _HALF:
                            store_half(out, to + column_at[first_b + j + _HALF], number, 1)
                    else:
                        store(scratch, 5 * _LANES, number)
                        for lane in range(left):
                            out[to + column_at[first_b + j + lane]] = scratch[5 * _LANES + lane]

    return draw_kind


def _parts_of(kind: Kind) -> tuple[Any, Any, int, np.uint64]:
    """Return how words are kept and turned into numbers, the rows that a block of them serves, and their stream."""
    if kind == "orthogonal":
        return _keep_words, _sign_bits, NOISES["rademacher"].rows, _ORTHOGONAL
    keep, value = {"gaussian": (_keep_normals, _normal), "rademacher": (_keep_words, _sign)}[kind]
    return keep, value, NOISES[kind].rows, _PERTURBATIONS


_KINDS: list[Kind] = [*get_args(Noise), "orthogonal"]
_draw_sixteen = choice([_make_draw(kind) for kind in _KINDS])
_draw_one = choice([_make_draw_one(kind) for kind in _KINDS])


@inline_function
def draw_sixteen(
    units: Units,
    step: int,
    first: int,  # perturbation
    lanes: Lanes,  # SCRATCH
    out: NDArray[np.float32],  # OUT from `at`: (n_padded, LANES)
    at: int,
) -> None:
    """Write the unit perturbations first .. first + 15, a lane each; zero where a mask allows no weight."""
    _draw_sixteen(units.kind, units, step, first, lanes, out, at)
    dead = units.dead
    for k in range(len(dead)):
        store(out, at + dead[k] * _LANES, splat_f32(_ZERO))


@inline_function
def draw_one(
    units: Units,
    step: int,
    index: int,
    lanes: Lanes,  # SCRATCH
    out: NDArray[np.float32],  # OUT (n_padded,)
) -> None:
    """Write one unit perturbation; zero where a mask allows no weight."""
    _draw_one(units.kind, units, step, index, lanes, out)
    dead = units.dead
    for k in range(len(dead)):
        out[dead[k]] = _ZERO
