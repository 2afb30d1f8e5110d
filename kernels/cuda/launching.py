"""Launches that every step repeats: what numba-cuda makes of a kernel's arguments is made once and kept.

It would make it anew for each launch, which takes the host many times as long as the launch itself.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Sequence
from typing import Any

from freewalk.kernels.cuda.jit import SIMULATED, cuda

_STEPS_AT_ONCE = 1024  # queued before the host waits

OFFSET: Any = object()
"""Stands for the argument that tells a step from the next."""
Launch = Callable[[int], object]
"""Queues a kernel, given the step as counted from the first of a call."""


def prepare(kernel: Any, signature: Any, grid: Any, threads: int, arguments: Sequence[Any]) -> Launch:
    """Return what launches a kernel again and again with the same arguments, but for `OFFSET`.

    Parameters
    ----------
    signature
        Of the kernel.
    arguments
        Arrays on the device, which are kept alive, and integers.
    """
    configured = kernel[grid, threads]

    def launch_anew(offset: int) -> object:
        return configured(*(offset if argument is OFFSET else argument for argument in arguments))

    if SIMULATED:
        return launch_anew
    try:
        return _Prepared(kernel.compile(signature.args), configured, arguments)
    except AttributeError:  # a numba-cuda whose parts have other names
        return launch_anew


def take_steps(launches: Sequence[Launch], n_steps: int) -> None:
    """Queue the launches of some steps."""
    for k in range(n_steps):
        for launch in launches:
            launch(k)
        if (k + 1) % _STEPS_AT_ONCE == 0:
            cuda.synchronize()


class _Prepared:
    """A launch whose arguments are ready."""

    def __init__(self, compiled: Any, configured: Any, arguments: Sequence[Any]) -> None:
        from cuda.core import LaunchConfig  # type: ignore[import-not-found, import-untyped, unused-ignore]

        self._dispatcher, self._stream = cuda.dispatcher, configured.stream
        self._kept: list[Any] = [arguments]
        self._offset = ctypes.c_int64()
        self._ready: list[Any] = []
        for kind, argument in zip(compiled.argument_types, arguments, strict=True):
            if argument is OFFSET:
                self._ready.append(self._offset)
            else:
                compiled._prepare_args(kind, argument, self._stream, self._kept, self._ready)
        self._function = compiled._codelibrary.get_cufunc().kernel
        self._config = LaunchConfig(grid=configured.griddim, block=configured.blockdim)

    def __call__(self, offset: int) -> None:
        self._offset.value = offset
        self._dispatcher.launch(self._stream, self._config, self._function, *self._ready)
