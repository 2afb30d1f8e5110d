"""What methods share that step along a gradient, estimated, exact or predicted."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field

from freewalk.harness.methods.method import Configuration, Gradient, Method, Parameters, Recipe, Scalar, made
from freewalk.harness.methods.space import Space, descents

if TYPE_CHECKING:
    from freewalk.harness.methods.problem import ResolvedProblem
    from freewalk.kernels.backend import Backend
    from freewalk.kernels.model.walk import Trainer
    from freewalk.kernels.trainers.descent import Descent

BITS = {"optimizer": "adam", "learning_rate": "0.05", "batch_size": "16"}
"""What learns AND, XOR and the sign from exact gradients."""
CLASSES = {"optimizer": "adam", "learning_rate": "0.01", "batch_size": "32"}
"""What learns ten classes."""


class OptimizerParameters(Parameters):
    """What turns a gradient, estimated or exact, into a step."""

    optimizer: Literal["sgd", "momentum", "adam"] = Field("momentum", description="what turns gradients into steps")
    learning_rate: float | None = Field(
        None, gt=0, allow_inf_nan=False, description="length of a step along the gradient"
    )
    momentum: float = Field(0.9, ge=0, lt=1, description="share of the last step that is kept")
    schedule: Literal["constant", "cosine"] = Field(
        "constant", description="the learning rate's course: constant, or falling to 0 along a half cosine"
    )


class GradientMethod(Method):
    """A method that descends along a gradient; its kernels are a `Descent`."""

    learning_rates: Mapping[str, float] = {"sgd": 1.0, "momentum": 0.3, "adam": 0.01}
    parameters: type[Parameters] = OptimizerParameters
    gradient: Gradient = "exact"
    spaces: tuple[Space, ...] = descents(learning_rates)

    @abstractmethod
    def descent(self) -> Descent:
        """Import and return its kernels."""

    def configure(self, parameters: Mapping[str, Scalar | None], *, timesteps: int, steps: int) -> Configuration:
        """Return the descent's configuration."""
        return made(self.descent().configuration, parameters, timesteps=timesteps, schedule_steps=steps)

    def start(self, problem: ResolvedProblem, backend: Backend, **given: Any) -> Trainer:
        """Return a trial at step 0."""
        configuration: Any = problem.configuration
        network, float64 = problem.layers or problem.network, backend.name == "reference"
        given |= {"float64": float64, "mask": problem.free_mask}
        return self.descent().start(network, configuration, problem.data(), **given)

    def warm_up(self, problem: ResolvedProblem, backend: Backend) -> None:
        """Compile the method's kernels of one thread, or load them from the cache."""
        self.descent().compile_kernels(float64=backend.name == "reference")


def exact_recipes(most_steps: int) -> Mapping[str, Recipe]:
    """Return how exact gradients climb the ladder; `most_steps` bounds the steps of the larger networks."""
    return {
        "and": Recipe(1000, BITS),
        "xor": Recipe(2000, BITS),
        "sign": Recipe(2000, BITS),
        "segments": Recipe(min(2000, most_steps), CLASSES),
        "digits": Recipe(most_steps, {**CLASSES, "learning_rate": "0.005"}),
    }
