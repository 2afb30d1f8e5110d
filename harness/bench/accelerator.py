"""What the suite needs of a GPU, and freewalk's own CUDA kernels behind it.

Everything else here knows the GPU only through `Accelerator`, so that it can be tried on a machine that has none.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from freewalk.kernels.cuda.device import GpuInfo, gpu, why_unusable
from freewalk.kernels.model.network import FreeNetwork
from freewalk.kernels.model.noise import Noise
from freewalk.kernels.model.pack import PackTrial
from freewalk.kernels.model.walk import Data, Evaluation, Progress, WalkConfiguration

Mask = NDArray[np.bool_]


class OneTrial(Protocol):
    """One trial in progress."""

    def train(self, n_steps: int) -> Progress:
        """Take steps."""

    def evaluate(self) -> Evaluation:
        """Measure the weights on held-out data."""

    @property
    def weights(self) -> NDArray[np.float64]:
        """A copy of the weights, (n_from, n_to)."""


class ManyTrials(Protocol):
    """Trials of one network that step together."""

    def train(self, n_steps: int) -> list[Progress]:
        """Take steps of every trial."""

    def evaluate(self) -> list[Evaluation]:
        """Measure every trial's weights on held-out data."""

    def weights(self, k: int, /) -> NDArray[np.float64]:
        """Return a copy of trial k's weights, (n_from, n_to)."""


class Accelerator(Protocol):
    """A GPU with freewalk's kernels on it."""

    def facts(self) -> GpuInfo:
        """Describe the GPU."""

    def one(
        self,
        network: FreeNetwork,
        configuration: WalkConfiguration,
        data: Data,
        *,
        seed: int,
        evaluation_points: int,
        mask: Mask | None = None,
    ) -> OneTrial:
        """Return a trial that has the whole GPU."""

    def many(
        self,
        network: FreeNetwork,
        data: Data,
        trials: Sequence[PackTrial],
        *,
        evaluation_points: int,
        mask: Mask | None = None,
    ) -> ManyTrials:
        """Return trials that share the GPU, a block each."""

    def unit_noise(
        self, network: FreeNetwork, seed: int, step: int, datapoints: NDArray[np.integer], noise: Noise
    ) -> NDArray[np.floating]:
        """Return the GPU's own perturbations divided by stddev, (n, n_from, n_to)."""

    def seconds(self, work: Callable[[], object]) -> float:
        """Do the work; return the seconds between two events of the device around it."""


def why_no_gpu() -> str | None:
    """Return None where freewalk can use a GPU, otherwise one line with the remedy."""
    return why_unusable()


class Cuda:
    """freewalk's CUDA kernels on the GPU of this machine."""

    def facts(self) -> GpuInfo:
        """Describe the GPU."""
        return gpu()

    def one(
        self,
        network: FreeNetwork,
        configuration: WalkConfiguration,
        data: Data,
        *,
        seed: int,
        evaluation_points: int,
        mask: Mask | None = None,
    ) -> OneTrial:
        """Return a trial that has the whole GPU."""
        from freewalk.kernels.cuda.walk import CudaWalk

        return CudaWalk(network, configuration, data, seed=seed, evaluation_points=evaluation_points, mask=mask)

    def many(
        self,
        network: FreeNetwork,
        data: Data,
        trials: Sequence[PackTrial],
        *,
        evaluation_points: int,
        mask: Mask | None = None,
    ) -> ManyTrials:
        """Return trials that share the GPU, a block each."""
        from freewalk.kernels.cuda.walk import CudaPack

        return CudaPack(network, data, trials, evaluation_points=evaluation_points, mask=mask)

    def unit_noise(
        self, network: FreeNetwork, seed: int, step: int, datapoints: NDArray[np.integer], noise: Noise
    ) -> NDArray[np.floating]:
        """Return the GPU's own perturbations divided by stddev, (n, n_from, n_to)."""
        from freewalk.kernels.cuda.checks import unit_noise_on_device

        return unit_noise_on_device(network, seed=seed, step=step, datapoints=datapoints, noise=noise)

    def seconds(self, work: Callable[[], object]) -> float:
        """Do the work; return the seconds between two events of the device around it."""
        from freewalk.kernels.cuda.clock import device_seconds

        return device_seconds(work)
