"""`freewalk.sweep`, and `freewalk.read_sweep` for what it has left: sweeps from Python."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from freewalk.harness.cluster.choice import chosen_cluster
from freewalk.harness.from_python.asking import asked_objects, threads_of
from freewalk.harness.from_python.sweep_result import SweepResult, result_of
from freewalk.harness.from_python.watching import Place, place_of_progress, watch_sweep
from freewalk.harness.plan.arguments import (
    number_of,
    path_of,
    paths_of,
    plain,
    seeds_of,
    specs_and_tables,
    takes_settings,
)
from freewalk.harness.plan.configuration import resolve
from freewalk.harness.plan.registry import BuiltInRegistry
from freewalk.harness.sweep import Sweep
from freewalk.harness.terminal.reading import reading
from freewalk.kernels.machine.threads import limited_threads

if TYPE_CHECKING:
    from freewalk.harness.methods.method import OwnMethod
    from freewalk.tasks.task import Task


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
    progress: bool | None = None,
    **settings: Any,
) -> SweepResult:
    """Run a sweep and return its tables; what `harness sweep` does, from Python.

    Parameters
    ----------
    grid
        What `--grid` takes, one or several; or a mapping from parameters to a value or a list of values; or several of
        these, whose union is the sweep. A mapping's `architecture` may be an `OwnNetwork` as an object.
    task, method
        One name or several, or a `Task` or an `OwnMethod` as an object. With `out` the folder remembers what an object
        does, by a digest of its code and its numbers; workers of a cluster need it in a file, see `plugins`.
    seeds
        A range such as "0:5", or the seeds.
    plugins
        Python files with tasks and methods of one's own.
    out
        Folder for the store and the tables; the same call again resumes, one with more seeds or values adds to it, and
        the tables are the folder's. None keeps nothing on disk.
    retry_failed
        Run failed trials of an earlier call again, also with a plug-in or an object that has been mended.
    fail_fast
        Stop at the first failed trial.
    checkpoint_seconds
        Time between two checkpoints of a trial; the same call again goes on from the last.
    cluster, workers
        Run the trials on Dask workers: those of the scheduler at an address, or so many processes of this machine;
        None runs them on this process's threads.
    threads
        Threads of this process, at most; None for all. The results do not depend on it.
    progress
        Show how far it is: on a terminal as `harness sweep` does, in a notebook below the cell. None shows it where a
        person looks on, and nothing where output is captured.
    **settings
        As the options of `harness sweep`; None leaves them to a preset or the defaults.

    Returns
    -------
    SweepResult
        With `.trials`, `.curves` and `.summary` as pandas DataFrames, and `.answer` in words.

    Raises
    ------
    UsageError
        If anything given is wrong.
    StoreError
        If the folder cannot be used.
    """
    every = number_of("checkpoint_seconds", checkpoint_seconds)
    place = place_of_progress(progress)
    shared = cluster is not None or workers is not None
    objects = asked_objects(task, method, grid, kept=out is not None, shared=shared)
    with objects as own, limited_threads(threads_of(threads)):
        specs, tables = specs_and_tables(grid)
        configuration = resolve(
            specs,
            tables=tables,
            registry=BuiltInRegistry(),
            tasks=own.tasks,
            methods=own.methods,
            seeds=seeds_of(seeds),
            plugins=(*paths_of(plugins), *own.plugins),
            **{name: plain(value) for name, value in settings.items()},
        )
        on = chosen_cluster(cluster, number_of("workers", workers, whole=True))
        options = {"retry_failed": retry_failed, "fail_fast": fail_fast}
        if out is not None:
            return _run_all(Sweep(configuration, path_of("out", out), every, on), place, options, kept=True)
        with tempfile.TemporaryDirectory(prefix="freewalk-") as folder:
            return _run_all(Sweep(configuration, Path(folder), every, on), place, options, kept=False)


def _run_all(sweep: Sweep, place: Place, options: Mapping[str, bool], *, kept: bool) -> SweepResult:
    watch_sweep(sweep, place, kept=kept, **options)
    return result_of(sweep.directory, kept=kept)


def read_sweep(path: str | Path) -> SweepResult:
    """Return what a sweep has come to so far, from its folder: one that has ended, or that still runs.

    Parameters
    ----------
    path
        A sweep's folder, also one that holds its CSV files only, or a trials.csv, which may have been made by hand.

    Returns
    -------
    SweepResult
        As the folder is now; read it again to see more.

    Raises
    ------
    UsageError
        If there is no sweep, or it cannot be read.
    """
    with reading():
        return result_of(path_of("path", path))
