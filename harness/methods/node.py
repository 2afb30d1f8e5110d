"""Node perturbation: a gradient estimated from random changes of the neurons' sums."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field

from freewalk.harness.methods.gradient import GradientMethod, OptimizerParameters
from freewalk.harness.methods.method import Card, Configuration, Recipe, Scalar
from freewalk.harness.methods.walk import NOISE, SIDES, STDDEV
from freewalk.kernels.model.noise import Noise

if TYPE_CHECKING:
    from freewalk.harness.methods.problem import ResolvedProblem
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
    also_called = ("node_perturbation", "np", "anp")
    gradient = "estimated"
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
        equation="~z_t = ~u_t W + stddev xi_t beside z_t = u_t W with u_t = [x_t, 1, a_t]; the gradient is taken for "
        "the mean over the batch of sum_t u_t' xi_t (L(~) - L) / stddev; activity-based, of sqrt(N) sum_t u_t' d_t "
        "(L(~) - L) / |d|^2 with d_t = ~z_t - z_t and N the sums that have noise",
        reference="Widrow and Lehr, Proceedings of the IEEE 78, 1990, doi:10.1109/5.58323; through time Fiete and "
        "Seung, Physical Review Letters 97, 2006, doi:10.1103/PhysRevLett.97.048104; activity-based Dalm, van Gerven "
        "and Ahmad, 2023, arXiv:2310.00965, and Fernandez, Keemink and van Gerven, 2024, arXiv:2405.08967",
        unbiased="the gradient of the loss smoothed by noise on the sums, and so the gradient itself as stddev goes to "
        "0; activity-based nothing: its length is the paper's, a direction in which sums moved",
        variance="c = sum_t m_t |u_t|^2 sum_t |delta_t|^2 / |g|^2 + 2 for each datapoint, with m_t sums that have "
        "noise at timestep t and delta_t = dL/dz_t; m + 2 with one timestep",
        cost="2 B: a clean and a noisy pass; 3 B with two sides",
        deviations="noise lies on the sums, not on the activations; hidden sums of the last timestep, which reach no "
        "output, have none; in recurrent networks N counts neurons and timesteps",
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

    def passes(self, problem: ResolvedProblem) -> float:
        """Return those of a step, and the outer products of the update."""
        return problem.evaluations_per_step / problem.configuration.batch_size + 1


NODE = Node()
