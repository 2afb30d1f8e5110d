"""`harness bench`."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import click

from freewalk.harness.commands.options import threads_option

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


@click.command("bench", epilog=EPILOG)
@click.option("--backend", metavar="NAME", envvar="HARNESS_BACKEND", default="auto", help="Whose step to time.")
@threads_option
@click.option("--json", "as_json", is_flag=True, envvar="HARNESS_JSON", help="Print JSON instead of a table.")
def command(backend: str, as_json: bool) -> None:
    """Time a step of the walk on this machine, beside NumPy's, in half a minute."""
    from threadpoolctl import threadpool_limits

    from freewalk.harness.base.environment import environment
    from freewalk.harness.base.text import counted
    from freewalk.harness.bench import beside_numpy
    from freewalk.harness.commands.gradcheck import chosen_backend
    from freewalk.kernels.machine.threads import usable_threads

    chosen = chosen_backend(backend, "walk")
    facts = environment(chosen)
    rows = []
    if not as_json:
        versions = ", ".join(f"{name} {facts['packages'][name]}" for name in ("freewalk", "numba", "numpy"))
        gpu = f"{chosen.device}; " * (chosen.name == "cuda")
        click.echo(f"{chosen.name}: {gpu}{facts['cpu']['model']}, {counted(facts['threads'], 'thread')}; {versions}")
        headings = ("workload", "freewalk, ms a step", "NumPy, ms a step", "NumPy / freewalk")
        click.echo("\n" + _line(*headings))
    with threadpool_limits(usable_threads(), user_api="blas"):
        for row in beside_numpy(chosen):
            if as_json:
                rows.append(_plain(row))
            else:
                click.echo(_line(row.workload.label, *map(_figure, row[1:])))
    if as_json:
        click.echo(json.dumps({**facts, "device": chosen.device, "workloads": rows}, indent=2))


def _line(first: str, *others: str) -> str:
    return (f"{first:<12}" + "".join(f"{text:<{_COLUMN}}" for text in others)).rstrip()


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
