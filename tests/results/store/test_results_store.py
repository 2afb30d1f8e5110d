"""The store: what goes in comes out, in plan order, and a second run resumes."""

import math
import threading
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from freewalk.results.schema.schema import CURVE_COLUMNS, TRIAL_COLUMNS, State, column_names
from freewalk.results.store.store import CurvePoint, Store, StoreError, TrialRecord

Records = Callable[..., TrialRecord]
Curves = Callable[..., list[CurvePoint]]

DONE = {"outcome": "reached", "reached": True}


def test_row_and_curve_come_out_as_they_went_in(store: Store, record: Records, curve: Curves) -> None:
    store.add_pending([record("a", seed=7, parameters={"stddev": 0.01, "update": "raw", "mask": None})])
    store.mark_running(["a"])
    fields = {
        "outcome": "exhausted",
        "backend": "cuda",
        "dtype": "float32",
        "steps": np.int64(400),
        "evaluations": 800,
        "loss_final": np.float32(0.5),
        "loss_best": 0.1,
        "reached": False,
        "peak_memory_mb": 12.5,
    }
    store.finish("a", fields, curve(2))
    row = store.trials().iloc[0]
    for name, value in fields.items():
        assert row[name] == value
    assert (row["state"], row["seed"], row["metric_name"], row["target"]) == (
        "complete",
        7,
        "rows_right",
        1.0,
    )
    assert (row["param_stddev"], row["param_update"]) == (0.01, "raw")
    assert row[["steps_to_target", "error", "param_mask", "device"]].isna().all()
    assert row["sweep_id"] == store.sweep_id
    assert datetime.fromisoformat(row["started_at"]) <= datetime.fromisoformat(row["finished_at"])
    assert row["finished_at"].endswith("Z")
    points = store.curves()
    assert points["value"].tolist() == [0.5, 0.25]
    assert points["evaluations"].tolist() == [0, 2]
    assert points["trial_id"].tolist() == ["a", "a"]


def test_tables_have_the_documented_types_even_when_empty(store: Store, record: Records) -> None:
    for _ in range(2):
        trials, curves = store.trials(), store.curves()
        assert {name: str(trials[name].dtype) for name in trials if not str(name).startswith("param_")} == {
            column.name: column.dtype for column in TRIAL_COLUMNS
        }
        assert {name: str(dtype) for name, dtype in curves.dtypes.items()} == {
            column.name: column.dtype for column in CURVE_COLUMNS
        }
        store.add_pending([record("a")])


def test_parameter_columns_follow_the_plan(store: Store, record: Records) -> None:
    store.add_pending(
        [
            record("a", parameters={"zeta": 1, "alpha": 0.5, "mixed": 1, "flag": True}),
            record("b", parameters={"beta": 3, "zeta": 2, "mixed": "auto", "alpha": 2}),
        ]
    )
    trials = store.trials()
    assert list(trials.columns) == column_names("trials", ["zeta", "alpha", "mixed", "flag", "beta"])
    types = {name: str(trials[f"param_{name}"].dtype) for name in ("zeta", "alpha", "mixed", "flag", "beta")}
    assert types == {
        "zeta": "Int64",
        "alpha": "float64",
        "mixed": "string",
        "flag": "boolean",
        "beta": "Int64",
    }
    assert trials["param_mixed"].tolist() == ["1", "auto"]
    assert trials["param_alpha"].tolist() == [0.5, 2.0]
    assert trials["param_beta"].isna().tolist() == [True, False]


