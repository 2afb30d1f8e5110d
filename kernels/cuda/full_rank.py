"""Full perturbations: noise is drawn again wherever it is needed; a tile's pairs have one perturbation and share it.

A thread owns a column for all pairs of the tile. Rows are drawn in groups, which structure.py lists, so that rows
without a weight cost nothing unless they share a group with one that has some.
"""

from __future__ import annotations

import math
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from freewalk.kernels.cuda.forward import make_activation, make_rate
from freewalk.kernels.cuda.functions import philox, sign
from freewalk.kernels.cuda.jit import cuda, cuda_kernel, device_function, types
from freewalk.kernels.cuda.layout import BATCH_SIZE, DATAPOINTS, INDEX, LOSS, SEED, STEP
from freewalk.kernels.cuda.noise import draw_of, keys, make_values
from freewalk.kernels.cuda.room import Room, make_activation_at, make_input_at
from freewalk.kernels.cuda.rounds import chunks_of
from freewalk.kernels.cuda.structure import (
    COLUMN,
    COLUMN_END,
    FULL_SIGNS,
    GROUP,
    GROUP_END,
    INPUT_GROUP_END,
    NEEDED,
    ROW,
    ROW_END,
    SIGN_ROWS,
)
from freewalk.kernels.cuda.vectors import sign_blocks
from freewalk.kernels.model.directions import SIGNS_OF_A_BLOCK
from freewalk.kernels.model.noise import Kind, Stream

_ZERO = np.float32(0.0)
_ORTHOGONAL = np.uint32(Stream.ORTHOGONAL)
_FLUSH = 32  # perturbations that are summed in float32 before they go into a float64


def rows_of_a_group(noise: Kind, *, orthogonal: bool) -> int:
    """Return how many numbers of a column a thread draws at a time."""
    return SIGN_ROWS if orthogonal else draw_of(noise).rows


