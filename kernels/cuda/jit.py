"""The JIT options of the CUDA kernels, defined once: no fast-math, so that NaN and infinity stay visible.

Nothing is compiled before it is first used, and nothing is cached on disk: a kernel closes over its network's sizes.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar, cast

from numba import config, cuda

F = TypeVar("F", bound=Callable[..., Any])

SIMULATED = bool(config.ENABLE_CUDASIM)
"""Whether Numba's simulator takes the place of a GPU: it runs one block after another, a Python thread for each thread
of the block, and knows no warps."""


def device_function(function: F) -> F:
    """Compile a helper that kernels call."""
    return cast(F, cuda.jit(device=True)(function))


def cuda_kernel(function: Callable[..., None]) -> Any:
    """Compile an entry point; `kernel[blocks, threads](...)` launches it."""
    return cuda.jit(function)
