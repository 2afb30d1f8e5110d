"""Dask's own messages, kept off the terminal while a sweep runs: what matters in them the sweep says itself."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

_SETTINGS: dict[str, Any] = {
    # a checkpoint of a large network may well be larger than what Dask thinks a task should be
    "distributed.admin.large-graph-warning-threshold": "1 TB",
    # of a local scheduler: a clock that jumps, after a laptop's sleep say, does not mean that workers are dead
    "distributed.scheduler.worker-ttl": None,
    # and what it would tell anybody on this machine by HTTP, or about an address that is not its own
    "distributed.scheduler.http.routes": [],
    "distributed.scheduler.contact-address": None,
}
_LOGGERS = ("distributed", "tornado", "asyncio")


class _Nothing(logging.Filter):
    def filter(self, record: logging.LogRecord) -> bool:
        return not record.name.startswith(_LOGGERS)


@contextmanager
def quiet_dask() -> Iterator[None]:
    """Silence the loggers of Dask and of what it stands on inside a with block."""
    import dask
    from distributed.versions import VersionMismatchWarning

    warnings.filterwarnings("ignore", category=VersionMismatchWarning)  # checked by freewalk, and by name
    nothing = _Nothing()
    handlers = [handler for name in (*_LOGGERS, None) for handler in logging.getLogger(name).handlers]
    if logging.lastResort is not None:
        handlers.append(logging.lastResort)
    for handler in handlers:
        handler.addFilter(nothing)
    try:
        with dask.config.set(_SETTINGS):
            yield
    finally:
        for handler in handlers:
            handler.removeFilter(nothing)
