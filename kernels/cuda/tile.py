"""The losses of a step: a block runs a tile of pairs of a perturbation and a datapoint through all timesteps.

The pairs of a step are numbered perturbation by perturbation. Where weights are shared (low_rank.py), a tile takes the
next pairs whatever their perturbations; where each has weights of its own (full_rank.py), those of one perturbation.
"""

from __future__ import annotations

import math
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from freewalk.kernels.cuda.forward import make_loss, make_loss_slope
from freewalk.kernels.cuda.full_rank import make_apply_own
from freewalk.kernels.cuda.functions import exp
from freewalk.kernels.cuda.jit import cuda, cuda_kernel, device_function, types
from freewalk.kernels.cuda.layout import (
    ARGUMENT,
    BATCH_SIZE,
    DATAPOINTS,
    LOSS,
    SEED,
    SHARED,
    STDDEV,
    STEP,
    TIMESTEPS,
)
from freewalk.kernels.cuda.low_rank import make_apply_shared
from freewalk.kernels.cuda.noise import keys
from freewalk.kernels.cuda.room import ALIGNMENT, Room, make_activation_at, make_input_at
from freewalk.kernels.model.noise import Stream

_ZERO, _ONE = np.float32(0.0), np.float32(1.0)
_DATA = np.uint32(Stream.DATA)


