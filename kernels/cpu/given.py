"""The walk on batches that the caller hands over, step by step, instead of a task's own data."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from freewalk.kernels.cpu.layout import GIVEN, Source
from freewalk.kernels.cpu.trial import CpuWalk, compile_kernels
from freewalk.kernels.machine.threads import taking_turns
from freewalk.kernels.model.network import FreeNetwork
from freewalk.kernels.model.noise import Stream
from freewalk.kernels.model.walk import Data, WalkConfiguration


class GivenWalk:
    """One walk on the CPU whose batches are arrays.

    The noise is addressed as ever: by seed, step and datapoint. Parameters as for `CpuWalk`, less the data.
    """

    def __init__(
        self,
        network: FreeNetwork,
        configuration: WalkConfiguration,
        *,
        seed: int,
        threads: int = 1,
        mask: NDArray[np.bool_] | None = None,
        initial: NDArray[np.float64] | None = None,
    ) -> None:
        options: dict[str, Any] = {"seed": seed, "evaluation_points": 1, "threads": threads}
        self._walk = _Batches(network, configuration, Data(0), mask=mask, initial=initial, **options)
        for n in {1, self._walk.threads}:
            compile_kernels(threads=n)
        self._batch_size = configuration.batch_size

    @property
    def step(self) -> int:
        """Steps taken so far."""
        return self._walk.step

    @property
    def threads(self) -> int:
        """Threads of one step."""
        return self._walk.threads

    def use_threads(self, threads: int) -> None:
        """Take the following steps with so many threads, or as many as have work."""
        self._walk.use_threads(threads)

    @property
    def weights(self) -> NDArray[np.float64]:
        """A copy of the weights, (n_from, n_to) float64."""
        return self._walk.weights

    def take_step(
        self,
        x: NDArray[np.floating],
        y: NDArray[np.floating],
        *,
        learning_rate: float | None = None,
        unit_noise: NDArray[np.floating] | None = None,
    ) -> float:
        """Take one step; return the mean loss before it. A loss that is not finite moves nothing.

        Parameters
        ----------
        x, y
            (B, input_rows * n_input) and (B, output_rows * n_output) with B the configuration's batch size; one-hot
            indices written out.
        learning_rate
            Of this step, in place of the configuration's.
        unit_noise
            (B, n_from, n_to) perturbations divided by stddev; None draws those of the seed and the step.

        Raises
        ------
        ValueError
            If a shape does not fit.
        """
        self._walk.show(x, y, unit_noise)
        if learning_rate is not None:
            self._walk.use_learning_rate(learning_rate)
        with taking_turns(self._walk.threads):
            return self._walk.train(1).loss


class _Batches(CpuWalk):
    """A walk whose source of datapoints is set anew before each step."""

    def show(self, x: NDArray[np.floating], y: NDArray[np.floating], unit_noise: NDArray[np.floating] | None) -> None:
        """Let the next step see these datapoints, and this noise if it is given."""
        shape, batch_size = self._shape, self._tiling.batch_size
        wanted: dict[str, tuple[NDArray[np.floating], tuple[int, ...]]] = {
            "x": (x, (batch_size, shape.input_rows * shape.n_input)),
            "y": (y, (batch_size, shape.output_rows * shape.n_output)),
        }
        if unit_noise is not None:
            wanted["unit_noise"] = (unit_noise, (batch_size, shape.n_from, shape.n_to))
        for name, (array, expected) in wanted.items():
            if array.shape != expected:
                raise ValueError(f"{name} must have shape {expected}, got {array.shape}")
        self._training = Source(0, 0, int(Stream.DATA), _single(x), _single(y))
        if unit_noise is not None:
            self._drawn = self._noise
            self._noise = self._noise._replace(kind=GIVEN, given=_single(unit_noise))

    def use_learning_rate(self, rate: float) -> None:
        """Take the following steps with this learning rate."""
        self._rule = self._rule._replace(learning_rate=float(rate))

    def _run_steps(self, n_steps: int) -> tuple[int, float]:
        noise = self._noise
        try:
            return super()._run_steps(n_steps)
        finally:
            if noise.kind == GIVEN:  # of one step only
                self._noise = self._drawn


def _single(array: NDArray[np.floating]) -> NDArray[np.float32]:
    """Return an array as the kernels read it."""
    return np.ascontiguousarray(array, dtype=np.float32)
