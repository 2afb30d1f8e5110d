"""Separable natural evolution strategies.

Schaul, Glasmachers, Schmidhuber: High dimensions and heavy tails for natural evolution strategies, GECCO 2011.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
from pydantic import Field

from freewalk.harness.methods.method import Card, Recipe
from freewalk.harness.methods.population import BITS, SPREAD_SPACE, PopulationMethod, SpreadParameters
from freewalk.harness.methods.space import Range
from freewalk.kernels.model.population import Array, Origin, Strategy, Tried, member_normals

if TYPE_CHECKING:
    from numpy.typing import NDArray


class Snes(Strategy):
    """A normal distribution with a mean and a standard deviation for each weight.

    With unit normals s_k, members mean + stddevs s_k and utilities u_k of their ranks:
    mean += rate_mean stddevs sum_k u_k s_k;  stddevs *= exp(rate_stddevs / 2 sum_k u_k (s_k**2 - 1))
    """

    def __init__(self, origin: Origin) -> None:
        super().__init__(origin)
        n, own = len(origin.weights), origin.parameters
        self.arrays = {"mean": origin.weights.copy(), "stddevs": np.full(n, own.sigma0)}
        self._rate_mean = own.mean_learning_rate
        self._rate_stddevs = own.stddev_learning_rate or (3 + math.log(n)) / (5 * math.sqrt(n))
        self._utilities = utilities(origin.members)

    def _normals(self, step: int) -> Array:
        o = self.origin
        return member_normals(o.seed, step, np.arange(o.members), 0, len(o.weights))

    def ask(self, step: int) -> Array:
        """Return draws of the distribution."""
        return self.answer + self.arrays["stddevs"] * self._normals(step)

    def tell(self, step: int, members: Array, tried: Tried) -> None:
        """Follow the natural gradient of the expected utility."""
        order = np.argsort(tried.losses, kind="stable")
        s = self._normals(step)[order]
        self.arrays["mean"] += self._rate_mean * self.arrays["stddevs"] * (self._utilities @ s)
        self.arrays["stddevs"] *= np.exp(self._rate_stddevs / 2 * (self._utilities @ (s**2 - 1)))

    @property
    def answer(self) -> Array:
        """The mean."""
        mean: NDArray[np.float64] = self.arrays["mean"]
        return mean


def utilities(n: int) -> Array:
    """Return the (n,) utilities of members by rank, the best first; their sum is 0.

    u_k = max(0, ln(n / 2 + 1) - ln k) over the sum of these, less 1 / n, with k from 1.
    """
    raw = np.maximum(0.0, math.log(n / 2 + 1) - np.log(np.arange(1, n + 1)))
    result: Array = raw / raw.sum() - 1 / n
    return result


class SnesParameters(SpreadParameters):
    """What SNES uses besides."""

    mean_learning_rate: float = Field(
        1.0, gt=0, allow_inf_nan=False, description="length of a natural gradient step of the mean"
    )
    stddev_learning_rate: float = Field(
        0.0,
        ge=0,
        allow_inf_nan=False,
        description="length of a step of the standard deviations; 0: (3 + ln P) / (5 sqrt P) for P weights",
    )


class SnesMethod(PopulationMethod):
    """SNES."""

    name = "snes"
    summary = "separable natural evolution strategy: a mean and a standard deviation for each weight"
    parameters = SnesParameters
    spaces = ({**SPREAD_SPACE, "mean_learning_rate": Range(0.1, 3)},)
    also_called = ("nes", "separable_nes")
    recipes: Mapping[str, Recipe] = {
        "and": Recipe(300, BITS),
        "xor": Recipe(1000, BITS),
        "sign": Recipe(500, {"batch_size": "64"}),
        "segments": Recipe(1000, {"batch_size": "32", "population": "100"}),
        "digits": Recipe(1000, {"batch_size": "128", "population": "100"}),
    }
    card = Card(
        equation="members x_k = mean + sigma s_k, s_k standard normal, weight by weight; with utilities u_k = max(0, "
        "ln(K / 2 + 1) - ln(rank of x_k)) over the sum of these, less 1 / K: mean += mean_learning_rate sigma sum_k "
        "u_k s_k, sigma *= exp(stddev_learning_rate / 2 sum_k u_k (s_k^2 - 1))",
        reference="Schaul, Glasmachers and Schmidhuber, High dimensions and heavy tails for natural evolution "
        "strategies, GECCO 2011, doi:10.1145/2001576.2001692; Wierstra et al., JMLR 15, 2014",
        unbiased="nothing but the natural gradient of the expected utility, which ranks within K members make; not "
        "that of the loss. Weights are the mean of the distribution",
        variance="that of K draws: where ranks are chance, a step of the mean varies by (mean_learning_rate sigma)^2 "
        "sum_k u_k^2 in each weight",
        cost="K B: every member on the whole batch",
        deviations="none: the paper's population, utilities and rates unless others are given; all members of a step "
        "see the same batch, which changes from step to step",
        held_by="tests/harness/methods/test_population_methods.py",
    )

    def strategy(self, origin: Origin) -> Strategy:
        """Return SNES around the start."""
        return Snes(origin)


SNES = SnesMethod()
