"""What each timestep contributes to node perturbation's estimate on a free network."""

from __future__ import annotations

from typing import Any, cast

import numpy as np

from freewalk.harness.estimates.places import Place
from freewalk.harness.estimates.sampling import Array, Group, exact_steps
from freewalk.harness.methods.method import Expected
from freewalk.harness.methods.node import NODE
from freewalk.harness.methods.problem import ResolvedProblem
from freewalk.kernels.data.datapoints import draw
from freewalk.kernels.model.noise import Stream
from freewalk.kernels.reference.gradient import Passes, passes
from freewalk.kernels.reference.node import node_traces, noisy_sums, unit_node_noise

_MOST_TIMESTEPS = 200
_DATAPOINTS, _LEAST_STEPS = 8192, 16
"""What is looked at, in all steps together, and in how many at least."""


def timestep_groups(problem: ResolvedProblem, place: Place, seed: int) -> list[Group]:
    """Return what was seen of each timestep's part of an estimate, u_t' xi_t dL / stddev, in float64.

    Its exact counterpart is u_t' delta_t, whose sum over the timesteps is the gradient. Empty for other methods than
    node perturbation, for layers, where a timestep is a layer, and for very many timesteps.
    """
    node: Any = problem.configuration
    timesteps = problem.timesteps
    if (
        problem.method is not NODE
        or problem.layers is not None
        or node.activity
        or not 1 < timesteps <= _MOST_TIMESTEPS
    ):
        return []
    n_steps = max(_LEAST_STEPS, _DATAPOINTS // node.batch_size)
    every = np.arange(problem.network.n_weights)
    groups = [
        Group(f"timestep {t + 1}", every, part.reshape(-1), place.square)
        for t, part in enumerate(_task_gradients(problem, place, seed, n_steps))
    ]
    for step in range(n_steps):
        which: dict[str, Any] = {"seed": seed, "step": step, "datapoints": np.arange(node.batch_size)}
        xi = unit_node_noise(problem.network, timesteps, noise=node.noise, **which)
        x, y = draw(
            problem.network,
            problem.data(),
            timesteps,
            seed=seed,
            step=step,
            stream=Stream.DATA,
            n_datapoints=node.batch_size,
        )
        options = {"sides": node.sides}
        _, entering, traces = node_traces(problem.network, place.weights, x, y, timesteps, xi, node.stddev, **options)
        found = passes(problem.network, place.weights, x, y, timesteps)
        squares = _expected_squares(problem, found)
        for t, group in enumerate(groups):
            estimate = entering[t].T @ traces[:, t] / len(x)
            exact = entering[t].T @ found.deltas[:, t] / len(x)
            expected = Expected(np.ones(1), squares[t][None] + exact[None] ** 2)
            group.add(estimate.reshape(1, -1), exact.reshape(1, -1), expected)
    return groups


def _task_gradients(problem: ResolvedProblem, place: Place, seed: int, n_steps: int) -> Array:
    """Return the mean part of each timestep over the datapoints of these steps, (T, n_from, n_to)."""
    total = np.zeros((problem.timesteps, *place.weights.shape))
    for step in range(n_steps):
        seen = exact_steps(problem, place.weights, seed, step, 1)
        shares = np.bincount(seen.which[0], minlength=len(seen.gradients)) / seen.which.size
        found = cast(Passes, seen.found)
        deltas = found.deltas * shares[:, None, None]
        total += np.stack([u.T @ deltas[:, t] for t, u in enumerate(found.entering)])
    return total / n_steps


def _expected_squares(problem: ResolvedProblem, found: Passes) -> Array:
    """Return what noise adds to the mean square of each timestep's part, (T, n_from, n_to).

    Of one datapoint, |delta|**2 u_ti**2 for sums that have noise; besides (delta_tj u_ti)**2, added for normal noise,
    subtracted for signs.
    """
    noisy, n = noisy_sums(problem.network, problem.timesteps), len(found.losses)
    lengths = (found.deltas**2).sum(axis=(1, 2))
    node: Any = problem.configuration
    more = 1.0 if node.noise == "gaussian" else -1.0
    parts = []
    for t, u in enumerate(found.entering):
        weights = lengths[:, None] * noisy[t] + more * found.deltas[:, t] ** 2
        parts.append((u**2).T @ weights / n**2)
    return np.stack(parts)
