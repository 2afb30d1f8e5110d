"""What a stddev costs: how far it smooths the loss, what its curvature adds to the noise, and what rounding does."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

import numpy as np

from freewalk.harness.estimates.places import Place
from freewalk.harness.estimates.sampling import descending, next_estimates, ratio
from freewalk.harness.methods.method import OwnMethod
from freewalk.harness.methods.problem import ResolvedProblem
from freewalk.kernels.backend import Backend, resolve_backend

_PAIRS = 2048
"""Of a perturbation and a datapoint, in all steps together."""
_STEPS = (4, 32)
"""At least, and at most."""
_SMALL = 1e-6
"""A stddev at which the loss is linear, and which float64 still resolves to ten digits."""
_NUMBERS_AT_ONCE = 2**26
"""Perturbations that the reference holds at once, at most."""


@dataclass(frozen=True)
class StddevCosts:
    """What a stddev adds to an estimate, from steps that differ in nothing else: all have the same noise."""

    smoothing: float
    """Length that the mean estimate gains along the gradient, in units of the gradient's."""
    smoothing_low: float
    smoothing_high: float
    """Its 95 % interval."""
    curvature: float
    """Length that the loss's curvature adds to an estimate, over that of one of a linear loss; root mean squares."""
    rounding: float
    """The same of rounding, between the backend and float64."""


UNKNOWN: Mapping[str, None] = dict.fromkeys(field.name for field in fields(StddevCosts))
"""What stands in a row of which nothing of this is known."""


def stddev_costs(problem: ResolvedProblem, backend: Backend, place: Place, seed: int) -> StddevCosts | None:
    """Compare estimates at the cell's stddev with those of a tiny one in float64; None where there are none.

    That is where a step takes no differences by a stddev, where differences are shaped, or where it takes too much
    memory.
    """
    walk: Any = problem.configuration
    differs = getattr(walk, "tangent", "difference") == "difference" and getattr(walk, "shaping", "none") == "none"
    too_large = walk.batch_size * problem.network.n_weights > _NUMBERS_AT_ONCE
    differs = differs and hasattr(walk, "stddev") and not getattr(walk, "activity", False)
    if problem.method.gradient != "estimated" or isinstance(problem.method, OwnMethod) or not differs or too_large:
        return None
    reference, n = resolve_backend("reference"), min(_STEPS[1], max(_STEPS[0], _PAIRS // walk.batch_size))
    found = next_estimates(descending(problem, backend, place, seed), n)
    exact = next_estimates(descending(problem, reference, place, seed), n)
    linear = next_estimates(descending(problem, reference, place, seed, stddev=_SMALL), n)
    gradient = place.gradient.reshape(-1)
    # two sides smooth alike, and have none of the noise that a curved loss gives one side
    both = exact if walk.sides == "two" else next_estimates(descending(problem, reference, place, seed, sides="two"), n)
    mean, half = ratio((both - linear) @ gradient, np.full(n, gradient @ gradient))
    length = math.sqrt((linear**2).sum())
    curvature, rounding = (math.sqrt((other**2).sum()) / length for other in (exact - linear, found - exact))
    return StddevCosts(mean, mean - half, mean + half, curvature, rounding)
