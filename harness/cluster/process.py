"""A worker process of this machine: `python -m freewalk.harness.cluster.process ADDRESS NAME FOLDER`.

Its standard input is a pipe from the driver. A line with the sweep's keys comes first; nothing else holds them. The
process ends when the pipe does: however the driver dies, no worker outlives it.
"""

from __future__ import annotations

import asyncio
import os
import select
import shutil
import sys
import tempfile
import threading
import time
from contextlib import suppress
from pathlib import Path

from freewalk.harness.cluster.keys import Keys

_TRIES = 20


def main(arguments: list[str]) -> None:
    """Serve a scheduler with one thread until the driver ends."""
    address, name, folder = arguments
    tempfile.tempdir = folder  # where Python wants to read a key from a file, nobody else sees it
    line = _line()
    watch = threading.Thread(target=_end_with_the_driver, args=(Path(folder),), daemon=True)
    watch.start()
    try:
        asyncio.run(_serve(address, name, folder, Keys.from_line(line)))
    finally:
        # Dask may have noticed first that the driver is gone; if it is not, it wants to read the log
        if select.select([0], [], [], 1.0)[0]:
            watch.join()


def _line() -> bytes:
    """Read what the driver says first, and no more; less than a line where the driver has died."""
    line = b""
    while not line.endswith(b"\n") and (byte := os.read(0, 1)):
        line += byte
    return line


def _end_with_the_driver(folder: Path) -> None:
    while os.read(0, 1):
        pass
    _remove(folder)
    os._exit(1)


def _remove(folder: Path) -> None:
    """Remove a worker's folder, in which Dask may still be writing, and the one above it after the last worker."""
    for _ in range(_TRIES):
        shutil.rmtree(folder, ignore_errors=True)
        if not folder.exists():
            break
        time.sleep(0.05)
    with suppress(OSError):
        folder.parent.rmdir()


async def _serve(address: str, name: str, folder: str, keys: Keys) -> None:
    from distributed import Worker

    worker = Worker(
        address,
        nthreads=1,
        name=name,
        host="127.0.0.1",
        local_directory=folder,
        memory_limit=0,
        dashboard=False,
        security=keys.security(),
        death_timeout=60,
    )
    async with worker:
        await worker.finished()


if __name__ == "__main__":
    main(sys.argv[1:])
