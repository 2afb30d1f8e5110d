"""What a method is: all that the harness knows of a way to train, for those of freewalk and for one's own.

Read before any kernel is loaded: a method imports what it runs on when it starts.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields, replace
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, Protocol, TypeAlias, TypeVar, cast

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from freewalk.harness.methods.space import Scalar as Scalar
from freewalk.harness.methods.space import Space

if TYPE_CHECKING:
    from collections.abc import Hashable

    from freewalk.harness.methods.problem import ResolvedProblem
    from freewalk.kernels.backend import Backend
    from freewalk.kernels.model.layered import LayeredNetwork, Network
    from freewalk.kernels.model.network import FreeNetwork
    from freewalk.kernels.model.walk import Data, Trainer
    from freewalk.kernels.reference.gradient import Passes

T = TypeVar("T")
Gradient: TypeAlias = Literal["exact", "estimated", "predicted", "unknown"]
Networks: TypeAlias = Literal["both", "free", "layered"]

FREE = "free"
"""The architecture that has every connection."""


class Parameters(BaseModel):
    """The model of a method without parameters of its own."""

    model_config = ConfigDict(frozen=True, extra="forbid")


@dataclass(frozen=True)
class Recipe:
    """Settings with which a method is known to learn a task, from any of many seeds."""

    steps: int
    options: Mapping[str, str]


@dataclass(frozen=True)
class Card:
    """What there is to know of a method beside its parameters: sentences for people."""

    equation: str
    """A step, as the kernels compute it, in the symbols of `freewalk.harness.parameters.identity`."""
    reference: str
    """The paper that it is from, with its DOI or arXiv number."""
    unbiased: str
    """What its mean is, or that it has none to speak of."""
    variance: str
    """How far a step lies from that mean."""
    cost: str
    """Evaluations of a step: a formula, a colon, and why they count so."""
    deviations: str
    """Where it does otherwise than the paper."""
    held_by: str
    """The test that holds it true, a path from the root of the repository."""


@dataclass(frozen=True, eq=False)
class Seen:
    """The datapoints of some steps, and what backpropagation says of them, each different one once."""

    found: Passes | None
    """A pass there and back of the different datapoints; None of a loss of one's own."""
    gradients: NDArray[np.float64]
    """(different datapoints, n_from, n_to), of the loss of each."""
    which: NDArray[np.intp]
    """(n_steps, datapoints), which of them a step sees."""

    @property
    def means(self) -> NDArray[np.float64]:
        """(n_steps, n_from, n_to), the gradient of each step's mean loss."""
        return self.mean_of(self.gradients)

    def mean_of(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the mean over each step's datapoints of what each different one has."""
        n_steps, n = self.which.shape
        counts = np.zeros((n_steps, len(values)))
        np.add.at(counts, (np.arange(n_steps)[:, None], self.which), 1 / n)
        mean: NDArray[np.float64] = (counts @ values.reshape(len(values), -1)).reshape(n_steps, *values.shape[1:])
        return mean


class Expected(NamedTuple):
    """What theory says of the estimates of some steps, given their datapoints, if the loss is linear in the noise."""

    slopes: NDArray[np.float64]
    """(n_steps,): the mean estimate is so many times the gradient of the step's datapoints."""
    squares: NDArray[np.float64]
    """(n_steps, n_from, n_to), the mean square of the estimate in each weight."""


class Configuration(Protocol):
    """What the harness asks of a method's configuration, a frozen dataclass."""

    @property
    def batch_size(self) -> int: ...  # noqa: D102
    @property
    def data_per_step(self) -> int:
        """Datapoints drawn for a step."""

    @property
    def timesteps(self) -> int: ...  # noqa: D102
    @property
    def schedule_steps(self) -> int:
        """Steps of the trial, which `dataclasses.replace` sets."""

    @property
    def effective_learning_rate(self) -> float:
        """Learning rate on the gradient; NaN where there is none."""

    def evaluations_per_step(self, network: Network) -> float:
        """Return what a step on a network costs, in forward passes of one datapoint."""


class Method(ABC):
    """A way to train, and all that is known of it; where a method says nothing, it is taken for one of one's own."""

    name: str
    """What `--method` takes."""
    summary: str
    """One line for people."""
    parameters: type[BaseModel] = Parameters
    """Its fields are the method's parameters beyond the common ones, each with a default and a description."""
    learning_rates: Mapping[str, float] = {}
    """Default learning rates by optimizer; empty where the parameters say one."""
    also_called: tuple[str, ...] = ()
    """Its names in papers and other libraries."""
    runs_on_gpus = False
    """Whether it has kernels for every backend; otherwise it runs on the CPU where trials are to run on a GPU."""
    networks: Networks = "both"
    """Which networks it learns."""
    takes_wiring = False
    """Whether it trains free networks that lack connections, or have some that stay as they are."""
    takes_own_networks = False
    """Whether it trains networks of one's own, of which it sees outputs alone."""
    runs_hidden_first = False
    """Whether it runs free networks whose output neurons hear hidden ones of the same timestep."""
    needs: str | None = None
    """A package of the extra `es`, if it runs on one."""
    draws_noise = False
    """Whether a step draws unit perturbations of the weights, which trials may share."""
    multiplies_matrices = False
    """Whether a step on a layered network takes matrix products of the whole batch."""
    keeps_timesteps = False
    """Whether a step keeps what every timestep of a lane group computed."""
    gradient: Gradient = "unknown"
    """What a step takes for the gradient, and so how gradcheck judges it."""
    tolerances: tuple[float, float] = (1e-6, 1e-3)
    """Relative errors of a step's gradient that are rounding, in float64 and in float32."""
    plain: Mapping[str, Scalar] = {"optimizer": "sgd", "schedule": "constant"}
    """Fields of its configuration with which a step is the learning rate times the gradient."""
    checked_with: Mapping[str, Scalar] = {}
    """Parameters with which the ladder checks a step."""
    recipes: Mapping[str, Recipe] = {}
    """By rung of the ladder; without them it climbs with its defaults, or with settings of the user's."""
    card: Card | None = None
    """What it is; None for one of one's own."""
    spaces: tuple[Space, ...] = ()
    """What tune searches where nobody says what: all of these, each by the same number of settings."""

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

    def kernels(self, parameters: Mapping[str, Scalar | None]) -> Hashable:
        """Return what decides which of its kernels train a cell."""
        return self.name

    def warm_up(self, problem: ResolvedProblem, backend: Backend) -> None:  # noqa: B027 - many have nothing to compile
        """Compile what a trial needs, so that it does not count as training."""

    def passes(self, problem: ResolvedProblem) -> float:
        """Return how many forward passes take the time of a step on one datapoint, whatever a step is said to cost."""
        return 3  # a backward pass takes twice the time of a forward pass

    def bytes_carried(self, problem: ResolvedProblem, *, float64: bool) -> int:
        """Return the memory of what a step carries from timestep to timestep, in bytes, beside activations."""
        return 0

    def expected(self, problem: ResolvedProblem, seen: Seen) -> Expected | None:
        """Return what theory says of its estimates; None where there is none, or what a step takes is no estimate."""
        if self.gradient != "exact":
            return None
        return Expected(np.ones(len(seen.which)), seen.means**2)

    def numbers_per_step(self, problem: ResolvedProblem) -> float:
        """Return how many random numbers a step draws, those of its data not counted; NaN if nobody knows."""
        return 0.0

    def descending(self, configuration: Any, learning_rate: float) -> Any:
        """Return a configuration like the given one whose step is the learning rate times the gradient."""
        return replace(configuration, learning_rate=learning_rate, **self.plain)

    def alike(self, configuration: Any, backend: Backend) -> Hashable | None:
        """Return what configurations of trials that are packed on a backend have in common; None if none are."""
        return None


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
    gradient
        `estimated` of a method whose step is its parameter `learning_rate` times an estimate of the gradient, which
        gradcheck and estimate then judge; `exact` or `predicted` if that is what it steps along.
    spaces
        What `harness tune` searches unless a grid says it: mappings from parameters to a tuple of values or a
        `freewalk.methods.Range`.
    learning_rates
        The default learning rate by optimizer, of a method whose parameters are `freewalk.methods.OptimizerParameters`
        and more.
    """

    name: str
    summary: str
    make_trainer: Callable[[Start], Trainer]
    evaluations_per_step: Callable[[Any, int, int], float]
    parameters: type[BaseModel] = Parameters
    gradient: Gradient = "unknown"
    spaces: tuple[Mapping[str, tuple[int | float | str, ...]], ...] = ()
    learning_rates: Mapping[str, float] = field(default_factory=dict)
    takes_own_networks = True

    def __post_init__(self) -> None:
        """Refuse a gradient that cannot be told from a step.

        Raises
        ------
        ValueError
            If the method has no parameter `learning_rate` to divide a step by.
        """
        if self.gradient != "unknown" and "learning_rate" not in self.parameters.model_fields:
            raise ValueError(
                f"method {self.name}: gradient={self.gradient!r} needs a parameter learning_rate, which steps go with"
            )

    def warm_up(self, problem: ResolvedProblem, backend: Backend) -> None:
        """Compile what `ArrayTrainer.perturb` runs, for methods that call it."""
        if getattr(self.make_trainer, "calls_perturb", False):
            from freewalk.kernels.cpu.perturbed import compile_kernels

            compile_kernels()

    def numbers_per_step(self, problem: ResolvedProblem) -> float:
        """Return NaN: only its author knows."""
        return math.nan

    def descending(self, configuration: OwnConfiguration, learning_rate: float) -> OwnConfiguration:
        """Return the configuration with that learning rate."""
        return replace(
            configuration, parameters=configuration.parameters.model_copy(update={"learning_rate": learning_rate})
        )

    def configure(self, parameters: Mapping[str, Scalar | None], *, timesteps: int, steps: int) -> OwnConfiguration:
        """Return the own parameters among a cell's, checked by the model."""
        names = self.parameters.model_fields
        own = self.parameters(**{name: parameters[name] for name in names if parameters.get(name) is not None})
        batch_size = int(parameters.get("batch_size") or 1)
        return OwnConfiguration(self, own, batch_size, timesteps, steps)

    def start(
        self, problem: ResolvedProblem, backend: Backend, *, seed: int, initial: Any = None, **given: Any
    ) -> Trainer:
        """Return a trial at step 0."""
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
                batch_size=configuration.batch_size,
                steps=configuration.schedule_steps,
                parameters=configuration.parameters,
                **given,
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
    def data_per_step(self) -> int:
        """The batch size."""
        return self.batch_size

    @property
    def effective_learning_rate(self) -> float:
        """The parameter `learning_rate`, NaN if there is none."""
        return float(getattr(self.parameters, "learning_rate", None) or math.nan)

    def evaluations_per_step(self, network: Network) -> float:
        """Return what the method says.

        Raises
        ------
        ValueError
            If that is no finite number above 0.
        """
        cost = float(self.method.evaluations_per_step(self.parameters, self.batch_size, network.n_weights))
        if not (math.isfinite(cost) and cost > 0):
            raise ValueError(f"method {self.method.name} says that a step costs {cost}; it must be finite and above 0")
        return cost


def made(kind: type[T], parameters: Mapping[str, Scalar | None], **more: Any) -> T:
    """Return a dataclass of the values that are fields of it and not None."""
    given = {**parameters, **more}
    names = [one.name for one in fields(cast(Any, kind))]
    return kind(**{name: given[name] for name in names if given.get(name) is not None})
