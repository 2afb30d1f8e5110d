"""Trials of methods that propose weight sets: on the compiled kernels, or as the NumPy reference."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from freewalk.kernels.cpu import population as cpu
from freewalk.kernels.cpu.layout import Shape, shape_of, to_padded
from freewalk.kernels.cpu.trainer import CpuTrainer, exercise
from freewalk.kernels.model.network import FreeNetwork
from freewalk.kernels.model.population import (
    Array,
    Origin,
    PopulationConfiguration,
    Strategy,
    Tried,
    matrices,
    origin_of,
)
from freewalk.kernels.model.state import check_state, make_state
from freewalk.kernels.model.walk import Data, State
from freewalk.kernels.reference.population import try_members
from freewalk.kernels.trainers.reference_trainer import ReferenceTrainer

_COUNTED = "evaluations"


class CpuPopulation(CpuTrainer):
    """One trial on the CPU; the weights are its strategy's answer. Parameters as for `CpuTrainer`."""

    _configuration: PopulationConfiguration

    def _make_shape(self) -> Shape:
        return shape_of(self.network, self._configuration.timesteps, self._allowed)

    def _prepare(self) -> int:
        self.evaluations = 0
        """Forward passes of one datapoint that the members have taken."""
        start = self._matrix_of(self._weights.master)
        origin = origin_of(start, self._allowed, int(self._seed), self._configuration)
        n = len(origin.weights)
        numbers = matrices(1 + np.arange(n)[None], self._allowed, start.shape)[0]
        self._positions = np.argsort(to_padded(numbers, self._shape), kind="stable")[-n:]
        self._fixed = self._weights.single.copy()
        self.strategy: Strategy = self._configuration.strategy(origin)
        return origin.members

    def compile_for_threads(self) -> None:
        """Compile, or load from the cache, what steps with several threads need."""
        compile_kernels(threads=2)

    def _allocate(self, threads: int) -> None:
        memory = cpu.make_memory(self._shape, self._configuration.batch_size, threads)
        self._memory = memory._replace(stop=self._stop)

    def _try(self, step: int, members: Array) -> Tried:
        n = len(members)
        tried = Tried(np.empty(n), np.empty(n, np.int64), np.empty(n, np.bool_))
        run = cpu.try_members if self.threads == 1 else cpu.try_members_parallel
        weights = cpu.to_positions(members, self._positions, self._fixed)
        c = self._configuration
        run(self._shape, self._training, self._seed, step, c.batch_size, c.tolerance, weights, self._memory, *tried)
        return tried

    def _run_steps(self, n_steps: int) -> tuple[int, float]:
        loss, done = math.nan, 0
        while done < n_steps and not math.isinf(loss):
            step = self.step + done
            members = self.strategy.ask(step)
            tried = self._try(step, members)
            if self._stop[0]:
                break
            loss = float(tried.losses.min())
            self.evaluations += int(tried.seen.sum())
            if math.isfinite(loss):
                self.strategy.tell(step, members, tried)
            done += 1
        if done:
            self._weights.master[self._positions] = self.strategy.answer
            self._copy_to_single()
        return done, loss

    def state(self) -> State:
        """Return a copy of everything that the trial needs to go on; not while it trains."""
        return _state_of(self, self._configuration, self.strategy)

    def restore(self, state: Mapping[str, NDArray[Any]]) -> None:
        """Go on from a state of a trial like this one; raise ValueError, naming what does not fit, otherwise."""
        _restore(self, state, self._configuration, self.strategy, self._allowed)
        self._weights.master[:] = self._values_of(state["weights"].astype(np.float64))
        self._copy_to_single()


class ReferencePopulation(ReferenceTrainer):
    """One trial in NumPy float64. Parameters as for `ReferenceTrainer`."""

    _configuration: PopulationConfiguration

    def __init__(
        self, network: FreeNetwork, configuration: PopulationConfiguration, data: Data, **options: Any
    ) -> None:
        super().__init__(network, configuration, data, **options)
        self.evaluations = 0
        self.strategy = configuration.strategy(origin_of(self._weights, self._mask, self._seed, configuration))

    def _take_step(self) -> float:
        members = self.strategy.ask(self.step)
        weights = matrices(members, self._mask, self._weights.shape, self._weights)
        tried = try_members(self.network, weights, *self._batch(), self._timesteps, self._configuration.tolerance)
        self.evaluations += int(tried.seen.sum())
        loss = float(tried.losses.min())
        if math.isfinite(loss):
            self.strategy.tell(self.step, members, tried)
            self._weights = matrices(self.strategy.answer[None], self._mask, self._weights.shape, self._weights)[0]
        return loss

    def state(self) -> State:
        """Return a copy of everything that the trial needs to go on."""
        return _state_of(self, self._configuration, self.strategy)

    def restore(self, state: Mapping[str, NDArray[Any]]) -> None:
        """Go on from a state of a trial like this one; raise ValueError, naming what does not fit, otherwise."""
        _restore(self, state, self._configuration, self.strategy, self._mask)
        self._weights = state["weights"].astype(np.float64)


def _state_of(trainer: Any, configuration: PopulationConfiguration, strategy: Strategy) -> State:
    counted = np.array(trainer.evaluations, dtype=np.int64)
    return make_state(configuration, trainer.step, trainer.weights, (), **{_COUNTED: counted}, **strategy.state())


def _restore(
    trainer: Any,
    state: Mapping[str, NDArray[Any]],
    configuration: PopulationConfiguration,
    strategy: Strategy,
    mask: NDArray[np.bool_] | None,
) -> None:
    more = {_COUNTED: (), **strategy.shapes(state)}
    check_state(state, configuration, trainer.weights.shape, mask=mask, fixed=trainer.weights, **more)
    strategy.restore(state)
    trainer.step, trainer.evaluations = int(state["step"]), int(state[_COUNTED])


class _Still(Strategy):
    """Stays where it is: for compiling."""

    def ask(self, step: int) -> Array:
        """Return the start K times."""
        return np.tile(self.origin.weights, (self.origin.members, 1))

    def tell(self, step: int, members: Array, tried: Tried) -> None:
        """Learn nothing."""

    @property
    def answer(self) -> Array:
        """The start."""
        return self.origin.weights


def _still(origin: Origin) -> Strategy:
    return _Still(origin)


def compile_kernels(threads: int) -> None:
    """Run every kernel of such a trial on a tiny problem, so that it is compiled or loaded from the cache."""
    configuration = PopulationConfiguration("still", _still, batch_size=1, timesteps=1, population=threads)
    exercise(CpuPopulation(FreeNetwork(1, 1, 0), configuration, Data(0), seed=0, evaluation_points=1, threads=threads))
