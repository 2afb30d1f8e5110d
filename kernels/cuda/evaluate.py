"""Measures on held-out data with unperturbed weights: a block runs some datapoints of one trial, one after another."""

from __future__ import annotations

import math
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from freewalk.kernels.cuda.forward import make_layer, make_loss, make_read
from freewalk.kernels.cuda.jit import cuda, cuda_kernel, device_function, types
from freewalk.kernels.cuda.layout import ARGUMENT, SEED, TIMESTEPS, Spec
from freewalk.kernels.model.noise import Stream
from freewalk.kernels.model.walk import Evaluation

_ZERO, _HALF, _INFINITY = np.float32(0.0), np.float32(0.5), np.float32(np.inf)
_HELD_OUT = np.uint32(Stream.EVALUATION_DATA)
LOSS, BITS, ALL_BITS, ROWS, LARGEST, NOT_A_NUMBER, FOUND, CLASSES = range(8)
"""Columns of what a block measures: summed loss, outputs right, outputs that count, datapoints right, largest error,
NaN, classes found, and rows with a class."""
N_MEASURES = 8


@cache
def make_evaluate(spec: Spec, threads: int) -> Any:
    """Return a kernel on a grid of (blocks of one trial, trials)."""
    n_output, sequence_input, sequence_output = spec.n_output, spec.sequence_input, spec.sequence_output
    apply_layer = make_layer(spec, threads, perturbed=False)
    read, loss_of = make_read(spec), make_loss(spec)
    datapoint = device_function(spec.datapoint)

    @device_function
    def find_class(activations: Any, there: int, y: Any, y_row: int) -> tuple[int, int]:
        """Return (1 if the row's class is found, 1 if it has one); a softmax leaves the largest output the largest."""
        chosen, wanted, is_number = 0, 0, 1
        for k in range(n_output):
            output = activations[there, 1, k]
            if output != output:
                is_number = 0
            if output > activations[there, 1, chosen]:
                chosen = k
            if y[y_row, k] > y[y_row, wanted] or y[y_row, wanted] != y[y_row, wanted]:
                wanted = k
        if y[y_row, wanted] > _HALF:
            return (is_number if chosen == wanted else 0), 1
        return 0, 0

    @cuda_kernel
    def evaluate(
        order: NDArray[np.int32],  # IN (trials,)
        sizes: NDArray[np.int64],  # IN (n_trials, N_SIZES)
        single: NDArray[np.float32],  # IN (n_trials, n_weights)
        mask: NDArray[np.float32],  # IN (n_weights,), or (0,)
        x: NDArray[np.float32],  # SCRATCH (blocks * trials, 1, input_rows, n_input)
        y: NDArray[np.float32],  # SCRATCH (blocks * trials, 1, output_rows, n_output)
        activations: NDArray[np.float32],  # SCRATCH (blocks * trials, 2, 2, n_to)
        measures: NDArray[np.float64],  # OUT (trials, blocks, N_MEASURES)
        extremes: NDArray[np.float32],  # OUT (trials, blocks, 2, output_rows * n_output), lowest and highest
        n_datapoints: int,
    ) -> None:
        partial = cuda.shared.array((2, threads), np.float32)
        wrong = cuda.shared.array(threads, np.int32)
        uncounted = cuda.shared.array(threads, np.int32)
        blank = cuda.shared.array(threads, np.int32)
        block, blocks, thread = cuda.blockIdx.x, cuda.gridDim.x, cuda.threadIdx.x
        slot = cuda.blockIdx.y
        here = slot * blocks + block
        trial = order[slot]
        timesteps = sizes[trial, TIMESTEPS]
        output_rows = timesteps if sequence_output else 1
        for k in range(thread, output_rows * n_output, threads):
            extremes[slot, block, 0, k] = _INFINITY
            extremes[slot, block, 1, k] = -_INFINITY
        summed_loss, bits, all_bits, rows, blanks, found, classes = 0.0, 0, 0, 0, 0, 0, 0
        largest = _ZERO
        for index in range(block, n_datapoints, blocks):
            if thread == 0:
                datapoint(
                    np.uint64(sizes[trial, SEED]),
                    _HELD_OUT,
                    np.uint32(0),
                    index,
                    timesteps,
                    sizes[trial, ARGUMENT],
                    x[here, 0],
                    y[here, 0],
                )
            cuda.syncthreads()
            loss, error = _ZERO, _ZERO
            n_wrong, n_blank, n_uncounted = np.int32(0), np.int32(0), np.int32(0)
            for t in range(timesteps):
                is_last = t + 1 == timesteps
                x_row = t if sequence_input else 0
                apply_layer(
                    t, is_last, _ZERO, single[trial], mask, x[here, 0], x_row, activations[here], np.int64(0), 0, 0
                )
                cuda.syncthreads()
                if sequence_output or is_last:
                    y_row = t if sequence_output else 0
                    if thread == 0:
                        is_found, has_class = find_class(activations[here], 1 - (t & 1), y[here, 0], y_row)
                        found += is_found
                        classes += has_class
                    for k in range(thread, n_output, threads):
                        output, target = read(activations[here], 1 - (t & 1), 1, k), y[here, 0, y_row, k]
                        loss += loss_of(output, target)
                        if output != output:
                            n_blank += np.int32(1)
                        if target != target:
                            n_uncounted += np.int32(1)
                        else:
                            if output != output or (output > _HALF) != (target > _HALF):
                                n_wrong += np.int32(1)
                            error = max(error, abs(output - target))
                        at = y_row * n_output + k
                        extremes[slot, block, 0, at] = min(extremes[slot, block, 0, at], output)
                        extremes[slot, block, 1, at] = max(extremes[slot, block, 1, at], output)
            partial[0, thread] = loss
            partial[1, thread] = error
            wrong[thread] = n_wrong
            uncounted[thread] = n_uncounted
            blank[thread] = n_blank
            cuda.syncthreads()
            if thread == 0:
                total_wrong, counted = 0, output_rows * n_output
                for k in range(min(threads, n_output)):
                    summed_loss += partial[0, k]
                    largest = max(largest, partial[1, k])
                    total_wrong += wrong[k]
                    counted -= uncounted[k]
                    blanks += blank[k]
                bits += counted - total_wrong
                all_bits += counted
                rows += 1 if total_wrong == 0 else 0
            cuda.syncthreads()
        if thread == 0:
            measures[slot, block, LOSS] = summed_loss
            measures[slot, block, BITS] = bits
            measures[slot, block, ALL_BITS] = all_bits
            measures[slot, block, ROWS] = rows
            measures[slot, block, LARGEST] = largest
            measures[slot, block, NOT_A_NUMBER] = blanks
            measures[slot, block, FOUND] = found
            measures[slot, block, CLASSES] = classes

    return evaluate


