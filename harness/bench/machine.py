"""What the suite ran on, beyond what every run records: the GPU, and the versions of the peers."""

from __future__ import annotations

import dataclasses
import importlib.metadata
from collections.abc import Iterable
from typing import Any

from freewalk.harness.base.environment import environment
from freewalk.harness.bench.peers.table import PEERS
from freewalk.kernels.backend import resolve_backend
from freewalk.kernels.cuda.device import GpuInfo

_OTHER_NAMES = {"cupy": ("cupy-cuda13x", "cupy-cuda12x"), "tensorflow": ("tensorflow-cpu",)}
"""Distributions that hold a package of another name."""


def describe(facts: GpuInfo, peers: Iterable[str], command: str) -> dict[str, Any]:
    """Return what environment.json holds; plain values."""
    packages = dict.fromkeys(PEERS[name].package for name in peers)
    return {
        **environment(resolve_backend("cpu")),
        "gpu": facts.name,
        "gpu_driver": facts.driver,
        "gpu_facts": dataclasses.asdict(facts),
        "peers": {package: version_of(package) for package in packages},
        "cuda_packages": {name: version_of(name) for name in ("numba-cuda", "cuda-bindings", "cuda-core")},
        "command": command,
    }


def version_of(package: str) -> str | None:
    """Return the version of a distribution; None if it is not installed."""
    for name in (package, *_OTHER_NAMES.get(package, ())):
        try:
            return importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return None
