"""The walk with perturbations of low rank: passes on shared weights, and an update that is one product of matrices.

A step has two parts, each spread over threads. Every pair of a perturbation and a datapoint is run, and its losses
kept; then every panel of weights takes its sum over perturbations k, of coefficient c_k times a_k b_kᵀ, and moves.
Nothing is added across threads, so their number changes no bit. What is kept of the perturbations is bounded: a step
of very many has rounds, and draws anew where shaping wants all losses first.
"""

from __future__ import annotations

import math

import numba
import numpy as np
from numpy.typing import NDArray

from freewalk.kernels.cpu.blocks import Blocks
from freewalk.kernels.cpu.factors import FactorSource, Panels
from freewalk.kernels.cpu.layout import Shape, Source
from freewalk.kernels.cpu.low_rank_layout import Family, LowRankMemory, LowRankTrials
from freewalk.kernels.cpu.low_rank_passes import load_shared, run_base, run_share
from freewalk.kernels.cpu.low_rank_sums import move_panel, sum_panels
from freewalk.kernels.cpu.optimizers import Rule
from freewalk.kernels.cpu.shaping import NONE, shape_losses
from freewalk.kernels.cpu.shared_pass import Passes
from freewalk.kernels.cpu.together import rule_at, shape_at, weights_at
from freewalk.kernels.machine.jit import helper_function, inline_function, kernel, parallel_kernel
from freewalk.kernels.machine.lanes import LANES
from freewalk.kernels.model.optimizers import RAW

_NONE, _RAW = NONE, RAW


@helper_function
def gather_losses(family: Family, trials: LowRankTrials, place: int, first: int, end: int) -> None:
    """Leave the mean losses of a trial's perturbations first .. end - 1, and add those of their pairs to the step's."""
    n, share, pair = family.datapoints, 1.0 / family.datapoints, 0
    all_plus, all_other = trials.plus[place], trials.other[place]
    mean_plus, mean_other = trials.mean_plus[place], trials.mean_other[place]
    loss = 0.0
    for k in range(first, end):
        plus, other = 0.0, 0.0
        for _ in range(n):
            plus += all_plus[pair]
            other += all_other[pair]
            pair += 1
        mean_plus[k] = plus * share
        mean_other[k] = other * share
        loss += (plus + other) / 2 if family.two_sided else other
    trials.total_loss[place] += loss


@helper_function
def weigh(family: Family, trials: LowRankTrials, place: int, first: int, end: int) -> None:
    """Leave the coefficients of a trial's perturbations first .. end - 1."""
    shape_losses(
        family.shaping,
        family.two_sided,
        family.share_data,
        trials.mean_plus[place, first:end],
        trials.mean_other[place, first:end],
        trials.coefficients[place, first:end],
    )


@inline_function
def _factor_of(rule: Rule, family: Family, rank: int, batch_size: int) -> float:
    """Return what the sums are multiplied by to give the gradient, or the raw rule's step."""
    factor = family.datapoints / batch_size / math.sqrt(rank)
    if family.shaping == _NONE:
        return factor * rule.stddev if rule.kind == _RAW else factor / rule.stddev
    return factor


@helper_function
def sum_share(
    blocks: Blocks,
    panels: Panels,
    rank: int,
    family: Family,
    trials: LowRankTrials,
    order: NDArray[np.int64],  # places
    units: NDArray[np.int64],
    memory: LowRankMemory,
    worker: int,
    workers: int,
    step: int,
    first: int,  # perturbation of the round
    end: int,  # of the round, in the largest batch
) -> None:
    """Sum over a round's perturbations for a worker's share of the panels of weights; in a trial's last, move them."""
    scaled, tile = memory.scaled[worker], memory.tile[worker]
    for place in order:
        n = trials.batch_sizes[place] // family.datapoints
        own_end = min(end, n)
        if own_end <= first:
            continue
        rule, sums = rule_at(trials, place), trials.sums[place]
        factor = _factor_of(rule, family, rank, trials.batch_sizes[place])
        weights = weights_at(trials, place)
        moves = own_end == n and math.isfinite(trials.total_loss[place])
        coefficients = trials.coefficients[place, first:own_end]
        for unit in range(worker, len(units), workers):
            layer, column, n_panels = blocks.layers[units[unit, 0]], units[unit, 1], units[unit, 2]
            n_used, is_first = own_end - first, first == 0
            sum_panels(layer, panels, rank, n_used, coefficients, scaled, tile, column, n_panels, is_first, sums)
            if moves:
                for k in range(n_panels):
                    move_panel(layer, rule, weights, sums, factor, column + k * LANES, step)


