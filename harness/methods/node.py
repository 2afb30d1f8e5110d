"""Node perturbation: a gradient estimated from random changes of the neurons' sums."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from pydantic import Field

from freewalk.harness.methods.gradient import GradientMethod, OptimizerParameters
from freewalk.harness.methods.method import Card, Configuration, Expected, Recipe, Scalar, Seen
from freewalk.harness.methods.space import descents
from freewalk.harness.methods.walk import NOISE, SIDES, STDDEV, STDDEVS
from freewalk.kernels.model.noise import Noise

if TYPE_CHECKING:
    from freewalk.harness.methods.problem import ResolvedProblem
    from freewalk.kernels.backend import Backend
    from freewalk.kernels.model.walk import Trainer
    from freewalk.kernels.trainers.descent import Descent


class NodeParameters(OptimizerParameters):
    """What node perturbation uses besides."""

    stddev: float = STDDEV
    sides: Literal["one", "two"] = SIDES
    noise: Noise = NOISE
    activity: Literal["no", "yes"] = Field(
        "no", description="yes: the change of the sums stands in the place of their noise (activity-based)"
    )


_BITS = {"optimizer": "adam", "learning_rate": "0.05", "stddev": "0.05", "batch_size": "64"}
_CLASSES = {**_BITS, "learning_rate": "0.02", "batch_size": "128"}


class Node(GradientMethod):
    """Node perturbation."""

    name = "node"
    summary = "node perturbation: descent along a gradient estimated from noise on the sums of neurons"
    parameters = NodeParameters
    learning_rates: Mapping[str, float] = {"sgd": 0.1, "momentum": 0.1, "adam": 0.01}
    spaces = descents(learning_rates, stddev=STDDEVS)
    also_called = ("node_perturbation", "np", "anp")
    gradient = "estimated"
    runs_on_gpus = True
    takes_wiring = True
    keeps_timesteps = True
    multiplies_matrices = True
    checked_with: Mapping[str, Scalar] = {"stddev": 0.01, "sides": "two"}
    recipes: Mapping[str, Recipe] = {
        "and": Recipe(2000, _BITS),
        "xor": Recipe(4000, _BITS),
        "sign": Recipe(4000, _BITS),
        "segments": Recipe(4000, _CLASSES),
        "digits": Recipe(4000, {**_CLASSES, "batch_size": "256"}),
    }
    card = Card(
        equation="beside the clean pass with sums z_t = u_t W runs a noisy one with stddev xi_t added to its sums, "
        "xi_t of mean 0 and variance 1; with dL the noisy loss less the clean one, or two-sided half the difference "
        "of those with xi and -xi, g = mean over the batch of sum_t u_t' xi_t dL / stddev; activity=yes: sqrt(M) "
        "sum_t u_t' v_t dL / |v|^2, v_t how far noisy sums lie from z_t, M the number of sums that have noise",
        reference="Widrow and Lehr, Proceedings of the IEEE 78(9), 1990, doi:10.1109/5.58323; through time: Fiete and "
        "Seung, Physical Review Letters 97, 2006, doi:10.1103/PhysRevLett.97.048104; activity-based: Dalm, van Gerven "
        "and Ahmad, 2023, arXiv:2310.00965, and Fernández, Keemink and van Gerven, 2024, arXiv:2405.08967",
        unbiased="the gradient up to terms of the order of stddev^2; with one timestep and normal noise the gradient "
        "of the loss averaged over noisy sums. activity=yes: no gradient; its direction is that in which sums moved, "
        "its length the paper's",
        variance="c = sum_t M_t |u_t|^2 sum_t |delta_t|^2 / |gradient|^2 + 2 of normal noise, for each datapoint, M_t "
        "the sums that have noise at timestep t: M + 2 with one timestep, and M of signs",
        cost="2 B: a clean and a noisy pass of each datapoint; two-sided 3 B, as traces are still those of a clean "
        "pass",
        deviations="noise lies on the sums, not on the activations; hidden sums of the last timestep, which reach no "
        "output, have none; M counts the sums of all timesteps",
        held_by="tests/kernels/reference/test_node_estimator.py",
    )

    def descent(self) -> Descent:
        """Import and return its kernels."""
        from freewalk.kernels.trainers.node import NODE

        return NODE

    def configure(self, parameters: Mapping[str, Scalar | None], *, timesteps: int, steps: int) -> Configuration:
        """Return the configuration."""
        activity: dict[str, Any] = {"activity": parameters.get("activity") == "yes"}
        return super().configure({**parameters, **activity}, timesteps=timesteps, steps=steps)

    def start(self, problem: ResolvedProblem, backend: Backend, **given: Any) -> Trainer:
        """Return a trial at step 0."""
        if backend.name != "cuda":
            return super().start(problem, backend, **given)
        from freewalk.kernels.cuda.node import CudaNode  # needs numba-cuda

        configuration: Any = problem.configuration
        network = problem.layers or problem.network
        return CudaNode(network, configuration, problem.data(), mask=problem.free_mask, **given)

    def warm_up(self, problem: ResolvedProblem, backend: Backend) -> None:
        """Compile the kernels of one thread, or load them from the cache; those of a GPU are compiled by a trial."""
        if backend.name != "cuda":
            super().warm_up(problem, backend)

    def expected(self, problem: ResolvedProblem, seen: Seen) -> Expected | None:
        """Return its mean and squares; none of the activity-based form."""
        from freewalk.kernels.reference.node import node_expected_squares, noisy_sums

        node: Any = problem.configuration
        if node.activity or seen.found is None:
            return None
        noisy = noisy_sums(problem.network, problem.timesteps, problem.layers)
        own = node_expected_squares(seen.found, noisy, node.noise) * (1.0 if problem.mask is None else problem.mask)
        n_steps, n = seen.which.shape
        return Expected(np.ones(n_steps), seen.means**2 + seen.mean_of(own - seen.gradients**2) / n)

    def numbers_per_step(self, problem: ResolvedProblem) -> float:
        """Return one for each sum of each datapoint that reaches an output."""
        from freewalk.kernels.reference.node import noisy_sums

        noisy = noisy_sums(problem.network, problem.timesteps, problem.layers)
        return float(problem.configuration.batch_size * noisy.sum())

    def passes(self, problem: ResolvedProblem) -> float:
        """Return those of a step, and the outer products of the update."""
        return problem.evaluations_per_step / problem.configuration.batch_size + 1


NODE = Node()
