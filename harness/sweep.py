"""A sweep: plan, less what the store has, through the engine into the store, out as tables."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from freewalk.harness.base.checkpoint import Checkpoint, UnusableCheckpoint
from freewalk.harness.base.environment import environment
from freewalk.harness.base.errors import UsageError, refuse_no_time
from freewalk.harness.cluster.choice import chosen_cluster
from freewalk.harness.engine.choice import (
    backend_of,
    engines_for,
    refuse_methods_without_kernels,
    usable_backend,
    where,
)
from freewalk.harness.engine.engine import Engine
from freewalk.harness.engine.estimate import refuse_too_large
from freewalk.harness.methods.problem import resolve_problem
from freewalk.harness.parameters.parameters import Registry, Scalar
from freewalk.harness.plan.arguments import (
    names_and_objects,
    number_of,
    path_of,
    paths_of,
    plain,
    seeds_of,
    specs_and_tables,
)
from freewalk.harness.plan.budget import Budget
from freewalk.harness.plan.configuration import (
    SweepConfiguration,
    resolve,
    sweep_id,
)
from freewalk.harness.plan.inputs import data_rows, inputs, refuse_other_data
from freewalk.harness.plan.joining import Joined, described, join, keep_document
from freewalk.harness.plan.places import by_content, located, named_as_here, stored_names
from freewalk.harness.plan.plan import Plan, Trial, expand
from freewalk.harness.plan.plugins import lent
from freewalk.harness.plan.registry import BuiltInRegistry
from freewalk.harness.plan.targets import warn_of_targets
from freewalk.harness.trial.events import Advanced, Event, Failed, Finished, Saved, Started, Stopped
from freewalk.kernels.backend import Backend
from freewalk.kernels.machine.threads import limited_threads
from freewalk.results.analysis.cells import counted_once
from freewalk.results.files.export import export_tables, write_json
from freewalk.results.schema.environment import ENVIRONMENT_NAME, read_environment
from freewalk.results.schema.records import TrialRecord
from freewalk.results.schema.schema import TableName
from freewalk.results.store.data import configuration_of, has_trials, recorded
from freewalk.results.store.rows import now
from freewalk.results.store.store import Store
from freewalk.tasks.registry import TASKS

if TYPE_CHECKING:
    import pandas as pd

    from freewalk.harness.cluster.connection import Cluster
    from freewalk.harness.cluster.engine import ClusterEngine
    from freewalk.harness.methods.method import OwnMethod
    from freewalk.tasks.task import Task

    AnyEngine: TypeAlias = Engine | ClusterEngine


@dataclass(frozen=True)
class Opened:
    """The folder is ours, and it is known what is left to run; compilation follows."""

    trials: Sequence[Trial]
    """What is left."""
    n_total: int
    """Trials that are asked for, those of earlier runs included."""
    n_reached_before: int
    """Those of earlier runs among them that reached their target."""
    resumed: Mapping[str, int] = field(default_factory=dict)
    """Steps that trials among them have behind them, by trial_id; the others start."""
    notes: Sequence[str] = ()
    """What the user should know of the folder."""


@dataclass
class Sweep:
    """A sweep on one folder: made once, then `run` yields what happens until all trials are done."""

    configuration: SweepConfiguration
    directory: Path
    checkpoint_seconds: float = 60.0
    """Time between two checkpoints of a trial."""
    cluster: Cluster | None = None
    """Dask workers that run the trials; None for this process's threads."""
    plan: Plan = field(init=False)
    whole: tuple[SweepConfiguration, Plan] = field(init=False)
    """Everything that the folder holds, which may be more than is asked for; known once `run` has begun."""
    backend: Backend = field(init=False)
    as_spelled: bool = field(init=False)
    """Whether the folder is of a time when trials were named by the paths of their data, and not by what lies there."""
    tables: Mapping[TableName, pd.DataFrame] = field(init=False, default_factory=dict)
    """trials and summary, once `run` has ended."""
    compile_seconds: float = field(init=False, default=0.0)

    def __post_init__(self) -> None:
        refuse_no_time("--checkpoint", self.checkpoint_seconds)
        registry = BuiltInRegistry()
        self.configuration = _looking_as_begun(self.configuration, self.directory)
        self.as_spelled, self.plan = _planned(self.configuration, self.directory, registry)
        if not self.as_spelled:
            self.configuration = located(self.configuration)
        self.whole = self.configuration, self.plan
        choice = self.configuration.backend
        refuse_methods_without_kernels(choice, self.configuration.methods)
        self.backend = self.cluster.planned_for(choice) if self.cluster else usable_backend(choice, self.plan.cells)
        refuse_too_large(self.plan, self.backend)
        warn_of_targets(self.plan.cells)

    @property
    def sweep_id(self) -> str:
        """The sweep's name, the same wherever its data lie."""
        return sweep_id(self.configuration if self.as_spelled else by_content(self.configuration))

    @property
    def budget(self) -> Budget:
        """How long trials train and how they are judged."""
        return Budget.of(self.configuration)

    def run(self, *, retry_failed: bool = False, fail_fast: bool = False) -> Iterator[Opened | Event]:
        """Run what the store does not have yet; yield what happens; leave the tables in the folder.

        A folder that holds trials of the same settings, other seeds or values of parameters among them, gets those that
        it lacks. A consumer that stops early leaves a store that a later `run` completes.

        Raises
        ------
        StoreError
            If the folder cannot be used.
        UsageError
            If the cluster cannot.
        """
        c = self.configuration
        with ExitStack() as stack:
            if self.cluster is not None and self.cluster.address is not None:
                stack.enter_context(self.cluster)  # a wrong address leaves no folder behind
            rows, noted = data_rows(self.plan), recorded(self.directory)
            read = inputs(c, self.plan)
            refuse_other_data(self.directory, read, rows)
            joined: list[Joined] = []

            def accept(stored: Mapping[str, Any]) -> None:
                plan_again = partial(expand, registry=BuiltInRegistry(), as_spelled=self.as_spelled)
                here = named_as_here(stored, noted, c)
                joined.append(join(self.directory, here, c, self.plan, plan_again, retry_failed=retry_failed))

            store = stack.enter_context(Store.open_or_create(self.directory, described(c), self.sweep_id, accept))
            (found,) = joined
            self.plan, self.whole = found.plan, found.whole
            # may refuse: before anything is added
            notes = (*found.notes, *self._describe(found, store.configuration(), read))
            store.note_data(rows)
            names = stored_names(noted, c)
            records = (self._record(trial, names) for trial in self.plan.trials)
            store.add_pending(records, found.described, afresh=found.other_code)
            left = set(store.unfinished(retry_failed=retry_failed))
            trials = [trial for trial in self.plan.trials if trial.trial_id in left]
            if self.cluster is not None and self.cluster.address is None and trials:
                stack.enter_context(self.cluster)
            checkpoints = self._checkpoints(store, trials)
            resumed = {trial_id: checkpoint.step for trial_id, checkpoint in checkpoints.items()}
            try:
                n_reached = store.count_reached(trial.trial_id for trial in self.plan.trials)
                yield Opened(trials, len(self.plan.trials), n_reached, resumed, notes)
                if trials:
                    self.compile_seconds = 0.0 if self.cluster else self._compile(trials)
                    yield from self._drive(store, trials, checkpoints, fail_fast)
            finally:
                self.tables = export_tables(store, self.directory)

    def _compile(self, trials: Sequence[Trial]) -> float:
        """Compile the kernels and the tasks' data functions, or load them from the cache; return the seconds."""
        start = time.perf_counter()
        for cell in {trial.cell.method: trial.cell for trial in trials}.values():
            resolve_problem(cell.task, cell.method, cell.parameters).warm_up(backend_of(self.backend, cell.method))
        for cell in {trial.cell for trial in trials}:
            TASKS[cell.task].problem(cell.parameters).data()
        return time.perf_counter() - start

    def _drive(
        self, store: Store, trials: Sequence[Trial], checkpoints: Mapping[str, Checkpoint], fail_fast: bool
    ) -> Iterator[Event]:
        """Run the engines, one after another."""
        for engine, own in self._engines(trials):
            failed = False
            for event in self._drive_one(store, engine, own, checkpoints, fail_fast):
                failed = failed or isinstance(event, Failed)
                yield event
            if fail_fast and failed:
                return

    def _engines(self, trials: Sequence[Trial]) -> Iterator[tuple[AnyEngine, Sequence[Trial]]]:
        """Yield engines with what each shall run."""
        options = {"checkpoint_seconds": self.checkpoint_seconds}
        if self.cluster is None:
            yield from engines_for(self.backend, self.budget, self.plan, trials, **options)
        else:
            c = self.configuration
            yield self.cluster.engine(c.backend, self.budget, self.plan.trials, plugins=c.plugins, **options), trials

    def _home(self, method: str) -> Backend:
        """Return what runs the trials of a method."""
        if self.cluster is None:
            return backend_of(self.backend, method)
        return self.cluster.home(self.configuration.backend, method)

    def _checkpoints(self, store: Store, trials: Sequence[Trial]) -> dict[str, Checkpoint]:
        """Return where trials of an earlier run can go on; one whose checkpoint is of no use starts again."""
        found = {}
        methods = {trial.trial_id: trial.cell.method for trial in trials}
        for trial_id, data in store.checkpoints(methods):
            try:
                checkpoint = Checkpoint.from_bytes(data, trial_id)
            except UnusableCheckpoint:
                continue
            if checkpoint.backend == self._home(methods[trial_id]).name:
                found[trial_id] = checkpoint
        return found

    def _drive_one(
        self,
        store: Store,
        engine: AnyEngine,
        trials: Sequence[Trial],
        checkpoints: Mapping[str, Checkpoint],
        fail_fast: bool,
    ) -> Iterator[Event]:
        """Run one engine and store every event before it is passed on."""
        events = engine.run(trials, checkpoints)
        unsettled: set[str] = set()
        try:
            for event in events:
                if not isinstance(event, Advanced):
                    unsettled.add(event.trial.trial_id)
                self._store(store, event, engine)
                if isinstance(event, Finished | Failed | Stopped):
                    unsettled.discard(event.trial.trial_id)
                yield event
                if fail_fast and isinstance(event, Failed):
                    engine.stop()
        finally:
            events.close()
            for event in engine.drain():
                self._store(store, event, engine)
            # an interrupt that came between the end of a trial and its storing took the event with it
            store.mark_interrupted(unsettled)

    def _store(self, store: Store, event: Event, engine: AnyEngine) -> None:
        if isinstance(event, Advanced):
            store.add_points({said.trial.trial_id: said.curve for said in event.standings if said.curve})
            return
        trial_id = event.trial.trial_id
        match event:
            case Started():
                store.mark_running([trial_id])
            case Saved(checkpoint=checkpoint):
                store.save_checkpoint(trial_id, checkpoint.step, checkpoint.to_bytes(trial_id))
            case Finished(result=result):
                # whoever compiled paid for all: the seconds stand in one row and can be added up
                seconds = self.compile_seconds + engine.compile_seconds
                self.compile_seconds = engine.compile_seconds = 0.0
                store.finish(trial_id, {**result.fields, "compile_seconds": seconds}, result.curve)
            case Failed(error=error):
                store.fail(trial_id, error, where(engine.backend))
            case Stopped():
                store.mark_interrupted([trial_id])

    def _record(self, trial: Trial, names: Mapping[tuple[str, str, Scalar | None], Scalar]) -> TrialRecord:
        """Return what the store is told of a trial; `names` are those that the store has for data already."""
        task = TASKS[trial.cell.task]
        target = self.configuration.target
        return TrialRecord(
            trial_id=trial.trial_id,
            task=trial.cell.task,
            method=trial.cell.method,
            seed=trial.seed,
            parameters={
                name: names.get((trial.cell.task, name, value), value)
                for name in self.plan.parameter_names
                for value in [trial.cell.parameters[name]]
            },
            metric_name=task.metric,
            target=task.target if target is None else target,
        )

    def _describe(self, found: Joined, stored: Mapping[str, Any], read: Mapping[str, Any]) -> list[str]:
        """Write down what is run and on what; what an earlier run wrote stays as far as it holds. Return notes."""
        path = self.directory / ENVIRONMENT_NAME
        if not path.exists():
            write_json({**environment(self.backend), **read}, path)
        elif (
            found.new_texts
            and (then := read_environment(self.directory)) is not None
            and then.get("plugins") != read["plugins"]
        ):
            earlier = {"until": now(), "plugins": then.get("plugins")}
            known = then.get("earlier_plugins")
            listed = [*(known if isinstance(known, list) else []), earlier]
            write_json({**then, "plugins": read["plugins"], "earlier_plugins": listed}, path)
        return keep_document(self.directory, stored, found)


