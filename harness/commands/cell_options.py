"""Options for the parameters of one cell, and the cell that they make."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import click

from freewalk.harness.errors import UsageError, unknown
from freewalk.harness.parameters import METHOD_PARAMETERS, PARAMETERS


def cell_options(
    names: Iterable[str], defaults: Mapping[str, str] | None = None
) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Add an option for each of these parameters, in their order; `defaults` are those that differ from a sweep's."""
    others = defaults or {}

    def add(function: Callable[..., Any]) -> Callable[..., Any]:
        for name in reversed(list(names)):
            parameter = PARAMETERS[name]
            default = others.get(name, parameter.default_text)
            some = 0 < len(parameter.methods) < len(METHOD_PARAMETERS)
            users = f" ({', '.join(parameter.methods)})" if some else ""
            text = f"{parameter.help[0].upper()}{parameter.help[1:]}{users}.  [default: {default}]"
            function = click.option(
                f"--{name.replace('_', '-')}",
                name,
                metavar="|".join(parameter.choices) or "VALUE",
                envvar=f"HARNESS_{name.upper()}",
                help=text,
            )(function)
        return function

    return add


def set_option(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add the option for parameters that a plug-in brings, which are not known before it is loaded."""
    return click.option(
        "--set", "settings", multiple=True, metavar="KEY=VALUE", help="A parameter that a plug-in brings; repeatable."
    )(function)


def own_settings(texts: Iterable[str], given: Mapping[str, str]) -> dict[str, str]:
    """Return what --set says, by parameter; `given` are options of the same command.

    Raises
    ------
    UsageError
        If a text is none, or a parameter is given twice.
    """
    settings: dict[str, str] = {}
    for text in texts:
        key, equals, value = (part.strip() for part in text.partition("="))
        if not (key and equals and value) or key in ("task", "method"):
            raise UsageError(f"--set {text!r}: write a parameter and its value, such as --set rate=0.1")
        if key not in PARAMETERS:
            raise UsageError(f"--set {text!r}: {unknown('parameter', key, PARAMETERS)}")
        if key in settings or key in given:
            raise UsageError(f"--set {text!r}: {key} is given twice; leave one out")
        settings[key] = value
    return settings


def axis(name: str, value: str) -> str:
    """Return a parameter's option as the grid wants it; what is wrong with it is said of the option itself."""
    from freewalk.harness.grid import axis_values
    from freewalk.harness.parameters import check_axis

    where = f"--{name.replace('_', '-')} {value!r}: "
    check_axis(name, axis_values(name, value, where), where)
    return f"{name}={value}"


def single_trial(command: str, task: str, method: str, seed: str, given: Mapping[str, str]) -> Any:
    """Return the one trial that options make, with every default filled in.

    Raises
    ------
    UsageError
        If a value is wrong, does not fit the others, or makes several trials.
    """
    from freewalk.harness.configuration import resolve
    from freewalk.harness.plan import expand
    from freewalk.harness.registry import BuiltInRegistry

    registry = BuiltInRegistry()
    grid = [axis(name, value) for name, value in given.items()]
    plan = expand(resolve(grid, registry=registry, tasks=[task], methods=[method], seeds=seed), registry)
    if len(plan.trials) != 1:
        raise UsageError(f"{command} takes one trial, these options make {len(plan.trials)}; give one value each")
    return plan.trials[0]
