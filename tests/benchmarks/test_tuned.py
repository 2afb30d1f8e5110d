"""The best cell of each rule, and the tables of what they come to."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

import freewalk
from benchmarks.tuned import main, table, table_over, winners


def test_the_table_over_an_axis() -> None:
    trials = pd.DataFrame(
        {
            "method": ["rtrl"] * 6 + ["rflo"] * 6,
            "param_feedback": [None] * 6 + ["symmetric"] * 6,
            "param_delay": [2] * 12,
            "reached": [True] * 6 + [False] * 5 + [True],
            "steps_to_target": pd.array([1000, 2000, 3000, 4000, 5000, 6000, *[None] * 5, 7], dtype="Int64"),
        }
    )
    assert list(table_over(trials, "delay", "steps_to_target")) == [
        "| rule | delay 2 |",
        "|---|---|",
        "| rtrl | 6 of 6: 3,500 (1,357 to 5,643) |",
        "| rflo, feedback=symmetric | 1 of 6: ∞ (from 7) |",
    ]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of a search on free and layered networks."""
    out: Path = tmp_path_factory.mktemp("search") / "out"
    rates = {"learning_rate": [1e-9, 3.0], "batch_size": [4, 5], "optimizer": "momentum"}
    grid = [
        {"method": "backprop", "hidden": 4, "timesteps": [2, 3], **rates},
        {"method": "feedback-alignment", "architecture": "2-8-1", **rates},
        {"method": ["backprop", "numerical"], "architecture": "2-8-1", **rates},
    ]
    freewalk.sweep(grid, task="xor", seeds="0:3", evaluations=10_000, out=out)
    return out


def test_winners_are_the_best_cell_of_each_rule(folder: Path) -> None:
    found = tomllib.loads(winners(folder, None, "best", "7:9"))
    assert (found["name"], found["seeds"], found["evaluations"]) == ("best", "7:9", 10_000)
    assert [grid["method"] for grid in found["grid"]] == ["backprop", "feedback-alignment", "backprop", "numerical"]
    summary = freewalk.read_table(folder / "summary.csv", "summary")
    for grid in found["grid"]:
        assert grid["learning_rate"] == 3, "the other learns nothing"
        own = (summary["method"] == grid["method"]) & (
            summary["param_architecture"] == grid.get("architecture", "free")
        )
        cells = summary[own & (summary["n_reached"] == summary["n_reached"][own].max())]
        cost = "ert_evaluations" if cells["n_reached"].any() else "loss_final_median"
        best = cells.sort_values(cost).iloc[0]
        assert best["param_batch_size"] == grid["batch_size"]
        assert pd.isna(best["param_timesteps"]) == ("timesteps" not in grid)


def test_winners_run_as_a_grid_and_at_each_value_of_an_axis(folder: Path, tmp_path: Path) -> None:
    path = tmp_path / "winners.toml"
    path.write_text(winners(folder, "timesteps", "best", "7:9"))
    again = freewalk.sweep(str(path), out=tmp_path / "out").trials
    assert len(again) == 2 * 2
    assert sorted(again["param_timesteps"].astype(int)) == [2, 2, 3, 3]


def test_winners_of_a_sweep_over_epochs_get_as_many(tmp_path: Path) -> None:
    freewalk.sweep(
        {"hidden": 2, "method": "backprop"}, task="and", seeds="0:1", epochs=2, steps_per_epoch=3, out=tmp_path
    )
    found = tomllib.loads(winners(tmp_path, None, "best", "0:2"))
    assert (found["epochs"], found["steps_per_epoch"]) == (2, 3)
    assert "evaluations" not in found


def test_the_table_of_rules(folder: Path) -> None:
    trials = freewalk.read_table(folder / "trials.csv")
    kept = trials[(trials["param_learning_rate"] == 3) & (trials["param_batch_size"] == 4)]
    lines = list(table(kept[kept["param_architecture"] == "2-8-1"]))
    assert [line.split("|")[1].strip() for line in lines[2:]][-1] == "`numerical`", "what costs most comes last"
    baseline = next(line for line in lines if "`backprop`" in line)
    assert "| momentum 3.0, batch 4 |" in baseline
    assert "| 1 |" in baseline


def test_each_problem_has_a_table(folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    monkeypatch.setattr("sys.argv", ["tuned", "table", str(folder), "--over", "batch_size"])
    main()
    found = [line for line in capsys.readouterr().out.splitlines() if "#" in line]
    assert found == [f"## xor, {network}: {cost}" for network in ("free", "2-8-1") for cost in ("steps", "evaluations")]
