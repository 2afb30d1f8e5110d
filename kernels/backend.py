"""Which backend runs a trial: a GPU, the compiled CPU kernels or the NumPy reference."""

from __future__ import annotations

from dataclasses import replace

from freewalk.kernels.cuda.device import why_unusable
from freewalk.kernels.machine.threads import processor_name, usable_threads
from freewalk.kernels.trainers.backend import Backend, BackendName

__all__ = ["Backend", "BackendName", "resolve_backend"]

_MOST_SHARING_NOISE = 16
"""On 3-30-2, T 4, B 1000 a trial of a pack costs 0.31 of one alone; with 8 trials it is 0.36, with 32 it is 0.29."""


def resolve_backend(name: str) -> Backend:
    """Return the backend of that name; `auto` takes the fastest that this machine has.

    Raises
    ------
    ValueError
        If there is no such backend, or it cannot be used here: the message says what is missing.
    """
    cpu = Backend("cpu", processor_name(), "float32", usable_threads(), most_sharing_noise=_MOST_SHARING_NOISE)
    if name == "cpu":
        return cpu
    if name == "reference":
        return Backend("reference", processor_name(), "float64", 1)
    if name not in ("auto", "cuda"):
        raise ValueError(f"unknown backend {name!r}")
    reason = why_unusable()
    if reason is None:
        from freewalk.kernels.cuda.backend import cuda_backend  # needs numba-cuda

        return cuda_backend()
    if name == "cuda":
        raise ValueError(reason)
    return replace(cpu, note=reason)
