"""numba-cuda, imported here alone, and the JIT options of the CUDA kernels: no fast-math, so that NaN stays visible.

Nothing is compiled before it is first used, and nothing is cached on disk: a kernel closes over its network's sizes.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any, TypeVar, cast
from unittest import mock

import numpy as np

with warnings.catch_warnings():
    # numba-cuda 0.30 makes a time without a unit while it is imported, which NumPy 2.5 discourages
    warnings.filterwarnings("ignore", "The 'generic' unit for NumPy timedelta", DeprecationWarning)
    from numba import config, cuda, types

__all__ = ["SIMULATED", "cuda", "cuda_kernel", "device_function", "types"]

F = TypeVar("F", bound=Callable[..., Any])

SIMULATED = bool(config.ENABLE_CUDASIM)
"""Whether Numba's simulator takes the place of a GPU: it runs one block after another, a Python thread for each thread
of the block, and knows no warps."""

if not SIMULATED and not hasattr(np, "row_stack"):
    # numba-cuda 0.30 gives a meaning to this older name of vstack, which NumPy 2.5 has dropped
    with mock.patch.object(np, "row_stack", np.vstack, create=True):
        import numba.cuda.np.arrayobj  # noqa: F401

config.CUDA_LOW_OCCUPANCY_WARNINGS = 0  # a pack of few trials has few blocks, and that is no fault


def device_function(function: F) -> F:
    """Compile a helper that kernels call."""
    return cast(F, cuda.jit(device=True)(function))


def cuda_kernel(function: Callable[..., None], max_registers: int | None = None) -> Any:
    """Compile an entry point, with at most so many registers a thread; `kernel[blocks, threads](...)` launches it."""
    return cuda.jit(function) if SIMULATED else cuda.jit(max_registers=max_registers)(function)
