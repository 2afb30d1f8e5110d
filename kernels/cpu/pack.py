"""Walks of one seed on the CPU that take their steps together and draw their noise once: arrays for the kernel."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from freewalk.kernels.cpu.layout import Shape, Workspace, aligned, make_workspace
from freewalk.kernels.cpu.optimizers import Weights
from freewalk.kernels.cpu.together import Trials, train_together
from freewalk.kernels.cpu.trainer import CpuTrainer
from freewalk.kernels.cpu.trial import CpuWalk
from freewalk.kernels.machine.clock import running_seconds
from freewalk.kernels.machine.lanes import LANES
from freewalk.kernels.model.network import FreeNetwork
from freewalk.kernels.model.pack import PackTrial
from freewalk.kernels.model.walk import Data, Evaluation, Progress, State, WalkConfiguration

Walk = TypeVar("Walk", bound=CpuTrainer)


class CpuPack:
    """Walks of one seed and one network: each with a configuration of its own, and the bits that it has alone.

    Training runs on the calling thread and releases the GIL.

    Parameters
    ----------
    network, data
        What is trained, and where datapoints come from.
    trials
        At least one; each may go on from a state, all from the same step.
    evaluation_points
        Held-out datapoints of an evaluation.
    mask
        (n_from, n_to), False where there is no weight.

    Raises
    ------
    ValueError
        If the trials differ in seed, step or kind of noise, or a state does not fit its trial.
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
        if not trials:
            raise ValueError("a pack needs at least one trial")
        _check_same("seed", [trial.seed for trial in trials])
        _check_same("kind of noise", [trial.configuration.kind for trial in trials])
        self.network = network
        self._stop = np.zeros(1, dtype=np.uint8)
        self._walks = self._join(network, data, trials, evaluation_points, mask)
        _check_same("step", [walk.step for walk in self._walks])
        self._order = list(range(len(trials)))
        self._stopped: set[int] = set()  # by a loss that is not finite
        self.kernel_seconds = 0.0
        self.compile_seconds = _seconds(lambda: self._run(self._order, 0))

    def _join(
        self,
        network: FreeNetwork,
        data: Data,
        trials: Sequence[PackTrial],
        evaluation_points: int,
        mask: NDArray[np.bool_] | None,
    ) -> Sequence[CpuTrainer]:
        """Return the walks, with weights that are views of the arrays which they have together."""
        self._alone = [walk_of(CpuWalk, network, data, trial, evaluation_points, mask) for trial in trials]
        self._trials = _trials_of(self._alone)
        for place, walk in enumerate(self._alone):
            walk._weights = _weights_at(self._trials, place)
        largest = max((walk._shape for walk in self._alone), key=lambda shape: shape.timesteps)
        self._workspace = _workspace_of(largest, self._alone[0]._tiling.groups)._replace(stop=self._stop)
        return self._alone

    @property
    def active(self) -> tuple[int, ...]:
        """The trials that still run, by their places in the pack."""
        return tuple(self._order)

    @property
    def steps(self) -> NDArray[np.int64]:
        """Steps taken so far, (n_trials,)."""
        return np.array([walk.step for walk in self._walks], dtype=np.int64)

    def drop(self, trial: int) -> None:
        """Leave a trial as it is; the others go on."""
        self._order.remove(trial)

    def request_stop(self) -> None:
        """Let a `train` that runs in another thread return soon; a step it leaves unfinished does not count."""
        self._stop[0] = 1

    def train(self, n_steps: int) -> list[Progress]:
        """Take `n_steps` steps of every active trial, fewer after a loss that is not finite; in order of `active`."""
        going_on = [place for place in self._order if place not in self._stopped]
        done = dict.fromkeys(self._order, Progress(0, math.nan))

        def run() -> None:
            done.update(zip(going_on, self._run(going_on, n_steps), strict=True))

        self.kernel_seconds = _seconds(run)
        for place in going_on:
            self._walks[place].step += done[place].steps
            if done[place].steps and not math.isfinite(done[place].loss):
                self._stopped.add(place)
        return list(done.values())

    def _run(self, places: Sequence[int], n_steps: int) -> list[Progress]:
        """Return what the kernel has done; it wants trials of equal timesteps one after another."""
        by_timesteps = sorted(places, key=lambda place: self._trials.timesteps[place])
        steps = np.zeros(len(self._walks), dtype=np.int64)
        losses = np.full(len(self._walks), math.nan)
        if by_timesteps:
            walk = self._alone[by_timesteps[0]]
            train_together(
                walk._shape,
                walk._training,
                walk._noise,
                self._trials,
                np.array(by_timesteps, dtype=np.int64),
                self._workspace,
                walk.step,
                n_steps,
                steps,
                losses,
            )
        return [Progress(int(steps[place]), float(losses[place])) for place in places]

    def evaluate(self, places: Sequence[int] | None = None) -> list[Evaluation]:
        """Measure trials on held-out data, in the order of `places`; None measures the active ones."""
        return [self._walks[place].evaluate() for place in (self._order if places is None else places)]

    def state(self, trial: int) -> State:
        """Return a copy of everything that a trial needs to go on, alone or in a pack."""
        return self._walks[trial].state()

    def weights(self, trial: int) -> NDArray[np.float64]:
        """Return a copy of a trial's weights, (n_from, n_to) float64."""
        return self._walks[trial].weights


