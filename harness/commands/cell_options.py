"""Options for the parameters of one cell."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import click

from freewalk.harness.commands.options import option
from freewalk.harness.methods.registered import METHODS
from freewalk.harness.parameters.parameters import PARAMETERS


def cell_options(
    names: Iterable[str], defaults: Mapping[str, str] | None = None
) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Add an option for each of these parameters, in their order; `defaults` are those that differ from a sweep's."""
    others = defaults or {}

    def add(function: Callable[..., Any]) -> Callable[..., Any]:
        for name in reversed(list(names)):
            parameter = PARAMETERS[name]
            default = others.get(name, parameter.default_text)
            some = 0 < len(parameter.methods) < len(METHODS)
            users = f" ({', '.join(parameter.methods)})" if some else ""
            text = f"{parameter.help[0].upper()}{parameter.help[1:]}{users}.  [default: {default}]"
            function = option(f"--{name.replace('_', '-')}", name, metavar=parameter.metavar, help=text)(function)
        return function

    return add


def set_option(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add the option for parameters that a plug-in brings, which are not known before it is loaded."""
    return click.option(
        "--set", "settings", multiple=True, metavar="KEY=VALUE", help="A parameter that a plug-in brings; repeatable."
    )(function)
