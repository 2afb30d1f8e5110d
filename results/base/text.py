"""Texts that a store, a table, a terminal and a spreadsheet all show and none obeys."""

import re

# What a terminal obeys or hides instead of showing it: control characters and marks that turn the direction of writing.
_UNPRINTABLE = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]")
_FORMULA = re.compile(r"[=@\t]|[+-](?!\d*\.?\d*(e[+-]?\d+)?$)")


def clean_text(text: str) -> str | None:
    r"""Make a text that SQLite and CSV both give back unchanged.

    Line ends become ``\n`` (an unquoted ``\r`` ends a CSV row), NUL is dropped, lone surrogates (they come
    with undecodable file names) are written as escapes, and an empty text is a missing one.
    """
    text = text.replace("\r\n", "\n").replace("\r", "\n").replace("\0", "")
    return text.encode("utf-8", "backslashreplace").decode("utf-8") or None


def printable(text: str) -> str:
    r"""Show what a terminal would obey, such as an escape sequence, as escapes; ``\n`` and ``\t`` stay."""
    return _UNPRINTABLE.sub(lambda found: found[0].encode("unicode_escape").decode("ascii"), text)


def cell_text(text: str) -> str:
    """Make a text harmless in a table: printable, and by a ``'`` in front of it no formula to a spreadsheet."""
    return f"'{printable(text)}" if _FORMULA.match(text) else printable(text)
