"""Options that several commands share; their defaults are those of the configuration."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any, get_args

import click

from freewalk.harness.plan.configuration import BACKENDS, RIVALS, Looks, SweepConfiguration

_TYPES: dict[str, type] = {
    "epochs": int,
    "steps_per_epoch": int,
    "evaluations": int,
    "target": float,
    "plateau": int,
    "evaluation_points": int,
}
_HELP = {
    "epochs": "Epochs of a trial.",
    "steps_per_epoch": "Steps of an epoch.",
    "evaluations": "Forward passes of one datapoint that each trial may spend, in place of --steps-per-epoch: as many"
    " steps as they pay for, but at least one.",
    "target": "Value of the metric to reach.",
    "plateau": "Stop a trial after so many epochs without improvement.",
    "looks": "When a trial is judged on held-out data: growing: after its first step, then whenever its cost has grown"
    " by 5 %; epochs: after every epoch.",
    "evaluation_points": "Held-out datapoints of a look.",
    "backend": "What computes.",
}
_WORDS = {"backend": BACKENDS, "looks": get_args(Looks)}
_DEFAULT_WORDS = {"evaluations": "what the steps cost", "target": "each task's own", "plateau": "never"}


def run_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options that say how long trials run, how they are judged and what computes them."""
    for name, text in reversed(list(_HELP.items())):
        default = _DEFAULT_WORDS.get(name) or SweepConfiguration.model_fields[name].default
        function = click.option(
            f"--{name.replace('_', '-')}",
            type=_TYPES.get(name),
            metavar="|".join(_WORDS[name]) if name in _WORDS else None,
            envvar=f"HARNESS_{name.upper()}",
            help=f"{text}  [default: {default}]",
        )(function)
    return function


class _Paths(click.types.StringParamType):
    """A path; several in the environment stand as in PATH."""

    name = "FILE"
    envvar_list_splitter = os.pathsep


def threads_option(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add the option that limits the threads of this process, whatever it computes."""

    def limit(context: click.Context, parameter: click.Parameter, value: int | None) -> None:
        if value is not None:
            from freewalk.kernels.machine.threads import limited_threads

            context.with_resource(limited_threads(value))

    return click.option(
        "--threads",
        type=click.IntRange(min=1),
        metavar="N",
        envvar="HARNESS_THREADS",
        expose_value=False,
        callback=limit,
        help="Threads to compute on, at most; the results are the same on any number.  [default: all]",
    )(function)


def is_on_the_line(name: str) -> bool:
    """Return whether an option was given, not only set in the environment for other commands."""
    return click.get_current_context().get_parameter_source(name) == click.core.ParameterSource.COMMANDLINE


def plugin_option(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add the option that loads plug-ins."""
    return click.option(
        "--plugin",
        "plugins",
        type=_Paths(),
        multiple=True,
        metavar="FILE",
        envvar="HARNESS_PLUGIN",
        help="Python file with tasks or methods of your own; repeatable. See docs/tasks.md, docs/methods.md.",
    )(function)


def without_overridden(given: dict[str, Any]) -> dict[str, Any]:
    """Return the options of the present command less those of the environment that the command line overrides.

    An option overrides its own variable by itself; here one of two that mean the same overrides the other's.
    """
    context = click.get_current_context()
    source = {name: context.get_parameter_source(name) for name, value in given.items() if value is not None}
    environment, line = click.core.ParameterSource.ENVIRONMENT, click.core.ParameterSource.COMMANDLINE
    overridden = {a for a, b in RIVALS.items() if source.get(a) == environment and source.get(b) == line}
    return {name: None if name in overridden else value for name, value in given.items()}
