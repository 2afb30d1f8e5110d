"""A tile of groups of sixteen datapoints, forward and backward through time.

For each timestep t the memory keeps what enters the layer, u_t = [x_t, 1, a_t], and the derivative of the loss by the
weighted sums, delta_t:

    a_{t+1} = f(u_t W)        delta_t = (W_a delta_{t+1} + dL/da_{t+1}) f'

where W_a are the rows of W that a_t enters by; `freewalk.kernels.reference.gradient` says it with a leak. Work that
reaches nothing is left out: at the first timestep a_t is 0, so only the input and bias rows count; without a sequence
output the last timestep has deltas at the outputs alone.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from freewalk.kernels.cpu.forward import losses_of, softmax_in_place
from freewalk.kernels.cpu.functions import slope
from freewalk.kernels.cpu.layout import Shape
from freewalk.kernels.cpu.memory import SIDE, Blocked, Memory, Rows, whole_blocks
from freewalk.kernels.cpu.products import activate, activate_columns, copy_vectors, leak_into, multiply
from freewalk.kernels.machine.jit import helper_function, inline_function
from freewalk.kernels.machine.lanes import LANES, F32x16, choose_if_numbers, fma, load_f32, splat_f32, store

_ZERO, _ONE, _TWO = np.float32(0.0), np.float32(1.0), np.float32(2.0)
_SIDE = SIDE


@helper_function
def enter(shape: Shape, rows: Rows, memory: Memory, group: int, groups: int) -> None:
    """Write the inputs and the bias of one group at every timestep, and the zeros of the first activations."""
    entering = memory.entering
    for t in range(shape.timesteps):
        here = (t * groups + group) * rows.entering * LANES
        copy_vectors(memory.x, min(t, shape.input_rows - 1) * shape.n_input * LANES, entering, here, shape.n_input)
        store(entering, here + shape.n_input * LANES, splat_f32(_ONE))
    # a register tile of the gradient may begin with an input and end with an activation
    for row in range(shape.n_input + 1, (shape.n_input + _SIDE) // _SIDE * _SIDE):
        store(entering, (group * rows.entering + row) * LANES, splat_f32(_ZERO))


@helper_function
def _leak(shape: Shape, rows: Rows, memory: Memory, t: int, group: int, groups: int) -> None:
    """Keep the slopes of a timestep's hidden neurons, times the leak, and let them keep of what they were."""
    n_output, leak = shape.n_output, splat_f32(shape.leak)
    after = ((t + 1) * groups + group) * rows.entering * LANES + (shape.n_input + 1) * LANES
    to = (t * groups + group) * rows.deltas * LANES
    for column in range(n_output, shape.n_to):
        fired = load_f32(memory.entering, after + column * LANES)
        store(memory.slopes, to + column * LANES, leak * slope(shape.of_hidden, fired))
    first = after + n_output * LANES
    before = first - groups * rows.entering * LANES
    leak_into(shape.leak, memory.entering, first, before, shape.n_to - n_output, t == 0)


@helper_function
def run_forward(shape: Shape, rows: Rows, blocked: Blocked, memory: Memory, groups: int) -> None:
    """Run the groups of a tile through all timesteps, keeping what enters each."""
    entering = memory.entering
    stride = rows.entering * LANES
    first_activation = (shape.n_input + 1) * LANES
    factors, n_from = blocked.forward, shape.n_from
    of_outputs, of_hidden = shape.of_outputs, shape.of_hidden
    for t in range(shape.timesteps - 1):
        here, there = t * groups * stride, (t + 1) * groups * stride + first_activation
        n = shape.n_input + 1 if t == 0 else n_from
        multiply(factors, 0, n_from, entering, here, stride, n, entering, there, stride, shape.n_to, groups)
        for group in range(groups):
            activate_columns(of_outputs, of_hidden, entering, there + group * stride, shape.n_to, shape.n_output)
        if shape.leak != _ONE:
            for group in range(groups):
                _leak(shape, rows, memory, t, group, groups)
    t = shape.timesteps - 1
    n = shape.n_input + 1 if t == 0 else n_from
    last_stride = whole_blocks(shape.n_output) * LANES
    here = t * groups * stride
    multiply(factors, 0, n_from, entering, here, stride, n, memory.last, 0, last_stride, shape.n_output, groups)
    for group in range(groups):
        activate(of_outputs, memory.last, group * last_stride, shape.n_output)


@inline_function
def _output_delta(shape: Shape, a: F32x16, o: F32x16, target: F32x16, total: F32x16) -> F32x16:
    """Return the derivative of the loss by one weighted sum; see freewalk.kernels.reference.gradient.output_deltas.

    `total` is what `_softmax_total` returns for the timestep.
    """
    one, zero = splat_f32(_ONE), splat_f32(_ZERO)
    if shape.cross_entropy:
        target = choose_if_numbers(target, target, target, zero)
        if shape.softmax:
            return (o * total - target) * slope(shape.of_outputs, a)
        return target * (a - one)
    by_output = choose_if_numbers(target, target, splat_f32(_TWO) * (o - target), zero)
    if shape.softmax:
        by_output = o * (by_output - total)
    return by_output * slope(shape.of_outputs, a)


