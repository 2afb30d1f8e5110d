"""Perturbations of low rank: all pairs of a tile share the weights, (W + s D)ᵀu = Wᵀu + s/sqrt(r) Σ_i b_i (a_i·u).

A thread owns one or two columns for all pairs of the tile, so a block loads each weight once a timestep. The update is
one product of all left and all right vectors, in squares of 4 by 4 numbers a thread.
"""

from __future__ import annotations

import math
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from freewalk.kernels.cuda.forward import make_activation, make_rate
from freewalk.kernels.cuda.jit import cuda, cuda_kernel, device_function, types
from freewalk.kernels.cuda.layout import BATCH_SIZE, DATAPOINTS, INDEX, LOSS
from freewalk.kernels.cuda.room import ALIGNMENT, Room, make_activation_at, make_input_at
from freewalk.kernels.cuda.rounds import chunks_of
from freewalk.kernels.cuda.structure import COLUMN, INPUT_END, NEEDED, ROW, ROW_END

_ZERO = np.float32(0.0)
_ROWS = 4  # whose weights are on their way at once
_OWN = 4  # rows, and columns, of a thread of `accumulate`
_ITEMS = 32  # products that a block of `accumulate` holds at a time, and sums in float32


def make_apply_shared(room: Room) -> Any:
    """Return a device function that applies the layer once for a tile, with shared weights.

    It adds perturbations of low rank, or none if the room's tile is not perturbed.
    """
    spec, pairs, rank = room.spec, room.pairs, room.rank
    n_input, n_to, whole, threads = spec.n_input, spec.n_to, not spec.masked, room.threads
    two_sided, second, leaky = spec.two_sided, room.passes == 2, spec.leak != 1
    tangent, rate_of = spec.tangent and room.perturbed, make_rate(spec)
    entering = pairs if tangent else 0  # the state that left vectors are multiplied with
    products, parts, products_at = room.products, room.parts, room.products_at
    sides = 2 if two_sided else 1
    own = room.columns_of_a_thread
    n_sums = own * pairs
    input_at, activation_at, activation = make_input_at(room), make_activation_at(room), make_activation(spec)

    @device_function
    def row_at(lists: NDArray[np.int32], place: int) -> Any:
        return place if whole else int(lists[INDEX(place)])

    @device_function
    def column_at(lists: NDArray[np.int32], first: int, place: int) -> Any:
        return place - first if whole else int(lists[INDEX(place)])

    @device_function
    def multiply_left(
        here: int,
        buffer: int,
        row: int,
        input_end: int,
        row_end: int,
        lists: NDArray[np.int32],
        vectors: NDArray[np.float32],
        which: Any,
        room: Any,
    ) -> None:
        """Leave the products of each pair's left vectors and what enters the layer; the block meets twice."""
        thread = cuda.threadIdx.x
        pair, part = thread % pairs, thread // pairs
        if part < parts:
            for i in range(rank):
                item = INDEX(which[INDEX(pair)] * rank + i)
                plus = _ZERO
                for place in range(row + part, input_end, parts):
                    at = input_at(buffer, row_at(lists, place)) + pair
                    plus += vectors[item, INDEX(place)] * room[INDEX(at)]
                other = plus
                for place in range(input_end + part, row_end, parts):
                    at = activation_at(here, row_at(lists, place) - n_input - 1) + pair
                    plus += vectors[item, INDEX(place)] * room[INDEX(at + entering)]
                    if two_sided:
                        other += vectors[item, INDEX(place)] * room[INDEX(at + pairs)]
                to = products_at + (1 + part) * products + i * sides * pairs + pair
                room[INDEX(to)] = plus
                if two_sided:
                    room[INDEX(to + pairs)] = other
        cuda.syncthreads()
        for k in range(thread, products, threads):
            summed = _ZERO
            for part in range(parts):
                summed += room[INDEX(products_at + (1 + part) * products + k)]
            room[INDEX(products_at + k)] = summed
        cuda.syncthreads()

    def make_add_rows(n: int, *, of_inputs: bool) -> Any:
        """Return a device function that adds the next n rows: all their weights are on their way at once."""
        n_loaded, first = n * own, 0 if of_inputs else n_input + 1
        state_at = input_at if of_inputs else activation_at

        @device_function
        def add_rows(
            plus: Any,  # INOUT (own * pairs,)
            other: Any,  # INOUT (own * pairs,), of inputs the same and not used
            weights: NDArray[np.float32],  # IN (n_weights,)
            columns: Any,  # IN (own,)
            lists: NDArray[np.int32],  # IN
            room: Any,  # IN
            buffer: int,
            place: int,
        ) -> None:
            loaded = cuda.local.array(n_loaded, np.float32)
            for r in range(n):
                for j in range(own):
                    loaded[r * own + j] = weights[INDEX(row_at(lists, place + r) * n_to + columns[j])]
            for r in range(n):
                at = state_at(buffer, row_at(lists, place + r) - first)
                for p in range(pairs):
                    value = room[INDEX(at + p)]
                    for j in range(own):
                        plus[j * pairs + p] += loaded[r * own + j] * value
                    if second and not of_inputs:
                        value = room[INDEX(at + pairs + p)]
                        for j in range(own):
                            other[j * pairs + p] += loaded[r * own + j] * value

        return add_rows

    add_inputs, add_input = make_add_rows(_ROWS, of_inputs=True), make_add_rows(1, of_inputs=True)
    add_neurons, add_neuron = make_add_rows(_ROWS, of_inputs=False), make_add_rows(1, of_inputs=False)

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
        columns = cuda.local.array(own, np.int64)
        places = cuda.local.array(own, np.int64)
        plus = cuda.local.array(n_sums, np.float32)
        other = cuda.local.array(n_sums, np.float32)
        here, thread = t & 1, cuda.threadIdx.x
        scale = np.float32(np.float64(stddev) / math.sqrt(np.float64(max(rank, 1))))
        for q in range(blocks.shape[0]):
            needed = int(lists[blocks[q, NEEDED] + remaining])
            if needed == 0:
                continue
            row, input_end = int(blocks[q, ROW]), int(blocks[q, INPUT_END])
            row_end = int(blocks[q, ROW_END]) if t > 0 else input_end  # at first, all activations are zero
            column = int(blocks[q, COLUMN])
            if rank > 0:
                multiply_left(here, buffer, row, input_end, row_end, lists, vectors, which, room)
            for first_column in range(thread, needed, own * threads):
                for j in range(own):
                    places[j] = column + min(first_column + j * threads, needed - 1)
                    columns[j] = column_at(lists, column, places[j])
                for k in range(n_sums):
                    plus[k] = _ZERO
                last = row + (input_end - row) // _ROWS * _ROWS
                for place in range(row, last, _ROWS):
                    add_inputs(plus, other, weights, columns, lists, room, buffer, place)
                for place in range(last, input_end):
                    add_input(plus, other, weights, columns, lists, room, buffer, place)
                for k in range(n_sums):
                    other[k] = plus[k]
                    if tangent:
                        plus[k] = _ZERO
                last = input_end + (row_end - input_end) // _ROWS * _ROWS
                for place in range(input_end, last, _ROWS):
                    add_neurons(plus, other, weights, columns, lists, room, here, place)
                for place in range(last, row_end):
                    add_neuron(plus, other, weights, columns, lists, room, here, place)
                for i in range(rank):
                    at = products_at + i * sides * pairs
                    for p in range(pairs):
                        item = INDEX(which[p] * rank + i)
                        for j in range(own):
                            shift = scale * vectors[item, INDEX(places[j])]
                            plus[j * pairs + p] += shift * room[INDEX(at + p)]
                            if two_sided:
                                other[j * pairs + p] -= shift * room[INDEX(at + pairs + p)]
                for j in range(own):
                    if first_column + j * threads < needed:
                        to = activation_at(1 - here, columns[j])
                        before = activation_at(here, columns[j])
                        for p in range(pairs):
                            kept = room[INDEX(before + p)] if leaky and t > 0 else _ZERO
                            k = j * pairs + p
                            if tangent:
                                room[INDEX(to + p)] = rate_of(other[k], plus[k], columns[j], kept)
                            else:
                                room[INDEX(to + p)] = activation(plus[k], columns[j], kept)
                            if second:
                                kept = room[INDEX(before + pairs + p)] if leaky and t > 0 else _ZERO
                                room[INDEX(to + pairs + p)] = activation(other[k], columns[j], kept)

    return apply_layer


