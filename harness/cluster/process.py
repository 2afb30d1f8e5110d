"""A worker process of this machine: `python -m freewalk.harness.cluster.process ADDRESS NAME FOLDER`.

Ends when its standard input does, which is the driver's end of a pipe: however the driver dies, no worker outlives it.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import sys
import threading
from contextlib import suppress
from pathlib import Path


def main(arguments: list[str]) -> None:
    """Serve a scheduler with one thread until the driver ends."""
    address, name, folder = arguments
    threading.Thread(target=_end_with_the_driver, args=(Path(folder),), daemon=True).start()
    asyncio.run(_serve(address, name, folder))


def _end_with_the_driver(folder: Path) -> None:
    while os.read(0, 1):
        pass
    shutil.rmtree(folder, ignore_errors=True)
    with suppress(OSError):
        folder.parent.rmdir()  # the last one succeeds
    os._exit(1)


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
