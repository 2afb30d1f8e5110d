"""The other end of the pipe: an implementation that lives in a process of its own."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import tempfile
import time
from multiprocessing import Pipe
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from freewalk.harness.bench.peers.peer import Device, Unavailable
from freewalk.harness.bench.workloads import Workload
from freewalk.kernels.machine.threads import usable_threads

_PAUSE = 0.01
"""Before a measurement, so that the threads of the one before have stopped to spin."""
_GRACE = 5.0
_THREAD_VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS")
_OUT_OF_MEMORY = ("out of memory", "bad_alloc", "cannot allocate", "can't allocate", "resource_exhausted")


class RemoteError(RuntimeError):
    """What went wrong in the process, in its words; also that it died."""


def environment(threads: int) -> dict[str, str]:
    """Return the variables of a process whose libraries all use so many threads."""
    found = {**os.environ, **dict.fromkeys(_THREAD_VARIABLES, str(threads))}
    folder = str(Path(__file__).parents[4])  # .../src, or site-packages: where this very package was found
    found["PYTHONPATH"] = os.pathsep.join(filter(None, (_package_folder() or folder, found.get("PYTHONPATH", ""))))
    found.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    found.setdefault("JAX_PLATFORMS", "cpu")
    return found


def _package_folder() -> str | None:
    import freewalk

    return None if freewalk.__file__ is None else str(Path(freewalk.__file__).parent.parent)


class Process:
    """An implementation in a process of its own."""

    def __init__(self, name: str, threads: int | None = None) -> None:
        ours, theirs = Pipe()
        self._said = tempfile.TemporaryFile()  # noqa: SIM115 - closed with the process
        self._connection = ours
        command = [sys.executable, "-m", "freewalk.harness.bench.cpu.worker", str(theirs.fileno())]
        self._process = subprocess.Popen(
            command,
            env=environment(threads or usable_threads()),
            pass_fds=[theirs.fileno()],
            stdin=subprocess.DEVNULL,
            stdout=self._said,
            stderr=self._said,
        )
        theirs.close()
        self._name = name
        self._made = False
        self._send("make", name)  # libraries load meanwhile

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.end()

    def _send(self, message: str, *arguments: object) -> None:
        try:
            self._connection.send((message, arguments))
        except (BrokenPipeError, ConnectionResetError):
            raise RemoteError(self._obituary()) from None

    def _receive(self) -> Any:
        try:
            kind, value = self._connection.recv()
        except (EOFError, ConnectionResetError):
            raise RemoteError(self._obituary()) from None
        if kind == "unavailable":
            raise Unavailable(value)
        if kind == "error":
            raise RemoteError(value)
        return value

    def _obituary(self) -> str:
        """Return why the process is no more."""
        code = self._process.wait(_GRACE)
        self._said.seek(0)
        last = self._said.read().decode(errors="replace").lower()
        if code == -signal.SIGKILL or any(words in last for words in _OUT_OF_MEMORY):
            return "out of memory"
        lines = last.strip().splitlines()
        return f"the process ended with {code}" + (f": {lines[-1][:200]}" if lines else "")

    def wait_until_made(self) -> None:
        """Wait for the libraries to be loaded.

        Raises
        ------
        Unavailable
            The implementation cannot run here.
        """
        if not self._made:
            self._receive()
            self._made = True

    def ask(self, message: str, *arguments: object) -> Any:
        """Send a message; return the answer.

        Raises
        ------
        Unavailable, RemoteError
            What the process raised, or that it died.
        """
        self.wait_until_made()
        self._send(message, *arguments)
        return self._receive()

    def end(self) -> None:
        """End the process."""
        self._connection.close()
        try:
            self._process.wait(_GRACE)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._said.close()


class RemoteLoop:
    """A loop in another process; the time is taken there."""

    def __init__(self, process: Process, workload: Workload, seed: int | None = None) -> None:
        self._process = process
        self.steps_at_once: int = process.ask("start", workload, seed)

    def measure(self, n_steps: int) -> float:
        """Take steps; return the seconds they took there."""
        time.sleep(_PAUSE)
        seconds: float = self._process.ask("measure", n_steps)
        return seconds

    def weights(self) -> NDArray[np.floating]:
        """Return the weights of all trials."""
        result: NDArray[np.floating] = self._process.ask("weights")
        return result

    def close(self) -> None:
        """Give the memory back."""
        with contextlib.suppress(RemoteError):
            self._process.ask("close")


class Remote:
    """An implementation in another process, as the rounds see it."""

    device: Device = "cpu"

    def __init__(self, process: Process) -> None:
        self._process = process

    def wants(self, workload: Workload) -> bool:
        """Tell whether it takes part: it was asked before."""
        return True

    def check(self, workload: Workload) -> float:
        """Return the relative error of an update."""
        error: float = self._process.ask("check", workload)
        return error

    @property
    def largest_error(self) -> float:
        """What the error may be."""
        error: float = self._process.ask("largest_error")
        return error

    def start(self, workload: Workload) -> RemoteLoop:
        """Return the loop that is timed."""
        return RemoteLoop(self._process, workload)
