"""Stores and CSV files of older layouts."""

import json
import sqlite3
from contextlib import closing
from pathlib import Path

import pandas as pd
import pytest

from freewalk.results.analysis.summary import summarise
from freewalk.results.base.errors import StoreError
from freewalk.results.files.export import write_csv
from freewalk.results.schema.layout import STORED_COLUMNS
from freewalk.results.schema.schema import SCHEMA_VERSION, SUMMARY_COLUMNS, Column, State, column_names
from freewalk.results.store.migration import is_current, migrate
from freewalk.results.store.store import Store
from freewalk.results.tables.reading import read_table

# The layout as freewalk 0.1.0 wrote it, word for word; never to be changed.
FIRST_LAYOUT = """
CREATE TABLE sweep (sweep_id TEXT NOT NULL, configuration TEXT NOT NULL);
CREATE TABLE trials (position INTEGER PRIMARY KEY, parameters TEXT NOT NULL, "trial_id" TEXT NOT NULL UNIQUE,
"state" TEXT NOT NULL CHECK (state IN ('pending', 'running', 'complete', 'failed', 'interrupted')), "outcome" TEXT ,
"task" TEXT , "method" TEXT , "backend" TEXT , "device" TEXT , "dtype" TEXT , "seed" INTEGER ,
"effective_learning_rate" REAL , "n_weights" INTEGER , "steps" INTEGER , "evaluations" INTEGER , "loss_final" REAL ,
"loss_best" REAL , "metric_final" REAL , "metric_name" TEXT , "target" REAL , "reached" INTEGER ,
"steps_to_target" INTEGER , "evaluations_to_target" INTEGER , "seconds_to_target" REAL , "train_seconds" REAL ,
"evaluation_seconds" REAL , "compile_seconds" REAL , "peak_memory_mb" REAL , "error" TEXT , "started_at" TEXT ,
"finished_at" TEXT );
CREATE TABLE curves (position INTEGER NOT NULL, step INTEGER NOT NULL, split TEXT NOT NULL, metric TEXT NOT NULL,
evaluations INTEGER NOT NULL, train_seconds REAL, value REAL, PRIMARY KEY (position, step, split, metric))
WITHOUT ROWID;
PRAGMA application_id = 1719102571;
PRAGMA user_version = 1;
"""
CONFIGURATION = {"task": "xor"}
FIRST_CSV_HEADER = (
    "schema_version,sweep_id,trial_id,state,outcome,task,method,backend,device,dtype,seed,param_stddev,"
    "effective_learning_rate,n_weights,steps,evaluations,loss_final,loss_best,metric_final,metric_name,target,reached,"
    "steps_to_target,evaluations_to_target,seconds_to_target,train_seconds,evaluation_seconds,compile_seconds,"
    "peak_memory_mb,error,started_at,finished_at"
)


@pytest.fixture
def first_store(tmp_path: Path) -> Path:
    """Give the folder of a store of the first layout: one complete trial with a curve, one pending."""
    folder = tmp_path / "old"
    folder.mkdir()
    with closing(sqlite3.connect(folder / "sweep.sqlite")) as connection:
        connection.executescript(FIRST_LAYOUT)
        connection.execute("INSERT INTO sweep VALUES ('first', ?)", [json.dumps(CONFIGURATION, separators=(",", ":"))])
        connection.execute(
            "INSERT INTO trials (position, parameters, trial_id, state, outcome, task, method, seed, steps, "
            "evaluations, loss_final, metric_final, metric_name, target, reached, steps_to_target, "
            "evaluations_to_target) VALUES (0, '{\"stddev\": 0.1}', 'a', 'complete', 'reached', 'xor', 'walk', 3, 10, "
            "320, 0.05, 0.05, 'loss', 0.1, 1, 10, 320)"
        )
        connection.execute(
            "INSERT INTO trials (position, parameters, trial_id, state, task, method, seed) VALUES "
            "(1, '{\"stddev\": 0.1}', 'b', 'pending', 'xor', 'walk', 4)"
        )
        connection.execute("INSERT INTO curves VALUES (0, 10, 'heldout', 'loss', 320, 0.5, 0.05)")
        connection.commit()
    return folder


def layout(folder: Path) -> tuple[int, set[str]]:
    with closing(sqlite3.connect(folder / "sweep.sqlite")) as connection:
        (version,) = connection.execute("PRAGMA user_version").fetchone()
        return version, {name for _, name, *_ in connection.execute("PRAGMA table_info(trials)")}


def check_contents(store: Store) -> None:
    trials = store.trials()
    assert list(trials.columns) == column_names("trials", ["stddev"])
    assert trials["trial_id"].tolist() == ["a", "b"]
    assert trials["evaluations_to_target"].tolist()[0] == 320
    assert trials["schema_version"].tolist() == [SCHEMA_VERSION] * 2
    assert store.curves()[["trial_id", "value"]].to_numpy().tolist() == [["a", 0.05]]
    assert (store.sweep_id, store.configuration()) == ("first", CONFIGURATION)


def test_the_first_layout_can_be_read_and_stays_as_it_is(first_store: Path) -> None:
    before = (first_store / "sweep.sqlite").read_bytes()
    with Store.open(first_store, read_only=True) as store:
        check_contents(store)
        with pytest.raises(StoreError, match="readonly"):
            store.mark_running(["b"])
        assert summarise(store.trials())["n_reached"].tolist() == [1]
    assert (first_store / "sweep.sqlite").read_bytes() == before


