"""What RTRL, RFLO and UORO carry forward in time, for sixteen datapoints in lanes.

The formulas and their sources stand in `freewalk.kernels.reference.online`. What belongs to a weight lies where the
weight does, column after column of n_rows: a trace, a factor, or with RTRL how all neurons answer to it. At the first
timestep nothing is carried yet and a_t is 0, so only the input and bias rows count.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from freewalk.kernels.cpu.functions import slope
from freewalk.kernels.cpu.layout import Shape, aligned, n_positions
from freewalk.kernels.cpu.memory import Blocked, Memory, Rows, whole_blocks
from freewalk.kernels.cpu.noise import store_signs, words_of
from freewalk.kernels.cpu.products import BLOCK, copy_vectors, multiply
from freewalk.kernels.cpu.tiles import add_multiples, add_sums_in_a_row, empty_tile
from freewalk.kernels.machine.jit import choice, helper_function, inline_function
from freewalk.kernels.machine.lanes import LANES, F32x16, every_second_from, fma, load_f32, splat_f32, sqrt, store
from freewalk.kernels.model.noise import Stream

RTRL, RFLO, UORO = range(3)
_RFLO = RFLO
_ZERO, _ONE = np.float32(0.0), np.float32(1.0)
_EPSILON = np.float32(1e-7)  # EPSILON of the reference
_BLOCK, _SIGNS_OF_A_BLOCK = BLOCK, 128
_SIGNS = np.uint64(Stream.SIGNS)


class Estimator(NamedTuple):
    """What a rule is, as runtime values."""

    kind: int  # RTRL, RFLO or UORO
    feedback: NDArray[np.float32]  # RFLO's random F: (blocks of n_to, n_output, BLOCK); (0,) for that of the weights
    round_keys: NDArray[np.uint64]  # (20,), of UORO's signs


class Carried(NamedTuple):
    """Scratch memory, one row a worker; or the rows of one worker. Vectors over neurons are padded to whole blocks."""

    weights: NDArray[np.float32]  # (workers, n_padded * LANES); RTRL: (workers, n_padded * BLOCKs of n_to * LANES)
    through: NDArray[np.float32]  # (workers, n_to * LANES); RTRL: (workers, n_rows * BLOCKs of n_to * LANES)
    signal: NDArray[np.float32]  # (workers, n_to * LANES), l
    slopes: NDArray[np.float32]  # (workers, n_to * LANES), s
    neurons: NDArray[np.float32]  # (workers, n_to * LANES), v of UORO
    signs: NDArray[np.float32]  # (workers, n_to * LANES), of UORO
    square: NDArray[np.float32]  # (workers, LANES), of |w|, of UORO


class Now(NamedTuple):
    """Which timestep of which datapoints is at hand."""

    t: int
    here: int  # where u begins in what enters
    step: int
    datapoint: int  # the first of sixteen


def make_carried(shape: Shape, kind: int, workers: int) -> Carried:
    """Allocate scratch memory for `workers` threads."""
    vectors, padded = -(-shape.n_to // BLOCK) * BLOCK, n_positions(shape)
    each = vectors if kind == RTRL else 1
    return Carried(
        weights=aligned(workers, padded * each * LANES),
        through=aligned(workers, (shape.n_rows * vectors if kind == RTRL else vectors) * LANES),
        signal=aligned(workers, vectors * LANES),
        slopes=aligned(workers, vectors * LANES),
        neurons=aligned(workers, vectors * LANES),
        signs=aligned(workers, vectors * LANES),
        square=aligned(workers, LANES),
    )


@inline_function
def row_of_carried(carried: Carried, worker: int) -> Carried:
    """Return one worker's arrays."""
    return Carried(
        carried.weights[worker],
        carried.through[worker],
        carried.signal[worker],
        carried.slopes[worker],
        carried.neurons[worker],
        carried.signs[worker],
        carried.square[worker],
    )


# Credit: the part of the gradient that comes from what is carried ----------------------------------------------------


@inline_function
def _add_credit(
    shape: Shape, values: NDArray[np.float32], column: int, factor: F32x16, partial: NDArray[np.float64]
) -> None:
    """Add what is carried for a column's weights times a factor, summed over the lanes."""
    first = column * shape.n_rows
    for row in range(0, shape.n_rows, 4):
        tile = add_multiples(empty_tile(4), values, (first + row) * LANES, factor)
        add_sums_in_a_row(partial, first + row, tile)


@inline_function
def _answer(carried: Carried, n_to: int, position: int) -> F32x16:
    """Return the sum of P[ij, n] l[n] over n."""
    total, here = splat_f32(_ZERO), position * whole_blocks(n_to) * LANES
    for n in range(n_to):
        total = fma(load_f32(carried.weights, here + n * LANES), load_f32(carried.signal, n * LANES), total)
    return total


