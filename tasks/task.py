"""What a task is: sizes, a data function, a metric and a target."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from freewalk.kernels.data.task_functions import compiled_fill
from freewalk.kernels.model.network import FreeNetwork, Loss, OutputActivation
from freewalk.kernels.model.walk import Data, Evaluation
from freewalk.tasks.stored import Rows, Source, Stored

Metric = Literal["loss", "max_error", "bit_accuracy", "row_accuracy", "accuracy"]
Value = int | float | str

METRIC_DESCRIPTIONS: Mapping[str, str] = {
    "loss": "mean loss",
    "max_error": "largest distance of an output from its target",
    "bit_accuracy": "share of outputs on their target's side of 1/2",
    "row_accuracy": "share of datapoints with every output right",
    "accuracy": "share of classes found",
}


MINIMISED = frozenset({"loss", "max_error"})
"""Metrics that are to be low; the others are shares, to be high."""


def check_form(task: str, form: str) -> None:
    """Raise ValueError unless `form` is one of the two that tasks on bits have."""
    if form not in ("static", "sequence"):
        raise ValueError(f"form={form} does not fit task {task}: static or sequence")


@dataclass(frozen=True)
class Place:
    """What a value of a parameter means that names a file or a folder."""

    path: str
    """Where it lies, absolute."""
    content: str
    """`Stored.content` of what it holds: what counts, wherever it lies."""


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
    most_timesteps: int | None = None
    domain_size: int | None = None
    """Number of different datapoints where they are few: a measurement shows each once, though training does too; of
    stored data, number of validation rows."""
    input_range: tuple[float, float] | None = None
    """Between which numbers every input lies; None where the data alone say it."""
    load_stored: Callable[[], Stored] | None = field(default=None, compare=False)
    """Returns data that lie in memory, whose address takes the argument's place; the same at every call."""
    shows_all: bool = False
    """Whether training shows all rows of stored data, those that a measurement shows among them."""
    needs: str | None = None
    """Name of the module that gives the data, if it is not one of ours."""
    wiring: Callable[[FreeNetwork], NDArray[np.float64]] | None = None
    """Returns what weights a free network has, (n_from, n_to): NaN where one is trained, else the number that it stays
    at, 0 where there is no connection. None: all are trained."""
    output_activation: OutputActivation = "sigmoid"
    """What output neurons make of their sums where a cell does not say otherwise."""
    hidden_first: bool = False
    """Whether output neurons hear what hidden neurons do in the same timestep."""

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
            output_activation=self.output_activation,
            hidden_first=self.hidden_first,
        )

    def data(self) -> Data:
        """Compile the data function, or load it from the cache, and return its address."""
        address = compiled_fill(self.datapoint).address
        if self.load_stored is None:
            return Data(address, self.argument, self.datapoint)
        stored = self.load_stored()
        return Data(address, stored.address, self.datapoint, stored.memory)

    def test_rows(self, timesteps: int) -> Rows | None:
        """Return x (n, input_rows, n_input) and y (n, output_rows, n_output) of the test part; None for no rows."""
        return None if self.load_stored is None else self.load_stored().test_rows(timesteps)

    @property
    def is_held_out(self) -> bool:
        """Whether a measurement shows other datapoints than training does, and not every one there is."""
        return self.domain_size is None or (self.load_stored is not None and not self.shows_all)

    @property
    def sources(self) -> tuple[Source, ...]:
        """What the data came from; empty for data that the program makes."""
        return () if self.load_stored is None else self.load_stored().sources

    @property
    def content(self) -> str | None:
        """`Stored.content` of the data; None for data that the program makes."""
        return None if self.load_stored is None else self.load_stored().content

    def evaluation_points(self, wanted: int) -> int:
        """Return how many held-out datapoints to use: `wanted`, or every datapoint there is if fewer."""
        return wanted if self.domain_size is None else min(wanted, self.domain_size)


@dataclass(frozen=True)
class Guesses:
    """How many random guesses of all weights solve a task, which says how hard it is (Schmidhuber et al., 2001).

    `python -m benchmarks.guessing TASK SETTINGS` counts them again.
    """

    settings: str
    """Of the task, the network and the method `guess`, as KEY=VALUE; data of a step are `batch_size` datapoints."""
    median: int | None
    """Over seeds; None where most seeds had none right after `most` guesses."""
    lowest: int | None
    highest: int | None
    """None where a seed had none right after `most` guesses."""
    seeds: int = 30
    most: int = 10**6

    def __str__(self) -> str:
        """Return the median, or more than how many it is."""
        return f">{self.most:,}" if self.median is None else f"{self.median:,}"

    @property
    def range(self) -> str:
        """The lowest and the highest."""
        ends = (f">{self.most:,}" if end is None else f"{end:,}" for end in (self.lowest, self.highest))
        return " to ".join(ends)


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
    parameter_help: Mapping[str, str] = field(default_factory=dict)
    """What those parameters mean that no task of freewalk has."""
    places: Mapping[str, Callable[[str], Place | None]] = field(default_factory=dict)
    """Parameters that may name a file or a folder: what a value names, None for a name of the task's own."""
    strict: bool = False
    """Whether the target itself is not enough: below it, or above it."""
    also_recorded: tuple[Metric, ...] = ()
    """Metrics that the curves show besides the loss and the task's own."""
    baseline: float | None = None
    """What the metric is, with the default parameters, for the best answer that does not look at the input."""
    baseline_text: str = ""
    """How the baseline comes about, with its formula where it depends on parameters."""
    difficulty: str = ""
    """What is known of how hard it is, with the publication."""
    guesses: Guesses | None = None
    """How many random guesses solve it; None where nobody has counted."""

    @property
    def recorded_metrics(self) -> tuple[Metric, ...]:
        """Metrics on held-out data that the curves show, each once, the loss first."""
        return tuple(dict.fromkeys(("loss", self.metric, *self.also_recorded)))

    @property
    def direction(self) -> Literal["minimize", "maximize"]:
        """Which way the metric improves."""
        return "minimize" if self.metric in MINIMISED else "maximize"

    @property
    def comparison(self) -> str:
        """How the metric must compare with the target, for people."""
        return {"minimize": "<", "maximize": ">"}[self.direction] + ("" if self.strict else "=")

    def is_met_by(self, value: float) -> bool:
        """Return whether a value of the metric meets the target."""
        sign = 1 if self.direction == "maximize" else -1
        return sign * value > sign * self.target or (value == self.target and not self.strict)

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
        chosen = f" with {', '.join(f'{k}={v}' for k, v in values.items())}" if values else ""
        if timesteps is not None and timesteps < problem.least_timesteps:
            raise ValueError(
                f"timesteps={timesteps} is too few for task {self.name}{chosen}:"
                f" it needs at least {problem.least_timesteps}"
            )
        if timesteps is not None and problem.most_timesteps is not None and timesteps > problem.most_timesteps:
            raise ValueError(
                f"timesteps={timesteps} is too many for task {self.name}{chosen}: at most {problem.most_timesteps}"
            )
        return problem

    def measure(self, evaluation: Evaluation) -> float:
        """Return the task's metric of a measurement."""
        return float(getattr(evaluation, self.metric))
