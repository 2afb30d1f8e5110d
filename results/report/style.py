"""What all plots have in common: sizes, fonts, quiet axes, ticks people can read, labels beside lines."""

import io
import math
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final, Literal, NamedTuple

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator
from matplotlib.transforms import offset_copy

from freewalk.results.base.numbers import compact, xml_text
from freewalk.results.report.palette import Palette

PANEL: Final = (5.4, 3.9)
"""Inches of 72 units each: a panel is about as many units wide as a phone has pixels."""
LONGEST_NAME: Final = 48
"""Characters of a name from the tables that a plot shows."""
_FONT_SIZE: Final = 11
_DOTS_PER_INCH: Final = 160
_DECADES_WITHOUT_STEPS: Final = 1.7
_LABEL_SIZE: Final = (0.03, 0.018, 0.062)
"""Width of a label without and of each of its characters, and its height, in shares of the axes of a panel."""
_LABEL_OFFSET: Final = 7
"""Points from the end of a line to its label."""
_UNMOVED: Final = 0.015


class EndLabel(NamedTuple):
    """A text beside the last point of a line."""

    x: float
    y: float
    text: str
    colour: str
    name: str = ""
    """What the label is called in the file, and after it its leader; nothing unless given."""


@contextmanager
def styled(palette: Palette, *, text_as_text: bool) -> Iterator[None]:
    """Set what Matplotlib takes from its settings, so that plots look the same whatever the user's own say.

    Text is never read as a formula, since names come from users.
    """
    with mpl.rc_context(), warnings.catch_warnings():
        # A name in letters that the font lacks shows as boxes in a PNG, and as it is in the page.
        warnings.filterwarnings("ignore", message=r"Glyph \d+ .* missing from")
        warnings.filterwarnings("ignore", message="constrained_layout not applied")
        mpl.rcdefaults()
        mpl.rcParams.update(
            {
                "svg.fonttype": "none" if text_as_text else "path",
                "svg.hashsalt": "freewalk",
                "text.parse_math": False,
                "font.size": _FONT_SIZE,
                "axes.titlesize": _FONT_SIZE,
                "axes.titlelocation": "left",
                "axes.titleweight": "bold",
                "axes.labelsize": _FONT_SIZE - 0.5,
                "xtick.labelsize": _FONT_SIZE - 1,
                "ytick.labelsize": _FONT_SIZE - 1,
                "text.color": palette.ink,
                "axes.labelcolor": palette.muted,
                "axes.titlecolor": palette.ink,
                "axes.edgecolor": palette.faint,
                "axes.facecolor": "none",
                "axes.grid": True,
                "axes.axisbelow": True,
                "axes.spines.top": False,
                "axes.spines.right": False,
                "axes.spines.left": False,
                "figure.facecolor": "none" if text_as_text else palette.surface,
                "xtick.color": palette.faint,
                "ytick.color": palette.faint,
                "xtick.labelcolor": palette.muted,
                "ytick.labelcolor": palette.muted,
                "ytick.left": False,
                "grid.color": palette.faint,
                "grid.linewidth": 0.7,
                "lines.linewidth": 1.8,
                "lines.solid_capstyle": "round",
            }
        )
        yield


def new_figure(width: float = PANEL[0], height: float = PANEL[1]) -> tuple[Figure, Axes]:
    """Return a figure with one set of axes; pyplot does not know it, so nothing has to be closed."""
    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure, figure.add_subplot()


def set_titles(axes: Axes, title: str, x_label: str, y_label: str) -> None:
    """Write what the axes show; names that come from the tables are cut."""
    axes.set_title(short(title, 2 * LONGEST_NAME))
    axes.set_xlabel(short(x_label))
    axes.set_ylabel(short(y_label))


def short(text: str, longest: int = LONGEST_NAME) -> str:
    """Cut a text that has no room in a plot."""
    return text if len(text) <= longest else f"{text[: longest - 1]}…"


def file_bytes(figure: Figure, kind: Literal["png", "svg"], margin: float = 0.12) -> bytes:
    """Return a figure as a file's content; the same figure gives the same bytes. ``margin`` is in inches."""
    engine = figure.get_layout_engine()
    if isinstance(engine, ConstrainedLayoutEngine):
        engine.set(w_pad=margin, h_pad=margin)
    buffer = io.BytesIO()
    about: dict[str, Any] = {"Software": "freewalk"} if kind == "png" else {"Creator": "freewalk", "Date": None}
    figure.savefig(buffer, format=kind, dpi=_DOTS_PER_INCH, metadata=about)
    return buffer.getvalue() if kind == "png" else xml_text(buffer.getvalue().decode()).encode()


