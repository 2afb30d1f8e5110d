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

from freewalk.kernels.cpu.blocks import A_PANEL, B_PANEL, COLUMNS, MASTER, ROWS, Blocks, write_rows
from freewalk.kernels.cpu.factors import FactorSource, Panels, draw_factors, keep_factors
from freewalk.kernels.cpu.lane_group import load_group
from freewalk.kernels.cpu.layout import Shape, Source
from freewalk.kernels.cpu.optimizers import RAW, Rule, Weights, descend_between
from freewalk.kernels.cpu.shaping import NONE, shape_losses
from freewalk.kernels.cpu.shared_pass import Passes, passes_of, run_passes
from freewalk.kernels.cpu.tiles import add_products, empty_tile, store_tile
from freewalk.kernels.machine.jit import helper_function, inline_function, kernel, parallel_kernel
from freewalk.kernels.machine.lanes import LANES, load_f32, splat_f32, store

_ROWS, _COLUMNS, _MASTER, _A_PANEL, _B_PANEL = ROWS, COLUMNS, MASTER, A_PANEL, B_PANEL
_NONE, _RAW = NONE, RAW
_ZERO = np.float32(0.0)
_SUMMED_AT_ONCE = 256  # products that are added in float32 before they go into a float64


class Family(NamedTuple):
    """How the pairs of a step are made and weighed, as runtime values."""

    batch_size: int  # pairs
    datapoints: int  # of one perturbation
    share_data: int
    shaping: int  # one of SHAPING_CODES
    groups: int  # lane groups that are run at once