def _looking_as_begun(configuration: SweepConfiguration, directory: Path) -> SweepConfiguration:
    """Return the configuration with the looks of the sweep in its folder, where nothing else is asked for.

    Before there was a choice, a trial was looked at after every epoch, and its command did not say so.
    """
    said = configuration_of(directory)
    if said is None or "looks" in said or "looks" in configuration.model_fields_set:
        return configuration
    return configuration.model_copy(update={"looks": "epochs"})


def _planned(configuration: SweepConfiguration, directory: Path, registry: Registry) -> tuple[bool, Plan]:
    """Return the plan, and whether its trials are named by paths as they are spelled, as those of an older store."""
    plan = expand(configuration, registry)
    if by_content(configuration).grid != configuration.grid:
        spelled = expand(configuration, registry, as_spelled=True)
        if has_trials(directory, (trial.trial_id for trial in spelled.trials)):
            return True, spelled
    return False, plan


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


def sweep(
    grid: str | Mapping[str, Any] | Sequence[str | Mapping[str, Any]] = (),
    *,
    task: str | Task | Sequence[str | Task] = (),
    method: str | OwnMethod | Sequence[str | OwnMethod] = (),
    seeds: str | int | Sequence[int | str] | None = None,
    epochs: int | None = None,
    steps_per_epoch: int | None = None,
    evaluations: int | None = None,
    target: float | None = None,
    plateau: int | None = None,
    looks: str | None = None,
    evaluation_points: int | None = None,
    backend: str | None = None,
    plugins: str | Path | Sequence[str | Path] = (),
    out: str | Path | None = None,
    retry_failed: bool = False,
    fail_fast: bool = False,
    checkpoint_seconds: float = 60.0,
    cluster: str | None = None,
    workers: int | None = None,
    threads: int | None = None,
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
    epochs, steps_per_epoch, evaluations, target, plateau, looks, evaluation_points, backend
        As the options of `harness sweep`; None leaves them to a preset or the defaults.
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
    settings = {
        "epochs": epochs,
        "steps_per_epoch": steps_per_epoch,
        "evaluations": evaluations,
        "target": target,
        "plateau": plateau,
        "looks": looks,
        "evaluation_points": evaluation_points,
    }
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
            backend=backend,
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
