"""The forward pass and the loss of sixteen datapoints, with shared weights or each with its own perturbation.

Work that cannot reach the output is left out: at the first timestep the activations are zero, so only the input and
bias rows count; without a sequence output only the output columns of the last timestep are read.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from freewalk.kernels.cpu.functions import SIGMOID, exp, log, sigmoid
from freewalk.kernels.cpu.layout import Shape
from freewalk.kernels.cpu.products import activate_columns, clear, copy_vectors, leak_into
from freewalk.kernels.machine.jit import helper_function, inline_function
from freewalk.kernels.machine.lanes import (
    LANES,
    F32x16,
    at_least,
    choose_if_numbers,
    fma,
    load_f32,
    load_splat_f32,
    splat_f32,
    store,
)

_SIGMOID = SIGMOID
_ZERO = np.float32(0.0)
_ONE = np.float32(1.0)


class Columns(NamedTuple):
    """Where the weights of some neurons lie, what enters them and where their activations go."""

    position: int  # of the weight by which the first row enters the first neuron
    stride: int  # from one neuron's weights to the next's
    rows: int
    bias: int  # from the first row's weight to one that enters by itself; 0 if there is none
    here: int  # the first row, in the state
    there: int  # the first neuron, in the state


@inline_function
def _weight(
    weights: NDArray[np.float32], noise: NDArray[np.float32] | None, at: int, scale: F32x16, position: int
) -> F32x16:
    """Return one weight for sixteen datapoints: W, or W + scale * noise (the branch is decided at compile time)."""
    if noise is None:
        return load_splat_f32(weights, position)
    return fma(scale, load_f32(noise, at + position * LANES), load_splat_f32(weights, position))


@inline_function
def _first_of(
    columns: Columns,
    weights: NDArray[np.float32],
    noise: NDArray[np.float32] | None,
    at: int,
    scale: F32x16,
    position: int,
) -> F32x16:
    """Return what a sum begins with."""
    if columns.bias == 0:
        return splat_f32(_ZERO)
    return _weight(weights, noise, at, scale, position + columns.bias)


@inline_function
def _column(
    columns: Columns,
    weights: NDArray[np.float32],
    noise: NDArray[np.float32] | None,
    at: int,
    scale: F32x16,
    state: NDArray[np.float32],
    column: int,
) -> F32x16:
    """Return the weighted sum that enters one neuron."""
    position, here = columns.position + column * columns.stride, columns.here
    total = _first_of(columns, weights, noise, at, scale, position)
    for row in range(columns.rows):
        total = fma(_weight(weights, noise, at, scale, position + row), load_f32(state, here + row * LANES), total)
    return total


@inline_function
def _four_columns(
    columns: Columns,
    weights: NDArray[np.float32],
    noise: NDArray[np.float32] | None,
    at: int,
    scale: F32x16,
    state: NDArray[np.float32],
    column: int,
) -> tuple[F32x16, F32x16, F32x16, F32x16]:
    """Return what four calls of `_column` return, with each activation loaded once and four sums in flight."""
    stride, here = columns.stride, columns.here
    position = columns.position + column * stride
    total_0 = _first_of(columns, weights, noise, at, scale, position)
    total_1 = _first_of(columns, weights, noise, at, scale, position + stride)
    total_2 = _first_of(columns, weights, noise, at, scale, position + 2 * stride)
    total_3 = _first_of(columns, weights, noise, at, scale, position + 3 * stride)
    for row in range(columns.rows):
        a = load_f32(state, here + row * LANES)
        total_0 = fma(_weight(weights, noise, at, scale, position + row), a, total_0)
        total_1 = fma(_weight(weights, noise, at, scale, position + row + stride), a, total_1)
        total_2 = fma(_weight(weights, noise, at, scale, position + row + 2 * stride), a, total_2)
        total_3 = fma(_weight(weights, noise, at, scale, position + row + 3 * stride), a, total_3)
    return total_0, total_1, total_2, total_3


@inline_function
def softmax_in_place(shape: Shape, outputs: NDArray[np.float32]) -> None:
    """Replace each row of outputs by its softmax; of sigmoids, which lie in [0, 1], no maximum is subtracted."""
    for row in range(shape.output_rows):
        here = row * shape.n_output * LANES
        total, highest = splat_f32(_ZERO), splat_f32(_ZERO)
        if shape.of_outputs != _SIGMOID:
            highest = load_f32(outputs, here)
            for k in range(1, shape.n_output):
                highest = at_least(highest, load_f32(outputs, here + k * LANES))
        for k in range(shape.n_output):
            e = exp(load_f32(outputs, here + k * LANES) - highest)
            store(outputs, here + k * LANES, e)
            total = total + e
        for k in range(shape.n_output):
            store(outputs, here + k * LANES, load_f32(outputs, here + k * LANES) / total)


@inline_function
def losses_of(shape: Shape, outputs: NDArray[np.float32], y: NDArray[np.float32]) -> F32x16:
    """Return the losses of sixteen datapoints; a target that is NaN does not count."""
    total, zero = splat_f32(_ZERO), splat_f32(_ZERO)
    for k in range(shape.output_rows * shape.n_output):
        output = load_f32(outputs, k * LANES)
        target = load_f32(y, k * LANES)
        if shape.cross_entropy:
            total = total - choose_if_numbers(target, target, target, zero) * log(output)
        else:
            difference = choose_if_numbers(target, target, output - target, zero)
            total = fma(difference, difference, total)
    return total


@inline_function
def _apply_columns(
    columns: Columns,
    activation: Callable[[F32x16], F32x16],
    weights: NDArray[np.float32],
    noise: NDArray[np.float32] | None,
    at: int,
    scale: F32x16,
    state: NDArray[np.float32],
    end: int,
) -> None:
    """Write the activations of the first `end` neurons to the state."""
    column = 0
    while column + 4 <= end:
        z0, z1, z2, z3 = _four_columns(columns, weights, noise, at, scale, state, column)
        to = columns.there + column * LANES
        store(state, to, activation(z0))
        store(state, to + LANES, activation(z1))
        store(state, to + 2 * LANES, activation(z2))
        store(state, to + 3 * LANES, activation(z3))
        column += 4
    while column < end:
        z = _column(columns, weights, noise, at, scale, state, column)
        store(state, columns.there + column * LANES, activation(z))
        column += 1


@inline_function
def _unchanged(z: F32x16) -> F32x16:
    return z


@helper_function
def _apply_others(
    columns: Columns,
    of_outputs: int,
    of_hidden: int,
    weights: NDArray[np.float32],
    noise: NDArray[np.float32] | None,
    at: int,
    scale: np.floating[Any],
    state: NDArray[np.float32],
    end: int,
    first_hidden: int,
) -> None:
    """Do what `_apply_columns` does with any activations, in code of its own, so that loops with sigmoid stay short."""
    _apply_columns(columns, _unchanged, weights, noise, at, splat_f32(scale), state, end)
    activate_columns(of_outputs, of_hidden, state, columns.there, end, first_hidden)


@helper_function
def _hidden_first(
    shape: Shape,
    t: int,
    weights: NDArray[np.float32],
    noise: NDArray[np.float32] | None,
    at: int,
    scale: np.floating[Any],
    state: NDArray[np.float32],
    here: int,
    there: int,
) -> None:
    """Write what hidden neurons do at a timestep, where it is kept and where output neurons hear it."""
    outputs = (shape.n_input + 1) * LANES
    hidden, n_hidden = outputs + shape.n_output * LANES, shape.n_to - shape.n_output
    if t == 0:
        clear(state, here + outputs, shape.n_to)
    places = Columns(shape.n_output * shape.n_rows, shape.n_rows, shape.n_from, 0, here, there + hidden)
    _apply_others(places, shape.of_hidden, shape.of_hidden, weights, noise, at, scale, state, n_hidden, 0)
    if shape.leak != _ONE:
        leak_into(shape.leak, state, there + hidden, here + hidden, n_hidden, t == 0)
    copy_vectors(state, there + hidden, state, here + hidden, n_hidden)


@inline_function
def _run_timesteps(
    shape: Shape,
    weights: NDArray[np.float32],
    noise: NDArray[np.float32] | None,
    at: int,
    scale: np.floating[Any],
    x: NDArray[np.float32],
    state: NDArray[np.float32],
    outputs: NDArray[np.float32],
) -> None:
    """Write what sixteen datapoints' output neurons hold when they are read."""
    scales = splat_f32(scale)
    half = shape.n_from * LANES
    first_activation = (shape.n_input + 1) * LANES
    store(state, shape.n_input * LANES, splat_f32(_ONE))
    store(state, half + shape.n_input * LANES, splat_f32(_ONE))
    for t in range(shape.timesteps):
        here = (t & 1) * half
        there = half - here
        x_row = min(t, shape.input_rows - 1) * shape.n_input
        for k in range(shape.n_input):
            store(state, here + k * LANES, load_f32(x, (x_row + k) * LANES))
        is_read = t == shape.timesteps - 1 or shape.output_rows > 1
        rows = shape.n_input + 1 if t == 0 else shape.n_from
        columns = shape.n_output if t == shape.timesteps - 1 else shape.n_to
        if shape.hidden_first:
            _hidden_first(shape, t, weights, noise, at, scale, state, here, there)
            rows, columns = shape.n_from, shape.n_output
        places = Columns(0, shape.n_rows, rows, 0, here, there + first_activation)
        if shape.of_outputs == _SIGMOID and shape.of_hidden == _SIGMOID:
            _apply_columns(places, sigmoid, weights, noise, at, scales, state, columns)
        else:
            of_outputs, of_hidden = shape.of_outputs, shape.of_hidden
            _apply_others(places, of_outputs, of_hidden, weights, noise, at, scale, state, columns, shape.n_output)
        if shape.leak != _ONE and not shape.hidden_first:
            hidden = first_activation + shape.n_output * LANES
            leak_into(shape.leak, state, there + hidden, here + hidden, columns - shape.n_output, t == 0)
        if is_read:
            y_row = min(t, shape.output_rows - 1) * shape.n_output
            for k in range(shape.n_output):
                store(outputs, (y_row + k) * LANES, load_f32(state, there + first_activation + k * LANES))


