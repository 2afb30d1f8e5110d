"""`benchmarks.races`: races replayed on a finished sweep, beside random search and Optuna."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import numpy as np
import pytest

import freewalk
from benchmarks import races

SEEDS = "0:8"


@pytest.fixture(scope="module")
def sweep(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("races") / "grid"
    grid = {"learning_rate": [0.003, 0.03, 0.3, 3.0], "batch_size": [4, 64], "optimizer": "momentum"}
    freewalk.sweep(grid, task="and", method="backprop", seeds=SEEDS, evaluations=20_000, out=folder)
    return folder


def test_true_costs_are_those_of_the_summary(sweep: Path) -> None:
    (grid,) = races.Grid.read(sweep)
    summary = freewalk.read_table(sweep / "summary.csv", "summary")
    names = list(grid.settings[0])
    expected = {tuple(row[name] for name in names): row["ert_evaluations"] for row in summary.to_dict("records")}
    found = grid.true_costs(np.arange(8))
    assert len(found) == 8
    for setting, cost in zip(grid.settings, found, strict=True):
        assert cost == expected[tuple(setting.values())]


def test_a_race_on_the_table_is_a_race(sweep: Path) -> None:
    """The same grid, the same seeds: what `harness tune` finds and spends is what the replay says."""
    (grid,) = races.Grid.read(sweep)
    winner, spent = grid.race(np.arange(8), 1e6)
    given = {"learning_rate": [0.003, 0.03, 0.3, 3.0], "batch_size": [4, 64], "optimizer": "momentum"}
    tuned = freewalk.tune(
        given, task="and", method="backprop", race_seeds=SEEDS, seeds="20:22", evaluations=20_000, budget=1_000_000
    )
    (row,) = tuned.tuned.to_dict("records")
    assert {name: row[name] for name in grid.settings[0]} == grid.settings[winner]
    assert row["tuning_evaluations"] == spent
    assert grid.true_costs(np.arange(8))[winner] == tuned.rounds["leader_cost"].iloc[-1]


def test_the_table(sweep: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(sys, "argv", ["races", str(sweep), "--races", "4", "--seeds", "6"])
    races.main()
    head, rule, race, *rivals = capsys.readouterr().out.splitlines()
    assert head.count("|") == rule.count("|") == race.count("|")
    assert "| race | 4 of 4 (" in race
    whose = {"random search", "TPE"} if importlib.util.find_spec("optuna") else {"random search"}
    assert {line.split("|")[2].split(",")[0].strip() for line in rivals} == whose
    assert len(rivals) == 6 * len(whose)
    monkeypatch.setattr(sys, "argv", ["races", str(sweep), "--races", "4", "--seeds", "6", "--judge", "all"])
    races.main()
    *_, race, whole = capsys.readouterr().out.splitlines()
    assert "| race | " in race
    assert "| whole grid | " in whole
    assert whole.endswith(" | 100.0%, at most 100.0% |")


@pytest.mark.skipif(importlib.util.find_spec("optuna") is None, reason="the extra peers is not installed")
def test_rivals_find_good_cells_where_they_may_spend_enough(sweep: Path) -> None:
    (grid,) = races.Grid.read(sweep)
    true = grid.true_costs(np.arange(8))
    assert races.random_search(grid, np.arange(8), 1e9, 0) == np.argmin(true)
    assert true[races.tpe(grid, np.arange(8), 1e9, 0)] <= np.sort(true)[2]  # it need not ask for all
    assert races.random_search(grid, np.arange(8), 0.0, 0) == 0  # nothing can be paid
