"""The GPU that there is to compute on."""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

LEAST_COMPUTE_CAPABILITY = (7, 0)
"""Cooperative launches and independent threads of a warp began here."""


@dataclass(frozen=True)
class GpuInfo:
    """The GPU that the kernels use, as the driver describes it."""

    name: str
    compute_capability: tuple[int, int]
    driver: str
    """Version of the driver's CUDA."""
    memory_gb: float
    multiprocessors: int
    clock_mhz: float
    """Highest clock of the multiprocessors."""


_NVIDIA = "0x10de"
_DEVICES = Path("/sys/bus/pci/devices")
_DRIVERS = (Path("/dev/nvidiactl"), Path("/dev/dxg"))
"""What a driver leaves; the second is that of Windows' Linux."""


@cache
def there_may_be_a_gpu() -> bool:
    """Tell whether this machine has a GPU of NVIDIA's, whatever its driver; True where the system does not say."""
    if any(path.exists() for path in _DRIVERS) or not _DEVICES.is_dir():
        return True
    try:
        vendors = {path.read_text(encoding="ascii").strip() for path in _DEVICES.glob("*/vendor")}
    except OSError:
        return True
    return _NVIDIA in vendors


@cache
def why_unusable() -> str | None:
    """Return None if a GPU can be used, else one line that says what is missing and how to get it."""
    if importlib.util.find_spec("numba_cuda") is None:
        return "numba-cuda is not installed: pip install 'numba-cuda[cu13]' (CUDA 13 drivers) or 'numba-cuda[cu12]'"
    from freewalk.kernels.cuda.jit import SIMULATED, cuda

    if SIMULATED:
        return None
    if not cuda.is_available():
        return "no NVIDIA GPU with a working driver was found: see nvidia-smi"
    capability = tuple(cuda.get_current_device().compute_capability)
    if capability < LEAST_COMPUTE_CAPABILITY:
        least = ".".join(map(str, LEAST_COMPUTE_CAPABILITY))
        return f"the GPU has compute capability {'.'.join(map(str, capability))}, at least {least} is needed"
    return None


@cache
def gpu() -> GpuInfo:
    """Return the current GPU.

    Raises
    ------
    RuntimeError
        If none can be used.
    """
    reason = why_unusable()
    if reason is not None:
        raise RuntimeError(reason)
    from freewalk.kernels.cuda.jit import SIMULATED, cuda

    if SIMULATED:
        return GpuInfo("CUDA simulator", (0, 0), "none", 0.0, 3, 0.0)
    device = cuda.get_current_device()
    major, minor = cuda.cudadrv.driver.get_version()
    name = device.name.decode() if isinstance(device.name, bytes) else str(device.name)
    return GpuInfo(
        name=name,
        compute_capability=tuple(device.compute_capability),
        driver=f"CUDA {major}.{minor}",
        memory_gb=round(_total_memory(cuda) / 1e9, 1),
        multiprocessors=int(device.MULTIPROCESSOR_COUNT),
        clock_mhz=device.CLOCK_RATE / 1e3,
    )


def _total_memory(cuda: Any) -> int:
    return int(cuda.current_context().get_memory_info().total)
