"""`harness ladder`: from one neuron to digits, until something fails."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import click

from freewalk.harness.base.errors import UsageError, unknown_own
from freewalk.harness.commands.cell_options import set_option
from freewalk.harness.commands.command import Command
from freewalk.harness.commands.options import (
    json_option,
    method_option,
    plugin_option,
    quiet_option,
    seed_option,
    setting_option,
    threads_option,
)
from freewalk.harness.methods.backprop import BACKPROP
from freewalk.harness.plan.single_trial import own_settings

EXIT_FAILED = 3


@click.command("ladder", cls=Command)
@method_option(BACKPROP.name, default=BACKPROP.name, show_default=False)
@seed_option("of the initial weights, the data and the noise.", default=0)
@setting_option("backend")
@plugin_option
@threads_option
@set_option
@quiet_option("no report of each rung as it is tried.")
@json_option()
def command(
    method: str,
    seed: int,
    backend: str,
    plugins: tuple[str, ...],
    settings: tuple[str, ...],
    quiet: bool,
    as_json: bool,
) -> int:
    """Try a method on ever harder things: AND with one neuron, gradients, a hidden layer, XOR, sign, digits.

    The first rung that fails ends the climb and says what to look at next. Exit code 3 if one fails. A method of your
    own climbs with its default parameters, or those of options that are spelled as they are: --rate 0.1.
    """
    from freewalk.harness.engine.choice import backend_for
    from freewalk.harness.ladder.rung import Setting, climb
    from freewalk.harness.ladder.rungs import ladder
    from freewalk.harness.ladder.tasks import checked_values
    from freewalk.harness.methods.registered import METHODS
    from freewalk.harness.plan.plugins import load_plugins
    from freewalk.harness.plan.registry import BuiltInRegistry

    load_plugins(plugins)
    methods = BuiltInRegistry().method_names()
    if method not in methods:
        raise unknown_own("method", method, methods)
    own = own_settings(settings, {})
    if own and METHODS[method].recipes:
        raise UsageError(f"{next(iter(own))}: {method} climbs with settings of its own; leave it out")
    checked_values(own)
    setting = Setting(method, seed, backend_for(backend, method), own)
    rungs = ladder(method)
    results = []
    for result in climb(rungs, setting):
        results.append(result)
        if not quiet:
            click.echo(f"{len(results)}/{len(rungs)} {result.name}: {result.status}", err=True)
    if as_json:
        facts = {"method": method, "seed": seed, "backend": setting.backend.name}
        click.echo(json.dumps({**facts, "rungs": [asdict(result) for result in results]}, indent=2))
    else:
        _print(results, len(rungs))
    return EXIT_FAILED if results[-1].status == "failed" else 0


def _print(results: Sequence[Any], n_rungs: int) -> None:
    from freewalk.harness.terminal.console import make_console, make_table

    table = make_table()
    for title in ("rung", "result", "what", "figures", "seconds"):
        table.add_column(
            title, no_wrap=title in ("rung", "result", "seconds"), justify="right" if title == "seconds" else "left"
        )
    for result in results:
        table.add_row(result.name, result.status, result.what, result.figures, f"{result.seconds:.1f}")
    make_console().print(table, highlight=False, markup=False)
    last = results[-1]
    if last.status == "failed":
        left = n_rungs - len(results)
        untried = f" ({left} not tried)" if left else ""
        click.echo(f"stopped at {last.name}{untried}: {last.advice}")
        return
    skipped = sum(result.status == "skipped" for result in results)
    click.echo(f"climbed: {len(results) - skipped} passed" + (f", {skipped} skipped" if skipped else ""))