def threads_of(tile: int) -> int:
    """Return the threads of a block of the kernel that adds up so many rows and columns."""
    return (tile // _OWN) ** 2


@cache
def make_accumulate_vectors(tile: int) -> Any:
    """Return a kernel on a grid of (tiles, chunks of perturbations, slots)."""
    across, threads = tile // _OWN, threads_of(tile)
    n_sums, n_slab = _OWN * _OWN, _ITEMS * tile

    @cuda_kernel
    def accumulate(
        order: NDArray[np.int32],  # IN (slots,), the trial of each slot
        sizes: NDArray[np.int64],  # IN (n_trials, N_SIZES)
        lists: NDArray[np.int32],  # IN
        tiles: NDArray[np.int32],  # IN (n_tiles, 4): place and number of rows and of columns
        vectors: NDArray[np.float32],  # IN (slots, items, width)
        coefficients: NDArray[np.float32],  # IN (slots, perturbations)
        results: NDArray[np.float64],  # IN (n_trials, N_RESULTS)
        partial: NDArray[np.float64],  # INOUT (slots, chunks, n_weights)
        begin: int,  # perturbations begin .. end - 1 of the step
        end: int,
        rank: int,
        n_to: int,
        most_chunks: int,
        most: int,
    ) -> None:
        left = cuda.shared.array(n_slab, np.float32, ALIGNMENT)
        right = cuda.shared.array(n_slab, np.float32, ALIGNMENT)
        sums = cuda.local.array(n_sums, np.float32)
        totals = cuda.local.array(n_sums, np.float64)
        chunk, slot, thread = cuda.blockIdx.y, cuda.blockIdx.z, cuda.threadIdx.x
        trial = order[slot]
        n = sizes[trial, BATCH_SIZE] // sizes[trial, DATAPOINTS]
        last, chunks = min(end, n), chunks_of(n, most_chunks, most)
        if chunk >= chunks or begin >= last or not math.isfinite(results[trial, LOSS]):
            return
        row, n_rows = int(tiles[cuda.blockIdx.x, 0]), int(tiles[cuda.blockIdx.x, 1])
        column, n_columns = int(tiles[cuda.blockIdx.x, 2]), int(tiles[cuda.blockIdx.x, 3])
        own_row, own_column = thread // across * _OWN, thread % across * _OWN
        end_item = (last - begin) * (chunk + 1) // chunks * rank
        for k in range(n_sums):
            totals[k] = 0.0
        for first in range((last - begin) * chunk // chunks * rank, end_item, _ITEMS):
            for k in range(thread, _ITEMS * tile, threads):
                item, place = first + k // tile, k % tile
                a, b = _ZERO, _ZERO
                if item < end_item:
                    if place < n_rows:
                        a = coefficients[slot, begin + item // rank] * vectors[slot, INDEX(item), INDEX(row + place)]
                    if place < n_columns:
                        b = vectors[slot, INDEX(item), INDEX(column + place)]
                left[INDEX(k)] = a
                right[INDEX(k)] = b
            cuda.syncthreads()
            for k in range(n_sums):
                sums[k] = _ZERO
            for i in range(_ITEMS):
                for r in range(_OWN):
                    a = left[INDEX(i * tile + own_row + r)]
                    for c in range(_OWN):
                        sums[r * _OWN + c] += a * right[INDEX(i * tile + own_column + c)]
            for k in range(n_sums):
                totals[k] += np.float64(sums[k])
            cuda.syncthreads()
        for r in range(_OWN):
            for c in range(_OWN):
                if own_row + r < n_rows and own_column + c < n_columns:
                    position = int(lists[row + own_row + r]) * n_to + lists[column + own_column + c]
                    if begin > 0:
                        partial[slot, chunk, position] += totals[r * _OWN + c]
                    else:
                        partial[slot, chunk, position] = totals[r * _OWN + c]

    return accumulate


ACCUMULATE = types.void(
    *(types.int32[::1], types.int64[:, ::1], types.int32[::1], types.int32[:, ::1], types.float32[:, :, ::1]),
    *(types.float32[:, ::1], types.float64[:, ::1], types.float64[:, :, ::1]),
    *[types.int64] * 6,
)
"""Signature of the kernel."""
