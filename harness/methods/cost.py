"""A model of what a step costs, from counts of operations: for estimates, and to share out time that trials share."""

from __future__ import annotations

from typing import Any

from freewalk.harness.methods.problem import ResolvedProblem
from freewalk.kernels.model.noise import NOISES

# Seconds on one core of an AVX-512 processor at 2.6 GHz; only their ratios matter, since a measurement scales the sum.
_SECONDS_PER_ACCUMULATION = 0.08e-9
_SECONDS_PER_MULTIPLY_ADD = 0.05e-9
_SECONDS_PER_DATAPOINT = 60e-9
_SECONDS_PER_MATRIX_PRODUCT = 10e-6  # what NumPy spends on a layer of a few neurons, most of it on calls


def step_cost(problem: ResolvedProblem) -> float:
    """Return the time of one step on one thread, in seconds of the processor above."""
    passes = problem.method.passes(problem)
    calls = passes * problem.timesteps * _SECONDS_PER_MATRIX_PRODUCT if takes_products(problem) else 0.0
    each = passes * _pass_seconds(problem) + _SECONDS_PER_DATAPOINT
    return draw_cost(problem) + _perturbing_seconds(problem) + calls + problem.configuration.batch_size * each


def draw_cost(problem: ResolvedProblem) -> float:
    """Return the part of a step's time that trials of one batch share: drawing unit perturbations; 0 without any."""
    walk: Any = problem.configuration
    if not problem.method.draws_noise:
        return 0.0
    network, signs = problem.network, NOISES["rademacher"].seconds
    of_factors = (walk.rank or 1) * (network.n_from + network.n_to)
    if walk.directions == "orthogonal":
        seconds = (of_factors + (network.n_weights if walk.rank is None else 0)) * signs
    else:
        seconds = (network.n_weights if walk.rank is None else of_factors) * NOISES[walk.kind].seconds
    return float(walk.n_perturbations * seconds)


def _perturbing_seconds(problem: ResolvedProblem) -> float:
    """Return the time of a step that goes into perturbed passes beyond plain ones, and into adding perturbations up."""
    walk: Any = problem.configuration
    if not problem.method.draws_noise:
        return 0.0
    network = problem.network
    if walk.rank is None:
        return float(walk.n_perturbations * network.n_weights * _SECONDS_PER_ACCUMULATION)
    perturbed = walk.batch_size * (2 if walk.sides == "two" else 1) * problem.timesteps
    products = perturbed * (network.n_from + network.n_to) + walk.n_perturbations * network.n_weights
    return float(walk.rank * products * _SECONDS_PER_MULTIPLY_ADD)


def judging_cost(problem: ResolvedProblem, n_points: int) -> float:
    """Return the time of one look at held-out data, in seconds of the processor above."""
    return n_points * (_pass_seconds(problem) + _SECONDS_PER_DATAPOINT)


def takes_products(problem: ResolvedProblem) -> bool:
    """Tell whether a step takes matrix products of the whole batch; other kernels know layers as a free network."""
    return problem.layers is not None and problem.method.multiplies_matrices


def _pass_seconds(problem: ResolvedProblem) -> float:
    """Return the model's time of one forward pass of one datapoint."""
    free = problem.network.n_weights * problem.timesteps
    return (problem.n_weights if takes_products(problem) else free) * _SECONDS_PER_MULTIPLY_ADD
