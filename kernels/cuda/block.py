"""A block's teams run the datapoints of a step, and add up what they have found in an order that is always the same."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from freewalk.kernels.cuda.jit import SIMULATED, cuda, device_function
from freewalk.kernels.cuda.layout import ARGUMENT, SEED, STDDEV, TIMESTEPS, WARP, LaunchShape, Spec
from freewalk.kernels.cuda.noise import keys, make_draw_column
from freewalk.kernels.cuda.team import make_meet, make_run_datapoint, team_size_of
from freewalk.kernels.model.noise import Stream

_ZERO = np.float32(0.0)
_DATA = np.uint32(Stream.DATA)
_SHARED_BYTES = 48 << 10  # that every GPU gives a block
_OTHER_SHARED_BYTES = 2560  # of the kernels around, at most
_ALIGNMENT = None if SIMULATED else 16  # bytes: four neighbouring activations come with one load


def teams_of(spec: Spec, shape: LaunchShape) -> int:
    """Return how many teams share a block."""
    warps = 2 if SIMULATED else shape.warps
    return warps * WARP // team_size_of(spec)


def make_add_teams(spec: Spec, teams: int) -> Any:
    """Return a device function that adds the teams' sums to the block's, in the teams' order, and clears them."""
    n_to, n_from, team_size = spec.n_to, spec.n_from, team_size_of(spec)
    n_weights, threads = n_from * n_to, teams * team_size

    @device_function
    def add_teams_at_once(sums: Any, total: NDArray[np.float64], block: int, team: int, lane: int) -> None:
        """Add through shared memory, which has room for the sums of all teams."""
        staged = cuda.shared.array((teams, n_from, team_size), np.float32)
        for row in range(n_from):
            staged[team, row, lane] = sums[row]
            sums[row] = _ZERO
        cuda.syncthreads()
        for position in range(cuda.threadIdx.x, n_weights, threads):
            summed = 0.0
            for k in range(teams):
                summed += np.float64(staged[k, position // n_to, position % n_to])
            total[block, position] += summed
        cuda.syncthreads()

    @device_function
    def add_teams_in_turn(sums: Any, total: NDArray[np.float64], block: int, team: int, lane: int) -> None:
        """Add team by team."""
        for k in range(teams):
            if k == team and lane < n_to:
                for row in range(n_from):
                    total[block, row * n_to + lane] += np.float64(sums[row])
            cuda.syncthreads()
        for row in range(n_from):
            sums[row] = _ZERO

    staged = teams * n_from * team_size
    fits = (staged + _other_floats(spec, teams)) * 4 + _OTHER_SHARED_BYTES <= _SHARED_BYTES
    return add_teams_at_once if fits else add_teams_in_turn


def _other_floats(spec: Spec, teams: int) -> int:
    """Return the numbers that `sum_datapoints` holds in shared memory: weights, inputs, activations, losses."""
    of_a_team = 2 * (spec.n_input + 3) + 4 * (spec.n_to + 3) + 2 * spec.n_output
    return spec.n_from * team_size_of(spec) + teams * of_a_team


def make_sum_datapoints(spec: Spec, teams: int) -> Any:
    """Return a device function that runs some datapoints of a step with all teams of a block."""
    n_input, n_output, n_to, n_from = spec.n_input, spec.n_output, spec.n_to, spec.n_from
    n_rows = -(-n_from // 4) * 4
    padded_input, padded_to = -(-n_input // 4) * 4, -(-n_to // 4) * 4
    team_size, masked = team_size_of(spec), spec.masked
    n_weights, threads = n_from * n_to, teams * team_size
    draw = make_draw_column(n_rows, spec.noise)
    meet, run_datapoint, add_teams = make_meet(spec), make_run_datapoint(spec), make_add_teams(spec, teams)
    datapoint = device_function(spec.datapoint)

    @device_function
    def sum_datapoints(
        sizes: NDArray[np.int64],
        numbers: NDArray[np.float64],
        single: NDArray[np.float32],  # IN (n_trials, n_weights)
        mask: NDArray[np.float32],  # IN (n_weights,), or (0,)
        x: NDArray[np.float32],  # SCRATCH (blocks, teams * WARP, input_rows, n_input)
        y: NDArray[np.float32],  # SCRATCH (blocks, teams * WARP, output_rows, n_output)
        total: NDArray[np.float64],  # OUT (blocks, n_weights)
        trial: int,
        step: int,
        begin: int,
        end: int,
    ) -> float:
        """Leave a block's sum over the datapoints begin .. end - 1 of a step; return their summed loss."""
        weights = cuda.shared.array((n_from, team_size), np.float32)
        inputs = cuda.shared.array((teams, 2, padded_input), np.float32, _ALIGNMENT)
        activations = cuda.shared.array((teams, 2, 2, padded_to), np.float32, _ALIGNMENT)
        losses = cuda.shared.array((teams, 2, n_output), np.float32)
        loss_of_team = cuda.shared.array(teams, np.float64)
        noise = cuda.local.array(n_rows, np.float32)
        sums = cuda.local.array(n_rows, np.float32)
        block, thread = cuda.blockIdx.x, cuda.threadIdx.x
        team, lane = thread // team_size, thread % team_size
        column = min(lane, n_to - 1)  # a thread too many repeats the last column and keeps it to itself
        timesteps, seed = sizes[trial, TIMESTEPS], sizes[trial, SEED]
        stddev = np.float32(numbers[trial, STDDEV])
        k0, k1 = keys(seed)
        for row in range(n_from):
            sums[row] = _ZERO
        for position in range(thread, n_weights, threads):
            total[block, position] = 0.0
            weights[position // n_to, position % n_to] = single[trial, position]
        cuda.syncthreads()

        summed_loss = 0.0
        for first in range(begin, end, teams * WARP):
            # each of the first 32 threads of a team makes one of the team's next 32 datapoints
            index = first + lane * teams + team
            if lane < WARP and index < end:
                place = team * WARP + lane
                datapoint(
                    np.uint64(seed),
                    _DATA,
                    np.uint32(step),
                    index,
                    timesteps,
                    sizes[trial, ARGUMENT],
                    x[block, place],
                    y[block, place],
                )
            meet()
            for slot in range(min(WARP, (end - first + teams - 1) // teams)):
                index = first + slot * teams + team
                place = team * WARP + slot
                draw(noise, k0, k1, column, index, step)
                if masked:
                    for row in range(n_from):
                        noise[row] *= mask[row * n_to + column]
                lowered, loss = run_datapoint(
                    timesteps,
                    stddev,
                    weights,
                    noise,
                    x[block, place],
                    y[block, place],
                    inputs,
                    activations,
                    losses,
                    team,
                    lane,
                    column,
                )
                if index < end:
                    summed_loss += loss
                    for row in range(n_from):
                        sums[row] += lowered * noise[row]
            add_teams(sums, total, block, team, lane)
        if lane == 0:
            loss_of_team[team] = summed_loss
        cuda.syncthreads()
        summed_loss = 0.0
        for k in range(teams):
            summed_loss += loss_of_team[k]
        return summed_loss

    return sum_datapoints
