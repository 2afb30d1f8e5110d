"""Dask from the driver's side: the client of a scheduler, or why there is none, and its messages kept quiet."""

from __future__ import annotations

import asyncio
import json
import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from freewalk.harness.base.errors import UsageError

_TRIES = 10
_SECONDS_BETWEEN_TRIES = 0.1
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


async def connect(address: str, security: Any, seconds: float) -> Any:
    """Return an asynchronous client.

    Parameters
    ----------
    address
        Of a scheduler, or its file.
    security : distributed.Security or None
        None takes the certificates that Dask's settings name.
    seconds
        How long to wait for an answer.

    Raises
    ------
    UsageError
        If none comes: the reason, to be put into a sentence.
    """
    from distributed import Client

    client = None
    try:
        where = await _address_in(Path(address)) if address.endswith(".json") else address
        client = Client(
            where, security=security, asynchronous=True, set_as_default=False, timeout=seconds, name="freewalk"
        )
        await asyncio.wait_for(client, seconds + 1)
    except Exception as error:  # whatever Dask makes of what does or does not answer there
        if client is not None:
            with suppress(Exception):
                await client.close(timeout=2)
            client.status = "closed"  # or it tries once more when it is collected, without a loop
        raise UsageError(_reason(error, address)) from None
    return client


async def _address_in(file: Path) -> str:
    """Return the address in a scheduler's file, which the scheduler may just be writing."""
    for attempt in range(_TRIES):
        if attempt:
            await asyncio.sleep(_SECONDS_BETWEEN_TRIES)
        with suppress(ValueError, RecursionError):
            found = json.loads(file.read_text(encoding="utf-8"))
            if isinstance(found, dict) and isinstance(found.get("address"), str):
                return str(found["address"])
    raise UsageError("it is not the file that a scheduler writes")


def _reason(error: BaseException, address: str) -> str:
    if isinstance(error, FileNotFoundError) and error.filename == address:
        return "there is no such file"
    text = " ".join(str(error).split()) or type(error).__name__
    if isinstance(error, MemoryError):
        text = "something else does"
    text = text if len(text) < 160 else text[:159] + "…"
    return f"{text}; for tls:// Dask's settings name the certificates" if address.startswith("tls://") else text


class _Nothing(logging.Filter):
    def filter(self, record: logging.LogRecord) -> bool:
        return not record.name.startswith(_LOGGERS)


@contextmanager
def quiet_dask() -> Iterator[None]:
    """Silence the loggers of Dask and of what it stands on inside a with block.

    What matters in their messages the sweep says itself.
    """
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
