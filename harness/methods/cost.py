"""A model of what a step costs, from counts of operations: for estimates, and to share out time that trials share."""

from __future__ import annotations

from freewalk.harness.methods.problem import ResolvedProblem
from freewalk.kernels.model.noise import NOISES
from freewalk.kernels.model.walk import WalkConfiguration

# Seconds on one core of an AVX-512 processor at 2.6 GHz; only their ratios matter, since a measurement scales the sum.
_SECONDS_PER_ACCUMULATION = 0.08e-9
_SECONDS_PER_MULTIPLY_ADD = 0.05e-9
_SECONDS_PER_DATAPOINT = 60e-9
_SECONDS_PER_MATRIX_PRODUCT = 10e-6  # what NumPy spends on a layer of a few neurons, most of it on calls


def step_cost(problem: ResolvedProblem) -> float:
    """Return the time of one step on one thread, in seconds of the processor above."""
    batch_size = problem.configuration.batch_size
    if isinstance(problem.configuration, WalkConfiguration):
        moves = problem.network.n_weights * _SECONDS_PER_ACCUMULATION
        return draw_cost(problem) + batch_size * (moves + 2 * _pass_seconds(problem) + _SECONDS_PER_DATAPOINT)
    # A backward pass takes twice the time of a forward pass, whatever it counts for.
    passes = 2 * problem.n_weights if problem.method == "numerical" else 3
    calls = passes * problem.timesteps * _SECONDS_PER_MATRIX_PRODUCT if takes_products(problem) else 0.0
    return calls + batch_size * (passes * _pass_seconds(problem) + _SECONDS_PER_DATAPOINT)


def draw_cost(problem: ResolvedProblem) -> float:
    """Return the part of a step's time that trials of one batch share: drawing unit perturbations; 0 without any."""
    configuration = problem.configuration
    if not isinstance(configuration, WalkConfiguration):
        return 0.0
    return configuration.batch_size * problem.network.n_weights * NOISES[configuration.noise].seconds


def judging_cost(problem: ResolvedProblem, n_points: int) -> float:
    """Return the time of one look at held-out data, in seconds of the processor above."""
    return n_points * (_pass_seconds(problem) + _SECONDS_PER_DATAPOINT)


def takes_products(problem: ResolvedProblem) -> bool:
    """Tell whether a step takes matrix products of the whole batch; other kernels know layers as a free network."""
    return problem.layers is not None and problem.method in ("backprop", "synthetic")


def _pass_seconds(problem: ResolvedProblem) -> float:
    """Return the model's time of one forward pass of one datapoint."""
    free = problem.network.n_weights * problem.timesteps
    return (problem.n_weights if takes_products(problem) else free) * _SECONDS_PER_MULTIPLY_ADD
