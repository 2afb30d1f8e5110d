"""A run of the comparisons, read from pytest-benchmark's JSON."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.implementations import ours
from freewalk.harness.bench import Workload, spread

Spread = tuple[float, float, float]


@dataclass(frozen=True)
class Step:
    """One implementation at one workload."""

    name: str
    device: Any
    workload: Workload
    seconds: Sequence[float]
    """A step, in the order of the rounds."""
    extra: Mapping[str, Any]

    @property
    def median(self) -> float:
        """The median of the rounds, in seconds."""
        return spread(self.seconds)[1]


@dataclass(frozen=True)
class Peak:
    """What the processor does at most, a second."""

    quantity: str
    threads: int
    best: float
    median: float
    how: str


class Run:
    """What one or several JSON files hold, the last of equals.

    Raises
    ------
    ValueError
        A file is not what `pytest benchmarks --benchmark-only --benchmark-json` writes.
    """

    def __init__(self, paths: Sequence[Path]) -> None:
        self.machine: Mapping[str, Any] = {}
        rows: dict[str, Any] = {}
        for path in paths:
            try:
                found = json.loads(path.read_text(encoding="utf-8"))
                self.machine = found["freewalk"]
                rows |= {row["fullname"]: row for row in found["benchmarks"]}
            except (OSError, ValueError, KeyError, TypeError) as error:
                raise ValueError(f"{path}: is no JSON of pytest benchmarks --benchmark-only ({error})") from None
        self._rows = list(rows.values())
        self.steps = [_step(row) for row in self.having("workload")]
        self.peaks = _peaks(self.having("quantity"))

    def having(self, key: str) -> list[Any]:
        """Return the benchmarks whose extra information has a key."""
        return [row for row in self._rows if key in row["extra_info"]]

    def samples(self, device: str, label: str) -> dict[str, Step]:
        """Return who took part in a workload."""
        return {step.name: step for step in self.steps if (step.device, step.workload.label) == (device, label)}

    @property
    def rates(self) -> Mapping[str, float]:
        """What the processor does at most a second on all threads, by quantity."""
        most = max((peak.threads for peak in self.peaks), default=0)
        return {peak.quantity: peak.best for peak in self.peaks if peak.threads == most}

    def base(self, step: Step) -> Step | None:
        """Return what a step's ratios refer to: freewalk's, of low rank with signs, or its trials alone."""
        there = self.samples(step.device, step.workload.label)
        return there.get(ours(step.device, step.workload)) or there.get("freewalk-alone")


def quotient(above: Step | None, below: Step | None) -> Spread | None:
    """Return quartiles and median of the quotient of each round that timed both."""
    if above is None or below is None:
        return None
    return spread([a / b for a, b in zip(above.seconds, below.seconds, strict=False)])


def _step(row: Mapping[str, Any]) -> Step:
    extra = row["extra_info"]
    sizes = {name: value for name, value in extra["workload"].items() if name != "label"}
    return Step(row["name"], extra["device"], Workload(**sizes), row["stats"]["data"], extra)


def _peaks(rows: Sequence[Any]) -> list[Peak]:
    """Return the rates, of several ways to one quantity the fastest."""
    best: dict[tuple[int, str], Peak] = {}
    for row in rows:
        extra, data = row["extra_info"], row["stats"]["data"]
        rates = extra["amount"] / np.array(data)
        peak = Peak(extra["quantity"], extra["threads"], float(rates.max()), float(np.median(rates)), extra["how"])
        key = (peak.threads, peak.quantity)
        if key not in best or peak.best > best[key].best:
            best[key] = peak
    return sorted(best.values(), key=lambda peak: peak.threads)
