"""Gradient methods on the CPU: arrays made and handed to the compiled kernels."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from freewalk.kernels.cpu import backprop, numerical
from freewalk.kernels.cpu.layout import from_padded, shape_of, to_padded
from freewalk.kernels.cpu.optimizers import OPTIMIZERS, SCHEDULES, Rule
from freewalk.kernels.cpu.packing import make_memory, make_packed, rows_of
from freewalk.kernels.cpu.trainer import NO_MASK, CpuTrainer, array_source, exercise
from freewalk.kernels.machine.lanes import LANES
from freewalk.kernels.model.descent import BACKPROP, NUMERICAL, DescentConfiguration
from freewalk.kernels.model.network import FreeNetwork, check_mask
from freewalk.kernels.model.walk import Data


class CpuBackprop(CpuTrainer):
    """One trial of exact gradients on the free network. Parameters as for `CpuTrainer`, and the configuration."""

    def __init__(
        self,
        network: FreeNetwork,
        configuration: DescentConfiguration,
        data: Data,
        *,
        seed: int,
        evaluation_points: int,
        threads: int = 1,
        mask: NDArray[np.bool_] | None = None,
        initial: NDArray[np.float64] | None = None,
    ) -> None:
        check_mask(network, mask)
        shape = shape_of(network, configuration.timesteps)
        self._rule = rule_of(configuration)
        self._mask = NO_MASK if mask is None else to_padded(mask, shape)
        self._tiling = backprop.tiling_of(shape, configuration.batch_size)
        self._sums = backprop.make_sums(shape, self._tiling)
        self._rows = rows_of(shape)
        self._packed = make_packed(shape)
        self._gradient = np.zeros(shape.n_to * shape.n_rows)
        super().__init__(
            network,
            configuration,
            data,
            seed=seed,
            evaluation_points=evaluation_points,
            n_parts=self._tiling.n_chunks,
            threads=threads,
            mask=mask,
            initial=initial,
        )

    def compile_for_threads(self) -> None:
        """Compile, or load from the cache, what steps with several threads need."""
        compile_kernels(BACKPROP, threads=2)

    def _allocate(self, threads: int) -> None:
        self._memory = make_memory(self._shape, self._tiling.groups, threads)._replace(stop=self._stop)

    def _run_steps(self, n_steps: int) -> tuple[int, float]:
        run = backprop.train if self.threads == 1 else backprop.train_parallel
        done: tuple[int, float] = run(
            self._shape,
            self._rows,
            self._rule,
            self._training,
            self._seed,
            self._tiling,
            self._weights,
            self._mask,
            self._packed,
            self._memory,
            self._sums,
            self._gradient,
            self.step,
            n_steps,
        )
        return done


class CpuNumerical(CpuTrainer):
    """One trial of central differences on the free network. Parameters as for `CpuTrainer`, and the configuration."""

    def __init__(
        self,
        network: FreeNetwork,
        configuration: DescentConfiguration,
        data: Data,
        *,
        seed: int,
        evaluation_points: int,
        threads: int = 1,
        mask: NDArray[np.bool_] | None = None,
        initial: NDArray[np.float64] | None = None,
    ) -> None:
        check_mask(network, mask)
        shape = shape_of(network, configuration.timesteps)
        self._rule = rule_of(configuration)
        self._batch_size = configuration.batch_size
        there_is = np.ones((network.n_from, network.n_to), dtype=np.bool_) if mask is None else mask
        self._positions = np.flatnonzero(to_padded(there_is, shape))
        self._gradient = np.zeros(shape.n_to * shape.n_rows)
        super().__init__(
            network,
            configuration,
            data,
            seed=seed,
            evaluation_points=evaluation_points,
            n_parts=max(1, len(self._positions)),
            threads=threads,
            mask=mask,
            initial=initial,
        )

    def compile_for_threads(self) -> None:
        """Compile, or load from the cache, what steps with several threads need."""
        compile_kernels(NUMERICAL, threads=2)

    def _allocate(self, threads: int) -> None:
        self._trials = numerical.make_trials(self._shape, threads)._replace(stop=self._stop)
        self._losses = np.zeros(threads)

    def _run_steps(self, n_steps: int) -> tuple[int, float]:
        run = numerical.train if self.threads == 1 else numerical.train_parallel
        done: tuple[int, float] = run(
            self._shape,
            self._rule,
            self._training,
            self._seed,
            self._batch_size,
            self._weights,
            self._positions,
            self._trials,
            self._losses,
            self._gradient,
            self.step,
            n_steps,
        )
        return done


KINDS: dict[str, type[CpuBackprop | CpuNumerical]] = {BACKPROP: CpuBackprop, NUMERICAL: CpuNumerical}
"""The methods that run on lanes of datapoints."""


def rule_of(configuration: DescentConfiguration) -> Rule:
    """Return the optimiser as runtime values."""
    return Rule(
        kind=OPTIMIZERS[configuration.optimizer],
        stddev=1.0,
        two_sided=0,
        learning_rate=float(configuration.learning_rate),
        momentum=float(configuration.momentum),
        schedule=SCHEDULES[configuration.schedule],
        schedule_steps=configuration.schedule_steps,
    )


def gradient_on_arrays(
    network: FreeNetwork,
    method: str,
    weights: NDArray[np.floating],
    x: NDArray[Any],
    y: NDArray[Any],
    timesteps: int,
    *,
    threads: int = 1,
    mask: NDArray[np.bool_] | None = None,
) -> tuple[float, NDArray[np.float64]]:
    """Return the mean loss of given datapoints and its gradient (n_from, n_to), as `backprop` or `numerical` finds it.

    Shapes as in freewalk.kernels.reference.

    Raises
    ------
    ValueError
        If a shape does not fit the network.
    """
    source = array_source(network, x, y, timesteps)
    configuration = DescentConfiguration(method, batch_size=len(source.x), timesteps=timesteps)  # type: ignore[arg-type]
    trainer = KINDS[method](
        network,
        configuration,
        Data(0),
        seed=0,
        evaluation_points=1,
        threads=threads,
        mask=mask,
        initial=np.asarray(weights, dtype=np.float64),
    )
    trainer._training = source
    loss = trainer.train(1).loss
    return loss, from_padded(trainer._gradient, trainer._shape) / len(source.x)


def compile_kernels(method: str, threads: int) -> None:
    """Run every kernel of a method on a tiny problem, so that it is compiled or loaded from the cache."""
    configuration = DescentConfiguration(method, batch_size=backprop.MAX_GROUPS * LANES * threads, timesteps=1)  # type: ignore[arg-type]
    kind, network = KINDS[method], FreeNetwork(1, 1, 0)
    exercise(kind(network, configuration, Data(0), seed=0, evaluation_points=1, threads=threads))
