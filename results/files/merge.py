"""Several sweeps as one: every trial once, with the times of the machine that ran it."""

import json
import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final

import pandas as pd

from freewalk.results.base.errors import StoreError
from freewalk.results.base.writing import naming_failure, replacing
from freewalk.results.files.export import export_tables, write_csv, write_json
from freewalk.results.files.sources import ORIGINS_NAME, Source, read_source
from freewalk.results.schema.configuration import MERGED, SETTINGS, canonical_json, settings_difference
from freewalk.results.schema.layout import PLAN_CHECKSUM, POINT, STORED_COLUMNS, quoted
from freewalk.results.schema.schema import FURTHEST_FIRST, State
from freewalk.results.store.checksums import checked_points, plan_checksum, seal
from freewalk.results.store.data import DataRow, DataSets, recorded, write_data
from freewalk.results.store.database import (
    DATABASE_NAME,
    check_database,
    connect_writer,
    create_database,
    naming,
    sound,
    transaction,
)
from freewalk.results.store.migration import open_reader
from freewalk.results.store.store import Store

_NAMES: Final = [column.name for column in STORED_COLUMNS]
# What two runs of one walk may differ in: the name, the clock, the memory, and where it ran.
_CIRCUMSTANCES: Final = {
    "trial_id",
    "backend",
    "device",
    "dtype",
    "seconds_to_target",
    "train_seconds",
    "evaluation_seconds",
    "compile_seconds",
    "peak_memory_mb",
    "started_at",
    "finished_at",
    # an older version did not note it
    "evaluations_budget",
    "judged_on",
    "n_unconfirmed",
    "evaluations_resolution",
}
_PLANNED: Final = ("task", "method", "seed")


@dataclass(frozen=True, slots=True)
class _Trial:
    source: int
    fields: dict[str, Any]
    parameters: str
    points: list[tuple[Any, ...]]
    settings: Mapping[str, Any]
    """How it was run; empty where nobody knows."""

    @property
    def values(self) -> dict[str, Any]:
        """The task, the method and the parameters that apply: the trial's cell."""
        values = {"task": self.fields["task"], "method": self.fields["method"], **json.loads(self.parameters)}
        return {key: value for key, value in values.items() if value is not None}

    @property
    def cell(self) -> str:
        """The cell in words."""
        return ", ".join(f"{key}={value}" for key, value in self.values.items())

    @property
    def name(self) -> str:
        return f"trial {self.fields['trial_id']} ({self.cell}, seed={self.fields['seed']})"


@dataclass(frozen=True)
class Merged:
    """What several sweeps hold together."""

    sources: list[Source]
    trials: list[_Trial]
    n_repeated: int
    """Trials that came again with equal results."""
    data: list[DataRow] = field(default_factory=list)
    """What the trials were trained on."""

    @property
    def configuration(self) -> dict[str, Any]:
        """What the merged store is named by: the sweeps that went in, and how each was run."""
        known = {name: settings for source in self.sources for name, settings in source.settings.items()}
        merged = {MERGED: sorted(self.origins()["sweep_id"].dropna().unique())}
        return merged | ({SETTINGS: known} if known else {})

    @property
    def machines(self) -> list[str | None]:
        """The machines that ran complete trials of the sweeps; None among them, last, where nothing tells."""
        names = {name for source in self.sources for name in source.machines}
        return [*sorted(name for name in names if name is not None), *([None] if None in names else [])]

    def environments(self) -> Iterator[dict[str, Any]]:
        """Yield what each sweep ran on; of a sweep that was itself merged, what its sweeps ran on."""
        for source in self.sources:
            earlier = (source.environment or {}).get("merged")
            if isinstance(earlier, list):
                yield from earlier
            else:
                yield {"source": str(source.path), "environment": source.environment}

    def origins(self) -> pd.DataFrame:
        """Return the ``origins`` table: where each trial comes from and what it was timed on."""
        indexed = [source.origins.set_index("trial_id", drop=False) for source in self.sources]
        wanted = [[t.fields["trial_id"] for t in self.trials if t.source == index] for index in range(len(indexed))]
        united = pd.concat([origins.loc[names] for origins, names in zip(indexed, wanted, strict=True)])
        return united.loc[[trial.fields["trial_id"] for trial in self.trials]].reset_index(drop=True)


