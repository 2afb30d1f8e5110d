"""The walk with perturbations of low rank: passes on shared weights, and an update that is one product of matrices.

A step has two parts, each spread over threads. Every pair of a perturbation and a datapoint is run, and its losses
kept; then every panel of weights takes its sum over perturbations k, of coefficient c_k times a_k b_kᵀ, and moves.
Nothing is added across threads, so their number changes no bit. What is kept of the perturbations is bounded: a step
of very many has rounds, and draws anew where shaping wants all losses first.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numba
import numpy as np
from numpy.typing import NDArray

from freewalk.kernels.cpu.blocks import Blocks
from freewalk.kernels.cpu.factors import FactorSource, Panels, draw_factors, keep_factors
from freewalk.kernels.cpu.lane_group import load_group
from freewalk.kernels.cpu.layout import Shape, Source
from freewalk.kernels.cpu.low_rank_sums import move_panel, sum_panels
from freewalk.kernels.cpu.optimizers import Rule, Weights
from freewalk.kernels.cpu.shaping import NONE, shape_losses
from freewalk.kernels.cpu.shared_pass import Passes, passes_of, run_passes
from freewalk.kernels.cpu.together import rule_at, shape_at
from freewalk.kernels.machine.jit import helper_function, inline_function, kernel, parallel_kernel
from freewalk.kernels.machine.lanes import LANES, load_f32, store
from freewalk.kernels.model.optimizers import RAW

_NONE, _RAW = NONE, RAW
_ZERO = np.float32(0.0)


class Family(NamedTuple):
    """How the pairs of a step are made and weighed, as runtime values; the same in all trials that run together."""

    datapoints: int  # of one perturbation
    share_data: int
    two_sided: int
    shaping: int  # one of SHAPING_CODES
    groups: int  # lane groups that are run at once


class LowRankTrials(NamedTuple):
    """Trials of one seed by place: what differs between them, and what each needs for itself; perhaps just one."""

    timesteps: NDArray[np.int64]  # (n_trials,)
    input_rows: NDArray[np.int64]  # (n_trials,)
    output_rows: NDArray[np.int64]  # (n_trials,)
    batch_sizes: NDArray[np.int64]  # (n_trials,), pairs
    choices: NDArray[np.int64]  # (n_trials, 3), the whole numbers of Rule: kind, two_sided, cosine_steps
    numbers: NDArray[np.float64]  # (n_trials, 3), the others: stddev, learning_rate, momentum
    master: NDArray[np.float64]  # (n_trials, n_padded), this and the next three as in Weights
    single: NDArray[np.float32]
    first: NDArray[np.float64]
    second: NDArray[np.float64]
    sums: NDArray[np.float64]  # (n_trials, n_padded), over perturbations
    base: NDArray[np.float32]  # (n_trials, datapoints + padding), unperturbed losses of shared data
    plus: NDArray[np.float32]  # (n_trials, pairs of a round), losses at W + D
    other: NDArray[np.float32]  # (n_trials, pairs of a round), at W or W - D
    mean_plus: NDArray[np.float64]  # (n_trials, K), over each perturbation's datapoints
    mean_other: NDArray[np.float64]  # (n_trials, K)
    coefficients: NDArray[np.float32]  # (n_trials, K)
    total_loss: NDArray[np.float64]  # (n_trials,), of the step


class LowRankMemory(NamedTuple):
    """Scratch memory; rows of `workers` belong to one thread each."""

    shared_x: NDArray[np.float32]  # (input_rows * n_input, datapoints + padding), repeated; of shared data only
    shared_y: NDArray[np.float32]  # (output_rows * n_output, datapoints + padding)
    indices: NDArray[np.uint64]  # (workers, LANES)
    turned: NDArray[np.float32]  # (workers, LANES * LANES)
    groups_of: NDArray[np.int64]  # (workers, vectors)
    scales: NDArray[np.float32]  # (workers, vectors)
    scaled: NDArray[np.float32]  # (workers, 2 * rank * per_round * LANES), panels of b times coefficients
    tile: NDArray[np.float32]  # (workers, LANES * LANES)
    stop: NDArray[np.uint8]  # (1,), set from another thread to leave a step unfinished


@helper_function
def load_shared(
    shape: Shape, source: Source, seed: np.uint64, family: Family, step: int, memory: LowRankMemory, all_passes: Passes
) -> None:
    """Load the datapoints that all perturbations see, and repeat them until any sixteen in a row are there."""
    passes = passes_of(all_passes, 0)
    n, width = family.datapoints, memory.shared_x.shape[1]
    for first in range(0, n, LANES):
        load_group(shape, source, seed, step, first, passes.x, passes.y)
        for lane in range(min(LANES, n - first)):
            for place in range(first + lane, width, n):
                for k in range(memory.shared_x.shape[0]):
                    memory.shared_x[k, place] = passes.x[k * LANES + lane]
                for k in range(memory.shared_y.shape[0]):
                    memory.shared_y[k, place] = passes.y[k * LANES + lane]


@inline_function
def _window(shared: NDArray[np.float32], place: int, out: NDArray[np.float32], at: int) -> None:
    for k in range(shared.shape[0]):
        store(out, at + k * LANES, load_f32(shared[k], place))


@inline_function
def _load_window(shape: Shape, family: Family, pair: int, group: int, memory: LowRankMemory, passes: Passes) -> None:
    """Put the shared datapoints that the pairs from `pair` on see in the place of a lane group."""
    x_size, y_size = shape.input_rows * shape.n_input * LANES, shape.output_rows * shape.n_output * LANES
    _window(memory.shared_x, pair % family.datapoints, passes.x, group * x_size)
    _window(memory.shared_y, pair % family.datapoints, passes.y, group * y_size)


@helper_function
def run_base(
    shape: Shape,
    blocks: Blocks,
    trials: LowRankTrials,
    order: NDArray[np.int64],
    family: Family,
    memory: LowRankMemory,
    all_passes: Passes,
    worker: int,
    workers: int,
) -> None:
    """Write the unperturbed losses of a worker's share of the shared datapoints."""
    at_once, n = family.groups * LANES, family.datapoints
    passes, groups_of, scales = passes_of(all_passes, worker), memory.groups_of[worker], memory.scales[worker]
    for first in range(worker * at_once, n, workers * at_once):
        used = min(family.groups, (n - first + LANES - 1) // LANES)
        for group in range(used):
            groups_of[group], scales[group] = group, _ZERO
            _load_window(shape, family, first + group * LANES, group, memory, passes)
        for place in order:
            own = shape_at(shape, trials, place)
            run_passes(own, blocks, trials.single[place], passes, groups_of[:used], scales[:used], 0)
            base = trials.base[place]
            for k in range(min(used * LANES, n - first)):
                for to in range(first + k, len(base), n):
                    base[to] = passes.losses[k]


@inline_function
def _load_groups(
    shape: Shape,
    source: Source,
    seed: np.uint64,
    family: Family,
    memory: LowRankMemory,
    passes: Passes,
    step: int,
    pair: int,
    groups: int,
) -> None:
    x_size, y_size = shape.input_rows * shape.n_input * LANES, shape.output_rows * shape.n_output * LANES
    for group in range(groups):
        if family.share_data:
            _load_window(shape, family, pair + group * LANES, group, memory, passes)
        else:
            x, y = passes.x[group * x_size :], passes.y[group * y_size :]
            load_group(shape, source, seed, step, pair + group * LANES, x, y)


@inline_function
def _run_groups(
    shape: Shape,
    blocks: Blocks,
    trials: LowRankTrials,
    place: int,
    rank: int,
    family: Family,
    passes: Passes,
    groups_of: NDArray[np.int64],
    scales: NDArray[np.float32],
    first_pair: int,  # of the round
    first: int,  # pair of the round
    n_pairs: int,  # of the trial, in the round
) -> None:
    """Run lane groups with their datapoints and factors, and keep the losses of their pairs."""
    used = min(family.groups, (n_pairs - first + LANES - 1) // LANES)
    scale = np.float32(trials.numbers[place, 0] / math.sqrt(rank))
    shares_base = family.share_data and not family.two_sided
    of_a_group = 1 if shares_base else 2
    for group in range(used):
        v = group * of_a_group
        groups_of[v], scales[v] = group, scale
        if not shares_base:
            groups_of[v + 1], scales[v + 1] = group, -scale if family.two_sided else _ZERO
    vectors = used * of_a_group
    run_passes(shape, blocks, trials.single[place], passes, groups_of[:vectors], scales[:vectors], rank)
    plus, other, base, losses = trials.plus[place], trials.other[place], trials.base[place], passes.losses
    for k in range(min(used * LANES, n_pairs - first)):
        v, lane = k // LANES * of_a_group, k % LANES
        plus[first + k] = losses[v * LANES + lane]
        if shares_base:
            other[first + k] = base[(first_pair + first + k) % family.datapoints]
        else:
            other[first + k] = losses[(v + 1) * LANES + lane]


@inline_function
def _pairs_of(trials: LowRankTrials, place: int, first_pair: int, n_pairs: int) -> int:
    """Return how many of a round's pairs a trial has."""
    n: int = max(0, min(n_pairs, trials.batch_sizes[place] - first_pair))
    return n


@helper_function
def run_share(
    shape: Shape,
    blocks: Blocks,
    source: Source,
    factors: FactorSource,
    panels: Panels,
    family: Family,
    trials: LowRankTrials,
    order: NDArray[np.int64],  # places
    memory: LowRankMemory,
    all_passes: Passes,
    worker: int,
    workers: int,
    step: int,
    first_pair: int,  # of the round
    n_pairs: int,  # of the round, in the largest batch
    runs: bool,
) -> None:
    """Draw the factors of a worker's share of a round; run the pairs of all trials, or only draw."""
    at_once, n, rank = family.groups * LANES, family.datapoints, factors.rank
    passes, indices, turned = passes_of(all_passes, worker), memory.indices[worker], memory.turned[worker]
    groups_of, scales = memory.groups_of[worker], memory.scales[worker]
    a, b = passes.a, passes.b
    for first in range(worker * at_once, n_pairs, workers * at_once):
        if memory.stop[0]:
            return
        used = min(family.groups, (n_pairs - first + LANES - 1) // LANES)
        draw_factors(factors, blocks, first_pair + first, n, used, step, indices, a, b)
        keep_factors(blocks, rank, panels, first, n_pairs, n, used, a, b, turned)
        loaded = 0
        for place in order:
            pairs = _pairs_of(trials, place, first_pair, n_pairs)
            if runs and first < pairs:
                own = shape_at(shape, trials, place)
                if own.timesteps != loaded:  # the order lets trials of equal timesteps share their datapoints
                    _load_groups(own, source, factors.seed, family, memory, passes, step, first_pair + first, used)
                    loaded = own.timesteps
                _run_groups(
                    own, blocks, trials, place, rank, family, passes, groups_of, scales, first_pair, first, pairs
                )


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
        weights = Weights(trials.master[place], trials.single[place], trials.first[place], trials.second[place])
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
