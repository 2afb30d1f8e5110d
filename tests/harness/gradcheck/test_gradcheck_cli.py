"""`harness gradcheck`: what it prints, its exit codes, saved weights, refusals."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from freewalk.harness.gradcheck import cell
from freewalk.harness.weights.weights_file import load_weights

Harness = Callable[..., Any]
Refused = Callable[..., str]


def test_a_right_gradient(harness: Harness) -> None:
    result = harness("gradcheck", "--task", "xor", "--architecture", "2-3-1")
    assert (result.code, result.err) == (0, "")
    for words in (
        "analytic against central differences, float64",
        "the gradient a step takes of backprop (cpu, float32) against the analytic one",
        "layer 1 bias",
        "all 13 weights agree; largest relative error ",
    ):
        assert words in result.out
    assert result.out.endswith("passed\n")
    assert "\x1b" not in result.out


def test_json(harness: Harness) -> None:
    result = harness("gradcheck", "--task", "xor", "--hidden", 3, "--method", "walk", "--samples", 50, "--json")
    assert (result.code, result.err) == (0, "")
    found = json.loads(result.out, parse_constant=lambda name: pytest.fail(f"{name} is no JSON"))
    assert (found["passed"], found["method"], found["backend"], found["n_weights"]) == (True, "walk", "cpu", 28)
    assert found["exact"]["n_missed"] == 0
    assert [layer["name"] for layer in found["exact"]["layers"]] == [
        "input rows",
        "bias row",
        "output rows",
        "hidden rows",
    ]
    assert found["stepped"] is None
    assert found["estimate"]["n_samples"] == 50
    assert 0.2 < found["estimate"]["whole"]["expected_cosine"] < 1


def test_a_miss_is_named_and_exits_with_3(harness: Harness, monkeypatch: pytest.MonkeyPatch) -> None:
    right = cell.loss_gradient

    def without_biases(network: Any, *rest: Any) -> Any:
        loss, gradient = right(network, *rest)
        gradient[network.n_input] = 0.0
        return loss, gradient

    monkeypatch.setattr(cell, "loss_gradient", without_biases)
    result = harness("gradcheck", "--task", "xor", "--architecture", "2-3-1")
    assert result.code == 3
    assert "4 of 13 weights miss the tolerance of 1e-06" in result.out
    assert "fault: layer 1 bias and layer 2 bias: the bias gradient is missing (zero)" in result.out
    assert "worst: layer 2 bias, bias to layer 2 neuron 0: analytic 0, numerical " in result.out
    assert result.out.endswith("failed: see above\n")
    assert json.loads(harness("gradcheck", "--task", "xor", "--json").out)["passed"] is False


@pytest.mark.parametrize("architecture", ["free", "2-4-1"])
def test_saved_weights_are_checked_where_they_are(harness: Harness, tmp_path: Path, architecture: str) -> None:
    options = ("--hidden", 5) if architecture == "free" else ("--architecture", architecture)
    trained = harness(
        *("train", "--task", "xor", "--method", "backprop", *options, "--save", "w.npz", "--quiet"),
        *("--epochs", 4, "--batch-size", 32, "--learning-rate", 2, "--activation", "tanh"),
    )
    assert trained.code == 0, trained.err
    fresh = json.loads(harness("gradcheck", "--task", "xor", *options, "--activation", "tanh", "--json").out)
    result = harness("gradcheck", "--weights", "w.npz", "--json")
    assert result.code == 0, result.err
    found = json.loads(result.out)
    assert (found["task"], found["method"]) == ("xor", "backprop")
    assert found["n_weights"] == fresh["n_weights"]
    assert found["datapoints"] == 16, "few show as much as training's many"
    assert found["exact"]["layers"] != fresh["exact"]["layers"], "other weights, other errors"
    assert harness("gradcheck", "--weights", "w.npz", "--method", "walk", "--samples", 200).code == 0


def test_weights_of_another_network_or_task_are_refused(harness: Harness, refused: Refused, tmp_path: Path) -> None:
    harness("train", "--task", "xor", "--hidden", 5, "--save", "w.npz", "--quiet", "--epochs", 1, "--batch-size", 4)
    assert load_weights(tmp_path / "w.npz").network.n_hidden == 5
    line = refused("gradcheck", "--weights", "w.npz", "--hidden", 6)
    assert "another network than these options make" in line
    line = refused("gradcheck", "--weights", "w.npz", "--task", "and")
    assert "was trained on xor, not and" in line
    np.savez(tmp_path / "other.npz", a=np.zeros(2))
    assert "no weights file" in refused("gradcheck", "--weights", "other.npz")


@pytest.mark.parametrize(
    ("arguments", "culprit", "remedy"),
    [
        ([], "needs --task NAME or --weights FILE", "harness tasks"),
        (["--task", "xro"], "unknown task 'xro'", "did you mean 'xor'?"),
        (["--task", "xor", "--method", "backpro"], "unknown method 'backpro'", "did you mean 'backprop'?"),
        (["--task", "xor", "--architecture", "3-1"], "architecture=3-1", "2-1"),
        (["--task", "xor", "--hidden", "3,4"], "make 2", "one value each"),
        (["--task", "xor", "--samples", "1"], "--samples", ">=2"),
        (["--task", "xor", "--backend", "gpu"], "--backend gpu", "one of auto"),
        (["--task", "xor", "--learning-rate", "1"], "no option --learning-rate", "--help"),
        (["--task", "xor", "--method", "walk", "--stddev", "0"], "stddev=0 estimates no gradient", "above 0"),
        (["--weights", "nothing.npz"], "there is no file nothing.npz", "check the path"),
    ],
)
def test_mistakes_are_one_line_with_the_remedy(
    refused: Refused, arguments: list[str], culprit: str, remedy: str
) -> None:
    line = refused("gradcheck", *arguments)
    assert culprit in line
    assert remedy in line
