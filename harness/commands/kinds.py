"""What options and arguments take: how a text is checked, and how a shell completes it."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Annotated, Any

import click
from click.shell_completion import CompletionItem
from pydantic import Field, TypeAdapter, ValidationError
from pydantic.fields import FieldInfo

from freewalk.harness.base.errors import UsageError
from freewalk.harness.parameters.parameters import base_type, requirement
from freewalk.harness.plan.settings import words_of
from freewalk.results.base.names import nearest

SEED_END = 2**64
"""Of saved weights' own seeds; what becomes a trial takes half as many."""


def _spelling(param: click.Parameter | None) -> str:
    return max(param.opts, key=len) if param is not None else ""


class Name(click.types.StringParamType):
    """One of the names that a function gives to be completed; whoever knows them all checks it."""

    name = "NAME"

    def __init__(self, names: Callable[[], Iterable[str]]) -> None:
        self._names = names

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        """Complete the name."""
        return [CompletionItem(name) for name in self._names() if name.startswith(incomplete)]


class Spec(click.types.StringParamType):
    """An argument of ``--grid``; several in HARNESS_GRID have semicolons between, since a SPEC may hold blanks."""

    name = "SPEC"
    envvar_list_splitter = ";"

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        """Complete keys, the words that a parameter may be, presets and files."""
        from freewalk.harness.commands.completion import specs

        return [CompletionItem(one) for one in specs(incomplete)] or [CompletionItem(incomplete, type="file")]


class Files(click.types.StringParamType):
    """A path; several in the environment stand as in PATH."""

    name = "FILE"
    envvar_list_splitter = os.pathsep

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        """Let the shell complete files."""
        return [CompletionItem(incomplete, type="file")]


class Folder(click.types.StringParamType):
    """The name of a folder to write into."""

    name = "DIR"

    def convert(  # type: ignore[override]
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> Path:
        """Return it as a path."""
        if value == "":
            spelling = _spelling(param)
            default = None if param is None else param.default
            instead = f", or leave {spelling} away for {default}" if isinstance(default, str) else ""
            raise UsageError(f"{spelling} '': the name is empty; name a folder{instead}")
        return Path(value)

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        """Let the shell complete folders."""
        return [CompletionItem(incomplete, type="dir")]


class SweepFolder(click.types.StringParamType):
    """The folder of a sweep."""

    name = "DIR"

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        """Complete folders that hold sweeps, or lead to some."""
        from freewalk.harness.commands.completion import sweep_folders

        return [CompletionItem(one) for one in sweep_folders(incomplete)] or [CompletionItem(incomplete, type="dir")]


class Seed(click.ParamType):  # type: ignore[type-arg]
    """One seed."""

    name = "SEED"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Return it as a number."""
        text = str(value).strip()
        if text.isascii() and text.isdecimal() and len(text) < 21 and int(text) < SEED_END:
            return int(text)
        several = f"; harness sweep --seeds {text} runs several" if any(mark in text for mark in ":,") else ""
        raise UsageError(f"{_spelling(param)} {text}: must be one whole number from 0 to below 2**64{several}")


class Seeds(click.types.StringParamType):
    """Several seeds; a lone number is refused: nobody could tell whether it is a seed or how many."""

    name = "SEEDS"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Return the text, once it is checked."""
        from freewalk.harness.parameters.seeds import parse_seeds, refuse_lone_number

        refuse_lone_number(value, _spelling(param))
        parse_seeds(str(value), _spelling(param))
        return str(value)


class Setting(click.ParamType):  # type: ignore[type-arg]
    """A value of a setting of sweeps, checked by its field."""

    def __init__(self, field: FieldInfo) -> None:
        self._field, self._words = field, words_of(field)
        self.name = "|".join(self._words) or {int: "N", float: "VALUE"}[base_type(field)]
        annotated: Any = Annotated[(base_type(field), Field(), *field.metadata)]
        self._adapter: TypeAdapter[Any] = TypeAdapter(annotated)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return the value with its type."""
        try:
            return self._adapter.validate_strings(str(value))
        except ValidationError:
            hint = nearest(str(value), self._words) if self._words else ""
            raise UsageError(f"{_spelling(param)} {value}{hint}: must be {requirement(self._field)}") from None

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        """Complete its words."""
        return [CompletionItem(word) for word in self._words if word.startswith(incomplete)]
