"""Forward passes with weights that all datapoints share, of several lane groups at once, plain or of low rank.

A perturbation of rank r needs no weights of its own, (W + s D)ᵀ u = Wᵀ u + (s / sqrt(r)) sum_i b_i (a_i . u), so each
weight is loaded once for two vectors of activations: those of two lane groups, or plain and perturbed ones of one.
Every sum runs over the rows in order, so plain results have the bits of `freewalk.kernels.cpu.forward`.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from freewalk.kernels.cpu.blocks import COLUMNS, ROWS, SINGLE, A, B, Blocks
from freewalk.kernels.cpu.forward import losses_of, softmax_in_place
from freewalk.kernels.cpu.functions import SIGMOID, sigmoid
from freewalk.kernels.cpu.layout import Shape, aligned
from freewalk.kernels.cpu.products import (
    activate_columns,
    clear,
    copy_vectors,
    leak_into,
    multiply,
    multiply_individual,
)
from freewalk.kernels.cpu.tangent import (
    add_individual,
    add_perturbation,
    is_tangent,
    slopes_of_losses,
    times_slopes,
)
from freewalk.kernels.machine.jit import helper_function, inline_function
from freewalk.kernels.machine.lanes import LANES, fma, load_f32, splat_f32, store

_A, _B, _COLUMNS, _ROWS, _SINGLE = A, B, COLUMNS, ROWS, SINGLE
_SIGMOID = SIGMOID
_ONE, _ZERO = np.float32(1.0), np.float32(0.0)


class Passes(NamedTuple):
    """What some passes of sixteen datapoints each need and leave; one row a worker, or the rows of one worker."""

    x: NDArray[np.float32]  # (workers, groups * input_rows * n_input * LANES)
    y: NDArray[np.float32]  # (workers, groups * output_rows * n_output * LANES)
    a: NDArray[np.float32]  # (workers, groups * rank * a_stride * LANES)
    b: NDArray[np.float32]  # (workers, groups * rank * b_stride * LANES)
    state: NDArray[np.float32]  # (workers, vectors * 2 * n_state_rows * LANES)
    dots: NDArray[np.float32]  # (workers, rank * LANES)
    outputs: NDArray[np.float32]  # (workers, vectors * output_rows * n_output * LANES)
    losses: NDArray[np.float32]  # (workers, vectors * LANES)


def make_passes(shape: Shape, blocks: Blocks, groups: int, vectors: int, rank: int, workers: int) -> Passes:
    """Allocate memory for passes of so many vectors of so many lane groups, of a rank or plain with rank 0."""
    n_outputs = shape.output_rows * shape.n_output
    return Passes(
        x=aligned(workers, groups * shape.input_rows * shape.n_input * LANES),
        y=aligned(workers, groups * n_outputs * LANES),
        a=aligned(workers, groups * rank * blocks.a_stride * LANES),
        b=aligned(workers, groups * rank * blocks.b_stride * LANES),
        state=aligned(workers, vectors * 2 * blocks.n_state_rows * LANES),
        dots=aligned(workers, max(rank, 1) * LANES),
        outputs=aligned(workers, vectors * n_outputs * LANES),
        losses=aligned(workers, vectors * LANES),
    )


@inline_function
def passes_of(passes: Passes, worker: int) -> Passes:
    """Return one worker's arrays."""
    return Passes(
        passes.x[worker],
        passes.y[worker],
        passes.a[worker],
        passes.b[worker],
        passes.state[worker],
        passes.dots[worker],
        passes.outputs[worker],
        passes.losses[worker],
    )


@inline_function
def _write_dots(
    a: NDArray[np.float32],  # IN from `at`, a vector every `stride`: (rows, LANES)
    at: int,
    stride: int,
    rank: int,
    rows: int,
    state: NDArray[np.float32],  # IN from `here`: (rows, LANES)
    here: int,
    scale: np.floating,
    dots: NDArray[np.float32],  # OUT (rank, LANES)
) -> None:
    """Write scale times a_i . u."""
    for i in range(rank):
        first = at + i * stride
        d0 = d1 = d2 = d3 = splat_f32(_ZERO)
        row = 0
        while row + 4 <= rows:
            d0 = fma(load_f32(a, first + row * LANES), load_f32(state, here + row * LANES), d0)
            d1 = fma(load_f32(a, first + (row + 1) * LANES), load_f32(state, here + (row + 1) * LANES), d1)
            d2 = fma(load_f32(a, first + (row + 2) * LANES), load_f32(state, here + (row + 2) * LANES), d2)
            d3 = fma(load_f32(a, first + (row + 3) * LANES), load_f32(state, here + (row + 3) * LANES), d3)
            row += 4
        while row < rows:
            d0 = fma(load_f32(a, first + row * LANES), load_f32(state, here + row * LANES), d0)
            row += 1
        store(dots, i * LANES, splat_f32(scale) * ((d0 + d1) + (d2 + d3)))