@helper_function
def _credit_by_rtrl(shape: Shape, carried: Carried, partial: NDArray[np.float64]) -> None:
    n = shape.n_to
    for position in range(0, n * shape.n_rows, 4):
        tile = (
            _answer(carried, n, position),
            _answer(carried, n, position + 1),
            _answer(carried, n, position + 2),
            _answer(carried, n, position + 3),
        )
        add_sums_in_a_row(partial, position, tile)


@helper_function
def _credit_by_rflo(shape: Shape, carried: Carried, partial: NDArray[np.float64]) -> None:
    for column in range(shape.n_to):
        _add_credit(shape, carried.weights, column, load_f32(carried.signal, column * LANES), partial)


@helper_function
def _credit_by_uoro(shape: Shape, carried: Carried, partial: NDArray[np.float64]) -> None:
    along = splat_f32(_ZERO)
    for n in range(shape.n_to):
        along = fma(load_f32(carried.neurons, n * LANES), load_f32(carried.signal, n * LANES), along)
    for column in range(shape.n_to):
        _add_credit(shape, carried.weights, column, along, partial)


_credit = choice([_credit_by_rtrl, _credit_by_rflo, _credit_by_uoro])


@helper_function
def add_gradient(
    shape: Shape,
    estimator: Estimator,
    blocked: Blocked,
    carried: Carried,  # of one worker
    first: bool,  # the first timestep
    entering: NDArray[np.float32],  # IN from `here`: u, (n_from, LANES)
    here: int,
    deltas: NDArray[np.float32],  # IN from `there`: (n_output, LANES), 0 in lanes past the end of the batch
    there: int,
    partial: NDArray[np.float64],  # INOUT (n_padded,)
) -> None:
    """Add the gradient of the loss that is read after one timestep."""
    n = shape.n_output
    rows = (shape.n_input + 4) // 4 * 4 if first else shape.n_rows
    for column in range(n):
        delta = load_f32(deltas, there + column * LANES)
        for row in range(0, rows, 4):
            tile = add_multiples(empty_tile(4), entering, here + row * LANES, delta)
            add_sums_in_a_row(partial, column * shape.n_rows + row, tile)
    if first:
        return
    if estimator.kind == _RFLO and len(estimator.feedback):
        multiply(estimator.feedback, 0, n, deltas, there, 0, n, carried.signal, 0, 0, shape.n_to, 1)
    else:
        multiply(blocked.backward, 0, shape.n_to, deltas, there, 0, n, carried.signal, 0, 0, shape.n_to, 1)
    _credit(estimator.kind, shape, carried, partial)


# Advance: a timestep more --------------------------------------------------------------------------------------------


@inline_function
def _write_slopes(shape: Shape, rows: Rows, memory: Memory, carried: Carried, t: int, group: int, groups: int) -> None:
    """Write s of a timestep: the derivatives of activations by their own weighted sums."""
    n = shape.n_output
    after = (((t + 1) * groups + group) * rows.entering + shape.n_input + 1) * LANES
    for k in range(n):
        store(carried.slopes, k * LANES, slope(shape.of_outputs, load_f32(memory.entering, after + k * LANES)))
    if shape.leak == _ONE:
        for k in range(n, shape.n_to):
            store(carried.slopes, k * LANES, slope(shape.of_hidden, load_f32(memory.entering, after + k * LANES)))
    else:
        at = (t * groups + group) * rows.deltas * LANES
        copy_vectors(memory.slopes, at + n * LANES, carried.slopes, n * LANES, shape.n_to - n)


@inline_function
def _kept(shape: Shape, neuron: int) -> F32x16:
    """Return what a neuron keeps of its activation."""
    return splat_f32(_ONE - shape.leak if neuron >= shape.n_output else _ZERO)


@helper_function
def _advance_rtrl(
    shape: Shape, estimator: Estimator, blocked: Blocked, carried: Carried, entering: NDArray[np.float32], now: Now
) -> None:
    n, stride, here = shape.n_to, whole_blocks(shape.n_to) * LANES, now.here
    influence, through = carried.weights, carried.through
    for column in range(n):
        at, s = column * shape.n_rows * stride, load_f32(carried.slopes, column * LANES)
        if now.t == 0:
            influence[at : at + shape.n_rows * stride] = _ZERO
            for row in range(shape.n_input + 1):
                own = at + row * stride + column * LANES
                store(influence, own, s * load_f32(entering, here + row * LANES))
            continue
        among = (shape.n_input + 1) * _BLOCK  # of W, the rows that activations enter by
        multiply(
            blocked.forward, among, shape.n_from, influence, at, stride, n, through, 0, stride, n, shape.n_from
        )  # fmt: skip
        for row in range(shape.n_from):
            own = row * stride + column * LANES
            store(through, own, load_f32(through, own) + load_f32(entering, here + row * LANES))
        for k in range(n):
            s, keep = load_f32(carried.slopes, k * LANES), _kept(shape, k)
            for row in range(shape.n_from):
                q = row * stride + k * LANES
                store(influence, at + q, fma(keep, load_f32(influence, at + q), s * load_f32(through, q)))


