"""Central differences and the second look, against derivatives known in closed form; factors in words."""

import math
from typing import Any

import numpy as np
import pytest

from freewalk.harness.gradcheck.numerical import central_differences, judge, second_look
from freewalk.harness.gradcheck.words import factor_words

W = np.array([[0.3, -1.2], [2.0, 0.7]])


def wavy(w: Any) -> float:
    return float(np.sin(w).sum() + w[0, 0] * w[1, 1] ** 3)


def wavy_gradient(w: Any) -> Any:
    gradient = np.cos(w)
    gradient[0, 0] += w[1, 1] ** 3
    gradient[1, 1] += 3 * w[0, 0] * w[1, 1] ** 2
    return gradient


def test_differences_of_a_known_function() -> None:
    before = W.copy()
    found = central_differences(wavy, W, np.array([3, 0]))
    np.testing.assert_allclose(found, wavy_gradient(W).reshape(-1)[[3, 0]], rtol=1e-9)
    assert np.array_equal(W, before)


@pytest.mark.parametrize("size", [1e-4, 1e-6, 1e-8])
def test_a_second_look_measures_small_derivatives(size: float) -> None:
    """A tiny slope on a loss of about 1, where a plain difference drowns in rounding."""

    def loss(w: Any) -> float:
        return 1.0 + size * math.sin(float(w[0])) + 0.1 * math.cos(float(w[1]))

    at = np.array([0.4, 1.0])
    found, error = second_look(loss, at, 0)
    true = size * math.cos(0.4)
    assert abs(found - true) <= error
    assert error < 1e-12
    (plain,) = central_differences(loss, at, np.array([0]))
    assert abs(found - true) < abs(plain - true) or abs(plain - true) < 1e-13


def test_a_second_look_needs_no_short_steps() -> None:
    """Rounding is least with long steps, whose truncation the extrapolation takes away order by order."""
    found, error = second_look(lambda w: math.exp(3 * float(w[0])), np.array([0.5]), 0)
    assert found == pytest.approx(3 * math.exp(1.5), rel=1e-13)
    assert abs(found - 3 * math.exp(1.5)) <= error < 8e-12


def test_the_judge_looks_twice_only_where_it_must() -> None:
    calls = 0

    def loss(w: Any) -> float:
        nonlocal calls
        calls += 1
        return wavy(w)

    indices = np.arange(4)
    right = wavy_gradient(W)
    found, noise = judge(loss, W, right, indices, 1e-6)
    assert calls == 9, "two for each weight, one for the size of the loss"
    assert not noise.any()
    np.testing.assert_allclose(found, right, rtol=1e-8)
    calls = 0
    judge(loss, W, right + 1.0, indices, 1e-6)
    assert calls == 9, "far off is far off"
    calls = 0
    found, noise = judge(loss, W, right + 3e-9, indices, 1e-10)
    assert calls > 9
    assert (np.abs(found - right) <= noise).all()
    assert (noise < 1e-11).all()


def test_weights_that_do_not_exist_have_no_derivative() -> None:
    found, _ = judge(wavy, W, np.zeros((2, 2)), np.array([1]), 1e-6)
    assert found.shape == (2, 2)
    assert np.flatnonzero(found).tolist() == [1]


@pytest.mark.parametrize(
    ("factor", "words"),
    [
        (1000, "1000 (cases)"),
        (1 / 12, "1 / 12 (outputs)"),
        (2, "2 (the derivative of a square)"),
        (12000, "1000 (cases) times 12 (outputs)"),
        (1 / 12000, "1 / (1000 (cases) times 12 (outputs))"),
        (0.012, "12 (outputs) / 1000 (cases)"),
        (0.7, ""),
        (1.0, ""),
    ],
)
def test_factors_in_words(factor: float, words: str) -> None:
    assert factor_words(factor * (1 + 1e-6), {"cases": 1000, "outputs": 12, "timesteps": 1}) == words


def test_equal_counts_are_both_named() -> None:
    assert factor_words(0.25, {"cases": 4, "outputs": 4}) == "1 / 4 (cases) or 1 / 4 (outputs)"