@inline_function
def _activate_perturbed(
    b: NDArray[np.float32],  # IN from `at`, a vector every `stride`: (columns, LANES)
    at: int,
    stride: int,
    rank: int,
    columns: int,
    first_hidden: int,
    of_outputs: int,
    of_hidden: int,
    dots: NDArray[np.float32],  # IN (rank, LANES)
    sums: NDArray[np.float32],  # INOUT from `to`: (columns, LANES)
    to: int,
) -> None:
    """Add the dots times b to the weighted sums, and replace them by their activations."""
    for i in range(rank - 1):
        dot, first = load_f32(dots, i * LANES), at + i * stride
        for column in range(columns):
            z = load_f32(sums, to + column * LANES)
            store(sums, to + column * LANES, fma(load_f32(b, first + column * LANES), dot, z))
    dot, first = load_f32(dots, (rank - 1) * LANES), at + (rank - 1) * stride
    if of_outputs == _SIGMOID and of_hidden == _SIGMOID:
        for column in range(columns):
            z = fma(load_f32(b, first + column * LANES), dot, load_f32(sums, to + column * LANES))
            store(sums, to + column * LANES, sigmoid(z))
    else:
        for column in range(columns):
            z = fma(load_f32(b, first + column * LANES), dot, load_f32(sums, to + column * LANES))
            store(sums, to + column * LANES, z)
        activate_columns(of_outputs, of_hidden, sums, to, columns, first_hidden)


@inline_function
def _enter(shape: Shape, x: NDArray[np.float32], group: int, t: int, state: NDArray[np.float32], here: int) -> None:
    n = shape.n_input
    first = (group * shape.input_rows + min(t, shape.input_rows - 1)) * n * LANES
    copy_vectors(x, first, state, here, n)


@helper_function
def _apply(
    shape: Shape,
    of_outputs: int,
    of_hidden: int,
    blocks: Blocks,
    layer: int,
    single: NDArray[np.float32],
    passes: Passes,
    groups_of: NDArray[np.int64],
    scales: NDArray[np.float32],
    rank: int,
    noise: NDArray[np.float32] | None,
    noise_at: int,
    rows: int,
    columns: int,
    here: int,  # in a vector's part of the state: what enters
    there: int,  # and where the activations go
    first_hidden: int,  # of its neurons
) -> None:
    """Apply a layer to every vector."""
    of_layer = blocks.layers[layer]
    vectors = len(groups_of)
    size = 2 * blocks.n_state_rows * LANES
    state = passes.state
    first, n_rows = of_layer[_SINGLE], of_layer[_ROWS]
    if noise is None or shape.tangent:
        multiply(single, first, n_rows, state, here, size, rows, state, there, size, columns, vectors)
    else:
        scale = splat_f32(scales[0])
        multiply_individual(
            single, first, n_rows, noise, noise_at, scale, state, here, size, rows, state, there, size, columns, vectors
        )
    for v in range(vectors - 1, -1, -1):  # a derivative takes what stands behind it
        if is_tangent(shape, scales, v):
            a = (groups_of[v] * rank * blocks.a_stride + of_layer[_A]) * LANES
            b = (groups_of[v] * rank * blocks.b_stride + of_layer[_B]) * LANES
            a_size, b_size, dots = blocks.a_stride * LANES, blocks.b_stride * LANES, passes.dots
            to, outputs, plain = v * size + there, min(first_hidden, columns), (v + 1) * size + here
            if noise is None:
                _write_dots(passes.a, a, a_size, rank, rows, state, plain, scales[v], dots)
                add_perturbation(passes.b, b, b_size, rank, columns, dots, state, to)
            else:
                add_individual(noise, noise_at, scales[v], first, n_rows, state, plain, rows, to, columns)
            times_slopes(of_outputs, state, to + size, to, outputs)
            times_slopes(of_hidden, state, to + size + outputs * LANES, to + outputs * LANES, columns - outputs)
        elif noise is None and scales[v] != _ZERO:
            a = (groups_of[v] * rank * blocks.a_stride + of_layer[_A]) * LANES
            b = (groups_of[v] * rank * blocks.b_stride + of_layer[_B]) * LANES
            a_size, b_size, dots = blocks.a_stride * LANES, blocks.b_stride * LANES, passes.dots
            _write_dots(passes.a, a, a_size, rank, rows, state, v * size + here, scales[v], dots)
            _activate_perturbed(
                passes.b, b, b_size, rank, columns, first_hidden, of_outputs, of_hidden, dots, state, v * size + there
            )
        else:
            activate_columns(of_outputs, of_hidden, state, v * size + there, columns, first_hidden)


