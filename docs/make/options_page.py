"""docs/reference/options.md, made from the commands: `python docs/make/options_page.py > docs/reference/options.md`."""

from __future__ import annotations

import importlib
import re
import sys
from collections.abc import Iterator
from typing import NamedTuple

import click

from freewalk.harness.cli import COMMANDS
from freewalk.harness.commands.spellings import OLD
from freewalk.harness.parameters.parameters import PARAMETERS

_HEAD = """# Options

Every option, the commands that have it, and what it means. What is spelled the same means the same; what a command adds
stands in [its own help](commands.md). This page is made from the code:
`python docs/make/options_page.py > docs/reference/options.md`.

"""
_PARAMETERS = """
## Parameters

Each parameter is an option of `train`, of `gradcheck` where a gradient depends on it, and, with several values, of
`sweep`, `tune` and `estimate`, whose help does not list them: `--stddev 0.01,0.1` is `--grid stddev=0.01,0.1`. So are
the parameters that a plug-in brings, in `ladder` too. Dashes or underscores are the same.

"""
_OLD = """
## Former spellings

They go on working, and say on stderr what is written now.

"""


_WITH_PARAMETERS = ("train", "gradcheck")
"""Commands whose help lists parameters."""


class Taken(NamedTuple):
    """An option as a command has it."""

    command: str
    option: click.Option

    @property
    def spelling(self) -> str:
        """As it is typed."""
        return self.option.opts[0]

    @property
    def metavar(self) -> str:
        """What follows it; nothing after a flag."""
        context = click.Context(self.option_command, info_name=self.command)
        return "" if self.option.is_flag else self.option.make_metavar(context)

    @property
    def option_command(self) -> click.Command:
        """The command."""
        found: click.Command = importlib.import_module(f"freewalk.harness.commands.{self.command}").command
        return found

    @property
    def meaning(self) -> str:
        """The words that are the same in all commands: up to the colon or point after which a command adds its own."""
        text = (self.option.help or "").partition("  [default")[0]
        return re.split(r"[:.;] |[:.]$", text)[0]


def options() -> Iterator[Taken]:
    """Yield every option that a help shows, command after command, but those of parameters."""
    for name in COMMANDS:
        for one in importlib.import_module(f"freewalk.harness.commands.{name}").command.params:
            is_parameter = name in _WITH_PARAMETERS and one.name in PARAMETERS
            if isinstance(one, click.Option) and not one.hidden and not is_parameter:
                yield Taken(name, one)


def options_page() -> str:
    """Return docs/reference/options.md."""
    taken: dict[str, list[Taken]] = {}
    for one in options():
        taken.setdefault(one.spelling, []).append(one)
    rows = [_row(spelling, taken[spelling]) for spelling in sorted(taken)]
    own = [f"| `--{name.replace('_', '-')}` | {one.help} |" for name, one in PARAMETERS.items()]
    old = [
        f"| `{command}` | `{former}` | `{new}` |"
        for command, spellings in OLD.items()
        for former, new in spellings.items()
    ]
    kept = "| `train`, `gradcheck`, `ladder` | `--set KEY=VALUE` | `--KEY VALUE` |"
    parts = (
        *("| option | takes | commands | meaning |", "|---|---|---|---|", *rows, _PARAMETERS),
        *("| parameter | meaning |", "|---|---|", *own, _OLD),
        *("| command | former | now |", "|---|---|---|", *old, kept),
    )
    return _HEAD + "\n".join(parts) + "\n"


def _row(spelling: str, taken: list[Taken]) -> str:
    metavars = dict.fromkeys(_cell(one.metavar) for one in taken)
    commands = ", ".join(f"`{one.command}`" for one in taken)
    meanings = "; ".join(dict.fromkeys(one.meaning for one in taken))
    return f"| `{spelling}` | {', '.join(metavars)} | {commands} | {meanings} |"


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


if __name__ == "__main__":
    sys.stdout.write(options_page())
