"""Whole tracebacks of errors, beside their one line, for whoever asks for them."""

from __future__ import annotations

import traceback
from contextvars import ContextVar

_wanted: ContextVar[bool] = ContextVar("tracebacks are wanted", default=False)


def want_tracebacks(wanted: bool) -> None:
    """Say whether whole tracebacks are to be shown, from now on."""
    _wanted.set(wanted)


def are_wanted() -> bool:
    """Tell whether whole tracebacks are to be shown."""
    return _wanted.get()


def traceback_of(error: BaseException) -> str:
    """Return an error's whole traceback, with those of the errors that it came of, as Python prints it."""
    return "".join(traceback.format_exception(error)).rstrip("\n")
