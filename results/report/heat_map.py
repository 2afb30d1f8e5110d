"""Two parameters against each other: what each pair of values costs, and how surely it learns."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import Colormap
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from freewalk.results.report.palette import Palette
from freewalk.results.report.style import PANEL, new_figure, set_titles, short
from freewalk.results.statistics.cell import Floats

_COLOURS: Final = "viridis_r"
_DARKEST: Final = 0.92
"""The end of the colour map is left out: nearly black on a dark page."""
_ROOM_FOR_TEXT: Final = 56
_GAP: Final = 0.04
_ROW_HEIGHT: Final = 0.52
_LONGEST_TICK: Final = 16


@dataclass(frozen=True)
class HeatMap:
    """A finished table of fields; row 0 is at the bottom."""

    title: str
    measure: str
    """What the fields show; part of the title where the plot stands alone."""
    x_name: str
    x_values: Sequence[str]
    y_name: str
    y_values: Sequence[str]
    costs: Floats
    """Shape (rows, columns); infinite where nothing was reached, NaN where nothing was run."""
    texts: Sequence[Sequence[str]]
    """What stands in each field, one or two lines."""
    limits: tuple[float, float]
    """Lowest and highest finite cost of all maps that are to be compared."""

    def draw(self, palette: Palette, subject: str = "") -> Figure:
        """Draw the table; fields without a finite cost are empty frames."""
        n_rows, n_columns = self.costs.shape
        figure, axes = new_figure(PANEL[0], min(max(1.25 + _ROW_HEIGHT * n_rows, 2.2), 6.5))
        set_titles(
            axes, f"{subject}: {self.measure}\n{self.title}" if subject else self.title, self.x_name, self.y_name
        )
        axes.grid(visible=False)
        axes.spines[:].set_visible(False)
        axes.tick_params(length=0)
        axes.set_xlim(-0.5, n_columns - 0.5)
        axes.set_ylim(-0.5, n_rows - 0.5)
        _few_ticks(axes, self.x_values, self.y_values)
        shown = n_rows * n_columns <= _ROOM_FOR_TEXT and n_columns <= 8
        colours = mpl.colormaps[_COLOURS]
        for row in range(n_rows):
            for column in range(n_columns):
                self._field(axes, row, column, colours, palette, text=shown)
        return figure

    def _field(self, axes: Axes, row: int, column: int, colours: Colormap, palette: Palette, *, text: bool) -> None:
        cost = float(self.costs[row, column])
        if math.isnan(cost):
            return
        finite = math.isfinite(cost)
        fill = colours(_DARKEST * self._place(cost)) if finite else "none"
        side = 1 - _GAP
        axes.add_patch(
            Rectangle(
                (column - side / 2, row - side / 2), side, side,
                facecolor=fill, edgecolor="none" if finite else palette.faint, linewidth=1,
            )
        )  # fmt: skip
        if text:
            ink = _readable_on(fill) if finite and not isinstance(fill, str) else palette.muted
            axes.text(column, row, self.texts[row][column], ha="center", va="center", color=ink, fontsize=10)

    def _place(self, cost: float) -> float:
        low, high = self.limits
        return math.log(max(cost, low) / low) / math.log(high / low) if high > low else 0.0


def _few_ticks(axes: Axes, x_values: Sequence[str], y_values: Sequence[str]) -> None:
    for axis, values, most in ((axes.xaxis, x_values, 8), (axes.yaxis, y_values, 16)):
        step = math.ceil(len(values) / most)
        axis.set_ticks(range(0, len(values), step), labels=[short(value, _LONGEST_TICK) for value in values[::step]])


def _readable_on(colour: tuple[float, float, float, float]) -> str:
    # Relative luminance as WCAG 2 defines it; 0.18 parts the colours that carry dark text from the others.
    linear = [c / 12.92 if c <= 0.03928 else ((c + 0.055) / 1.055) ** 2.4 for c in colour[:3]]
    return "#000000" if float(np.dot(linear, (0.2126, 0.7152, 0.0722))) > 0.18 else "#ffffff"
