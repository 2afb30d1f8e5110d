"""Node perturbation in one compiled loop: noise on the weighted sums, beside a clean pass.

A tile of groups runs forward as for backpropagation, which leaves u_t of every timestep, then once more with noise on
every sum, or twice. What stands for delta_t is the noise times the loss difference over stddev, so that the update is
the same product of matrices; see `freewalk.kernels.reference.node`.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numba
import numpy as np
from numpy.typing import NDArray

from freewalk.kernels.cpu import noise
from freewalk.kernels.cpu.backprop import accumulate, finish_step, tiling_of
from freewalk.kernels.cpu.forward import losses_of, softmax_in_place
from freewalk.kernels.cpu.lane_group import load_group
from freewalk.kernels.cpu.layout import Shape, Source, Sums, Tiling, aligned
from freewalk.kernels.cpu.memory import SIDE, Blocked, Memory, Rows, row_of_memory, rows_of, write_blocked
from freewalk.kernels.cpu.optimizers import Rule, Weights
from freewalk.kernels.cpu.products import activate_columns, copy_vectors, leak_into, multiply
from freewalk.kernels.cpu.through_time import enter, losses_of_group, run_forward, targets_of
from freewalk.kernels.machine.jit import choice, helper_function, inline_function, kernel, parallel_kernel
from freewalk.kernels.machine.lanes import LANES, F32x16, every_second_from, fma, load_f32, splat_f32, store
from freewalk.kernels.model.noise import NOISES, NoiseKind, Stream, key_schedule

__all__ = ["NodeNoise", "Noisy", "make_noisy", "take_steps", "tiling_of", "train", "train_parallel"]

_NODES = np.uint64(Stream.NODES)
_SIDE = SIDE
_ZERO, _ONE, _HALF = np.float32(0.0), np.float32(1.0), np.float32(0.5)


class NodeNoise(NamedTuple):
    """What noise there is and what becomes of it."""

    kind: int  # one of NOISE_CODES
    stddev: np.float32
    two_sided: int
    activity: int  # the change of the sums in the noise's place
    n_noisy: int  # sums that have noise, of a datapoint
    round_keys: NDArray[np.uint64]  # (20,)


class Noisy(NamedTuple):
    """Scratch memory of the noisy passes, one row a worker; or the rows of one worker."""

    entering: NDArray[np.float32]  # (workers, 2 * groups * rows.entering * LANES), u of this and the next timestep
    sums: NDArray[np.float32]  # (workers, groups * rows.deltas * LANES), those of the clean pass, activity-based
    outputs: NDArray[np.float32]  # (workers, groups * rows.outputs * LANES)
    differences: NDArray[np.float32]  # (workers, groups * LANES), of losses
    lengths: NDArray[np.float32]  # (workers, groups * LANES), |d|**2, activity-based


def node_noise(shape: Shape, kind: int, stddev: float, seed: int, *, two_sided: bool, activity: bool) -> NodeNoise:
    """Return the noise of a seed."""
    n_noisy = (shape.timesteps - 1) * shape.n_to + shape.n_output
    return NodeNoise(kind, np.float32(stddev), int(two_sided), int(activity), n_noisy, key_schedule(seed))


def make_noisy(shape: Shape, groups: int, workers: int, *, activity: bool) -> Noisy:
    """Allocate scratch memory for `workers` threads."""
    rows = rows_of(shape)
    return Noisy(
        entering=aligned(workers, 2 * groups * rows.entering * LANES),
        sums=aligned(workers, groups * rows.deltas * LANES if activity else 0),
        outputs=aligned(workers, groups * rows.outputs * LANES),
        differences=aligned(workers, groups * LANES),
        lengths=aligned(workers, groups * LANES),
    )


@inline_function
def _row_of_noisy(noisy: Noisy, worker: int) -> Noisy:
    return Noisy(
        noisy.entering[worker],
        noisy.sums[worker],
        noisy.outputs[worker],
        noisy.differences[worker],
        noisy.lengths[worker],
    )


def _make_draw(kind: NoiseKind) -> Any:
    """Return the compiled function that writes a kind's numbers."""
    store_block, of_a_block = getattr(noise, kind.cpu), kind.rows

    @helper_function
    def draw_kind(
        n_to: int,
        t: int,
        n: int,
        first: int,  # datapoint
        step: int,
        keys: NDArray[np.uint64],
        out: NDArray[np.float32],  # OUT from `at`: (n, LANES)
        at: int,
    ) -> None:
        even, odd = every_second_from(np.uint64(first)), every_second_from(np.uint64(first + 1))
        block = t * ((n_to + of_a_block - 1) // of_a_block)
        for row in range(0, n, of_a_block):
            words = noise.words_of(block, even, odd, step, _NODES, keys)
            store_block(words, out, at + row * LANES, n - row)
            block += 1

    return draw_kind


_draw_kind = choice([_make_draw(kind) for kind in NOISES.values()])


@helper_function
def draw_noise(
    shape: Shape,
    rows: Rows,
    source: NodeNoise,
    step: int,
    first: int,  # datapoint
    group: int,
    groups: int,
    out: NDArray[np.float32],  # OUT (T, groups, rows.deltas, LANES), of one group
) -> None:
    """Write the unit noise of one group; 0 where a register tile of the gradient reaches beyond the last outputs."""
    for t in range(shape.timesteps):
        at = (t * groups + group) * rows.deltas * LANES
        n = shape.n_output if t == shape.timesteps - 1 else shape.n_to
        _draw_kind(source.kind, shape.n_to, t, n, first, step, source.round_keys, out, at)
        for column in range(n, (n + _SIDE - 1) // _SIDE * _SIDE):
            store(out, at + column * LANES, splat_f32(_ZERO))


@inline_function
def _add_noise(
    unit: NDArray[np.float32],  # IN from `at`: (n, LANES)
    at: int,
    scale: F32x16,
    sums: NDArray[np.float32],  # INOUT from `to`: (n, LANES)
    to: int,
    n: int,
) -> None:
    for k in range(n):
        z = fma(scale, load_f32(unit, at + k * LANES), load_f32(sums, to + k * LANES))
        store(sums, to + k * LANES, z)


@inline_function
def _take_changes(
    sums: NDArray[np.float32],  # IN from `at`: noisy
    at: int,
    clean: NDArray[np.float32],  # IN from `clean_at`
    clean_at: int,
    out: NDArray[np.float32],  # OUT from `to`: their difference
    to: int,
    n: int,
    lengths: NDArray[np.float32],  # INOUT from `length`: (LANES,)
    length: int,
) -> None:
    total = load_f32(lengths, length)
    for k in range(n):
        change = load_f32(sums, at + k * LANES) - load_f32(clean, clean_at + k * LANES)
        store(out, to + k * LANES, change)
        total = fma(change, change, total)
    store(lengths, length, total)


@helper_function
def _run_noisy(
    shape: Shape,
    rows: Rows,
    source: NodeNoise,
    scale: np.floating[Any],
    blocked: Blocked,
    memory: Memory,
    noisy: Noisy,
    groups: int,
) -> None:
    """Run the groups of a tile with noise on their sums; leave their outputs, and for activity-based changes these."""
    stride, first_activation = rows.entering * LANES, (shape.n_input + 1) * LANES
    state, clean, last = noisy.entering, memory.entering, shape.timesteps - 1
    n_outputs = rows.outputs * LANES
    for t in range(shape.timesteps):
        here, there = (t & 1) * groups * stride, (1 - (t & 1)) * groups * stride + first_activation
        columns = shape.n_output if t == last else shape.n_to
        n = shape.n_input + 1 if t == 0 else shape.n_from
        factors, entering = blocked.forward, t * groups * stride
        for group in range(groups):
            copy_vectors(clean, entering + group * stride, state, here + group * stride, shape.n_input + 1)
        multiply(factors, 0, shape.n_from, state, here, stride, n, state, there, stride, columns, groups)
        if source.activity:
            size = rows.deltas * LANES
            multiply(factors, 0, shape.n_from, clean, entering, stride, n, noisy.sums, 0, size, columns, groups)
        for group in range(groups):
            to, at = there + group * stride, (t * groups + group) * rows.deltas * LANES
            _add_noise(memory.deltas, at, splat_f32(scale), state, to, columns)
            if source.activity:
                own = group * rows.deltas * LANES
                _take_changes(state, to, noisy.sums, own, memory.deltas, at, columns, noisy.lengths, group * LANES)
            activate_columns(shape.of_outputs, shape.of_hidden, state, to, columns, shape.n_output)
            if shape.leak != _ONE:
                hidden = shape.n_output * LANES
                before = here + group * stride + first_activation + hidden
                leak_into(shape.leak, state, to + hidden, before, columns - shape.n_output, t == 0)
            if t == last or shape.output_rows > 1:
                row = min(t, shape.output_rows - 1) * shape.n_output * LANES
                copy_vectors(state, to, noisy.outputs, group * n_outputs + row, shape.n_output)


@inline_function
def _add_losses(shape: Shape, rows: Rows, memory: Memory, noisy: Noisy, groups: int, sign: np.floating[Any]) -> None:
    """Add the losses of the noisy pass, times a sign, to the differences."""
    n = rows.outputs * LANES
    for group in range(groups):
        outputs = noisy.outputs[group * n : (group + 1) * n]
        if shape.softmax:
            softmax_in_place(shape, outputs)
        losses = losses_of(shape, outputs, targets_of(rows, memory, group))
        before = load_f32(noisy.differences, group * LANES)
        store(noisy.differences, group * LANES, fma(splat_f32(sign), losses, before))


@inline_function
def _weigh(
    shape: Shape, rows: Rows, source: NodeNoise, memory: Memory, noisy: Noisy, groups: int, n_datapoints: int
) -> None:
    """Multiply what each datapoint's sums did by its coefficient, 0 past the end of the batch."""
    for group in range(groups):
        for lane in range(LANES):
            k = group * LANES + lane
            if source.activity:
                noisy.differences[k] *= np.float32(math.sqrt(source.n_noisy)) / noisy.lengths[k]
            else:
                noisy.differences[k] /= source.stddev
            if k >= n_datapoints:
                noisy.differences[k] = _ZERO
    for t in range(shape.timesteps):
        n = shape.n_output if t == shape.timesteps - 1 else shape.n_to
        for group in range(groups):
            coefficient, at = load_f32(noisy.differences, group * LANES), (t * groups + group) * rows.deltas * LANES
            for k in range(n):
                store(memory.deltas, at + k * LANES, coefficient * load_f32(memory.deltas, at + k * LANES))


@helper_function
def _run_tile(
    shape: Shape,
    rows: Rows,
    noise_source: NodeNoise,
    source: Source,
    seed: np.uint64,
    blocked: Blocked,
    memory: Memory,
    noisy: Noisy,
    step: int,
    first: int,  # datapoint
    n_datapoints: int,
    partial: NDArray[np.float64],  # INOUT (n_sums,)
) -> float:
    """Add the estimates of a tile's datapoints; return the summed loss of their clean passes."""
    groups = (n_datapoints + LANES - 1) // LANES
    two_sided = noise_source.two_sided
    for group in range(groups):
        here = first + group * LANES
        load_group(shape, source, seed, step, here, memory.x, targets_of(rows, memory, group))
        enter(shape, rows, memory, group, groups)
        draw_noise(shape, rows, noise_source, step, here, group, groups, memory.deltas)
    run_forward(shape, rows, blocked, memory, groups)
    loss = 0.0
    for group in range(groups):
        losses = losses_of_group(shape, rows, memory, group, groups)
        store(memory.losses, 0, losses)
        for lane in range(min(LANES, n_datapoints - group * LANES)):
            loss += memory.losses[lane]
        store(noisy.differences, group * LANES, splat_f32(_ZERO) if two_sided else splat_f32(_ZERO) - losses)
        store(noisy.lengths, group * LANES, splat_f32(_ZERO))
    _run_noisy(shape, rows, noise_source, noise_source.stddev, blocked, memory, noisy, groups)
    _add_losses(shape, rows, memory, noisy, groups, _HALF if two_sided else _ONE)
    if two_sided:
        _run_noisy(shape, rows, noise_source, -noise_source.stddev, blocked, memory, noisy, groups)
        _add_losses(shape, rows, memory, noisy, groups, -_HALF)
    _weigh(shape, rows, noise_source, memory, noisy, groups, n_datapoints)
    accumulate(shape, rows, memory.entering, memory.deltas, groups, partial)
    return loss


@helper_function
def run_chunk(
    shape: Shape,
    rows: Rows,
    noise_source: NodeNoise,
    source: Source,
    seed: np.uint64,
    tiling: Tiling,
    blocked: Blocked,
    memory: Memory,
    noisy: Noisy,
    worker: int,
    sums: Sums,
    step: int,
    chunk: int,
) -> None:
    """Run the tiles of one chunk in order and leave their partial sums; cut short, leave what nobody may use."""
    own, own_noisy = row_of_memory(memory, worker), _row_of_noisy(noisy, worker)
    partial = sums.partial[chunk]
    partial[:] = 0.0
    loss = 0.0
    datapoints = tiling.groups * LANES
    for tile in range(tiling.n_tiles * chunk // tiling.n_chunks, tiling.n_tiles * (chunk + 1) // tiling.n_chunks):
        if memory.stop[0]:
            return
        first = tile * datapoints
        n = min(datapoints, tiling.batch_size - first)
        loss += _run_tile(
            shape, rows, noise_source, source, seed, blocked, own, own_noisy, step, first, n, partial
        )  # fmt: skip
    sums.loss[chunk] = loss


def take_steps(
    shape: Shape,
    rows: Rows,
    rule: Rule,
    noise_source: NodeNoise,
    source: Source,
    seed: np.uint64,
    tiling: Tiling,
    weights: Weights,
    mask: NDArray[np.bool_],  # IN (n_padded,) by position, or (0,) without a mask
    blocked: Blocked,  # SCRATCH
    memory: Memory,
    noisy: Noisy,
    sums: Sums,
    gradient: NDArray[np.float64],  # OUT (n_padded,), summed over the batch of the last step
    first_step: int,
    n_steps: int,
) -> tuple[int, float]:
    """Take `n_steps` steps, on a thread for each row of the memory, as `freewalk.kernels.cpu.walk.take_steps` does."""
    workers = len(memory.entering)
    loss = math.nan
    write_blocked(shape, weights.single, blocked)
    for step in range(first_step, first_step + n_steps):
        for worker in numba.prange(workers):
            for chunk in range(worker, tiling.n_chunks, workers):
                run_chunk(
                    shape, rows, noise_source, source, seed, tiling, blocked, memory, noisy, worker, sums, step, chunk
                )  # fmt: skip
        if memory.stop[0]:
            return step - first_step, loss
        loss = finish_step(shape, rule, tiling, weights, mask, blocked, sums, gradient, step)
        if not math.isfinite(loss):
            return step + 1 - first_step, loss
    return n_steps, loss


train, train_parallel = kernel(take_steps), parallel_kernel(take_steps)
"""On the calling thread, for one row; or on all threads, to the same bits."""


@kernel
def unit_noise(
    shape: Shape,
    rows: Rows,
    source: NodeNoise,
    step: int,
    scratch: NDArray[np.float32],  # SCRATCH (T * rows.deltas * LANES,)
    out: NDArray[np.float32],  # OUT (B, T, n_to)
) -> None:
    """Write the unit noise of the first datapoints of a step, 0 for hidden neurons at the last timestep."""
    for first in range(0, len(out), LANES):
        draw_noise(shape, rows, source, step, first, 0, 1, scratch)
        for t in range(shape.timesteps):
            n = shape.n_output if t == shape.timesteps - 1 else shape.n_to
            for lane in range(min(LANES, len(out) - first)):
                for k in range(n):
                    out[first + lane, t, k] = scratch[(t * rows.deltas + k) * LANES + lane]
