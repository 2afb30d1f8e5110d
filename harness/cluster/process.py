"""A worker process of this machine: `python -m freewalk.harness.cluster.process ADDRESS NAME FOLDER`.

Ends when its standard input does, which is the driver's end of a pipe: however the driver dies, no worker outlives it.
"""

from __future__ import annotations

import asyncio
import os
import select
import shutil
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path

_TRIES = 20


def main(arguments: list[str]) -> None:
    """Serve a scheduler with one thread until the driver ends."""
    address, name, folder = arguments
    watch = threading.Thread(target=_end_with_the_driver, args=(Path(folder),), daemon=True)
    watch.start()
    try:
        asyncio.run(_serve(address, name, folder))
    finally:
        # Dask may have noticed first that the driver is gone; if it is not, it wants to read the log
        if select.select([0], [], [], 1.0)[0]:
            watch.join()


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


async def _serve(address: str, name: str, folder: str) -> None:
    from distributed import Worker

    worker = Worker(
        address,
        nthreads=1,
        name=name,
        host="127.0.0.1",
        local_directory=folder,
        memory_limit=0,
        dashboard=False,
        death_timeout=60,
    )
    async with worker:
        await worker.finished()


if __name__ == "__main__":
    main(sys.argv[1:])
