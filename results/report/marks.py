"""What the page must know of a drawn figure to let its readers choose curves and point at them."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

_UNITS_AN_INCH: Final = 72
_NAME: Final = re.compile(r"(band|end|label|leader|line|other|pale|seed)-(\d+)(-\d+)?")


@dataclass(frozen=True)
class Marks:
    """The parts of a figure that have a name, and its axes."""

    titles: Mapping[str, str] = field(default_factory=dict)
    """In words, by name, of what can be pointed at."""
    axes: Mapping[str, str] = field(default_factory=dict)
    """By ``data-x`` and ``data-y``: scale, where it begins and ends in the figure's SVG, and its values there."""


def class_of(name: str) -> str:
    """Return the class of a part by its name: ``seed of-2`` for ``seed-2-17``; nothing for any other name."""
    found = _NAME.fullmatch(name)
    return f"{found[1]} of-{found[2]}" if found else ""


def marks_of(figure: Figure) -> Marks:
    """Return the marks of a figure that has been saved, so that everything has its place."""
    axes = figure.axes[0]
    lines = {str(line.get_gid()): line for line in axes.lines if class_of(str(line.get_gid()))}
    titles = {name: str(line.get_label()) for name, line in lines.items() if not name.startswith("end")}
    return Marks(titles, _axes(figure, axes)) if titles else Marks()


def _axes(figure: Figure, axes: Axes) -> Mapping[str, str]:
    place = axes.get_position()
    width, height = (float(size) * _UNITS_AN_INCH for size in figure.get_size_inches())
    is_share = isinstance(axes.yaxis.get_major_formatter(), PercentFormatter)
    scales = axes.get_xscale(), "share" if is_share else axes.get_yscale()
    ends = (place.x0 * width, place.x1 * width), ((1 - place.y0) * height, (1 - place.y1) * height)
    limits = axes.get_xlim(), axes.get_ylim()
    return {
        f"data-{name}": f"{scale} {low:.1f} {high:.1f} {first:.6g} {last:.6g}"
        for name, scale, (low, high), (first, last) in zip("xy", scales, ends, limits, strict=True)
    }
