"""The walk with full perturbations that several datapoints see, are orthogonal, or are weighed by shaped losses.

Perturbations of few datapoints run side by side: a lane for each of sixteen perturbations, whose datapoints follow one
another, so that a perturbed weight that is made is used for several of them. Those of many run in turn: one perturbed
matrix at a time, which the lanes share. A step is cut into units of perturbations, or of parts of their datapoints, and
units are dealt out to chunks. Each chunk has sums of its own, added in order: the bits do not depend on the threads.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numba
import numpy as np
from numpy.typing import NDArray

from freewalk.kernels.cpu.blocks import Blocks
from freewalk.kernels.cpu.full_draws import Lanes, Units, draw_one, draw_sixteen, lanes_of
from freewalk.kernels.cpu.lane_group import load_group
from freewalk.kernels.cpu.layout import Shape, Source
from freewalk.kernels.cpu.optimizers import Weights, descend_between
from freewalk.kernels.cpu.shaping import NONE, shape_losses
from freewalk.kernels.cpu.shared_pass import Passes, passes_of, run_individual, run_passes
from freewalk.kernels.cpu.together import rule_at, shape_at
from freewalk.kernels.cpu.walk import accumulate
from freewalk.kernels.machine.jit import helper_function, inline_function, kernel, parallel_kernel
from freewalk.kernels.machine.lanes import LANES, fma, load_f32, splat_f32, store
from freewalk.kernels.model.optimizers import RAW

_NONE, _RAW = NONE, RAW
_LANES = LANES
_ZERO = np.float32(0.0)
AT_ONCE = 4
"""Lane groups that are run at once."""
_AT_ONCE = AT_ONCE


class Cut(NamedTuple):
    """How a step is cut, as runtime values; it depends on the configuration and the network alone."""

    datapoints: int  # of one perturbation
    share_data: int
    shaping: int  # one of SHAPING_CODES
    in_turn: int  # perturbations, not side by side
    of_a_unit: int  # perturbations
    parts: int  # of a perturbation's datapoints, a unit each
    of_a_part: int  # lane groups
    n_chunks: int


class FullTrials(NamedTuple):
    """Trials of one seed by place: what differs between them, and what each needs for itself; perhaps just one."""

    timesteps: NDArray[np.int64]  # (n_trials,)
    input_rows: NDArray[np.int64]  # (n_trials,)
    output_rows: NDArray[np.int64]  # (n_trials,)
    perturbations: NDArray[np.int64]  # (n_trials,)
    choices: NDArray[np.int64]  # (n_trials, 3), the whole numbers of Rule: kind, two_sided, cosine_steps
    numbers: NDArray[np.float64]  # (n_trials, 3), the others: stddev, learning_rate, momentum
    master: NDArray[np.float64]  # (n_trials, n_padded), in the order of single, as the next two
    single: NDArray[np.float32]
    first: NDArray[np.float64]
    second: NDArray[np.float64]
    partial: NDArray[np.float64]  # (n_trials, 1 or n_chunks, n_padded), of the present chunk, or of all
    total: NDArray[np.float64]  # (n_trials, n_padded), of the chunks before it, or of all
    base: NDArray[np.float32]  # (n_trials, datapoints), unperturbed losses of shared data, to whole lane groups
    plus: NDArray[np.float64]  # (n_trials, perturbations * parts), summed losses at W + D; for shaping
    other: NDArray[np.float64]  # (n_trials, perturbations * parts), at W or W - D
    coefficients: NDArray[np.float32]  # (n_trials, perturbations), shaped
    chunk_loss: NDArray[np.float64]  # (n_trials, n_chunks)
    loss: NDArray[np.float64]  # (n_trials,), of the step


class FullMemory(NamedTuple):
    """Scratch memory, one row a worker; or the rows of one worker."""

    noise: NDArray[np.float32]  # (workers, of_a_unit / LANES * n_padded * LANES), or (workers, n_padded)
    perturbed: NDArray[np.float32]  # (workers, n_padded), weights of one perturbation
    raw_x: NDArray[np.float32]  # (workers, input_rows * n_input * LANES), datapoints before they are dealt out
    raw_y: NDArray[np.float32]  # (workers, output_rows * n_output * LANES)
    sums: NDArray[np.float64]  # (workers, 2 * LANES), losses of sixteen perturbations at W + D and at W or W - D
    coefficients: NDArray[np.float32]  # (workers, of_a_unit)
    groups_of: NDArray[np.int64]  # (workers, AT_ONCE)
    scales: NDArray[np.float32]  # (workers, AT_ONCE)
    stop: NDArray[np.uint8]  # (1,), set from another thread to leave a step unfinished


@inline_function
def _memory_of(memory: FullMemory, worker: int) -> FullMemory:
    return FullMemory(
        memory.noise[worker],
        memory.perturbed[worker],
        memory.raw_x[worker],
        memory.raw_y[worker],
        memory.sums[worker],
        memory.coefficients[worker],
        memory.groups_of[worker],
        memory.scales[worker],
        memory.stop,
    )


# Datapoints -----------------------------------------------------------------------------------------------------------


@helper_function
def _load_in_a_row(
    shape: Shape, source: Source, seed: np.uint64, step: int, first: int, groups: int, passes: Passes
) -> None:
    """Load the lane groups that begin with a datapoint."""
    x_size, y_size = shape.input_rows * shape.n_input * _LANES, shape.output_rows * shape.n_output * _LANES
    for group in range(groups):
        x, y = passes.x[group * x_size :], passes.y[group * y_size :]
        load_group(shape, source, seed, step, first + group * _LANES, x, y)


@inline_function
def _deal(raw: NDArray[np.float32], rows: int, first: int, datapoints: int, out: NDArray[np.float32], to: int) -> None:
    """Put sixteen datapoints, of which some perturbation's come one after another, into its lane of lane groups."""
    for lane in range(_LANES):
        place = first + lane
        at = (to + place % datapoints) * rows * _LANES + place // datapoints
        for k in range(rows):
            out[at + k * _LANES] = raw[k * _LANES + lane]


