"""Seeds: ranges and lists of them as text, and back."""

import re
from collections import Counter
from collections.abc import Iterable, Sequence

from freewalk.harness.base.errors import UsageError
from freewalk.harness.parameters.values import MAX_TRIALS

SEED_LIMIT = 2**63
"""Seeds are below it: tables and database hold signed 64-bit integers."""

_SEEDS = re.compile(r"(\d+)(?::(\d+)(?::(\d+))?)?", re.ASCII)
_SEEDS_FORM = "write such as 0:5 (0 to 4), 0:10:2 or 1,4,7"


def checked_seeds(seeds: Sequence[int]) -> tuple[int, ...]:
    """Return seeds as a tuple; raise UsageError for none, too many, one out of range or one given twice."""
    if not seeds:
        raise UsageError(f"seeds are empty; {_SEEDS_FORM}")
    if len(seeds) > MAX_TRIALS:
        raise UsageError(f"{len(seeds):,} seeds are more than the limit of {MAX_TRIALS:,}; give fewer")
    for seed in (min(seeds), max(seeds)):
        if not 0 <= seed < SEED_LIMIT:
            raise UsageError(f"seed {seed} is out of range; seeds run from 0 to 2**63 - 1")
    if len(set(seeds)) < len(seeds):
        twice = Counter(seeds).most_common(1)[0][0]
        raise UsageError(f"seed {twice} is given twice; remove one")
    return tuple(seeds)


def refuse_lone_number(value: object, where: str = "--seeds") -> None:
    """Ask what a single number means: so many seeds, or the seed of that number? 0 can only be the seed.

    For what somebody writes by hand; files and stores that say ``20`` mean the one seed.

    Raises
    ------
    UsageError
        For a whole number above 0, also as text.
    """
    text = str(value).strip()
    if isinstance(value, bool) or not re.fullmatch(r"\d{1,19}", text, re.ASCII) or int(text) == 0:
        return
    n = int(text)
    count = "one seed is 0:1" if n == 1 else f"{n} seeds are 0:{n}"
    raise UsageError(f"{where} {text}: {count}, and seed {n} alone is {n}:{n + 1}; write which of the two you mean")


def parse_seeds(text: str, where: str = "--seeds") -> tuple[int, ...]:
    """Read seeds: single ones, half-open ranges ``first:end`` or ``first:end:step``, with commas between.

    Parameters
    ----------
    text : str
        Such as ``0:5``, ``0:10:2``, ``3`` or ``0:3,7``.
    where : str
        Where the text comes from, for messages.

    Returns
    -------
    tuple of int
        The seeds in the order given.

    Raises
    ------
    UsageError
        When a piece is empty, negative, reversed or malformed, or a seed occurs twice.
    """
    prefix = f"{where} {text!r}: "
    spans: list[range] = []
    for piece in (piece.strip() for piece in text.split(",")):
        if not piece:
            raise UsageError(f"{prefix}a seed is empty; {_SEEDS_FORM}")
        spans.append(_span(piece, prefix))
    if sum(_length(span) for span in spans) > MAX_TRIALS:
        raise UsageError(f"{prefix}more than {MAX_TRIALS:,} seeds, which is the limit; give fewer")
    try:
        return checked_seeds([seed for span in spans for seed in span])
    except UsageError as error:
        raise UsageError(f"{prefix}{error}") from None


def read_seeds(value: object, where: str) -> object:
    """Read seeds in any form that a file may have: text as `parse_seeds` reads it, a number, or a list of numbers.

    Raises
    ------
    UsageError
        As `parse_seeds`. What has another form comes back as it is, for whoever checks types.
    """
    if isinstance(value, str):
        return parse_seeds(value, where)
    if isinstance(value, int):
        value = [value]
    if isinstance(value, Iterable):
        try:
            return checked_seeds(tuple(value))
        except UsageError as error:
            raise UsageError(f"{where} {value!r}: {error}") from None
    return value


def _span(piece: str, prefix: str) -> range:
    match = _SEEDS.fullmatch(piece)
    # Longer numbers are out of range by far, and Python refuses to read very long ones.
    if match is None or len(piece) > 64:
        reason = "is negative" if piece.startswith("-") else "is no seed"
        raise UsageError(f"{prefix}{piece!r} {reason}; {_SEEDS_FORM}")
    first = int(match[1])
    if match[2] is None:
        return range(first, first + 1)
    end, step = int(match[2]), int(match[3] or 1)
    if step == 0:
        raise UsageError(f"{prefix}{piece!r} has step 0; give a step of at least 1")
    if end <= first:
        raise UsageError(f"{prefix}{piece!r} is empty: the end {end} is not above {first}; {_SEEDS_FORM}")
    return range(first, end, step)


def _length(span: range) -> int:
    # len() fails above 2**63.
    return (span.stop - span.start + span.step - 1) // span.step


def format_seeds(seeds: Sequence[int]) -> str:
    """Write seeds in the form that `parse_seeds` reads, runs of consecutive ones as ranges."""
    pieces: list[str] = []
    start = 0
    for index in range(1, len(seeds) + 1):
        if index == len(seeds) or seeds[index] != seeds[index - 1] + 1:
            single = index - start == 1
            pieces.append(f"{seeds[start]}" if single else f"{seeds[start]}:{seeds[index - 1] + 1}")
            start = index
    return ",".join(pieces)