def test_the_first_layout_can_be_resumed(first_store: Path) -> None:
    with Store.open_or_create(first_store, CONFIGURATION) as store:
        check_contents(store)
        assert store.unfinished() == ["b"]
        store.mark_running(["b"])
        fields = {c.name: 2 for c in STORED_COLUMNS if c.name in ("steps", "evaluations_per_step", "n_weights")}
        store.finish("b", {"outcome": "exhausted", **fields})
    version, columns = layout(first_store)
    assert version == SCHEMA_VERSION
    assert {c.name for c in STORED_COLUMNS} <= columns
    with Store.open(first_store, read_only=True) as store:
        assert store.counts()[State.COMPLETE] == 2
        assert store.trials()["steps"].tolist() == [10, 2]


def test_a_refused_sweep_is_not_migrated(first_store: Path) -> None:
    before = layout(first_store)
    with pytest.raises(StoreError, match="holds another sweep"):
        Store.open_or_create(first_store, {"task": "and"})
    assert layout(first_store) == before


EXTRA = Column("colour", "string", "made up")


def rename(connection: sqlite3.Connection) -> None:
    connection.execute("UPDATE trials SET task = upper(task)")


def test_columns_are_added_and_every_step_runs_once_in_order(first_store: Path) -> None:
    ran: list[int] = []
    steps = {
        1: lambda connection: (ran.append(1), connection.execute("UPDATE trials SET task = task || '+'")),
        3: lambda connection: (ran.append(3), rename(connection)),
        4: lambda connection: ran.append(4),
    }
    with closing(sqlite3.connect(first_store / "sweep.sqlite", isolation_level=None)) as connection:
        wanted = (*STORED_COLUMNS, EXTRA)
        assert not is_current(connection, wanted, 4)
        migrate(connection, wanted, 4, steps)  # type: ignore[arg-type]
        assert is_current(connection, wanted, 4)
        assert ran == [1, 3]
        assert connection.execute("SELECT task, colour FROM trials").fetchall() == [("XOR+", None)] * 2
        migrate(connection, wanted, 4, steps)  # type: ignore[arg-type]
        assert ran == [1, 3]


def test_a_failed_migration_leaves_the_old_layout(first_store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(connection: sqlite3.Connection) -> None:
        connection.execute("DELETE FROM trials")
        raise sqlite3.DatabaseError("disk")

    monkeypatch.setattr("freewalk.results.store.migration.is_current", lambda connection: False)
    monkeypatch.setattr("freewalk.results.store.migration.migrate", broken)
    before = layout(first_store)
    with pytest.raises(StoreError):
        Store.open(first_store)
    assert layout(first_store) == before
    monkeypatch.undo()
    with Store.open(first_store) as store:
        check_contents(store)


def test_todays_layout_is_current(tmp_path: Path) -> None:
    with Store.create(tmp_path, CONFIGURATION):
        pass
    with closing(sqlite3.connect(tmp_path / "sweep.sqlite")) as connection:
        assert is_current(connection)
        assert not is_current(connection, (*STORED_COLUMNS, EXTRA))
        assert not is_current(connection, version=SCHEMA_VERSION + 1)


def test_csv_of_an_older_layout_is_read(first_store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    row = ["1", "s", "a", "complete", "reached", "xor", "walk", "cpu", "CPU", "float32", "7", "0.1"]
    names = FIRST_CSV_HEADER.split(",")
    (first_store / "trials.csv").write_text(
        FIRST_CSV_HEADER + "\n" + ",".join(row + [""] * (len(names) - len(row))) + "\n"
    )
    monkeypatch.setattr("freewalk.results.tables.reading.SCHEMA_VERSION", 2)
    trials = read_table(first_store / "trials.csv")
    assert list(trials.columns) == column_names("trials", ["stddev"])
    assert trials[["schema_version", "seed", "param_stddev"]].to_numpy().tolist() == [[2, 7, 0.1]]
    assert trials["loss_final"].isna().all()


def test_csv_of_an_older_layout_has_no_columns_that_are_not_known(
    first_store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("freewalk.results.tables.reading.SCHEMA_VERSION", 2)
    for header, culprit in [("schema_version,task,colour", "colour"), ("schema_version,method,task", "order")]:
        (first_store / "summary.csv").write_text(f"{header}\n1,xor,walk\n")
        with pytest.raises(StoreError, match=f"not a summary table .see .*{culprit}"):
            read_table(first_store / "summary.csv", "summary")


def test_csv_of_a_newer_layout_or_of_two_is_refused(tmp_path: Path) -> None:
    frame = pd.DataFrame({column.name: ["" for _ in range(2)] for column in SUMMARY_COLUMNS})
    for versions in ([SCHEMA_VERSION + 1] * 2, [SCHEMA_VERSION, SCHEMA_VERSION + 1], ["x", "x"]):
        write_csv(frame.assign(schema_version=[str(v) for v in versions]), tmp_path / "summary.csv")
        with pytest.raises(StoreError, match=f"another layout than {SCHEMA_VERSION}"):
            read_table(tmp_path / "summary.csv", "summary")


def test_reading_agrees_with_the_store(first_store: Path) -> None:
    with Store.open(first_store, read_only=True) as store:
        trials = store.trials()
    write_csv(trials, first_store / "trials.csv")
    pd.testing.assert_frame_equal(read_table(first_store / "trials.csv"), trials, check_exact=True)
    (first_store / "trials.csv").write_text((first_store / "trials.csv").read_text().replace("True", "perhaps"))
    with pytest.raises(StoreError, match="'perhaps', neither True nor False"):
        read_table(first_store / "trials.csv")
    with pytest.raises(StoreError, match="cannot read"):
        read_table(first_store / "absent.csv")