def _check_same(what: str, values: Sequence[int | str]) -> None:
    different = sorted(set(values))
    if len(different) > 1:
        raise ValueError(f"trials that share their noise must agree in {what}, got {different[0]} and {different[1]}")


def walk_of(
    kind: type[Walk],
    network: FreeNetwork,
    data: Data,
    trial: PackTrial,
    evaluation_points: int,
    mask: NDArray[np.bool_] | None,
) -> Walk:
    """Return a trial of a pack as a walk of its own."""
    walk = kind(
        network,
        trial.configuration,
        data,
        seed=trial.seed,
        evaluation_points=evaluation_points,
        mask=mask,
        initial=trial.initial,
    )
    if trial.state is not None:
        walk.restore(trial.state)
    return walk


def _trials_of(walks: Sequence[CpuWalk]) -> Trials:
    """Return the walks as arrays by place."""
    shapes, rules = [walk._shape for walk in walks], [walk._rule for walk in walks]
    weights = [walk._weights for walk in walks]
    n_trials, n_padded = len(walks), len(weights[0].master)
    return Trials(
        timesteps=np.array([shape.timesteps for shape in shapes], dtype=np.int64),
        input_rows=np.array([shape.input_rows for shape in shapes], dtype=np.int64),
        output_rows=np.array([shape.output_rows for shape in shapes], dtype=np.int64),
        tilings=np.array([walk._tiling for walk in walks], dtype=np.int64),
        choices=np.array([(r.kind, r.two_sided, r.cosine_steps) for r in rules], dtype=np.int64),
        numbers=np.array([(r.stddev, r.learning_rate, r.momentum) for r in rules]),
        master=np.stack([w.master for w in weights]),
        single=np.stack([w.single for w in weights]),
        first=np.stack([w.first for w in weights]),
        second=np.stack([w.second for w in weights]),
        coefficients=aligned(n_trials, (walks[0]._tiling.groups + 1) * LANES),
        partial=np.zeros((n_trials, n_padded)),
        total=np.zeros((n_trials, n_padded)),
        chunk=np.zeros(n_trials, dtype=np.int64),
        chunk_loss=np.zeros(n_trials),
        total_loss=np.zeros(n_trials),
    )


def _workspace_of(shape: Shape, groups: int) -> Workspace:
    """Return scratch memory for one thread, with room for the datapoints of all groups of a tile."""
    one, many = make_workspace(shape, groups, 1), make_workspace(shape, 0, groups)
    return one._replace(x=many.x, y=many.y)


def _weights_at(trials: Trials, place: int) -> Weights:
    """Return a trial's weights as views of the arrays of all."""
    return Weights(trials.master[place], trials.single[place], trials.first[place], trials.second[place])


def _seconds(action: Callable[[], object]) -> float:
    start = running_seconds()
    action()
    return running_seconds() - start


def compile_packs() -> None:
    """Compile the kernel of packs, or load it from the cache, with steps of none."""
    trial = PackTrial(WalkConfiguration(stddev=0.1, batch_size=1, timesteps=1), seed=0)
    CpuPack(FreeNetwork(1, 1, 0), Data(0), [trial], evaluation_points=1)
