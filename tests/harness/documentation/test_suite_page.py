"""docs/benchmarks/suite.md is made from what `harness tune` leaves."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from suite_page import suite_page

import freewalk


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("suite") / "out"
    freewalk.tune(
        {"hidden": 4},
        task=["and", "xor"],
        method=["walk", "backprop"],
        n_settings=4,
        evaluations=10_000,
        race_seeds="100:104",
        seeds="0:6",
        budget=200_000,
        out=out,
    )
    return out


def test_every_task_and_method_is_there(folder: Path) -> None:
    found = json.loads((folder / "tuning.json").read_text(encoding="utf-8"))
    found["command"] = "harness tune --grid suite --budget 200000"
    rows = freewalk.read_table(folder / "tuned.csv", "tuned").to_dict("records")
    page = "".join(suite_page(found, rows, 600.0, "two cores"))
    assert "10 minutes on two cores" in page
    assert "at\nmost 200,000 evaluations" in page
    for task in ("and", "xor"):
        part = page.partition(f"\n## {task}\n")[2].partition("\n## ")[0]
        assert [line.split("`")[1] for line in part.splitlines() if line.startswith("| `")] == [
            row["method"] for row in rows if row["task"] == task
        ]
    ranking = page.partition("## Ranking")[2].partition("\n## ")[0]
    assert {line.split("`")[1] for line in ranking.splitlines() if line.startswith("| `")} == {"walk", "backprop"}
    assert "nan" not in page
    assert "<NA>" not in page
