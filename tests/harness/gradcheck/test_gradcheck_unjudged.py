"""Losses that no difference can judge are refused by name; a right gradient is never blamed for them."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

from freewalk.harness.gradcheck.own import gradcheck

RNG = np.random.default_rng(1)
X, Y = RNG.normal(size=(12, 3)), RNG.random((12, 2))
WEIGHTS = [RNG.normal(size=shape) for shape in ((3, 4), (4,), (4, 2), (2,))]


def relu(z: Any) -> Any:
    return np.maximum(z, 0)


def tanh_slope(z: Any) -> Any:
    return 1 - np.tanh(z) ** 2


def outputs(w: list[Any], f: Callable[[Any], Any] = np.tanh, x: Any = X) -> Any:
    return f(x @ w[0] + w[1]) @ w[2] + w[3]


def loss(w: list[Any], f: Callable[[Any], Any] = np.tanh, x: Any = X) -> float:
    return float(((outputs(w, f, x) - Y) ** 2).mean())


def gradient(
    w: list[Any], f: Callable[[Any], Any] = np.tanh, slope: Callable[[Any], Any] = tanh_slope, x: Any = X
) -> list[Any]:
    z = x @ w[0] + w[1]
    d = 2 * (f(z) @ w[2] + w[3] - Y) / Y.size
    e = d @ w[2].T * slope(z)
    return [x.T @ e, e.sum(0), f(z).T @ d, d.sum(0)]


def relu_gradient(w: list[Any], at_zero: float = 0.0, x: Any = X) -> list[Any]:
    return gradient(w, relu, lambda z: np.where(z == 0, at_zero, (z > 0) * 1.0), x)


def refusal(loss: Callable[[Any], float], gradient: Callable[[Any], Any], weights: Any = None) -> str:
    with pytest.raises(ValueError, match="the ") as caught:
        gradcheck(loss, gradient, WEIGHTS if weights is None else weights)
    text = str(caught.value)
    assert "\n" not in text
    return text


# --- losses that differ between calls ---


def random_losses() -> Iterator[tuple[str, Callable[[Any], float]]]:
    random, count, batches = np.random.default_rng(2), itertools.count(1), itertools.cycle(range(4))
    state = {"mean": 0.0, "kept": X.copy()}

    def dropout(w: list[Any]) -> float:
        return loss([w[0] * (random.random(w[0].shape) > 0.5), *w[1:]])

    def rare_dropout(w: list[Any]) -> float:
        return loss(w) * (random.random() > 0.05)

    def minibatch(w: list[Any]) -> float:
        rows = 3 * next(batches) + np.arange(3)
        return float(((outputs(w)[rows] - Y[rows]) ** 2).mean())

    def every_seventh_call(w: list[Any]) -> float:
        rows = 3 * (next(count) // 7 % 4) + np.arange(3)
        return float(((outputs(w)[rows] - Y[rows]) ** 2).mean())

    def annealed(w: list[Any]) -> float:
        return loss(w) * 0.999 ** next(count)

    def slightly_noisy(w: list[Any]) -> float:
        return loss(w) + 1e-9 * random.normal()

    def running_mean(w: list[Any]) -> float:
        state["mean"] = 0.9 * state["mean"] + 0.1 * outputs(w).mean()
        return float(((outputs(w) - state["mean"] - Y) ** 2).mean())

    def spoils_its_data(w: list[Any]) -> float:
        state["kept"] *= 0.99
        return loss(w, x=state["kept"])

    def sometimes_nan(w: list[Any]) -> float:
        return loss(w) if next(count) % 3 else float("nan")

    functions = [dropout, rare_dropout, minibatch, every_seventh_call, annealed, slightly_noisy, running_mean]
    yield from ((function.__name__, function) for function in [*functions, spoils_its_data, sometimes_nan])


@pytest.mark.parametrize("name", [name for name, _ in random_losses()])
def test_a_loss_that_differs_between_calls_is_refused(name: str) -> None:
    text = refusal(dict(random_losses())[name], gradient)
    assert "the loss is not the same at each call" in text


def test_a_gradient_that_differs_between_calls_is_refused() -> None:
    total = [np.zeros_like(w) for w in WEIGHTS]

    def summed_up(w: list[Any]) -> list[Any]:
        for one, new in zip(total, gradient(w), strict=True):
            one += new
        return [one.copy() for one in total]

    assert "the gradient is not the same at each call" in refusal(loss, summed_up)


def test_rounding_of_sums_in_another_order_is_no_difference() -> None:
    turn = itertools.count()

    def reordered(w: list[Any]) -> float:
        errors = ((outputs(w) - Y) ** 2).ravel()
        return float(sum(np.roll(errors, next(turn)).tolist()) / errors.size)

    assert gradcheck(reordered, gradient, WEIGHTS).passed


# --- losses that bend or move in steps ---


def with_zero_units(n: int = 1) -> list[Any]:
    """Return weights at which some hidden units see exactly 0."""
    w = [one.copy() for one in WEIGHTS]
    w[0][:, :n], w[1][:n] = 0, 0
    return w


@pytest.mark.parametrize("at_zero", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("units", [1, 2])
def test_a_kink_at_the_weights_is_named_and_no_gradient_is_blamed(at_zero: float, units: int) -> None:
    weights = with_zero_units(units)
    text = refusal(lambda w: loss(w, relu), lambda w: relu_gradient(w, at_zero), weights)
    assert "has a kink at these weights" in text
    assert "array 0, " in text or "array 1, " in text


def test_a_kink_of_a_penalty_is_named() -> None:
    weights = np.array([0.3, 0.0, -0.2])
    text = refusal(lambda w: float(np.abs(w).sum() + w @ w), lambda w: np.where(w < 0, -1, 1) + 2 * w, weights)
    assert "along weights, bias to 1 its slope is -1 on one side and 1 on the other" in text


@pytest.mark.parametrize("distance", [1e-6, 3e-6, 9e-6, -1e-7, -4e-6])
def test_a_kink_within_a_step_of_the_differences_is_seen_through(distance: float) -> None:
    weights = with_zero_units()
    weights[1][0] = distance
    assert gradcheck(lambda w: loss(w, relu), relu_gradient, weights).passed
    double = gradcheck(lambda w: loss(w, relu), lambda w: [2 * g for g in relu_gradient(w)], weights)
    assert [fault.value for fault in double.faults] == pytest.approx([2.0])


def test_a_wrong_gradient_is_named_in_spite_of_a_kink_elsewhere() -> None:
    weights = with_zero_units()
    report = gradcheck(lambda w: loss(w, relu), lambda w: [2 * g for g in relu_gradient(w, 1.0)], weights)
    assert [fault.sentence[:42] for fault in report.faults] == ["the whole gradient: a constant factor of 2"]


COARSE: dict[str, Callable[[Any], float]] = {
    "in float32": lambda w: float(np.float32(loss([np.float32(one) for one in w], x=np.float32(X)))),
    "weights in float32": lambda w: loss([np.float32(one).astype(np.float64) for one in w]),
    "data in float32, mean in float64": lambda w: float(((np.float32(outputs(w)).astype(np.float64) - Y) ** 2).mean()),
    "in float16": lambda w: float(np.float16(loss(w))),
    "to 3 digits": lambda w: round(loss(w), 3),
    "to 6 digits": lambda w: round(loss(w), 6),
    "to 9 digits": lambda w: round(loss(w), 9),
    "text of 6 digits": lambda w: float(f"{loss(w):.6g}"),
    "weights to 4 digits": lambda w: loss([one.round(4) for one in w]),
    "count of mistakes": lambda w: float(((outputs(w) > 0.5) != (Y > 0.5)).mean()),
}


@pytest.mark.parametrize("name", COARSE)
def test_a_loss_that_moves_in_steps_is_refused(name: str) -> None:
    text = refusal(COARSE[name], gradient)
    assert ("computed in float32, too coarse" in text) == (name == "in float32")
    assert "moves in steps or jumps along array" in text or "too coarse" in text


def test_rounding_that_does_not_matter_is_no_reason_to_refuse() -> None:
    assert gradcheck(lambda w: round(loss(w), 14), gradient, WEIGHTS).passed
    assert not gradcheck(lambda w: round(loss(w), 12), lambda w: [2 * g for g in gradient(w)], WEIGHTS).passed


def test_a_dead_unit_whose_slope_is_forgotten_is_a_fault() -> None:
    weights = [one.copy() for one in WEIGHTS]
    weights[1][0] = -100.0
    report = gradcheck(lambda w: loss(w, relu), lambda w: gradient(w, relu, np.ones_like), weights)
    assert {name for fault in report.faults for name in fault.layers} == {"array 0", "array 1"}


def test_a_coarse_step_of_the_differences_blames_no_right_gradient() -> None:
    assert gradcheck(loss, gradient, WEIGHTS, h=0.03).passed
