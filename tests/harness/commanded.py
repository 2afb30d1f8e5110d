"""A command line that a test runs, in this process or another, what it left behind, and a sweep of milliseconds."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TypeAlias

Snapshot: TypeAlias = dict[str, tuple[int, bytes]]

TINY = (
    *("--task", "xor", "--task", "sign", "--seeds", "0:2", "--epochs", "4", "--steps-per-epoch", "5"),
    *("--grid", "stddev=0.1,0.5", "--grid", "batch_size=16", "--grid", "hidden=4", "--grid", "timesteps=2"),
    *("--grid", "update=normalised", "--grid", "optimizer=momentum", "--evaluation-points", "64"),
)
"""8 trials on two tasks, a millisecond each."""


@dataclass(frozen=True)
class Result:
    """What a command left behind."""

    code: int
    out: str
    err: str


Harness: TypeAlias = Callable[..., Result]


def take_snapshot(folder: Path) -> Snapshot:
    """Give every path below a folder with its bytes and time of change; of a lock or folder, only that it is there.

    Whoever asks for a lock leaves its process id, and so changes the folder. SQLite may leave an index, which holds
    nothing of its own, and an empty log.
    """
    return {
        str(path.relative_to(folder)): (path.lstat().st_mtime_ns, path.read_bytes())
        if path.is_file() and path.name != "sweep.lock"
        else (0, b"")
        for path in sorted(folder.rglob("*"))
        if not path.name.endswith("-shm") and not (path.name.endswith("-wal") and not path.stat().st_size)
    }


class Process:
    """A real `harness` in a session of its own; killed at the latest when the test ends."""

    def __init__(self, arguments: Sequence[object], folder: Path, environment: Mapping[str, str]) -> None:
        command = [sys.executable, "-c", "from freewalk.harness.cli import main; main()", *map(str, arguments)]
        self._popen = subprocess.Popen(
            command,
            cwd=folder,
            env={**os.environ, **environment},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        self.pid = self._popen.pid
        self.first_line = ""

    @property
    def _stderr(self) -> IO[str]:
        assert self._popen.stderr is not None
        return self._popen.stderr

    def wait_for_line(self) -> str:
        """Return the first line on stderr: the sweep has the folder."""
        self.first_line = self._stderr.readline()
        return self.first_line

    def send(self, number: signal.Signals) -> None:
        self._popen.send_signal(number)

    @property
    def is_alive(self) -> bool:
        return self._popen.poll() is None

    def finish(self, timeout: float = 60.0) -> Result:
        """Wait for its end."""
        out, err = self._popen.communicate(timeout=timeout)
        return Result(self._popen.returncode, out, self.first_line + err)

    def clear(self) -> None:
        if self._popen.poll() is None:
            self._popen.kill()
        self._popen.communicate()
