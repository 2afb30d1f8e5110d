"""Which cluster a user has asked for."""

from __future__ import annotations

import importlib.util
import logging
from collections.abc import Callable
from typing import TYPE_CHECKING

from freewalk.harness.base.errors import UsageError

if TYPE_CHECKING:
    from freewalk.harness.cluster.connection import Cluster

_INSTALL = "pip install dask distributed"
_WORKER_BYTES = 160_000_000
"""What a worker process has to itself once its kernels are loaded."""

_LOG = logging.getLogger("freewalk")


def chosen_cluster(
    address: str | None, n_workers: int | None, notify: Callable[[str], None] = _LOG.info
) -> Cluster | None:
    """Return the cluster at an address, or one of so many processes of this machine; None where neither is given.

    Raises
    ------
    UsageError
        If both are given, one is wrong, or Dask is not installed.
    """
    if address is None and n_workers is None:
        return None
    if address is not None and n_workers is not None:
        raise UsageError("--cluster and --workers exclude each other: a cluster has its own workers; give one of them")
    if n_workers is not None and n_workers < 1:
        raise UsageError(f"--workers {n_workers}: give 1 or more")
    if n_workers is not None:
        _refuse_crowd(n_workers)
    if address is not None and not address.strip():
        raise UsageError("--cluster '': the address is empty; give one such as tcp://host:8786")
    option = "--cluster" if address is not None else "--workers"
    if importlib.util.find_spec("distributed") is None:
        raise UsageError(f"{option} needs Dask: {_INSTALL}")
    if n_workers is not None and importlib.util.find_spec("cryptography") is None:
        raise UsageError(
            "--workers needs cryptography, which keeps other users of this machine out: pip install cryptography"
        )
    from freewalk.harness.cluster.connection import Cluster

    return Cluster(address, n_workers, notify)


def _refuse_crowd(n_workers: int) -> None:
    """Refuse more processes than the machine has memory for: it would go under before the first trial."""
    from freewalk.harness.base.environment import memory_bytes
    from freewalk.kernels.machine.threads import usable_threads

    available = memory_bytes()
    if available is not None and n_workers * _WORKER_BYTES > available:
        raise UsageError(
            f"--workers {n_workers}: a process takes {_WORKER_BYTES / 1e6:.0f} MB or more, this machine has"
            f" {available / 1e9:.0f} GB; give about as many as it has threads, {usable_threads()}"
        )
