"""Defaults of a user's own: files with a table for each command and one for all of them."""

from __future__ import annotations

import importlib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import click

from freewalk.harness.base.defaults_files import defaults_files
from freewalk.harness.base.errors import UsageError
from freewalk.harness.plan.document import read_toml
from freewalk.results.base.names import nearest

ALL = "all"
"""The table for all commands that have an option of the name."""


def default_map(name: str, command: click.Command, names: Iterable[str]) -> dict[str, Any]:
    """Return what defaults files say of a command's options, by parameter; its own table goes before that for all.

    Parameters
    ----------
    name, command
        The command.
    names
        Of all commands.

    Raises
    ------
    UsageError
        If a file is none, names a table or an option that there is not, or has a wrong value.
    """
    found: dict[str, Any] = {}
    for path in reversed(defaults_files()):
        tables = _tables(path, names)
        for table in (ALL, name):
            found |= _values(path, table, tables.get(table, {}), command, names)
    return found


def described(names: Iterable[str]) -> list[dict[str, Any]]:
    """Return the files in use, the nearest first, and what each sets; everything in them is checked.

    Raises
    ------
    UsageError
        As `default_map`.
    """
    found = []
    for path in defaults_files():
        tables = _tables(path, names)
        for table in tables:
            for command in names if table == ALL else [table]:
                _values(path, table, tables[table], _command(command), names)
        found.append({"file": str(path), "sets": tables})
    return found


def _tables(path: Path, names: Iterable[str]) -> dict[str, dict[str, Any]]:
    found = read_toml(path, f"{path}: ")
    known = [ALL, *names]
    for table, values in found.items():
        if not isinstance(values, dict):
            raise UsageError(f"{path}: {table} stands outside a table; write it below [{ALL}] or [sweep], say")
        if table not in known:
            raise UsageError(f"{path}: no command [{table}]{nearest(table, known)}; known: {', '.join(known)}")
    return {table: found[table] for table in sorted(found, key=known.index)}


def _values(
    path: Path, table: str, values: Mapping[str, Any], command: click.Command, names: Iterable[str]
) -> dict[str, Any]:
    """Return those of a table's values that are of a command, as click takes them."""
    options, found = _options(command), {}
    for key, value in values.items():
        option = options.get(_plain(key))
        if option is not None:
            found[option.name or ""] = _checked(path, table, key, value, option, command)
        elif table != ALL or not any(_plain(key) in _options(_command(name)) for name in names):
            known = [name.replace("-", "_") for name in options]
            whose = "any command" if table == ALL else f"harness {table}"
            raise UsageError(f"{path}: [{table}] {key}: no option of {whose}{nearest(key, known)}")
    return found


def _checked(
    path: Path, table: str, key: str, value: Any, option: click.Option, command: click.Command
) -> bool | str | list[str]:
    where = f"{path}: [{table}] {key} = {value!r}: "
    if option.is_flag:
        if not isinstance(value, bool):
            raise UsageError(f"{where}must be true or false")
        return value
    several = value if isinstance(value, list) else [value]
    if (len(several) > 1 and not option.multiple) or not all(type(one) in (str, int, float) for one in several):
        kind = "text, a number, or a list of them" if option.multiple else "text or a number"
        raise UsageError(f"{where}must be {kind}")
    texts = [_relative(path, option, str(one)) for one in several]
    context = click.Context(command, info_name=command.name)
    try:
        for text in texts:
            option.type.convert(text, option, context)
    except click.UsageError as error:
        raise UsageError(f"{where}{error.message}") from None
    except UsageError as error:
        raise UsageError(f"{where}{str(error).partition(': ')[2] or error}") from None
    return texts if option.multiple else texts[0]


def _relative(path: Path, option: click.Option, text: str) -> str:
    """Return a plug-in's path as seen from the file that names it; everything else is as if typed."""
    return str(path.parent / Path(text).expanduser()) if option.name == "plugins" else text


def _options(command: click.Command) -> dict[str, click.Option]:
    context = click.Context(command, info_name=command.name)
    return {
        _plain(spelling): one
        for one in command.get_params(context)
        if isinstance(one, click.Option)
        and (one.expose_value or not one.hidden)
        and one.name not in ("help", "settings")
        for spelling in one.opts
    }


def _plain(key: str) -> str:
    return key.removeprefix("--").replace("_", "-")


def _command(name: str) -> click.Command:
    command: click.Command = importlib.import_module(f"freewalk.harness.commands.{name}").command
    return command
