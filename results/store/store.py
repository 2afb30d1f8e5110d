"""The store of one sweep: a SQLite file that one process writes and any may read."""

import json
import math
import sqlite3
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeAlias

import pandas as pd

from freewalk.results.base.errors import DamageError, StoreError
from freewalk.results.schema.configuration import canonical_json, describe_difference
from freewalk.results.schema.records import CurvePoint, SqlValue, TrialRecord
from freewalk.results.schema.schema import State
from freewalk.results.store import rows
from freewalk.results.store.checksums import seal
from freewalk.results.store.data import DataRow, write_data
from freewalk.results.store.database import (
    DATABASE_NAME,
    check_database,
    connect_writer,
    create_database,
    describe,
    is_new,
    naming,
    prepare,
    sound,
    transaction,
)
from freewalk.results.store.lock import WriterLock, locked
from freewalk.results.store.migration import bring_up_to_date, open_reader
from freewalk.results.store.tables import read_curves, read_curves_in_parts, read_trials

__all__ = ["CurvePoint", "Store", "StoreError", "TrialRecord", "another_sweep"]

Accept: TypeAlias = Callable[[Mapping[str, Any]], None]


def another_sweep(directory: Path, difference: str, remedy: str = "") -> StoreError:
    """Make the error for a folder whose sweep is another one than is wanted."""
    return StoreError(f"{directory} holds another sweep ({difference}): {remedy or 'pick another --out'}")


_SECONDS_BETWEEN_CHECKS = 0.2