@inline_function
def _repeat(raw: NDArray[np.float32], rows: int, datapoints: int, out: NDArray[np.float32]) -> None:
    """Give every lane of a lane group the same datapoint, one for each lane group."""
    for place in range(datapoints):
        for k in range(rows):
            store(out, (place * rows + k) * _LANES, splat_f32(raw[k * _LANES + place]))


@helper_function
def _load_side_by_side(
    shape: Shape,
    source: Source,
    seed: np.uint64,
    cut: Cut,
    step: int,
    first: int,  # perturbation
    groups: int,  # of sixteen perturbations
    memory: FullMemory,
    passes: Passes,
) -> None:
    """Load the datapoints of perturbations, a lane each: as many lane groups for sixteen as one has datapoints."""
    n, x_rows, y_rows = cut.datapoints, shape.input_rows * shape.n_input, shape.output_rows * shape.n_output
    if cut.share_data:
        load_group(shape, source, seed, step, 0, memory.raw_x, memory.raw_y)
        _repeat(memory.raw_x, x_rows, n, passes.x)
        _repeat(memory.raw_y, y_rows, n, passes.y)
    elif n == 1:
        _load_in_a_row(shape, source, seed, step, first, groups, passes)
    else:
        for group in range(groups * n):
            load_group(shape, source, seed, step, first * n + group * _LANES, memory.raw_x, memory.raw_y)
            place, to = group % n * _LANES, group // n * n
            _deal(memory.raw_x, x_rows, place, n, passes.x, to)
            _deal(memory.raw_y, y_rows, place, n, passes.y, to)


# Passes ---------------------------------------------------------------------------------------------------------------


@inline_function
def _choose(memory: FullMemory, first: int, n: int, scale: np.floating) -> None:
    for k in range(n):
        memory.groups_of[k], memory.scales[k] = first + k, scale


