"""A genetic algorithm: truncation selection, Gaussian mutation, crossover by neurons, and one elite.

Selection, mutation and the elite are those of Such et al., Deep neuroevolution, 2017 (arXiv 1712.06567), which leaves
crossover out; ours gives a child each neuron's incoming weights from either of two parents.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
from pydantic import Field

from freewalk.harness.methods.method import Card, Recipe
from freewalk.harness.methods.population import BITS, Members, PopulationMethod, PopulationParameters, members
from freewalk.harness.methods.space import BATCH_SIZES, Range
from freewalk.kernels.model.population import Array, Origin, Strategy, Tried, member_normals, member_uniforms

if TYPE_CHECKING:
    from numpy.typing import NDArray

_CHOICES = 4
"""Uniform numbers of a child: its two parents, whether they cross, and one that is left."""


class Genetic(Strategy):
    """Parents, the best first: the first goes on as it is, and children of random parents take the other places."""

    def __init__(self, origin: Origin) -> None:
        super().__init__(origin)
        own = origin.parameters
        n_parents = max(1, round(own.parents * origin.members))
        self.arrays = {"parents": np.tile(origin.weights, (n_parents, 1))}
        self._n_neurons = int(origin.neurons.max()) + 1

    def ask(self, step: int) -> Array:
        """Return the best parent and K - 1 children."""
        o, own, parents = self.origin, self.origin.parameters, self.arrays["parents"]
        children = np.arange(1, o.members)
        draws = member_uniforms(o.seed, step, children, 0, _CHOICES + self._n_neurons)
        first, second = (draws[:, :2] * len(parents)).astype(np.int64).T
        from_second = (draws[:, _CHOICES:] < 0.5) & (draws[:, 2:3] < own.crossover)
        made = np.where(from_second[:, o.neurons], parents[second], parents[first])
        block = (_CHOICES + self._n_neurons + 3) // 4
        noise = member_normals(o.seed, step, children, block, len(o.weights))
        return np.concatenate([parents[:1], made + own.stddev * noise])

    def tell(self, step: int, members: Array, tried: Tried) -> None:
        """Keep the best as parents."""
        best = np.argsort(tried.losses, kind="stable")[: len(self.arrays["parents"])]
        self.arrays["parents"] = members[best]

    @property
    def answer(self) -> Array:
        """The best member of the last step."""
        best: NDArray[np.float64] = self.arrays["parents"][0]
        return best


class GeneticParameters(PopulationParameters):
    """What the genetic algorithm uses besides."""

    population: Members = members(100)
    parents: float = Field(
        0.2, gt=0, le=1, description="share of the members, those with the lowest losses, that have children"
    )
    stddev: float = Field(
        0.3, ge=0, le=1e100, allow_inf_nan=False, description="standard deviation of the mutation of each weight"
    )
    crossover: float = Field(
        0.5, ge=0, le=1, description="share of children with two parents, of which each neuron takes one's weights"
    )


class GeneticMethod(PopulationMethod):
    """The genetic algorithm."""

    name = "genetic"
    summary = "genetic algorithm: truncation selection, Gaussian mutation, crossover of neurons, an elite"
    parameters = GeneticParameters
    spaces = ({"stddev": Range(0.01, 1), "population": Range(16, 256), "batch_size": BATCH_SIZES},)
    also_called = ("ga", "genetic_algorithm", "neuroevolution")
    recipes: Mapping[str, Recipe] = {
        "and": Recipe(100, BITS),
        "xor": Recipe(300, BITS),
        "sign": Recipe(200, {"batch_size": "64"}),
        "segments": Recipe(2000, {"batch_size": "32", "stddev": "0.1"}),
        "digits": Recipe(2000, {"batch_size": "128", "stddev": "0.1"}),
    }
    card = Card(
        equation="those of K members with the lowest losses, a share `parents` of them and at least one, are parents; "
        "the best goes on as it is, and K - 1 children are w + stddev xi, xi standard normal, where w is a random "
        "parent or, with chance crossover, has each neuron's incoming weights from either of two",
        reference="Such et al., Deep neuroevolution, 2017, arXiv:1712.06567; crossover of whole neurons: Montana and "
        "Davis, Training feedforward neural networks using genetic algorithms, IJCAI 1989",
        unbiased="nothing: ranks decide. Weights are those of the member that was best on the last step's batch",
        variance="none to speak of: selection takes the best of K, however little better",
        cost="K B: every member, the elite too, on the whole batch",
        deviations="the first parents are the given weights, not K draws; the elite is the best on the batch of the "
        "step, where the paper measures ten again; the paper has no crossover, Montana and Davis have it beside "
        "mutation",
        held_by="tests/harness/methods/test_population_methods.py",
    )

    def strategy(self, origin: Origin) -> Strategy:
        """Return the algorithm with every parent at the start."""
        return Genetic(origin)


GENETIC = GeneticMethod()
