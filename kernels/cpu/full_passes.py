"""Passes of full perturbations that several datapoints see: side by side, a lane for each, or in turn.

See `freewalk.kernels.cpu.full_rank`.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from freewalk.kernels.cpu.blocks import Blocks
from freewalk.kernels.cpu.full_draws import Lanes, Units, draw_one, draw_sixteen
from freewalk.kernels.cpu.full_layout import AT_ONCE, Cut, FullMemory, FullTrials, memory_of
from freewalk.kernels.cpu.lane_group import load_group
from freewalk.kernels.cpu.layout import Shape, Source
from freewalk.kernels.cpu.shaping import NONE
from freewalk.kernels.cpu.shared_pass import Passes, passes_of, run_individual, run_passes
from freewalk.kernels.cpu.together import shape_at
from freewalk.kernels.cpu.walk import accumulate
from freewalk.kernels.machine.jit import helper_function, inline_function
from freewalk.kernels.machine.lanes import LANES, fma, load_f32, splat_f32, store

_NONE, _LANES, _AT_ONCE = NONE, LANES, AT_ONCE
_ZERO = np.float32(0.0)


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
def run_base(
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
    memory, passes = memory_of(all_memory, worker), passes_of(all_passes, worker)
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
def _choose_with_tangents(memory: FullMemory, first: int, n: int, scale: np.floating) -> None:
    for k in range(n):
        memory.groups_of[2 * k], memory.scales[2 * k] = first + k, scale
        memory.groups_of[2 * k + 1], memory.scales[2 * k + 1] = first + k, _ZERO


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
    if shape.tangent:
        for first in range(0, cut.datapoints, _AT_ONCE // 2):
            n = min(_AT_ONCE // 2, cut.datapoints - first)
            groups_of, scales = memory.groups_of[: 2 * n], memory.scales[: 2 * n]
            _choose_with_tangents(memory, (0 if cut.share_data else group * cut.datapoints) + first, n, scale)
            run_individual(shape, blocks, single, passes, groups_of, scales, memory.noise, noise_at)
            for k in range(2 * n):
                _add_lanes(passes.losses, k * _LANES, sums, k % 2 * _LANES)
        return
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
def run_side_by_side(
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


@inline_function
def _sum_both_in_turn(
    shape: Shape,
    blocks: Blocks,
    cut: Cut,
    trials: FullTrials,
    place: int,
    memory: FullMemory,
    passes: Passes,
    begin: int,  # datapoint of the part
    n: int,
) -> tuple[float, float]:
    """Return the summed losses at W + D, and at W or W - D, of the datapoints that are loaded."""
    single, scale = trials.single[place], np.float32(trials.numbers[place, 0])
    _perturb(single, memory.noise, scale, memory.perturbed)
    plus, other = _sum_in_turn(shape, blocks, memory.perturbed, memory, passes, n), 0.0
    if trials.choices[place, 1]:
        _perturb(single, memory.noise, -scale, memory.perturbed)
        other = _sum_in_turn(shape, blocks, memory.perturbed, memory, passes, n)
    elif cut.share_data:
        for j in range(begin, begin + n):
            other += np.float64(trials.base[place, j])
    else:
        other = _sum_in_turn(shape, blocks, single, memory, passes, n)
    return plus, other


@helper_function
def _sum_tangents_in_turn(
    shape: Shape,
    blocks: Blocks,
    single: NDArray[np.float32],
    memory: FullMemory,
    passes: Passes,
    n: int,  # datapoints
    scale: np.floating,
) -> tuple[float, float]:
    """Return the summed losses of the linearised and of the unperturbed network for the datapoints that are loaded."""
    plus, other = 0.0, 0.0
    for first in range(0, n, _AT_ONCE // 2 * _LANES):
        groups = min(_AT_ONCE // 2, (n - first + _LANES - 1) // _LANES)
        _choose_with_tangents(memory, first // _LANES, groups, scale)
        groups_of, scales = memory.groups_of[: 2 * groups], memory.scales[: 2 * groups]
        run_individual(shape, blocks, single, passes, groups_of, scales, memory.noise, -1)
        for k in range(min(groups * _LANES, n - first)):
            at = (k // _LANES * 2) * _LANES + k % _LANES
            plus += np.float64(passes.losses[at])
            other += np.float64(passes.losses[at + _LANES])
    return plus, other


@helper_function
def run_in_turn(
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
            if own.tangent:
                plus, other = _sum_tangents_in_turn(own, blocks, single, memory, passes, n, scale)
            else:
                plus, other = _sum_both_in_turn(own, blocks, cut, trials, place, memory, passes, begin, n)
            difference, loss = _keep_sums(cut, trials, place, k * cut.parts + part, plus, other)
            trials.chunk_loss[place, chunk] += loss
            if cut.shaping == _NONE:
                add_multiple(difference, memory.noise, trials.partial[place, chunk % trials.partial.shape[1]])


@inline_function
def add_multiple(factor: float, noise: NDArray[np.float32], sums: NDArray[np.float64]) -> None:
    """Add a perturbation times a factor to the sums."""
    for q in range(len(sums)):
        sums[q] += factor * np.float64(noise[q])
