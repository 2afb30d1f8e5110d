"""Options that several commands share; their defaults are those of the configuration."""

from __future__ import annotations

import os
import shlex
from collections.abc import Callable, Iterable
from typing import Any

import click

from freewalk.harness.base.errors import UsageError
from freewalk.harness.base.tracebacks import want_tracebacks
from freewalk.harness.commands.kinds import Files, Folder, Name, Seed, Seeds, Setting, Spec
from freewalk.harness.methods.registered import METHODS
from freewalk.harness.plan.settings import RunSettings, about

AT_LEAST_ONE = click.IntRange(min=1)


def _task_names() -> Iterable[str]:
    from freewalk.tasks.registry import TASKS

    return TASKS


TASK, METHOD = Name(_task_names), Name(lambda: METHODS)

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
            function = _setting(name, defaults.get(name, about(field).none or field.default))(function)
        return function

    return add


def setting_option(name: str, **attributes: Any) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Return the option of one setting of sweeps, for a command that has few of them; it always has a value."""
    default = RunSettings.model_fields[name].default
    return _setting(name, default, default=default, show_default=False, **attributes)


def _setting(name: str, shown: object, **attributes: Any) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    field = RunSettings.model_fields[name]
    spelling, kind = f"--{name.replace('_', '-')}", Setting(field)
    text = f"{field.description}  [default: {shown}]"
    return option(spelling, type=kind, metavar=kind.name, hidden=shown is None, help=text, **attributes)


def out_option(text: str, **attributes: Any) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Return the option that says where files go."""
    return option("--out", type=Folder(), metavar="DIR", help=f"Folder of the files: {text}", **attributes)


def json_option(text: str = "instead of a table.") -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Return the option that prints for programs."""
    return option("--json", "as_json", is_flag=True, help=f"Print JSON: {text}")


def quiet_option(text: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Return the option that keeps a command quiet."""
    return option("--quiet", is_flag=True, help=f"Print less: {text}")


def grid_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options that say what a grid varies."""
    for add in (
        option("--method", "methods", type=METHOD, multiple=True, metavar="NAME", help="Method: repeatable."),
        option("--task", "tasks", type=TASK, multiple=True, metavar="NAME", help="Task: repeatable."),
        option(
            "--grid",
            type=Spec(),
            multiple=True,
            metavar="SPEC",
            help="What to vary: see below; repeatable. --stddev 0.01,0.1 is --grid stddev=0.01,0.1, and so with all.",
        ),
    ):
        function = add(function)
    return function


def threads_option(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add the option that limits the threads of this process, whatever it computes."""

    def limit(context: click.Context, parameter: click.Parameter, value: int | None) -> None:
        if value is not None:
            from threadpoolctl import threadpool_limits

            from freewalk.kernels.machine.threads import limited_threads

            context.with_resource(limited_threads(value))
            context.with_resource(threadpool_limits(value, user_api="blas"))

    return option(
        "--threads",
        type=AT_LEAST_ONE,
        metavar="N",
        expose_value=False,
        callback=limit,
        help="Threads to compute on, at most; the results are the same on any number.  [default: all]",
    )(function)


def seeds_option(flag: str, text: str, **attributes: Any) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Return an option of several seeds."""
    return option(flag, type=Seeds(), metavar="SEEDS", help=text, **attributes)


def seed_option(text: str, **attributes: Any) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Return the option of one seed."""
    return option("--seed", type=Seed(), metavar="SEED", help=f"Seed: {text}", **attributes)


def task_option(text: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Return the option of one task."""
    return option("--task", type=TASK, metavar="NAME", help=f"Task: {text}")


def method_option(shown: str, **attributes: Any) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Return the option of one method."""
    text = f"Method: see harness methods.  [default: {shown}]"
    return option("--method", type=METHOD, metavar="NAME", help=text, **attributes)


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
            type=AT_LEAST_ONE,
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
    """Add the option that loads plug-ins, and the one that shows where their errors come from."""

    def want(context: click.Context, parameter: click.Parameter, value: bool) -> None:
        if not context.resilient_parsing:
            want_tracebacks(value)

    for add in (
        option(
            "--traceback",
            is_flag=True,
            expose_value=False,
            callback=want,
            help="Show Python's whole traceback of an error beside its one line.",
        ),
        option(
            "--plugin",
            "plugins",
            type=Files(),
            multiple=True,
            metavar="FILE",
            help="Python file with tasks or methods of your own; repeatable. See docs/tasks.md, docs/methods.md.",
        ),
    ):
        function = add(function)
    return function


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
