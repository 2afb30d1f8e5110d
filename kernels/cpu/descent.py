"""Gradient methods on the CPU: arrays made and handed to the compiled kernels."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from freewalk.kernels.cpu import backprop, numerical
from freewalk.kernels.cpu.layout import from_padded, to_padded
from freewalk.kernels.cpu.memory import make_blocked, make_memory, rows_of
from freewalk.kernels.cpu.optimizers import make_rule
from freewalk.kernels.cpu.trainer import CpuTrainer, array_source, by_position, exercise
from freewalk.kernels.machine.lanes import LANES
from freewalk.kernels.model.descent import BackpropConfiguration, DescentConfiguration, NumericalConfiguration
from freewalk.kernels.model.network import FreeNetwork
from freewalk.kernels.model.walk import Data


class CpuDescent(CpuTrainer):
    """One trial along a gradient of the free network. Parameters as for `CpuTrainer`."""

    configured_by: ClassVar[type[DescentConfiguration]]
    _configuration: DescentConfiguration
    _gradient: NDArray[np.float64]

    def compile_for_threads(self) -> None:
        """Compile, or load from the cache, what steps with several threads need."""
        self.compile_kernels(threads=2)

    @classmethod
    def compile_kernels(cls, threads: int = 1) -> None:
        """Run every kernel on a tiny problem, so that it is compiled or loaded from the cache."""
        configuration = cls.configured_by(batch_size=backprop.MAX_GROUPS * LANES * threads, timesteps=1)
        network = FreeNetwork(1, 1, 0)
        exercise(cls(network, configuration, Data(0), seed=0, evaluation_points=1, threads=threads))

    @classmethod
    def gradient_on_arrays(
        cls,
        network: FreeNetwork,
        weights: NDArray[np.floating],
        x: NDArray[Any],
        y: NDArray[Any],
        timesteps: int,
        *,
        threads: int = 1,
        mask: NDArray[np.bool_] | None = None,
    ) -> tuple[float, NDArray[np.float64]]:
        """Return the mean loss of given datapoints and its gradient (n_from, n_to), as a step finds it.

        Shapes as in freewalk.kernels.reference.

        Raises
        ------
        ValueError
            If a shape does not fit the network.
        """
        source = array_source(network, x, y, timesteps)
        trainer = cls(
            network,
            cls.configured_by(batch_size=len(source.x), timesteps=timesteps),
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


class CpuBackprop(CpuDescent):
    """One trial of exact gradients on the free network. Parameters as for `CpuTrainer`."""

    configured_by: ClassVar[type[DescentConfiguration]] = BackpropConfiguration

    def _prepare(self) -> int:
        shape = self._shape
        self._rule = make_rule(self._configuration)
        self._mask = by_position(self._allowed, shape)
        self._tiling = backprop.tiling_of(shape, self._configuration.batch_size)
        self._sums = backprop.make_sums(shape, self._tiling)
        self._rows = rows_of(shape)
        self._blocked = make_blocked(shape)
        self._gradient = np.zeros(shape.n_to * shape.n_rows)
        return self._tiling.n_chunks

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
            self._blocked,
            self._memory,
            self._sums,
            self._gradient,
            self.step,
            n_steps,
        )
        return done


class CpuNumerical(CpuDescent):
    """One trial of central differences on the free network. Parameters as for `CpuTrainer`."""

    configured_by = NumericalConfiguration

    def _prepare(self) -> int:
        shape = self._shape
        self._rule = make_rule(self._configuration)
        there_is = np.ones((shape.n_from, shape.n_to), dtype=np.bool_) if self._allowed is None else self._allowed
        self._positions = np.flatnonzero(to_padded(there_is, shape))
        self._gradient = np.zeros(shape.n_to * shape.n_rows)
        return max(1, len(self._positions))

    def _allocate(self, threads: int) -> None:
        self._memory = numerical.make_memory(self._shape, threads)._replace(stop=self._stop)
        self._losses = np.zeros(threads)

    def _run_steps(self, n_steps: int) -> tuple[int, float]:
        run = numerical.train if self.threads == 1 else numerical.train_parallel
        done: tuple[int, float] = run(
            self._shape,
            self._rule,
            self._training,
            self._seed,
            self._configuration.batch_size,
            self._weights,
            self._positions,
            self._memory,
            self._losses,
            self._gradient,
            self.step,
            n_steps,
        )
        return done