@helper_function
def _run_layers(
    shape: Shape,
    weights: NDArray[np.float32],
    noise: NDArray[np.float32] | None,
    at: int,
    scale: np.floating[Any],
    x: NDArray[np.float32],
    state: NDArray[np.float32],
    outputs: NDArray[np.float32],
) -> None:
    """Do what `_run_timesteps` does for a layered network: the same sums, less what is multiplied by 0."""
    for k in range(shape.n_input):
        store(state, k * LANES, load_f32(x, k * LANES))
    store(state, shape.n_input * LANES, splat_f32(_ONE))
    here, layers = 0, shape.layers
    for k in range(len(layers)):
        there = shape.n_from * LANES - here
        places = Columns(layers[k, 0], layers[k, 1], layers[k, 2], layers[k, 3], here, there)
        activation = shape.of_hidden if k + 1 < len(layers) else shape.of_outputs
        if activation == _SIGMOID:
            _apply_columns(places, sigmoid, weights, noise, at, splat_f32(scale), state, layers[k, 4])
        else:
            _apply_others(places, activation, activation, weights, noise, at, scale, state, layers[k, 4], 0)
        here = there
    for k in range(shape.n_output):
        store(outputs, k * LANES, load_f32(state, here + k * LANES))


@helper_function
def forward(
    shape: Shape,
    weights: NDArray[np.float32],  # IN (n_padded,)
    noise: NDArray[np.float32] | None,  # IN from `at`: (n_padded, LANES), or None for shared weights
    at: int,
    scale: np.floating[Any],  # times noise, float32
    x: NDArray[np.float32],  # IN (input_rows, n_input, LANES)
    y: NDArray[np.float32],  # IN (output_rows, n_output, LANES)
    state: NDArray[np.float32],  # SCRATCH (2, n_from, LANES)
    outputs: NDArray[np.float32],  # OUT (output_rows, n_output, LANES)
) -> F32x16:
    """Run sixteen datapoints through all timesteps; return their losses."""
    if len(shape.layers):
        _run_layers(shape, weights, noise, at, scale, x, state, outputs)
    else:
        _run_timesteps(shape, weights, noise, at, scale, x, state, outputs)
    if shape.softmax:
        softmax_in_place(shape, outputs)
    return losses_of(shape, outputs, y)
