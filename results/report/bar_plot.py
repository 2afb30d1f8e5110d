"""Horizontal bars, the longest first: how much each parameter explains."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal

from matplotlib.figure import Figure

from freewalk.results.report.palette import Palette
from freewalk.results.report.style import PANEL, new_figure, set_titles, short

Weight = Literal["strong", "weak", "rest"]
_ROW_HEIGHT: Final = 0.42
_LONGEST_NAME: Final = 24


@dataclass(frozen=True)
class Bar:
    """One bar; ``share`` is the length, of 1."""

    name: str
    share: float
    text: str
    weight: Weight


@dataclass(frozen=True)
class BarPlot:
    """A finished choice of bars, the first on top."""

    title: str
    bars: Sequence[Bar]

    def draw(self, palette: Palette, subject: str = "") -> Figure:
        """Draw the bars with their values beside them."""
        figure, axes = new_figure(PANEL[0], 0.55 + _ROW_HEIGHT * len(self.bars))
        set_titles(axes, f"{subject}: {self.title}" if subject else self.title, "", "")
        axes.grid(visible=False)
        axes.spines[:].set_visible(False)
        axes.set_xticks([])
        colours = {"strong": palette.series[0], "weak": palette.muted, "rest": palette.faint}
        places = range(len(self.bars))
        axes.barh(
            places, [bar.share for bar in self.bars], height=0.62, color=[colours[bar.weight] for bar in self.bars]
        )
        for place, bar in zip(places, self.bars, strict=True):
            axes.annotate(
                short(bar.text), (bar.share, place), xytext=(5, 0), textcoords="offset points", va="center",
                color=palette.ink if bar.weight == "strong" else palette.muted, fontsize=10,
            )  # fmt: skip
        axes.set_yticks(places, labels=[short(bar.name, _LONGEST_NAME) for bar in self.bars])
        axes.tick_params(length=0)
        axes.set_xlim(0, 1.05 * max([bar.share for bar in self.bars], default=1.0) or 1.0)
        axes.set_ylim(len(self.bars) - 0.5, -0.5)
        return figure
