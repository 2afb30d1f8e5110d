"""Lines over a cost: learning curves with bands, and shares of what is solved."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import PercentFormatter

from freewalk.results.report.palette import Palette
from freewalk.results.report.style import (
    PANEL,
    EndLabel,
    label_ends,
    log_scale,
    new_figure,
    readable_ticks,
    set_titles,
    short,
)
from freewalk.results.statistics import Floats

_MARGIN: Final = 0.04
_LEAST_MARGIN: Final = 1.01
_CONTEXT_OPACITY: Final = 0.28
_BAND_OPACITY: Final = 0.16
_KEY_HEIGHT: Final = 0.21
_LONGEST_KEY: Final = 72


@dataclass(frozen=True)
class Line:
    """One line of a plot; without a number it is drawn behind the others, to compare with."""

    x: Floats
    y: Floats
    number: int | None = None
    """From 1: its place in the task's table, and its colour."""
    name: str = ""
    low: Floats | None = None
    high: Floats | None = None


@dataclass(frozen=True)
class LinePlot:
    """A finished choice of lines and axes."""

    title: str
    x_label: str
    y_label: str
    lines: Sequence[Line]
    scale: Literal["log", "linear", "share"] = "log"
    steps: bool = False
    """Whether a value holds until the next one."""
    target: float | None = None
    target_label: str = ""

    def draw(self, palette: Palette, subject: str = "") -> Figure:
        """Draw the plot."""
        numbered = [line for line in self.lines if line.number is not None and np.isfinite(line.y).any()]
        figure, axes = new_figure(height=PANEL[1] + (_KEY_HEIGHT * len(numbered) if subject else 0))
        set_titles(axes, f"{subject}: {self.title}" if subject else self.title, self.x_label, self.y_label)
        self._scale_axes(axes)
        for line in sorted(self.lines, key=lambda line: -(line.number or math.inf)):
            _draw_line(axes, line, palette, steps=self.steps)
        if self.target is not None:
            axes.axhline(self.target, color=palette.ink, linewidth=1, linestyle=(0, (4, 3)))
            axes.annotate(
                self.target_label,
                (0, self.target),
                xycoords=("axes fraction", "data"),
                xytext=(3, 3),
                textcoords="offset points",
                fontsize=9.5,
            )
        label_ends(axes, [_end_label(line, palette) for line in numbered])
        if subject and numbered:
            _write_key(axes, numbered, palette)
        return figure

    def _scale_axes(self, axes: Axes) -> None:
        x = np.concatenate([np.zeros(0), *(line.x for line in self.lines)])
        x = x[np.isfinite(x) & (x > 0)]
        low, high = (float(x.min()), float(x.max())) if x.size else (1.0, 10.0)
        log_scale(axes, "x", low, high)
        if self.scale == "share":
            axes.set_ylim(-0.02, 1.02)
            axes.yaxis.set_major_formatter(PercentFormatter(1.0, symbol=" %"))
            return
        low, high = self._range()
        if self.scale == "log" and low > 0:
            margin = max(_LEAST_MARGIN, (high / low) ** _MARGIN)
            log_scale(axes, "y", low / margin, high * margin)
        else:
            pad = _MARGIN * (high - low) or 0.5
            axes.set_ylim(low - pad, high + pad)
            readable_ticks(axes, "y")

    def _range(self) -> tuple[float, float]:
        parts = [values for line in self.lines for values in (line.y, line.low, line.high) if values is not None]
        values = np.concatenate([*parts, [] if self.target is None else [self.target]])
        values = values[np.isfinite(values) & ((values > 0) | (self.scale != "log"))]
        return (float(values.min()), float(values.max())) if values.size else (0.1, 1.0)


def _write_key(axes: Axes, lines: Sequence[Line], palette: Palette) -> None:
    """Write below the axes which cell each number stands for."""
    handles = [Line2D([], [], color=palette.series[(line.number or 1) - 1]) for line in lines]
    names = [f"{line.number}  {short(line.name, _LONGEST_KEY)}" for line in lines]
    axes.legend(
        handles, names, loc="upper left", bbox_to_anchor=(-0.02, -0.2), frameon=False, fontsize=9, borderaxespad=0
    )


def _draw_line(axes: Axes, line: Line, palette: Palette, *, steps: bool) -> None:
    x, y = line.x, np.where(np.isfinite(line.y), line.y, math.nan)
    drawstyle: Literal["steps-post", "default"] = "steps-post" if steps else "default"
    if line.number is None:
        axes.plot(x, y, color=palette.muted, alpha=_CONTEXT_OPACITY, linewidth=0.8, drawstyle=drawstyle, zorder=1.5)
        return
    colour = palette.series[line.number - 1]
    if line.low is not None and line.high is not None:
        bottom, top = axes.get_ylim()
        # A quartile among diverged trials is infinite: the band leaves the plot instead of ending.
        far = 10 * (top - bottom)
        low, high = (
            np.nan_to_num(end, nan=math.nan, posinf=top + far, neginf=bottom - far) for end in (line.low, line.high)
        )
        axes.fill_between(x, low, high, color=colour, alpha=_BAND_OPACITY, linewidth=0)
    axes.plot(x, y, color=colour, drawstyle=drawstyle, zorder=2.5)


def _end_label(line: Line, palette: Palette) -> EndLabel:
    number = line.number or 0
    last = np.flatnonzero(np.isfinite(line.y))[-1]
    return EndLabel(float(line.x[last]), float(line.y[last]), str(number), palette.series[number - 1])
