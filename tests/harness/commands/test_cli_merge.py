"""`harness merge`: sweeps of two machines in one folder."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from freewalk.results.files.export import write_json
from freewalk.results.files.sources import read_source
from freewalk.results.store.store import Store, TrialRecord

Harness = Callable[..., Any]
Refused = Callable[..., str]


def make(folder: Path, seeds: range, loss: float = 0.5, model: str = "Fast") -> None:
    with Store.create(folder, {"name": folder.name}, folder.name) as store:
        for seed in seeds:
            record = TrialRecord(trial_id=f"t{seed}", task="xor", method="walk", seed=seed, parameters={"stddev": 0.1})
            store.add_pending([record])
            store.finish(f"t{seed}", {"outcome": "exhausted", "reached": False, "loss_final": loss, "steps": 5})
    write_json({"cpu": {"model": model, "logical_processors": 2}, "threads": 2}, folder / "environment.json")


@pytest.fixture(autouse=True)
def _sweeps(tmp_path: Path) -> None:
    make(tmp_path / "a", range(3))
    make(tmp_path / "b", range(2, 5), model="Slow")
    make(tmp_path / "other", range(2, 3), loss=0.25)


def test_two_sweeps_become_one(harness: Harness, tmp_path: Path) -> None:
    result = harness("merge", "a", "b", "--out", "both")
    assert (result.code, result.err) == (0, "")
    assert "5 trials in both, 1 of them met more than once" in result.out
    assert "machines: Fast, 2 of 2 threads; Slow, 2 of 2 threads" in result.out
    assert read_source(tmp_path / "both").trials["seed"].tolist() == [0, 1, 2, 3, 4]
    assert "5" in harness("show", "both", "--columns", "n_trials").out


def test_json_and_quiet(harness: Harness) -> None:
    found = json.loads(harness("merge", "a", "b", "--out", "both", "--json").out)
    machines = ["Fast, 2 of 2 threads", "Slow, 2 of 2 threads"]
    assert found == {"directory": "both", "n_trials": 5, "n_repeated": 1, "machines": machines}
    result = harness("merge", "a", "b", "--out", "again", "--quiet")
    assert (result.code, result.out, result.err) == (0, "", "")


@pytest.mark.parametrize(
    ("arguments", "culprit", "remedy"),
    [
        ([], "'A B ...'", "harness merge --help"),
        (["a", "b"], "'--out'", "harness merge --help"),
        (["a", "--out", "c"], "two folders or more", "harness merge A B --out C"),
        (["a", "a", "--out", "c"], "given twice", "each once"),
        (["a", "./a/", "--out", "c"], "given twice", "each once"),
        (["a", "b", "--out", ""], "--out ''", "name a folder"),
        (["a", "nowhere", "--out", "c"], "nowhere holds no sweep.sqlite", "only whole sweeps"),
        (["a", "b", "--out", "a"], "a already holds something", "pick another --out"),
        (["a", "b", "--out", "a/environment.json"], "already holds something", "pick another --out"),
        (["a", "b", "--out", "/proc/x"], "/proc/x", "--out"),
        (["a", "other", "--out", "c"], "trial t2 (task=xor, method=walk, stddev=0.1, seed=2)", "merge sweeps of one"),
    ],
)
def test_mistakes_are_one_line_with_the_remedy(
    refused: Refused, arguments: list[str], culprit: str, remedy: str
) -> None:
    line = refused("merge", *arguments)
    assert culprit in line
    assert remedy in line


def test_a_contradiction_names_the_numbers_and_folders(refused: Refused) -> None:
    assert "has loss_final 0.5 in a and 0.25 in other" in refused("merge", "a", "other", "--out", "c")


def test_a_damaged_sweep_is_refused(refused: Refused, tmp_path: Path) -> None:
    (tmp_path / "b" / "sweep.sqlite").write_bytes(b"nothing of the kind" * 100)
    line = refused("merge", "a", "b", "--out", "c")
    assert "sweep.sqlite is damaged" in line
    assert "give another folder" in line
