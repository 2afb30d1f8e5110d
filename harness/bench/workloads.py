"""The steps that are timed, the most telling first.

All are steps of the original program's example, task shifted-sums: 3 inputs, 2 outputs, Gaussian, one-sided, mostly
the raw rule. One size at a time departs from 30 hidden neurons, 4 timesteps, 1,000 datapoints and one trial.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from freewalk.kernels.model.network import FreeNetwork
from freewalk.kernels.model.walk import WalkConfiguration
from freewalk.tasks.registry import TASKS

TASK = "shifted-sums"
_PROBLEM = TASKS[TASK].problem({})
LEARNING_RATE, MOMENTUM = 0.3, 0.9
"""Of the momentum rule: the best settings of the walk on this task."""
_MAIN_TRIALS = (132, 2112)
_NORMALS_OF_THE_REFERENCE = 2_000_000


@dataclass(frozen=True)
class Workload:
    """One step of `n_trials` trials at once."""

    family: str
    """Which size departs from the example's: default (none), trials, batch, hidden or timesteps."""
    hidden: int = 30
    timesteps: int = 4
    batch_size: int = 1000
    n_trials: int = 1
    stddev: float = 0.01
    update: Literal["raw", "momentum"] = "raw"
    """`raw`: the original rule. `momentum`: the estimate divided by stddev², v = 0.9 v + g, W -= 0.3 v."""

    @property
    def network(self) -> FreeNetwork:
        """The network of every trial."""
        return _PROBLEM.network(self.hidden)

    @property
    def configuration(self) -> WalkConfiguration:
        """The walk's configuration of every trial."""
        raw = WalkConfiguration(stddev=self.stddev, batch_size=self.batch_size, timesteps=self.timesteps)
        if self.update == "raw":
            return raw
        return replace(raw, update="normalised", optimizer="momentum", learning_rate=LEARNING_RATE, momentum=MOMENTUM)

    @property
    def is_main(self) -> bool:
        """Whether implementations that are slow to prepare take part too."""
        return self.family == "default" or (self.family == "trials" and self.n_trials in _MAIN_TRIALS)


DEFAULT = Workload("default")


def workloads(*, quick: bool) -> list[Workload]:
    """Return what is timed, in order: when time runs out, the last ones are left out."""
    trials, batch, hidden, timesteps = _sizes(quick)
    return [
        DEFAULT,
        *(Workload("trials", n_trials=n) for n in trials),
        *(Workload("batch", batch_size=n) for n in batch),
        *(Workload("hidden", hidden=n) for n in hidden),
        *(Workload("timesteps", timesteps=n) for n in timesteps),
    ]


def _sizes(quick: bool) -> tuple[tuple[int, ...], ...]:
    if quick:
        return (132,), (10_000,), (126,), (20,)
    return (132, 2112, 528, 16), (100_000, 1_000_000, 10_000), (254, 1022, 62, 126, 510), (20, 100)


def reference_batch(workload: Workload) -> int:
    """Return how many datapoints the float64 reference can take at once, at least 2."""
    return max(2, min(workload.batch_size, _NORMALS_OF_THE_REFERENCE // workload.network.n_weights))


def example_data(
    random: np.random.Generator, workload: Workload, n_trials: int, batch_size: int
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return x (n_trials, B, T, 3) and y (n_trials, B, 2) of the task's distribution, float32.

    x_0 is uniform in [-1, 1)^3, x_t = x_0 + t, y = sigmoid of x_0[0] + x_0[1] and of x_0[0] + x_0[2].
    """
    first = random.uniform(-1, 1, (n_trials, batch_size, 1, 3)).astype(np.float32)
    x = first + np.arange(workload.timesteps, dtype=np.float32)[:, None]
    y = 1 / (1 + np.exp(-(first[:, :, 0, :1] + first[:, :, 0, 1:])))
    return x, y
