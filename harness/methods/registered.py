"""The methods by name: how each makes its configuration and its trainer, for those of freewalk and for one's own.

What parameters a method has stands in `freewalk.harness.parameters.fields`, which is read before any kernel is loaded.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Any, Protocol, cast

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from freewalk.harness.parameters.parameters import METHOD_PARAMETERS, Scalar, add_method, remove_method
from freewalk.kernels.backend import Backend
from freewalk.kernels.model.descent import DescentConfiguration
from freewalk.kernels.model.descent import Method as DescentName
from freewalk.kernels.model.layered import LayeredNetwork
from freewalk.kernels.model.network import FreeNetwork
from freewalk.kernels.model.walk import Data, Trainer, WalkConfiguration
from freewalk.tasks.registry import check_name

if TYPE_CHECKING:
    from freewalk.harness.methods.problem import ResolvedProblem


class Configuration(Protocol):
    """What the harness asks of a method's configuration, a frozen dataclass."""

    @property
    def batch_size(self) -> int: ...  # noqa: D102
    @property
    def timesteps(self) -> int: ...  # noqa: D102
    @property
    def schedule_steps(self) -> int:
        """Steps of the trial, which `dataclasses.replace` sets."""

    @property
    def effective_learning_rate(self) -> float:
        """Learning rate on the gradient; NaN where there is none."""

    def evaluations_per_step(self, n_weights: int, n_predictor_weights: int = 0) -> float:
        """Return what a step costs, in forward passes of one datapoint."""


class Method(ABC):
    """A way to train."""

    name: str

    @abstractmethod
    def configure(self, parameters: Mapping[str, Scalar | None], *, timesteps: int, steps: int) -> Configuration:
        """Return the configuration that a cell's parameters make; raise ValueError if they do not fit."""

    @abstractmethod
    def start(
        self,
        problem: ResolvedProblem,
        backend: Backend,
        *,
        seed: int,
        evaluation_points: int,
        initial: NDArray[np.float64] | None,
    ) -> Trainer:
        """Return a trial at step 0; `initial` are its weights, None for a free network's by the seed."""

    def warm_up(self, backend: Backend) -> None:  # noqa: B027 - many have nothing to compile
        """Compile what a trial needs, so that it does not count as training."""


class WalkMethod(Method):
    """The walk, on every backend."""

    name = "walk"

    def configure(self, parameters: Mapping[str, Scalar | None], *, timesteps: int, steps: int) -> Configuration:
        """Return the walk's configuration."""
        given = {**parameters, "timesteps": timesteps, "schedule_steps": steps}
        return WalkConfiguration(**present(WalkConfiguration, given))

    def start(
        self,
        problem: ResolvedProblem,
        backend: Backend,
        *,
        seed: int,
        evaluation_points: int,
        initial: NDArray[np.float64] | None,
    ) -> Trainer:
        """Return a trial at step 0."""
        return backend.make_walk(
            problem.network,
            cast(WalkConfiguration, problem.configuration),
            problem.data(),
            seed=seed,
            evaluation_points=evaluation_points,
            mask=problem.mask,
            initial=initial,
        )

    def warm_up(self, backend: Backend) -> None:
        """Compile the walk's kernels of one thread, or load them from the cache."""
        backend.warm_up("walk")


@dataclass
class DescentMethod(Method):
    """A method that takes gradients, or makes them up."""

    name: DescentName

    def configure(self, parameters: Mapping[str, Scalar | None], *, timesteps: int, steps: int) -> Configuration:
        """Return the descent's configuration."""
        given = {**parameters, "method": self.name, "timesteps": timesteps, "schedule_steps": steps}
        return DescentConfiguration(**present(DescentConfiguration, given))

    def start(
        self,
        problem: ResolvedProblem,
        backend: Backend,
        *,
        seed: int,
        evaluation_points: int,
        initial: NDArray[np.float64] | None,
    ) -> Trainer:
        """Return a trial at step 0."""
        return backend.make_descent(
            problem.network,
            cast(DescentConfiguration, problem.configuration),
            problem.data(),
            seed=seed,
            evaluation_points=evaluation_points,
            layers=problem.layers,
            initial=initial,
        )

    def warm_up(self, backend: Backend) -> None:
        """Compile the method's kernels of one thread, or load them from the cache."""
        backend.warm_up(self.name)


@dataclass(frozen=True)
class Start:
    """What a method of one's own is given to start a trial."""

    network: FreeNetwork
    """What is trained; a layered network as the free network that it is a part of."""
    mask: NDArray[np.bool_] | None
    """(n_from, n_to), False where there is no weight; None for all."""
    layers: LayeredNetwork | None
    """The layered network; None for a free one."""
    timesteps: int
    """How often the layer is applied."""
    data: Data
    """Where datapoints come from."""
    initial: NDArray[np.float64]
    """(n_from, n_to) weights to start from, those that every method gets for the seed."""
    seed: int
    evaluation_points: int
    """Held-out datapoints of an evaluation."""
    batch_size: int
    """Datapoints a step."""
    steps: int
    """Steps of the trial if it runs to its end."""
    parameters: Any
    """The method's own parameters, an instance of its model."""


