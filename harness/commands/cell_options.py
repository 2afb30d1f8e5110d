"""Options for the parameters of one cell."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import click

from freewalk.harness.commands.kinds import Name
from freewalk.harness.commands.options import option
from freewalk.harness.commands.spellings import note_old
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
            function = option(
                f"--{name.replace('_', '-')}", name, type=Name(_words(name)), metavar=parameter.metavar, help=text
            )(function)
        return function

    return add


def _words(name: str) -> Callable[[], Iterable[str]]:
    return lambda: PARAMETERS[name].choices if name in PARAMETERS else ()


def set_option(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add what takes parameters that a plug-in brings: options of their names put theirs in, as --set of old does."""
    text = "Former spelling of parameters that a plug-in brings."
    return click.option("--set", "settings", multiple=True, hidden=True, callback=_now_options, help=text)(function)


def _now_options(ctx: click.Context, parameter: click.Parameter, texts: tuple[str, ...]) -> tuple[str, ...]:
    """Say how what --set says is spelled now."""
    spelled = {one for each in ctx.command.get_params(ctx) for one in each.opts}
    for text in texts:
        key, equals, value = (part.strip() for part in text.partition("="))
        option = f"--{key.replace('_', '-')}"
        if equals and (option in spelled or key not in PARAMETERS):
            note_old(ctx, f"--set {text}", f"{option} {value}")
    return texts
