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
from freewalk.results.statistics.cell import Floats

_MARGIN: Final = 0.04
_LEAST_MARGIN: Final = 1.01
_CONTEXT_OPACITY: Final = 0.28
_BAND_OPACITY: Final = 0.16
_PALE_OPACITY: Final = 0.55
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
    end: str = ""
    """What stands at its end; its number unless given."""
    pale: Floats | None = None
    """A second value at each x, drawn thinner and paler."""
    pale_words: str = "with easier targets"
    seeds: Sequence["SeedLine"] = ()
    """The curves behind the line; the page alone has them, for whoever chooses the line."""


@dataclass(frozen=True)
class SeedLine:
    """The curve of one trial."""

    seed: int
    x: Floats
    y: Floats


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
        others = [line for line in self.lines if line.number is None]
        for place, line in enumerate(others, 1):
            _draw_other(axes, line, palette, f"other-{place}", steps=self.steps)
        for line in sorted(numbered, key=lambda line: -(line.number or 0)):
            _draw_line(axes, line, palette, steps=self.steps, with_seeds=not subject)
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
            axes.set_ylim(-0.02, 1.15)  # above 100 % there is room for the labels of those that end there
            axes.set_yticks([0, 0.2, 0.4, 0.6, 0.8, 1.0])
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


# What may be chosen or pointed at has a gid, its part and its line's number, and its words as its label.


def _style(steps: bool) -> Literal["steps-post", "default"]:
    return "steps-post" if steps else "default"


def _finite(y: Floats) -> Floats:
    return np.where(np.isfinite(y), y, math.nan)


def _draw_other(axes: Axes, line: Line, palette: Palette, name: str, *, steps: bool) -> None:
    (drawn,) = axes.plot(line.x, _finite(line.y), color=palette.muted, linewidth=0.8, drawstyle=_style(steps))
    drawn.set(alpha=_CONTEXT_OPACITY, zorder=1.5, gid=name, label=line.name)


def _draw_line(axes: Axes, line: Line, palette: Palette, *, steps: bool, with_seeds: bool) -> None:
    assert line.number is not None
    x, y, words = line.x, _finite(line.y), f"{line.number}: {line.name}"
    colour = palette.series[line.number - 1]
    if line.low is not None and line.high is not None:
        bottom, top = axes.get_ylim()
        # A quartile among diverged trials is infinite: the band leaves the plot instead of ending.
        far = 10 * (top - bottom)
        low, high = (
            np.nan_to_num(end, nan=math.nan, posinf=top + far, neginf=bottom - far) for end in (line.low, line.high)
        )
        band = axes.fill_between(x, low, high, color=colour, alpha=_BAND_OPACITY, linewidth=0)
        band.set_gid(f"band-{line.number}")
    for seed in line.seeds if with_seeds else ():
        (thin,) = axes.plot(seed.x, _finite(seed.y), color=colour, linewidth=0.8, drawstyle=_style(steps))
        thin.set(gid=f"seed-{line.number}-{seed.seed}", label=f"{words}, seed {seed.seed}")
    if line.pale is not None:
        (pale,) = axes.plot(
            x, _finite(line.pale), color=colour, linewidth=1, alpha=_PALE_OPACITY, drawstyle=_style(steps)
        )
        pale.set(zorder=2.4, gid=f"pale-{line.number}", label=f"{words}, {line.pale_words}")
    (drawn,) = axes.plot(x, y, color=colour, drawstyle=_style(steps), zorder=2.5)
    drawn.set(gid=f"line-{line.number}", label=words)
    last = np.flatnonzero(np.isfinite(y))[-1]
    # A dot: a line without length has round ends, and needs less room in a file than a marker.
    (end,) = axes.plot(x[[last, last]], y[[last, last]], color=colour, linewidth=4.5, zorder=2.6, clip_on=False)
    end.set_gid(f"end-{line.number}")


def _end_label(line: Line, palette: Palette) -> EndLabel:
    number = line.number or 0
    last = np.flatnonzero(np.isfinite(line.y))[-1]
    colour = palette.series[number - 1]
    return EndLabel(float(line.x[last]), float(line.y[last]), line.end or str(number), colour, f"label-{number}")
