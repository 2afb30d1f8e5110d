"""Many trials that share launches, as an engine sees them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from freewalk.kernels.model.walk import Evaluation, Progress, State, WalkConfiguration


@dataclass(frozen=True)
class PackTrial:
    """One of many trials."""

    configuration: WalkConfiguration
    seed: int
    initial: NDArray[np.float64] | None = None
    """(n_from, n_to) weights to start from; None: those of the seed."""
    state: Mapping[str, NDArray[Any]] | None = None
    """What to go on from, instead of step 0 with initial weights; see `Trainer.state`."""


class Pack(Protocol):
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

    def request_stop(self) -> None:
        """Let a `train` that runs in another thread return soon; a step it leaves unfinished does not count."""

    def evaluate(self, places: Sequence[int] | None = None) -> list[Evaluation]:
        """Measure trials on held-out data, in the order of `places`; None measures the active ones."""

    def drop(self, trial: int) -> None:
        """Leave a trial as it is; the others go on."""

    def state(self, trial: int) -> State:
        """Return a copy of everything that a trial needs to go on, alone or in a pack; see `PackTrial.state`."""

    def weights(self, trial: int) -> NDArray[np.float64]:
        """Return a copy of a trial's weights, (n_from, n_to) float64."""