@helper_function
def _run_base(
    shape: Shape,
    blocks: Blocks,
    source: Source,
    seed: np.uint64,
    cut: Cut,
    trials: FullTrials,
    order: NDArray[np.int64],
    all_memory: FullMemory,
    all_passes: Passes,
    step: int,
    worker: int,
    workers: int,
) -> None:
    """Leave the unperturbed losses of a worker's share of the shared datapoints."""
    memory, passes = _memory_of(all_memory, worker), passes_of(all_passes, worker)
    n_groups = (cut.datapoints + _LANES - 1) // _LANES
    for group in range(worker, n_groups, workers):
        loaded = 0
        for place in order:
            own = shape_at(shape, trials, place)
            if own.timesteps != loaded:
                _load_in_a_row(own, source, seed, step, group * _LANES, 1, passes)
                loaded = own.timesteps
            _choose(memory, 0, 1, _ZERO)
            run_passes(own, blocks, trials.single[place], passes, memory.groups_of[:1], memory.scales[:1], 0)
            store(trials.base[place], group * _LANES, load_f32(passes.losses, 0))


@inline_function
def _add_lanes(losses: NDArray[np.float32], at: int, sums: NDArray[np.float64], to: int) -> None:
    for lane in range(_LANES):
        sums[to + lane] += np.float64(losses[at + lane])


@inline_function
def _keep_sums(cut: Cut, trials: FullTrials, place: int, unit: int, plus: float, other: float) -> tuple[float, float]:
    """Keep the summed losses of a perturbation, or of a part, for shaping; return its difference and loss."""
    if cut.shaping != _NONE:
        trials.plus[place, unit] = plus
        trials.other[place, unit] = other
    if trials.choices[place, 1]:
        return (plus - other) / 2, (plus + other) / 2
    return plus - other, other


@helper_function
def _sum_side_by_side(
    shape: Shape,
    blocks: Blocks,
    cut: Cut,
    trials: FullTrials,
    place: int,
    memory: FullMemory,
    passes: Passes,
    group: int,  # of sixteen perturbations
) -> None:
    """Leave the summed losses of sixteen perturbations whose datapoints are loaded."""
    single, sums = trials.single[place], memory.sums
    two_sided, scale = trials.choices[place, 1], np.float32(trials.numbers[place, 0])
    noise_at, before = group * len(single) * _LANES, 0 if cut.share_data else group * cut.datapoints
    sums[:] = 0.0
    for first in range(0, cut.datapoints, _AT_ONCE):
        n = min(_AT_ONCE, cut.datapoints - first)
        groups_of, scales = memory.groups_of[:n], memory.scales[:n]
        _choose(memory, before + first, n, scale)
        run_individual(shape, blocks, single, passes, groups_of, scales, memory.noise, noise_at)
        for k in range(n):
            _add_lanes(passes.losses, k * _LANES, sums, 0)
        if cut.share_data and not two_sided:
            for k in range(n):
                for lane in range(_LANES):
                    sums[_LANES + lane] += np.float64(trials.base[place, first + k])
            continue
        if two_sided:
            _choose(memory, before + first, n, -scale)
            run_individual(shape, blocks, single, passes, groups_of, scales, memory.noise, noise_at)
        else:
            _choose(memory, before + first, n, _ZERO)
            run_passes(shape, blocks, single, passes, groups_of, scales, 0)
        for k in range(n):
            _add_lanes(passes.losses, k * _LANES, sums, _LANES)


