"""Options that several commands share; their defaults are those of the configuration."""

from __future__ import annotations

import os
import shlex
from collections.abc import Callable
from typing import Any

import click

from freewalk.harness.base.errors import UsageError
from freewalk.harness.parameters.parameters import base_type
from freewalk.harness.plan.settings import RIVALS, RunSettings, about, words_of

_NO_MATTER = ("out", "quiet", "as_json", "workers", "cluster_address", "checkpoint_seconds", "retry_failed")
"""Options that say what is printed, where files lie, and what computes."""


def option(flag: str, *name: str, **attributes: Any) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Return click's option, which shows its default and has a variable too: HARNESS_DRY_RUN for ``--dry-run``."""
    attributes.setdefault("show_default", "default" in attributes)
    return click.option(flag, *name, envvar=f"HARNESS_{flag[2:].replace('-', '_').upper()}", **attributes)


def run_options(**defaults: object) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Return what adds the options that say how long trials run, how they are measured and what computes them.

    Parameters
    ----------
    defaults
        Of a command that has its own, by option; None is an option that the command refuses, and does not show.
    """

    def add(function: Callable[..., Any]) -> Callable[..., Any]:
        for name, field in reversed(RunSettings.model_fields.items()):
            words = words_of(field)
            default = defaults.get(name, about(field).none or field.default)
            function = option(
                f"--{name.replace('_', '-')}",
                type=None if words else base_type(field),
                metavar="|".join(words) or None,
                hidden=default is None,
                help=f"{field.description}  [default: {default}]",
            )(function)
        return function

    return add


class _Spec(click.types.StringParamType):
    """Text; several in HARNESS_GRID have semicolons between, since a SPEC may hold blanks."""

    name = "SPEC"
    envvar_list_splitter = ";"


def grid_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options that say what a grid varies."""
    for add in (
        option("--method", "methods", multiple=True, metavar="NAME", help="Method; repeatable."),
        option("--task", "tasks", multiple=True, metavar="NAME", help="Task; repeatable."),
        option("--grid", type=_Spec(), multiple=True, metavar="SPEC", help="What to vary; see below."),
    ):
        function = add(function)
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

    return option(
        "--threads",
        type=click.IntRange(min=1),
        metavar="N",
        expose_value=False,
        callback=limit,
        help="Threads to compute on, at most; the results are the same on any number.  [default: all]",
    )(function)


def _not_alone(context: click.Context, parameter: click.Parameter, value: str | None) -> str | None:
    from freewalk.harness.parameters.seeds import refuse_lone_number

    refuse_lone_number(value, max(parameter.opts, key=len))
    return value


def seeds_option(flag: str, **attributes: Any) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Return an option of seeds, which refuses a lone number: nobody could tell whether it is a seed or how many."""
    return option(flag, metavar="SEEDS", callback=_not_alone, **attributes)


def place_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options that say where trials run, how often they are saved, and which failed ones run again."""
    for add in (
        option("--retry-failed", is_flag=True, help="Run failed trials again, also with a mended plug-in."),
        option(
            "--cluster",
            "cluster_address",
            metavar="ADDRESS",
            help="Run on the workers of this Dask scheduler, such as tcp://host:8786; see docs/cluster.md.",
        ),
        option(
            "--workers",
            type=click.IntRange(min=1),
            metavar="N",
            help="Run on so many processes of this machine, with Dask.  [default: threads]",
        ),
        option(
            "--checkpoint",
            "checkpoint_seconds",
            type=float,
            default=60.0,
            metavar="SECONDS",
            help="Time between two checkpoints of a long trial; the same command again goes on from the last.",
        ),
    ):
        function = add(function)
    return function


def refuse_idle_threads(workers: int | None, cluster_address: str | None) -> None:
    """Raise UsageError if --threads was given beside what computes on threads of its own."""
    if (workers is not None or cluster_address is not None) and is_on_the_line("threads"):
        raise UsageError("--threads has no effect with --workers or --cluster, whose processes compute on one each")


def say(text: str) -> None:
    """Tell people something, beside what a command prints."""
    click.echo(f"harness: {text}", err=True)


def open_in_browser(address: str) -> None:
    """Open an address in a browser; where there is none, or no screen for it, say what the address is."""
    import sys
    import webbrowser

    has_screen = sys.platform != "linux" or any(map(os.environ.get, ("DISPLAY", "WAYLAND_DISPLAY", "BROWSER")))
    try:
        opened = has_screen and webbrowser.open(address)
    except (webbrowser.Error, OSError):
        opened = False
    if not opened:
        say(f"no browser could be opened here; the page is {address}")


def is_on_the_line(name: str) -> bool:
    """Return whether an option was given, not only set in the environment for other commands."""
    return click.get_current_context().get_parameter_source(name) == click.core.ParameterSource.COMMANDLINE


def plugin_option(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add the option that loads plug-ins."""
    return option(
        "--plugin",
        "plugins",
        type=_Paths(),
        multiple=True,
        metavar="FILE",
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


def same_again() -> str:
    """Return the present command as it does the same, whatever it prints, wherever it writes and computes."""
    context = click.get_current_context()
    words = ["harness", context.info_name or ""]
    for one in context.command.params:
        name = one.name or ""
        value, source = context.params.get(name), context.get_parameter_source(name)
        if source != click.core.ParameterSource.DEFAULT and name in context.params and name not in _NO_MATTER:
            for item in value if isinstance(value, tuple) else (value,):
                words += [max(one.opts, key=len), *([] if item is True else [str(item)])]
    return shlex.join(words)
