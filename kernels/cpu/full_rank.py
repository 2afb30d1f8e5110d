"""The walk with full perturbations that several datapoints see, are orthogonal, or are weighed by shaped losses.

Perturbations of few datapoints run side by side: a lane for each of sixteen perturbations, whose datapoints follow one
another, so that a perturbed weight that is made is used for several of them. Those of many run in turn: one perturbed
matrix at a time, which the lanes share. A step is cut into units of perturbations, or of parts of their datapoints, and
units are dealt out to chunks. Each chunk has sums of its own, added in order: the bits do not depend on the threads.
"""

from __future__ import annotations

import math

import numba
import numpy as np
from numpy.typing import NDArray

from freewalk.kernels.cpu.blocks import Blocks
from freewalk.kernels.cpu.full_draws import Lanes, Units, draw_one, draw_sixteen, lanes_of
from freewalk.kernels.cpu.full_layout import Cut, FullMemory, FullTrials, memory_of
from freewalk.kernels.cpu.full_passes import add_multiple, run_base, run_in_turn, run_side_by_side
from freewalk.kernels.cpu.layout import Shape, Source
from freewalk.kernels.cpu.optimizers import descend, part_of
from freewalk.kernels.cpu.shaping import NONE, shape_losses
from freewalk.kernels.cpu.shared_pass import Passes, passes_of
from freewalk.kernels.cpu.together import rule_at, weights_at
from freewalk.kernels.cpu.walk import accumulate
from freewalk.kernels.machine.jit import helper_function, inline_function, kernel, parallel_kernel
from freewalk.kernels.machine.lanes import LANES
from freewalk.kernels.model.optimizers import RAW

_NONE, _RAW = NONE, RAW
_LANES = LANES
_ZERO = np.float32(0.0)


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
                    add_multiple(coefficient, memory.noise, trials.partial[place, chunk % trials.partial.shape[1]])
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
    memory, passes, lanes = memory_of(all_memory, worker), passes_of(all_passes, worker), lanes_of(all_lanes, worker)
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
            run_in_turn(
                shape, blocks, source, units, cut, trials, order, memory, passes, lanes, step, first, part, chunk
            )
        else:
            run_side_by_side(
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
        rule, total, n = rule_at(trials, place), trials.total[place, begin:end], trials.perturbations[place]
        if trials.partial.shape[1] > 1:
            total[:] = 0.0
            for chunk in range(min(cut.n_chunks, _units_of(cut, most))):
                partial = trials.partial[place, chunk, begin:end]
                for q in range(len(total)):
                    total[q] += partial[q]
        factor = 1.0 / n
        if cut.shaping == _NONE:
            factor /= cut.datapoints
            factor = factor * rule.stddev if rule.kind == _RAW else factor / rule.stddev
        descend(rule, part_of(weights_at(trials, place), begin, end), total, factor, step)


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
                run_base(
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
