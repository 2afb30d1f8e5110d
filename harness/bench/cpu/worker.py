"""The process that holds one implementation and does what it is told over a pipe.

A process each keeps libraries out of each other's way: thread pools, allocators, what they do at import. It also makes
memory measurable, and survivable where it runs out.
"""

from __future__ import annotations

import resource
import sys
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from freewalk.harness.bench.peers.peer import Loop, Unavailable
from freewalk.harness.bench.rounds import Implementation
from freewalk.harness.bench.rows import short_error
from freewalk.harness.bench.workloads import Workload

_TINY_BATCH = 16
"""Of a first step that loads and compiles what does not depend on the size."""


def status_bytes(field: str) -> int:
    """Return a line of /proc/self/status in bytes, such as VmRSS."""
    for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines():
        if line.startswith(f"{field}:"):
            return int(line.split()[1]) * 1024
    raise OSError(f"/proc/self/status has no {field}")


def forget_peak() -> None:
    """Let the largest resident size begin anew, at the present one (Linux, proc(5), clear_refs)."""
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")


class Server:
    """What the messages do; a method a message."""

    def __init__(self) -> None:
        self._implementation: Implementation | None = None
        self._loop: Loop | None = None
        self._base = 0

    def make(self, name: str) -> None:
        """Import and make an implementation."""
        from freewalk.harness.bench.cpu import table

        self._implementation = table.make(name)

    def _made(self) -> Implementation:
        assert self._implementation is not None
        return self._implementation

    def _started(self) -> Loop:
        assert self._loop is not None
        return self._loop

    def check(self, workload: Workload) -> float:
        """Return the relative error of an update."""
        return self._made().check(workload)

    def largest_error(self) -> float:
        """Return what the error may be."""
        return float(getattr(self._made(), "largest_error", 1e-4))

    def start(self, workload: Workload, seed: int | None = None) -> int:
        """Start the loop; return how many steps it takes at once."""
        made: Any = self._made()
        self._loop = made.start(workload) if seed is None else made.start(workload, seed=seed)
        return self._started().steps_at_once

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
        from dataclasses import replace

        self.start(replace(workload, batch_size=_TINY_BATCH))
        self.measure(self._started().steps_at_once)
        self.close()
        forget_peak()
        self._base = status_bytes("VmRSS")

    def growth(self) -> int:
        """Return how much more memory than after `settle` was resident at most, in bytes."""
        return max(0, status_bytes("VmHWM") - self._base)

    def limit(self, more: int) -> None:
        """Allow no more than so many bytes of private memory beyond what is in use."""
        most = status_bytes("VmData") + more
        resource.setrlimit(resource.RLIMIT_DATA, (most, most))


def serve(connection: Connection) -> None:
    """Answer until the other side hangs up; an error becomes an answer."""
    server = Server()
    while True:
        try:
            name, arguments = connection.recv()
        except EOFError:
            return
        try:
            connection.send(("done", getattr(server, name)(*arguments)))
        except Unavailable as reason:
            connection.send(("unavailable", str(reason)))
        except MemoryError:
            connection.send(("error", "out of memory"))
        except Exception as error:
            connection.send(("error", short_error(error)))


if __name__ == "__main__":
    serve(Connection(int(sys.argv[1])))
