"""`harness maximize`: what it prints, where bounds come from, and what it refuses."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from freewalk.harness.weights.weights_file import SavedWeights, load_weights, save
from freewalk.kernels.model.network import FreeNetwork

Harness = Callable[..., Any]
Refused = Callable[..., str]


@pytest.fixture
def line(tmp_path: Path) -> str:
    """sigmoid(x_0 - 2 x_1), of no task."""
    weights = np.array([[1.0], [-2.0], [0.0], [0.0]])
    save(tmp_path / "line.npz", SavedWeights(weights, FreeNetwork(2, 1, 0), None, {}, {}, timesteps=1))
    return "line.npz"


@pytest.fixture
def memory(tmp_path: Path) -> str:
    network = FreeNetwork(2, 1, 0, sequence_input=True)
    weights = np.array([[1.0], [-1.0], [0.0], [4.0]])
    save(tmp_path / "memory.npz", SavedWeights(weights, network, None, {}, {}, timesteps=2))
    return "memory.npz"


def test_what_it_prints(harness: Harness, line: str) -> None:
    result = harness("maximize", line, "--bounds", "0,1", "--bounds", "1=-3,0.5", "--binary")
    assert (result.code, result.err) == (0, "")
    assert result.out.splitlines() == [
        "output 0 as large as can be: 0.999089",
        "bounds: as given",
        "  input 0: 1  (at its upper bound, which binds)",
        "  input 1: -3  (at its lower bound, which binds)",
        "20 of 20 restarts ended within 0.001 of this output",
        "best corner: (1, -3), output 0.999089 (all 4 tried)",
    ]


def test_restarts_that_ended_elsewhere(harness: Harness, tmp_path: Path) -> None:
    """A low hill at -2 and a high one at 2."""
    network = FreeNetwork(1, 1, 4)
    weights = np.zeros((network.n_from, network.n_to))
    weights[0, 1:], weights[1, 1:] = 8.0, -8.0 * np.array([-2.5, -1.5, 1.5, 2.5])
    weights[3:, 0] = 2.0, -2.0, 4.0, -4.0
    save(tmp_path / "w.npz", SavedWeights(weights, network, None, {}, {}, timesteps=2))
    found = json.loads(harness("maximize", "w.npz", "--bounds", "-4,4", "--json").out)
    line = harness("maximize", "w.npz", "--bounds", "-4,4").out.splitlines()[-1]
    assert 0 < found["restarts_at_best"] < 20
    spread = max(found["values"]) - min(found["values"])
    assert line == (
        f"{found['restarts_at_best']} of 20 restarts ended within 0.001 of this output;"
        f" the farthest {spread:.3g} from it"
    )


def test_fixed_inputs_and_targets(harness: Harness, line: str) -> None:
    result = harness("maximize", line, "--bounds", "0,1", "--fix", "0=0.25", "--value", "0")
    lines = result.out.splitlines()
    assert lines[0] == f"output 0 as small as can be: {1 / (1 + np.exp(1.75)):.6g}"
    assert lines[2:4] == ["  input 0: 0.25  (fixed)", "  input 1: 1  (at its upper bound, which binds)"]
    result = harness("maximize", line, "--bounds", "0,1", "--value", "0.5")
    assert result.out.startswith("output 0 as near to 0.5 as can be: 0.5\n")


def test_a_sequence(harness: Harness, memory: str) -> None:
    result = harness("maximize", memory, "--bounds", "0,1", "--bounds", "1:0=0,0.5", "--fix", "1=0.125")
    assert result.out.splitlines()[2:6] == [
        "  timestep 0 input 0: 1  (at its upper bound, which binds)",
        "  timestep 0 input 1: 0.125  (fixed)",
        "  timestep 1 input 0: 0.5  (at its upper bound, which binds)",
        "  timestep 1 input 1: 0.125  (fixed)",
    ]


@pytest.mark.parametrize("method", ["gradient", "walk"])
def test_json(harness: Harness, line: str, method: str) -> None:
    result = harness("maximize", line, "--bounds", "0,1", "--json", "--ascent", method, "--binary")
    found = json.loads(result.out)
    assert found["input"] == [1, 0]
    assert found["value"] == pytest.approx(1 / (1 + np.exp(-1)))
    assert (found["method"], found["restarts"], found["restarts_at_best"]) == (method, 20, 20)
    assert found["at_bounds"] == [
        {"place": [0], "side": "upper", "binds": True},
        {"place": [1], "side": "lower", "binds": True},
    ]
    assert found["corner"]["input"] == [1, 0]
    assert (found["lower"], found["upper"]) == ([0, 0], [1, 1])
    free = json.loads(harness("maximize", line, "--bounds", "none", "--json").out)
    assert (free["lower"], free["upper"], free["corner"]) == ([None, None], [None, None], None)
    assert free["input"][0] > 1
    assert free["input"][1] < 0


@pytest.mark.parametrize(
    ("task", "more", "said", "inside"),
    [
        ("xor", ("--hidden", "2"), "bounds: 0 to 1, as task xor has it", (0, 1)),
        ("sign", ("--hidden", "2"), "bounds: -1 to 1, as task sign has it", (-1, 1)),
        ("parity", ("--form", "sequence", "--hidden", "2"), "bounds: 0 to 1, as task parity has it", (0, 1)),
        ("addition", ("--hidden", "2"), "bounds: 0 to 1, as task addition has it", (0, 1)),
        ("shifted-sums", ("--hidden", "2"), "bounds: what 4,096 datapoints of task shifted-sums span", (-1, 4)),
    ],
)
def test_a_task_knows_the_range_of_its_inputs(
    harness: Harness, tmp_path: Path, task: str, more: tuple[str, ...], said: str, inside: tuple[float, float]
) -> None:
    short = ("--epochs", 1, "--steps-per-epoch", 1, "--batch-size", 4, "--quiet", "--save", "w.npz")
    assert harness("train", "--task", task, *more, *short).code == 0
    result = harness("maximize", "w.npz")
    assert result.code == 0, result.err
    assert result.out.splitlines()[1] == said
    found = json.loads(harness("maximize", "w.npz", "--json").out)
    x = np.array(found["input"])
    assert (x >= inside[0]).all()
    assert (x <= inside[1]).all()
    saved = load_weights(tmp_path / "w.npz")
    assert found["value"] == pytest.approx(saved.predict(x[None]).reshape(-1, saved.network.n_output)[-1, 0])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "give --bounds LOW,HIGH or none"),
        (["--bounds", "0"], "--bounds 0: write LOW,HIGH"),
        (["--bounds", "a,b"], "--bounds a,b: write LOW,HIGH"),
        (["--bounds", "1,0"], "--bounds 1,0: bounds must be a lower and an upper number, got 1 and 0"),
        (["--bounds", "nan,1"], "bounds must be a lower and an upper number"),
        (["--bounds", "inf,inf"], "bounds must be a lower and an upper number"),
        (["--bounds", "0,1", "--bounds", "0,2"], "given twice"),
        (["--bounds", "0=0,1"], "for some inputs only"),
        (["--bounds", "0,1", "--bounds", "2=0,1"], "there is no input 2"),
        (["--bounds", "0,1", "--bounds", "0:1=0,1"], "this network sees one row"),
        (["--bounds", "0,1", "--fix", "1"], "--fix 1: write INPUT=VALUE"),
        (["--bounds", "0,1", "--fix", "1=x"], "--fix 1=x: write INPUT=VALUE"),
        (["--bounds", "0,1", "--fix", "1=0", "--fix", "1=1"], "fixed twice"),
        (["--bounds", "0,1", "--fix", "1=2"], "input 1 must lie in its bounds"),
        (["--bounds", "0,1", "--fix", "0=0", "--fix", "1=0"], "every input is fixed"),
        (["--bounds", "0,1", "--of", "3"], "there is no output 3"),
        (["--bounds", "0,1", "--value", "2"], "the target is 2"),
        (["--bounds", "0,1", "--ascent", "wlak"], "did you mean 'walk'?"),
        (["--bounds", "0,1", "--restarts", "0"], "restarts must be at least 1"),
        (["--bounds", "none", "--binary"], "binary inputs need"),
        (["--bound", "0,1"], "did you mean '--bounds'?"),
    ],
)
def test_mistakes(refused: Refused, line: str, arguments: list[str], message: str) -> None:
    assert message in refused("maximize", line, *arguments)


def test_no_file_and_weights_that_are_not_finite(refused: Refused, tmp_path: Path) -> None:
    assert "there is no file w.npz" in refused("maximize", "w.npz", "--bounds", "0,1")
    wild = SavedWeights(np.full((4, 1), np.nan), FreeNetwork(2, 1, 0), None, {}, {"outcome": "diverged"}, timesteps=1)
    save(tmp_path / "w.npz", wild)
    message = refused("maximize", "w.npz", "--bounds", "0,1")
    assert "w.npz has weights that are not finite, its training ended diverged" in message
