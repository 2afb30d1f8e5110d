"""A tuning: races for all tasks and methods at once, then their winners and the methods' defaults on fresh seeds."""

from __future__ import annotations

import hashlib
import json
import math
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property, partial
from itertools import groupby
from operator import attrgetter
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

import pandas as pd

from freewalk.harness.base.errors import UsageError
from freewalk.harness.base.text import counted
from freewalk.harness.cluster.connection import Cluster
from freewalk.harness.parameters.parameters import FREE, PARAMETERS, Axes, Scalar
from freewalk.harness.parameters.seeds import read_seeds
from freewalk.harness.plan.configuration import SweepConfiguration, identity, resolve, to_toml
from freewalk.harness.plan.places import by_content
from freewalk.harness.plan.plan import Cell, Plan, Trial, expand
from freewalk.harness.plan.registry import BuiltInRegistry
from freewalk.harness.plan.settings import RACE_EVALUATIONS, Settings
from freewalk.harness.sweep import Opened, Sweep
from freewalk.harness.trial.chosen import Batch, Choose
from freewalk.harness.trial.events import Event, Failed, Finished, Paused
from freewalk.harness.trial.history import History, Observation
from freewalk.harness.tuning.race import Race, Request, Rules
from freewalk.harness.tuning.spaces import Open, opened
from freewalk.kernels.backend import Backend
from freewalk.results.analysis.tuning import RaceFacts, tuned_table
from freewalk.results.schema.schema import State
from freewalk.tasks.registry import TASKS

BUDGET_TRIALS = 100
"""How many times what a trial may spend a race may, where nobody says it."""
RACE, FRESH = "race", "fresh"
"""Folders of the two sweeps."""
_MOST_EXTENSIONS = 3

Problem: TypeAlias = tuple[str, tuple[tuple[str, Scalar], ...]]
"""A task with its own parameters, and the layers of the network: with others it is another problem."""


class Entry(NamedTuple):
    """Who races for what."""

    problem: Problem
    method: str


@dataclass(frozen=True)
class Asked:
    """What is to be tuned, and for how much."""

    grid: Sequence[str]
    tasks: Sequence[str]
    methods: Sequence[str]
    plugins: Sequence[str | Path]
    settings: Mapping[str, Any]
    """Those of `RunSettings`; None for their defaults."""
    seeds: Any
    """Fresh ones, which winners and defaults run with."""
    race_seeds: Any
    n_settings: int
    """How many are drawn of what has a range, for each task and method."""
    budget: int | None
    """Evaluations of a race; None: a hundred times what a trial may spend."""
    extend: bool
    """Whether to search on past the edges of a space on which a winner lies."""
    tables: Sequence[Axes] = ()
    """Grids in place of a preset's or a file's."""


