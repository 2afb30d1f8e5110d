"""The client of a scheduler, or why there is none."""

from __future__ import annotations

import asyncio
import json
from contextlib import suppress
from pathlib import Path
from typing import Any

from freewalk.harness.base.errors import UsageError

_TRIES = 10
_SECONDS_BETWEEN_TRIES = 0.1


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
