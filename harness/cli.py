"""The command line, `harness` or `freewalk`: which commands there are, and how errors end.

Commands live in harness/commands/ and are imported when they are called, so that `harness --help` is quick.
"""

from __future__ import annotations

import importlib
import os
import re
import sys
import warnings
from pathlib import Path
from typing import Any, NoReturn

import click

import freewalk
from freewalk.harness.base.errors import UsageError, one_line
from freewalk.harness.base.interrupts import EXIT_INTERRUPTED, end_on_request, leave
from freewalk.harness.base.streams import guard_streams, lost_output
from freewalk.harness.base.tracebacks import are_wanted, traceback_of, want_tracebacks
from freewalk.results.base.errors import UnreadColumns
from freewalk.results.base.names import nearest
from freewalk.results.base.text import printable
from freewalk.tasks.errors import UnreachableTargets

EXIT_USAGE = 2

COMMANDS = {
    "sweep": "Run a grid of trials; record tables and show the best cells.",
    "tune": "Find each method's best settings, for the same price.",
    "report": "Say which settings win: a page with answers, tables and plots.",
    "watch": "Serve a sweep's report to the browser while it runs.",
    "list": "List the sweeps, tunings and reproductions in a folder.",
    "status": "Say how far one of them is, and what to type next.",
    "show": "Print a sweep's tables: chosen rows and columns, or CSV.",
    "compare": "Compare two sweeps cell by cell; check for regressions.",
    "merge": "Unite sweeps, from several machines say, in a new folder.",
    "export": "Write curves as files that IOHanalyzer and COCO's tools read.",
    "train": "Run one trial with a live loss line; save its weights.",
    "evaluate": "Measure saved weights on held-out or your own data.",
    "maximize": "Find the input that makes an output largest.",
    "tasks": "List the tasks: sizes, metric, target, parameters.",
    "methods": "List the methods, or show a method's identity card.",
    "presets": "List the presets: sweeps, and methods of the field.",
    "info": "Show versions, processor, threads and backends.",
    "bench": "Time a step on this machine, beside NumPy's.",
    "estimate": "Measure estimates of a gradient: bias, variance, what they cost.",
    "gradcheck": "Compare gradients with numerical ones; name what is wrong.",
    "ladder": "Try a method from one neuron to digits, until something fails.",
    "reproduce": "Run published results again; say which come out.",
}


class _Commands(click.Group):
    """Imports a command on first use; names the nearest one for a misspelt name."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        module = importlib.import_module(f"freewalk.harness.commands.{cmd_name}")
        command: click.Command = module.command
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args and not args[0].startswith("-") and args[0] not in COMMANDS and not ctx.resilient_parsing:
            raise UsageError(f"no command {args[0]!r}{nearest(args[0], COMMANDS)}; there are: {', '.join(COMMANDS)}")
        name, command, rest = super().resolve_command(ctx, args)
        if name is not None and command is not None and not ctx.resilient_parsing:
            from freewalk.harness.commands.defaults import default_map

            ctx.default_map = {name: default_map(name, command, COMMANDS)}
        return name, command, rest

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except BrokenPipeError as error:
            if error.errno is None:
                raise
            # of no standard stream, which are guarded; click would leave without a word
            raise UsageError(_of_the_system(error)) from error

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))


# No docstring: a \b there is either two characters, which click does not know, or refused by the linter.
HELP = """Benchmark training without backpropagation.

Which stddev, batch size and timesteps make a random walk learn which task?

\b
harness sweep --grid quickstart            a first sweep
harness sweep --task xor --stddev "logspace(-2,0,5)" --update normalised
harness tasks                              what can be learned
harness methods                            what it can be learned by

