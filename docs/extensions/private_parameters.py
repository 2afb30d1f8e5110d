"""Leaves private parameters out of signatures: results are made by functions, and not by who reads of them."""

from __future__ import annotations

import re
from typing import Any

from sphinx.application import Sphinx
from sphinx.util.typing import ExtensionMetadata

_PRIVATE = re.compile(r"(?:, )?\b_\w+: (?:[^,()\[\]]|\[[^\[\]]*(?:\[[^\[\]]*\][^\[\]]*)*\])+(?=[,)])")


def _leave_out(
    app: Sphinx, what: str, name: str, value: Any, options: Any, signature: str | None, returned: str | None
) -> tuple[str | None, str | None]:
    return (_PRIVATE.sub("", signature) if what == "class" and signature else signature), returned


def setup(app: Sphinx) -> ExtensionMetadata:
    """Let autodoc ask before it writes a signature."""
    app.connect("autodoc-process-signature", _leave_out)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