def collect(directories: Sequence[Path]) -> Merged:
    """Read several sweeps and unite their trials, in the order of the sweeps and their plans.

    A trial that occurs twice is taken once: the run that is further (complete before failed before unfinished), the
    first of two that are as far. Times are those of that run. The same holds for two trials of one cell and seed whose
    names differ (by a comment in a plug-in, say): the seed decides the walk, and one walk is no evidence twice.

    Raises
    ------
    StoreError
        A folder holds no store, or other data under a name that an earlier one has too; or two complete runs of a trial
        differ in a result, the trial and the first column that differs are named; or trials of one cell were run with
        different epochs, looks, targets or plug-ins, so that they cannot be counted together.
    """
    sources, found, n_repeated, data = [], dict[str, _Trial](), 0, DataSets()
    places, firsts = dict[str, str](), dict[str, _Trial]()
    for index, directory in enumerate(directories):
        if not (directory / DATABASE_NAME).exists():
            raise StoreError(f"{directory} holds no {DATABASE_NAME}: only whole sweeps can be merged")
        check_database(directory / DATABASE_NAME)
        sources.append(read_source(directory))
        settings = sources[-1].settings_of_trials()
        own = data.add(directory, recorded(directory), sources[-1].environment)
        for trial in _trials(directory / DATABASE_NAME, index, settings):
            trial = _named_alike(trial, data, own) if own else trial
            cell = canonical_json(trial.values)
            place = places.setdefault(trial.fields["trial_id"], f"{trial.fields['seed']} {cell}")
            earlier = found.get(place)
            n_repeated += earlier is not None
            _refuse_other_settings(firsts.setdefault(cell, trial), trial, directories, repeated=earlier is not None)
            found[place] = trial if earlier is None else _one_of(earlier, trial, directories)
    return Merged(sources, list(found.values()), n_repeated, data.rows)


def _named_alike(trial: _Trial, data: DataSets, own: Sequence[DataRow]) -> _Trial:
    """Return the trial with its data named as in the sweep that had them first, so that they are one cell."""
    parameters = json.loads(trial.parameters)
    named = data.named_alike(own, trial.fields["task"], parameters)
    return trial if named == parameters else replace(trial, parameters=json.dumps(named))


def _refuse_other_settings(first: _Trial, trial: _Trial, directories: Sequence[Path], *, repeated: bool) -> None:
    """Refuse trials of one cell that were not run alike.

    A repeated trial may be of another plug-in's text: its result is compared, and counts once.
    """
    targets = [one.fields["target"] for one in (first, trial)]
    difference = None
    if None not in targets and targets[0] != targets[1]:
        difference = ("target", *targets)
    elif first.settings and trial.settings:
        difference = settings_difference(first.settings, trial.settings, texts=not repeated)
    if difference:
        name, *values = difference
        there, here = (directories[one.source] for one in (first, trial))
        raise StoreError(
            f"{name} is {values[0]} in {there} and {values[1]} in {here} for trials of one cell ({first.cell}), which "
            "so cannot be counted together: leave one of the two out, or see both with harness compare"
        )


def _trials(path: Path, source: int, settings: Mapping[str, Mapping[str, Any]]) -> Iterator[_Trial]:
    with closing(open_reader(path)) as connection, naming(path), sound(path):
        connection.execute("BEGIN")  # trials and curves of one moment, also beside a writer
        points = _points(connection)
        for position, parameters, *values in connection.execute(
            f"SELECT position, parameters, {quoted(_NAMES)} FROM trials ORDER BY position"
        ):
            fields = dict(zip(_NAMES, values, strict=True))
            yield _Trial(source, fields, parameters, points.get(position, []), settings.get(fields["trial_id"], {}))


def _points(connection: sqlite3.Connection) -> dict[int, list[tuple[Any, ...]]]:
    points: dict[int, list[tuple[Any, ...]]] = {}
    for position, _, *point in checked_points(connection):
        points.setdefault(position, []).append(tuple(point))
    return points


