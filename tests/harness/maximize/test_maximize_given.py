"""Bounds and fixed inputs of `maximize` in this package's forms and in SciPy's; what cannot be read is one line."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy.optimize import Bounds

from freewalk import SavedWeights, UsageError, maximize
from freewalk.kernels.model.network import FreeNetwork


def saved(n_input: int, timesteps: int = 1, **more: Any) -> SavedWeights:
    """Return one sigmoid neuron that every input raises."""
    network = FreeNetwork(n_input, 1, 0, **more)
    weights = np.array([[1.0]] * n_input + [[0.0], [0.0]])
    return SavedWeights(weights, network, None, {}, {}, timesteps=timesteps)


def refusal(*arguments: Any, **options: Any) -> str:
    with pytest.raises(UsageError) as caught:
        maximize(*arguments, **options)
    text = str(caught.value)
    assert "\n" not in text
    return text


@pytest.mark.parametrize(
    ("bounds", "lower", "upper"),
    [
        ((0, 1), [0, 0], [1, 1]),
        ([0, 1], [0, 0], [1, 1]),
        (([0, 0.2], [1, 0.6]), [0, 0.2], [1, 0.6]),
        (([0, 0.5], [1, 2]), [0, 0.5], [1, 2]),
        ((np.array([0, 0.5]), np.array([1, 2])), [0, 0.5], [1, 2]),
        ((0, [1, 2]), [0, 0], [1, 2]),
        (([0, 1], 3), [0, 1], [3, 3]),
        (Bounds([0, 0.5], [1, 2]), [0, 0.5], [1, 2]),
        (Bounds(0, 1), [0, 0], [1, 1]),
        ([(0, 1), (0, 1)], [0, 0], [1, 1]),
        (((0, 1), (0, 1)), [0, 0], [1, 1]),
        ([(0, 1), (0, 0.5)], [0, 0], [1, 0.5]),
        ([(-1, 1), (-1, 1)], [-1, -1], [1, 1]),
        ([[-1, -1], [1, 1]], [-1, -1], [1, 1]),
        (np.array([[-1, -1], [1, 1]]), [-1, -1], [1, 1]),
        ([(5, 7), (-1, 1)], [5, -1], [7, 1]),
        ([(3, 3), (0, 1)], [3, 0], [3, 1]),
    ],
)
def test_bounds_of_two_inputs(bounds: Any, lower: list[float], upper: list[float]) -> None:
    box = maximize(saved(2), bounds=bounds).box
    assert (box.lower.tolist(), box.upper.tolist()) == (lower, upper)


@pytest.mark.parametrize(
    "bounds",
    [
        [(-2, -1), (0.5, 2)],
        ((-2, -1), (0.5, 2)),
        [[-2, -1], [0.5, 2]],
        np.array([[-2, -1], [0.5, 2]]),
        [(0, 1), (0.6, 2)],
        [np.array([0, 1]), np.array([0.6, 2])],
        [(0, None), (1, None)],
    ],
)
def test_two_pairs_that_could_be_either_are_refused(bounds: Any) -> None:
    text = refusal(saved(2), bounds=bounds)
    assert "could be (low, high) of each input, or the lower bounds and the upper ones" in text
    assert "scipy.optimize.Bounds(lower, upper)" in text


@pytest.mark.parametrize(
    ("bounds", "lower", "upper"),
    [
        ([(0, 1)] * 3, [0, 0, 0], [1, 1, 1]),
        (((0, 1), (-2, 2), (3, 4)), [0, -2, 3], [1, 2, 4]),
        (np.array([[0, 1], [-2, 2], [3, 4]]), [0, -2, 3], [1, 2, 4]),
        (zip([0, -2, 3], [1, 2, 4], strict=True), [0, -2, 3], [1, 2, 4]),
        (([0, -2, 3], [1, 2, 4]), [0, -2, 3], [1, 2, 4]),
        (Bounds([0, -2, 3], [1, 2, 4]), [0, -2, 3], [1, 2, 4]),
    ],
)
def test_bounds_of_three_inputs(bounds: Any, lower: list[float], upper: list[float]) -> None:
    box = maximize(saved(3), bounds=bounds).box
    assert (box.lower.tolist(), box.upper.tolist()) == (lower, upper)


def test_bounds_of_one_input_of_a_sequence_and_of_none() -> None:
    assert maximize(saved(1), bounds=[(0, 2)]).box.upper.tolist() == [2]
    assert maximize(saved(3), bounds=[(0, 1), (None, 1), (0, 1)]).box.lower.tolist() == [0, -np.inf, 0]
    assert maximize(saved(3), bounds=(None, 1)).box.upper.tolist() == [1, 1, 1]
    sequence = saved(3, timesteps=4, sequence_input=True)
    assert maximize(sequence, bounds=[(0, 1), (-2, 2), (3, 4)]).box.upper.tolist() == [[1, 2, 4]] * 4
    each = np.stack([np.zeros((4, 3)), np.ones((4, 3))], axis=-1)
    assert maximize(sequence, bounds=each).box.upper.tolist() == [[1, 1, 1]] * 4


@pytest.mark.parametrize(
    "bounds",
    [
        5,
        (1, 0),
        [(1, 0)] * 3,
        [(0, 1)] * 2,
        [(0, 1)] * 4,
        [(0, 1, 2)] * 3,
        {0: (0, 1)},
        ("a", "b"),
        (0, float("nan")),
        [],
    ],
)
def test_other_bounds_are_one_line_with_the_forms(bounds: Any) -> None:
    text = refusal(saved(3), bounds=bounds)
    assert "bounds must be (lower, upper)" in text
    assert "a (low, high) for each input" in text


@pytest.mark.parametrize(
    "fixed", [{0: 0.5}, [0.5, None], (0.5, None), np.array([0.5, None]), {np.int64(0): np.float32(0.5)}]
)
def test_fixed_inputs(fixed: Any) -> None:
    assert maximize(saved(2), bounds=(0, 1), fixed=fixed).x.tolist() == [0.5, 1]


def test_fixed_inputs_of_a_sequence() -> None:
    sequence = saved(2, timesteps=2, sequence_input=True)
    for fixed, lower in (([0.5, None], [[0.5, 0], [0.5, 0]]), ([[0.5, None], [None, 0.25]], [[0.5, 0], [0, 0.25]])):
        assert maximize(sequence, bounds=(0, 1), fixed=fixed).box.lower.tolist() == lower
    assert maximize(sequence, bounds=(0, 1), fixed={}).box.free.all()


@pytest.mark.parametrize(
    "fixed", [0.5, [0.5], [0.5, None, None], "0=0.5", {"0": 0.5}, {0: "a"}, {0: None}, {(0, 0, 0): 1}, {0.5: 1}]
)
def test_other_fixed_inputs_are_one_line(fixed: Any) -> None:
    text = refusal(saved(2), bounds=(0, 1), fixed=fixed)
    assert "fixed" in text or "an input is named by its number" in text


@pytest.mark.parametrize("name", ["output", "target", "timestep", "restarts", "steps", "seed", "method"])
@pytest.mark.parametrize("value", ["a", [1], {}, True, 1j])
def test_arguments_of_another_kind_are_named(name: str, value: Any) -> None:
    assert name in refusal(saved(2), bounds=(0, 1), **{name: value})
