"""Where tables go, and how wide they may be."""

from __future__ import annotations

import json
import sys
import textwrap
from collections.abc import Mapping
from typing import Any

import click
from rich import box
from rich.console import Console
from rich.table import Table

from freewalk.results.base.numbers import json_value

_WIDTH_OF_A_PIPE = 160
_WIDTH_OF_FACTS = 100


def make_console() -> Console:
    """Return standard output's console: as wide as the terminal, or as tables elsewhere may be."""
    return Console(width=None if sys.stdout.isatty() else _WIDTH_OF_A_PIPE)


def print_line(console: Console, text: str, **style: Any) -> None:
    """Print a text as it is, however long."""
    console.print(text, highlight=False, markup=False, soft_wrap=True, **style)


def make_table(title: str | None = None) -> Table:
    """Return a table without rows, in the one style that there is."""
    return Table(title=title, title_justify="left", title_style="bold", box=box.SIMPLE_HEAD)


def print_json(value: Any, *, nan: str | None = "nan") -> None:
    """Print a value as JSON; see `json_value`."""
    click.echo(json.dumps(json_value(value, nan=nan), indent=2, allow_nan=False))


def print_facts(title: str, facts: Mapping[str, str]) -> None:
    """Print a title and, below, each fact's heading and text, in as many lines as it takes."""
    indent = max(map(len, facts)) + 4
    click.echo(title)
    for heading, text in facts.items():
        first, *others = textwrap.wrap(text, _WIDTH_OF_FACTS - indent, break_long_words=False) or [""]
        click.echo(f"  {heading:<{indent - 2}}{first}")
        for line in others:
            click.echo(f"{'':<{indent}}{line}")
