"""`freewalk.sweep` and `freewalk.tune`: sweeps and tunings from Python, and their tables."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from freewalk.harness.base.errors import UsageError
from freewalk.harness.cluster.choice import chosen_cluster
from freewalk.harness.plan.arguments import (
    names_and_objects,
    number_of,
    path_of,
    paths_of,
    plain,
    seeds_of,
    specs_and_tables,
    takes_settings,
)
from freewalk.harness.plan.configuration import resolve
from freewalk.harness.plan.plugins import lent
from freewalk.harness.plan.registry import BuiltInRegistry
from freewalk.harness.sweep import Sweep
from freewalk.kernels.machine.threads import limited_threads
from freewalk.results.analysis.cells import counted_once
from freewalk.results.store.store import Store

if TYPE_CHECKING:
    import pandas as pd

    from freewalk.harness.methods.method import OwnMethod
    from freewalk.tasks.task import Task


@dataclass(frozen=True)
class SweepResult:
    """The tables of a sweep; the columns are those of the CSV files."""

    trials: pd.DataFrame
    """One row a trial."""
    curves: pd.DataFrame
    """One row a measurement."""
    summary: pd.DataFrame
    """One row a cell."""
    directory: Path | None
    """Where the store and the CSV files lie; None if they were not kept."""

    @cached_property
    def ranking(self) -> pd.DataFrame:
        """One row a cell, best first in each task, with what its differences from the first are worth."""
        from freewalk.results.analysis.ranking import ranking  # loads scipy.stats, which running a sweep does without

        return ranking(counted_once(self.trials))

    @cached_property
    def methods(self) -> pd.DataFrame:
        """One row a method, best first in each task: best cell against best cell, with the ratio of their costs."""
        from freewalk.results.analysis.methods import best_of_methods

        return best_of_methods(counted_once(self.trials), self.ranking)


@takes_settings
def sweep(
    grid: str | Mapping[str, Any] | Sequence[str | Mapping[str, Any]] = (),
    *,
    task: str | Task | Sequence[str | Task] = (),
    method: str | OwnMethod | Sequence[str | OwnMethod] = (),
    seeds: str | int | Sequence[int | str] | None = None,
    plugins: str | Path | Sequence[str | Path] = (),
    out: str | Path | None = None,
    retry_failed: bool = False,
    fail_fast: bool = False,
    checkpoint_seconds: float = 60.0,
    cluster: str | None = None,
    workers: int | None = None,
    threads: int | None = None,
    **settings: Any,
) -> SweepResult:
    """Run a sweep and return its tables; what `harness sweep` does, from Python.

    Parameters
    ----------
    grid
        What `--grid` takes, one or several; or a mapping from parameters to a value or a list of values; or several of
        these, whose union is the sweep.
    task, method
        One name or several. Without `out`, `cluster` and `workers`, also a `Task` or an `OwnMethod`: an object is known
        to this process alone, and nothing could tell later whether it is still the same.
    seeds
        A range such as "0:5", or the seeds.
    plugins
        Python files with tasks and methods of one's own.
    out
        Folder for the store and the tables; the same call again resumes, one with more seeds or values adds to it, and
        the tables are the folder's. None keeps nothing on disk.
    retry_failed
        Run failed trials of an earlier call again, also with a plug-in that has been mended.
    fail_fast
        Stop at the first failed trial.
    checkpoint_seconds
        Time between two checkpoints of a trial; the same call again goes on from the last.
    cluster, workers
        Run the trials on Dask workers: those of the scheduler at an address, or so many processes of this machine;
        None runs them on this process's threads.
    threads
        Threads of this process, at most; None for all. The results do not depend on it.
    **settings
        As the options of `harness sweep`; None leaves them to a preset or the defaults.

    Returns
    -------
    SweepResult
        With `.trials`, `.curves` and `.summary` as pandas DataFrames.

    Raises
    ------
    UsageError
        If anything given is wrong.
    StoreError
        If the folder cannot be used.
    """
    specs, tables = specs_and_tables(grid)
    (tasks, own_tasks), (methods, own_methods) = names_and_objects("task", task), names_and_objects("method", method)
    own = (*own_tasks, *own_methods)
    _refuse_shared(own, out, cluster, workers)
    every = number_of("checkpoint_seconds", checkpoint_seconds)
    with lent(own), limited_threads(_threads(threads)):
        configuration = resolve(
            specs,
            tables=tables,
            registry=BuiltInRegistry(),
            tasks=tasks,
            methods=methods,
            seeds=seeds_of(seeds),
            plugins=paths_of(plugins),
            **{name: plain(value) for name, value in settings.items()},
        )
        on = chosen_cluster(cluster, number_of("workers", workers, whole=True))
        if out is not None:
            return _run_all(Sweep(configuration, path_of("out", out), every, on), retry_failed, fail_fast, keep=True)
        with tempfile.TemporaryDirectory(prefix="freewalk-") as folder:
            return _run_all(Sweep(configuration, Path(folder), every, on), retry_failed, fail_fast, keep=False)


def _run_all(sweep: Sweep, retry_failed: bool, fail_fast: bool, *, keep: bool) -> SweepResult:
    for _ in sweep.run(retry_failed=retry_failed, fail_fast=fail_fast):
        pass
    with Store.open(sweep.directory, read_only=True) as store:
        curves = store.curves()
    return SweepResult(sweep.tables["trials"], curves, sweep.tables["summary"], sweep.directory if keep else None)


def _refuse_shared(own: Sequence[Task | OwnMethod], out: object, cluster: object, workers: object) -> None:
    """Refuse objects of this process where another one, or a later one, has to know them."""
    if own and (out is not None or cluster is not None or workers is not None):
        raise UsageError(
            f"{own[0].name!r} is an object of this process alone; with out, cluster or workers put it into a Python"
            " file, and give plugins=[FILE] and its name"
        )


def _threads(threads: Any) -> int | None:
    most: int | None = number_of("threads", threads, whole=True)
    if most is not None and most < 1:
        raise UsageError(f"threads must be at least 1, got {most}")
    return most


@dataclass(frozen=True)
class TuningResult:
    """What a tuning found; the columns are those of the CSV files."""

    tuned: pd.DataFrame
    """One row a task and method, the cheapest first: its best settings, what finding them cost, what they are worth."""
    rounds: pd.DataFrame
    """One row a round of a race."""
    trials: pd.DataFrame
    """Those of winners and defaults on fresh seeds."""
    grid: str
    """The winners as TOML, which `harness sweep --grid` takes as a file."""
    directory: Path | None
    """Where everything lies; None if it was not kept."""


@takes_settings
def tune(
    grid: str | Mapping[str, Any] | Sequence[str | Mapping[str, Any]] = (),
    *,
    task: str | Task | Sequence[str | Task] = (),
    method: str | OwnMethod | Sequence[str | OwnMethod] = (),
    seeds: str | int | Sequence[int | str] = "0:20",
    race_seeds: str | int | Sequence[int | str] = "1000:1060",
    n_settings: int = 64,
    budget: int | None = None,
    extend: bool = False,
    plugins: str | Path | Sequence[str | Path] = (),
    out: str | Path | None = None,
    retry_failed: bool = False,
    checkpoint_seconds: float = 60.0,
    cluster: str | None = None,
    workers: int | None = None,
    threads: int | None = None,
    **settings: Any,
) -> TuningResult:
    """Find the best settings of methods, each for the same price; what `harness tune` does, from Python.

    Parameters
    ----------
    grid
        What races: as for `sweep`, and ranges such as "log(0.01,1)" or a `freewalk.methods.Range`, of which settings
        are drawn. Where nothing has several values, it is the methods' own spaces.
    task, method
        As for `sweep`; without a method all are tuned.
    seeds
        Fresh ones, on which winners and defaults are compared.
    race_seeds
        Those that the winners are picked by.
    n_settings
        How many are drawn, for each task and method.
    budget
        Evaluations that each race may spend; None: a hundred times what a trial may.
    extend
        Where a winner lies at an edge of what was searched, search past it.
    plugins, out, retry_failed, checkpoint_seconds, cluster, workers, threads
        As for `sweep`.
    **settings
        As the options of `harness tune`; None leaves them to a preset or the defaults.

    Returns
    -------
    TuningResult
        With `.tuned`, `.rounds` and `.trials` as pandas DataFrames.

    Raises
    ------
    UsageError
        If anything given is wrong.
    StoreError
        If the folder cannot be used.
    """
    from freewalk.harness.tuning.files import paths_in, write_files
    from freewalk.harness.tuning.tune import FRESH, Asked, Tuning
    from freewalk.results.analysis.tuning import rounds_table

    specs, tables = specs_and_tables(grid)
    (tasks, own_tasks), (methods, own_methods) = names_and_objects("task", task), names_and_objects("method", method)
    own = (*own_tasks, *own_methods)
    _refuse_shared(own, out, cluster, workers)
    if settings.get("steps_per_epoch") is not None:
        raise UsageError("steps_per_epoch: methods are given the same evaluations; give evaluations")
    with lent(own), limited_threads(_threads(threads)), tempfile.TemporaryDirectory(prefix="freewalk-") as folder:
        asked = Asked(
            specs,
            tasks,
            methods,
            paths_of(plugins),
            {name: plain(value) for name, value in settings.items()},
            seeds_of(seeds),
            seeds_of(race_seeds),
            number_of("n_settings", n_settings, whole=True),
            number_of("budget", budget, whole=True),
            extend,
            tables,
        )
        tuning = Tuning(
            asked,
            Path(folder) if out is None else path_of("out", out),
            number_of("checkpoint_seconds", checkpoint_seconds),
            partial(chosen_cluster, cluster, number_of("workers", workers, whole=True)),
        )
        if out is not None:
            paths_in(tuning.directory, tuning.identity)
        for _ in tuning.run(retry_failed=retry_failed):
            pass
        if out is not None:
            write_files(tuning, command="freewalk.tune(...)")
        kept = None if out is None else tuning.directory
        rounds = rounds_table(tuning.rounds())
        return TuningResult(tuning.tuned, rounds, tuning.tables[FRESH], tuning.document(), kept)
