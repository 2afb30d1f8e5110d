"""Whether a worker still lives: it is asked again and again how far its slices are."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Any

from freewalk.harness.cluster import remote

SECONDS_BETWEEN = 5.0
SILENT_SECONDS = 40.0
"""How long a worker may leave a question unanswered; its kernels run beside what answers."""


async def listen(
    client: Any, address: str, heard: Callable[[Mapping[str, int]], str | None], patience: Callable[[], float]
) -> str:
    """Ask a worker until it is of no use any more; return why.

    Time is counted in answers that came or failed to come, so that a driver that was stopped itself has missed nothing.

    Parameters
    ----------
    client : distributed.Client
        Asynchronous.
    address
        Of the worker.
    heard
        Takes what `remote.pulse` says, every `SECONDS_BETWEEN`; a sentence is the reason to ask no more.
    patience
        By how much to wait longer than `SILENT_SECONDS`, as a factor.
    """
    while True:
        await asyncio.sleep(SECONDS_BETWEEN)
        question = asyncio.ensure_future(client.run(remote.pulse, workers=[address], on_error="ignore"))
        try:
            silence = await _silence(question, patience)
        finally:
            question.cancel()
        if silence is not None:
            return f"it has not answered for {silence:.0f} s"
        lost = question.cancelled() or question.exception() is not None
        reason = heard({} if lost else question.result().get(address, {}))
        if reason is not None:
            return reason


async def _silence(question: asyncio.Future[Any], patience: Callable[[], float]) -> float | None:
    """Wait for an answer; return the seconds if none comes."""
    waited = 0.0
    while waited < SILENT_SECONDS * patience():
        done, _ = await asyncio.wait({question}, timeout=1.0)
        if done:
            return None
        waited += 1.0
    return waited
