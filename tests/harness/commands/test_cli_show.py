"""`harness show`: every table, chosen rows and columns, CSV and JSON that can be read back."""

import io
import json
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from freewalk.results.analysis.ranking import ranking
from freewalk.results.analysis.sensitivity import sensitivity
from freewalk.results.analysis.summary import summarise
from freewalk.results.files.export import export_tables, write_csv
from freewalk.results.schema.report_schema import RANKING, SENSITIVITY
from freewalk.results.store.store import CurvePoint, Store, TrialRecord
from freewalk.results.tables.reading import read_table

Harness = Callable[..., Any]
Refused = Callable[..., str]


@pytest.fixture
def sweep(tmp_path: Path) -> Path:
    """Give the folder of a sweep: two stddevs, four seeds, one trial failed, one diverged."""
    with Store.create(tmp_path / "runs", {}, "demo") as store:
        records = [
            TrialRecord(
                trial_id=f"{stddev}-{seed}",
                task="xor",
                method="walk",
                seed=seed,
                parameters={"stddev": stddev, "note": "[red]hot[/red]"},
                metric_name="loss",
                target=0.1,
            )
            for stddev in (0.1, 0.5)
            for seed in range(4)
        ]
        store.add_pending(records)
        for place, record in enumerate(records):
            reached = place < 4
            spent = 100 * (place + 1)
            fields = {
                "outcome": "reached" if reached else "exhausted",
                "reached": reached,
                "loss_final": 0.01 * (place + 1),
                "steps": place + 1,
                "evaluations": spent,
                "evaluations_to_target": spent if reached else None,
                "steps_to_target": place + 1 if reached else None,
                "train_seconds": 0.5,
            }
            curve = [CurvePoint(s, 10 * s, s / 8, "heldout", "loss", 1 / (s + 1)) for s in range(3)]
            if place == 6:
                store.finish(record.trial_id, fields | {"outcome": "diverged", "loss_final": math.inf}, curve)
            elif place == 7:
                store.fail(record.trial_id, "MemoryError: a\nlong | story")
            else:
                store.finish(record.trial_id, fields, curve)
        export_tables(store)
    return tmp_path / "runs"


def tables_of(folder: Path) -> dict[str, pd.DataFrame]:
    with Store.open(folder, read_only=True) as store:
        trials, curves = store.trials(), store.curves()
    made = {"summary": summarise(trials), "ranking": ranking(trials), "sensitivity": sensitivity(trials)}
    return {"trials": trials, "curves": curves} | made


@pytest.mark.parametrize("table", ["trials", "curves", "summary", "ranking", "sensitivity"])
def test_csv_is_the_whole_table_and_can_be_read_back(harness: Harness, sweep: Path, tmp_path: Path, table: Any) -> None:
    result = harness("show", "runs", "--table", table, "--csv")
    assert (result.code, result.err) == (0, "")
    expected = tables_of(sweep)[table]
    write_csv(expected, tmp_path / "expected.csv")
    (tmp_path / "found.csv").write_text(result.out)
    assert result.out == (tmp_path / "expected.csv").read_text()
    pd.testing.assert_frame_equal(read_table(tmp_path / "found.csv", table), expected, check_exact=True)


@pytest.mark.parametrize("table", ["trials", "curves", "summary", "ranking", "sensitivity"])
def test_json_has_all_rows_and_columns(harness: Harness, sweep: Path, table: str) -> None:
    result = harness("show", "runs", "--table", table, "--json")
    rows = json.loads(result.out, parse_constant=lambda name: pytest.fail(f"{name} is no JSON"))
    expected = tables_of(sweep)[table]
    assert [list(row) for row in rows] == [list(expected.columns)] * len(expected)
    if table == "trials":
        assert [row["loss_final"] for row in rows] == [0.01, 0.02, 0.03, 0.04, 0.05, 0.06, "inf", None]
        assert [row["reached"] for row in rows][-2:] == [False, None]
        assert rows[7]["error"] == "MemoryError: a\nlong | story"
        assert rows[0]["seed"] == 0


def test_the_terminal_shows_what_tells_and_says_what_it_leaves_out(harness: Harness, sweep: Path) -> None:
    result = harness("show", "runs")
    assert (result.code, result.err) == (0, "")
    for word in ("stddev", "n_reached", "success_rate", "0.1", "0.5", "2 rows", "columns", "--csv"):
        assert word in result.out
    assert "schema_version" not in result.out  # the same in every row
    assert "param_" not in result.out
    assert "\x1b" not in result.out
    assert max(map(len, result.out.splitlines())) <= 160


