"""What is measured at a trial's end: the test part, and whether a network that failed is saturated or wrong."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from freewalk.harness.methods.problem import ResolvedProblem
from freewalk.kernels.data.datapoints import draw
from freewalk.kernels.model.network import FreeNetwork
from freewalk.kernels.model.noise import Stream
from freewalk.kernels.model.own_network import ModelNetwork
from freewalk.kernels.model.walk import Evaluation
from freewalk.kernels.reference import reference
from freewalk.kernels.reference.gradient import output_deltas
from freewalk.kernels.trainers.reference_trainer import measure
from freewalk.kernels.trainers.running import run_on_arrays

_POINTS = 64
"""Datapoints that tell whether a network is saturated."""


def measure_test_part(problem: ResolvedProblem, weights: NDArray[np.float64]) -> Evaluation | None:
    """Return the measures on every row of the test part, from the CPU kernels whatever trained; None if there is none.

    Nobody is judged by them.

    Parameters
    ----------
    weights
        (n_from, n_to), zeros where the network has none.
    """
    rows = problem.problem.test_rows(problem.timesteps)
    if rows is None:
        return None
    network = problem.network
    x = rows[0] if network.sequence_input else rows[0][:, 0]
    y = rows[1] if network.sequence_output else rows[1][:, 0]
    with np.errstate(all="ignore"):
        outputs, _ = run_on_arrays(network, weights, x, y, problem.timesteps)
        return measure(network, outputs, y)


def heldout_signal(problem: ResolvedProblem, weights: NDArray[np.float64]) -> float:
    """Return the signal of `output_signal` on a few held-out datapoints, the same whatever the trial.

    NaN of a network of one's own: nobody knows what its outputs are made of.
    """
    if isinstance(problem.network, ModelNetwork):
        return math.nan
    x, y = draw(
        problem.network,
        problem.data(),
        problem.timesteps,
        seed=0,
        stream=Stream.EVALUATION_DATA,
        step=0,
        n_datapoints=problem.problem.evaluation_points(_POINTS),
    )
    return output_signal(problem.network, weights, x, y, problem.timesteps)


def output_signal(
    network: FreeNetwork, weights: NDArray[np.float64], x: NDArray[Any], y: NDArray[Any], timesteps: int
) -> float:
    """Return the training signal at the outputs for each unit of error, in float64.

    The signal is the sum of |dL/dz| over datapoints and outputs, z the output neurons' weighted sums; the error the sum
    of |output - target|. For squared errors their ratio is a mean of 2 o (1 - o): 0.5 for outputs of 0.5, 0 for outputs
    of exactly 0 or 1, whatever the target. Every gradient, exact or estimated, passes this place.

    Parameters
    ----------
    weights
        (n_from, n_to); zero where the network has none.
    x, y
        Datapoints as in `freewalk.kernels.reference.reference`.

    Returns
    -------
    0 or more; NaN if there is no error, or the weights are not finite
    """
    with np.errstate(over="ignore", invalid="ignore"):
        after = reference.run(network, weights, x, timesteps)[1]
        outputs = reference.read_outputs(network, after)
        read = after[:, :, : network.n_output] if network.sequence_output else after[:, -1, : network.n_output]
        target = reference.dense_targets(network, y)
        signal = float(np.abs(output_deltas(network, read, outputs, target)).sum())
        error = float(np.nansum(np.abs(outputs - target)))
    return signal / error if error > 0 else math.nan