@helper_function
def _weigh_round(
    family: Family, trials: LowRankTrials, order: NDArray[np.int64], first: int, end: int, waits: bool, is_last: bool
) -> None:
    for place in order:
        n = trials.batch_sizes[place] // family.datapoints
        if first < n:
            gather_losses(family, trials, place, first, min(end, n))
            if not waits:
                weigh(family, trials, place, first, min(end, n))
        if waits and is_last:
            weigh(family, trials, place, 0, n)


def take_steps(
    shape: Shape,
    blocks: Blocks,
    source: Source,
    factors: FactorSource,
    panels: Panels,
    family: Family,
    trials: LowRankTrials,
    order: NDArray[np.int64],  # INOUT (n,), places of the trials that take steps, those of equal timesteps together
    units: NDArray[np.int64],  # IN (n, 3), layer, first column and number of some panels of weights
    memory: LowRankMemory,
    passes: Passes,
    first_step: int,
    n_steps: int,
    steps: NDArray[np.int64],  # OUT (n_trials,), taken by each
    losses: NDArray[np.float64],  # OUT (n_trials,), mean training loss of each trial's last step
) -> None:
    """Take `n_steps` steps of every trial in `order`, a thread for each worker.

    A trial whose loss is not finite moves nothing in that step, and leaves; the others go on. A stop that the memory
    asks for leaves the present step undone in all of them.
    """
    workers, rank, per_round = len(memory.indices), factors.rank, panels.per_round
    n_trials = len(order)
    for step in range(first_step, first_step + n_steps):
        going_on = order[:n_trials]
        largest = 0
        for place in going_on:
            trials.total_loss[place] = 0.0
            largest = max(largest, trials.batch_sizes[place])
        if family.share_data:
            load_shared(shape_at(shape, trials, going_on[0]), source, factors.seed, family, step, memory, passes)
            if not family.two_sided:
                for worker in numba.prange(workers):
                    run_base(shape, blocks, trials, going_on, family, memory, passes, worker, workers)
        n = largest // family.datapoints
        n_rounds = (n + per_round - 1) // per_round
        waits = family.shaping != _NONE and n_rounds > 1
        for visit in range(2 * n_rounds if waits else n_rounds):
            first = visit % n_rounds * per_round
            end = min(first + per_round, n)
            runs = visit < n_rounds
            first_pair, n_pairs = first * family.datapoints, (end - first) * family.datapoints
            for worker in numba.prange(workers):
                run_share(
                    shape, blocks, source, factors, panels, family, trials, going_on, memory, passes, worker, workers,
                    step, first_pair, n_pairs, runs,
                )  # fmt: skip
            if memory.stop[0]:
                return
            if runs:
                _weigh_round(family, trials, going_on, first, end, waits, visit == n_rounds - 1)
            if not waits or not runs:
                for worker in numba.prange(workers):
                    sum_share(
                        blocks, panels, rank, family, trials, going_on, units, memory, worker, workers, step, first, end
                    )
        n_trials = 0
        for place in going_on:
            losses[place] = trials.total_loss[place] / trials.batch_sizes[place]
            steps[place] += 1
            if math.isfinite(losses[place]):
                order[n_trials] = place
                n_trials += 1
        if n_trials == 0:
            return


train, train_parallel = kernel(take_steps), parallel_kernel(take_steps)
"""On the calling thread, for one worker; or on all threads, to the same bits."""
