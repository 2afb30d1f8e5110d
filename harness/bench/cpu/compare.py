"""Two runs of the suite: what has become slower for sure.

Two runs at different times meet a machine in different states: its clock, its neighbours, its memory's layout. So each
sample is divided by the yardstick's of the same round, NumPy's step, which is not our code; what is left of the drift
is why a difference counts only if it is large as well as sure. Sure: the one-sided Mann-Whitney test on the quotients
(the samples stand in samples.csv), at ALPHA over all comparisons together (Holm). Large: MINIMUM_EFFECT of the median.
Samples of one run follow each other closely and are not independent: the p-value is too small rather than too large.

`python -m freewalk.harness.bench.cpu.compare OLD NEW` compares two folders; exit code 1 if something became slower.
"""

from __future__ import annotations

import csv
import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np
from scipy import stats

from freewalk.harness.base.errors import UsageError
from freewalk.harness.base.text import significant
from freewalk.harness.bench.cpu.table import IMPLEMENTATIONS, YARDSTICK
from freewalk.harness.bench.report import table

ALPHA = 0.01
MINIMUM_EFFECT = 0.10
_FEWEST = 4
"""Samples a side; fewer cannot be told apart."""

Samples = Mapping[tuple[str, str], Sequence[float]]
"""Seconds a step, in the order of rounds, by workload and implementation."""


@dataclass(frozen=True)
class Comparison:
    """One implementation at one workload, in both runs."""

    workload: str
    implementation: str
    old_ms: float
    new_ms: float
    ratio: float
    """New over old, of the medians, both in units of the yardstick where it was timed."""
    normalised: bool
    p: float
    """Of being no slower (or no faster, if the ratio is below 1), before Holm's correction."""
    verdict: str
    """slower, faster, same or too few."""

    @property
    def is_regression(self) -> bool:
        """Whether our own code became slower."""
        entry = IMPLEMENTATIONS.get(self.implementation)
        return self.verdict == "slower" and (entry is None or entry.kind != "peer")


def read_samples(folder: Path) -> dict[tuple[str, str], list[float]]:
    """Read a run's samples.

    Raises
    ------
    UsageError
        The folder has none, or they cannot be read.
    """
    path = folder / "samples.csv"
    try:
        with path.open(newline="", encoding="utf-8") as file:
            found: dict[tuple[str, str], list[float]] = {}
            for row in csv.DictReader(file):
                found.setdefault((row["workload"], row["implementation"]), []).append(float(row["seconds_a_step"]))
    except OSError:
        raise UsageError(f"--compare {folder}: has no samples.csv; name the folder of another run") from None
    except (KeyError, ValueError, csv.Error) as error:
        raise UsageError(f"--compare {folder}: samples.csv is damaged ({error})") from None
    if not found:
        raise UsageError(f"--compare {folder}: samples.csv has no rows: that run was cut short")
    return found


def check_same_processor(folder: Path, here: str) -> None:
    """Raise UsageError if a run's processor is not the one given."""
    try:
        there = json.loads((folder / "environment.json").read_text(encoding="utf-8"))["cpu"]["model"]
    except (OSError, ValueError, KeyError, TypeError):
        raise UsageError(f"--compare {folder}: has no readable environment.json; name another run") from None
    if there != here:
        raise UsageError(f"--compare {folder}: was run on {there!r}, this is {here!r}; times of two do not compare")


def compare(old: Samples, new: Samples) -> list[Comparison]:
    """Return every implementation at every workload that both runs timed."""
    rows = [_compare_one(key, old, new) for key in new if key in old and key[1] != YARDSTICK]
    tested = sorted((row for row in rows if row.verdict != "too few"), key=lambda row: row.p)
    sure: set[tuple[str, str]] = set()
    for k, row in enumerate(tested):  # Holm (1979): the smallest p against ALPHA / m, the next ALPHA / (m - 1), ...
        if row.p > ALPHA / (len(tested) - k):
            break
        sure.add((row.workload, row.implementation))
    return [_judged(row, is_sure=(row.workload, row.implementation) in sure) for row in rows]


def _compare_one(key: tuple[str, str], old: Samples, new: Samples) -> Comparison:
    yardstick = (key[0], YARDSTICK)
    normalised = yardstick in old and yardstick in new
    sides = [_in_units(run[key], run[yardstick] if normalised else None) for run in (old, new)]
    before, after = (float(np.median(side)) for side in sides)
    old_ms, new_ms = (1000 * float(np.median(run[key])) for run in (old, new))
    ratio = after / before
    row = Comparison(*key, old_ms, new_ms, ratio, normalised, 1.0, "too few")
    if min(map(len, sides)) < _FEWEST:
        return row
    way: Literal["greater", "less"] = "greater" if ratio >= 1 else "less"
    return replace(row, p=float(stats.mannwhitneyu(sides[1], sides[0], alternative=way).pvalue), verdict="")


def _in_units(samples: Sequence[float], yardstick: Sequence[float] | None) -> list[float]:
    if yardstick is None:
        return list(samples)
    return [a / b for a, b in zip(samples, yardstick, strict=False)]


def _judged(row: Comparison, *, is_sure: bool) -> Comparison:
    if row.verdict:
        return row
    large = max(row.ratio, 1 / row.ratio) >= 1 + MINIMUM_EFFECT
    if not (large and is_sure):
        return replace(row, verdict="same")
    return replace(row, verdict="slower" if row.ratio > 1 else "faster")


NOTE = (
    f"Both in units of {YARDSTICK}'s step of the same round, where it was timed; slower and faster: one-sided"
    f" Mann-Whitney test on these quotients at {ALPHA:g} over all comparisons (Holm), and at least"
    f" {MINIMUM_EFFECT:.0%} of the median. Runs at different times drift: repeat what surprises."
)


def markdown(rows: Sequence[Comparison], old: str) -> str:
    """Return the comparison as a page's section."""
    changed = [row for row in rows if row.verdict in ("slower", "faster")]
    said = ", ".join(f"{sum(row.verdict == word for row in rows)} {word}" for word in ("slower", "faster", "same"))
    headings = ("workload", "implementation", "old, ms", "new, ms", "new / old", "p", "verdict")
    lines = [
        (
            row.workload,
            row.implementation,
            significant(row.old_ms),
            significant(row.new_ms),
            f"{row.ratio:.2f}{'' if row.normalised else ' (not normalised)'}",
            f"{row.p:.1g}",
            row.verdict,
        )
        for row in [*changed, *(row for row in rows if row not in changed)]
    ]
    return "\n\n".join([f"## Compared with {old}: {said}", NOTE, table(headings, lines)]) + "\n"


def main(arguments: Sequence[str]) -> int:
    """Compare two folders."""
    if len(arguments) != 2:
        sys.stderr.write("usage: python -m freewalk.harness.bench.cpu.compare OLD NEW\n")
        return 2
    try:
        old, new = (read_samples(Path(folder)) for folder in arguments)
    except UsageError as error:
        sys.stderr.write(f"error: {error}\n")
        return 2
    rows = compare(old, new)
    sys.stdout.write(markdown(rows, arguments[0]))
    return int(any(row.is_regression for row in rows))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
