"""What a sweep ran on: versions, processor, threads, source revision."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import subprocess
from pathlib import Path
from typing import Any

import numba

import freewalk
from freewalk.kernels.backend import Backend
from freewalk.kernels.cuda.device import gpu, why_unusable
from freewalk.kernels.machine.threads import processor_name, usable_threads

_PACKAGES = (
    *("freewalk", "numba", "llvmlite", "numpy", "pandas", "scipy", "pydantic", "click", "rich", "matplotlib", "jinja2"),
    "numba-cuda",
)


def environment(backend: Backend) -> dict[str, Any]:
    """Return what decides speed and, in the last bits, results; plain values that JSON can hold."""
    return {
        "python": platform.python_version(),
        "packages": {name: _version(name) for name in _PACKAGES},
        "platform": platform.platform(),
        "machine": platform.machine(),
        "cpu": {
            "model": processor_name(),
            "logical_processors": os.cpu_count(),
            "features": processor_features(),
        },
        "threads": usable_threads(),
        "threading_layer": numba.config.THREADING_LAYER,
        "memory_gb": None if (bytes_ := memory_bytes()) is None else round(bytes_ / 1e9, 1),
        "gpu": gpu_facts(),
        "gpu_driver": gpu().driver if why_unusable() is None else None,
        "backend": backend.name,
        "dtype": backend.dtype,
        "git_revision": _git_revision(),
        "environment_variables": {
            name: value for name, value in sorted(os.environ.items()) if name.startswith(("HARNESS_", "NUMBA_", "OMP_"))
        },
    }


def gpu_facts() -> dict[str, Any] | None:
    """Return what the driver says of the GPU that would be used; None if there is none."""
    if why_unusable() is not None:
        return None
    found = gpu()
    return {
        "name": found.name,
        "compute_capability": ".".join(map(str, found.compute_capability)),
        "multiprocessors": found.multiprocessors,
        "clock_mhz": found.clock_mhz,
        "memory_gb": found.memory_gb,
    }


def processor_features() -> list[str]:
    """Return the instruction sets of this processor that LLVM knows of, sorted."""
    import llvmlite.binding as llvm

    return sorted(name for name, is_there in llvm.get_host_cpu_features().items() if is_there)


def vector_unit() -> str:
    """Return the widest vector instructions of this processor, in words."""
    features = set(processor_features())
    for feature, words in (
        ("avx512f", "AVX-512: one register holds 16 datapoints"),
        ("avx2", "AVX2: two registers hold 16 datapoints"),
        ("neon", "NEON: four registers hold 16 datapoints"),
    ):
        if feature in features:
            return words
    return "no known vector unit"


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return freewalk.__version__ if package == "freewalk" else None


def memory_bytes() -> int | None:
    """Return the machine's memory; None where the system does not tell."""
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (ValueError, OSError):
        return None


def _git_revision() -> str | None:
    """Return the commit of the checkout this code runs from, with a + if files differ from it; None elsewhere."""
    folder = Path(__file__).resolve().parent
    command = ["git", "-C", str(folder), "describe", "--always", "--abbrev=40", "--exclude=*", "--dirty=+"]
    try:
        found = subprocess.run(command, capture_output=True, text=True, timeout=5, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return found.stdout.strip() or None
