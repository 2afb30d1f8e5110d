"""Files: whole or not at all, and the same tables when read back."""

import json
import math
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from freewalk.results.analysis.summary import summarise
from freewalk.results.files.export import export_tables, read_csv, write_csv, write_csv_in_parts, write_json, write_text
from freewalk.results.schema.schema import SCHEMA_VERSION
from freewalk.results.store.store import CurvePoint, Store, StoreError, TrialRecord
from freewalk.results.tables.frames import parameter_series

Records = Callable[..., TrialRecord]

scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**70), 2**70),
    st.floats(),
    st.text(max_size=8),
    st.sampled_from(["nan", "NA", "inf", "True", "1", "1.0", "007", "None", "a,b", 'say "x"', "a\r\nb", "\r", " "]),
)


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    parameters=st.lists(st.dictionaries(st.sampled_from("abc"), scalars), min_size=1, max_size=5),
    loss=st.floats(),
    seed=st.integers(-(2**63), 2**63 - 1),
    error=st.text(),
)
def test_trials_from_csv_are_the_trials_of_the_store(
    tmp_path_factory: pytest.TempPathFactory,
    record: Records,
    parameters: list[dict[str, Any]],
    loss: float,
    seed: int,
    error: str,
) -> None:
    directory = tmp_path_factory.mktemp("sweep")
    with Store.create(directory, {}) as store:
        store.add_pending(record(str(i), seed=seed, parameters=p) for i, p in enumerate(parameters))
        store.finish("0", {"outcome": "exhausted", "loss_final": loss, "steps": 2**62 + 1, "reached": False})
        store.add_pending([record("failed", parameters={})])
        store.fail("failed", error)
        trials = store.trials()
    write_csv(trials, directory / "trials.csv")
    pd.testing.assert_frame_equal(read_csv(directory / "trials.csv"), trials, check_exact=True)
    pd.testing.assert_frame_equal(
        read_csv_after_writing(summarise(trials), directory), summarise(trials), check_exact=True
    )


def read_csv_after_writing(summary: pd.DataFrame, directory: Path) -> pd.DataFrame:
    write_csv(summary, directory / "summary.csv")
    return read_csv(directory / "summary.csv", "summary")


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(values=st.lists(st.floats(), max_size=10))
def test_curves_from_csv_are_the_curves_of_the_store(
    tmp_path_factory: pytest.TempPathFactory, record: Records, values: list[float]
) -> None:
    directory = tmp_path_factory.mktemp("sweep")
    with Store.create(directory, {}) as store:
        store.add_pending([record("a")])
        points = [CurvePoint(i, i, i / 7, "heldout", "loss", value) for i, value in enumerate(values)]
        store.finish("a", {"outcome": "exhausted"}, points)
        export_tables(store)
        curves = store.curves()
        for rows in (1, 3):
            parts = list(store.curves_in_parts(rows))
            assert all(0 < len(part) <= rows for part in parts) or not values
            pd.testing.assert_frame_equal(pd.concat(parts, ignore_index=True), curves, check_exact=True)
            write_csv_in_parts(parts, directory / f"{rows}.csv")
            assert (directory / f"{rows}.csv").read_bytes() == (directory / "curves.csv").read_bytes()
    pd.testing.assert_frame_equal(read_csv(directory / "curves.csv", "curves"), curves, check_exact=True)
    expected = [value for value in values if not math.isnan(value)]
    assert curves["value"].dropna().tolist() == expected


def test_export_writes_the_three_tables(store: Store, record: Records, tmp_path: Path) -> None:
    store.add_pending([record("a"), record("b", seed=1)])
    store.finish("a", {"outcome": "reached", "reached": True, "evaluations": 3, "evaluations_to_target": 3})
    tables = export_tables(store, tmp_path)
    assert list(tables) == ["trials", "summary"]
    assert read_csv(tmp_path / "curves.csv", "curves").empty
    for name, frame in tables.items():
        pd.testing.assert_frame_equal(read_csv(tmp_path / f"{name}.csv", name), frame)
    assert tables["summary"]["n_trials"].tolist() == [2]
    assert (tmp_path / "trials.csv").read_text().startswith("schema_version,sweep_id,trial_id,state,outcome,task")


