"""Worker processes of this machine: started, replaced when they die, ended with the driver."""

from __future__ import annotations

import itertools
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import freewalk
from freewalk.harness.base.errors import UsageError
from freewalk.harness.cluster.keys import Keys

_MOST_STILLBORN = 3
"""Processes in a row that may end before they served, until it is no accident."""
_SECONDS_TO_DIE = 5.0
_KILLED = (-signal.SIGKILL, -signal.SIGTERM)
"""What ended a process that somebody killed, which says nothing of the next one."""
_POOLS = ("NUMBA", "OMP", "OPENBLAS", "MKL", "VECLIB", "NUMEXPR", "BLIS")
_ONE_THREAD = {f"{pool}_{'MAXIMUM' if pool == 'VECLIB' else 'NUM'}_THREADS": "1" for pool in _POOLS}
_DASK = {
    # samples every thread a hundred times a second, for a dashboard that is off
    "DASK_DISTRIBUTED__WORKER__PROFILE__ENABLED": "False",
    "DASK_DISTRIBUTED__WORKER__HTTP__ROUTES": "[]",
}


@dataclass
class _Process:
    popen: subprocess.Popen[bytes]
    folder: Path
    place: int
    served: bool = False
    ended: bool = False


class LocalWorkers:
    """N worker processes of one thread each, for the scheduler at an address that has the same keys.

    Not Dask's nannies: those start processes through `multiprocessing`, which imports the user's script once more in
    each.
    """

    def __init__(self, n_workers: int, address: str, keys: Keys) -> None:
        self._address = address
        self._keys = keys
        self._folder = Path(tempfile.mkdtemp(prefix="freewalk-workers-"))
        self._names = itertools.count()
        self._stillborn = 0
        self.n_workers = n_workers
        self._processes: list[_Process] = []
        try:
            self._processes = [self._start(place) for place in range(n_workers)]
        except BaseException:
            self.close()
            raise

    def served(self, pid: int) -> None:
        """Note that a process got as far as to take part."""
        for process in self._processes:
            if process.popen.pid == pid:
                process.served = True
                self._stillborn = 0

    def tend(self) -> list[int]:
        """Replace processes that have died; return the ids of those that were not ended here.

        Raises
        ------
        UsageError
            If they die one after another before they have served.
        """
        dead = [process for process in self._processes if process.popen.poll() is not None]
        for process in dead:
            self._stillborn += not process.served and process.popen.returncode not in _KILLED
            if self._stillborn >= _MOST_STILLBORN:
                raise UsageError(f"--workers: the worker processes end as they start: {self._last_words(process)}")
            self._clear(process)
            self._processes.remove(process)
            self._processes.append(self._start(process.place))
        return [process.popen.pid for process in dead if not process.ended]

    def end(self, pid: int) -> None:
        """Kill a process that hangs; `tend` replaces it without a word."""
        for process in self._processes:
            if process.popen.pid == pid:
                process.ended = True
                process.popen.kill()

    def close(self) -> None:
        """End all processes and remove their folder; they hold nothing that is worth waiting for."""
        for process in self._processes:
            process.popen.kill()
        for process in self._processes:
            self._clear(process)
        self._processes = []
        shutil.rmtree(self._folder, ignore_errors=True)

    def _start(self, place: int) -> _Process:
        name = f"freewalk-{next(self._names)}"
        folder = self._folder / name
        folder.mkdir()
        command = [
            sys.executable,
            *_import_options(),
            "-m",
            "freewalk.harness.cluster.process",
            self._address,
            name,
            str(folder),
        ]
        with (folder / "log").open("wb") as log:
            popen = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
                env=self._environment(place),
                start_new_session=True,  # Ctrl-C is the driver's
            )
        assert popen.stdin is not None
        with suppress(BrokenPipeError):  # it has ended already, which is seen to elsewhere
            popen.stdin.write(self._keys.to_line())
            popen.stdin.flush()
        return _Process(popen, folder, place)

    @staticmethod
    def _environment(place: int) -> dict[str, str]:
        home = str(Path(freewalk.__file__).parent.parent)
        path = os.pathsep.join(part for part in (home, os.environ.get("PYTHONPATH", "")) if part)
        return {**os.environ, **_ONE_THREAD, **_DASK, "PYTHONPATH": path, "CUDA_VISIBLE_DEVICES": _gpu_of(place)}

    @staticmethod
    def _clear(process: _Process) -> None:
        with suppress(subprocess.TimeoutExpired):  # no signal reaches a process that waits for a disk
            process.popen.wait(_SECONDS_TO_DIE)
        if process.popen.stdin is not None:
            with suppress(BrokenPipeError):  # of a process that was gone before it could be told its keys
                process.popen.stdin.close()
        shutil.rmtree(process.folder, ignore_errors=True)

    @staticmethod
    def _last_words(process: _Process) -> str:
        lines: list[str] = []
        with suppress(OSError):
            lines = (process.folder / "log").read_text(encoding="utf-8", errors="replace").split("\n")
        return next((line.strip() for line in reversed(lines) if line.strip()), f"exit code {process.popen.returncode}")


def _import_options() -> list[str]:
    """Let a worker import from the present folder only where the driver does: others may write there."""
    return [] if {"", str(Path.cwd())} & set(sys.path) else ["-P"]


def _gpu_of(place: int) -> str:
    """Return the one GPU that a worker sees: each worker its own, none where there are more workers than GPUs."""
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is None:
        return str(place)  # beyond the last GPU this names none
    devices = [device.strip() for device in visible.split(",")]
    return devices[place] if place < len(devices) else ""
