"""`freewalk.tune`: tunings from Python."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from freewalk.harness.base.errors import UsageError
from freewalk.harness.cluster.choice import chosen_cluster
from freewalk.harness.from_python.asking import asked_objects, threads_of
from freewalk.harness.from_python.tuning_result import COMMAND, TuningResult
from freewalk.harness.from_python.watching import place_of_progress, watch_tuning
from freewalk.harness.plan.arguments import (
    number_of,
    path_of,
    paths_of,
    plain,
    seeds_of,
    specs_and_tables,
    takes_settings,
)
from freewalk.kernels.machine.threads import limited_threads

if TYPE_CHECKING:
    from freewalk.harness.methods.method import OwnMethod
    from freewalk.tasks.task import Task


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
    progress: bool | None = None,
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
    plugins, out, retry_failed, checkpoint_seconds, cluster, workers, threads, progress
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

    place = place_of_progress(progress)
    if settings.get("steps_per_epoch") is not None:
        raise UsageError("steps_per_epoch: methods are given the same evaluations; give evaluations")
    shared = cluster is not None or workers is not None
    objects = asked_objects(task, method, grid, kept=out is not None, shared=shared)
    with (
        objects as own,
        limited_threads(threads_of(threads)),
        tempfile.TemporaryDirectory(prefix="freewalk-") as folder,
    ):
        specs, tables = specs_and_tables(grid)
        asked = Asked(
            specs,
            own.tasks,
            own.methods,
            (*paths_of(plugins), *own.plugins),
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
        watch_tuning(tuning, place, kept=out is not None, retry_failed=retry_failed)
        if out is not None:
            write_files(tuning, command=COMMAND)
        rounds = tuning.rounds()
        return TuningResult(
            tuning.tuned,
            rounds_table(rounds),
            tuning.tables[FRESH],
            tuning.document(),
            None if out is None else tuning.directory,
            tuning.identity,
            tuning.facts,
            rounds,
        )