@pytest.mark.parametrize(
    ("values", "dtype", "expected"),
    [
        ([1, 2, None], "Int64", [1, 2, None]),
        ([1, 0.5, math.inf], "float64", [1.0, 0.5, math.inf]),
        ([True, False], "boolean", [True, False]),
        ([True, 1], "string", ["True", "1"]),
        ([0.5, "auto"], "string", ["0.5", "auto"]),
        (["007", "8"], "string", ["007", "8"]),
        (["1", "2"], "Int64", [1, 2]),
        ([2**64], "string", [str(2**64)]),
        ([None, ""], "string", [None, None]),
    ],
)
def test_parameter_type_follows_the_values(values: list[Any], dtype: str, expected: list[Any]) -> None:
    series = parameter_series(values)
    assert str(series.dtype) == dtype
    assert [None if value is pd.NA else value for value in series] == expected


def test_failed_write_leaves_the_old_file_and_nothing_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "trials.csv"
    write_text("old", path)

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(pd.DataFrame, "to_csv", full)
    with pytest.raises(StoreError, match=r"trials\.csv: No space left.*--out"):
        write_csv(pd.DataFrame({"x": [1]}), path)
    assert [p.name for p in tmp_path.iterdir()] == ["trials.csv"]
    assert path.read_text() == "old"


def test_file_is_replaced_in_one_piece(tmp_path: Path) -> None:
    path, reader = tmp_path / "trials.csv", tmp_path / "reader"
    write_text("old", path)
    reader.hardlink_to(path)  # what a reader that has the file open goes on seeing
    write_text("new", path)
    assert (reader.read_text(), path.read_text()) == ("old", "new")


def test_written_files_have_the_usual_permissions(tmp_path: Path) -> None:
    (tmp_path / "plain").touch()
    write_text("x\n", tmp_path / "written")
    modes = {stat.S_IMODE(path.stat().st_mode) for path in tmp_path.iterdir()}
    assert len(modes) == 1


def test_write_below_a_file_is_refused() -> None:
    with pytest.raises(StoreError, match="/dev/null/x"):
        write_text("x", Path("/dev/null/x"))


def test_json_is_plain_json(tmp_path: Path) -> None:
    write_json({"b": [1, 0.1], "a": "µ"}, tmp_path / "environment.json")
    assert json.loads((tmp_path / "environment.json").read_text(encoding="utf-8")) == {
        "b": [1, 0.1],
        "a": "µ",
    }
    with pytest.raises(ValueError, match="JSON"):
        write_json({"a": math.nan}, tmp_path / "environment.json")
    assert "µ" in (tmp_path / "environment.json").read_text(encoding="utf-8")


def spoiled(text: str, how: str) -> str:
    header, row = text.splitlines()
    return {
        "another table": "a,b\n1,2\n",
        "a newer layout": f"{header}\n{SCHEMA_VERSION + 1}{row[1:]}\n",
        "a word for a number": f"{header}\n{row.replace('0.625', 'low')}\n",
        "no state": f"{header}\n{row.replace(',complete,', ',compleet,')}\n",
        "no outcome": f"{header}\n{row.replace(',exhausted,', ',tired,')}\n",
        "a missing column": header.replace("seed", "sead") + f"\n{row}\n",
        "nothing": "",
        "ragged rows": f"{header}\n{row}\n{row},,,\n",
    }[how]


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ("another table", "not a trials table"),
        ("a newer layout", f"another layout than {SCHEMA_VERSION}"),
        ("a word for a number", "line 2: loss_final is .low., not a number"),
        ("no state", "the state 'compleet', not one of pending, .*complete"),
        ("no outcome", "the outcome 'tired', not one of reached, "),
        ("a missing column", "not a trials table: it has no column .seed. .did you mean .sead"),
        ("nothing", "not a CSV table"),
        ("ragged rows", "not a CSV table"),
    ],
)
def test_spoiled_files_are_refused_in_one_line(
    store: Store, record: Records, tmp_path: Path, how: str, message: str
) -> None:
    store.add_pending([record("a")])
    store.finish("a", {"outcome": "exhausted", "loss_final": 0.625})
    path = tmp_path / "trials.csv"
    write_csv(store.trials(), path)
    path.write_text(spoiled(path.read_text(), how))
    with pytest.raises(StoreError, match=rf"trials\.csv.*{message}") as caught:
        read_csv(path)
    assert "\n" not in str(caught.value)


def test_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match=r"cannot read .*absent\.csv"):
        read_csv(tmp_path / "absent.csv")