@helper_function
def _run_free(
    shape: Shape,
    blocks: Blocks,
    single: NDArray[np.float32],
    passes: Passes,
    groups_of: NDArray[np.int64],
    scales: NDArray[np.float32],
    rank: int,
    noise: NDArray[np.float32] | None,
    noise_at: int,
) -> None:
    vectors = len(groups_of)
    half = blocks.n_state_rows * LANES
    n, n_outputs = shape.n_output, shape.output_rows * shape.n_output
    first_activation = (shape.n_input + 1) * LANES
    state = passes.state
    for v in range(2 * vectors):
        bias = splat_f32(_ZERO if is_tangent(shape, scales, v // 2) else _ONE)
        store(state, v * half + shape.n_input * LANES, bias)
    for t in range(shape.timesteps):
        here = (t & 1) * half
        there = half - here + first_activation
        for v in range(vectors):
            if is_tangent(shape, scales, v):
                clear(state, v * 2 * half + here, shape.n_input)
            else:
                _enter(shape, passes.x, groups_of[v], t, state, v * 2 * half + here)
        rows = shape.n_input + 1 if t == 0 else shape.n_from
        columns = n if t == shape.timesteps - 1 and not shape.hidden_first else shape.n_to
        _apply(
            shape, shape.of_outputs, shape.of_hidden, blocks, 0, single, passes, groups_of, scales, rank,
            noise, noise_at, rows, columns, here, there, n,
        )  # fmt: skip
        if shape.leak != _ONE:
            hidden = first_activation + n * LANES
            for v in range(vectors):
                before, after = v * 2 * half + here + hidden, v * 2 * half + half - here + hidden
                leak_into(shape.leak, state, after, before, columns - n, t == 0)
        if shape.hidden_first:
            hidden, n_hidden = first_activation + n * LANES, shape.n_to - n
            for v in range(vectors):
                if t == 0:
                    clear(state, v * 2 * half + here + first_activation, n)
                copy_vectors(state, v * 2 * half + half - here + hidden, state, v * 2 * half + here + hidden, n_hidden)
            _apply(
                shape, shape.of_outputs, shape.of_hidden, blocks, 0, single, passes, groups_of, scales, rank,
                noise, noise_at, shape.n_from, n, here, there, n,
            )  # fmt: skip
            for v in range(vectors):  # a block of columns is computed whole
                copy_vectors(state, v * 2 * half + here + hidden, state, v * 2 * half + half - here + hidden, n_hidden)
        if t == shape.timesteps - 1 or shape.output_rows > 1:
            y_row = min(t, shape.output_rows - 1) * n
            for v in range(vectors):
                copy_vectors(state, v * 2 * half + there, passes.outputs, (v * n_outputs + y_row) * LANES, n)


@helper_function
def _run_layers(
    shape: Shape,
    blocks: Blocks,
    single: NDArray[np.float32],
    passes: Passes,
    groups_of: NDArray[np.int64],
    scales: NDArray[np.float32],
    rank: int,
    noise: NDArray[np.float32] | None,
    noise_at: int,
) -> None:
    """Run a layered network; rows lie in the matrix's order: inputs and bias, later bias and neurons."""
    vectors, last = len(groups_of), len(blocks.layers) - 1
    half = blocks.n_state_rows * LANES
    n = shape.n_output
    state = passes.state
    for v in range(vectors):
        here, is_rate = v * 2 * half, is_tangent(shape, scales, v)
        if is_rate:
            clear(state, here, shape.n_input)
        else:
            _enter(shape, passes.x, groups_of[v], 0, state, here)
        store(state, here + shape.n_input * LANES, splat_f32(_ZERO if is_rate else _ONE))
        store(state, here + half, splat_f32(_ZERO if is_rate else _ONE))
    for layer in range(last + 1):
        here = (layer & 1) * half
        there = half - here + LANES
        rows, columns = blocks.layers[layer, _ROWS], blocks.layers[layer, _COLUMNS]
        activation = shape.of_hidden if layer < last else shape.of_outputs
        _apply(
            shape, activation, activation, blocks, layer, single, passes, groups_of, scales, rank, noise, noise_at,
            rows, columns, here, there, 0,
        )  # fmt: skip
        if layer == 0:
            for v in range(vectors):
                store(state, v * 2 * half, splat_f32(_ZERO if is_tangent(shape, scales, v) else _ONE))
    for v in range(vectors):
        from_here = v * 2 * half + (half if last & 1 == 0 else 0) + LANES
        copy_vectors(state, from_here, passes.outputs, v * n * LANES, n)


@inline_function
def _run(
    shape: Shape,
    blocks: Blocks,
    single: NDArray[np.float32],
    passes: Passes,
    groups_of: NDArray[np.int64],
    scales: NDArray[np.float32],
    rank: int,
    noise: NDArray[np.float32] | None,
    noise_at: int,
) -> None:
    if blocks.is_layered:
        _run_layers(shape, blocks, single, passes, groups_of, scales, rank, noise, noise_at)
    else:
        _run_free(shape, blocks, single, passes, groups_of, scales, rank, noise, noise_at)
    n = shape.output_rows * shape.n_output * LANES
    for v in range(len(groups_of) - 1, -1, -1):
        outputs = passes.outputs[v * n : (v + 1) * n]
        y = passes.y[groups_of[v] * n : (groups_of[v] + 1) * n]
        if is_tangent(shape, scales, v):
            slopes = slopes_of_losses(shape, passes.outputs[(v + 1) * n : (v + 2) * n], outputs, y)
            store(passes.losses, v * LANES, load_f32(passes.losses, (v + 1) * LANES) + slopes)
            continue
        if shape.softmax:
            softmax_in_place(shape, outputs)
        store(passes.losses, v * LANES, losses_of(shape, outputs, y))


@helper_function
def run_passes(
    shape: Shape,
    blocks: Blocks,
    single: NDArray[np.float32],  # IN, see `freewalk.kernels.cpu.blocks`
    passes: Passes,  # INOUT, of one worker, with the datapoints, a and b of its lane groups
    groups_of: NDArray[np.int64],  # IN (vectors,), the lane group of each vector
    scales: NDArray[np.float32],  # IN (vectors,), times its perturbation, stddev / sqrt(rank); 0 for a plain pass
    rank: int,
) -> None:
    """Run vectors of sixteen datapoints through the network; leave their outputs and losses.

    With tangents, a perturbed vector is followed by the plain one of its lane group, and its loss is that one's and the
    derivative along the scaled perturbation.
    """
    _run(shape, blocks, single, passes, groups_of, scales, rank, None, 0)


@helper_function
def run_individual(
    shape: Shape,
    blocks: Blocks,
    single: NDArray[np.float32],  # IN, see `freewalk.kernels.cpu.blocks`
    passes: Passes,  # INOUT, of one worker, with the datapoints of its lane groups
    groups_of: NDArray[np.int64],  # IN (vectors,), the lane group of each vector
    scales: NDArray[np.float32],  # IN (vectors,), all the same: times the noise; with tangents as for `run_passes`
    noise: NDArray[np.float32],  # IN from `noise_at`, in the order of `single`: (n, LANES)
    noise_at: int,  # with tangents below 0 for noise (n,) of all lanes
) -> None:
    """Do what `run_passes` does with weights of its own for each lane, single + scale * noise."""
    _run(shape, blocks, single, passes, groups_of, scales, 0, noise, noise_at)
