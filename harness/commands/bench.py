"""`harness bench`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from freewalk.harness.commands.command import Command
from freewalk.harness.commands.options import json_option, setting_option, threads_option

if TYPE_CHECKING:
    from freewalk.harness.bench import Beside

_COLUMN = 30

EPILOG = """\b
The step is the original program's: 3 inputs, 30 hidden neurons, 2 outputs, 4 timesteps,
1,000 datapoints, a Gaussian perturbation of all weights for each; then the same with
254 hidden neurons, and with 100 timesteps. Medians over rounds that visit both in turn,
quartiles in brackets; compilation is not counted.

\b
The comparisons with other libraries are in the source: pytest benchmarks --benchmark-only
"""


@click.command("bench", cls=Command, epilog=EPILOG)
@setting_option("backend")
@threads_option
@json_option()
def command(backend: str, as_json: bool) -> None:
    """Time a step of the walk on this machine, beside NumPy's, in about a minute."""
    from freewalk.harness.base.environment import environment
    from freewalk.harness.base.text import counted
    from freewalk.harness.bench import WORKLOADS, beside_numpy
    from freewalk.harness.engine.choice import backend_for
    from freewalk.harness.methods.registered import DEFAULT_METHOD
    from freewalk.harness.terminal.console import print_json

    chosen = backend_for(backend, DEFAULT_METHOD)
    facts, rows = environment(chosen), beside_numpy(chosen, WORKLOADS)
    if as_json:
        print_json({**facts, "device": chosen.device, "workloads": [_plain(row) for row in rows]})
        return
    gpu = f"{chosen.device}; " * (chosen.name == "cuda")
    versions = ", ".join(f"{name} {facts['packages'][name]}" for name in ("freewalk", "numba", "numpy"))
    click.echo(f"{chosen.name}: {gpu}{facts['cpu']['model']}, {counted(facts['threads'], 'thread')}; {versions}\n")
    click.echo(_line("workload", "freewalk, ms a step", "NumPy, ms a step", "NumPy / freewalk"))
    for row in rows:
        click.echo(_line(row.workload.label, *map(_figure, row[1:])))


def _line(first: str, *others: str) -> str:
    return (f"{first:<12}  " + "".join(f"{text:<{_COLUMN}}" for text in others)).rstrip()


def _figure(spread: tuple[float, float, float]) -> str:
    from freewalk.harness.base.text import significant

    low, median, high = map(significant, spread)
    return f"{median} ({low} to {high})"


def _plain(row: Beside) -> dict[str, Any]:
    w = row.workload
    sizes = {"hidden": w.hidden, "timesteps": w.timesteps, "batch_size": w.batch_size}
    spreads = {
        name: dict(zip(("lower_quartile", "median", "upper_quartile"), spread, strict=True))
        for name, spread in zip(("milliseconds", "numpy_milliseconds", "ratio"), row[1:], strict=True)
    }
    return {"workload": w.label, **sizes, **spreads}
