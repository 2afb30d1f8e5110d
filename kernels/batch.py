"""Many trials that share launches, as an engine sees them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from freewalk.kernels.walk import Evaluation, Progress, WalkConfiguration


@dataclass(frozen=True)
class BatchTrial:
    """One of many trials."""

    configuration: WalkConfiguration
    seed: int
    initial: NDArray[np.float64] | None = None
    """(n_from, n_to) weights to start from; None: those of the seed."""


class TrialBatch(Protocol):
    """Trials of one network that take their steps together; `active` are their places, in order."""

    @property
    def active(self) -> Sequence[int]:
        """The trials that still run."""

    @property
    def steps(self) -> NDArray[np.int64]:
        """Steps taken so far, (n_trials,), by place."""

    @property
    def compile_seconds(self) -> float:
        """What compilation has taken."""

    @property
    def kernel_seconds(self) -> float:
        """What the last call of `train` took, compilation not counted."""

    def train(self, n_steps: int) -> list[Progress]:
        """Take `n_steps` steps of every active trial, fewer after a loss that is not finite; in order of `active`."""

    def evaluate(self) -> list[Evaluation]:
        """Measure every active trial on held-out data, in the order of `active`."""

    def drop(self, trial: int) -> None:
        """Leave a trial as it is; the others go on."""

    def weights(self, trial: int) -> NDArray[np.float64]:
        """Return a copy of a trial's weights, (n_from, n_to) float64."""
