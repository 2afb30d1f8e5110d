"""The trials that are compared: networks, options and data that between them reach every branch of the kernels."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from freewalk.kernels.cpu.trial import CpuWalk
from freewalk.kernels.data.task_functions import compiled_fill, data_words, uniform
from freewalk.kernels.model.network import FreeNetwork
from freewalk.kernels.model.walk import Data, WalkConfiguration
from freewalk.kernels.trainers.reference_walk import ReferenceWalk
from freewalk.tasks.registry import TASKS

_ONE, _TWO = np.float32(1.0), np.float32(2.0)
_FIRST_TARGET_BLOCK = 1 << 20
_TOLERANCE = 1e-4
"""Relative, of updates, losses and measures: float32 leaves about 1e-6."""
_ADAM_TOLERANCE = 0.05
"""Adam's first steps keep little but the signs of the estimate, and those of estimates near 0 may differ."""


def random_datapoint(
    seed: int, stream: int, step: int, index: int, timesteps: int, argument: int, x: Any, y: Any
) -> None:
    """Write inputs in [-1, 1) and targets in [0, 1), of whatever shape the network has."""
    for row in range(x.shape[0]):
        for column in range(x.shape[1]):
            words = data_words(seed, stream, step, index, row * x.shape[1] + column)
            x[row, column] = _TWO * uniform(words[0]) - _ONE
    for row in range(y.shape[0]):
        for column in range(y.shape[1]):
            words = data_words(seed, stream, step, index, _FIRST_TARGET_BLOCK + row * y.shape[1] + column)
            y[row, column] = uniform(words[0])


@dataclass(frozen=True)
class Case:
    """One trial that is run twice, on the device and elsewhere."""

    name: str
    configuration: WalkConfiguration
    hidden: int = 30
    task: str = "shifted-sums"
    parameters: Mapping[str, Any] = field(default_factory=dict)
    network_of_its_own: FreeNetwork | None = None
    """With random data instead of a task's."""
    steps: int = 4
    masked: bool = False
    judge: type[CpuWalk | ReferenceWalk] = ReferenceWalk
    """The reference where it is quick enough, else the processor's kernels, which the tests compare with it."""

    @property
    def network(self) -> FreeNetwork:
        """The network of the trial."""
        return self.network_of_its_own or TASKS[self.task].problem(self.parameters).network(self.hidden)

    def data(self) -> Data:
        """Return where its datapoints come from."""
        if self.network_of_its_own is None:
            return TASKS[self.task].problem(self.parameters).data()
        return Data(int(compiled_fill(random_datapoint).address), 0, random_datapoint)

    @property
    def mask(self) -> NDArray[np.bool_] | None:
        """Which weights there are; None for all."""
        if not self.masked:
            return None
        return np.random.default_rng(5).random((self.network.n_from, self.network.n_to)) < 0.6

    @property
    def tolerance(self) -> float:
        """The largest relative error allowed."""
        c = self.configuration
        return _ADAM_TOLERANCE if c.update == "normalised" and c.optimizer == "adam" else _TOLERANCE


BASE = WalkConfiguration(stddev=0.1, batch_size=200, timesteps=4)
MOMENTUM = replace(BASE, update="normalised", optimizer="momentum", learning_rate=0.3)
SIGNS = replace(MOMENTUM, sides="two", noise="rademacher")
_STATIC = FreeNetwork(4, 3, 9, softmax=True, loss="categorical_crossentropy")
_SEQUENCES = replace(_STATIC, sequence_input=True, sequence_output=True, n_hidden=17, hidden_activation="tanh")

CASES = (
    Case("3-30-2, raw", BASE),
    Case("momentum, cosine", replace(MOMENTUM, schedule="cosine", schedule_steps=3)),
    Case("sgd", replace(MOMENTUM, optimizer="sgd")),
    Case("adam", replace(MOMENTUM, optimizer="adam", learning_rate=0.01)),
    Case("B 1", replace(BASE, batch_size=1)),
    Case("B 1,000", replace(BASE, batch_size=1000)),
    Case("B 100,003", replace(BASE, batch_size=100_003), steps=2, judge=CpuWalk),
    Case("T 100", replace(BASE, timesteps=100)),
    Case("two-sided, Rademacher", SIGNS),
    Case("mask", MOMENTUM, masked=True),
    Case("hidden 254", replace(BASE, batch_size=60), hidden=254, judge=CpuWalk),
    Case("xor, static", replace(MOMENTUM, timesteps=3), task="xor"),
    Case("softmax, cross-entropy, static", BASE, network_of_its_own=_STATIC),
    Case("softmax, cross-entropy, tanh, sequences", SIGNS, network_of_its_own=_SEQUENCES),
    Case(
        "all of that, hidden 70, mask",
        replace(SIGNS, batch_size=60),
        network_of_its_own=replace(_SEQUENCES, n_hidden=70),
        masked=True,
    ),
    Case("hidden 62", BASE, hidden=62, judge=CpuWalk),
    Case("hidden 63", BASE, hidden=63, judge=CpuWalk),
    Case("hidden 1,024", replace(BASE, batch_size=40), hidden=1024, steps=2, judge=CpuWalk),
    Case("no hidden neuron, T 1", replace(BASE, timesteps=1), network_of_its_own=FreeNetwork(5, 3, 0)),
    Case("hidden 4, two-sided", replace(BASE, sides="two"), hidden=4),
    Case("parity, a sequence", replace(MOMENTUM, timesteps=6), task="parity", parameters={"form": "sequence"}),
    Case(
        "addition, sequences",
        replace(MOMENTUM, timesteps=6),
        task="addition",
        parameters={"form": "sequence", "bits": 4},
    ),
)
QUICK = ("3-30-2, raw", "B 1,000", "two-sided, Rademacher", "all of that, hidden 70, mask")