def log_scale(axes: Axes, which: Literal["x", "y"], low: float, high: float) -> None:
    """Make an axis logarithmic from low to high, both greater than 0, with a few round ticks written out."""
    if low == high:
        low, high = low / 2, high * 2
    decades = math.log10(high / low)
    steps = (1.0, 2.0, 5.0) if decades < _DECADES_WITHOUT_STEPS else (1.0,)
    axis = axes.xaxis if which == "x" else axes.yaxis
    (axes.set_xscale if which == "x" else axes.set_yscale)("log")
    (axes.set_xlim if which == "x" else axes.set_ylim)(low, high)
    axis.set_major_locator(LogLocator(subs=steps, numticks=7))
    axis.set_minor_locator(NullLocator())
    readable_ticks(axes, which)


def readable_ticks(axes: Axes, which: Literal["x", "y"]) -> None:
    """Write an axis' numbers out shortly: 10k instead of a power."""
    axis = axes.xaxis if which == "x" else axes.yaxis
    axis.set_major_formatter(FuncFormatter(lambda value, _: compact(value)))


def label_ends(axes: Axes, labels: Sequence[EndLabel]) -> None:
    """Write a label beside the end of each line; one that would cover another is moved, with a leader to its end.

    The axes have their final scales and limits.
    """
    to_axes = axes.transScale + axes.transLimits
    ends = [to_axes.transform((label.x, label.y)).tolist() for label in labels]
    around, each, height = _LABEL_SIZE
    width = around + each * max((len(label.text) for label in labels), default=0)
    beside = offset_copy(axes.transAxes, axes.get_figure(root=True), x=_LABEL_OFFSET, units="points")
    for label, end, place in zip(labels, ends, unstacked(ends, width, height), strict=True):
        end_inside = (end[0], min(max(end[1], 0.0), 1.0))
        leader = {"arrowstyle": "-", "color": label.colour, "linewidth": 0.7, "shrinkA": 0, "shrinkB": 2}
        note = axes.annotate(
            label.text, end_inside, xycoords="axes fraction", xytext=place, textcoords=beside, va="center",
            color=label.colour, fontweight="bold" if label.text.isdigit() else "normal", annotation_clip=False,
            fontsize=_FONT_SIZE if label.text.isdigit() else _FONT_SIZE - 1,
            arrowprops=leader if abs(place[1] - end_inside[1]) > _UNMOVED else None,
        )  # fmt: skip
        note.set_gid(label.name or None)
        if note.arrow_patch and label.name:
            note.arrow_patch.set_gid(label.name.replace("label", "leader"))


def unstacked(places: Sequence[Sequence[float]], width: float, height: float) -> list[tuple[float, float]]:
    """Move places apart vertically, so that boxes around them do not overlap.

    Parameters
    ----------
    places : sequence of (x, y)
        In [0, 1]; a y outside is brought to the edge.
    width, height : float
        Of the boxes. Those in a row, each less than a width from the next, are moved together.

    Returns
    -------
    list of (x, y)
        In the order of ``places``.
    """
    order = sorted(range(len(places)), key=lambda i: float(places[i][0]))
    clusters: list[list[int]] = []
    for i in order:
        near = clusters and places[i][0] - places[clusters[-1][-1]][0] < width
        clusters[-1].append(i) if near else clusters.append([i])
    moved: dict[int, float] = {}
    for cluster in clusters:
        moved |= zip(cluster, spread([float(places[i][1]) for i in cluster], height), strict=True)
    return [(float(x), moved[i]) for i, (x, _) in enumerate(places)]


def spread(wanted: Sequence[float], gap: float) -> list[float]:
    """Move places in [0, 1] apart, so that their order stays and neighbours keep a distance.

    Parameters
    ----------
    wanted : sequence of float
        Places; those outside [0, 1] are brought to its edge.
    gap : float
        Least distance; less where there are too many for it.

    Returns
    -------
    list of float
        In the order of ``wanted``.
    """
    n = len(wanted)
    gap = min(gap, 1 / max(n - 1, 1))
    order = sorted(range(n), key=lambda i: wanted[i])
    placed: list[float] = []
    for i in order:
        lowest = placed[-1] + gap if placed else 0.0
        placed.append(max(min(max(wanted[i], 0.0), 1.0), lowest))
    ceiling = 1.0
    for place in reversed(range(n)):  # what was pushed beyond the top comes back
        placed[place] = min(placed[place], ceiling)
        ceiling = placed[place] - gap
    return [y for _, y in sorted(zip(order, placed, strict=True))]
