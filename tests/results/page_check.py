"""Reads a page strictly: open and closed elements, names, links, and whatever would ask another host."""

import base64
import hashlib
import re
from html.parser import HTMLParser
from typing import Self

from freewalk.results.report.page import SCRIPT

VOID = {"area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "source", "track", "wbr"}
LOADING = {"src", "href", "srcset", "poster", "data", "action", "background", "formaction", "ping"}


class Page(HTMLParser):
    """What a page consists of; fails where its elements do not nest."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.elements: list[tuple[str, dict[str, str]]] = []
        self.ids: list[str] = []
        self.links: list[str] = []
        self.texts: list[str] = []
        self.styles: list[str] = []
        self.scripts: list[str] = []
        self.curves: list[str] = []
        """What the page's plots say of the curve at which a reader points."""
        self._open: list[str] = []

    @classmethod
    def read(cls, html: str) -> Self:
        page = cls()
        page.feed(html)
        page.close()
        assert page._open == [], f"not closed: {page._open}"
        return page

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        names = [name for name, _ in attrs]
        assert len(names) == len(set(names)), f"{tag} has an attribute twice: {names}"
        given = {name: value or "" for name, value in attrs}
        self.elements.append(("curve" if tag == "title" and "svg" in self._open else tag, given))
        self.ids += [given["id"]] if "id" in given else []
        self.links += [value for name, value in given.items() if name in LOADING]
        self.styles += [given["style"]] if "style" in given else []
        if tag not in VOID:
            self._open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self._open, f"</{tag}> closes nothing"
        assert self._open.pop() == tag, f"</{tag}> closes another element"

    def handle_data(self, data: str) -> None:
        if self._open and self._open[-1] == "style":
            self.styles.append(data)
        elif self._open and self._open[-1] == "script":
            self.scripts.append(data)
        elif self._open[-1:] == ["title"] and "svg" in self._open:
            self.curves.append(data)
        elif data.strip():
            self.texts.append(" ".join(data.split()))

    @property
    def text(self) -> str:
        return " ".join(self.texts)

    def of(self, tag: str) -> list[dict[str, str]]:
        return [given for name, given in self.elements if name == tag]


def check_page(html: str) -> Page:
    """Fail unless the page is sound, runs its own script and nothing else, and refers only to itself."""
    assert html.startswith("<!DOCTYPE html>")
    page = Page.read(html)
    assert len(page.ids) == len(set(page.ids)), "an id comes twice"
    for link in page.links:
        assert link == "data:," or (link.startswith("#") and link[1:] in page.ids), link
    for style in page.styles:
        assert not re.search(r"@import|https?:|//\w|expression", style), style
        assert set(re.findall(r"url\(([^)]*)\)", style)) <= {f"#{name}" for name in page.ids}
    for tag, given in page.elements:
        assert tag not in {"iframe", "object", "embed", "base", "form"}, tag
        assert not [name for name in given if name.startswith("on")], given
        assert given.get("http-equiv", "Content-Security-Policy") == "Content-Security-Policy"
    (policy,) = [given["content"] for given in page.of("meta") if "http-equiv" in given]
    (script,) = page.scripts
    assert page.of("script") == [{}]
    assert script == SCRIPT
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert policy == f"default-src 'none'; style-src 'unsafe-inline'; script-src 'sha256-{digest}'; img-src data:"
    for tag in ("h1", "title", "main", "header", "footer"):
        assert len(page.of(tag)) == 1, tag
    return page
