"""Verdicts on published results in words and figures: for the terminal, the page and the documentation."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import pandas as pd

from freewalk.results.analysis.reproduction import Verdict
from freewalk.results.base.numbers import MISSING, between, seconds, significant
from freewalk.results.schema.reproduction_schema import REPRODUCTIONS
from freewalk.results.tables.frames import frame_of

_DIGITS: Final = 6
"""Of a published number."""
_FEWEST: Final = 3
_HELD: Final = {True: "holds", False: "does not hold", None: "too few to say"}


@dataclass(frozen=True)
class CheckView:
    """One check of a reproduction."""

    claim: str
    published: str
    """With how it is known, where that is not from the source."""
    here: str
    """The estimate with its interval."""
    n: int
    held: str
    """Whether it holds, in words."""


@dataclass(frozen=True)
class ReproductionView:
    """A reproduction at a scale."""

    name: str
    scale: str
    title: str
    verdict: str
    source: str
    address: str
    claim: str
    notes: str
    changed: str
    checks: Sequence[CheckView]
    time: str
    failed: str
    """How many trials failed, in words; empty for none."""
    command: str
    date: str
    machine: str


def reproduction_views(found: Sequence[Mapping[str, Any]]) -> list[ReproductionView]:
    """Return what is shown of reproductions, as their ``verdict.json`` has them."""
    return [
        ReproductionView(
            **{
                name: one[name]
                for name in (
                    *("name", "scale", "title", "verdict", "source", "address", "claim", "notes", "changed"),
                    *("command", "date", "machine"),
                )
            },
            checks=[_check(check) for check in one["checks"]],
            time=seconds(float(one["seconds"])),
            failed=f"{one['n_failed']:,} trials failed and do not count" if one["n_failed"] else "",
        )
        for one in found
    ]


def reproductions_table(found: Sequence[Mapping[str, Any]]) -> pd.DataFrame:
    """Return the table ``reproductions`` of what their ``verdict.json`` say."""
    rows = []
    for one in found:
        whole = {name: one[name] for name in ("scale", "verdict", "source", "n_failed", "seconds")}
        whole |= {name: one[name] for name in ("command", "date", "machine")}
        for check in one["checks"]:
            numbers = {name: number(check[name]) for name in _NUMBERS}
            words = {name: check[name] for name in ("claim", "known", "n", "holds")}
            changed = one["changed"] or None
            rows.append({**whole, **words, **numbers, "changed": changed, "reproduction": one["name"]})
    return frame_of(REPRODUCTIONS, rows)


_NUMBERS: Final = ("published", "published_low", "published_high", "above", "below", "estimate", "low", "high")


def number(value: Any) -> float:
    """Return a number that JSON has as such, as a word for what is infinite, or as null."""
    return math.nan if value is None else float(value)


def summary_of(found: Sequence[Mapping[str, Any]]) -> str:
    """Return how many came to which verdict, in a sentence."""
    counts = [(str(verdict), sum(one["verdict"] == verdict for one in found)) for verdict in Verdict]
    return ", ".join(f"{n} {words}" for words, n in counts if n) + "."


def _check(check: Mapping[str, Any]) -> CheckView:
    return CheckView(
        claim=check["claim"], published=published_words(check), here=_here(check), n=check["n"],
        held=_HELD[check["holds"]],
    )  # fmt: skip


def published_words(check: Mapping[str, Any]) -> str:
    """Return a published number or claim, and how it is known where that is not from the source."""
    parts = []
    if (value := check["published"]) is not None:
        ends = (check["published_low"], check["published_high"])
        own = "" if None in ends else f" ({between(*(significant(end, _DIGITS) for end in ends))})"
        parts.append(f"{significant(value, _DIGITS)}{own}")
    bounds = [(word, check[word]) for word in ("above", "below") if check[word] is not None]
    if bounds:
        text = " and ".join(f"{word} {significant(bound, _DIGITS)}" for word, bound in bounds)
        parts.append(text if not parts else f"claimed: {text}")
    known = "" if check["known"] == "source" else f" [{check['known']}]"
    return f"{', '.join(parts)}{known}"


def _here(check: Mapping[str, Any]) -> str:
    estimate, low, high = (number(check[name]) for name in ("estimate", "low", "high"))
    if math.isnan(estimate):
        return MISSING
    digits = _digits_of(estimate, low, high)
    ends = "" if math.isnan(low) else f" ({between(significant(low, digits), significant(high, digits))})"
    return f"{significant(estimate, digits)}{ends}"


def _digits_of(estimate: float, low: float, high: float) -> int:
    """Return with how many digits a number is written, so that the ends of its interval are told apart."""
    width = high - low
    if not (math.isfinite(width) and width > 0 and estimate != 0):
        return _FEWEST
    return max(_FEWEST, min(_DIGITS, math.floor(math.log10(abs(estimate))) - math.floor(math.log10(width)) + 2))