def _place(path: Path) -> tuple[int, int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino


class Store:
    """One sweep's trials and curves; made by ``create``, ``open`` or ``open_or_create``.

    Every method that writes is one transaction: after a kill at any moment each trial is wholly there or to
    be run again. Use it from the thread that made it. Floats come back exactly, infinities included; NaN is
    stored as missing and -0.0 as 0.0.
    """

    def __init__(self, directory: Path, lock: WriterLock | None, accept: Accept | None = None) -> None:
        self.directory = directory
        self.path = directory / DATABASE_NAME
        self._lock = lock
        check_database(self.path)
        self._connection = connect_writer(self.path) if lock else open_reader(self.path)
        self._place = _place(self.path)
        self._checked_at = -math.inf
        try:
            self.sweep_id, self._configuration = self._described()
            if accept:
                accept(self.configuration())
            if lock:
                bring_up_to_date(self._connection, self.path)
                with self._writing():
                    self._reset("WHERE state IN ('running', 'interrupted')", [()], State.PENDING)
        except BaseException:
            self._connection.close()
            raise

    @classmethod
    def create(cls, directory: Path, configuration: Mapping[str, object], sweep_id: str | None = None) -> Self:
        """Start a sweep in a folder that holds none; the folder is made where it is missing.

        Parameters
        ----------
        directory : Path
            The sweep's folder.
        configuration : mapping
            The resolved configuration; anything JSON can hold.
        sweep_id : str, optional
            The sweep's name in the tables; without it, a digest of the configuration.

        Raises
        ------
        StoreError
            The folder holds a sweep or files of one, is in use, or cannot be written.
        """
        prepare(directory)
        with locked(directory) as lock:
            if not is_new(directory / DATABASE_NAME):
                raise StoreError(f"{directory} already holds a sweep: resume it or pick another --out")
            create_database(directory / DATABASE_NAME, canonical_json(configuration), sweep_id)
            return cls(directory, lock)

    @classmethod
    def open(cls, directory: Path, *, read_only: bool = False) -> Self:
        """Open an existing sweep; for writing, trials that a dead driver left unfinished become pending.

        Raises
        ------
        StoreError
            There is no sweep, it is damaged, or (for writing) another driver is at it.
        """
        if is_new(directory / DATABASE_NAME):
            raise StoreError(f"{directory} holds no sweep: check the path")
        if read_only:
            return cls(directory, None)
        with locked(directory) as lock:
            return cls(directory, lock)

    @classmethod
    def open_or_create(
        cls,
        directory: Path,
        configuration: Mapping[str, object],
        sweep_id: str | None = None,
        accept: Accept | None = None,
    ) -> Self:
        """Resume the folder's sweep where its configuration is this one, else start it as ``create`` does.

        Parameters
        ----------
        directory, configuration, sweep_id
            As ``create``.
        accept : callable, optional
            Looks at a stored configuration before anything is changed, and raises StoreError for one that cannot be
            gone on with; without it, only an equal one can.

        Raises
        ------
        StoreError
            As ``create`` and ``open``; or the folder holds another sweep (the first differing key is named).
        """
        wanted = canonical_json(configuration)

        def accept_equal(stored: Mapping[str, Any]) -> None:
            if canonical_json(stored) != wanted:
                raise another_sweep(directory, describe_difference(stored, json.loads(wanted)))

        prepare(directory)
        with locked(directory) as lock:
            if is_new(directory / DATABASE_NAME):
                create_database(directory / DATABASE_NAME, wanted, sweep_id)
            return cls(directory, lock, accept or accept_equal)

    def add_pending(
        self, trials: Iterable[TrialRecord], configuration: Mapping[str, object] | None = None, *, afresh: bool = False
    ) -> None:
        """Plan trials, in this order; those the store already has stay as they are.

        Parameters
        ----------
        trials : iterable of TrialRecord
        configuration : mapping, optional
            What describes the sweep from here on.
        afresh : bool
            Whether trials in progress start again, since they would go on otherwise than they began.

        Raises
        ------
        ValueError
            A value does not fit its column (a seed beyond 64 bits, say).
        """
        with self._writing() as connection:
            if configuration is not None:
                self._configuration = describe(connection, self.sweep_id, canonical_json(configuration))
            if afresh:
                connection.execute("DELETE FROM checkpoints")
            (first,) = connection.execute("SELECT coalesce(max(position) + 1, 0) FROM trials").fetchone()
            connection.executemany(rows.INSERT_TRIAL, rows.planned(trials, first))

    def mark_running(self, trial_ids: Iterable[str]) -> None:
        """Note that trials have started; what an earlier attempt left (an error, a curve) is cleared.

        Raises
        ------
        StoreError
            A trial is unknown or complete.
        """
        keys = [(trial_id,) for trial_id in trial_ids]
        with self._writing() as connection:
            if self._reset("WHERE trial_id = ? AND state <> 'complete'", keys, State.RUNNING) != len(keys):
                raise StoreError(f"{self.path}: a trial to be started is unknown or already complete")
            started = rows.now()
            connection.executemany(
                "UPDATE trials SET started_at = ? WHERE trial_id = ?", ((started, key) for (key,) in keys)
            )

    def save_checkpoint(self, trial_id: str, step: int, data: bytes) -> None:
        """Keep what a running trial needs to go on, in place of an earlier checkpoint; its end removes it.

        Raises
        ------
        StoreError
            The trial is unknown or complete, or the file cannot be written.
        """
        statement = (
            "INSERT OR REPLACE INTO checkpoints (position, step, data) "
            "SELECT position, ?, ? FROM trials WHERE trial_id = ? AND state <> 'complete'"
        )
        with self._writing() as connection:
            if connection.execute(statement, (step, data, trial_id)).rowcount != 1:
                raise StoreError(f"{self.path}: a trial to be saved is unknown or already complete")

    def checkpoints(self, trial_ids: Iterable[str]) -> Iterator[tuple[str, bytes]]:
        """Yield the checkpoints of those trials that have one, with their trial_id."""
        wanted = set(trial_ids)
        query = "SELECT trial_id, position FROM checkpoints JOIN trials USING (position) ORDER BY position"
        for trial_id, position in self._read(query):
            if trial_id in wanted:
                ((data,),) = self._read("SELECT data FROM checkpoints WHERE position = ?", (position,))
                yield trial_id, data

    def add_points(self, curves: Mapping[str, Sequence[CurvePoint]]) -> None:
        """Add points to the curves of running trials, by trial_id; their ends replace them."""
        if not curves:
            return
        with self._writing() as connection:
            for trial_id, points in curves.items():
                found = connection.execute(
                    "SELECT position FROM trials WHERE trial_id = ? AND state = 'running'", (trial_id,)
                ).fetchone()
                if found is not None:
                    connection.executemany(
                        rows.REPLACE_POINT, ((*found, *point) for point in rows.curve(trial_id, points))
                    )

    def mark_interrupted(self, trial_ids: Iterable[str]) -> None:
        """Note that running trials were stopped; trials in any other state stay as they are."""
        statement = "UPDATE trials SET state = 'interrupted' WHERE trial_id = ? AND state = 'running'"
        with self._writing() as connection:
            connection.executemany(statement, ((trial_id,) for trial_id in trial_ids))

    def finish(self, trial_id: str, fields: Mapping[str, object], curve: Sequence[CurvePoint] = ()) -> None:
        """Write a complete trial: its row and its curve, together or not at all.

        Parameters
        ----------
        trial_id : str
            A planned trial.
        fields : mapping
            Columns of the trials table. ``outcome`` is needed; ``finished_at`` is now unless given.
        curve : sequence of CurvePoint
            Replaces the trial's points; one per (step, split, metric).

        Raises
        ------
        StoreError
            The trial is unknown, or the file cannot be written.
        ValueError
            A field is unknown or of the wrong type, the outcome is missing, or a point comes twice.
        """
        if fields.get("outcome") is None:
            raise ValueError(f"trial {trial_id} is finished without an outcome")
        self._conclude(trial_id, State.COMPLETE, fields, curve)

    def fail(
        self,
        trial_id: str,
        error: str,
        fields: Mapping[str, object] | None = None,
        curve: Sequence[CurvePoint] = (),
    ) -> None:
        """Write a failed trial with its error; otherwise as ``finish``, without an outcome."""
        self._conclude(
            trial_id,
            State.FAILED,
            {**(fields or {}), "outcome": None, "error": error or "unknown error"},
            curve,
        )

    def _conclude(self, trial_id: str, state: State, fields: Mapping[str, object], curve: Sequence[CurvePoint]) -> None:
        row = rows.concluded(state, fields)
        points = rows.curve(trial_id, curve)
        assignments = ", ".join(f'"{name}" = ?' for name in row)
        with self._writing() as connection:
            found = connection.execute("SELECT position FROM trials WHERE trial_id = ?", (trial_id,)).fetchone()
            if found is None:
                raise StoreError(f"{self.path} has no trial {trial_id}: add it before it runs")
            connection.execute(f"UPDATE trials SET {assignments} WHERE position = ?", (*row.values(), *found))
            connection.execute("DELETE FROM curves WHERE position = ?", found)
            connection.execute("DELETE FROM checkpoints WHERE position = ?", found)
            connection.executemany(rows.INSERT_POINT, ((*found, *point) for point in points))
            seal(connection, *found)

    @contextmanager
    def _writing(self) -> Iterator[sqlite3.Connection]:
        """Write everything in the block or nothing of it, into the file that was opened."""
        if time.monotonic() - self._checked_at > _SECONDS_BETWEEN_CHECKS:  # a look costs as much as a short write
            self.check_place()
        with transaction(self._connection, self.path) as connection:
            yield connection

    def check_place(self) -> None:
        """Raise StoreError where the file is no longer where it was opened: what is written there is lost to its user.

        So it is when the folder has been deleted, renamed or replaced by another sweep's.
        """
        self._checked_at = time.monotonic()
        if _place(self.path) != self._place:
            raise StoreError(
                f"{self.path} has been deleted, renamed or replaced while it was in use: nothing more is written; "
                "give a renamed folder's new name as --out to go on, or start again with another --out"
            )

    def _reset(self, where: str, keys: Sequence[tuple[str, ...]], state: State) -> int:
        """Empty the results of the trials that ``where`` finds for each key; give their number."""
        blank = ", ".join(f'"{name}" = NULL' for name in rows.BLANK)
        self._connection.executemany(
            f"DELETE FROM curves WHERE position IN (SELECT position FROM trials {where})", keys
        )
        return self._connection.executemany(f"UPDATE trials SET state = '{state}', {blank} {where}", keys).rowcount

    def note_data(self, rows: Sequence[DataRow]) -> None:
        """Note which data the trials are trained on; what was noted before stays."""
        if rows:
            with transaction(self._connection, self.path) as connection:
                write_data(connection, rows)

    def unfinished(self, *, retry_failed: bool = False) -> list[str]:
        """List the trials to run, in plan order: pending and interrupted, and failed ones where asked for."""
        ended = self.ended(retry_failed=retry_failed)
        order = self._read("SELECT trial_id FROM trials ORDER BY position")
        return [trial_id for (trial_id,) in order if trial_id not in ended]

    def ended(self, *, retry_failed: bool = False) -> set[str]:
        """Return the trials that are not run any more: complete, and failed ones unless they are tried again."""
        states = ["complete", *([] if retry_failed else ["failed"])]
        query = f"SELECT trial_id FROM trials WHERE state IN ({', '.join('?' * len(states))})"
        return {trial_id for (trial_id,) in self._read(query, states)}

    def counts(self) -> dict[State, int]:
        """Count the trials in every state, zeros included."""
        found = dict(self._read("SELECT state, count(*) FROM trials GROUP BY state"))
        return {state: found.get(state, 0) for state in State}

    def count_reached(self, trial_ids: Iterable[str]) -> int:
        """Count those of some trials that are complete and reached their target."""
        reached = {trial_id for (trial_id,) in self._read("SELECT trial_id FROM trials WHERE reached = 1")}
        return len(reached.intersection(trial_ids))

    def configuration(self) -> dict[str, Any]:
        """Return the configuration the sweep was started with, as JSON gives it back (tuples are lists)."""
        loaded: dict[str, Any] = json.loads(self._configuration)
        return loaded

    def trials(self) -> pd.DataFrame:
        """Return the ``trials`` table, in plan order, with the documented types."""
        with naming(self.path), sound(self.path):
            return read_trials(self._connection, self.sweep_id)

    def curves(self) -> pd.DataFrame:
        """Return the ``curves`` table, in the order of plan, step, split and metric."""
        with naming(self.path), sound(self.path):
            return read_curves(self._connection)

    def curves_in_progress(self) -> pd.DataFrame:
        """Return the curves so far of trials that have not ended, as `curves` gives those of the others."""
        with naming(self.path), sound(self.path):
            return read_curves(self._connection, ended=False)

    def curves_in_parts(self, rows: int = 5_000) -> Iterator[pd.DataFrame]:
        """Yield what `curves` gives, so many rows at a time, so that memory does not grow with the sweep."""
        with naming(self.path), sound(self.path):
            yield from read_curves_in_parts(self._connection, rows)

    def close(self) -> None:
        """Move the log into the database (one file to copy) and let the next driver in; repeatable."""
        try:
            if self._lock:
                with suppress(sqlite3.Error):  # where a reader is at it, the last one to leave moves the log
                    self._connection.execute("PRAGMA busy_timeout = 1000")
                    self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            self._connection.close()
        finally:
            if self._lock:
                self._lock.release()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _described(self) -> tuple[str, str]:
        """Read the sweep's name and configuration."""
        with naming(self.path), sound(self.path):
            rows = self._read("SELECT sweep_id, configuration FROM sweep")
            if len(rows) != 1:
                raise DamageError(f"it describes {len(rows)} sweeps in place of one")
            name, configuration = rows[0]
            if not isinstance(name, str) or not isinstance(json.loads(configuration), dict):
                raise DamageError("what it says of its sweep cannot be read")
            return name, configuration

    def _read(self, query: str, values: Sequence[SqlValue] = ()) -> list[Any]:
        with naming(self.path):
            return self._connection.execute(query, values).fetchall()
