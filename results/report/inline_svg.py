"""A figure's SVG made fit for a page that holds many: small, in the page's colours, without clashing names."""

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from html import escape
from typing import Final
from xml.etree import ElementTree

from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from freewalk.results.base.numbers import xml_text
from freewalk.results.report.drawing import Plot
from freewalk.results.report.palette import INLINE, variables
from freewalk.results.report.style import file_bytes

_COLOURS: Final = {colour: f"var({name})" for name, colour in variables(INLINE).items()}
_COLOUR: Final = re.compile("|".join(_COLOURS))
_NUMBER: Final = re.compile(r"-?\d+\.\d+")
_FONT_FAMILY: Final = re.compile(r"font-family: [^;]*;?\s*")
_BLANKS: Final = re.compile(r"\s+")
_LINK: Final = re.compile(r"#([\w.-]+)")
# What Matplotlib writes about itself, and rules that would hold for the whole page.
_LEFT_OUT: Final = {"metadata", "style", "title"}
# There are many of these.
_STYLED_BY_THE_PAGE: Final = ("seed", "other")
_UNITS_AN_INCH: Final = 72
_PART: Final = re.compile(r"(band|end|label|leader|line|other|pale|seed)-(\d+)(-\d+)?")


@dataclass(frozen=True)
class Marks:
    """The parts of a figure that have a name, and its axes."""

    titles: Mapping[str, str] = field(default_factory=dict)
    """In words, by name, of what can be pointed at."""
    axes: Mapping[str, str] = field(default_factory=dict)
    """By ``data-x`` and ``data-y``: scale, where it begins and ends in the figure's SVG, and its values there."""


def class_of(name: str) -> str:
    """Return the class of a part by its name: ``seed of-2`` for ``seed-2-17``; nothing for any other name."""
    found = _PART.fullmatch(name)
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


def to_inline(document: str, name: str, description: str, marks: Marks | None = None) -> str:
    """Turn Matplotlib's SVG document into an element of an HTML page.

    Numbers are rounded to a tenth; text takes the page's font; the palette's stand-in colours become variables;
    identifiers that nothing refers to go, the others begin with ``name``. What can be chosen gets its class, what can
    be pointed at its words, which a browser shows even without the page's script.

    Parameters
    ----------
    document : str
        Drawn with the palette ``INLINE`` and ``svg.fonttype`` none.
    name : str
        Letters, digits and dashes; no other figure of the page has it.
    description : str
        What the figure shows, for those who cannot see it.
    marks : Marks, optional
        What of it can be chosen and pointed at; nothing unless given.

    Returns
    -------
    str
        HTML, everything in it escaped.
    """
    root = ElementTree.fromstring(document)
    ids = {old: f"{name}-{number}" for number, old in enumerate(sorted(_referred(root)))}
    marks = marks or Marks()
    inside = "".join(_write(child, ids, marks.titles) for child in root)
    view = escape(root.get("viewBox", ""))
    axes = "".join(f' {key}="{escape(value)}"' for key, value in marks.axes.items())
    return f'<svg role="img" aria-label="{escape(description)}" viewBox="{view}"{axes}>{inside}</svg>'


def _referred(root: ElementTree.Element) -> set[str]:
    links = (value for element in root.iter() for key, value in element.items() if _is_link(key, value))
    return {name for link in links for name in _LINK.findall(link)}


def _is_link(key: str, value: str) -> bool:
    return _local(key) == "href" or value.startswith("url(")


def _local(name: str) -> str:
    return name.rpartition("}")[2]


def _write(
    element: ElementTree.Element, ids: Mapping[str, str], titles: Mapping[str, str], left_out: Collection[str] = ()
) -> str:
    tag = _local(element.tag)
    if tag in _LEFT_OUT:
        return ""
    attributes = "".join(
        f' {_local(key)}="{escape(text)}"'
        for key, value in element.items()
        if key not in left_out and (text := _value(key, value, ids))
    )
    name = element.get("id", "")
    if titles and (part := class_of(name)):
        attributes += f' class="{part}"'
        left_out = {"style"} if part.startswith(_STYLED_BY_THE_PAGE) else left_out
    title = f"<title>{escape(xml_text(titles[name]))}</title>" if name in titles else ""
    inside = escape((element.text or "").strip()) + "".join(_write(child, ids, titles, left_out) for child in element)
    if tag == "g" and not (inside and attributes):
        return inside
    if tag == "defs" and not inside:
        return ""
    return f"<{tag}{attributes}>{title}{inside}</{tag}>"


def _value(key: str, value: str, ids: Mapping[str, str]) -> str:
    """Return an attribute's value for the page; nothing for one that the page can do without."""
    if key == "id":
        return ids.get(value, "")
    if _is_link(key, value):
        return _LINK.sub(lambda link: f"#{ids[link[1]]}", value)
    value = _NUMBER.sub(lambda number: f"{float(number[0]):.1f}".removesuffix(".0"), _FONT_FAMILY.sub("", value))
    return _BLANKS.sub(" ", _COLOUR.sub(lambda colour: _COLOURS[colour[0]], value)).strip()


def drawn_inline(plot: Plot, name: str, subject: str) -> Markup:
    """Return a plot as SVG for the page; `name` is its own there, `subject` what it is about, for those who hear it.

    Matplotlib has the page's style while it draws: see `freewalk.results.report.style.styled`.
    """
    figure = plot.draw(INLINE)
    document = file_bytes(figure, "svg", margin=0.04).decode()
    return Markup(to_inline(document, name, f"{subject}: {plot.title}", marks_of(figure)))
