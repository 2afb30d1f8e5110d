"""Passes of perturbations of low rank: their datapoints, drawn or shared, their factors, and their losses."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from freewalk.kernels.cpu.blocks import Blocks
from freewalk.kernels.cpu.factors import FactorSource, Panels, draw_factors, keep_factors
from freewalk.kernels.cpu.lane_group import load_group
from freewalk.kernels.cpu.layout import Shape, Source
from freewalk.kernels.cpu.low_rank_layout import Family, LowRankMemory, LowRankTrials
from freewalk.kernels.cpu.shared_pass import Passes, passes_of, run_passes
from freewalk.kernels.cpu.together import shape_at
from freewalk.kernels.machine.jit import helper_function, inline_function
from freewalk.kernels.machine.lanes import LANES, load_f32, store

_ZERO = np.float32(0.0)


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
    shares_base = family.share_data and not family.two_sided and not shape.tangent
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