Every option of a command can be set in the environment, as HARNESS_EPOCHS for --epochs.
"""


def _with_dashes(name: str) -> str:
    """Return an option as it is spelled, however its words are joined."""
    return name.replace("_", "-")


_SETTINGS = {"help_option_names": ["-h", "--help"], "token_normalize_func": _with_dashes}


@click.group(cls=_Commands, help=HELP, context_settings=_SETTINGS)
@click.version_option(freewalk.__version__, prog_name="freewalk")
def harness() -> None:
    """Hold the commands; `HELP` is what users read."""
    threads = os.environ.get("NUMBA_NUM_THREADS", "1").strip()
    if not threads.isdecimal() or int(threads) < 1:  # Numba would end in a traceback, whatever the command
        raise UsageError(f"NUMBA_NUM_THREADS={threads}: give a whole number of at least 1, or unset it")


def main() -> NoReturn:
    """Run the command line and leave the process with its exit code."""
    guard_streams()
    end_on_request()
    if any(name.startswith("_") and name.endswith("_COMPLETE") for name in os.environ):
        from freewalk.harness.commands.completion import prepare

        prepare()
    try:
        code = run(sys.argv[1:])
        if (error := lost_output()) is not None:
            code = code or _complain(f"cannot write to standard output: {error.strerror}; send it elsewhere")
    except KeyboardInterrupt:  # once more, while the first was reported
        code = EXIT_INTERRUPTED
    leave(code)


def run(arguments: list[str]) -> int:
    """Run the command line; return its exit code, with errors, and warnings of ours, as one line each on stderr."""
    with warnings.catch_warnings():
        show = warnings.showwarning

        def show_ours(message: Warning | str, category: type[Warning], *where: Any, **more: Any) -> None:
            if issubclass(category, UnreachableTargets | UnreadColumns):
                click.echo(f"harness: {message}", err=True)
            else:
                show(message, category, *where, **more)

        warnings.showwarning = show_ours
        return _run(arguments)


def _run(arguments: list[str]) -> int:
    want_tracebacks(False)
    try:
        code = harness.main(args=arguments or ["--help"], prog_name=_program(), standalone_mode=False)
        return code if isinstance(code, int) else 0
    except click.ClickException as error:
        return _complain(_one_line(error, arguments))
    except (click.Abort, KeyboardInterrupt) as error:
        if isinstance(error.__cause__, EOFError):  # click takes the end of any file for a Ctrl-D
            raise error.__cause__ from None
        click.echo("harness: interrupted", err=True)
        return EXIT_INTERRUPTED
    except UsageError as error:
        if are_wanted() and (cause := error.__cause__ or error.__context__) is not None:
            click.echo(traceback_of(cause), err=True)
        return _complain(str(error))
    except MemoryError as error:
        return _complain(f"not enough memory ({error or 'no more is given'}); ask for smaller sizes, or fewer at once")
    except OSError as error:
        if error.errno is None or _is_a_plugins(error):
            return _of_a_plugin(error)
        return _complain(_of_the_system(error))
    except Exception as error:
        return _of_a_plugin(error)


def _is_a_plugins(error: Exception) -> bool:
    from freewalk.harness.plan.plugins import comes_from_a_plugin

    return comes_from_a_plugin(error)


def _of_a_plugin(error: Exception) -> int:
    """Say in one line what a line of the user's own has raised; what is no user's doing goes on, with its traceback."""
    if not _is_a_plugins(error):
        raise error
    if are_wanted():
        click.echo(traceback_of(error), err=True)
    return _complain(f"{one_line(error)}; mend that line{'' if are_wanted() else ', or see more with --traceback'}")


def _of_the_system(error: OSError) -> str:
    """Say what is wrong with a file, disk or connection that no line nearer to it has expected to fail."""
    where = f"{error.filename}: " if error.filename else ""
    denied = isinstance(error, PermissionError)
    remedy = "change its permissions or name another" if denied else "mend that, then give the same command again"
    return f"{where}{error.strerror}; {remedy}"


def _program() -> str:
    """Return what this program was called by: `harness`, `freewalk` or `python -m freewalk`."""
    path = Path(sys.argv[0])
    if path.name == "__main__.py" and path.parent.name == "freewalk":
        return "python -m freewalk"
    return "freewalk" if path.stem == "freewalk" else "harness"


def _complain(message: str) -> int:
    line = printable(message).replace("\n", r"\n").replace("\t", r"\t")  # a path may hold anything
    click.echo(f"harness: error: {line}", err=True)
    return EXIT_USAGE


def _one_line(error: click.ClickException, arguments: list[str]) -> str:
    message = " ".join(error.format_message().split())
    message = re.sub(r"(is not a valid \w+) range\b", r"\1", message)  # click's name of a type, not the user's mistake
    command = error.ctx.command_path if isinstance(error, click.UsageError) and error.ctx else _program()
    if isinstance(error, click.NoSuchOption):
        from freewalk.harness.commands.hints import hint

        message = f"no option {error.option_name}{hint(error, arguments)}"
    return f"{message.rstrip('.')}; see {command} --help"
