"""What a task is: sizes, a data function, a metric and a target."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from freewalk.kernels.data import compiled_fill
from freewalk.kernels.network import FreeNetwork, Loss
from freewalk.kernels.walk import Data, Evaluation

Metric = Literal["loss", "max_error", "bit_accuracy", "row_accuracy"]
Value = int | float | str

METRIC_DESCRIPTIONS: Mapping[str, str] = {
    "loss": "mean loss",
    "max_error": "largest distance of an output from its target",
    "bit_accuracy": "share of outputs on their target's side of 1/2",
    "row_accuracy": "share of datapoints with every output right",
}


def check_form(task: str, form: str) -> None:
    """Raise ValueError unless `form` is one of the two that tasks on bits have."""
    if form not in ("static", "sequence"):
        raise ValueError(f"form={form} does not fit task {task}: static or sequence")


@dataclass(frozen=True)
class Problem:
    """A task with its parameters filled in: what a trial learns."""

    n_input: int
    n_output: int
    datapoint: Callable[..., None]
    """Plain function that writes one datapoint; see freewalk.kernels.data."""
    argument: int = 0
    """Number handed to that function."""
    sequence_input: bool = False
    sequence_output: bool = False
    softmax: bool = False
    loss: Loss = "mean_squared_error"
    default_timesteps: int = 4
    least_timesteps: int = 1
    domain_size: int | None = None
    """Number of different datapoints where they are few: an evaluation shows each once."""
    input_range: tuple[float, float] | None = None
    """Between which numbers every input lies; None where the data alone say it."""

    def network(self, n_hidden: int) -> FreeNetwork:
        """Return the free network that fits the data."""
        return FreeNetwork(
            self.n_input,
            self.n_output,
            n_hidden,
            sequence_input=self.sequence_input,
            sequence_output=self.sequence_output,
            softmax=self.softmax,
            loss=self.loss,
        )

    def data(self) -> Data:
        """Compile the data function, or load it from the cache, and return its address."""
        return Data(compiled_fill(self.datapoint).address, self.argument, self.datapoint)

    def evaluation_points(self, wanted: int) -> int:
        """Return how many held-out datapoints to use: `wanted`, or every datapoint there is if fewer."""
        return wanted if self.domain_size is None else min(wanted, self.domain_size)


@dataclass(frozen=True)
class Task:
    """A named task: a problem for every choice of its parameters, and when it counts as learned."""

    name: str
    summary: str
    """One line for people."""
    metric: Metric
    target: float
    """A trial has reached the task when the metric on held-out data meets this value."""
    make_problem: Callable[..., Problem]
    """Called with the parameters by name; raises ValueError if they do not fit."""
    parameters: Mapping[str, Value] = field(default_factory=dict)
    """The parameters with their defaults."""
    strict: bool = False
    """Whether the target itself is not enough: below it, or above it."""
    also_recorded: tuple[Metric, ...] = ()
    """Metrics that the curves show besides the loss and the task's own."""

    @property
    def recorded_metrics(self) -> tuple[Metric, ...]:
        """Metrics on held-out data that the curves show, each once, the loss first."""
        return tuple(dict.fromkeys(("loss", self.metric, *self.also_recorded)))

    @property
    def direction(self) -> Literal["minimize", "maximize"]:
        """Which way the metric improves."""
        return "minimize" if self.metric in ("loss", "max_error") else "maximize"

    @property
    def comparison(self) -> str:
        """How the metric must compare with the target, for people."""
        return {"minimize": "<", "maximize": ">"}[self.direction] + ("" if self.strict else "=")

    def problem(self, parameters: Mapping[str, Any]) -> Problem:
        """Return the problem for the parameters of a cell; those that are None or foreign to the task are ignored.

        Raises
        ------
        ValueError
            If a value does not fit the task.
        """
        given = {key: value for key, value in parameters.items() if value is not None}
        values = {key: given.get(key, default) for key, default in self.parameters.items()}
        problem = self.make_problem(**values)
        timesteps = given.get("timesteps")
        if timesteps is not None and timesteps < problem.least_timesteps:
            raise ValueError(
                f"timesteps={timesteps} is too few for task {self.name}"
                f" with {', '.join(f'{k}={v}' for k, v in values.items())}:"
                f" it needs at least {problem.least_timesteps}"
            )
        return problem

    def measure(self, evaluation: Evaluation) -> float:
        """Return the task's metric of an evaluation."""
        return float(getattr(evaluation, self.metric))