@cache
def make_fill(noise: Kind, *, orthogonal: bool) -> Any:
    """Return a device function that draws a perturbation's numbers for a column and a group of rows."""
    n = rows_of_a_group(noise, orthogonal=orthogonal)
    _, values = make_values(noise)

    @device_function
    def fill_independent(
        noise: Any,
        k0: np.uint32,
        k1: np.uint32,
        blocks: NDArray[np.int32],
        lists: NDArray[np.int32],
        vectors: NDArray[np.float32],
        q: int,
        place: int,  # of the column in the list
        group: int,  # place of the group
        index: int,  # perturbation of the step
        item: int,  # the same, as counted from the first in `vectors`
        n_from: int,
        step: int,
    ) -> None:
        values(noise, k0, k1, n_from, int(lists[group]), int(lists[place]), index, step)

    @device_function
    def fill_orthogonal(
        noise: Any,
        k0: np.uint32,
        k1: np.uint32,
        blocks: NDArray[np.int32],
        lists: NDArray[np.int32],
        vectors: NDArray[np.float32],
        q: int,
        place: int,
        group: int,
        index: int,
        item: int,
        n_from: int,
        step: int,
    ) -> None:
        row, column = int(blocks[q, ROW]), int(blocks[q, COLUMN])
        n_rows, n_columns = int(blocks[q, ROW_END] - row), int(blocks[q, COLUMN_END] - column)
        first = int(lists[group])
        where = blocks[q, FULL_SIGNS] + (place - column) * sign_blocks(n_rows) + first // SIGNS_OF_A_BLOCK
        of_set = np.uint32(index // (n_rows * n_columns))
        w0, w1, w2, w3 = philox(np.uint32(where), of_set, np.uint32(step), _ORTHOGONAL, k0, k1)
        part = first // n % 4
        word = w0 if part == 0 else w1 if part == 1 else w2 if part == 2 else w3
        right = vectors[item, place]
        for r in range(n):
            noise[r] = sign(word, r) * right * vectors[INDEX(item), INDEX(row + min(first + r, n_rows - 1))]

    return fill_orthogonal if orthogonal else fill_independent


def make_apply_own(room: Room) -> Any:
    """Return a device function that applies the layer once for a tile whose pairs have one full perturbation."""
    spec, pairs, n_sums = room.spec, room.pairs, room.pairs
    n_input, n_to, n_from, threads = spec.n_input, spec.n_to, spec.n_from, room.threads
    two_sided, second, leaky = spec.two_sided, room.passes == 2, spec.leak != 1
    tangent, rate_of = spec.tangent, make_rate(spec)
    orthogonal = room.family.orthogonal
    n = rows_of_a_group(spec.noise, orthogonal=orthogonal)
    fill = make_fill(spec.noise, orthogonal=orthogonal)
    input_at, activation_at, activation = make_input_at(room), make_activation_at(room), make_activation(spec)

    @device_function
    def apply_layer(
        t: int,
        remaining: int,
        buffer: int,  # of the inputs
        stddev: np.float32,
        weights: NDArray[np.float32],  # IN (n_weights,)
        blocks: NDArray[np.int32],  # IN (n_blocks, N_FIELDS)
        lists: NDArray[np.int32],  # IN
        vectors: NDArray[np.float32],  # IN (items, width)
        which: Any,  # IN SHARED (pairs,), each pair's perturbation, as counted from the first in `vectors`
        room: Any,  # INOUT (size,)
        k0: np.uint32,
        k1: np.uint32,
        first: int,  # perturbation in `vectors`
        step: int,
    ) -> None:
        noise = cuda.local.array(n, np.float32)
        plus = cuda.local.array(n_sums, np.float32)
        other = cuda.local.array(n_sums, np.float32)
        here, item = t & 1, which[0]
        for q in range(blocks.shape[0]):
            group_end = blocks[q, GROUP_END] if t > 0 else blocks[q, INPUT_GROUP_END]
            for k in range(cuda.threadIdx.x, lists[blocks[q, NEEDED] + remaining], threads):
                place = int(blocks[q, COLUMN] + k)
                column = int(lists[place])
                for p in range(pairs):
                    plus[p] = _ZERO
                    other[p] = _ZERO
                for group in range(blocks[q, GROUP], group_end, n + 1):
                    fill(noise, k0, k1, blocks, lists, vectors, q, place, group, first + item, item, n_from, step)
                    for r in range(n):
                        row = int(lists[INDEX(group + 1 + r)])
                        if row < 0 or (t == 0 and row > n_input):  # at first, all activations are zero
                            continue
                        weight, shift = weights[INDEX(row * n_to + column)], stddev * noise[r]
                        above, below = weight + shift, weight - shift if two_sided else weight
                        if row <= n_input:
                            at, apart = input_at(buffer, row), 0
                        else:
                            at, apart = activation_at(here, row - n_input - 1), pairs
                        for p in range(pairs):
                            if tangent:
                                plus[p] += shift * room[INDEX(at + apart + p)]
                                if apart > 0:
                                    plus[p] += weight * room[INDEX(at + p)]
                            else:
                                plus[p] += above * room[INDEX(at + p)]
                            if second:
                                other[p] += below * room[INDEX(at + apart + p)]
                to, before = activation_at(1 - here, column), activation_at(here, column)
                for p in range(pairs):
                    kept = room[INDEX(before + p)] if leaky and t > 0 else _ZERO
                    if tangent:
                        room[INDEX(to + p)] = rate_of(other[p], plus[p], column, kept)
                    else:
                        room[INDEX(to + p)] = activation(plus[p], column, kept)
                    if second:
                        kept = room[INDEX(before + pairs + p)] if leaky and t > 0 else _ZERO
                        room[INDEX(to + pairs + p)] = activation(other[p], column, kept)

    return apply_layer


@cache
def make_accumulate_full(noise: Kind, *, orthogonal: bool) -> Any:
    """Return a kernel on a grid of (owners, chunks of perturbations, slots)."""
    n = rows_of_a_group(noise, orthogonal=orthogonal)
    fill = make_fill(noise, orthogonal=orthogonal)

    @cuda_kernel
    def accumulate(
        order: NDArray[np.int32],  # IN (slots,), the trial of each slot
        sizes: NDArray[np.int64],  # IN (n_trials, N_SIZES)
        blocks: NDArray[np.int32],  # IN (n_blocks, N_FIELDS)
        lists: NDArray[np.int32],  # IN
        owners: NDArray[np.int32],  # IN (n_owners, 3): block, place of a column, place of a group
        vectors: NDArray[np.float32],  # IN (slots, items, width)
        coefficients: NDArray[np.float32],  # IN (slots, perturbations)
        results: NDArray[np.float64],  # IN (n_trials, N_RESULTS)
        partial: NDArray[np.float64],  # INOUT (slots, chunks, n_weights)
        offset: int,
        begin: int,  # perturbations begin .. end - 1 of the step
        end: int,
        n_from: int,
        n_to: int,
        most_chunks: int,
        most: int,
    ) -> None:
        noise = cuda.local.array(n, np.float32)
        sums = cuda.local.array(n, np.float32)
        chunk, slot = cuda.blockIdx.y, cuda.blockIdx.z
        owner = cuda.blockIdx.x * cuda.blockDim.x + cuda.threadIdx.x
        trial = order[slot]
        count = sizes[trial, BATCH_SIZE] // sizes[trial, DATAPOINTS]
        last, chunks = min(end, count), chunks_of(count, most_chunks, most)
        if owner >= owners.shape[0] or chunk >= chunks or begin >= last or not math.isfinite(results[trial, LOSS]):
            return
        q, place, group = owners[owner, 0], int(owners[owner, 1]), int(owners[owner, 2])
        column = int(lists[place])
        k0, k1 = keys(sizes[trial, SEED])
        step = sizes[trial, STEP] + offset
        first, after = (last - begin) * chunk // chunks, (last - begin) * (chunk + 1) // chunks
        for r in range(n):
            row = int(lists[group + 1 + r])
            if row >= 0 and begin == 0:
                partial[slot, chunk, row * n_to + column] = 0.0
        for some in range(first, after, _FLUSH):
            for r in range(n):
                sums[r] = _ZERO
            for item in range(some, min(some + _FLUSH, after)):
                index = begin + item
                fill(noise, k0, k1, blocks, lists, vectors[slot], q, place, group, index, item, n_from, step)
                for r in range(n):
                    sums[r] += coefficients[slot, index] * noise[r]
            for r in range(n):
                row = int(lists[group + 1 + r])
                if row >= 0:
                    partial[slot, chunk, row * n_to + column] += np.float64(sums[r])

    return accumulate


ACCUMULATE = types.void(
    *(types.int32[::1], types.int64[:, ::1], types.int32[:, ::1], types.int32[::1], types.int32[:, ::1]),
    *(types.float32[:, :, ::1], types.float32[:, ::1], types.float64[:, ::1], types.float64[:, :, ::1]),
    *[types.int64] * 7,
)
"""Signature of the kernel."""