@helper_function
def _advance_rflo(
    shape: Shape, estimator: Estimator, blocked: Blocked, carried: Carried, entering: NDArray[np.float32], now: Now
) -> None:
    trace, here = carried.weights, now.here
    for column in range(shape.n_to):
        at, s, keep = column * shape.n_rows * LANES, load_f32(carried.slopes, column * LANES), _kept(shape, column)
        if now.t == 0:
            trace[at : at + shape.n_rows * LANES] = _ZERO
            for row in range(shape.n_input + 1):
                store(trace, at + row * LANES, s * load_f32(entering, here + row * LANES))
            continue
        for row in range(shape.n_from):
            immediate = s * load_f32(entering, here + row * LANES)
            store(trace, at + row * LANES, fma(keep, load_f32(trace, at + row * LANES), immediate))


@inline_function
def _square(values: NDArray[np.float32], at: int, n: int) -> F32x16:
    """Return the sum of the squares of n vectors."""
    total = splat_f32(_ZERO)
    for k in range(n):
        value = load_f32(values, at + k * LANES)
        total = fma(value, value, total)
    return total


@inline_function
def _balance(square: F32x16, other: F32x16) -> F32x16:
    """Return rho of two squared norms: sqrt(|a| / (|b| + e)) + e."""
    epsilon = splat_f32(_EPSILON)
    return sqrt(sqrt(square) / (sqrt(other) + epsilon)) + epsilon


@helper_function
def _draw_signs(shape: Shape, estimator: Estimator, carried: Carried, now: Now) -> None:
    """Write the signs of a timestep."""
    even, odd = every_second_from(np.uint64(now.datapoint)), every_second_from(np.uint64(now.datapoint + 1))
    blocks = (shape.n_to + _SIGNS_OF_A_BLOCK - 1) // _SIGNS_OF_A_BLOCK
    for k in range(blocks):
        words = words_of(now.t * blocks + k, even, odd, now.step, _SIGNS, estimator.round_keys)
        first = k * _SIGNS_OF_A_BLOCK
        store_signs(words, carried.signs, first * LANES, shape.n_to - first)


@helper_function
def _advance_uoro(
    shape: Shape, estimator: Estimator, blocked: Blocked, carried: Carried, entering: NDArray[np.float32], now: Now
) -> None:
    n, neurons, weights, through = shape.n_to, carried.neurons, carried.weights, carried.through
    here, rows = now.here, shape.n_input + 1 if now.t == 0 else shape.n_from
    if now.t == 0:
        neurons[:] = _ZERO
        weights[:] = _ZERO
        store(carried.square, 0, splat_f32(_ZERO))
    among = (shape.n_input + 1) * _BLOCK
    multiply(blocked.forward, among, shape.n_from, neurons, 0, 0, n, through, 0, 0, n, 1)
    for k in range(n):
        moved = load_f32(carried.slopes, k * LANES) * load_f32(through, k * LANES)
        store(through, k * LANES, fma(_kept(shape, k), load_f32(neurons, k * LANES), moved))
    _draw_signs(shape, estimator, carried, now)
    immediate = _square(entering, here, rows) * _square(carried.slopes, 0, n)
    rho_0 = _balance(load_f32(carried.square, 0), _square(through, 0, n))
    rho_1 = _balance(immediate, splat_f32(np.float32(n)))
    shrink, share = splat_f32(_ONE) / rho_0, splat_f32(_ONE) / rho_1
    total = splat_f32(_ZERO)
    for column in range(n):
        sign, at = load_f32(carried.signs, column * LANES), column * shape.n_rows * LANES
        store(neurons, column * LANES, fma(rho_0, load_f32(through, column * LANES), rho_1 * sign))
        signed = share * (sign * load_f32(carried.slopes, column * LANES))
        for row in range(rows):
            new = signed * load_f32(entering, here + row * LANES)
            value = fma(shrink, load_f32(weights, at + row * LANES), new)
            store(weights, at + row * LANES, value)
            total = fma(value, value, total)
    store(carried.square, 0, total)


_advance = choice([_advance_rtrl, _advance_rflo, _advance_uoro])


@helper_function
def advance(
    shape: Shape,
    rows: Rows,
    estimator: Estimator,
    blocked: Blocked,
    memory: Memory,  # of one worker
    carried: Carried,  # of one worker
    step: int,
    datapoint: int,  # the group's first
    t: int,
    group: int,
    groups: int,
) -> None:
    """Carry on by a timestep."""
    _write_slopes(shape, rows, memory, carried, t, group, groups)
    now = Now(t, (t * groups + group) * rows.entering * LANES, step, datapoint)
    _advance(estimator.kind, shape, estimator, blocked, carried, memory.entering, now)
