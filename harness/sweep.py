"""A sweep: plan, less what the store has, through the engine into the store, out as tables."""

from __future__ import annotations

import time
from collections.abc import Hashable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from freewalk.harness.base.checkpoint import Checkpoint, UnusableCheckpoint
from freewalk.harness.base.environment import environment
from freewalk.harness.base.errors import refuse_no_time
from freewalk.harness.engine.choice import (
    backend_of,
    engines_for,
    refuse_without_kernels,
    usable_backend,
    where,
)
from freewalk.harness.engine.engine import Engine
from freewalk.harness.engine.estimate import refuse_too_large
from freewalk.harness.methods.own_networks import is_own
from freewalk.harness.methods.problem import resolve_problem
from freewalk.harness.methods.registered import METHODS
from freewalk.harness.parameters.parameters import Scalar
from freewalk.harness.plan.budget import Budget
from freewalk.harness.plan.configuration import SweepConfiguration, sweep_id
from freewalk.harness.plan.inputs import data_rows, inputs, refuse_other_data
from freewalk.harness.plan.joining import Joined, as_begun, described, join, planned
from freewalk.harness.plan.kept_document import keep_document
from freewalk.harness.plan.places import by_content, located, named_as_here, stored_names
from freewalk.harness.plan.plan import Cell, Plan, Trial, expand
from freewalk.harness.plan.registry import BuiltInRegistry
from freewalk.harness.plan.targets import warn_of_targets
from freewalk.harness.trial.chosen import Batch, Choose, Chosen
from freewalk.harness.trial.events import Advanced, Event, Failed, Finished, Paused, Saved, Started, Stopped
from freewalk.kernels.backend import Backend
from freewalk.results.files.export import export_tables, write_json
from freewalk.results.schema.environment import ENVIRONMENT_NAME, read_environment
from freewalk.results.schema.records import TrialRecord
from freewalk.results.schema.schema import TableName
from freewalk.results.store.data import recorded
from freewalk.results.store.rows import now
from freewalk.results.store.store import Store
from freewalk.tasks.registry import TASKS

if TYPE_CHECKING:
    import pandas as pd

    from freewalk.harness.cluster.connection import Cluster
    from freewalk.harness.cluster.engine import ClusterEngine

    AnyEngine: TypeAlias = Engine | ClusterEngine


