"""Spellings of earlier versions: they go on working, no help shows them, and each names its successor when it is used.

`OLD` is the one place where they stand.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from typing import Any, cast

import click

from freewalk.harness.base.errors import UsageError

OLD: Mapping[str, Mapping[str, str]] = {
    "evaluate": {"--weights": "FILE", "--points": "--evaluation-points", "--targets": "--y"},
    "maximize": {"--weights": "FILE", "--target": "--value", "--method": "--ascent", "--output": "--of"},
    "estimate": {"--steps": "--samples"},
}
"""Of each command, its former options and what is written instead: an option, or an argument by its metavar."""
_VARIABLES = ("--points", "--steps")
"""Those that could be set in the environment too."""


_NOTED = "freewalk.former_spellings"


def note_old(ctx: click.Context, old: str, new: str) -> None:
    """Let a command say, when it has come to its end, that something is spelled otherwise now: an error is one line."""
    ctx.meta.setdefault(_NOTED, []).append(f"{old} is now {new}; the former spelling still works")


def say_old(ctx: click.Context) -> None:
    """Say on stderr what `note_old` was told."""
    for text in ctx.meta.pop(_NOTED, ()):
        click.echo(f"harness: note: {text}", err=True)


def old_options(command: str, parameters: Iterable[click.Parameter]) -> list[click.Option]:
    """Return a command's former spellings as options that hand their values on to its present parameters."""
    successors = {
        name: one
        for one in parameters
        for name in ([one.metavar or ""] if isinstance(one, click.Argument) else one.opts)
    }
    return [_Old(old, successors[new], new) for old, new in OLD.get(command, {}).items()]


class _Old(click.Option):
    """A former spelling of a parameter; it is processed first, so that its value can take that one's place."""

    def __init__(self, spelling: str, successor: click.Parameter, said: str) -> None:
        name = f"old_{spelling[2:]}"
        super().__init__(
            [spelling, name], hidden=True, expose_value=False, is_eager=True, help=f"Former spelling of {said}."
        )
        self._spelling, self._successor, self._said = spelling, successor, said

    def handle_parse_result(
        self, ctx: click.Context, opts: Mapping[str, Any], args: list[str]
    ) -> tuple[Any, list[str]]:
        """Hand the value on."""
        given, name = dict(opts), self._successor.name or ""
        value, other = given.get(self.name or ""), given.get(name)
        if not isinstance(value, str) and not isinstance(other, str):
            value = self._in_the_environment()
        if isinstance(value, str):
            if isinstance(other, str):
                raise UsageError(f"{self._spelling} {value} and {self._said} {other} are the same; give one of them")
            is_argument = isinstance(self._successor, click.Argument)
            note_old(ctx, self._spelling, f"the argument {self._said}" if is_argument else self._said)
            cast(dict[str, Any], opts)[name] = value  # the parser's own, which the others read after this
        return None, args

    def _in_the_environment(self) -> str | None:
        successor = self._successor.envvar
        if self._spelling not in _VARIABLES or (isinstance(successor, str) and os.environ.get(successor)):
            return None
        return os.environ.get(f"HARNESS_{self._spelling[2:].upper()}") or None
