"""`harness bench`."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from freewalk.harness.base.errors import UsageError, refuse_no_time, unknown

SUITES = ("cpu", "quick", "gpu")
SECTIONS = {
    "cpu": ("peaks", "timings", "target", "memory"),
    "quick": ("peaks", "timings", "target", "memory"),
    "gpu": ("correctness", "timings", "floor"),
}
TIME_LIMITS = {"cpu": 870.0, "quick": 100.0, "gpu": 540.0}
EXIT_REGRESSION = 1
EXIT_RED = 3

EPILOG = """\b
The suite cpu times a step of every kernel beside NumPy, JAX, PyTorch, evosax and
TensorFlow where they are installed (extra peers), each checked first
and in a process of its own, in interleaved rounds; then memory, time to a held-out
loss, and what the processor can do at most. quick: its first table in half a minute.
  samples.csv, timings.csv, target.csv, memory.csv, peaks.csv, figures.csv,
  cpu.md, roofline.svg, environment.json

\b
The suite gpu first compares the GPU's kernels with the reference and the processor's,
then times a step beside JAX, PyTorch and CuPy where they are installed, and sets the
times against the least that the GPU's instruction rates allow. Its files:
  correctness.csv, timings.csv, floor.csv, gpu.md, environment.json

\b
Every row is written at once: a run that is cut short keeps what it has.
Exit codes: 0 done, 1 slower than the run of --compare, 2 wrong usage or no GPU,
3 a check is red or --check misses a figure, 130 interrupted.
"""


@click.command("bench", epilog=EPILOG)
@click.option(
    "--suite",
    default="cpu",
    show_default=True,
    metavar="|".join(SUITES),
    envvar="HARNESS_SUITE",
    help="What to run.",
)
@click.option(
    "--out", metavar="DIR", envvar="HARNESS_OUT", help="Folder of the files.  [default: runs/bench-cpu or -gpu]"
)
@click.option("--quick", is_flag=True, envvar="HARNESS_QUICK", help="Fewer checks, sizes and rounds.")
@click.option("--only", metavar="SECTION", envvar="HARNESS_ONLY", help="One section instead of all; see below.")
@click.option(
    "--time-limit",
    type=float,
    metavar="SECONDS",
    envvar="HARNESS_TIME_LIMIT",
    help="Begin nothing new after so long; the most telling comes first.  [default: cpu 870, quick 100, gpu 540]",
)
@click.option(
    "--compare",
    "old",
    metavar="DIR",
    envvar="HARNESS_COMPARE",
    help="Say what became slower, for sure and by a tenth, than in an earlier run of the suite cpu.",
)
@click.option(
    "--raw-run",
    metavar="DIR",
    envvar="HARNESS_RAW_RUN",
    help="A sweep that counted the original rule's steps to the target.  [default: docs/benchmarks/raw-rule.csv]",
)
@click.option("--check", is_flag=True, envvar="HARNESS_CHECK", help="Exit with 3 if a figure of the suite is missed.")
def command(
    suite: str,
    out: str | None,
    quick: bool,
    only: str | None,
    time_limit: float | None,
    old: str | None,
    raw_run: str | None,
    check: bool,
) -> int:
    """Time the step beside other libraries; check the kernels of a GPU."""
    if suite not in SUITES:
        raise unknown("suite", suite, SUITES)
    if only is not None and only not in SECTIONS[suite]:
        raise unknown(f"section of the suite {suite}", only, SECTIONS[suite])
    limit = TIME_LIMITS[suite] if time_limit is None else time_limit
    refuse_no_time("--time-limit", limit)
    words = ["harness bench", f"--suite {suite}", "--quick" * quick, f"--only {only}" * (only is not None)]
    words += [f"--time-limit {limit:g}" * (not math.isclose(limit, TIME_LIMITS[suite]))]
    if suite == "gpu":
        if old is not None or raw_run is not None or check:
            raise UsageError("--compare, --raw-run and --check are for the suite cpu")
        return _run_gpu(out, limit, " ".join(filter(None, words)), quick=quick, only=only)
    words += [f"--compare {old}" * (old is not None), f"--raw-run {raw_run}" * (raw_run is not None)]
    words += ["--check" * check]
    text = " ".join(filter(None, words))
    return _run_cpu(out, limit, text, quick=quick or suite == "quick", only=only, old=old, raw_run=raw_run, check=check)


def _directory(out: str | None, default: str, files: Sequence[str]) -> Path:
    """Return a folder that holds none of the files."""
    if out is None:
        numbered = (f"{default}-{k}" for k in range(2, 10**6))
        return next(path for name in (default, *numbered) if not (path := Path("runs") / name).exists())
    directory = Path(out)
    if not out or (directory.exists() and not directory.is_dir()):
        raise UsageError(f"--out {out!r} is no folder; name one, or leave --out away for runs/{default}")
    there = [name for name in files if (directory / name).exists()]
    if there:
        raise UsageError(f"--out {out}: {there[0]} is there from another run; name another folder")
    return directory


def _say(line: str) -> None:
    click.echo(line, err=True)


def _run_gpu(out: str | None, limit: float, words: str, *, quick: bool, only: Any) -> int:
    from freewalk.harness.bench.accelerator import Cuda, why_no_gpu
    from freewalk.harness.bench.clock import Deadline
    from freewalk.harness.bench.machine import describe
    from freewalk.harness.bench.peers.table import make_peers
    from freewalk.harness.bench.report import markdown
    from freewalk.harness.bench.suite import FILES, Options, run_suite

    deadline = Deadline(limit)
    if (reason := why_no_gpu()) is not None:
        raise UsageError(f"--suite gpu: {reason}")
    directory = _directory(out, "bench-gpu", FILES)
    accelerator = Cuda()
    peers, missing = make_peers("cuda") if only in (None, "timings") else ({}, {})
    environment = describe(accelerator.facts(), peers, words)
    options = Options(directory, quick=quick, only=only)
    results = run_suite(options, accelerator, (peers, missing), deadline, environment, _say)
    click.echo(markdown(results), nl=False)
    _say(f"harness: tables in {directory}")
    return EXIT_RED if results.is_red else 0


def _run_cpu(
    out: str | None,
    limit: float,
    words: str,
    *,
    quick: bool,
    only: str | None,
    old: str | None,
    raw_run: str | None,
    check: bool,
) -> int:
    from freewalk.harness.bench.clock import Deadline
    from freewalk.harness.bench.cpu import compare, plan
    from freewalk.harness.bench.cpu.page import markdown
    from freewalk.harness.bench.cpu.raw_rule import read_raw_run
    from freewalk.harness.bench.cpu.suite import FILES, Options, run_suite
    from freewalk.kernels.machine.threads import processor_name

    deadline = Deadline(limit)
    before = None if old is None else compare.read_samples(Path(old))
    if old is not None:
        compare.check_same_processor(Path(old), processor_name())
    extent = plan.quick() if quick else plan.full()
    raw = read_raw_run(raw_run)
    directory = _directory(out, "bench-cpu", FILES)
    results = run_suite(Options(directory, extent, words, only, raw), deadline, _say)
    click.echo(markdown(results), nl=False)
    slower = False
    if before is not None:
        rows = compare.compare(before, compare.read_samples(directory))
        click.echo("\n" + compare.markdown(rows, str(old)), nl=False)
        slower = any(row.is_regression for row in rows)
    _say(f"harness: tables in {directory}")
    if results.is_red or (check and results.missed):
        return EXIT_RED
    return EXIT_REGRESSION if slower else 0