@dataclass
class Tuning:
    """Races and what comes after: made once, then `run` yields what happens, and afterwards there are results.

    Parameters
    ----------
    asked
        What is to be tuned.
    directory
        Folder of both sweeps.
    checkpoint_seconds
        Time between two checkpoints of a trial.
    cluster
        Makes the workers of a sweep; None for this process's threads.

    Raises
    ------
    UsageError
        If what is asked is wrong.
    """

    asked: Asked
    directory: Path
    checkpoint_seconds: float = 60.0
    cluster: Callable[[], Cluster | None] = lambda: None
    opens: list[Open] = field(init=False, default_factory=list)
    """What is searched."""
    configuration: SweepConfiguration = field(init=False)
    """Of the races."""
    fresh_seeds: tuple[int, ...] = field(init=False)
    """Those that winners and defaults run with."""
    backend: Backend | None = field(init=False, default=None)
    """That runs the races, once they are about to."""
    races: dict[Entry, Race] = field(init=False, default_factory=dict)
    cells: dict[Entry, list[Cell]] = field(init=False, default_factory=dict)
    """Those that race, by their numbers."""
    fresh: Sweep | None = field(init=False, default=None)
    """Winners and defaults on fresh seeds, once the races have ended."""
    tables: Mapping[str, pd.DataFrame] = field(init=False, default_factory=dict, repr=False)
    """The `trials` of both sweeps, once all is done."""
    n_chosen: int = field(init=False, default=0)
    """Trials that run now, or wait for a place."""
    n_told: int = field(init=False, default=0)
    """Those of them of which all is known that was asked."""
    _registry: BuiltInRegistry = field(init=False, default_factory=BuiltInRegistry, repr=False)
    _places: list[int] = field(init=False, default_factory=list, repr=False)
    """Of each table of the races, the place of its space in `opens`."""
    _owners: tuple[SweepConfiguration | None, dict[Cell, int]] = field(init=False, default=(None, {}), repr=False)
    """The places for the cells of a configuration."""

    def __post_init__(self) -> None:
        for name, number in (("settings", self.asked.n_settings), ("budget", self.asked.budget)):
            if number is not None and number < 1:
                raise UsageError(f"{name}={number}: give at least 1")
        self.configuration = self._configured()
        self.fresh_seeds = Settings.model_validate({"seeds": read_seeds(self.asked.seeds, "--seeds")}).seeds
        both = sorted({*self.fresh_seeds} & {*self.configuration.seeds})
        if both:
            raise UsageError(
                f"seed {both[0]} is one of --seeds and of --race-seeds: what it helps to pick it cannot judge; give"
                " others"
            )

    def _configured(self) -> SweepConfiguration:
        """Return the configuration of the races, and note what they search."""
        asked = self.asked

        def concrete(tables: Sequence[Axes]) -> Sequence[Axes]:
            self.opens = opened(tables, self._registry)
            return self._tables()

        def resolved(**more: Any) -> SweepConfiguration:
            return resolve(
                asked.grid,
                tables=asked.tables,
                registry=self._registry,
                tasks=asked.tasks,
                methods=asked.methods,
                seeds=asked.race_seeds,
                plugins=asked.plugins,
                concrete=concrete,
                **{**asked.settings, **more},
            )

        found = resolved()
        return found if found.evaluations is not None else resolved(evaluations=RACE_EVALUATIONS)

    def _tables(self) -> list[Axes]:
        """Return all settings: the methods' defaults beside their own spaces, whose settings are shared out."""
        drawn = Counter((one.settled["task"], one.method) for one in self.opens if one.is_drawn)
        tables: list[Axes] = []
        defaults: list[Axes] = []
        self._places = []
        for place, one in enumerate(self.opens):
            n_settings = self.asked.n_settings // max(1, drawn[one.settled["task"], one.method])
            if one.is_own and one.settled not in defaults:
                defaults.append(one.settled)
                tables.append(one.settled)
            tables += one.tables(max(1, n_settings))
            self._places += [place] * (len(tables) - len(self._places))
        return tables

    @cached_property
    def identity(self) -> str:
        """Name what is asked, in 12 hex digits: the same wherever its data lie, and whether it is extended or not."""
        asked = self.asked
        what = [identity(by_content(self.configuration)), self.fresh_seeds, asked.budget, asked.n_settings]
        return hashlib.sha256(json.dumps(what, sort_keys=True).encode()).hexdigest()[:12]

    @property
    def rules(self) -> Rules:
        """Of each race."""
        most = float(self.configuration.evaluations or RACE_EVALUATIONS)
        budget = BUDGET_TRIALS * most if self.asked.budget is None else float(self.asked.budget)
        return Rules(len(self.configuration.seeds), most, budget)

    def entries(self) -> dict[Entry, int]:
        """Return how many settings race for what."""
        return Counter(Entry(self._problem(cell), cell.method) for cell in self._places_of_cells())

    # what runs

    def run(self, *, retry_failed: bool = False) -> Iterator[Opened | Event]:
        """Race, and run the winners and the defaults; yield what happens.

        A consumer that stops early leaves two folders that a later `run` completes to the same end.

        Raises
        ------
        StoreError
            If a folder cannot be used.
        UsageError
            If a cluster cannot.
        """
        for _ in range(1 + _MOST_EXTENSIONS):
            races = self._sweep(self.configuration, RACE, self._choose)
            self.backend = races.backend
            yield from self._counted(races.run(retry_failed=retry_failed))
            if not self.asked.extend or not self._extended():
                break
            self.configuration = self._with(self._tables(), self.configuration.seeds)
        tables = [table for entry in self.races for table in (self.winner_table(entry), self.default_table(entry))]
        fresh = self._with([table for table in tables if table is not None], self.fresh_seeds)
        self.fresh = self._sweep(fresh, FRESH, None)
        yield from self._counted(self.fresh.run(retry_failed=retry_failed))
        self.tables = {RACE: races.tables["trials"], FRESH: self.fresh.tables["trials"]}

    def _counted(self, events: Iterator[Opened | Event]) -> Iterator[Opened | Event]:
        for event in events:
            if isinstance(event, Opened):
                self.n_chosen, self.n_told = len(event.trials), 0
            elif isinstance(event, Finished | Paused | Failed):
                self.n_told += 1
            yield event

    def _sweep(self, configuration: SweepConfiguration, folder: str, choose: Choose | None) -> Sweep:
        where = self.directory / folder
        return Sweep(configuration, where, self.checkpoint_seconds, self.cluster(), choose)

    def _with(self, tables: Sequence[Axes], seeds: Sequence[int]) -> SweepConfiguration:
        values = self.configuration.model_dump(exclude_unset=True)
        return SweepConfiguration.model_validate({**values, "grid": list(tables), "seeds": tuple(seeds)})

    def _choose(self, trials: Sequence[Trial], histories: Mapping[str, History]) -> Iterator[Batch]:
        """Run all races side by side: what each wants next makes a batch."""
        places = {cell: {trial.seed: trial for trial in own} for cell, own in groupby(trials, attrgetter("cell"))}
        seeds = self.configuration.seeds
        self.races, self.cells = {}, {}
        for cell in places:
            self.cells.setdefault(Entry(self._problem(cell), cell.method), []).append(cell)

        def trial_of(entry: Entry, request: Request) -> Trial:
            return places[self.cells[entry][request.cell]][seeds[request.seed]]

        def observe(entry: Entry, request: Request) -> Observation:
            return histories[trial_of(entry, request).trial_id].at(request.cap)

        for entry, cells in self.cells.items():
            self.races[entry] = Race(len(cells), partial(observe, entry), self.rules)
        running = {entry: race.run() for entry, race in self.races.items()}
        while running:
            pauses: dict[str, float] = {}
            chosen = []
            for entry in list(running):
                wanted = next(running[entry], None)
                if wanted is None:
                    del running[entry]
                    continue
                for request in wanted:
                    trial = trial_of(entry, request)
                    known = histories.get(trial.trial_id)
                    if known is None or not known.tells(request.cap):
                        chosen.append(trial)
                        pauses[trial.trial_id] = request.cap
            if chosen:
                self.n_chosen, self.n_told = len(chosen), 0
                yield Batch(chosen, pauses)

    def line(self) -> str:
        """Return how far it is, in one line."""
        now = f"{self.n_told:,} of {counted(self.n_chosen, 'trial')}"
        if self.fresh is not None:
            return f"winners and defaults on fresh seeds: {now}"
        under_way = [(entry, race) for entry, race in self.races.items() if not race.is_over]
        if self.races and not under_way:
            return f"all of {counted(len(self.races), 'race')} over"
        if not under_way:
            return "preparing the kernels; the first time they are compiled, which takes about twenty seconds"
        n_done, n = len(self.races) - len(under_way), len(self.races)
        left, of = (sum(getattr(race, name) for _, race in under_way) for name in ("n_alive", "n_cells"))
        entry = under_way[0][0]
        whose = f" of {entry.method} on {problem_name(entry.problem)}" if len(under_way) == 1 else ""
        return f"{n_done} of {counted(n, 'race')} over; {left:,} of {counted(of, 'setting')}{whose} left; now {now}"

    # what came of it

    @property
    def n_failed(self) -> int:
        """Trials that ended in an error, of both sweeps."""
        return sum(int((table["state"] == State.FAILED).sum()) for table in self.tables.values())

    def winner(self, entry: Entry) -> Cell:
        """Return the cell that won a race."""
        return self.cells[entry][self.races[entry].winner]

    def _open_of(self, cell: Cell) -> Open:
        """Return the space of the first table that makes a cell; of a method's defaults, one beside them."""
        return self.opens[self._places_of_cells()[cell]]

    def _places_of_cells(self) -> dict[Cell, int]:
        """Return the place in `opens` of the space that each cell is of, in the order of the plan."""
        if self._owners[0] is not self.configuration:
            plan = expand(self.configuration, self._registry)
            places = (self._places[table] for table in plan.tables)
            self._owners = self.configuration, dict(zip(plan.cells, places, strict=True))
        return self._owners[1]

    def _problem(self, cell: Cell) -> Problem:
        searched = self._open_of(cell).space
        names = [name for name in PARAMETERS if PARAMETERS[name].group == "task" or name == "architecture"]
        own = ((name, cell.parameters[name]) for name in names if name not in searched)
        return cell.task, tuple((name, value) for name, value in own if value is not None)

    def setting(self, cell: Cell) -> dict[str, Scalar]:
        """Return a cell's values of what is searched for its method."""
        own = self._open_of(cell)
        searched = {key: None for one in self.opens if one.settled == own.settled for key in one.space}
        return {key: value for key in searched if (value := cell.parameters.get(key)) is not None}

    def edges(self, entry: Entry) -> tuple[str, ...]:
        """Return at which edges of what was searched the winner of a race lies."""
        cell = self.winner(entry)
        sides = self._open_of(cell).edges(cell.parameters)
        return tuple(f"{key} at its {side} edge" for key, side in sides.items())

    def _extended(self) -> bool:
        """Widen the spaces on whose edges winners lie; return whether there are any."""
        before = list(self.opens)
        for entry in self.races:
            cell = self.winner(entry)
            place = self._places_of_cells()[cell]
            self.opens[place] = self.opens[place].widened(self.opens[place].edges(cell.parameters))
        return self.opens != before

    def winner_table(self, entry: Entry) -> Axes:
        """Return the winner as a table of a grid."""
        cell = self.winner(entry)
        return self._settled(cell) | {key: (value,) for key, value in self.setting(cell).items()}

    def default_table(self, entry: Entry) -> Axes | None:
        """Return a method's defaults beside what is settled as a table; None where they do not make a trial."""
        table = self._settled(self.cells[entry][0])
        try:
            self._plan([table])
        except UsageError:
            return None
        return table

    def _settled(self, cell: Cell) -> dict[str, tuple[Scalar, ...]]:
        """Return what is settled for a cell, its task and method first."""
        own = {"task": (cell.task,), "method": (cell.method,)}
        settled = self._open_of(cell).settled
        return own | {k: (v,) for k in settled if k not in own and (v := cell.parameters.get(k)) is not None}

    def _plan(self, tables: Sequence[Axes]) -> Plan:
        """Return what tables make on fresh seeds."""
        return expand(self._with(tables, self.fresh_seeds), self._registry)

    @cached_property
    def tuned(self) -> pd.DataFrame:
        """The table `tuned`, once `run` has ended."""
        return tuned_table(self.facts, self.tables[FRESH])

    @cached_property
    def facts(self) -> list[RaceFacts]:
        """What came of each race, in the order of tasks and methods, once `run` has ended."""
        return [self._facts(entry) for entry in self.races]

    def _facts(self, entry: Entry) -> RaceFacts:
        race = self.races[entry]
        default = self.default_table(entry)
        last = race.rounds[-1] if race.rounds else None
        return RaceFacts(
            task=problem_name(entry.problem),
            method=entry.method,
            settings=self.setting(self.winner(entry)),
            n_settings=race.n_cells,
            n_rounds=len(race.rounds),
            n_race_trials=race.n_begun,
            tuning_evaluations=race.spent,
            stopped_by=race.why,
            edges=self.edges(entry),
            share_within_two=race.share_within(2.0),
            race_cost=last.standing.bound if last and not last.standing.n_open else math.inf,
            race_reached=last.standing.n_reached if last else 0,
            race_seeds=last.n_seeds if last else 0,
            tuned_trials=self._trials([self.winner_table(entry)]),
            untuned_trials=() if default is None else self._trials([default]),
        )

    def _trials(self, tables: Sequence[Axes]) -> tuple[str, ...]:
        return tuple(trial.trial_id for trial in self._plan(tables).trials)

    def rounds(self) -> list[dict[str, Any]]:
        """Return what came of each round of each race, a row of the table `rounds` each."""
        return [
            {
                "task": problem_name(entry.problem),
                "method": entry.method,
                "round": number,
                "n_settings": one.n_cells,
                "n_seeds": one.n_seeds,
                "cap_evaluations": one.cap,
                "spent_evaluations": one.spent,
                "leader": words_of(self.setting(self.cells[entry][one.leader])),
                "leader_cost": one.standing.bound,
                "leader_reached": one.standing.n_reached,
                "leader_open": one.standing.n_open,
                "n_worse": one.n_worse,
                "n_halved": one.n_halved,
                "n_back": one.n_back,
            }
            for entry, race in self.races.items()
            for number, one in enumerate(race.rounds, 1)
        ]

    def document(self) -> str:
        """Return the winners as a TOML document that `harness sweep --grid` takes."""
        winners = self._with([self.winner_table(entry) for entry in self.races], self.fresh_seeds)
        return to_toml(winners.model_copy(update={"name": "tuned"}))


def problem_name(problem: Problem) -> str:
    """Return a task with those of its parameters that are not its defaults, and its layers."""
    task, own = problem
    defaults = {**TASKS[task].parameters, "architecture": FREE}
    told = {key: value for key, value in own if value != defaults[key]}
    layers = [str(told.pop("architecture"))] if "architecture" in told else []
    return " ".join([task, *(f"{key}={value}" for key, value in told.items()), *layers])


def words_of(setting: Mapping[str, Scalar]) -> str:
    """Return a setting in words."""
    return " ".join(f"{key}={value}" for key, value in setting.items()) or "defaults"