Names: TypeAlias = Mapping[tuple[str, str, Scalar | None], Scalar]
"""What the store has for data already, by task, parameter and path."""


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
    choose: Choose | None = None
    """Says which trials run, when and how far; None for all, to their ends."""
    plan: Plan = field(init=False)
    whole: tuple[SweepConfiguration, Plan] = field(init=False)
    """Everything that the folder holds, which may be more than is asked for; known once `run` has begun."""
    backend: Backend = field(init=False)
    _needed: str | None = field(init=False, repr=False)
    """How much memory it takes, where that is much."""
    as_spelled: bool = field(init=False)
    """Whether the folder is of a time when trials were named by the paths of their data, and not by what lies there."""
    tables: Mapping[TableName, pd.DataFrame] = field(init=False, default_factory=dict)
    """trials and summary, once `run` has ended."""
    compile_seconds: float = field(init=False, default=0.0)
    _chosen: Chosen | None = field(init=False, default=None, repr=False)
    """What is known of the trials where somebody chooses, while they run."""
    _begun: set[str] = field(init=False, default_factory=set, repr=False)
    """Trials that the store knows to run, though they may wait for another batch."""

    def __post_init__(self) -> None:
        refuse_no_time("--checkpoint", self.checkpoint_seconds)
        registry = BuiltInRegistry()
        self.configuration = as_begun(self.configuration, self.directory)
        self.as_spelled, self.plan = planned(self.configuration, self.directory, registry)
        if not self.as_spelled:
            self.configuration = located(self.configuration)
        self.whole = self.configuration, self.plan
        choice = self.configuration.backend
        refuse_without_kernels(choice, (cell.learner for cell in self.plan.cells))
        self.backend = self.cluster.planned_for(choice) if self.cluster else usable_backend(choice)
        self._needed = refuse_too_large(self.plan, self.backend)
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
        self._begun.clear()
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
            notes = notes if self._needed is None else (*notes, self._needed)
            store.note_data(rows)
            names = stored_names(noted, c)
            planned = self.plan.trials if self.choose is None else ()  # of those that may be chosen, few will be
            records = (self._record(trial, names) for trial in planned)
            store.add_pending(records, found.described, afresh=found.other_code)
            ended = store.ended(retry_failed=retry_failed)
            trials = [trial for trial in self.plan.trials if trial.trial_id not in ended]
            if self.cluster is not None and self.cluster.address is None and trials:
                stack.enter_context(self.cluster)
            checkpoints = self._checkpoints(store, trials)
            resumed = {trial_id: checkpoint.step for trial_id, checkpoint in checkpoints.items()}
            try:
                n_reached = store.count_reached(trial.trial_id for trial in self.plan.trials)
                yield Opened(trials, len(self.plan.trials), n_reached, resumed, notes)
                if trials or self.choose is not None:
                    self.compile_seconds = 0.0 if self.cluster else self._compile(trials)
                    if self.choose is None:
                        yield from self._drive(store, Batch(trials), checkpoints, fail_fast)
                    else:
                        yield from self._drive_chosen(store, names, checkpoints, fail_fast, retry_failed)
            finally:
                self.tables = export_tables(store, self.directory)

    def _compile(self, trials: Sequence[Trial]) -> float:
        """Compile the kernels and the tasks' data functions, or load them from the cache; return the seconds."""
        start = time.perf_counter()
        cells = dict.fromkeys(trial.cell for trial in trials)
        for cell in {_kernels_of(cell): cell for cell in cells}.values():
            home = backend_of(self.backend, *cell.learner)
            resolve_problem(cell.task, cell.method, cell.parameters).warm_up(home)
        own = {(c.task, *(c.parameters[name] for name in TASKS[c.task].parameters)): c for c in cells}
        for cell in own.values():
            TASKS[cell.task].problem(cell.parameters).data()
        return time.perf_counter() - start

    def _drive_chosen(
        self, store: Store, names: Names, checkpoints: Mapping[str, Checkpoint], fail_fast: bool, retry_failed: bool
    ) -> Iterator[Event]:
        """Run those trials that are chosen, batch after batch."""
        assert self.choose is not None
        over = store.ended(retry_failed=retry_failed)
        ended = [trial for trial in self.plan.trials if trial.trial_id in over]
        self._chosen = chosen = Chosen(store, ended, self.budget, self.checkpoint_seconds)
        for trial in self.plan.trials if checkpoints else ():
            if (saved := checkpoints.get(trial.trial_id)) is not None:
                chosen.wait(trial, saved)
        try:
            for batch in self.choose(self.plan.trials, chosen.histories):
                own = replace(batch, trials=chosen.left(batch))
                if not own.trials:
                    continue
                store.add_pending(self._record(trial, names) for trial in own.trials)
                starts = self._checkpoints(store, own.trials) | chosen.unsaved(own.trials)
                for event in self._drive(store, own, starts, fail_fast):
                    yield event
                    if fail_fast and isinstance(event, Failed):
                        return
        finally:
            self._chosen = None
            chosen.save()
            store.mark_interrupted(self._begun)

    def _drive(
        self, store: Store, batch: Batch, checkpoints: Mapping[str, Checkpoint], fail_fast: bool
    ) -> Iterator[Event]:
        """Run the engines, one after another."""
        for engine, own in self._engines(batch.trials):
            failed = False
            for event in self._drive_one(store, engine, replace(batch, trials=own), checkpoints, fail_fast):
                failed = failed or isinstance(event, Failed)
                yield event
            if fail_fast and failed:
                return

    def _engines(self, trials: Sequence[Trial]) -> Iterator[tuple[AnyEngine, Sequence[Trial]]]:
        """Yield engines with what each shall run."""
        options = {"checkpoint_seconds": self.checkpoint_seconds}
        if self.cluster is None:
            # what makes a pack hangs on the whole plan only where few trials are not worth one
            plan = self.plan if self.backend.fewest_in_a_pack else replace(self.plan, trials=tuple(trials))
            yield from engines_for(self.backend, self.budget, plan, trials, **options)
        else:
            c = self.configuration
            yield self.cluster.engine(c.backend, self.budget, self.plan.trials, plugins=c.plugins, **options), trials

    def _home(self, cell: Cell) -> Backend:
        """Return what runs the trials of a cell."""
        if self.cluster is None:
            return backend_of(self.backend, *cell.learner)
        return self.cluster.home(self.configuration.backend, *cell.learner)

    def _checkpoints(self, store: Store, trials: Sequence[Trial]) -> dict[str, Checkpoint]:
        """Return where trials of an earlier run can go on; one whose checkpoint is of no use starts again."""
        found = {}
        cells = {trial.trial_id: trial.cell for trial in trials}
        for trial_id, data in store.checkpoints(cells):
            try:
                checkpoint = Checkpoint.from_bytes(data, trial_id)
            except UnusableCheckpoint:
                continue
            if checkpoint.backend == self._home(cells[trial_id]).name:
                found[trial_id] = checkpoint
        return found

    def _drive_one(
        self,
        store: Store,
        engine: AnyEngine,
        batch: Batch,
        checkpoints: Mapping[str, Checkpoint],
        fail_fast: bool,
    ) -> Iterator[Event]:
        """Run one engine and store every event before it is passed on."""
        events = engine.run(batch.trials, checkpoints, batch.pauses)
        unsettled: set[str] = set()
        try:
            for event in events:
                if not isinstance(event, Advanced):
                    unsettled.add(event.trial.trial_id)
                self._store(store, event, engine)
                if isinstance(event, Finished | Paused | Failed | Stopped):
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
        self._write(store, event, engine)
        if self._chosen is not None:
            self._chosen.note(event)

    def _write(self, store: Store, event: Event, engine: AnyEngine) -> None:
        if isinstance(event, Advanced):
            store.add_points({said.trial.trial_id: said.curve for said in event.standings if said.curve})
            return
        trial_id = event.trial.trial_id
        match event:
            case Started():
                if trial_id not in self._begun:
                    self._begun.add(trial_id)
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

    def _record(self, trial: Trial, names: Names) -> TrialRecord:
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


def _kernels_of(cell: Cell) -> Hashable:
    """Return what decides which kernels train a cell; those of a network of one's own are compiled for the task too."""
    task = cell.task if is_own(cell.parameters.get("architecture")) else None
    return METHODS[cell.method].kernels(cell.parameters), task
