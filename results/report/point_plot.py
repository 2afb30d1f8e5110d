"""One parameter alone: what each of its values costs, with intervals, and how often it reached the target."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from matplotlib.figure import Figure

from freewalk.results.report.palette import Palette
from freewalk.results.report.style import log_scale, new_figure, set_titles, short

_TEXTS_AT_MOST: Final = 12
_TICKS: Final = 8
_LONGEST_TICK: Final = 16


@dataclass(frozen=True)
class Point:
    """One value of the parameter."""

    value: str
    cost: float
    """Infinite where nothing was reached."""
    low: float
    high: float
    """Its interval; NaN where there is none."""
    text: str


@dataclass(frozen=True)
class PointPlot:
    """A finished choice of points, from left to right."""

    title: str
    x_name: str
    y_label: str
    points: Sequence[Point]

    def draw(self, palette: Palette, subject: str = "") -> Figure:
        """Draw the points; one that was never reached is an open circle at the top."""
        figure, axes = new_figure()
        set_titles(axes, f"{subject}: {self.title}" if subject else self.title, self.x_name, self.y_label)
        ends = [end for p in self.points for end in (p.cost, p.low, p.high) if math.isfinite(end) and end > 0]
        low, high = (min(ends) / 1.4, max(ends) * 2) if ends else (1.0, 10.0)
        log_scale(axes, "y", low, high)
        axes.set_xlim(-0.5, len(self.points) - 0.3)
        step = math.ceil(len(self.points) / _TICKS)
        axes.set_xticks(
            range(0, len(self.points), step), labels=[short(p.value, _LONGEST_TICK) for p in self.points[::step]]
        )
        axes.grid(visible=False, axis="x")
        for place, point in enumerate(self.points):
            reached = math.isfinite(point.cost)
            colour = palette.series[0] if reached else palette.muted
            if reached and not math.isnan(point.low):
                ends_of_bar = [max(point.low, low), min(point.high, high)]
                axes.plot([place] * 2, ends_of_bar, color=colour, alpha=0.4, linewidth=3)
            y = point.cost if reached else high / 1.3
            axes.plot([place], [y], "o", markersize=7, color=colour, markerfacecolor=colour if reached else "none")
            if len(self.points) <= _TEXTS_AT_MOST:
                axes.annotate(
                    point.text, (place, y), xytext=(8, 0), textcoords="offset points", va="center", fontsize=9.5,
                    color=palette.ink if reached else palette.muted,
                )  # fmt: skip
        return figure
