"""A loss that reads or writes beyond its arrays is refused at once, with the array and the index."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numba
import numpy as np
import pytest

from freewalk import RandomWalk

RNG = np.random.default_rng(0)
X = RNG.normal(size=(200, 2))
Y = (X[:, 0] > 0).astype(np.float64)
MATRICES = RNG.normal(size=(200, 2, 3))


def train(loss: Any, x: Any = X, y: Any = Y, n_weights: Any = 3, **options: Any) -> Any:
    walk = RandomWalk(loss, n_weights, stddev=0.1, threads=1, **options)
    return walk.train(x, y, steps=2, batch_size=50)


@numba.njit
def item(array: Any, k: int) -> float:
    return float(array[k])


def through_a_compiled_function(w: Any, x: Any, y: Any) -> float:
    return (item(w, 3) * x[0] - y) ** 2


def made_with(function: Any, k: int) -> Callable[..., float]:
    def through_a_closure(w: Any, x: Any, y: Any) -> float:
        return (function(w, k) * x[0] - y) ** 2

    return through_a_closure


def in_a_loop(w: Any, x: Any, y: Any) -> float:
    total = 0.0
    for k in range(len(w) + 1):
        total += w[k] * x[0]
    return (total - y) ** 2


def off_by_one_before(w: Any, x: Any, y: Any) -> float:
    return (w[0] * x[0] + w[-4] - y) ** 2


def writes_beyond_the_weights(w: Any, x: Any, y: Any) -> float:
    w[7] = 0.0
    return (w[0] * x[0] - y) ** 2


def writes_beyond_x(w: Any, x: Any, y: Any) -> float:
    x[2] += 1.0
    return (w[0] * x[0] - y) ** 2


def of_one_side(w: Any, x: Any, y: Any) -> float:
    return (w[3] if x[0] > 2.0 else w[0] * x[0] - y) ** 2


def of_a_matrix(w: Any, x: Any, y: Any) -> float:
    return (w[0] * x[1, 3] - y) ** 2


def of_a_row(w: Any, x: Any, y: Any) -> float:
    return (w[0] * x[1][3] - y) ** 2


def of_its_own(w: Any, x: Any, y: Any) -> float:
    sums = np.zeros(2)
    for k in range(3):
        sums[k] = w[k] * x[0]
    return (sums[0] - y) ** 2


@pytest.mark.parametrize(
    ("loss", "x", "y", "words"),
    [
        (lambda w, x, y: (w[0] * x[0] + w[3] - y) ** 2, X, Y, "uses weights[3], and weights has 3 "),
        (lambda w, x, y: (w[0] * x[0] + w[1] * x[2] - y) ** 2, X, Y, "uses x[2], and x has 2 "),
        (lambda w, x, y: (w[0] * x[0] - y[1]) ** 2, X, Y[:, None], "uses y[1], and y has 1 "),
        (through_a_compiled_function, X, Y, "uses weights[3], and weights has 3 (test_bounds.py, line "),
        (made_with(item, 3), X, Y, "uses weights[3], "),
        (in_a_loop, X, Y, "uses weights[3], "),
        (off_by_one_before, X, Y, "uses weights[-4], and weights has 3 "),
        (writes_beyond_the_weights, X, Y, "uses weights[7], "),
        (writes_beyond_x, X, Y, "uses x[2], "),
        (of_a_matrix, MATRICES, Y, "uses x[1, 3], and x has shape (2, 3) "),
        (of_a_row, MATRICES, Y, "uses x[1][3], and x[1] has 3 "),
        (of_its_own, X, Y, "uses an index beyond an array: index 2 is out of bounds for axis 0 with size 2 "),
        (numba.njit(lambda w, x, y: w[3] * x[0]), X, Y, "uses weights[3], "),
    ],
)
def test_an_index_beyond_an_array_is_named(loss: Any, x: Any, y: Any, words: str) -> None:
    with pytest.raises(IndexError) as caught:
        train(loss, x, y)
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("options", [{"dtype": np.float32}, {"sides": "two"}, {"noise": "rademacher"}])
def test_whatever_the_walk(options: Any) -> None:
    with pytest.raises(IndexError, match="uses weights"):
        train(in_a_loop, **options)


def test_where_only_some_datapoints_go_beyond() -> None:
    x = np.where(np.arange(200)[:, None] % 40 == 39, 3.0, 0.5) * np.ones((1, 2))
    with pytest.raises(IndexError, match="uses weights"):
        RandomWalk(of_one_side, 3, stddev=0.1).train(x, Y, steps=1)


def test_of_losses_and_of_an_iterable_and_of_other_datapoints_later() -> None:
    walk = RandomWalk(lambda w, x, y: (w[0] * x[1] - y) ** 2, 3, stddev=0.1)
    walk.train([(X, Y)], steps=1)
    assert np.isfinite(walk.losses(X, Y)).all()
    with pytest.raises(IndexError, match=r"uses x\[1\], and x has 1 "):
        walk.losses(X[:, :1], Y)
    with pytest.raises(IndexError, match=r"uses x\[1\], and x has 1 "):
        walk.train([(X[:, :1], Y)], steps=1)
    assert walk.step == 1


@pytest.mark.parametrize("name", ["weights", "x", "y"])
def test_a_loss_that_writes_to_what_it_is_given_is_refused(name: str) -> None:
    def scales_weights(w: Any, x: Any, y: Any) -> float:
        w[0] *= 0.5
        return float((w[0] * x[0] - y[0]) ** 2)

    def scales_x(w: Any, x: Any, y: Any) -> float:
        x[0] *= 0.5
        return float((w[0] * x[0] - y[0]) ** 2)

    def scales_y(w: Any, x: Any, y: Any) -> float:
        y[0] += 1.0
        return float((w[0] * x[0] - y[0]) ** 2)

    x, y = X.copy(), Y[:, None].copy()
    with pytest.raises(ValueError, match=f"the loss writes to {name}, which others read too"):
        train({"weights": scales_weights, "x": scales_x, "y": scales_y}[name], x, y)
    assert np.array_equal(x, X)
    assert np.array_equal(y, Y[:, None])


def test_indices_from_the_end_and_not_finite_data_are_fine() -> None:
    def from_the_end(w: Any, x: Any, y: Any) -> float:
        return float((w[-3] * x[-1] - y) ** 2)

    assert train(from_the_end).steps == 2
    assert train(lambda w, x, y: 0.0 if np.isnan(x[1]) else w[0] ** 2, np.where(X > 1, np.nan, X)).steps == 2


def test_the_check_runs_once_for_each_kind_of_datapoint(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[int] = []
    monkeypatch.setattr("freewalk.kernels.trainers.any_kernels.check_indices", lambda *given: calls.append(1))
    walk = RandomWalk(lambda w, x, y: (w[0] * x[0] - y) ** 2, 3, stddev=0.1)
    walk.train(X, Y, steps=5, batch_size=10)
    walk.train(X, Y, steps=5)
    walk.losses(X, Y)
    assert len(calls) == 1
    walk.losses(X.astype(np.float32), Y)
    assert len(calls) == 2


def test_a_loss_that_runs_compiled_alone_is_checked_too() -> None:
    with pytest.raises(IndexError, match="uses an index beyond an array; count"):
        train(lambda w, x, y: np.log(-1.0 + 0 * y) * 0 + bounds_only(w))


@numba.njit
def bounds_only(w: Any) -> float:
    """Divide by zero on the way, at which Python stops."""
    first = 1.0 / (len(w) - 3)
    return float(w[3] + first)
