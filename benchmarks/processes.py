"""An implementation in a process of its own, which does what it is told over a pipe and takes the time itself.

A process each keeps libraries out of each other's way: thread pools, allocators, what they do at import. It also makes
memory measurable, and survivable where it runs out. `python -m benchmarks.processes FD` is the other end of the pipe.
"""

from __future__ import annotations

import ctypes
import gc
import os
import resource
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from dataclasses import replace
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

import freewalk
from benchmarks.implementations import IMPLEMENTATIONS, Competitor
from benchmarks.peers.peer import Unavailable
from freewalk.harness.bench import Loop, Workload
from freewalk.kernels.machine.threads import usable_threads

_PAUSE = 0.01
"""Before a measurement, so that the threads of the one before have stopped to spin."""
_GRACE = 5.0
_TINY_BATCH = 16
"""Of a first step that loads and compiles what does not depend on the size."""
_THREAD_VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS")
_OUT_OF_MEMORY = (
    *("out of memory", "out_of_memory", "resource_exhausted", "resourceexhausted", "bad_alloc"),
    *("cannot allocate", "can't allocate", "memoryerror"),
)
_LONGEST_NOTE = 240


class RemoteError(RuntimeError):
    """What went wrong in the process, in its words; also that it died."""


def short_error(error: BaseException) -> str:
    """Return an error's kind and message on one line, shortened."""
    text = " ".join(f"{type(error).__name__}: {error}".split())
    if any(words in text.lower() for words in _OUT_OF_MEMORY):
        return "out of memory"
    return text if len(text) <= _LONGEST_NOTE else text[: _LONGEST_NOTE - 1] + "…"


def environment(threads: int, device: str) -> dict[str, str]:
    """Return the variables of a process whose libraries all use so many threads."""
    folders = (str(Path(str(found)).parents[1]) for found in (freewalk.__file__, __file__))
    variables = {**os.environ, **dict.fromkeys(_THREAD_VARIABLES, str(threads))}
    variables["PYTHONPATH"] = os.pathsep.join([*folders, *filter(None, [variables.get("PYTHONPATH")])])
    variables.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    if device == "cpu":
        variables.setdefault("JAX_PLATFORMS", "cpu")
    return variables


class Process:
    """An implementation in a process of its own."""

    def __init__(self, name: str, threads: int | None = None) -> None:
        ours, theirs = Pipe()
        self._said = tempfile.TemporaryFile()  # noqa: SIM115 - closed with the process
        self._connection = ours
        self._process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.processes", str(theirs.fileno())],
            env=environment(threads or usable_threads(), IMPLEMENTATIONS[name].device),
            pass_fds=[theirs.fileno()],
            stdin=subprocess.DEVNULL,
            stdout=self._said,
            stderr=self._said,
        )
        theirs.close()
        self._made = False
        self._send("make", name)  # libraries load meanwhile

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
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
        if kind != "done":
            raise Unavailable(value) if kind == "unavailable" else RemoteError(value)
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
        """Wait for the libraries to be loaded; raise Unavailable if the implementation cannot run here."""
        if not self._made:
            self._receive()
            self._made = True

    def ask(self, message: str, *arguments: object) -> Any:
        """Send a message; return the answer, or raise what the process raised: Unavailable or RemoteError."""
        self.wait_until_made()
        self._send(message, *arguments)
        return self._receive()

    def start(self, workload: Workload, *seed: int) -> RemoteLoop:
        """Return a loop over there."""
        return RemoteLoop(self, self.ask("start", workload, *seed))

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

    def __init__(self, process: Process, steps_at_once: int) -> None:
        self._process, self.steps_at_once = process, steps_at_once

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
        with suppress(RemoteError):
            self._process.ask("close")


def status_bytes(field: str) -> int:
    """Return a line of /proc/self/status in bytes, such as VmRSS."""
    for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines():
        if line.startswith(f"{field}:"):
            return int(line.split()[1]) * 1024
    raise OSError(f"/proc/self/status has no {field}")


class _Server:
    """What the messages do; a method a message."""

    _made: Competitor
    _loop: Loop | None = None
    _base: int | None = None

    def make(self, name: str) -> None:
        """Import and make an implementation."""
        self._made = IMPLEMENTATIONS[name].make()

    def check(self, workload: Workload) -> tuple[float, float]:
        """Return the relative error of an update, and what it may be."""
        return self._made.check(workload), self._made.largest_error

    def start(self, workload: Workload, *seed: int) -> int:
        """Start the loop; return how many steps it takes at once."""
        self._loop = self._made.start(workload, *seed)
        return self._loop.steps_at_once

    def _started(self) -> Loop:
        assert self._loop is not None
        return self._loop

    def measure(self, n_steps: int) -> float:
        """Take steps; return the seconds."""
        return self._started().measure(n_steps)

    def weights(self) -> Any:
        """Return the weights of all trials."""
        return self._started().weights()

    def close(self) -> None:
        """Give the loop's memory back."""
        if self._loop is not None:
            self._loop.close()
            self._loop = None

    def settle(self, workload: Workload) -> None:
        """Take a tiny step, so that what comes on top later is the step's own memory."""
        self.start(replace(workload, batch_size=_TINY_BATCH))
        self.measure(self._started().steps_at_once)
        self.close()
        self.forget()
        with suppress(OSError):
            self._base = status_bytes("VmRSS")

    def forget(self) -> None:
        """Give back what is free, as what compiling took, and forget the peak (proc(5)), where the system lets us."""
        gc.collect()
        trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # of glibc
        if trim is not None:
            trim(0)
        with suppress(OSError):
            Path("/proc/self/clear_refs").write_text("5", encoding="ascii")

    def growth(self) -> int | None:
        """Return the bytes that were resident at most since `forget` beyond those after `settle`; None if unknown."""
        return None if self._base is None else max(0, status_bytes("VmHWM") - self._base)

    def limit(self, more: int) -> None:
        """Allow no more than so many bytes of private memory beyond what is in use."""
        most = status_bytes("VmData") + more
        resource.setrlimit(resource.RLIMIT_DATA, (most, most))


def serve(connection: Connection) -> None:
    """Answer until the other side hangs up; an error becomes an answer."""
    server = _Server()
    while True:
        try:
            name, arguments = connection.recv()
        except EOFError:
            return
        try:
            connection.send(("done", getattr(server, name)(*arguments)))
        except Unavailable as reason:
            connection.send(("unavailable", str(reason)))
        except Exception as error:
            connection.send(("error", short_error(error)))


if __name__ == "__main__":
    serve(Connection(int(sys.argv[1])))
