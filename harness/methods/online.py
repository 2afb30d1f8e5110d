"""What RTRL, RFLO and UORO share: a gradient of a free network that is carried forward in time."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from freewalk.harness.methods.gradient import BITS, CLASSES, GradientMethod
from freewalk.harness.methods.method import Recipe

if TYPE_CHECKING:
    from freewalk.harness.methods.problem import ResolvedProblem


class OnlineMethod(GradientMethod):
    """A method that carries something for each weight from timestep to timestep."""

    networks = "free"
    keeps_timesteps = True
    carries_answers = False
    """Whether that is a number for every neuron, or one."""

    def passes(self, problem: ResolvedProblem) -> float:
        """Return what a step is said to cost: it counts multiply-adds."""
        return problem.evaluations_per_step / problem.configuration.batch_size

    def bytes_carried(self, problem: ResolvedProblem, *, float64: bool) -> int:
        """Return the memory of what is carried: of sixteen datapoints, or, in NumPy, three times of the whole batch."""
        network = problem.network
        numbers = -(-network.n_from // 4) * 4 * network.n_to
        if self.carries_answers:
            numbers *= -(-network.n_to // 8) * 8
        return numbers * (3 * 8 * problem.configuration.batch_size if float64 else 4 * 16)


def recipes(slower: int) -> Mapping[str, Recipe]:
    """Return how they climb the ladder, in so many times the steps of exact gradients."""
    return {
        "and": Recipe(1000 * slower, BITS),
        "xor": Recipe(2000 * slower, BITS),
        "sign": Recipe(2000 * slower, BITS),
        "segments": Recipe(2000, CLASSES),
        "digits": Recipe(4000, {**CLASSES, "learning_rate": "0.005"}),
    }
