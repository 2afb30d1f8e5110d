"""A trial's row and its curve, read so that what is missing is told apart."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from freewalk.results.base.numbers import counted, is_missing, significant
from freewalk.results.schema.records import CurvePoint

_LOWER_IS_BETTER: Final = ("loss", "max_error")


@dataclass(frozen=True)
class EndedTrial:
    """A row and its curve, with what is missing told apart."""

    row: Mapping[str, object]
    curve: Sequence[CurvePoint]

    def word(self, name: str) -> str | None:
        """Return a text; None where it is missing."""
        value = self.row.get(name)
        return None if is_missing(value) else str(value) or None

    def number(self, name: str) -> float:
        """Return a number; NaN where it is missing."""
        value: Any = self.row.get(name)
        try:
            return math.nan if is_missing(value) else float(value)
        except (TypeError, ValueError):
            return math.nan

    def heldout(self, metric: str) -> list[CurvePoint]:
        """Return the held-out points of a metric, in the order of their steps."""
        return [point for point in self.curve if (point.split, point.metric) == ("heldout", metric)]

    def last(self, metric: str) -> float:
        """Return the last held-out value of a metric; NaN without one."""
        points = self.heldout(metric)
        return points[-1].value if points else math.nan

    @property
    def after(self) -> str:
        """Where it ended: `after 1,000 steps`; empty where that is not known."""
        steps = self.number("steps")
        return f"after {counted(int(steps), 'step')}" if math.isfinite(steps) else ""

    @property
    def verdict(self) -> str:
        """How the metric compares with the target; empty where neither is known."""
        value, target = self.number("metric_final"), self.number("target")
        name = self.word("metric_name") or "the metric"
        if not math.isfinite(value):
            return ""
        return f"{name} is {significant(value)}" + _aim(name, target)


def _aim(metric: str, target: float) -> str:
    if math.isnan(target):
        return ""
    side = "" if metric == "the metric" else ("at most " if metric in _LOWER_IS_BETTER else "at least ")
    return f", its target {side}{significant(target)}"