def test_rows_and_columns_can_be_chosen(harness: Harness, sweep: Path) -> None:
    arguments = ["show", "runs", "--table", "trials", "--columns", "trial_id, stddev,loss_final,outcome,error"]
    result = harness(*arguments, "--where", "stddev > 0.2 and outcome != 'diverged'", "--sort", "-loss_final")
    lines = [line.split() for line in result.out.splitlines() if line.strip().startswith("0.5-")]
    assert [line[0] for line in lines] == ["0.5-1", "0.5-0"]
    assert lines[0][1:] == ["0.5", "0.06", "exhausted", "-"]
    found = pd.read_csv(io.StringIO(harness(*arguments, "--sort", "stddev,-trial_id", "--limit", "3", "--csv").out))
    assert found["trial_id"].tolist() == ["0.1-3", "0.1-2", "0.1-1"]
    assert list(found.columns) == ["trial_id", "param_stddev", "loss_final", "outcome", "error"]
    failed = harness(*arguments, "--where", "error != None")
    assert "MemoryError: a long | story" in failed.out
    assert "1 row" in failed.out
    assert "0 rows" in harness(*arguments, "--where", "stddev > 99").out


def test_texts_are_no_markup(harness: Harness, sweep: Path) -> None:
    result = harness("show", "runs", "--table", "trials", "--columns", "note", "--limit", "1")
    assert "[red]hot[/red]" in result.out


def test_many_rows_are_cut_on_the_terminal_alone(harness: Harness, tmp_path: Path) -> None:
    with Store.create(tmp_path / "runs", {}) as store:
        store.add_pending(
            TrialRecord(trial_id=f"t{i}", task="xor", method="walk", seed=i, parameters={}) for i in range(100)
        )
    assert "40 of 100 rows" in harness("show", "runs", "--table", "trials").out
    assert len(harness("show", "runs", "--table", "trials", "--csv").out.splitlines()) == 101
    assert "t69 " in harness("show", "runs", "--table", "trials", "--limit", "70").out
    assert "0 rows" in harness("show", "runs", "--table", "sensitivity").out
    assert "1 row" in harness("show", "runs").out


def test_csv_files_are_enough(harness: Harness, sweep: Path) -> None:
    with_store = [harness("show", "runs", "--table", name, "--csv").out for name in ("trials", "curves", "ranking")]
    (sweep / "sweep.sqlite").unlink()
    assert [harness("show", "runs", "--table", n, "--csv").out for n in ("trials", "curves", "ranking")] == with_store
    assert harness("show", "runs/trials.csv", "--csv", "--table", "ranking").out == with_store[2]


@pytest.mark.parametrize(
    ("arguments", "culprit", "remedy"),
    [
        (["show"], "'DIR'", "harness show --help"),
        (["show", "nowhere"], "nowhere", "check the path"),
        (["show", "."], ". holds no sweep", "check the path"),
        (["show", "runs", "--table", "trails"], "unknown table 'trails'", "did you mean 'trials'?"),
        (["show", "runs", "--where", "stdev > 1"], "--where: there is no column 'stdev'", "known: "),
        (["show", "runs", "--where", "__import__('os')"], "--where: __import__('os')", "write such as: task == 'xor'"),
        (["show", "runs", "--where", "n_trials >"], "--where: 'n_trials >'", "write such as"),
        (["show", "runs", "--columns", "task,"], "--columns: there is no column ''", "known: "),
        (["show", "runs", "--sort", "tsk"], "--sort: there is no column 'tsk'", "known: "),
        (["show", "runs", "--limit", "0"], "--limit 0", "at least 1"),
        (["show", "runs", "--csv", "--json"], "--csv and --json", "give one"),
    ],
)
def test_mistakes_are_one_line_with_the_remedy(
    refused: Refused, sweep: Path, arguments: Sequence[str], culprit: str, remedy: str
) -> None:
    line = refused(*arguments)
    assert culprit in line
    assert remedy in line


def test_a_damaged_store_is_refused_in_readers_words(refused: Refused, sweep: Path) -> None:
    (sweep / "sweep.sqlite").write_bytes(b"nothing of the kind" * 100)
    line = refused("show", "runs")
    assert "sweep.sqlite is damaged" in line
    assert "give another folder" in line
    assert "--out" not in line


def test_nothing_is_changed(harness: Harness, sweep: Path, snapshot: Callable[[Path], Any]) -> None:
    before = snapshot(sweep)
    for table in ("trials", "curves", "summary", RANKING, SENSITIVITY):
        assert harness("show", "runs", "--table", table).code == 0
    assert snapshot(sweep) == before


def test_the_order_of_the_ranking_is_said_where_it_is_shown(harness: Harness, sweep: Path) -> None:
    order = "Cells stand in the order of success rate, then expected evaluations, then final loss.\n"
    assert harness("show", "runs", "--table", "ranking").out.endswith(order)
    for other in (("--csv",), ("--json",), ("--sort", "ert_evaluations")):
        assert order not in harness("show", "runs", "--table", "ranking", *other).out
