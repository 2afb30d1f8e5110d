"""`harness bench`."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import click

from freewalk.harness.errors import UsageError

SUITES = ("gpu",)
SECTIONS = ("correctness", "timings", "floor")
EXIT_RED = 3
_DEFAULT_NAME = "bench-gpu"

EPILOG = """\b
The suite gpu first compares the GPU's kernels with the reference and the processor's,
then times a step beside JAX, PyTorch and CuPy where they are installed, and sets the
times against the least that the GPU's instruction rates allow. Its files:
  correctness.csv, timings.csv, floor.csv, gpu.md, environment.json
Every row is written at once: a run that is cut short keeps what it has.

\b
Exit codes: 0 done, 2 wrong usage or no GPU, 3 a check is red, 130 interrupted.
"""


@click.command("bench", epilog=EPILOG)
@click.option("--suite", required=True, metavar="|".join(SUITES), envvar="HARNESS_SUITE", help="What to run.")
@click.option("--out", metavar="DIR", envvar="HARNESS_OUT", help="Folder of the files.  [default: runs/bench-gpu]")
@click.option("--quick", is_flag=True, envvar="HARNESS_QUICK", help="Fewer checks, sizes and rounds.")
@click.option(
    "--only",
    type=click.Choice(SECTIONS),
    metavar="|".join(SECTIONS),
    envvar="HARNESS_ONLY",
    help="One section instead of all three.",
)
@click.option(
    "--time-limit",
    type=float,
    default=540.0,
    show_default=True,
    metavar="SECONDS",
    envvar="HARNESS_TIME_LIMIT",
    help="Begin nothing new after so long; the most telling comes first.",
)
def command(suite: str, out: str | None, quick: bool, only: Any, time_limit: float) -> int:
    """Check the kernels of a device, and time them beside other libraries."""
    if suite not in SUITES:
        raise UsageError(f"--suite {suite}: the only suite so far is gpu; make benchmark times the processor's step")
    if not time_limit > 0:
        raise UsageError(f"--time-limit {time_limit:g}: must be a number of seconds above 0")
    from freewalk.harness.bench.accelerator import Cuda, why_no_gpu
    from freewalk.harness.bench.clock import Deadline

    deadline = Deadline(time_limit)
    if (reason := why_no_gpu()) is not None:
        raise UsageError(f"--suite {suite}: {reason}")
    directory = _directory(out)
    words = [f"harness bench --suite {suite}", "--quick" * quick, f"--only {only}" * (only is not None)]
    limit = "" if math.isclose(time_limit, 540) else f"--time-limit {time_limit:g}"
    return _run(Cuda(), directory, deadline, " ".join(filter(None, [*words, limit])), quick=quick, only=only)


def _directory(out: str | None) -> Path:
    """Return a folder that holds none of the files."""
    from freewalk.harness.bench.suite import FILES

    if out is None:
        numbered = (f"{_DEFAULT_NAME}-{k}" for k in range(2, 10**6))
        return next(path for name in (_DEFAULT_NAME, *numbered) if not (path := Path("runs") / name).exists())
    directory = Path(out)
    if not out or (directory.exists() and not directory.is_dir()):
        raise UsageError(f"--out {out!r} is no folder; name one, or leave --out away for runs/{_DEFAULT_NAME}")
    there = [name for name in FILES if (directory / name).exists()]
    if there:
        raise UsageError(f"--out {out}: {there[0]} is there from another run; name another folder")
    return directory


def _run(accelerator: Any, directory: Path, deadline: Any, words: str, *, quick: bool, only: Any) -> int:
    from freewalk.harness.bench.machine import describe
    from freewalk.harness.bench.peers.table import make_peers
    from freewalk.harness.bench.report import markdown
    from freewalk.harness.bench.suite import Options, run_suite

    peers, missing = make_peers("cuda") if only in (None, "timings") else ({}, {})
    environment = describe(accelerator.facts(), peers, words)
    options = Options(directory, quick=quick, only=only)
    results = run_suite(
        options, accelerator, (peers, missing), deadline, environment, lambda line: click.echo(line, err=True)
    )
    click.echo(markdown(results), nl=False)
    click.echo(f"harness: tables in {directory}", err=True)
    return EXIT_RED if results.is_red else 0
