"""Walks of one seed that share their noise: every unit perturbation is drawn once and used by all trials.

Each trial takes the steps that it would take alone, to the same bits: `freewalk.kernels.cpu.walk` cuts a batch into
tiles whose size depends on the network alone, so a tile holds the same datapoints in every trial, and a trial's partial
sums are made of its own tiles in its own order.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from freewalk.kernels.cpu.lane_group import load_group
from freewalk.kernels.cpu.layout import NoiseSource, Shape, Source, Tiling, Workspace
from freewalk.kernels.cpu.noise import draw
from freewalk.kernels.cpu.optimizers import Rule, Weights, move
from freewalk.kernels.cpu.walk import accumulate, run_group
from freewalk.kernels.machine.jit import helper_function, inline_function, kernel
from freewalk.kernels.machine.lanes import LANES

_LANES = LANES


class Trials(NamedTuple):
    """Trials as arrays by place: what differs between them, and what each needs for itself."""

    timesteps: NDArray[np.int64]  # (n_trials,)
    input_rows: NDArray[np.int64]  # (n_trials,)
    output_rows: NDArray[np.int64]  # (n_trials,)
    tilings: NDArray[np.int64]  # (n_trials, 4), the fields of Tiling
    choices: NDArray[np.int64]  # (n_trials, 3), the whole numbers of Rule: kind, two_sided, cosine_steps
    numbers: NDArray[np.float64]  # (n_trials, 3), the others: stddev, learning_rate, momentum
    master: NDArray[np.float64]  # (n_trials, n_padded), this and the next three as in Weights
    single: NDArray[np.float32]
    first: NDArray[np.float64]
    second: NDArray[np.float64]
    coefficients: NDArray[np.float32]  # (n_trials, (groups + 1) * LANES), as in Workspace
    partial: NDArray[np.float64]  # (n_trials, n_padded), of the present chunk
    total: NDArray[np.float64]  # (n_trials, n_padded), of the chunks before it
    chunk: NDArray[np.int64]  # (n_trials,), the present one
    chunk_loss: NDArray[np.float64]  # (n_trials,), of the present chunk
    total_loss: NDArray[np.float64]  # (n_trials,), of the chunks before it


class Settings(Protocol):
    """What trials that run together differ in, as arrays by place; see `Trials`."""

    @property
    def timesteps(self) -> NDArray[np.int64]: ...  # noqa: D102
    @property
    def input_rows(self) -> NDArray[np.int64]: ...  # noqa: D102
    @property
    def output_rows(self) -> NDArray[np.int64]: ...  # noqa: D102
    @property
    def choices(self) -> NDArray[np.int64]: ...  # noqa: D102
    @property
    def numbers(self) -> NDArray[np.float64]: ...  # noqa: D102


@inline_function
def shape_at(shape: Shape, trials: Settings, place: int) -> Shape:
    """Return the sizes of a trial, which differ in the timesteps alone."""
    return Shape(
        shape.n_input,
        shape.n_output,
        shape.n_from,
        shape.n_to,
        shape.n_rows,
        trials.timesteps[place],
        trials.input_rows[place],
        trials.output_rows[place],
        shape.softmax,
        shape.cross_entropy,
        shape.of_hidden,
        shape.of_outputs,
        shape.leak,
        shape.hidden_first,
        shape.tangent,
        shape.runs,
        shape.layers,
    )


@inline_function
def rule_at(trials: Settings, place: int) -> Rule:
    """Return a trial's update rule."""
    kind, two_sided, cosine_steps = trials.choices[place]
    stddev, learning_rate, momentum = trials.numbers[place]
    return Rule(kind, stddev, two_sided, learning_rate, momentum, cosine_steps)


@inline_function
def weights_at(trials: Any, place: int) -> Weights:
    """Return the weights and moments of one of some trials, whatever else these hold."""
    return Weights(trials.master[place], trials.single[place], trials.first[place], trials.second[place])


@inline_function
def _tiling(trials: Trials, place: int) -> Tiling:
    batch_size, groups, n_tiles, n_chunks = trials.tilings[place]
    return Tiling(batch_size, groups, n_tiles, n_chunks)


@inline_function
def _load_tile(
    shape: Shape, source: Source, seed: np.uint64, step: int, first: int, groups: int, workspace: Workspace
) -> None:
    for group in range(groups):
        load_group(shape, source, seed, step, first + group * _LANES, workspace.x[group], workspace.y[group])


