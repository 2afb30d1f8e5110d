"""Methods, architectures and budgets of evaluations on the command line."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from freewalk.harness.weights.weights_file import load_weights

Harness = Callable[..., Any]
Refused = Callable[..., str]

METHODS = ["walk", "backprop", "numerical", "synthetic"]


def test_the_option_its_variable_and_the_file(
    harness: Harness, refused: Refused, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "grid.toml").write_text("steps_per_epoch = 3\n[[grid]]\ntask = 'xor'\nbatch_size = 10\n")

    def steps(*arguments: object) -> int:
        command = ("train", "--task", "xor", "--batch-size", 10, "--epochs", 2, "--json", "--quiet")
        return int(json.loads(harness(*command, *arguments).out)["steps"])

    assert steps("--evaluations", 200) == 10
    assert "both say how long" in refused("train", "--task", "xor", "--evaluations", 9, "--steps-per-epoch", 3)
    monkeypatch.setenv("HARNESS_EVALUATIONS", "100")
    assert steps() == 5
    assert steps("--evaluations", 200) == 10
    assert steps("--steps-per-epoch", 3) == 6, "the command line goes before the environment"
    result = harness("sweep", "--grid", "grid.toml", "--seeds", "0", "--epochs", "1", "--out", "out")
    assert result.code == 0, result.err
    assert "evaluations = 100" in (tmp_path / "out" / "sweep.toml").read_text()
    monkeypatch.setenv("HARNESS_STEPS_PER_EPOCH", "4")
    assert "both say how long" in refused("train", "--task", "xor")
    assert steps("--evaluations", 200) == 10


def test_the_table_and_the_lines_name_the_method(harness: Harness) -> None:
    specs = ["architecture=2-3-1", "batch_size=4", "predictor=linear,bias"]
    grid = [part for spec in specs for part in ("--grid", spec)]
    methods = [part for method in METHODS for part in ("--method", method)]
    result = harness("sweep", "--task", "and", *grid, *methods, "--seeds", "0", "--evaluations", 40_000, "--out", "out")
    assert result.code == 0, result.err
    header = next(line for line in result.out.splitlines() if "95 % interval" in line)
    assert header.split()[:2] == ["method", "predictor"]
    for method in METHODS:
        assert f" {method} " in result.out
    assert "architecture" not in header, "what all cells share is not shown"
    assert "reached by method: " in result.out
    assert "best and method=" in result.err


def test_train_saves_a_layered_network(harness: Harness, tmp_path: Path) -> None:
    command = ("train", "--task", "xor", "--method", "backprop", "--architecture", "2-03-1", "--activation", "tanh")
    result = harness(*command, "--optimizer", "adam", "--learning-rate", 0.1, "--batch-size", 4, "--save", "w.npz")
    assert result.code == 0, result.err
    assert result.out.startswith("reached after ")
    saved = load_weights(tmp_path / "w.npz")
    assert (saved.method, saved.widths, saved.parameters["architecture"]) == ("backprop", (2, 3, 1), "2-3-1")
    assert saved.layers is not None
    weights, biases = saved.layers.split(saved.weights)
    x = np.array([[0, 0], [0, 1], [1, 0], [1, 1]], dtype=float)
    outputs = 1 / (1 + np.exp(-(np.tanh(x @ weights[0] + biases[0]) @ weights[1] + biases[1])))
    assert np.abs(outputs[:, 0] - [0, 1, 1, 0]).max() == pytest.approx(saved.record["metric_final"], abs=1e-5)
    assert saved.record["evaluations"] == saved.record["steps"] * 12
    assert saved.record["n_weights"] == 13


@pytest.mark.parametrize(
    ("arguments", "culprit", "remedy"),
    [
        (("--architecture", "2-3"), "architecture=2-3 does not fit", "give architecture=2-1"),
        (("--architecture", "2x3"), "--architecture '2x3'", "must be free or widths such as 24-128-64-12"),
        (("--architecture", "2-3-1", "--hidden", 3), "hidden has no effect", "add architecture=free"),
        (("--method", "kolen-pollack"), "layered networks only", "such as architecture=2-16-1"),
        (("--method", "backprob"), "unknown method 'backprob'", "did you mean 'backprop'?"),
        (("--method", "backprop", "--sides", "two"), "sides has no effect with method backprop", "add method=walk"),
        (("--method", "backprop", "--predictor", "biased"), "--predictor 'biased'", "did you mean 'bias'?"),
        (
            ("--architecture", "2-900000-900000-1"),
            "architecture=2-900000-900000-1 on task",
            "give fewer hidden neurons",
        ),
        (("--timesteps", 10**9, "--method", "backprop"), "hidden=8, timesteps=1000000000", "or fewer timesteps"),
        (
            ("--architecture", "2-9000-1", "--batch-size", 10**9, "--method", "backprop"),
            "batch_size=1000000000",
            "give fewer hidden neurons or a smaller batch",
        ),
    ],
)
def test_mistakes_are_one_line_with_the_remedy(
    refused: Refused, arguments: tuple[object, ...], culprit: str, remedy: str
) -> None:
    line = refused("train", "--task", "xor", *arguments)
    assert culprit in line
    assert remedy in line