@cache
def make_losses(room: Room) -> Any:
    """Return a kernel on a grid of (blocks, slots)."""
    spec, pairs, states, is_shared = room.spec, room.pairs, room.states, room.is_shared
    shared_size = room.size if is_shared else 1
    n_input, threads = spec.n_input, room.threads
    sequence_input, sequence_output, perturbed = spec.sequence_input, spec.sequence_output, room.perturbed
    of_one_perturbation = perturbed and room.family.rank == 0
    apply_layer = make_apply_own(room) if of_one_perturbation else make_apply_shared(room)
    input_at, activation_at = make_input_at(room), make_activation_at(room)
    row_loss = _make_row_loss(room)
    datapoint = device_function(spec.datapoint)

    @device_function
    def load_inputs(x: NDArray[np.float32], row: int, buffer: int, room: Any) -> None:
        for k in range(cuda.threadIdx.x, n_input * pairs, threads):
            room[input_at(buffer, k // pairs) + k % pairs] = x[k % pairs, row, k // pairs]

    @device_function
    def pairs_of(tile: int, begin: int, end: int, datapoints: int) -> tuple[int, int]:
        """Return the first pair of a tile of the perturbations begin .. end - 1, and how many it has; 0: no tile."""
        if of_one_perturbation:
            tiles = (datapoints + pairs - 1) // pairs
            perturbation = begin + tile // tiles
            first = perturbation * datapoints + tile % tiles * pairs
            return first, (min(pairs, (perturbation + 1) * datapoints - first) if perturbation < end else 0)
        first = begin * datapoints + tile * pairs
        return first, max(0, min(pairs, end * datapoints - first))

    @cuda_kernel
    def losses(
        order: NDArray[np.int32],  # IN (slots,), the trial of each slot
        sizes: NDArray[np.int64],  # IN (n_trials, N_SIZES)
        numbers: NDArray[np.float64],  # IN (n_trials, N_NUMBERS)
        single: NDArray[np.float32],  # IN (n_trials, n_weights)
        blocks: NDArray[np.int32],  # IN (n_blocks, N_FIELDS)
        lists: NDArray[np.int32],  # IN
        vectors: NDArray[np.float32],  # IN (slots, items, width)
        x: NDArray[np.float32],  # SCRATCH (blocks, pairs, input_rows, n_input)
        y: NDArray[np.float32],  # SCRATCH (blocks, pairs, output_rows, n_output)
        scratch: NDArray[np.float32],  # SCRATCH (blocks, size), or anything where the room is shared
        found: NDArray[np.float32],  # OUT (slots, 2, pairs of a step): perturbed, other
        results: NDArray[np.float64],  # IN (n_trials, N_RESULTS)
        offset: int,
        begin: int,  # perturbations begin .. end - 1 of the step
        end: int,
    ) -> None:
        which = cuda.shared.array(pairs, np.int64)
        summed = cuda.shared.array(states, np.float32)
        slot, thread = cuda.blockIdx.y, cuda.threadIdx.x
        block = slot * cuda.gridDim.x + cuda.blockIdx.x
        trial = order[slot]
        if not math.isfinite(results[trial, LOSS]):
            return
        timesteps, datapoints, seed = sizes[trial, TIMESTEPS], sizes[trial, DATAPOINTS], sizes[trial, SEED]
        step = sizes[trial, STEP] + offset
        last = min(end, sizes[trial, BATCH_SIZE] // datapoints)
        stddev = np.float32(numbers[trial, STDDEV])
        k0, k1 = keys(seed)
        room = cuda.shared.array(shared_size, np.float32, ALIGNMENT) if is_shared else scratch[block]
        for k in range(thread, pairs, threads):
            room[input_at(0, n_input) + k] = _ONE
            if sequence_input:
                room[input_at(1, n_input) + k] = _ONE
        tile = cuda.blockIdx.x
        first, n = pairs_of(tile, begin, last, datapoints)
        while n > 0:
            for k in range(thread, pairs, threads):
                pair = first + min(k, n - 1)  # a pair too many repeats the last
                which[k] = pair // datapoints - begin
                datapoint(
                    np.uint64(seed),
                    _DATA,
                    np.uint32(step),
                    pair % datapoints if sizes[trial, SHARED] else pair,
                    timesteps,
                    sizes[trial, ARGUMENT],
                    x[block, k],
                    y[block, k],
                )
            for k in range(thread, states, threads):
                summed[k] = _ZERO
            cuda.syncthreads()
            load_inputs(x[block], 0, 0, room)
            cuda.syncthreads()
            for t in range(timesteps):
                remaining, buffer = timesteps - 1 - t, (t & 1 if sequence_input else 0)
                apply_layer(
                    t,
                    remaining,
                    buffer,
                    stddev,
                    single[trial],
                    blocks,
                    lists,
                    vectors[slot],
                    which,
                    room,
                    k0,
                    k1,
                    begin,
                    step,
                )
                if sequence_input and remaining > 0:
                    load_inputs(x[block], t + 1, 1 - buffer, room)
                cuda.syncthreads()
                if sequence_output or remaining == 0:
                    for k in range(thread, states, threads):
                        row = t if sequence_output else 0
                        summed[k] += row_loss(room, activation_at(1 - (t & 1), 0), k, y[block, k % pairs], row)
            for k in range(thread, states, threads):
                if k % pairs < n:
                    found[slot, k // pairs if perturbed else 1, first + k % pairs] = summed[k]
            cuda.syncthreads()
            tile += cuda.gridDim.x
            first, n = pairs_of(tile, begin, last, datapoints)

    return losses


def _make_row_loss(room: Room) -> Any:
    """Return a device function that gives the loss of one state's outputs; those of a neuron lie `states` apart.

    Of a state of derivatives it gives the loss of the plain one and its derivative.
    """
    n_output, softmax, states = room.spec.n_output, room.spec.softmax, room.states
    logits = room.spec.of_outputs != "sigmoid"
    loss_of, slope_of = make_loss(room.spec), make_loss_slope(room.spec)
    tangent, pairs = room.spec.tangent and room.perturbed, room.pairs

    @device_function
    def plain_loss(room: Any, at: int, y: NDArray[np.float32], row: int) -> np.float32:
        total, summed, highest = _ZERO, _ZERO, _ZERO
        if softmax:
            if logits:  # sigmoids lie in [0, 1]
                highest = room[at]
                for k in range(n_output):
                    highest = max(highest, room[at + k * states])
            for k in range(n_output):
                total += exp(room[at + k * states] - highest)
        for k in range(n_output):
            output = room[at + k * states]
            if softmax:
                output = exp(output - highest) / total
            summed += loss_of(output, y[row, k])
        return summed

    @device_function
    def output_at(room: Any, at: int, k: int) -> Any:
        """Return an output, or its share of the softmax."""
        output = room[at + k * states]
        if softmax:
            total, highest = _ZERO, _ZERO
            if logits:
                highest = room[at]
                for j in range(n_output):
                    highest = max(highest, room[at + j * states])
            for j in range(n_output):
                total += exp(room[at + j * states] - highest)
            output = exp(output - highest) / total
        return output

    @device_function
    def loss_at(room: Any, first: int, state: int, y: NDArray[np.float32], row: int) -> np.float32:
        return plain_loss(room, first + state, y, row)

    @device_function
    def linear_loss(room: Any, first: int, state: int, y: NDArray[np.float32], row: int) -> np.float32:
        at = first + state
        if state >= pairs:
            return plain_loss(room, at, y, row)
        mean, plain = _ZERO, at + pairs
        summed = plain_loss(room, plain, y, row)
        if softmax:
            for k in range(n_output):
                mean += output_at(room, plain, k) * room[at + k * states]
        for k in range(n_output):
            summed += slope_of(output_at(room, plain, k), room[at + k * states], mean, y[row, k])
        return summed

    return linear_loss if tangent else loss_at


LOSSES = types.void(
    *(types.int32[::1], types.int64[:, ::1], types.float64[:, ::1], types.float32[:, ::1]),
    *(types.int32[:, ::1], types.int32[::1], types.float32[:, :, ::1]),
    *(types.float32[:, :, :, ::1], types.float32[:, :, :, ::1], types.float32[:, ::1]),
    *(types.float32[:, :, ::1], types.float64[:, ::1], types.int64, types.int64, types.int64),
)
"""Signature of the kernel."""