@helper_function
def _run_tile(
    shape: Shape,
    trials: Trials,
    place: int,
    workspace: Workspace,  # with the datapoints of the tile's groups and their unit noise
    first: int,  # datapoint
) -> None:
    """Run the datapoints of a tile that a trial's batch holds, and add them to its sums."""
    rule, tiling = rule_at(trials, place), _tiling(trials, place)
    noise, coefficients = workspace.noise[0], trials.coefficients[place]
    used = min(tiling.groups, (tiling.batch_size - first + _LANES - 1) // _LANES)
    loss = trials.chunk_loss[place]
    for group in range(used):
        x, y = workspace.x[group], workspace.y[group]
        scratch = Workspace(noise, workspace.state[0], x, y, workspace.outputs[0], coefficients, workspace.stop)
        loss += run_group(shape, rule, tiling, trials.single[place], scratch, first + group * _LANES, group)
    trials.chunk_loss[place] = loss
    accumulate(noise, coefficients, used, trials.partial[place])


@helper_function
def _end_chunk(trials: Trials, place: int, tile: int) -> None:
    """Add a chunk's sums to those of the chunks before it, as `freewalk.kernels.cpu.walk.add_chunks` does."""
    tiling = _tiling(trials, place)
    if tile + 1 < tiling.n_tiles * (trials.chunk[place] + 1) // tiling.n_chunks:
        return
    partial, total = trials.partial[place], trials.total[place]
    for position in range(len(total)):
        total[position] += partial[position]
        partial[position] = 0.0
    trials.total_loss[place] += trials.chunk_loss[place]
    trials.chunk_loss[place] = 0.0
    trials.chunk[place] += 1


@helper_function
def _run_tile_of_all(
    shape: Shape,
    source: Source,
    noise_source: NoiseSource,
    trials: Trials,
    order: NDArray[np.int64],
    workspace: Workspace,
    step: int,
    tile: int,
    groups: int,  # in the tile
    largest: int,  # batch
) -> None:
    """Draw the noise of a tile and run every trial whose batch reaches it."""
    first = tile * groups * _LANES
    used = min(groups, (largest - first + _LANES - 1) // _LANES)
    for group in range(used):
        at = group * trials.single.shape[1] * _LANES
        draw(shape, noise_source, first + group * _LANES, step, workspace.noise[0], at)
    loaded = 0
    for place in order:
        if first < trials.tilings[place, 0]:
            own = shape_at(shape, trials, place)
            if own.timesteps != loaded:  # the order lets trials of equal timesteps share their datapoints
                _load_tile(own, source, noise_source.seed, step, first, used, workspace)
                loaded = own.timesteps
            _run_tile(own, trials, place, workspace, first)
            _end_chunk(trials, place, tile)


@helper_function
def _finish_step(trials: Trials, place: int, step: int) -> float:
    """Move the weights of a trial by its sums, unless the loss is not finite; return the mean loss."""
    batch_size = trials.tilings[place, 0]
    loss: float = trials.total_loss[place] / batch_size
    if math.isfinite(loss):
        move(rule_at(trials, place), weights_at(trials, place), trials.total[place], batch_size, step)
    return loss


@inline_function
def _largest_batch(trials: Trials, order: NDArray[np.int64]) -> int:
    largest = 0
    for place in order:
        largest = max(largest, trials.tilings[place, 0])
    return largest


@inline_function
def _clear_sums(trials: Trials, order: NDArray[np.int64]) -> None:
    for place in order:
        trials.partial[place] = 0.0
        trials.total[place] = 0.0
        trials.chunk[place] = 0
        trials.chunk_loss[place] = 0.0
        trials.total_loss[place] = 0.0


@kernel
def train_together(
    shape: Shape,
    source: Source,
    noise_source: NoiseSource,
    trials: Trials,
    order: NDArray[np.int64],  # INOUT (n,), places of the trials that take steps, those of equal timesteps together
    workspace: Workspace,
    first_step: int,
    n_steps: int,
    steps: NDArray[np.int64],  # OUT (n_trials,), taken by each
    losses: NDArray[np.float64],  # OUT (n_trials,), mean training loss of each trial's last step
) -> None:
    """Take `n_steps` steps of every trial in `order`, on the calling thread.

    A trial whose loss is not finite moves nothing in that step, and leaves; the others go on. A stop that the workspace
    asks for leaves the present step undone in all of them.
    """
    n_trials = len(order)
    for step in range(first_step, first_step + n_steps):
        going_on = order[:n_trials]
        _clear_sums(trials, going_on)
        largest = _largest_batch(trials, going_on)
        groups = trials.tilings[going_on[0], 1]  # the network's, and so the same in all trials
        for tile in range((largest + groups * _LANES - 1) // (groups * _LANES)):
            if workspace.stop[0]:
                return
            _run_tile_of_all(shape, source, noise_source, trials, going_on, workspace, step, tile, groups, largest)
        if workspace.stop[0]:
            return
        n_trials = 0
        for place in going_on:
            losses[place] = _finish_step(trials, place, step)
            steps[place] += 1
            if math.isfinite(losses[place]):
                order[n_trials] = place
                n_trials += 1
        if n_trials == 0:
            return
