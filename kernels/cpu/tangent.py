"""The derivative of the loss along a direction in the weights, which passes forward beside the activations.

With a dot for the derivative along D, the sums of a timestep have dot z = W_a' dot a + D' u, and the activations after
it f'(z) dot z; inputs and bias do not change. See `freewalk.kernels.reference.tangent`.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from freewalk.kernels.cpu.forward import Columns, losses_of, softmax_in_place
from freewalk.kernels.cpu.functions import slope
from freewalk.kernels.cpu.layout import Shape
from freewalk.kernels.cpu.products import BLOCK, activate_columns, copy_vectors, leak_into
from freewalk.kernels.machine.jit import helper_function, inline_function
from freewalk.kernels.machine.lanes import (
    LANES,
    F32x16,
    choose_if_numbers,
    fma,
    load_f32,
    load_splat_f32,
    splat_f32,
    store,
)

_BLOCK = BLOCK
_ZERO, _ONE, _TWO = np.float32(0.0), np.float32(1.0), np.float32(2.0)


@inline_function
def slopes_of_losses(
    shape: Shape,
    outputs: NDArray[np.float32],  # IN (output_rows, n_output, LANES), after any softmax
    rates: NDArray[np.float32],  # IN (output_rows, n_output, LANES), derivatives of activations
    y: NDArray[np.float32],  # IN (output_rows, n_output, LANES)
) -> F32x16:
    """Return the derivatives of sixteen datapoints' losses.

    With o the outputs and r the rates: 2 (o - y) r, or -y r / o; after a softmax o (r - m) stands in the place of r,
    with m the sum of o r over a row.
    """
    total, zero = splat_f32(_ZERO), splat_f32(_ZERO)
    for row in range(shape.output_rows):
        here = row * shape.n_output * LANES
        mean = zero
        if shape.softmax:
            for k in range(here, here + shape.n_output * LANES, LANES):
                mean = fma(load_f32(outputs, k), load_f32(rates, k), mean)
        for k in range(here, here + shape.n_output * LANES, LANES):
            output, rate, target = load_f32(outputs, k), load_f32(rates, k), load_f32(y, k)
            if shape.cross_entropy:
                wanted = choose_if_numbers(target, target, target, zero)
                total = total - wanted * (rate - mean if shape.softmax else rate / output)
            else:
                by_output = choose_if_numbers(target, target, splat_f32(_TWO) * (output - target), zero)
                total = fma(by_output, output * (rate - mean) if shape.softmax else rate, total)
    return total


@inline_function
def times_slopes(
    activation: int,
    state: NDArray[np.float32],
    fired: int,  # where the activations f(z) of n neurons lie
    rates: int,  # where the derivatives of their sums lie, which become those of their activations
    n: int,
) -> None:
    """Multiply the derivatives of sums by those of activations."""
    for k in range(n):
        rate = load_f32(state, rates + k * LANES)
        store(state, rates + k * LANES, rate * slope(activation, load_f32(state, fired + k * LANES)))


@inline_function
def _apply(
    columns: Columns,
    first_rate: int,  # the first row with a derivative
    weights: NDArray[np.float32],
    noise: NDArray[np.float32],
    at: int,
    state: NDArray[np.float32],
    beside: int,  # from an activation to its derivative
    end: int,
) -> None:
    """Write the sums of the first `end` neurons, and their derivatives."""
    for column in range(end):
        position = columns.position + column * columns.stride
        z, moved, carried = splat_f32(_ZERO), splat_f32(_ZERO), splat_f32(_ZERO)
        if columns.bias != 0:
            z = load_splat_f32(weights, position + columns.bias)
            moved = load_f32(noise, at + (position + columns.bias) * LANES)
        for row in range(min(first_rate, columns.rows)):
            u = load_f32(state, columns.here + row * LANES)
            z = fma(load_splat_f32(weights, position + row), u, z)
            moved = fma(load_f32(noise, at + (position + row) * LANES), u, moved)
        for row in range(first_rate, columns.rows):
            w, u = load_splat_f32(weights, position + row), load_f32(state, columns.here + row * LANES)
            z = fma(w, u, z)
            moved = fma(load_f32(noise, at + (position + row) * LANES), u, moved)
            carried = fma(w, load_f32(state, columns.here + beside + row * LANES), carried)
        store(state, columns.there + column * LANES, z)
        store(state, columns.there + beside + column * LANES, moved + carried)


@helper_function
def _run_timesteps(
    shape: Shape,
    weights: NDArray[np.float32],
    noise: NDArray[np.float32],
    at: int,
    x: NDArray[np.float32],
    state: NDArray[np.float32],
    outputs: NDArray[np.float32],
) -> None:
    half, beside = shape.n_from * LANES, 2 * shape.n_from * LANES
    first_activation, n = (shape.n_input + 1) * LANES, shape.n_output
    rates = shape.output_rows * n * LANES
    for t in range(shape.timesteps):
        here = (t & 1) * half
        there = half - here + first_activation
        copy_vectors(x, min(t, shape.input_rows - 1) * shape.n_input * LANES, state, here, shape.n_input)
        store(state, here + shape.n_input * LANES, splat_f32(_ONE))
        rows = shape.n_input + 1 if t == 0 else shape.n_from
        columns = n if t == shape.timesteps - 1 else shape.n_to
        places = Columns(0, shape.n_rows, rows, 0, here, there)
        _apply(places, shape.n_input + 1, weights, noise, at, state, beside, columns)
        activate_columns(shape.of_outputs, shape.of_hidden, state, there, columns, n)
        hidden, others = n * LANES, columns - n
        times_slopes(shape.of_outputs, state, there, there + beside, n)
        times_slopes(shape.of_hidden, state, there + hidden, there + beside + hidden, others)
        if shape.leak != _ONE:
            before = here + first_activation + hidden
            leak_into(shape.leak, state, there + hidden, before, others, t == 0)
            leak_into(shape.leak, state, there + beside + hidden, before + beside, others, t == 0)
        if t == shape.timesteps - 1 or shape.output_rows > 1:
            row = min(t, shape.output_rows - 1) * n * LANES
            copy_vectors(state, there, outputs, row, n)
            copy_vectors(state, there + beside, outputs, rates + row, n)


@helper_function
def _run_layers(
    shape: Shape,
    weights: NDArray[np.float32],
    noise: NDArray[np.float32],
    at: int,
    x: NDArray[np.float32],
    state: NDArray[np.float32],
    outputs: NDArray[np.float32],
) -> None:
    beside, layers = 2 * shape.n_from * LANES, shape.layers
    copy_vectors(x, 0, state, 0, shape.n_input)
    store(state, shape.n_input * LANES, splat_f32(_ONE))
    here = 0
    for k in range(len(layers)):
        there = shape.n_from * LANES - here
        places = Columns(layers[k, 0], layers[k, 1], layers[k, 2], layers[k, 3], here, there)
        first_rate = layers[k, 2] if k == 0 else 0  # inputs do not change
        _apply(places, first_rate, weights, noise, at, state, beside, layers[k, 4])
        activation = shape.of_hidden if k + 1 < len(layers) else shape.of_outputs
        activate_columns(activation, activation, state, there, layers[k, 4], 0)
        times_slopes(activation, state, there, there + beside, layers[k, 4])
        here = there
    copy_vectors(state, here, outputs, 0, shape.n_output)
    copy_vectors(state, here + beside, outputs, shape.n_output * LANES, shape.n_output)


@helper_function
def forward_with_tangent(
    shape: Shape,
    weights: NDArray[np.float32],  # IN (n_padded,)
    noise: NDArray[np.float32],  # IN from `at`: (n_padded, LANES), directions
    at: int,
    x: NDArray[np.float32],  # IN (input_rows, n_input, LANES)
    y: NDArray[np.float32],  # IN (output_rows, n_output, LANES)
    state: NDArray[np.float32],  # SCRATCH (2, 2, n_from, LANES), activations and their derivatives
    outputs: NDArray[np.float32],  # OUT (2, output_rows, n_output, LANES), and their derivatives
) -> tuple[F32x16, F32x16]:
    """Run sixteen datapoints through all timesteps; return their losses and the derivatives along their directions."""
    if len(shape.layers):
        _run_layers(shape, weights, noise, at, x, state, outputs)
    else:
        _run_timesteps(shape, weights, noise, at, x, state, outputs)
    if shape.softmax:
        softmax_in_place(shape, outputs)
    n = shape.output_rows * shape.n_output * LANES
    return losses_of(shape, outputs, y), slopes_of_losses(shape, outputs, outputs[n:], y)


# Beside passes with shared weights: a vector of derivatives, scaled, is followed by the plain one ---------------------


@inline_function
def add_perturbation(
    b: NDArray[np.float32],  # IN from `at`, a vector every `stride`: (columns, LANES)
    at: int,
    stride: int,
    rank: int,
    columns: int,
    dots: NDArray[np.float32],  # IN (rank, LANES)
    sums: NDArray[np.float32],  # INOUT from `to`: (columns, LANES)
    to: int,
) -> None:
    """Add the dots times b to the weighted sums."""
    for i in range(rank):
        dot, first = load_f32(dots, i * LANES), at + i * stride
        for column in range(columns):
            z = load_f32(sums, to + column * LANES)
            store(sums, to + column * LANES, fma(load_f32(b, first + column * LANES), dot, z))


@helper_function
def add_individual(
    noise: NDArray[np.float32],  # IN in the order of single from `first`: (n, LANES) from `noise_at`, or (n,)
    noise_at: int,  # below 0: the same for all lanes
    scale: np.floating,
    first: int,
    n_rows: int,
    state: NDArray[np.float32],
    here: int,  # what enters, (rows, LANES)
    rows: int,
    there: int,  # INOUT sums, (columns padded to a block, LANES)
    columns: int,
) -> None:
    """Add scale times the products of a matrix of perturbations, four columns at a time."""
    for column in range(0, columns, 4):
        z0 = z1 = z2 = z3 = splat_f32(_ZERO)
        k = first + column // _BLOCK * _BLOCK * n_rows + column % _BLOCK
        for row in range(rows):
            u = load_f32(state, here + row * LANES)
            if noise_at < 0:
                z0, z1 = fma(load_splat_f32(noise, k), u, z0), fma(load_splat_f32(noise, k + 1), u, z1)
                z2, z3 = fma(load_splat_f32(noise, k + 2), u, z2), fma(load_splat_f32(noise, k + 3), u, z3)
            else:
                at = noise_at + k * LANES
                z0, z1 = fma(load_f32(noise, at), u, z0), fma(load_f32(noise, at + LANES), u, z1)
                z2, z3 = fma(load_f32(noise, at + 2 * LANES), u, z2), fma(load_f32(noise, at + 3 * LANES), u, z3)
            k += _BLOCK
        to, times = there + column * LANES, splat_f32(scale)
        store(state, to, fma(times, z0, load_f32(state, to)))
        store(state, to + LANES, fma(times, z1, load_f32(state, to + LANES)))
        store(state, to + 2 * LANES, fma(times, z2, load_f32(state, to + 2 * LANES)))
        store(state, to + 3 * LANES, fma(times, z3, load_f32(state, to + 3 * LANES)))


@inline_function
def is_tangent(shape: Shape, scales: NDArray[np.float32], v: int) -> Any:
    """Tell whether a vector is the derivatives of the next one's activations, scaled."""
    return shape.tangent != 0 and scales[v] != _ZERO
