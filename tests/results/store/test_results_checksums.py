"""Values that nobody wrote are noticed, whatever column they stand in; values that were written never are."""

import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pandas as pd
import pytest

from freewalk.results.base.errors import StoreError
from freewalk.results.files.export import export_tables
from freewalk.results.files.merge import merge
from freewalk.results.schema.layout import POINT, STORED_COLUMNS
from freewalk.results.store.store import CurvePoint, Store, TrialRecord

Records = Callable[..., TrialRecord]
Curves = Callable[..., list[CurvePoint]]
CONFIGURATION = {"task": "xor"}


@pytest.fixture
def folder(tmp_path: Path, record: Records, curve: Curves) -> Path:
    """Give a store of a complete, a failed, a running and a pending trial; the complete one has a curve."""
    with Store.create(tmp_path / "sweep", CONFIGURATION) as store:
        store.add_pending([record(name, seed=seed) for seed, name in enumerate(["done", "failed", "running", "left"])])
        store.mark_running(["done", "failed", "running"])
        store.finish("done", {"outcome": "reached", "reached": True, "loss_final": 0.1, "steps": 3}, curve(5))
        store.fail("failed", "out of memory", {"steps": 1})
    return tmp_path / "sweep"


def edit(folder: Path, statement: str) -> None:
    with closing(sqlite3.connect(folder / "sweep.sqlite")) as connection:
        connection.execute(statement)
        connection.commit()


def refused(folder: Path, match: str) -> None:
    for read_only in (False, True):
        with pytest.raises(StoreError, match=rf"sweep\.sqlite is damaged \({match}\): restore a copy") as caught:
            Store.open(folder, read_only=read_only)
        assert "\n" not in str(caught.value)


def other(column: str, dtype: str) -> str:
    return f"coalesce({column}, 'x') || 'y'" if dtype == "string" else f"coalesce({column}, 7) + 1"


@pytest.mark.parametrize("column", [c for c in STORED_COLUMNS if c.name != "state"], ids=lambda c: c.name)
def test_a_changed_value_of_a_trial(folder: Path, column: object) -> None:
    name, dtype = column.name, column.dtype  # type: ignore[attr-defined]
    changed = "doney" if name == "trial_id" else "done"
    edit(folder, f"UPDATE trials SET {name} = {other(name, dtype)} WHERE trial_id = 'done'")
    refused(folder, rf"the (plan|result) of trial {changed} is not what was written")


@pytest.mark.parametrize("trial", ["failed", "running", "left"])
@pytest.mark.parametrize("name", ["seed", "task", "method", "parameters"])
def test_a_changed_plan(folder: Path, trial: str, name: str) -> None:
    dtype = "Int64" if name == "seed" else "string"
    edit(folder, f"UPDATE trials SET {name} = {other(name, dtype)} WHERE trial_id = '{trial}'")
    refused(folder, f"the plan of trial {trial} is not what was written")


def test_a_changed_state_place_or_configuration(folder: Path) -> None:
    before = (folder / "sweep.sqlite").read_bytes()
    for statement, what in (
        ("UPDATE trials SET state = 'failed' WHERE trial_id = 'done'", "the result of trial done"),
        ("UPDATE trials SET position = 9 WHERE trial_id = 'left'", "the plan of trial left"),
        ('UPDATE sweep SET configuration = \'{"task":"and"}\'', "its configuration"),
        ("UPDATE sweep SET sweep_id = 'another'", "its configuration"),
    ):
        edit(folder, statement)
        refused(folder, f"{what} is not what was written")
        (folder / "sweep.sqlite").write_bytes(before)


@pytest.mark.parametrize(
    "statement",
    [
        *(f"UPDATE curves SET {name} = {other(name, 'Int64')} WHERE step = 4" for name in POINT if name != "split"),
        "UPDATE curves SET split = 'train' WHERE step = 0",
        "UPDATE curves SET value = value + 1e-16 WHERE step = 3",
        "DELETE FROM curves WHERE step = 2",
        "DELETE FROM curves",
        "UPDATE curves SET position = 1 WHERE step = 2",
        "INSERT INTO curves SELECT position, 9, split, metric, 9, 9, 9 FROM curves WHERE step = 0",
    ],
)
def test_a_changed_curve(folder: Path, statement: str, tmp_path: Path) -> None:
    """It is noticed by whatever reads curves, and no table is written from it."""
    edit(folder, statement)
    readers: list[Callable[[Store], object]] = [
        Store.curves,
        lambda store: list(store.curves_in_parts(2)),
        export_tables,
    ]
    with Store.open(folder) as store:
        for read in readers:
            with pytest.raises(StoreError, match=r"damaged \(the curve of trial \w+ is not what was written\)"):
                read(store)
    assert not (folder / "curves.csv").exists()
    with pytest.raises(StoreError, match=r"the curve of trial \w+ is not what was written"):
        merge([folder], tmp_path / "merged")


def test_what_was_written_is_never_refused(folder: Path, record: Records, curve: Curves, tmp_path: Path) -> None:
    """Not after more attempts at a trial, odd values, or a merge, whose store is guarded as well."""
    odd = [CurvePoint(0, 0, -0.0, "heldout", "loss", float("inf")), CurvePoint(1, 2, 1e-310, "train", "ü\n", -0.0)]
    with Store.open(folder) as store:
        assert store.unfinished(retry_failed=True) == ["failed", "running", "left"]
        store.mark_running(["failed", "running"])
        store.mark_interrupted(["running"])
    with Store.open(folder) as store:
        store.finish("failed", {"outcome": "diverged", "loss_final": float("nan"), "reached": False}, odd)
        store.fail("running", "a\r\nb\0c\udce4")
        store.mark_running(["running"])
        store.finish("running", {"outcome": "exhausted", "device": "gpu", "loss_final": float("-inf")}, curve(3))
        store.finish("running", {"outcome": "exhausted", "steps": 5}, curve(2))
        trials, curves = store.trials(), store.curves()
        pd.testing.assert_frame_equal(pd.concat(list(store.curves_in_parts(3)), ignore_index=True), curves)
    assert len(curves) == 5 + 2 + 2
    with Store.open(folder, read_only=True) as store:
        pd.testing.assert_frame_equal(store.trials(), trials)
    merge([folder], tmp_path / "merged")
    edit(tmp_path / "merged", "UPDATE trials SET loss_final = 0 WHERE trial_id = 'done'")
    refused(tmp_path / "merged", "the result of trial done is not what was written")


def test_trials_of_an_older_layout_are_read_without_checksums(folder: Path) -> None:
    names = ("plan_checksum", "result_checksum", "curve_checksum")
    for name in names:
        edit(folder, f"UPDATE trials SET {name} = NULL")
    edit(folder, "UPDATE trials SET loss_final = 0.5 WHERE trial_id = 'done'")
    edit(folder, "UPDATE curves SET value = 2 WHERE step = 0")
    with Store.open(folder) as store:
        assert store.trials()["loss_final"].tolist()[0] == 0.5
        assert store.curves()["value"].tolist()[0] == 2
