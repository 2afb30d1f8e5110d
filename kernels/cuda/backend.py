"""The GPU as a backend."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from freewalk.kernels.cuda.device import gpu
from freewalk.kernels.model.batch import BatchTrial, TrialBatch
from freewalk.kernels.model.descent import Method
from freewalk.kernels.model.network import FreeNetwork
from freewalk.kernels.model.walk import Data, Trainer, WalkConfiguration
from freewalk.kernels.trainers.backend import Backend

_TRIALS_OF_A_MULTIPROCESSOR = 4
"""Blocks that a launch queues for each multiprocessor, so that a slow trial leaves few of them idle."""
_ALONE_IS_FASTER = 8
"""Below one trial for so many multiprocessors, one trial after another across the whole GPU takes less time."""


@dataclass(frozen=True)
class CudaBackend(Backend):
    """The walk on an NVIDIA GPU: one trial across all of it, or many side by side."""

    def make_walk(
        self,
        network: FreeNetwork,
        configuration: WalkConfiguration,
        data: Data,
        *,
        seed: int,
        evaluation_points: int,
        mask: NDArray[np.bool_] | None = None,
        initial: NDArray[np.float64] | None = None,
    ) -> Trainer:
        """Return a new trial of the walk at step 0, across the whole GPU."""
        from freewalk.kernels.cuda.walk import CudaWalk

        options: dict[str, Any] = {"seed": seed, "evaluation_points": evaluation_points}
        return CudaWalk(network, configuration, data, mask=mask, initial=initial, **options)

    def make_batch(
        self,
        network: FreeNetwork,
        data: Data,
        trials: Sequence[BatchTrial],
        *,
        evaluation_points: int,
        mask: NDArray[np.bool_] | None = None,
    ) -> TrialBatch:
        """Return trials of one network at step 0, side by side."""
        from freewalk.kernels.cuda.walk import CudaBatch

        return CudaBatch(network, data, trials, evaluation_points=evaluation_points, mask=mask)

    def warm_up(self, method: Method | None = None) -> float:
        """Do nothing: what is compiled depends on the network; a batch says how long it took."""
        return 0.0

    def spread(self, trainer: Trainer) -> float:
        """Do nothing: a trial has the whole GPU from the start."""
        return 0.0

    def gather(self, trainer: Trainer) -> None:
        """Do nothing."""


def cuda_backend() -> CudaBackend:
    """Return the current GPU as a backend.

    Raises
    ------
    RuntimeError
        If there is none that can be used.
    """
    device = gpu()
    return CudaBackend(
        "cuda",
        device.name,
        "float32",
        workers=1,
        most_together=_TRIALS_OF_A_MULTIPROCESSOR * device.multiprocessors,
        fewest_together=max(2, device.multiprocessors // _ALONE_IS_FASTER),
    )
