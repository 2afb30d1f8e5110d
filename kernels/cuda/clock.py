"""Time as the GPU itself measures it."""

from __future__ import annotations

import time
from collections.abc import Callable

from freewalk.kernels.cuda.jit import SIMULATED, cuda


def device_seconds(work: Callable[[], object]) -> float:
    """Do the work, wait for its end, and return the seconds between two events of the device around it."""
    if SIMULATED:  # whose events know no time
        begin = time.perf_counter()
        work()
        return time.perf_counter() - begin
    start, end = cuda.event(), cuda.event()
    start.record()
    work()
    end.record()
    end.synchronize()
    return float(cuda.event_elapsed_time(start, end)) / 1e3
