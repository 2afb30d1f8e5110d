"""The GPU as a backend."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from freewalk.kernels.cuda.device import gpu
from freewalk.kernels.model.walk import WalkConfiguration
from freewalk.kernels.trainers.backend import Backend

_TRIALS_OF_A_MULTIPROCESSOR = 4
"""Blocks that a launch queues for each multiprocessor, so that a slow trial leaves few of them idle."""
_ALONE_IS_FASTER = 8
"""Below one trial for so many multiprocessors, one trial after another across the whole GPU takes less time."""


@dataclass(frozen=True)
class CudaBackend(Backend):
    """The walk on an NVIDIA GPU: one trial across all of it, or many side by side."""

    def _trainers(self, configuration: WalkConfiguration | None) -> tuple[Any, Any]:
        from freewalk.kernels.cuda.walk import CudaPack, CudaWalk

        return CudaWalk, CudaPack


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
        most_in_a_pack=_TRIALS_OF_A_MULTIPROCESSOR * device.multiprocessors,
        fewest_in_a_pack=max(2, device.multiprocessors // _ALONE_IS_FASTER),
    )
