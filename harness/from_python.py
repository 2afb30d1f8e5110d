"""`freewalk.sweep`: a sweep from Python, and its tables."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
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
    if own and (out is not None or cluster is not None or workers is not None):
        raise UsageError(
            f"{own[0].name!r} is an object of this process alone; with out, cluster or workers put it into a Python"
            " file, and give plugins=[FILE] and its name"
        )
    every = number_of("checkpoint_seconds", checkpoint_seconds)
    most = number_of("threads", threads, whole=True)
    if most is not None and most < 1:
        raise UsageError(f"threads must be at least 1, got {most}")
    with lent(own), limited_threads(most):
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