class NoParameters(BaseModel):
    """The model of a method without parameters of its own."""

    model_config = ConfigDict(frozen=True)


@dataclass(frozen=True)
class OwnMethod(Method):
    """A method of one's own: give it to a plug-in, see docs/methods.md.

    Parameters
    ----------
    name, summary
        What `--method` takes, and one line for people.
    make_trainer
        From `Start` to a trainer; see `freewalk.harness.methods.array_trainer.ArrayTrainer`.
    evaluations_per_step
        From the parameters, the batch size and the number of weights to what a step costs, in forward passes of one
        datapoint. Budgets are shared out by it.
    parameters
        A pydantic model whose fields are the method's parameters beyond the common ones, each with a default and a
        description. Fields with the name of a parameter that freewalk has must be of the same type.
    """

    name: str
    summary: str
    make_trainer: Callable[[Start], Trainer]
    evaluations_per_step: Callable[[Any, int, int], float]
    parameters: type[BaseModel] = NoParameters

    def configure(self, parameters: Mapping[str, Scalar | None], *, timesteps: int, steps: int) -> OwnConfiguration:
        """Return the own parameters among a cell's, checked by the model."""
        names = self.parameters.model_fields
        own = self.parameters(**{name: parameters[name] for name in names if parameters.get(name) is not None})
        batch_size = int(parameters.get("batch_size") or 1)
        return OwnConfiguration(self, own, batch_size, timesteps, steps)

    def start(
        self,
        problem: ResolvedProblem,
        backend: Backend,
        *,
        seed: int,
        evaluation_points: int,
        initial: NDArray[np.float64] | None,
    ) -> Trainer:
        """Return a trial at step 0; `initial` are its weights, None for a free network's by the seed."""
        configuration = cast(OwnConfiguration, problem.configuration)
        return self.make_trainer(
            Start(
                network=problem.network,
                mask=problem.mask,
                layers=problem.layers,
                timesteps=problem.timesteps,
                data=problem.data(),
                initial=problem.initial_weights(seed) if initial is None else initial,
                seed=seed,
                evaluation_points=evaluation_points,
                batch_size=configuration.batch_size,
                steps=configuration.schedule_steps,
                parameters=configuration.parameters,
            )
        )


@dataclass(frozen=True)
class OwnConfiguration:
    """What decides a step of a method of one's own."""

    method: OwnMethod = field(repr=False)
    parameters: BaseModel
    batch_size: int
    timesteps: int
    schedule_steps: int = 1

    @property
    def effective_learning_rate(self) -> float:
        """The parameter `learning_rate`, NaN if there is none."""
        return float(getattr(self.parameters, "learning_rate", None) or math.nan)

    def evaluations_per_step(self, n_weights: int, n_predictor_weights: int = 0) -> float:
        """Return what the method says.

        Raises
        ------
        ValueError
            If that is no finite number above 0.
        """
        cost = float(self.method.evaluations_per_step(self.parameters, self.batch_size, n_weights))
        if not (math.isfinite(cost) and cost > 0):
            raise ValueError(f"method {self.method.name} says that a step costs {cost}; it must be finite and above 0")
        return cost


def present(kind: type[Any], values: Mapping[str, Any]) -> dict[str, Any]:
    """Return the values that are fields of a dataclass and not None."""
    names = {one.name for one in fields(kind)}
    return {name: value for name, value in values.items() if name in names and value is not None}


_METHODS: dict[str, Method] = {
    "walk": WalkMethod(),
    "backprop": DescentMethod("backprop"),
    "numerical": DescentMethod("numerical"),
    "synthetic": DescentMethod("synthetic"),
}

METHODS: Mapping[str, Method] = _METHODS
"""Every method, in the order in which it is shown."""

BUILT_IN: tuple[str, ...] = tuple(_METHODS)
"""The names of those that come with freewalk."""


def register(method: OwnMethod) -> None:
    """Add a method of one's own and its parameters.

    Raises
    ------
    ValueError
        If its name is taken, or one of its parameters has another meaning already.
    """
    check_name("method", method.name)
    if _METHODS.get(method.name, method) is not method:
        whose = "that comes with freewalk" if method.name in BUILT_IN else "that another plug-in brought"
        raise ValueError(f"method {method.name!r} is the name of a method {whose}; choose another name")
    if method.name not in METHOD_PARAMETERS:
        add_method(method.name, method.parameters)
    _METHODS[method.name] = method


def unregister(name: str) -> None:
    """Forget a method of one's own; those that come with freewalk stay."""
    if name not in BUILT_IN and name in _METHODS:
        del _METHODS[name]
        remove_method(name)
