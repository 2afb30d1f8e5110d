"""Standard streams that never stop a command: results go to the store, and what reads the display may leave."""

from __future__ import annotations

import contextlib
import io
import os
import select
import sys
from typing import IO, TYPE_CHECKING

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

_READER_LEFT = (BrokenPipeError, ConnectionResetError)


class _Patient(io.FileIO):
    """A file whose writes never fail: after the first that does, what is written is dropped."""

    error: OSError | None = None

    def __init__(self, descriptor: int) -> None:
        super().__init__(descriptor, "w", closefd=False)
        self._was_terminal = self.isatty()

    @property
    def reader_left(self) -> bool:
        """Whether the error only says that nobody reads any more: a pipe's end, or a terminal that was closed."""
        return isinstance(self.error, _READER_LEFT) or (self.error is not None and self._was_terminal)

    def write(self, data: ReadableBuffer, /) -> int:
        """Write, or keep the error and take all data as written."""
        while self.error is None:
            try:
                # a count of None: a terminal or pipe that another program made non-blocking is full
                if (written := super().write(data)) is not None:
                    return written
                select.select([], [self], [])
            except OSError as error:
                self.error = error
        return memoryview(data).nbytes


def guard_streams() -> None:
    """Put streams that outlive their readers in the place of this process's standard streams.

    A descriptor that the caller has closed is opened on the null device, so that no file of ours gets its number: what
    a library writes to descriptor 2 would go into that file.
    """
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            null = os.open(os.devnull, os.O_RDWR)
            if null != number:
                os.dup2(null, number)
                os.close(null)
    sys.stdout, sys.stderr = _guarded(1, sys.stdout), _guarded(2, sys.stderr)


def lost_output() -> OSError | None:
    """Return why standard output could not be written, after a flush; None if it was, or if its reader has left."""
    sys.stdout.flush()
    raw = getattr(getattr(sys.stdout, "buffer", None), "raw", None)
    return raw.error if isinstance(raw, _Patient) and not raw.reader_left else None


def _guarded(number: int, stream: IO[str] | None) -> io.TextIOWrapper:
    with contextlib.suppress(OSError, ValueError, AttributeError):
        stream.flush()  # type: ignore[union-attr]  # None where the caller has closed it
    encoding = getattr(stream, "encoding", None) or "utf-8"
    raw = _Patient(number)
    by_line = number == 2 or raw.isatty() or bool(getattr(stream, "write_through", False))
    # a character that the encoding lacks, or a path that is no text, is shown as an escape
    return io.TextIOWrapper(io.BufferedWriter(raw), encoding, errors="backslashreplace", line_buffering=by_line)
