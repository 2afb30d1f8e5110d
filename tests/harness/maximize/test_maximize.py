"""The input that maximises an output: bounds, fixed inputs, restarts, corners, sequences; both methods."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from freewalk import NNRndTraining, SavedWeights, UsageError, load, maximize
from freewalk.harness.maximize.box import Box
from freewalk.harness.maximize.corners import best_corner
from freewalk.harness.maximize.goal import Goal
from freewalk.harness.maximize.search import _at_bounds
from freewalk.kernels.model.network import FreeNetwork
from freewalk.kernels.reference import reference

ROWS = np.array([[0, 0], [0, 1], [1, 0], [1, 1]], dtype=float)
ONLY_01 = np.array([[0], [1], [0], [0]], dtype=float)


@pytest.fixture(scope="module")
def trained() -> NNRndTraining:
    """The quoted example: two binary inputs, three hidden sigmoid neurons with biases, 1 for (0, 1) alone."""
    training = NNRndTraining(
        {
            "num_input": 2,
            "num_hidden": 3,
            "num_output": 1,
            "timesteps": 2,
            "architecture": "2-3-1",
            "batch_size": 32,
            "test_stddev": 0.05,
            "epoch_steps": 3000,
            "epochs": 1,
            "update": "normalised",
            "optimizer": "momentum",
        },
        echo=None,
    )
    training.train(iter([(np.tile(ROWS, (8, 1)), np.tile(ONLY_01, (8, 1)))] * 3000))
    np.testing.assert_allclose(training.run(ROWS), ONLY_01, atol=0.1)
    return training


def saved(network: FreeNetwork, weights: Any, timesteps: int = 1, **more: Any) -> SavedWeights:
    return SavedWeights(np.asarray(weights, dtype=float), network, None, more, {}, timesteps=timesteps)


def linear(*slopes: float, bias: float = 0.0) -> SavedWeights:
    """One sigmoid neuron, sigmoid(sum of slope * input + bias)."""
    return saved(FreeNetwork(len(slopes), 1, 0), [[s] for s in slopes] + [[bias], [0.0]])


@pytest.mark.parametrize("method", ["gradient", "walk"])
def test_the_quoted_example(trained: NNRndTraining, method: Any) -> None:
    found = maximize(trained, bounds=(0, 1), method=method, binary=True)
    assert found.x.tolist() == [0, 1]
    assert found.value == pytest.approx(trained.run(ROWS[1:2])[0, 0])
    assert [(entry.place, entry.side, entry.binds) for entry in found.at_bounds] == [
        ((0,), "lower", True),
        ((1,), "upper", True),
    ]
    assert found.binds
    assert (found.n_best, len(found.values)) == (20, 20)
    assert found.corner is not None
    assert found.corner.x.tolist() == [0, 1]
    assert (found.corner.exhaustive, found.corner.tried) == (True, 4)


def test_without_bounds_plain_ascent_leaves_the_box(trained: NNRndTraining) -> None:
    found = maximize(trained, bounds="none")
    assert found.value > maximize(trained, bounds=(0, 1)).value
    assert found.x.min() < 0
    assert found.x.max() > 1
    assert not found.at_bounds


def test_from_a_file(trained: NNRndTraining, tmp_path: Path) -> None:
    trained.save(tmp_path / "w.npz")
    for weights in (tmp_path / "w.npz", str(tmp_path / "w.npz"), load(tmp_path / "w.npz")):
        assert maximize(weights, bounds=(0, 1)).x.tolist() == [0, 1]


@pytest.mark.parametrize(("method", "tolerance"), [("gradient", 1e-9), ("walk", 2e-3)])
def test_a_value_is_reached(trained: NNRndTraining, method: Any, tolerance: float) -> None:
    found = maximize(trained, bounds=(0, 1), target=0.5, method=method)
    assert found.value == pytest.approx(0.5, abs=tolerance)
    assert not found.binds
    assert ((found.x >= 0) & (found.x <= 1)).all()
    found = maximize(trained, bounds=(0, 1), target=0.0)
    assert found.value < trained.run(ROWS)[[0, 2, 3]].min() + 1e-12


@pytest.mark.parametrize("method", ["gradient", "walk"])
def test_fixed_inputs_and_bounds_of_their_own(method: Any) -> None:
    weights = linear(1.0, -2.0, 3.0)
    found = maximize(weights, bounds=([-1, -5, 0], [2, 7, 4]), method=method)
    assert found.x.tolist() == [2, -5, 4]
    found = maximize(weights, bounds=([-1, -5, 0], [2, 7, 4]), fixed={1: 6.5}, method=method)
    assert found.x.tolist() == [2, 6.5, 4]
    assert [entry.place for entry in found.at_bounds] == [(0,), (2,)], "a fixed input lies on no bound"
    assert found.value == pytest.approx(1 / (1 + np.exp(-(2 - 13 + 12))))


def test_an_interior_maximum_is_found_and_no_bound_binds() -> None:
    """Two hidden neurons make a hill: sigmoid(4 (x + 1)) - sigmoid(4 (x - 1)), largest at x = 0."""
    network = FreeNetwork(1, 1, 2)
    weights = np.zeros((network.n_from, network.n_to))
    weights[0, 1:], weights[1, 1:] = 4.0, (4.0, -4.0)
    weights[3:, 0] = 5.0, -5.0
    found = maximize(saved(network, weights, 2), bounds=(-3, 2), restarts=30)
    assert found.x[0] == pytest.approx(0, abs=1e-6)
    assert found.at_bounds == ()
    assert found.n_best == 30


def test_a_bound_that_does_not_bind() -> None:
    """The target is met on the bound exactly: the input lies there, but nothing would be better beyond."""
    found = maximize(linear(1.0), bounds=(0, 3), target=0.5)
    assert found.value == pytest.approx(0.5, abs=1e-9)
    assert not found.binds


def two_hills() -> SavedWeights:
    """A low hill at x = -2 and a high one at x = 2, flat between."""
    network = FreeNetwork(1, 1, 4)
    weights = np.zeros((network.n_from, network.n_to))
    weights[0, 1:] = 8.0
    weights[1, 1:] = -8.0 * np.array([-2.5, -1.5, 1.5, 2.5])
    weights[3:, 0] = 2.0, -2.0, 4.0, -4.0
    return saved(network, weights, 2)


def test_restarts_say_how_many_found_the_best() -> None:
    found = maximize(two_hills(), bounds=(-4, 4), restarts=40)
    assert found.x[0] == pytest.approx(2, abs=1e-3)
    assert 5 < found.n_best < 35
    assert found.values[0] == found.value
    assert (np.diff(found.values) <= 0).all()
    assert found.values[-1] < found.value - 0.05
    alone = maximize(two_hills(), bounds=(-4, 0), restarts=1)
    assert alone.value < found.value - 0.05


@pytest.mark.parametrize("method", ["gradient", "walk"])
def test_a_sequence_has_a_row_a_timestep(method: Any) -> None:
    """A neuron that hears itself: only what comes before the reading counts, each row for itself."""
    network = FreeNetwork(1, 1, 1, sequence_input=True, sequence_output=True)
    weights = np.zeros((network.n_from, network.n_to))
    weights[0] = -1.0, 2.0  # into the output, into the hidden neuron
    weights[3, 0] = 3.0  # from the hidden neuron to the output
    model = saved(network, weights, 3)
    found = maximize(model, bounds=(-1, 1), method=method)
    assert found.x.shape == (3, 1)
    assert (found.x[1, 0], found.x[2, 0]) == (1, -1), "the last row acts at once, the one before through hidden"
    assert found.value == pytest.approx(model.predict(found.x[None])[0, 2, 0], rel=1e-12)
    early = maximize(model, bounds=(-1, 1), timestep=0, fixed={(2, 0): 0.25}, method=method)
    assert (early.x[0, 0], early.x[2, 0]) == (-1, 0.25)
    assert early.value == pytest.approx(model.predict(early.x[None])[0, 0, 0], rel=1e-12)


def test_a_softmax() -> None:
    network = FreeNetwork(2, 3, 0, softmax=True)
    weights = np.random.default_rng(0).normal(size=(network.n_from, network.n_to))
    model = saved(network, weights, 2)
    found = maximize(model, 1, bounds=(-1, 1))
    assert found.value == pytest.approx(model.predict(found.x[None])[0, 1], rel=1e-12)
    grid = np.stack(np.meshgrid(np.linspace(-1, 1, 41), np.linspace(-1, 1, 41)), axis=-1).reshape(-1, 2)
    assert found.value >= model.predict(grid)[:, 1].max() - 1e-12
    middle = float(np.median(model.predict(grid)[:, 1]))
    assert maximize(model, 1, bounds=(-1, 1), target=middle).value == pytest.approx(middle, abs=1e-9)


# --- corners ---


def goal_of(n: int, seed: int) -> Goal:
    network = FreeNetwork(n, 1, 6)
    weights = np.random.default_rng(seed).normal(size=(network.n_from, network.n_to))
    return Goal(network, weights, 0, 2, 1.0)


def box_of(n: int) -> Box:
    return Box(np.zeros(n), np.ones(n), "given")


def every(n: int) -> np.ndarray[Any, Any]:
    return ((np.arange(2**n)[:, None] >> np.arange(n)) & 1).astype(float)


@pytest.mark.parametrize("seed", range(5))
def test_every_corner_is_tried_where_they_are_few(seed: int) -> None:
    goal = goal_of(13, seed)
    corner = best_corner(goal, box_of(13), np.zeros((1, 13)))
    corners = every(13)
    outputs = reference.forward(goal.network, goal.weights, corners, 2)[:, 0]
    assert (corner.exhaustive, corner.tried) == (True, 8192)
    assert corner.x.tolist() == corners[int(outputs.argmax())].tolist()
    assert corner.value == pytest.approx(outputs.max())


@pytest.mark.parametrize(("missed_by", "binds"), [(0.0, False), (1e-6, False), (-1e-6, False), (0.1, True)])
def test_a_bound_binds_where_a_value_is_missed(missed_by: float, binds: bool) -> None:
    """The last digits of a value that is met differ between processors, and with them where it would get better."""
    network = FreeNetwork(2, 1, 0)
    goal = Goal(network, np.array([[1.0], [1.0], [0.0], [0.0]]), 0, 1, 1.0)
    x = np.array([0.4, 1.0])
    wanted = replace(goal, target=float(goal.outputs(x[None])[0]) + missed_by)
    (edge,) = _at_bounds(wanted, box_of(2), x)
    assert edge.binds == binds


@pytest.mark.parametrize("slope", [1.0, -1.0])
def test_the_first_and_the_last_corner_are_tried(slope: float) -> None:
    network = FreeNetwork(13, 1, 0)
    goal = Goal(network, np.array([[slope]] * 13 + [[0.0], [0.0]]), 0, 1, 1.0)
    assert best_corner(goal, box_of(13), np.zeros((1, 13))).x.tolist() == [slope > 0] * 13


def test_fixed_inputs_make_fewer_corners() -> None:
    goal = goal_of(6, 0)
    corner = best_corner(goal, box_of(6).fixed({2: 0.5, 4: 1.0}), np.zeros((1, 6)))
    assert corner.tried == 16
    assert (corner.x[2], corner.x[4]) == (0.5, 1.0)


def test_single_flips_where_corners_are_many(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("freewalk.harness.maximize.corners.MOST_EXHAUSTIVE", 9)
    random = np.random.default_rng(0)
    hits = 0
    for seed in range(10):
        goal = goal_of(10, seed)
        corner = best_corner(goal, box_of(10), random.random((20, 10)))
        outputs = reference.forward(goal.network, goal.weights, every(10), 2)[:, 0]
        assert (corner.exhaustive, corner.tried) == (False, 20)
        assert set(corner.x) <= {0.0, 1.0}
        neighbours = np.abs(np.eye(10) - corner.x)
        assert corner.value >= reference.forward(goal.network, goal.weights, neighbours, 2).max(), "no flip helps"
        hits += corner.value == pytest.approx(outputs.max())
    assert hits >= 8


# --- mistakes ---


def mistakes() -> Iterator[tuple[SavedWeights, dict[str, Any], str]]:
    one = linear(1.0, 2.0)
    sequence = saved(FreeNetwork(1, 1, 1, sequence_input=True, sequence_output=True), np.ones((4, 2)), 2)
    yield one, {}, "these weights know no task, so the range of the inputs is unknown; give --bounds LOW,HIGH or none"
    yield one, {"output": 1, "bounds": (0, 1)}, "there is no output 1; they run from 0 to 0"
    yield one, {"output": -1, "bounds": (0, 1)}, "there is no output -1"
    yield one, {"target": 1.5, "bounds": (0, 1)}, "outputs lie between 0 and 1"
    yield one, {"target": float("nan"), "bounds": (0, 1)}, "outputs lie between 0 and 1"
    yield one, {"bounds": (1, 0)}, "a lower number before an upper one"
    yield one, {"bounds": (0, float("nan"))}, "a lower number before an upper one"
    yield one, {"bounds": ([0, 0, 0], 1)}, "fits an input of shape (2,)"
    yield one, {"bounds": 5}, "bounds must be (lower, upper)"
    yield one, {"bounds": "all"}, "bounds must be (lower, upper), 'none' or None, got 'all'"
    yield one, {"bounds": (0, 1), "fixed": {2: 0}}, "there is no input 2; they run from 0 to 1"
    yield one, {"bounds": (0, 1), "fixed": {0: 2}}, "input 0 must lie in its bounds 0 to 1, got 2"
    yield one, {"bounds": (0, 1), "fixed": {0: float("nan")}}, "got nan"
    yield one, {"bounds": (0, 1), "fixed": {(0, 1): 0}}, "this network sees one row"
    yield one, {"bounds": (0, 1), "fixed": {0: 0, 1: 1}}, "every input is fixed"
    yield sequence, {"bounds": (0, 1), "fixed": {(2, 0): 0}}, "there is no timestep 2; they run from 0 to 1"
    yield sequence, {"bounds": (0, 1), "timestep": 2}, "there is no timestep 2"
    yield one, {"bounds": (0, 1), "timestep": 0}, "timestep 0 has no effect"
    yield one, {"bounds": (0, 1), "method": "gradients"}, "did you mean 'gradient'?"
    yield one, {"bounds": (0, 1), "restarts": 0}, "restarts must be at least 1"
    yield one, {"bounds": (0, 1), "steps": 0}, "steps must be at least 1"
    yield one, {"bounds": (0, 1), "seed": -1}, "seed must be at least 0"
    yield one, {"bounds": "none", "binary": True}, "binary inputs need a lower and an upper bound"
    onehot = saved(one.network, one.weights, onehot_input=True)
    yield onehot, {"bounds": (0, 1)}, "one-hot symbols"


@pytest.mark.parametrize(("weights", "options", "message"), list(mistakes()))
def test_mistakes(weights: SavedWeights, options: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError) as caught:
        maximize(weights, **options)
    assert message in str(caught.value)


def test_what_are_no_weights() -> None:
    with pytest.raises(UsageError, match="got int"):
        maximize(5)  # type: ignore[arg-type]
    with pytest.raises(UsageError, match=r"there is no file nowhere\.npz"):
        maximize("nowhere.npz")
