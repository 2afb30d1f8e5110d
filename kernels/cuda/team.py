"""A team of one or two warps runs one datapoint of a small network, a thread a column."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from freewalk.kernels.cuda.forward import make_activation, make_loss, make_rate, make_read, make_slope
from freewalk.kernels.cuda.jit import SIMULATED, cuda, device_function
from freewalk.kernels.cuda.layout import WARP, Spec

_ZERO, _HALF = np.float32(0.0), np.float32(0.5)


def team_size_of(spec: Spec) -> int:
    """Return the threads of a team: whole warps, with a thread for every column."""
    return -(-spec.n_to // WARP) * WARP


def make_meet(spec: Spec) -> Any:
    """Return a device function at which the threads of a team wait for each other.

    Teams of more than a warp wait for the whole block, which is why every team of a block takes the same turns.
    """

    @device_function
    def meet_block() -> None:
        cuda.syncthreads()

    @device_function
    def meet_warp() -> None:
        cuda.syncwarp()

    return meet_block if team_size_of(spec) > WARP or SIMULATED else meet_warp


def make_run_datapoint(spec: Spec) -> Any:
    """Return a device function that runs one datapoint, perturbed beside unperturbed or on both sides."""
    n_input, n_output, n_to = spec.n_input, spec.n_output, spec.n_to
    team_size, first_activation = team_size_of(spec), n_input + 1
    sequence_input, sequence_output, two_sided = spec.sequence_input, spec.sequence_output, spec.two_sided
    leaky, tangent = spec.leak != 1, spec.tangent
    rate_of, slope_at = make_rate(spec), make_slope(spec)
    meet, activation, read, loss_of = make_meet(spec), make_activation(spec), make_read(spec), make_loss(spec)

    @device_function
    def run_datapoint(
        timesteps: int,
        stddev: np.float32,
        weights: Any,  # IN SHARED (n_from, team_size)
        noise: Any,  # IN (n_rows,) own registers
        x: NDArray[np.float32],  # IN (input_rows, n_input)
        y: NDArray[np.float32],  # IN (output_rows, n_output)
        inputs: Any,  # SHARED (teams, 2, padded_input)
        activations: Any,  # SHARED (teams, 2, 2, padded_to)
        losses: Any,  # SHARED (teams, 2, n_output)
        team: int,
        lane: int,
        column: int,  # whose weights and noise: the lane's own, or for a thread too many the last
    ) -> tuple[np.float32, np.float32]:
        """Return how much the perturbation lowered the loss, and the loss, in every thread of the team."""
        for k in range(lane, n_input, team_size):
            inputs[team, 0, k] = x[0, k]
        meet()
        plus_loss, other_loss = _ZERO, _ZERO
        for t in range(timesteps):
            here = t & 1
            there = 1 - here
            # (W + s D) a = W a + s (D a): no product that would have to be kept for every row
            plus, other = _ZERO if tangent else weights[n_input, column], weights[n_input, column]
            plus_shift, other_shift = noise[n_input], noise[n_input]
            for k in range(n_input):
                value = inputs[team, here, k]
                if not tangent:
                    plus += weights[k, column] * value
                plus_shift += noise[k] * value
                other += weights[k, column] * value
                if two_sided:
                    other_shift += noise[k] * value
            if t > 0:  # before, all activations are zero
                for k in range(n_to):
                    row = first_activation + k
                    weight, z = weights[row, column], noise[row]
                    plus += weight * activations[team, here, 0, k]
                    plus_shift += z * activations[team, here, 1 if tangent else 0, k]
                    other += weight * activations[team, here, 1, k]
                    if two_sided:
                        other_shift += z * activations[team, here, 1, k]
            plus += stddev * plus_shift
            if two_sided:
                other -= stddev * other_shift
            kept_plus, kept_other = _ZERO, _ZERO
            if leaky and t > 0:
                kept_plus, kept_other = activations[team, here, 0, column], activations[team, here, 1, column]
            plus = rate_of(other, plus, column, kept_plus) if tangent else activation(plus, column, kept_plus)
            other = activation(other, column, kept_other)
            if lane < n_to:
                activations[team, there, 0, lane] = plus
                activations[team, there, 1, lane] = other
            if t + 1 < timesteps:
                row = t + 1 if sequence_input else 0
                for k in range(lane, n_input, team_size):
                    inputs[team, there, k] = x[row, k]
            meet()
            if (sequence_output or t + 1 == timesteps) and lane < n_output:
                target = y[t if sequence_output else 0, lane]
                loss = loss_of(read(activations[team], there, 1, lane), target)
                if tangent:
                    plus_loss += loss + slope_at(activations[team], there, lane, target)
                else:
                    plus_loss += loss_of(read(activations[team], there, 0, lane), target)
                other_loss += loss
        if lane < n_output:
            losses[team, 0, lane] = plus_loss
            losses[team, 1, lane] = other_loss
        meet()
        plus_loss, other_loss = _ZERO, _ZERO
        for k in range(n_output):
            plus_loss += losses[team, 0, k]
            other_loss += losses[team, 1, k]
        if two_sided:
            return _HALF * (other_loss - plus_loss), _HALF * (other_loss + plus_loss)
        return other_loss - plus_loss, other_loss

    return run_datapoint
