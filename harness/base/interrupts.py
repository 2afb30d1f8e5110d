"""Requests to end: Ctrl-C, SIGTERM and hang-ups end every command within seconds, whatever its kernels are doing.

Python tells a program of a signal only between two of its own instructions, and a kernel may take minutes for one step.
So a thread of its own watches signals, and kernels that do not return are left behind with the process.
"""

from __future__ import annotations

import math
import os
import select
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from types import FrameType
from typing import NoReturn

EXIT_INTERRUPTED = 130
TRAINING = "freewalk-training"
"""What the names of threads begin with that may be inside a kernel."""

_ENDS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
_GRACE_SECONDS = 2.0
_SECONDS_TO_ASK_AGAIN = 0.05
_SAME_REQUEST_SECONDS = 3.0
_asked_at = -math.inf
_DEAF = ("_raw_object_cache_notify", "_raw_object_cache_getbuffer", "__del__")
"""Functions that C calls, LLVM while it compiles among them: what they raise is printed and lost."""

_unheard: int | None = None
"""File descriptor from which signals can be read that no handler has heard; None outside the command line."""


def end_on_request() -> None:
    """Let SIGTERM, Ctrl-C and hang-ups raise `KeyboardInterrupt`, and end this process where nothing can raise it."""
    global _unheard
    _unheard, tells = os.pipe()
    for end in (_unheard, tells):
        os.set_blocking(end, False)
    signal.set_wakeup_fd(tells, warn_on_full_buffer=False)
    for number in _ENDS:
        if signal.getsignal(number) is not signal.SIG_IGN:  # as nohup leaves hang-ups, and & Ctrl-C
            signal.signal(number, interrupt)
    threading.Thread(target=_watch, args=(_unheard,), name="freewalk-signals", daemon=True).start()


def interrupt(number: int, frame: FrameType | None) -> None:
    """Treat a request to end like Ctrl-C: what is finished is in the store.

    Said again within moments it is the same request: what it asked for is under way, and must not be cut short.
    """
    global _asked_at
    if any(name in _DEAF for name in _names(frame)):
        threading.Timer(_SECONDS_TO_ASK_AGAIN, os.kill, [os.getpid(), number]).start()
        return
    if _unheard is not None:
        with suppress(BlockingIOError):
            os.read(_unheard, 4096)
    if time.monotonic() - _asked_at > _SAME_REQUEST_SECONDS:
        _asked_at = time.monotonic()
        raise KeyboardInterrupt


def _names(frame: FrameType | None) -> Iterator[str]:
    while frame is not None:
        yield frame.f_code.co_name
        frame = frame.f_back


def patience() -> float:
    """Return for how many seconds to wait, after a request to end, for threads to come out of their kernels.

    Inside another program that is for ever: they would go on computing in it.
    """
    return math.inf if _unheard is None else _GRACE_SECONDS


def leave(code: int) -> NoReturn:
    """End the process with an exit code, also while threads are inside kernels, whose memory must not go first."""
    for number in _ENDS:
        signal.signal(number, signal.SIG_IGN)  # it is ending
    if any(thread.name.startswith(TRAINING) for thread in threading.enumerate()):
        _end(code)
    sys.exit(code)


def _watch(unheard: int) -> None:
    """End the process when for some seconds nothing has heard a signal: the main thread is inside a kernel."""
    while True:
        select.select([unheard], [], [])
        until = time.monotonic() + _GRACE_SECONDS
        while select.select([unheard], [], [], 0)[0]:
            if time.monotonic() > until:
                with suppress(OSError, ValueError, AttributeError):
                    sys.stderr.write("harness: interrupted\n")
                _end(EXIT_INTERRUPTED)
            time.sleep(0.02)


def _end(code: int) -> NoReturn:
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError, AttributeError):
            stream.flush()
    os._exit(code)