def _one_of(first: _Trial, second: _Trial, directories: Sequence[Path]) -> _Trial:
    """Choose between two runs of a trial; refuse those that contradict each other."""
    far = [FURTHEST_FIRST.index(trial.fields["state"]) for trial in (first, second)]
    difference = _difference(first, second, planned_only=far != [0, 0])
    if difference:
        name, *values = difference
        there, here = (directories[trial.source] for trial in (first, second))
        raise StoreError(
            f"{first.name} has {f'{name} {values[0]}'.strip()} in {there} and {values[1]} in {here}: "
            "merge sweeps of one version and of the same plug-ins, or leave one of them out"
        )
    return second if far[1] < far[0] else first


def _difference(first: _Trial, second: _Trial, *, planned_only: bool) -> tuple[str, Any, Any] | None:
    """Name what differs between two runs of a trial: in their plans, and of complete ones in their results."""
    plans = [{k: v for k, v in json.loads(t.parameters).items() if v is not None} for t in (first, second)]
    for name in sorted({*plans[0], *plans[1]}):
        if plans[0].get(name) != plans[1].get(name):
            return name, plans[0].get(name), plans[1].get(name)
    for name in _PLANNED if planned_only else [name for name in _NAMES if name not in _CIRCUMSTANCES]:
        values = [trial.fields[name] for trial in (first, second)]
        if None not in values and values[0] != values[1]:  # an older layout may not have had the column
            return name, values[0], values[1]
    clock = POINT.index("train_seconds")
    curves = [[point[:clock] + point[clock + 1 :] for point in trial.points] for trial in (first, second)]
    return None if planned_only or curves[0] == curves[1] else ("a curve", "", "another one")


def merge(directories: Sequence[Path], out: Path) -> Merged:
    """Unite sweeps in a new folder: the store, its tables, where each trial comes from, and all environments.

    The folder appears in one piece when it is complete; those that were read stay as they are.

    Parameters
    ----------
    directories : sequence of Path
        Folders of sweeps.
    out : Path
        A folder that does not exist or is empty.

    Raises
    ------
    StoreError
        As ``collect``; or the folder holds something, or cannot be written.
    """
    refuse_used(out)
    merged = collect(directories)
    save(merged, out)
    return merged


def refuse_used(out: Path) -> None:
    """Raise StoreError where a folder for a merged sweep is a file or holds something."""
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise StoreError(f"{out} already holds something: pick another --out")


def save(merged: Merged, out: Path) -> None:
    """Write what was collected; otherwise as ``merge``."""
    with naming_failure(out), replacing(out, folder=True) as temporary:
        _fill(merged, temporary)


def _fill(merged: Merged, directory: Path) -> None:
    path = directory / DATABASE_NAME
    create_database(path, canonical_json(merged.configuration))
    with closing(connect_writer(path)) as connection:
        write(merged, connection, path)
    with Store.open(directory, read_only=True) as store:
        export_tables(store)
    write_csv(merged.origins(), directory / ORIGINS_NAME)
    write_json({"merged": list(merged.environments())}, directory / "environment.json")


def write(merged: Merged, connection: sqlite3.Connection, path: Path) -> None:
    """Write the trials and their curves into an empty store of today's layout; a trial cut short is interrupted."""
    with transaction(connection, path):
        columns = ["position", "parameters", *_NAMES, PLAN_CHECKSUM]
        marks = ", ".join("?" * len(columns))
        connection.executemany(f"INSERT INTO trials ({quoted(columns)}) VALUES ({marks})", _rows(merged.trials))
        connection.executemany(
            f"INSERT INTO curves (position, {quoted(POINT)}) VALUES (?{', ?' * len(POINT)})",
            ((place, *point) for place, trial in enumerate(merged.trials) for point in trial.points),
        )
        for place, trial in enumerate(merged.trials):
            if trial.fields["state"] in (State.COMPLETE, State.FAILED):
                seal(connection, place)
        write_data(connection, merged.data)


def _rows(trials: Iterable[_Trial]) -> Iterator[tuple[Any, ...]]:
    for place, trial in enumerate(trials):
        state = trial.fields["state"]
        shown = State.INTERRUPTED.value if state == State.RUNNING else state
        row = {"position": place, "parameters": trial.parameters, **trial.fields, "state": shown}
        yield (*row.values(), plan_checksum(row))