@helper_function
def _run_side_by_side(
    shape: Shape,
    blocks: Blocks,
    source: Source,
    units: Units,
    cut: Cut,
    trials: FullTrials,
    order: NDArray[np.int64],
    memory: FullMemory,
    passes: Passes,
    lanes: Lanes,
    step: int,
    first: int,  # perturbation
    chunk: int,
) -> None:
    """Run a unit of perturbations, sixteen at a time, and add them to the sums of every trial that has them."""
    size, loaded, coefficients = trials.single.shape[1] * _LANES, 0, memory.coefficients
    for group in range(cut.of_a_unit // _LANES):
        draw_sixteen(units, step, first + group * _LANES, lanes, memory.noise, group * size)
    for place in order:
        n_used = min(cut.of_a_unit, trials.perturbations[place] - first)
        if n_used <= 0:
            continue
        own, groups = shape_at(shape, trials, place), (n_used + _LANES - 1) // _LANES
        if own.timesteps != loaded:  # the order lets trials of equal timesteps share their datapoints
            _load_side_by_side(own, source, units.seed, cut, step, first, cut.of_a_unit // _LANES, memory, passes)
            loaded = own.timesteps
        coefficients[:] = _ZERO
        for group in range(groups):
            _sum_side_by_side(own, blocks, cut, trials, place, memory, passes, group)
            for lane in range(min(_LANES, n_used - group * _LANES)):
                at, sums = group * _LANES + lane, memory.sums
                difference, loss = _keep_sums(cut, trials, place, first + at, sums[lane], sums[_LANES + lane])
                coefficients[at] = difference
                trials.chunk_loss[place, chunk] += loss
        if cut.shaping == _NONE:
            accumulate(memory.noise, coefficients, groups, trials.partial[place, chunk % trials.partial.shape[1]])


@inline_function
def _perturb(
    single: NDArray[np.float32], noise: NDArray[np.float32], scale: np.floating, out: NDArray[np.float32]
) -> None:
    for at in range(0, len(single), _LANES):
        store(out, at, fma(splat_f32(scale), load_f32(noise, at), load_f32(single, at)))


@helper_function
def _sum_in_turn(
    shape: Shape,
    blocks: Blocks,
    single: NDArray[np.float32],
    memory: FullMemory,
    passes: Passes,
    n: int,  # datapoints
) -> float:
    """Return the summed losses of the datapoints that are loaded."""
    total = 0.0
    for first in range(0, n, _AT_ONCE * _LANES):
        groups = min(_AT_ONCE, (n - first + _LANES - 1) // _LANES)
        _choose(memory, first // _LANES, groups, _ZERO)
        run_passes(shape, blocks, single, passes, memory.groups_of[:groups], memory.scales[:groups], 0)
        for k in range(min(groups * _LANES, n - first)):
            total += np.float64(passes.losses[k])
    return total


@helper_function
def _run_in_turn(
    shape: Shape,
    blocks: Blocks,
    source: Source,
    units: Units,
    cut: Cut,
    trials: FullTrials,
    order: NDArray[np.int64],
    memory: FullMemory,
    passes: Passes,
    lanes: Lanes,
    step: int,
    first: int,  # perturbation
    part: int,
    chunk: int,
) -> None:
    """Run a unit of perturbations, one after another, and add them to the sums of every trial that has them."""
    begin = part * cut.of_a_part * _LANES
    n = min(cut.of_a_part * _LANES, cut.datapoints - begin)
    loaded = 0
    for k in range(first, first + cut.of_a_unit):
        draw_one(units, step, k, lanes, memory.noise)
        if not cut.share_data:
            loaded = 0
        for place in order:
            if k >= trials.perturbations[place]:
                continue
            own = shape_at(shape, trials, place)
            if own.timesteps != loaded:
                datapoint = begin if cut.share_data else k * cut.datapoints + begin
                groups = (n + _LANES - 1) // _LANES
                _load_in_a_row(own, source, units.seed, step, datapoint, groups, passes)
                loaded = own.timesteps
            single, scale = trials.single[place], np.float32(trials.numbers[place, 0])
            _perturb(single, memory.noise, scale, memory.perturbed)
            plus, other = _sum_in_turn(own, blocks, memory.perturbed, memory, passes, n), 0.0
            if trials.choices[place, 1]:
                _perturb(single, memory.noise, -scale, memory.perturbed)
                other = _sum_in_turn(own, blocks, memory.perturbed, memory, passes, n)
            elif cut.share_data:
                for j in range(begin, begin + n):
                    other += np.float64(trials.base[place, j])
            else:
                other = _sum_in_turn(own, blocks, single, memory, passes, n)
            difference, loss = _keep_sums(cut, trials, place, k * cut.parts + part, plus, other)
            trials.chunk_loss[place, chunk] += loss
            if cut.shaping == _NONE:
                _add_multiple(difference, memory.noise, trials.partial[place, chunk % trials.partial.shape[1]])


@inline_function
def _add_multiple(factor: float, noise: NDArray[np.float32], sums: NDArray[np.float64]) -> None:
    for q in range(len(sums)):
        sums[q] += factor * np.float64(noise[q])


# A step ---------------------------------------------------------------------------------------------------------------


@inline_function
def _units_of(cut: Cut, perturbations: int) -> int:
    return (perturbations + cut.of_a_unit - 1) // cut.of_a_unit * cut.parts


@helper_function
def _add_shaped(
    units: Units,
    cut: Cut,
    trials: FullTrials,
    order: NDArray[np.int64],
    memory: FullMemory,
    lanes: Lanes,
    step: int,
    first: int,  # perturbation
    chunk: int,
) -> None:
    """Draw a unit's perturbations once more, and add them with their shaped coefficients."""
    size = trials.single.shape[1] * _LANES
    if cut.in_turn:
        for k in range(first, first + cut.of_a_unit):
            draw_one(units, step, k, lanes, memory.noise)
            for place in order:
                if k < trials.perturbations[place]:
                    coefficient = np.float64(trials.coefficients[place, k])
                    _add_multiple(coefficient, memory.noise, trials.partial[place, chunk % trials.partial.shape[1]])
        return
    for group in range(cut.of_a_unit // _LANES):
        draw_sixteen(units, step, first + group * _LANES, lanes, memory.noise, group * size)
    for place in order:
        n_used = min(cut.of_a_unit, trials.perturbations[place] - first)
        if n_used > 0:
            memory.coefficients[:] = _ZERO
            memory.coefficients[:n_used] = trials.coefficients[place, first : first + n_used]
            groups = (n_used + _LANES - 1) // _LANES
            partial = trials.partial[place, chunk % trials.partial.shape[1]]
            accumulate(memory.noise, memory.coefficients, groups, partial)


@helper_function
def _run_chunk(
    shape: Shape,
    blocks: Blocks,
    source: Source,
    units: Units,
    cut: Cut,
    trials: FullTrials,
    order: NDArray[np.int64],
    all_memory: FullMemory,
    all_passes: Passes,
    all_lanes: Lanes,
    worker: int,
    step: int,
    chunk: int,
    most: int,  # perturbations of a trial
    is_shaped: bool,  # and the losses are known
) -> None:
    """Run the units of a chunk, or add their shaped perturbations; leave its sums."""
    memory, passes, lanes = _memory_of(all_memory, worker), passes_of(all_passes, worker), lanes_of(all_lanes, worker)
    stored = trials.partial.shape[1]
    for place in order:
        trials.partial[place, chunk % stored] = 0.0
        if not is_shaped:
            trials.chunk_loss[place, chunk] = 0.0
    for unit in range(chunk, _units_of(cut, most), cut.n_chunks):
        if memory.stop[0]:
            return
        first, part = unit // cut.parts * cut.of_a_unit, unit % cut.parts
        if is_shaped:
            if part == 0:
                _add_shaped(units, cut, trials, order, memory, lanes, step, first, chunk)
        elif cut.in_turn:
            _run_in_turn(
                shape, blocks, source, units, cut, trials, order, memory, passes, lanes, step, first, part, chunk
            )
        else:
            _run_side_by_side(
                shape, blocks, source, units, cut, trials, order, memory, passes, lanes, step, first, chunk
            )
    if stored == 1 and is_shaped == (cut.shaping != _NONE):
        for place in order:
            trials.total[place] += trials.partial[place, 0]


@helper_function
def _weigh(cut: Cut, trials: FullTrials, place: int) -> None:
    """Leave the shaped coefficients of a trial's perturbations."""
    n, parts = trials.perturbations[place], cut.parts
    plus, other = trials.plus[place], trials.other[place]
    for k in range(n):
        a, b = 0.0, 0.0
        for part in range(k * parts, (k + 1) * parts):
            a += plus[part]
            b += other[part]
        plus[k], other[k] = a / cut.datapoints, b / cut.datapoints
    shape_losses(
        cut.shaping, trials.choices[place, 1], cut.share_data, plus[:n], other[:n], trials.coefficients[place, :n]
    )


@helper_function
def _move_share(
    cut: Cut, trials: FullTrials, order: NDArray[np.int64], most: int, step: int, worker: int, workers: int
) -> None:
    """Add up the chunks' sums of a worker's share of the weights, in order, and move the weights by them."""
    n_padded = trials.single.shape[1]
    begin, end = n_padded * worker // workers, n_padded * (worker + 1) // workers
    for place in order:
        if not math.isfinite(trials.loss[place]):
            continue
        rule, total, n = rule_at(trials, place), trials.total[place], trials.perturbations[place]
        if trials.partial.shape[1] > 1:
            total[begin:end] = 0.0
            for chunk in range(min(cut.n_chunks, _units_of(cut, most))):
                partial = trials.partial[place, chunk]
                for q in range(begin, end):
                    total[q] += partial[q]
        weights = Weights(trials.master[place], trials.single[place], trials.first[place], trials.second[place])
        factor = 1.0 / n
        if cut.shaping == _NONE:
            factor /= cut.datapoints
            factor = factor * rule.stddev if rule.kind == _RAW else factor / rule.stddev
        if rule.kind == _RAW:
            for q in range(begin, end):
                weights.master[q] -= factor * total[q]
        else:
            descend_between(rule, weights, total, factor, step, begin, end)
        for q in range(begin, end):
            weights.single[q] = np.float32(weights.master[q])


def take_steps(
    shape: Shape,
    blocks: Blocks,
    source: Source,
    units: Units,
    cut: Cut,
    trials: FullTrials,
    order: NDArray[np.int64],  # INOUT (n,), places of the trials that take steps, those of equal timesteps together
    memory: FullMemory,
    passes: Passes,
    lanes: Lanes,
    first_step: int,
    n_steps: int,
    steps: NDArray[np.int64],  # OUT (n_trials,), taken by each
    losses: NDArray[np.float64],  # OUT (n_trials,), mean training loss of each trial's last step
) -> None:
    """Take `n_steps` steps of every trial in `order`, a thread for each worker.

    A trial whose loss is not finite moves nothing in that step, and leaves; the others go on. A stop that the memory
    asks for leaves the present step undone in all of them.
    """
    workers, n_trials = len(memory.noise), len(order)
    for step in range(first_step, first_step + n_steps):
        going_on = order[:n_trials]
        most = 0
        for place in going_on:
            most = max(most, trials.perturbations[place])
            trials.total[place] = 0.0
        n_chunks = min(cut.n_chunks, _units_of(cut, most))
        if cut.share_data:
            for worker in numba.prange(workers):
                _run_base(
                    shape, blocks, source, units.seed, cut, trials, going_on, memory, passes, step, worker,
                    workers,
                )  # fmt: skip
        for visit in range(1 if cut.shaping == _NONE else 2):
            for worker in numba.prange(workers):
                for chunk in range(worker, n_chunks, workers):
                    _run_chunk(
                        shape, blocks, source, units, cut, trials, going_on, memory, passes, lanes, worker, step,
                        chunk, most, visit == 1,
                    )  # fmt: skip
            if memory.stop[0]:
                return
            if visit == 0:
                for place in going_on:
                    trials.loss[place] = 0.0
                    for chunk in range(n_chunks):
                        trials.loss[place] += trials.chunk_loss[place, chunk]
                    if cut.shaping != _NONE:
                        _weigh(cut, trials, place)
        for worker in numba.prange(workers):
            _move_share(cut, trials, going_on, most, step, worker, workers)
        n_trials = 0
        for place in going_on:
            losses[place] = trials.loss[place] / (trials.perturbations[place] * cut.datapoints)
            steps[place] += 1
            if math.isfinite(losses[place]):
                order[n_trials] = place
                n_trials += 1
        if n_trials == 0:
            return


train, train_parallel = kernel(take_steps), parallel_kernel(take_steps)
"""On the calling thread, for one worker; or on all threads, to the same bits."""
