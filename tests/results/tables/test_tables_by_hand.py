"""Trials tables that somebody made by hand: what is needed, what follows, and one line for what is wrong."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from freewalk.results.analysis.summary import summarise
from freewalk.results.base.errors import StoreError, UnreadColumns
from freewalk.results.files.export import write_csv
from freewalk.results.files.sources import read_source
from freewalk.results.schema.schema import column_names
from freewalk.results.tables.by_hand import NEEDED
from freewalk.results.tables.reading import read_table

LEAST = """task,method,seed,param_rate,reached,evaluations
maze,ours,0,0.1,True,1200
maze,ours,1,0.1,True,900
maze,theirs,0,0.2,False,5000
"""


@pytest.fixture
def table(tmp_path: Path) -> Path:
    return tmp_path / "trials.csv"


def read(path: Path, text: str) -> pd.DataFrame:
    path.write_text(text, encoding="utf-8")
    return read_table(path)


def test_the_needed_columns_are_enough(table: Path) -> None:
    trials = read(table, LEAST)
    assert list(trials) == column_names("trials", ["rate"])
    assert set(trials["state"]) == {"complete"}
    assert trials["outcome"].tolist() == ["reached", "reached", "exhausted"]
    assert trials["evaluations_to_target"].tolist() == [1200, 900, pd.NA]
    assert trials["param_rate"].tolist() == [0.1, 0.1, 0.2]
    summary = summarise(trials)
    assert summary["ert_evaluations"].tolist() == [1050.0, float("inf")]
    assert summary[["ert_seconds", "loss_final_iqm"]].isna().all(axis=None)


def test_it_is_the_same_table_once_it_has_been_written(table: Path) -> None:
    trials = read(table, LEAST)
    write_csv(trials, table)
    pd.testing.assert_frame_equal(read_table(table), trials)


@pytest.mark.parametrize("name", NEEDED)
def test_every_needed_column_is_needed(table: Path, name: str) -> None:
    with pytest.raises(StoreError, match=rf"no column '{name}'.*did you mean '{name}_'"):
        read(table, LEAST.replace(name, f"{name}_", 1))
    frame = pd.read_csv(table, dtype=str).drop(columns=f"{name}_")
    with pytest.raises(
        StoreError, match=f"no column '{name}'; needed are task, method, seed, evaluations, and reached"
    ):
        read(table, frame.to_csv(index=False))


@pytest.mark.parametrize(
    "text",
    [
        LEAST.replace("reached", "outcome").replace("True", "reached").replace("False", "Exhausted"),
        LEAST.replace("True", "yes").replace("False", "0"),
        LEAST.replace("1200", "1200.0").replace("900", "9e2"),
        f"\ufeff{LEAST},,,,,\n\n",
        LEAST.replace(",", " ,\t"),
        "\r\n".join(LEAST.splitlines()),
        "evaluations,reached,param_rate,seed,method,task\n"
        + "\n".join(",".join(reversed(line.split(","))) for line in LEAST.splitlines()[1:]),
    ],
    ids=["outcomes", "other truths", "floats", "a spreadsheet's ends", "blanks", "line ends", "another order"],
)
def test_other_spellings_are_the_same_table(table: Path, text: str) -> None:
    expected = read(table, LEAST)
    pd.testing.assert_frame_equal(read(table, text), expected)


def with_column(name: str, *values: str, text: str = LEAST) -> str:
    header, *rows = text.splitlines()
    return "\n".join([f"{header},{name}", *(f"{row},{value}" for row, value in zip(rows, values, strict=True))]) + "\n"


def test_what_is_given_counts(table: Path) -> None:
    trials = read(table, with_column("evaluations_to_target", "1000", "", ""))
    assert trials["evaluations_to_target"].tolist() == [1000, 900, pd.NA]
    trials = read(table, with_column("outcome", "reached", "reached", "diverged"))
    assert trials["outcome"].tolist() == ["reached", "reached", "diverged"]
    trials = read(table, with_column("loss_final", "0.1", "nan", "inf"))
    assert trials["loss_final"].tolist()[::2] == [0.1, float("inf")]
    trials = read(table, with_column("trial_id", "a", "b", "c"))
    assert trials["trial_id"].tolist() == ["a", "b", "c"]


def test_failures_and_what_has_not_run(table: Path) -> None:
    text = LEAST.replace("True,900", ",").replace("False,5000", "none,NaN")
    trials = read(table, with_column("error", "", "out of memory", "lost", text=text))
    assert trials["state"].tolist() == ["complete", "failed", "failed"]
    assert trials["error"].tolist() == [pd.NA, "out of memory", "lost"]
    trials = read(table, with_column("state", "", "Pending", "running", text=text))
    assert trials["state"].tolist() == ["complete", "pending", "running"]
    assert summarise(trials)["n_complete"].tolist() == [1, 0]


@pytest.mark.parametrize(
    ("old", "new", "line", "message"),
    [
        ("1200", "many", 2, "evaluations is 'many', not a whole number of at least 0"),
        ("900", "-1", 3, "evaluations is '-1', not a whole number"),
        ("900", "0.5", 3, "evaluations is '0.5', not a whole number"),
        ("5000", "inf", 4, "evaluations is 'inf', not a whole number"),
        ("5000", "9" * 30, 4, "evaluations is '9+', not a whole number"),
        ("5000", "", 4, "evaluations is missing"),
        ("False", "perhaps", 4, "reached is 'perhaps', neither True nor False"),
        ("False", "", 4, "neither reached nor outcome says how the trial ended"),
        ("theirs,0", "theirs,x", 4, "seed is 'x', not a whole number"),
        ("theirs,0", "theirs,", 4, "seed is missing"),
        ("maze,theirs", "maze,", 4, "method is missing"),
        ("maze,theirs", ",theirs", 4, "task is missing"),
        ("ours,1", "ours,0", 3, "the same task, method, parameters and seed as line 2.*needs a column param_NAME"),
    ],
)
def test_a_wrong_value_is_named_with_its_line(table: Path, old: str, new: str, line: int, message: str) -> None:
    with pytest.raises(StoreError, match=rf"trials\.csv, line {line}: {message}") as caught:
        read(table, LEAST.replace(old, new))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("column", "value", "message"),
    [
        ("outcome", "tired", "outcome is 'tired', not one of reached, exhausted"),
        ("outcome", "diverged", "reached is True, and outcome is 'diverged'"),
        ("state", "done", "state is 'done', not one of pending"),
        ("loss_final", "low", "loss_final is 'low', not a number"),
        ("steps", "x", "steps is 'x', not a whole number"),
        ("evaluations_to_target", "1201", "evaluations_to_target is above evaluations"),
    ],
)
def test_a_wrong_value_of_a_column_that_need_not_be(table: Path, column: str, value: str, message: str) -> None:
    with pytest.raises(StoreError, match=f"line 2: {message}"):
        read(table, with_column(column, value, "", ""))


def test_columns_of_ones_own_are_left_aside_and_named(table: Path) -> None:
    expected = read(table, LEAST)
    with pytest.warns(UnreadColumns, match="nothing is read of the columns stddev, note;.*such as param_stddev"):
        trials = read(table, with_column("note", "", "x", "y", text=with_column("stddev", "1", "2", "3")))
    pd.testing.assert_frame_equal(trials, expected)
    with pytest.raises(StoreError, match=r"line 3: the same task.*needs a column param_stddev"):
        read(table, with_column("stddev", "1", "2", "3", text=LEAST.replace("ours,1", "ours,0")))


def test_a_table_of_ours_may_be_edited(table: Path) -> None:
    write_csv(read(table, LEAST), table)
    frame = pd.read_csv(table)
    frame.drop(columns=["backend", "state", "trial_id"]).to_csv(table, index=False)
    assert read_table(table)["state"].tolist() == ["complete"] * 3
    frame.assign(evaluations=frame["evaluations"] * 2).to_csv(table, index=False)
    assert read_table(table)["evaluations"].tolist() == [2400, 1800, 10000]


def test_two_columns_of_one_name(table: Path) -> None:
    with pytest.raises(StoreError, match="two columns 'param_rate'"):
        read(table, with_column(" param_rate", "1", "2", "3"))


def test_no_rows_are_no_trials(table: Path) -> None:
    assert read(table, LEAST.splitlines()[0] + "\n").empty
    with pytest.raises(StoreError, match="is not a CSV table"):
        read(table, "")


def test_folder_and_file_are_the_same_sweep(table: Path) -> None:
    table.write_text(LEAST)
    both = [read_source(path).trials for path in (table, table.parent)]
    pd.testing.assert_frame_equal(*both)
    assert len({*both[0]["sweep_id"]}) == 1
    assert both[0]["trial_id"].is_unique