@settings(max_examples=50, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(loss=st.floats(allow_nan=True), value=st.floats(), parameter=st.floats(allow_nan=False))
def test_floats_come_back_exactly(store: Store, record: Records, loss: float, value: float, parameter: float) -> None:
    name = f"trial-{len(store.trials())}"
    store.add_pending([record(name, parameters={"x": parameter})])
    store.finish(name, {**DONE, "loss_final": loss}, [CurvePoint(0, 0, 0.0, "heldout", "loss", value)])
    row, point = store.trials().iloc[-1], store.curves().iloc[-1]
    for found, expected in [(row["loss_final"], loss), (point["value"], value), (row["param_x"], parameter)]:
        assert found == expected or (math.isnan(found) and math.isnan(expected))


def test_large_integers_come_back_exactly(store: Store, record: Records) -> None:
    store.add_pending([record("a", seed=2**63 - 1, parameters={"n": 2**53 + 1}), record("b", parameters={})])
    trials = store.trials()
    assert trials["seed"].iloc[0] == 2**63 - 1
    assert trials["param_n"].iloc[0] == 2**53 + 1


def test_tables_are_in_plan_order_whatever_finishes_first(store: Store, record: Records, curve: Curves) -> None:
    store.add_pending([record(name) for name in "dacb"])
    store.add_pending([record(name) for name in "ae"])
    for name in "bdae":
        store.finish(name, DONE, curve(2)[::-1])
    assert store.trials()["trial_id"].tolist() == list("dacbe")
    curves = store.curves()
    assert curves["trial_id"].tolist() == list("ddaabbee")
    assert curves["step"].tolist() == [0, 1] * 4
    assert store.unfinished() == ["c"]


def test_curve_points_of_one_step_are_ordered(store: Store, record: Records) -> None:
    store.add_pending([record("a")])
    points = [
        CurvePoint(1, 2, 0.0, split, metric, 0.0) for split in ("train", "heldout") for metric in ("rows", "bits")
    ]
    store.finish("a", DONE, points)
    found = store.curves()[["split", "metric"]].agg("/".join, axis=1).tolist()
    assert found == ["heldout/bits", "heldout/rows", "train/bits", "train/rows"]


def test_known_trials_are_not_added_again(store: Store, record: Records) -> None:
    store.add_pending([record("a")])
    store.finish("a", DONE)
    store.add_pending([record("a", task="other"), record("b")])
    assert store.trials()["task"].tolist() == ["xor", "xor"]
    assert store.counts()[State.COMPLETE] == 1


def test_resume_runs_the_unfinished_again(tmp_path: Path, record: Records, curve: Curves) -> None:
    configuration = {"task": "xor", "seeds": (0, 1)}
    with Store.open_or_create(tmp_path, configuration) as store:
        store.add_pending([record(name) for name in "abcdef"])
        store.mark_running("abcde")
        store.finish("a", DONE, curve())
        store.fail("b", "out of memory", {"steps": 3}, curve(1))
        store.mark_interrupted(["c", "a"])
        sweep_id = store.sweep_id
        assert store.counts() == {"pending": 1, "running": 2, "complete": 1, "failed": 1, "interrupted": 1}
    with Store.open(tmp_path, read_only=True) as store:  # looking changes nothing
        assert store.counts()[State.RUNNING] == 2
    with Store.open_or_create(tmp_path, configuration) as store:
        assert store.sweep_id == sweep_id
        assert store.counts() == {"pending": 4, "running": 0, "complete": 1, "failed": 1, "interrupted": 0}
        assert store.unfinished() == list("cdef")
        assert store.unfinished(retry_failed=True) == list("bcdef")
        assert store.trials()["started_at"].isna().tolist() == [False, False, True, True, True, True]
        assert store.curves()["trial_id"].tolist() == list("aaab")


def test_second_attempt_inherits_nothing(store: Store, record: Records, curve: Curves) -> None:
    store.add_pending([record("a"), record("b")])
    for name in "ab":
        store.fail(name, "out of memory", {"steps": 3, "backend": "cuda"}, curve(5))
    assert store.trials()["error"].tolist() == ["out of memory"] * 2
    store.mark_running(["a"])
    assert store.trials()[["error", "steps", "finished_at"]].iloc[0].isna().all()
    assert store.curves()["trial_id"].tolist() == ["b"] * 5
    for name in "ab":  # with and without mark_running
        store.finish(name, DONE, curve(1))
    assert store.trials()[["error", "steps"]].isna().all(axis=None)
    assert len(store.curves()) == 2


def test_failed_trial_has_an_error_and_no_outcome(store: Store, record: Records) -> None:
    store.add_pending([record("a"), record("b")])
    store.fail("a", "line one\r\nline\x00 two\udcff", {"outcome": "reached"})
    store.fail("b", "")
    trials = store.trials()
    assert trials["error"].tolist() == ["line one\nline two\\udcff", "unknown error"]
    assert trials["outcome"].isna().all()
    assert trials["state"].tolist() == ["failed", "failed"]


def test_complete_trials_are_not_started_again(store: Store, record: Records, curve: Curves) -> None:
    store.add_pending([record("a"), record("b")])
    store.finish("a", DONE, curve())
    for names in (["b", "a"], ["b", "nobody"]):
        with pytest.raises(StoreError, match="unknown or already complete"):
            store.mark_running(names)
    assert store.counts() == {"pending": 1, "running": 0, "complete": 1, "failed": 0, "interrupted": 0}
    assert len(store.curves()) == 3


def test_unknown_trial_is_named(store: Store) -> None:
    with pytest.raises(StoreError, match="no trial nobody"):
        store.finish("nobody", DONE)


@pytest.mark.parametrize(
    ("fields", "culprit"),
    [
        ({"outcome": None}, "without an outcome"),
        ({"outcome": "won"}, "won"),
        (DONE | {"lose_final": 1.0}, "lose_final"),
        (DONE | {"task": "and"}, "task"),
        (DONE | {"steps": 1.5}, "steps"),
        (DONE | {"steps": 2**63}, "steps"),
        (DONE | {"loss_final": "low"}, "loss_final"),
        (DONE | {"reached": 2}, "reached"),
        (DONE | {"device": 3}, "device"),
    ],
)
def test_wrong_fields_are_refused_and_leave_the_trial_alone(
    store: Store, record: Records, curve: Curves, fields: dict[str, Any], culprit: str
) -> None:
    store.add_pending([record("a")])
    before = store.trials()
    with pytest.raises(ValueError, match=culprit):
        store.finish("a", fields, curve())
    pd.testing.assert_frame_equal(store.trials(), before)
    assert store.curves().empty


def test_failed_write_is_undone(store: Store, record: Records, curve: Curves) -> None:
    store.add_pending([record("a")])
    with pytest.raises(ValueError, match="two curve points"):
        store.finish("a", DONE, [*curve(), *curve(1)])
    with pytest.raises(ValueError, match="seed"):
        store.add_pending([record("b"), record("c", seed=2**63)])
    with pytest.raises(ValueError, match="parameter x"):
        store.add_pending([record("b"), record("c", parameters={"x": [1]})])
    assert store.trials()["trial_id"].tolist() == ["a"]
    assert store.unfinished() == ["a"]


def test_store_belongs_to_its_thread(store: Store) -> None:
    problems: list[Exception] = []

    def read() -> None:
        try:
            store.counts()
        except Exception as error:
            problems.append(error)

    thread = threading.Thread(target=read)
    thread.start()
    thread.join()
    assert "thread" in str(problems[0])


def test_configuration_is_given_back(tmp_path: Path) -> None:
    configuration = {"b": (1, 2.5, True, None), "a": {"path": Path("x"), "n": np.int64(3)}}
    with Store.create(tmp_path, configuration) as store:
        assert store.configuration() == {"b": [1, 2.5, True, None], "a": {"path": "x", "n": 3}}
        with Store.open(tmp_path, read_only=True) as reader:
            assert reader.sweep_id == store.sweep_id


@pytest.mark.parametrize(
    ("other", "message"),
    [
        ({"grid": {"stddev": [0.02], "hidden": 3}}, r"grid\.stddev is \[0\.01\] there and \[0\.02\] here"),
        ({"grid": {"stddev": [0.01]}}, r"grid\.hidden is 3 there and absent here"),
        ({"grid": {"stddev": [0.01], "hidden": 3.0}}, r"grid\.hidden is 3 there and 3\.0 here"),
        ({"grid": {"stddev": [0.01], "hidden": 3}, "seeds": 5}, r"seeds is absent there and 5 here"),
    ],
)
def test_another_configuration_is_refused_by_name(tmp_path: Path, other: dict[str, Any], message: str) -> None:
    same = {"grid": {"hidden": 3, "stddev": [0.01]}}
    Store.create(tmp_path, {"grid": {"stddev": (0.01,), "hidden": 3}}).close()
    Store.open_or_create(tmp_path, same).close()
    with pytest.raises(StoreError, match=f"another sweep .{message}.*--out"):
        Store.open_or_create(tmp_path, other)
    Store.open_or_create(tmp_path, same).close()  # the refusal has let go of the lock


def test_a_checkpoint_stays_until_its_trial_ends(tmp_path: Path, record: Records) -> None:
    with Store.create(tmp_path, {}) as store:
        store.add_pending([record("a"), record("b"), record("c")])
        store.mark_running(["a", "b"])
        store.save_checkpoint("b", 5, b"old")
        store.save_checkpoint("b", 7, b"\x00new\xff")
        store.save_checkpoint("a", 1, b"one")
        assert list(store.checkpoints(["a", "b", "c"])) == [("a", b"one"), ("b", b"\x00new\xff")]
        assert list(store.checkpoints(["b"])) == [("b", b"\x00new\xff")]
    with Store.open(tmp_path) as store:  # trials that were running are pending again, and go on from here
        assert store.unfinished() == ["a", "b", "c"]
        store.mark_running(["a", "b"])
        assert dict(store.checkpoints("ab")) == {"a": b"one", "b": b"\x00new\xff"}
        store.finish("a", DONE)
        store.fail("b", "no room")
        assert list(store.checkpoints("abc")) == []
        for name in ("a", "nobody"):
            with pytest.raises(StoreError, match="unknown or already complete"):
                store.save_checkpoint(name, 1, b"late")


def test_curves_of_running_trials_stay_apart_until_they_end(tmp_path: Path, record: Records) -> None:
    def points(*steps: int) -> list[CurvePoint]:
        return [CurvePoint(step, 10 * step, 0.1, "heldout", "loss", 1.0 / step) for step in steps]

    def steps(curves: pd.DataFrame) -> dict[str, list[int]]:
        return {name: part["step"].tolist() for name, part in curves.groupby("trial_id")}

    with Store.create(tmp_path, {}) as store:
        store.add_pending([record("a"), record("b"), record("c")])
        store.add_points({"a": points(1)})  # not begun: what comes late is left out
        store.mark_running(["a", "b"])
        store.add_points({"a": points(1, 2), "b": points(1)})
        store.add_points({"a": points(2, 3), "nobody": points(1)})
        assert steps(store.curves_in_progress()) == {"a": [1, 2, 3], "b": [1]}
        assert store.curves().empty
        with Store.open(tmp_path, read_only=True) as reader:
            assert steps(reader.curves_in_progress()) == {"a": [1, 2, 3], "b": [1]}
        store.finish("a", DONE, points(1, 5))
        store.add_points({"a": points(6)})
        assert steps(store.curves()) == {"a": [1, 5]}
        store.fail("b", "no room")
        assert store.curves_in_progress().empty
        store.mark_running(["c"])
        store.add_points({"c": points(1)})
    with Store.open(tmp_path) as store:  # it starts again, or goes on from a checkpoint and says all of it again
        assert store.curves_in_progress().empty
        assert steps(store.curves()) == {"a": [1, 5]}
