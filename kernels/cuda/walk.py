"""The walk on a GPU: one trial across all of it, or many trials side by side."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from freewalk.kernels.cuda.trials import DeviceTrials
from freewalk.kernels.model.network import FreeNetwork
from freewalk.kernels.model.pack import PackTrial
from freewalk.kernels.model.walk import Data, Evaluation, Progress, State, WalkConfiguration


class _OnDevice:
    """What trials on a GPU say of their times."""

    _trials: DeviceTrials

    @property
    def kernel_seconds(self) -> float:
        """What the GPU took for the last call of `train`, in seconds."""
        return self._trials.kernel_seconds

    @property
    def compile_seconds(self) -> float:
        """What compilation has taken, in seconds."""
        return self._trials.compile_seconds


class CudaWalk(_OnDevice):
    """One trial on the whole GPU: float64 master weights, float32 network arithmetic.

    Parameters
    ----------
    network, configuration
        What is trained and how.
    data
        Where datapoints come from; its plain function is compiled into the kernels.
    seed
        Key of all random numbers.
    evaluation_points
        Held-out datapoints of an evaluation.
    mask
        (n_from, n_to), False where there is no weight.
    initial
        (n_from, n_to) weights to start from; None: those of the seed.
    """

    def __init__(
        self,
        network: FreeNetwork,
        configuration: WalkConfiguration,
        data: Data,
        *,
        seed: int,
        evaluation_points: int,
        mask: NDArray[np.bool_] | None = None,
        initial: NDArray[np.float64] | None = None,
    ) -> None:
        trial = PackTrial(configuration, seed, initial)
        self._begin(DeviceTrials(network, data, [trial], evaluation_points=evaluation_points, mask=mask))

    def _begin(self, trials: DeviceTrials) -> None:
        """Compile what the only one of some trials needs."""
        self.network = trials.network
        self.step = 0
        self._trials = trials
        self._trials.compile(side_by_side=False)
        self._stop = False

    def train(self, n_steps: int) -> Progress:
        """Take `n_steps` steps; stop early after a loss that is not finite."""
        if self._stop:
            return Progress(0, math.nan)
        (progress,) = self._take_steps(n_steps)
        self.step += progress.steps
        return progress

    def _take_steps(self, n_steps: int) -> list[Progress]:
        if self._trials.spec.is_resident:
            return self._trials.train_across_the_gpu(n_steps)
        return self._trials.train_in_turn([0], n_steps)

    def request_stop(self) -> None:
        """Let a `train` that runs in another thread be the last; it ends after the steps it was given."""
        self._stop = True

    def evaluate(self) -> Evaluation:
        """Measure the weights on held-out data, the same at every call."""
        (evaluation,) = self._trials.evaluate([0])
        return evaluation

    @property
    def weights(self) -> NDArray[np.float64]:
        """A copy of the weights, (n_from, n_to) float64."""
        return self._trials.weights(0)

    def state(self) -> State:
        """Return a copy of everything that the trial needs to go on."""
        return self._trials.state(0)

    def restore(self, state: Mapping[str, NDArray[Any]]) -> None:
        """Go on from a state of a trial like this one; raise ValueError, naming what does not fit, otherwise."""
        self._trials.restore(0, state)
        self.step = int(state["step"])


class CudaPack(_OnDevice):
    """Trials of one network side by side, a block each: own seed, standard deviation, batch size, timesteps and rule.

    Networks too large for that take turns with the whole GPU. Trials whose perturbations are not plain share the
    launches of a step instead.

    Raises
    ------
    ValueError
        If the trials differ in what is compiled in: noise, sides, rank, directions, whether data are shared where that
        saves passes, and how many of a full perturbation's datapoints run together.
    """

    def __init__(
        self,
        network: FreeNetwork,
        data: Data,
        trials: Sequence[PackTrial],
        *,
        evaluation_points: int,
        mask: NDArray[np.bool_] | None = None,
    ) -> None:
        self.network = network
        self._trials = DeviceTrials(network, data, trials, evaluation_points=evaluation_points, mask=mask)
        self._trials.compile(side_by_side=True)
        self._order = list(range(len(trials)))
        self._stop = False

    @property
    def active(self) -> tuple[int, ...]:
        """The trials that still run, by their places in the pack."""
        return tuple(self._order)

    @property
    def steps(self) -> NDArray[np.int64]:
        """Steps taken so far, (n_trials,)."""
        return self._trials.steps

    def drop(self, trial: int) -> None:
        """Leave a trial as it is; the others go on."""
        self._order.remove(trial)

    def train(self, n_steps: int) -> list[Progress]:
        """Take `n_steps` steps of every active trial, fewer after a loss that is not finite; in order of `active`."""
        order = [] if self._stop else self._trials.going_on(self._order)
        done = dict.fromkeys(self._order, Progress(0, math.nan))
        if order:
            resident = self._trials.spec.is_resident
            train = self._trials.train_side_by_side if resident else self._trials.train_in_turn
            done.update(zip(order, train(order, n_steps), strict=True))
        return list(done.values())

    def request_stop(self) -> None:
        """Let a `train` that runs in another thread be the last; it ends after the steps it was given."""
        self._stop = True

    def evaluate(self, places: Sequence[int] | None = None) -> list[Evaluation]:
        """Measure trials on held-out data, in the order of `places`; None measures the active ones."""
        order = self._order if places is None else list(places)
        return self._trials.evaluate(order) if order else []

    def state(self, trial: int) -> State:
        """Return a copy of everything that a trial needs to go on."""
        return self._trials.state(trial)

    def weights(self, trial: int) -> NDArray[np.float64]:
        """Return a copy of a trial's weights, (n_from, n_to) float64."""
        return self._trials.weights(trial)
