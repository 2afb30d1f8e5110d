"""A figure's SVG made fit for a page that holds many: small, in the page's colours, without clashing names."""

import re
from collections.abc import Collection, Mapping
from html import escape
from typing import Final
from xml.etree import ElementTree

from freewalk.results.base.numbers import printable
from freewalk.results.report.marks import Marks, class_of
from freewalk.results.report.palette import INLINE, variables

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
    title = f"<title>{escape(printable(titles[name]))}</title>" if name in titles else ""
    inside = escape((element.text or "").strip()) + "".join(_write(child, ids, titles, left_out) for child in element)
    if tag == "g" and not (inside and attributes):
        return inside
    if tag == "defs" and not inside:
        return ""
    return f"<{tag}{attributes}>{title}{inside}</{tag}>"


def _value(key: str, value: str, ids: Mapping[str, str]) -> str:
    """Give an attribute's value for the page; nothing for one that the page can do without."""
    if key == "id":
        return ids.get(value, "")
    if _is_link(key, value):
        return _LINK.sub(lambda link: f"#{ids[link[1]]}", value)
    value = _NUMBER.sub(lambda number: f"{float(number[0]):.1f}".removesuffix(".0"), _FONT_FAMILY.sub("", value))
    return _BLANKS.sub(" ", _COLOUR.sub(lambda colour: _COLOURS[colour[0]], value)).strip()