SIGNATURE = types.void(
    types.int32[::1],
    types.int64[:, ::1],
    types.float32[:, ::1],
    types.float32[::1],
    *[types.float32[:, :, :, ::1]] * 3,
    types.float64[:, :, ::1],
    types.float32[:, :, :, ::1],
    types.int64,
)
"""Of the kernel."""


def evaluation_of(measures: NDArray[np.float64], extremes: NDArray[np.float32], n_datapoints: int) -> Evaluation:
    """Put together what the blocks of one trial have measured, in their order.

    Parameters
    ----------
    measures
        (blocks, N_MEASURES).
    extremes
        (blocks, 2, n): the lowest and the highest value of each output.
    """
    loss, bits, all_bits, rows = (float(sum(measures[:, column])) for column in (LOSS, BITS, ALL_BITS, ROWS))
    found, classes = (float(sum(measures[:, column])) for column in (FOUND, CLASSES))
    is_blank = bool(measures[:, NOT_A_NUMBER].any())
    spread = (extremes[:, 1].max(axis=0) - extremes[:, 0].min(axis=0)).max()
    return Evaluation(
        loss=loss / n_datapoints,
        bit_accuracy=bits / all_bits if all_bits else math.nan,
        row_accuracy=rows / n_datapoints,
        max_error=math.nan if is_blank else float(measures[:, LARGEST].max()),
        output_spread=math.nan if is_blank else float(spread),
        accuracy=found / classes if classes else math.nan,
    )
