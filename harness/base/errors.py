"""The one error that a user can cause and mend."""

import sysconfig
from collections.abc import Collection, Iterable
from difflib import get_close_matches
from pathlib import Path

from freewalk.results.base.text import printable

_LONGEST_ERROR = 400
ALSO_CALLED: dict[str, tuple[str, ...]] = {
    "stddev": ("sigma", "std", "sd", "noise_std"),
    "learning_rate": ("lr", "lrate", "eta", "alpha", "step_size"),
    "population": ("popsize", "pop_size", "population_size", "num_members"),
    "sigma0": ("std_init", "sigma_init", "init_stdev"),
    "crossover": ("crossover_rate",),
    "parents": ("elite_ratio",),
    "hidden": ("neurons", "units", "width"),
    "timesteps": ("t", "unroll"),
    "architecture": ("layers", "layer_sizes"),
    "sides": ("antithetic", "mirrored"),
    "noise": ("distribution", "dist"),
    "rank": ("lora_rank",),
    "share_data": ("common_data", "same_data"),
    "shaping": ("fitness_shaping",),
    "ranks": ("centered_ranks", "centred_ranks", "centered_rank"),
    "orthogonal": ("hadamard",),
    "yes": ("true",),
    "no": ("false",),
    "activation": ("nonlinearity",),
    "length": ("seqlen", "seq_len", "sequence_length"),
    "source": ("dataset",),
    "gaussian": ("normal",),
    "rademacher": ("sign", "signs", "bernoulli"),
    "sigmoid": ("logistic",),
    "two": ("2", "both", "antithetic", "mirrored"),
    "one": ("1",),
    "cuda": ("gpu", "nvidia"),
    "seeds": ("seed",),
}
"""What papers and other libraries call a parameter, a value, a backend or a setting, and a method once it is read.

By spelling alone each would be missed, or taken for another."""


class UsageError(Exception):
    """A mistake in what the user asked for; the command line turns it into exit code 2.

    The message is one clear line that names the culprit and the remedy.
    """


def nearest(name: str, known: Collection[str]) -> str:
    """Suggest the known name that means what was written, or resembles it.

    Parameters
    ----------
    name : str
        What the user wrote.
    known : collection of str
        What could have been meant.

    Returns
    -------
    str
        A suffix for a message, `` (did you mean 'xor'?)``, or ``""`` when nothing is close.
    """
    found = meant(name, known) or _resembling(name, known)
    return f" (did you mean {found!r}?)" if found else ""


def meant(name: str, known: Collection[str]) -> str | None:
    """Return the known name of what somebody calls `name`, in other letters or by another word; None if none is."""
    wanted = _plainly(name)

    def others(candidate: str) -> tuple[str, ...]:
        return ALSO_CALLED.get(candidate) or ALSO_CALLED.get(_plainly(candidate), ())

    return next((one for one in known if wanted == _plainly(one) or wanted in others(one)), None)


def _resembling(name: str, known: Collection[str]) -> str | None:
    wanted, by_plain = _plainly(name), {_plainly(candidate): candidate for candidate in known}
    starting = [plain for plain in by_plain if wanted and plain.startswith(wanted)]
    # The beginning of one name alone, such as "opt", resembles too little by difflib's ratio.
    close = starting if len(starting) == 1 else get_close_matches(wanted, by_plain, n=1)
    return by_plain[close[0]] if close else None


def _plainly(name: str) -> str:
    """Return an option, a parameter or a value as the lower-case name that they share."""
    return name.lower().lstrip("-").replace("-", "_")


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
    return UsageError(f"{unknown(kind, name, known)}; one of your own needs --plugin FILE, in Python plugins=[FILE]")


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
