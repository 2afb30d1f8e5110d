"""Measures of a network on held-out data, with its unperturbed weights."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from freewalk.kernels.cpu.blocks import Blocks
from freewalk.kernels.cpu.lane_group import load_group
from freewalk.kernels.cpu.layout import Shape, Source
from freewalk.kernels.cpu.shared_pass import Passes, passes_of, run_passes
from freewalk.kernels.machine.jit import helper_function, inline_function, kernel
from freewalk.kernels.machine.lanes import LANES

_ZERO = np.float32(0.0)
_HALF = np.float32(0.5)
_GROUPS, _SCALES = np.array([0, 1]), np.zeros(2, dtype=np.float32)


@inline_function
def _larger(a: np.floating[Any], b: np.floating[Any]) -> np.floating[Any]:
    """Return the larger of two numbers, or NaN if one of them is."""
    return b if b > a or b != b else a


@helper_function
def _measure_lane(
    n: int,
    lane: int,
    outputs: NDArray[np.float32],  # IN (n, LANES)
    y: NDArray[np.float32],  # IN (n, LANES)
    lowest: NDArray[np.float32],  # INOUT (n,)
    highest: NDArray[np.float32],  # INOUT (n,)
) -> tuple[int, int, np.floating[Any]]:
    """Return (outputs whose target is a number, those on its side of 1/2, largest error) of one datapoint.

    An output that is NaN is never right.
    """
    counted, right = 0, 0
    largest = _ZERO
    for k in range(n):
        output = outputs[k * LANES + lane]
        target = y[k * LANES + lane]
        if target == target:
            counted += 1
            right += (output > _HALF) == (target > _HALF) and output == output
            largest = _larger(largest, abs(output - target))
        lowest[k] = -_larger(-lowest[k], -output)
        highest[k] = _larger(highest[k], output)
    return counted, right, largest


@helper_function
def _find_classes(
    rows: int,
    n_output: int,
    lane: int,
    outputs: NDArray[np.float32],  # IN (rows * n_output, LANES)
    y: NDArray[np.float32],  # IN (rows * n_output, LANES)
) -> tuple[int, int]:
    """Return (classes found, rows that have a class) of one datapoint; a row with NaN finds none."""
    found, present = 0, 0
    for row in range(rows):
        first = row * n_output
        chosen, wanted = first, first
        is_number = True
        for k in range(first, first + n_output):
            is_number = is_number and outputs[k * LANES + lane] == outputs[k * LANES + lane]
            if outputs[k * LANES + lane] > outputs[chosen * LANES + lane]:
                chosen = k
            if y[k * LANES + lane] > y[wanted * LANES + lane] or y[wanted * LANES + lane] != y[wanted * LANES + lane]:
                wanted = k
        if y[wanted * LANES + lane] > _HALF:
            present += 1
            found += is_number and chosen == wanted
    return found, present


@inline_function
def _run_two(
    shape: Shape,
    blocks: Blocks,
    source: Source,
    seed: np.uint64,
    step: int,
    first: int,
    end: int,
    single: NDArray[np.float32],
    passes: Passes,
) -> int:
    """Run the datapoints first .. first + 31, or those below `end`; return how many these are."""
    n = min(2 * LANES, end - first)
    x_size, y_size = shape.input_rows * shape.n_input * LANES, shape.output_rows * shape.n_output * LANES
    groups = (n + LANES - 1) // LANES
    for group in range(groups):
        x, y = passes.x[group * x_size :], passes.y[group * y_size :]
        load_group(shape, source, seed, step, first + group * LANES, x, y)
    run_passes(shape, blocks, single, passes, _GROUPS[:groups], _SCALES[:groups], 0)
    return n


@kernel
def evaluate(
    shape: Shape,
    blocks: Blocks,
    source: Source,
    seed: np.uint64,
    single: NDArray[np.float32],  # IN, see `freewalk.kernels.cpu.blocks`
    memory: Passes,
    n_datapoints: int,
    lowest: NDArray[np.float32],  # OUT (output_rows * n_output,)
    highest: NDArray[np.float32],  # OUT (output_rows * n_output,)
) -> tuple[float, float, float, float, float]:
    """Return the mean loss, the shares of outputs and of datapoints right, the largest error, and the accuracy."""
    passes = passes_of(memory, 0)
    n = shape.output_rows * shape.n_output
    lowest[:] = np.inf
    highest[:] = -np.inf
    loss, largest = 0.0, _ZERO
    bits, all_bits, rows, found, present = 0, 0, 0, 0, 0
    for first in range(0, n_datapoints, 2 * LANES):
        for k in range(_run_two(shape, blocks, source, seed, 0, first, n_datapoints, single, passes)):
            outputs, y = passes.outputs[k // LANES * n * LANES :], passes.y[k // LANES * n * LANES :]
            loss += passes.losses[k]
            counted, right, error = _measure_lane(n, k % LANES, outputs, y, lowest, highest)
            bits += right
            all_bits += counted
            rows += right == counted
            largest = _larger(largest, error)
            of_lane, classes = _find_classes(shape.output_rows, shape.n_output, k % LANES, outputs, y)
            found += of_lane
            present += classes
    accuracy = found / present if present else np.nan
    bit_accuracy = bits / all_bits if all_bits else np.nan
    return loss / n_datapoints, bit_accuracy, rows / n_datapoints, float(largest), accuracy


@kernel
def measure_each(
    shape: Shape,
    blocks: Blocks,
    source: Source,
    seed: np.uint64,
    step: int,
    first_datapoint: int,
    single: NDArray[np.float32],  # IN, see `freewalk.kernels.cpu.blocks`
    memory: Passes,
    measures: NDArray[np.float64],  # OUT (n, 5)
) -> None:
    """Write what `evaluate` gives the means of for each of n datapoints of a step; accuracy is NaN without a class.

    The first datapoint is a multiple of LANES.
    """
    passes = passes_of(memory, 0)
    n = shape.output_rows * shape.n_output
    lowest, highest = np.empty(n, np.float32), np.empty(n, np.float32)
    end = first_datapoint + len(measures)
    for first in range(first_datapoint, end, 2 * LANES):
        for k in range(_run_two(shape, blocks, source, seed, step, first, end, single, passes)):
            outputs, y = passes.outputs[k // LANES * n * LANES :], passes.y[k // LANES * n * LANES :]
            counted, right, largest = _measure_lane(n, k % LANES, outputs, y, lowest, highest)
            found, present = _find_classes(shape.output_rows, shape.n_output, k % LANES, outputs, y)
            row = measures[first - first_datapoint + k]
            row[0] = passes.losses[k]
            row[1] = right / counted if counted else np.nan
            row[2] = right == counted
            row[3] = largest
            row[4] = found / present if present else np.nan


@kernel
def run_network(
    shape: Shape,
    blocks: Blocks,
    source: Source,
    seed: np.uint64,
    single: NDArray[np.float32],  # IN, see `freewalk.kernels.cpu.blocks`
    memory: Passes,
    all_outputs: NDArray[np.float32],  # OUT (B, output_rows * n_output)
    all_losses: NDArray[np.float32],  # OUT (B,)
) -> None:
    """Write the outputs and the losses of every datapoint of a source."""
    passes = passes_of(memory, 0)
    n_datapoints, n = all_outputs.shape
    for first in range(0, n_datapoints, 2 * LANES):
        for k in range(_run_two(shape, blocks, source, seed, 0, first, n_datapoints, single, passes)):
            all_losses[first + k] = passes.losses[k]
            for j in range(n):
                all_outputs[first + k, j] = passes.outputs[(k // LANES * n + j) * LANES + k % LANES]
