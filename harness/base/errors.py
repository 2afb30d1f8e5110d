"""The one error that a user can cause and mend."""

import sysconfig
from collections.abc import Iterable
from pathlib import Path

from freewalk.results.base.names import nearest
from freewalk.results.base.text import printable

_LONGEST_ERROR = 400


class UsageError(Exception):
    """A mistake in what the user asked for; the command line turns it into exit code 2.

    The message is one clear line that names the culprit and the remedy.
    """


def unknown(kind: str, name: str, known: Iterable[str]) -> UsageError:
    """Make the error for a name that does not exist.

    Parameters
    ----------
    kind : str
        What the name should have been, such as ``task`` or ``parameter``.
    name : str
        What the user wrote.
    known : iterable of str
        The names that exist, in the order to show.

    Returns
    -------
    UsageError
        To be raised: ``unknown task 'xro' (did you mean 'xor'?); known: and, or, xor``.
    """
    names = list(known)
    return UsageError(f"unknown {kind} {name!r}{nearest(name, names)}; known: {', '.join(names) or 'none'}")


def unknown_own(kind: str, name: str, known: Iterable[str]) -> UsageError:
    """Make the error for a task or a method that does not exist, which a plug-in might bring."""
    return UsageError(
        f"{unknown(kind, name, known)}; one of your own needs --plugin FILE, or plugins = [FILE] in Python or TOML"
    )


def refuse_no_time(option: str, seconds: float | None) -> None:
    """Refuse what is no time to wait: none, 0, less, or NaN; the option is named."""
    if seconds is None or not seconds > 0:
        shown = seconds if seconds is None else f"{seconds:g}"
        raise UsageError(f"{option} {shown}: must be a number of seconds above 0")


def one_line(error: BaseException) -> str:
    """Return an error's kind and message on one line, shortened and printable, and the user's line that raised it."""
    place = _place(error)
    most = _LONGEST_ERROR - len(place)
    text = printable(" ".join(f"{type(error).__name__}: {error}".split()))
    return (text if len(text) <= most else text[: most - 1] + "…") + place


def _place(error: BaseException) -> str:
    """Return the innermost line that is neither ours nor a library's, such as `` (own.py, line 12)``; empty if none."""
    libraries = tuple(sysconfig.get_paths()[name] for name in ("stdlib", "platstdlib", "purelib", "platlib"))
    place, trace = "", error.__traceback__
    while trace is not None:
        code, module = trace.tb_frame.f_code, trace.tb_frame.f_globals.get("__name__", "")
        if not module.startswith("freewalk.") and not code.co_filename.startswith((*libraries, "<")):
            place = printable(f" ({Path(code.co_filename).name}, line {trace.tb_lineno})")
        trace = trace.tb_next
    return place
