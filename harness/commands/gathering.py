"""Parameters that were given as options put into the grid, and what gives way to what says it more nearly."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Any

import click
from click.core import ParameterSource

from freewalk.harness.base.errors import UsageError
from freewalk.harness.parameters.parameters import PARAMETERS
from freewalk.harness.plan.settings import RIVALS, Settings

_NEARNESS = {ParameterSource.DEFAULT_MAP: 1, ParameterSource.ENVIRONMENT: 2, ParameterSource.COMMANDLINE: 3}
"""Defaults files, the environment, the command line: each says it more nearly than the one before."""
_DECIDES_NOTHING = {"name", "backend", "plugins"}


def nearness(ctx: click.Context, name: str) -> int:
    """Return how near the source of a parameter's value is; 0 for the built-in default."""
    source = ctx.get_parameter_source(name)
    return 0 if source is None else _NEARNESS.get(source, 0)


def without_overridden(given: dict[str, Any]) -> dict[str, Any]:
    """Return options of the present command less those that mean the same as one that was given more nearly.

    An option overrides its own variable by itself; here one of two rivals overrides the other.
    """
    context = click.get_current_context()
    near = {name: nearness(context, name) for name, value in given.items() if value is not None}
    overridden = {a for a, b in RIVALS.items() if 0 < near.get(a, 0) < near.get(b, 0)}
    return {name: None if name in overridden else value for name, value in given.items()}


def settled_by_documents(ctx: click.Context) -> set[str]:
    """Return what defaults files have no say in, since a preset, a file or saved weights say it already.

    A preset or a file is a whole sweep, which a default must not change; a method of the field has a method and
    parameters, a file of weights has these and a task.
    """
    from freewalk.harness.plan.grid import names_a_whole_sweep

    settled: set[str] = set()
    specs = [text for text in ctx.params.get("grid") or () if "=" not in text]
    if specs and nearness(ctx, "grid") > 1:
        settled |= {"methods", *PARAMETERS}
        settled |= {"tasks", *Settings.model_fields} - _DECIDES_NOTHING if names_a_whole_sweep(specs) else set()
    if ctx.params.get("weights") is not None and nearness(ctx, "weights") > 1:
        settled |= {"task", "tasks", "method", "methods", *PARAMETERS}
    if ctx.params.get("preset") is not None and nearness(ctx, "preset") > 1:
        settled |= {"method", *PARAMETERS}
    return settled


def gather(ctx: click.Context, where: str, names: Iterable[str], settled: Collection[str]) -> None:
    """Put the parameters that were given as options behind the texts key=value of a parameter of the command.

    Raises
    ------
    UsageError
        If a value is wrong, or a key is given in both ways.
    """
    from freewalk.harness.plan.grid import axis_text

    near = nearest = nearness(ctx, where)
    texts = list(ctx.params[where] or ())
    for name in names:
        value, own = ctx.params.pop(name, None), nearness(ctx, name)
        if value is None or (own == 1 and name in settled):
            continue
        same = [text for text in texts if text.partition("=")[0].strip() == name and "=" in text]
        if same and own == near:
            how = "--grid" if where == "grid" else "--set"
            spelling = f"--{name.replace('_', '-')}"
            raise UsageError(f"{spelling} {value} and {how} {same[0]}: {name} is given twice; give one of them")
        if not same or own > near:
            texts = [*(text for text in texts if text not in same), axis_text(name, value)]
            nearest = max(nearest, own)
    ctx.params[where] = tuple(texts)
    for source in (source for source, rank in _NEARNESS.items() if rank == nearest):
        ctx.set_parameter_source(where, source)


def let_documents_speak(ctx: click.Context, settled: Collection[str]) -> None:
    """Take back what defaults files say of what is settled."""
    for option in ctx.command.params:
        name = option.name or ""
        if name in settled and name in ctx.params and nearness(ctx, name) == 1:
            own = option.default
            is_several = isinstance(option, click.Option) and option.multiple
            ctx.params[name] = () if is_several else own if isinstance(own, str | int | float) else None
            ctx.set_parameter_source(name, ParameterSource.DEFAULT)
