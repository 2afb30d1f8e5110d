"""Keeps the docstrings of attributes as they are written: napoleon would read what stands before a colon as a type."""

from __future__ import annotations

from typing import Any

from sphinx.application import Sphinx
from sphinx.util.typing import ExtensionMetadata

_BEFORE_NAPOLEON, _AFTER_NAPOLEON = 400, 600  # its own priority is 500
_kept: dict[str, list[str]] = {}


def _hide(app: Sphinx, what: str, name: str, value: Any, options: Any, lines: list[str]) -> None:
    if what in ("attribute", "data", "property"):
        _kept[name], lines[:] = list(lines), []


def _show(app: Sphinx, what: str, name: str, value: Any, options: Any, lines: list[str]) -> None:
    lines[:] = _kept.pop(name, lines)


def setup(app: Sphinx) -> ExtensionMetadata:
    """Take such docstrings out of napoleon's way."""
    app.connect("autodoc-process-docstring", _hide, priority=_BEFORE_NAPOLEON)
    app.connect("autodoc-process-docstring", _show, priority=_AFTER_NAPOLEON)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