class LowRankMemory(NamedTuple):
    """What a step needs besides the weights; rows of `workers` belong to one thread each."""

    shared_x: NDArray[np.float32]  # (input_rows * n_input, datapoints + padding), repeated; of shared data only
    shared_y: NDArray[np.float32]  # (output_rows * n_output, datapoints + padding)
    base: NDArray[np.float32]  # (datapoints + padding,), unperturbed losses of shared data
    plus: NDArray[np.float32]  # (pairs of a round,), losses at W + D
    other: NDArray[np.float32]  # (pairs of a round,), at W or W - D
    mean_plus: NDArray[np.float64]  # (K,), over each perturbation's datapoints
    mean_other: NDArray[np.float64]  # (K,)
    coefficients: NDArray[np.float32]  # (K,)
    indices: NDArray[np.uint64]  # (workers, LANES)
    turned: NDArray[np.float32]  # (workers, LANES * LANES)
    groups_of: NDArray[np.int64]  # (workers, vectors)
    scales: NDArray[np.float32]  # (workers, vectors)
    scaled: NDArray[np.float32]  # (workers, rank * per_round * LANES), a panel of b times coefficients
    tile: NDArray[np.float32]  # (workers, LANES * LANES)
    sums: NDArray[np.float64]  # (n_padded,), over perturbations
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
    single: NDArray[np.float32],
    family: Family,
    memory: LowRankMemory,
    all_passes: Passes,
    worker: int,
    first: int,  # shared datapoint
) -> None:
    """Write the unperturbed losses of the shared datapoints from `first` on, as many as are run at once."""
    passes, n = passes_of(all_passes, worker), family.datapoints
    groups_of, scales = memory.groups_of[worker], memory.scales[worker]
    used = min(family.groups, (n - first + LANES - 1) // LANES)
    for group in range(used):
        groups_of[group], scales[group] = group, _ZERO
        _load_window(shape, family, first + group * LANES, group, memory, passes)
    run_passes(shape, blocks, single, passes, groups_of[:used], scales[:used], 0)
    for k in range(min(used * LANES, n - first)):
        for place in range(first + k, len(memory.base), n):
            memory.base[place] = passes.losses[k]


@helper_function
def draw_groups(
    blocks: Blocks,
    factors: FactorSource,
    panels: Panels,
    family: Family,
    memory: LowRankMemory,
    all_passes: Passes,
    worker: int,
    step: int,
    first_pair: int,  # of the round
    first: int,  # pair of the round
    n_pairs: int,  # in the round
) -> int:
    """Draw the factors of the lane groups from a pair on, and keep them; return how many groups those are."""
    passes, rank, n = passes_of(all_passes, worker), factors.rank, family.datapoints
    a_size, b_size = rank * blocks.a_stride * LANES, rank * blocks.b_stride * LANES
    used = min(family.groups, (n_pairs - first + LANES - 1) // LANES)
    for group in range(used):
        pair = first + group * LANES
        a, b = passes.a[group * a_size :], passes.b[group * b_size :]
        indices, turned = memory.indices[worker], memory.turned[worker]
        draw_factors(factors, blocks, first_pair + pair, n, step, indices, a, 0, blocks.a_stride, b, 0, blocks.b_stride)
        keep_factors(blocks, rank, panels, pair, n_pairs, n, a, 0, blocks.a_stride, b, 0, blocks.b_stride, turned)
    return used


@helper_function
def run_groups(
    shape: Shape,
    blocks: Blocks,
    single: NDArray[np.float32],
    rule: Rule,
    source: Source,
    seed: np.uint64,
    rank: int,
    family: Family,
    memory: LowRankMemory,
    all_passes: Passes,
    worker: int,
    step: int,
    first_pair: int,  # of the round
    first: int,  # pair of the round
    n_pairs: int,  # in the round
    used: int,  # lane groups, with their factors
) -> None:
    """Run lane groups, and keep the losses of their pairs."""
    passes = passes_of(all_passes, worker)
    groups_of, scales = memory.groups_of[worker], memory.scales[worker]
    scale = np.float32(rule.stddev / math.sqrt(rank))
    shares_base = family.share_data and not rule.two_sided
    of_a_group = 1 if shares_base else 2
    for group in range(used):
        pair = first_pair + first + group * LANES
        if family.share_data:
            _load_window(shape, family, pair, group, memory, passes)
        else:
            x_size, y_size = shape.input_rows * shape.n_input * LANES, shape.output_rows * shape.n_output * LANES
            load_group(shape, source, seed, step, pair, passes.x[group * x_size :], passes.y[group * y_size :])
        v = group * of_a_group
        groups_of[v], scales[v] = group, scale
        if not shares_base:
            groups_of[v + 1], scales[v + 1] = group, -scale if rule.two_sided else _ZERO
    vectors = used * of_a_group
    run_passes(shape, blocks, single, passes, groups_of[:vectors], scales[:vectors], rank)
    for k in range(min(used * LANES, n_pairs - first)):
        v, lane = k // LANES * of_a_group, k % LANES
        memory.plus[first + k] = passes.losses[v * LANES + lane]
        if shares_base:
            memory.other[first + k] = memory.base[(first_pair + first + k) % family.datapoints]
        else:
            memory.other[first + k] = passes.losses[(v + 1) * LANES + lane]


@helper_function
def gather_losses(rule: Rule, family: Family, memory: LowRankMemory, first: int, end: int) -> float:
    """Leave the mean losses of the perturbations first .. end - 1; return the summed loss of their pairs."""
    n = family.datapoints
    loss = 0.0
    for k in range(first, end):
        plus, other = 0.0, 0.0
        for pair in range((k - first) * n, (k - first + 1) * n):
            plus += memory.plus[pair]
            other += memory.other[pair]
        memory.mean_plus[k] = plus / n
        memory.mean_other[k] = other / n
        loss += (plus + other) / 2 if rule.two_sided else other
    return loss


@helper_function
def weigh(rule: Rule, family: Family, memory: LowRankMemory, first: int, end: int) -> None:
    """Leave the coefficients of the perturbations first .. end - 1."""
    shape_losses(
        family.shaping,
        rule.two_sided,
        family.share_data,
        memory.mean_plus[first:end],
        memory.mean_other[first:end],
        memory.coefficients[first:end],
    )


@inline_function
def _scale_panel(
    panel: NDArray[np.float32],  # IN (rank * per_round * LANES,)
    rank: int,
    per_round: int,
    n_used: int,
    coefficients: NDArray[np.float32],  # IN (n_used,)
    columns: int,
    scaled: NDArray[np.float32],  # OUT, rows of all ranks one after another, zero beyond the columns
) -> None:
    for lane in range(LANES):
        scaled[lane] = np.float32(lane < columns)
    live = load_f32(scaled, 0)
    for i in range(rank):
        for k in range(n_used):
            row = load_f32(panel, (i * per_round + k) * LANES)
            store(scaled, (i * n_used + k) * LANES, splat_f32(coefficients[k]) * (live * row))


@helper_function
def sum_panel(
    layer: NDArray[np.int64],
    panels: Panels,
    rank: int,
    n_used: int,  # perturbations of the round
    coefficients: NDArray[np.float32],  # IN (n_used,), of the round
    scaled: NDArray[np.float32],  # SCRATCH
    tile_sums: NDArray[np.float32],  # SCRATCH (LANES * LANES,)
    first: int,  # column of the layer
    is_first: bool,  # round of the step
    sums: NDArray[np.float64],  # INOUT
) -> None:
    """Add coefficient times a bᵀ, summed over a round's perturbations, to the sums of a panel of weights."""
    rows, here = layer[_ROWS], layer[_MASTER] + first * layer[_ROWS]
    panel = panels.b[layer[_B_PANEL] + first // LANES]
    _scale_panel(panel, rank, panels.per_round, n_used, coefficients, layer[_COLUMNS] - first, scaled)
    if is_first:
        sums[here : here + rows * LANES] = 0.0
    for row in range(0, rows, LANES):
        a = panels.a[layer[_A_PANEL] + row // LANES]
        n = min(LANES, rows - row) * LANES
        for i in range(rank):
            for begin in range(0, n_used, _SUMMED_AT_ONCE):
                tile = empty_tile(16)
                for k in range(begin, min(begin + _SUMMED_AT_ONCE, n_used)):
                    b = load_f32(scaled, (i * n_used + k) * LANES)
                    tile = add_products(tile, a, (i * panels.per_round + k) * LANES, b)
                store_tile(tile_sums, 0, tile)
                for q in range(n):
                    sums[here + row * LANES + q] += np.float64(tile_sums[q])


@helper_function
def move_panel(
    layer: NDArray[np.int64],
    rule: Rule,
    weights: Weights,
    sums: NDArray[np.float64],
    factor: float,  # of the gradient, on the sums
    first: int,  # column of the layer
    step: int,
) -> None:
    """Move a panel of weights."""
    rows = layer[_ROWS]
    begin = layer[_MASTER] + first * rows
    end = begin + rows * LANES
    if rule.kind == _RAW:
        for q in range(begin, end):
            weights.master[q] -= factor * sums[q]
    else:
        descend_between(rule, weights, sums, factor, step, begin, end)
    write_rows(layer, weights.master, weights.single, first, 0, rows)


@inline_function
def factor_of(rule: Rule, family: Family, rank: int) -> float:
    """Return what the sums are multiplied by to give the gradient, or the raw rule's step."""
    factor = family.datapoints / family.batch_size / math.sqrt(rank)
    if family.shaping == _NONE:
        return factor * rule.stddev if rule.kind == _RAW else factor / rule.stddev
    return factor


@helper_function
def run_share(
    shape: Shape,
    blocks: Blocks,
    single: NDArray[np.float32],
    rule: Rule,
    source: Source,
    factors: FactorSource,
    panels: Panels,
    family: Family,
    memory: LowRankMemory,
    all_passes: Passes,
    worker: int,
    workers: int,
    step: int,
    first: int,  # perturbation of the round
    end: int,
    runs: bool,
) -> None:
    """Draw the factors of a worker's share of a round; run its pairs, or only draw."""
    n_pairs, at_once = (end - first) * family.datapoints, family.groups * LANES
    pair = first * family.datapoints
    for begin in range(worker * at_once, n_pairs, workers * at_once):
        if memory.stop[0]:
            return
        used = draw_groups(blocks, factors, panels, family, memory, all_passes, worker, step, pair, begin, n_pairs)
        if runs:
            run_groups(
                shape,
                blocks,
                single,
                rule,
                source,
                factors.seed,
                factors.rank,
                family,
                memory,
                all_passes,
                worker,
                step,
                pair,
                begin,
                n_pairs,
                used,
            )


@helper_function
def sum_share(
    blocks: Blocks,
    rule: Rule,
    panels: Panels,
    rank: int,
    family: Family,
    weights: Weights,
    units: NDArray[np.int64],
    memory: LowRankMemory,
    worker: int,
    workers: int,
    step: int,
    first: int,  # perturbation of the round
    end: int,
    moves: bool,
) -> None:
    """Sum over a round's perturbations for a worker's share of the panels of weights; in the last round, move them."""
    factor = factor_of(rule, family, rank)
    coefficients = memory.coefficients[first:end]
    scaled, tile = memory.scaled[worker], memory.tile[worker]
    for unit in range(worker, len(units), workers):
        layer, column = blocks.layers[units[unit, 0]], units[unit, 1]
        sum_panel(layer, panels, rank, end - first, coefficients, scaled, tile, column, first == 0, memory.sums)
        if moves:
            move_panel(layer, rule, weights, memory.sums, factor, column, step)


@helper_function
def base_share(
    shape: Shape,
    blocks: Blocks,
    single: NDArray[np.float32],
    family: Family,
    memory: LowRankMemory,
    all_passes: Passes,
    worker: int,
    workers: int,
) -> None:
    """Write the unperturbed losses of a worker's share of the shared datapoints."""
    at_once = family.groups * LANES
    for first in range(worker * at_once, family.datapoints, workers * at_once):
        run_base(shape, blocks, single, family, memory, all_passes, worker, first)


def take_steps(
    shape: Shape,
    blocks: Blocks,
    rule: Rule,
    source: Source,
    factors: FactorSource,
    panels: Panels,
    family: Family,
    weights: Weights,
    units: NDArray[np.int64],  # IN (n, 2), layer and first column of the panels of weights
    memory: LowRankMemory,
    passes: Passes,
    first_step: int,
    n_steps: int,
) -> tuple[int, float]:
    """Take `n_steps` steps, on a thread for each worker of the memory, as `freewalk.kernels.cpu.walk.take_steps` does."""
    workers, rank, single, stop = len(memory.indices), factors.rank, weights.single, memory.stop
    n, per_round = family.batch_size // family.datapoints, panels.per_round
    n_rounds = (n + per_round - 1) // per_round
    waits = family.shaping != _NONE and n_rounds > 1
    loss = math.nan
    for step in range(first_step, first_step + n_steps):
        if family.share_data:
            load_shared(shape, source, factors.seed, family, step, memory, passes)
            if not rule.two_sided:
                for worker in numba.prange(workers):
                    base_share(shape, blocks, single, family, memory, passes, worker, workers)
        total = 0.0
        for visit in range(2 * n_rounds if waits else n_rounds):
            first = visit % n_rounds * per_round
            end = min(first + per_round, n)
            runs = visit < n_rounds
            for worker in numba.prange(workers):
                run_share(
                    shape, blocks, single, rule, source, factors, panels, family, memory, passes, worker, workers, step,
                    first, end, runs,
                )  # fmt: skip
            if stop[0]:
                return step - first_step, loss
            if runs:
                total += gather_losses(rule, family, memory, first, end)
                if not waits:
                    weigh(rule, family, memory, first, end)
                elif visit == n_rounds - 1:
                    weigh(rule, family, memory, 0, n)
            if visit >= n_rounds or not waits:
                moves = end == n and math.isfinite(total)
                for worker in numba.prange(workers):
                    sum_share(
                        blocks, rule, panels, rank, family, weights, units, memory, worker, workers, step, first, end,
                        moves,
                    )  # fmt: skip
        loss = total / family.batch_size
        if not math.isfinite(loss):
            return step + 1 - first_step, loss
    return n_steps, loss


train, train_parallel = kernel(take_steps), parallel_kernel(take_steps)
"""On the calling thread, for one worker; or on all threads, to the same bits."""