@inline_function
def _softmax_total(shape: Shape, outputs: NDArray[np.float32], y: NDArray[np.float32], at: int) -> F32x16:
    """Return the sum over outputs that a softmax brings in: of y for the cross-entropy, else of 2 (o - y) o."""
    total, zero = splat_f32(_ZERO), splat_f32(_ZERO)
    if shape.softmax:
        for k in range(at, at + shape.n_output * LANES, LANES):
            o, target = load_f32(outputs, k), load_f32(y, k)
            if shape.cross_entropy:
                total = total + choose_if_numbers(target, target, target, zero)
            else:
                total = fma(choose_if_numbers(target, target, splat_f32(_TWO) * (o - target), zero), o, total)
    return total


@inline_function
def targets_of(rows: Rows, memory: Memory, group: int) -> NDArray[np.float32]:
    """Return where the targets of one group lie, which become the derivatives of its loss."""
    size = rows.outputs * LANES
    return memory.y[group * size : (group + 1) * size]


@helper_function
def losses_of_group(shape: Shape, rows: Rows, memory: Memory, group: int, groups: int) -> F32x16:
    """Return the losses of one group that has run forward; leave what its output neurons held, and its outputs."""
    read, outputs = memory.read, memory.outputs
    n, row_size = shape.n_output, shape.n_output * LANES
    for row in range(shape.output_rows - 1):  # of a sequence output; what is read then enters the next timestep
        there = ((row + 1) * groups + group) * rows.entering + shape.n_input + 1
        copy_vectors(memory.entering, there * LANES, read, row * row_size, n)
    copy_vectors(memory.last, group * whole_blocks(n) * LANES, read, (shape.output_rows - 1) * row_size, n)
    copy_vectors(read, 0, outputs, 0, rows.outputs)
    if shape.softmax:
        softmax_in_place(shape, outputs)
    return losses_of(shape, outputs, targets_of(rows, memory, group))


@helper_function
def read_group(shape: Shape, rows: Rows, memory: Memory, group: int, groups: int) -> F32x16:
    """Return the losses of one group; leave their derivatives by the outputs' weighted sums in place of its targets."""
    losses = losses_of_group(shape, rows, memory, group, groups)
    read, outputs, y = memory.read, memory.outputs, targets_of(rows, memory, group)
    row_size = shape.n_output * LANES
    for row in range(shape.output_rows):
        at = row * row_size
        total = _softmax_total(shape, outputs, y, at)
        for k in range(at, at + row_size, LANES):
            a, o, target = load_f32(read, k), load_f32(outputs, k), load_f32(y, k)
            store(y, k, _output_delta(shape, a, o, target, total))
    return losses


@inline_function
def _times_slopes(
    activation: int,
    entering: NDArray[np.float32],  # IN from `activations`: (n, LANES)
    activations: int,
    deltas: NDArray[np.float32],  # INOUT from `at`: (n, LANES)
    at: int,
    n: int,
) -> None:
    """Multiply what arrives at n neurons by their slopes."""
    for k in range(n):
        a = load_f32(entering, activations + k * LANES)
        store(deltas, at + k * LANES, load_f32(deltas, at + k * LANES) * slope(activation, a))


@inline_function
def _times_leaky_slopes(
    shape: Shape,
    memory: Memory,
    kept: int,  # where what arrived at them at the timestep after is kept
    at: int,  # of the neurons' deltas, and of their slopes
    n: int,
    last: bool,  # whether nothing arrived at the timestep after
) -> None:
    """Add what n neurons kept to what arrives, and multiply it by their slopes."""
    keep = splat_f32(_ONE - shape.leak)
    for k in range(n):
        arriving = load_f32(memory.deltas, at + k * LANES)
        if not last:
            arriving = fma(keep, load_f32(memory.kept, kept + k * LANES), arriving)
        store(memory.kept, kept + k * LANES, arriving)
        store(memory.deltas, at + k * LANES, arriving * load_f32(memory.slopes, at + k * LANES))


@helper_function
def run_backward(shape: Shape, rows: Rows, blocked: Blocked, memory: Memory, groups: int) -> None:
    """Leave the deltas of every timestep of a tile."""
    entering, deltas = memory.entering, memory.deltas
    stride, size = rows.entering * LANES, rows.deltas * LANES
    last = shape.timesteps - 1
    for group in range(groups):
        here = (last * groups + group) * size
        y = targets_of(rows, memory, group)
        copy_vectors(y, (shape.output_rows - 1) * shape.n_output * LANES, deltas, here, shape.n_output)
        for column in range(shape.n_output, (shape.n_output + _SIDE - 1) // _SIDE * _SIDE):
            store(deltas, here + column * LANES, splat_f32(_ZERO))  # the rest of a register tile of the gradient
    for t in range(last - 1, -1, -1):
        here, there = t * groups * size, (t + 1) * groups * size
        n = shape.n_output if t + 1 == last else shape.n_to
        multiply(blocked.backward, 0, shape.n_to, deltas, there, size, n, deltas, here, size, shape.n_to, groups)
        for group in range(groups):
            activations, at = ((t + 1) * groups + group) * stride + (shape.n_input + 1) * LANES, here + group * size
            first, n_hidden = shape.n_output * LANES, shape.n_to - shape.n_output
            _times_slopes(shape.of_outputs, entering, activations, deltas, at, shape.n_output)
            if shape.leak == _ONE:
                _times_slopes(shape.of_hidden, entering, activations + first, deltas, at + first, n_hidden)
            else:
                _times_leaky_slopes(shape, memory, group * size + first, at + first, n_hidden, t + 1 == last)
            if shape.output_rows > 1:
                y = targets_of(rows, memory, group)
                for column in range(shape.n_output):
                    at = here + group * size + column * LANES
                    arriving = load_f32(y, (t * shape.n_output + column) * LANES)
                    store(deltas, at, load_f32(deltas, at) + arriving)
