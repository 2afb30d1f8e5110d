"""Penalties on weights that the loss or its gradient lacks are named; one derivative alone names nothing."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from freewalk.harness.gradcheck.own import gradcheck

RNG = np.random.default_rng(1)
X = RNG.normal(size=(20, 4))


def sigmoid(z: Any) -> Any:
    return 1 / (1 + np.exp(-z))


def weights(n_out: int = 3) -> list[Any]:
    return [np.random.default_rng(k).normal(size=shape) for k, shape in enumerate(((4, 5), (5,), (5, n_out), (n_out,)))]


def forward(w: list[Any]) -> tuple[Any, Any]:
    h = sigmoid(X @ w[0] + w[1])
    return h, sigmoid(h @ w[2] + w[3])


def loss(w: list[Any], penalty: Callable[[Any], float] = lambda w: 0.0) -> float:
    return float(((forward(w)[1] - 0.3) ** 2).sum() / 20 + penalty(w))


def gradient(w: list[Any], *, scale: float = 1.0, slope: Callable[[Any], Any] = lambda a: a * (1 - a)) -> list[Any]:
    h, o = forward(w)
    d2 = scale * (o - 0.3) * slope(o) / 10
    d1 = d2 @ w[2].T * slope(h)
    return [X.T @ d1, d1.sum(0), h.T @ d2, d2.sum(0)]


def plus(g: list[Any], w: list[Any], amounts: tuple[float, ...], of: Callable[[Any], Any] = lambda a: a) -> list[Any]:
    return [a + k * of(b) for a, b, k in zip(g, w, amounts, strict=True)]


def squares(w: list[Any], amounts: tuple[float, ...] = (0.1, 0.0, 0.1, 0.0)) -> float:
    return sum(k / 2 * float((a**2).sum()) for k, a in zip(amounts, w, strict=True))


def moduli(w: list[Any]) -> float:
    return 0.01 * float(np.abs(w[0]).sum() + np.abs(w[2]).sum())


BOTH, ALL, BIASES = (0.1, 0.0, 0.1, 0.0), (0.1, 0.1, 0.1, 0.1), (0.0, 0.1, 0.0, 0.1)
MATRICES = ("array 0", "array 2")
TOO_LITTLE, TOO_MUCH = "the gradient lacks or has smaller", "that the loss lacks or has smaller"


@pytest.mark.parametrize("n_out", [3, 1])
@pytest.mark.parametrize(
    ("of_loss", "of_gradient", "multiple", "layers", "words"),
    [
        (BOTH, (0, 0, 0, 0), -0.1, MATRICES, TOO_LITTLE),
        ((0, 0, 0, 0), BOTH, 0.1, MATRICES, TOO_MUCH),
        (BOTH, (0.05, 0, 0.05, 0), -0.05, MATRICES, TOO_LITTLE),
        (BOTH, (0.2, 0, 0.2, 0), 0.1, MATRICES, TOO_MUCH),
        (BOTH, ALL, 0.1, ("array 1", "array 3"), TOO_MUCH),
        (ALL, BOTH, -0.1, ("array 1", "array 3"), TOO_LITTLE),
        (ALL, (0, 0, 0, 0), -0.1, ("array 0", "array 1", "array 2", "array 3"), TOO_LITTLE),
        (BOTH, (0.1, 0, 0, 0), -0.1, ("array 2",), TOO_LITTLE),
        (BOTH, (-0.1, 0, -0.1, 0), -0.2, MATRICES, TOO_LITTLE),
        ((1e-4, 0, 1e-4, 0), (0, 0, 0, 0), -1e-4, MATRICES, TOO_LITTLE),
    ],
)
def test_weight_decay_is_named(
    n_out: int, of_loss: Any, of_gradient: Any, multiple: float, layers: tuple[str, ...], words: str
) -> None:
    report = gradcheck(
        lambda w: loss(w, lambda w: squares(w, of_loss)), lambda w: plus(gradient(w), w, of_gradient), weights(n_out)
    )
    (fault,) = report.faults
    assert (fault.kind, fault.layers) == ("penalty", layers)
    assert fault.value == pytest.approx(multiple, rel=1e-3)
    assert words in fault.sentence
    assert f"{abs(multiple):g} times the weights" in fault.sentence
    assert "weight decay" in fault.sentence


@pytest.mark.parametrize("in_loss", [True, False])
def test_an_l1_penalty_is_named(in_loss: bool) -> None:
    amounts = (0.0,) * 4 if in_loss else (0.01, 0.0, 0.01, 0.0)
    report = gradcheck(
        lambda w: loss(w, moduli if in_loss else lambda w: 0.0),
        lambda w: plus(gradient(w), w, amounts, np.sign),
        weights(),
    )
    (fault,) = report.faults
    assert (fault.kind, fault.layers) == ("penalty", MATRICES)
    assert "0.01 times the signs of the weights" in fault.sentence
    assert "(L1)" in fault.sentence


def test_a_penalty_that_is_scaled_otherwise_than_the_rest_is_named() -> None:
    report = gradcheck(
        lambda w: loss(w, squares), lambda w: plus(gradient(w, scale=20.0), w, BOTH), weights(), counts={"cases": 20}
    )
    kinds = {fault.kind: fault for fault in report.faults}
    assert kinds["factor"].layers == ("array 1", "array 3")
    assert kinds["factor"].sentence.endswith("which is 20 (cases)")
    assert kinds["penalty"].layers == MATRICES
    assert "it is 20 times the right one, 20 (cases), less 1.9 times the weights" in kinds["penalty"].sentence


def test_the_right_penalty_passes() -> None:
    assert gradcheck(lambda w: loss(w, squares), lambda w: plus(gradient(w), w, BOTH), weights()).passed


@pytest.mark.parametrize(
    ("name", "wrong"),
    [
        ("sigmoid' of activations", lambda w: gradient(w, slope=lambda a: sigmoid(a) * (1 - sigmoid(a)))),
        ("no slope", lambda w: gradient(w, slope=np.ones_like)),
        ("a bias for each", lambda w: [g + 0.01 * (1 + np.arange(g.size).reshape(g.shape)) for g in gradient(w)]),
    ],
)
def test_one_derivative_alone_is_no_factor(name: str, wrong: Callable[[Any], Any]) -> None:
    faults = gradcheck(loss, wrong, weights(n_out=1)).faults
    assert {fault.kind for fault in faults} == {"layer"}, name
    assert any(fault.sentence.startswith("array 3: its one derivative is ") for fault in faults)


def test_one_derivative_has_the_factor_of_the_others() -> None:
    for factor in (2.0, -1.0, 0.05):
        (fault,) = gradcheck(loss, lambda w, k=factor: gradient(w, scale=k), weights(n_out=1)).faults
        assert fault.sentence.startswith("the whole gradient: ")
        assert fault.value == pytest.approx(factor)


def test_one_derivative_that_is_all_that_is_wrong_keeps_its_factor() -> None:
    def doubled(w: list[Any]) -> list[Any]:
        *rest, last = gradient(w)
        return [*rest, 2 * last]

    (fault,) = gradcheck(loss, doubled, weights(n_out=1)).faults
    assert fault.sentence == "array 3: a constant factor of 2, which is 2 (the derivative of a square)"


def test_a_missing_bias_of_one_output_is_still_named() -> None:
    def without(w: list[Any]) -> list[Any]:
        return [g if g.ndim == 2 else 0 * g for g in gradient(w)]

    (fault,) = gradcheck(loss, without, weights(n_out=1)).faults
    assert (fault.kind, fault.layers) == ("missing bias", ("array 1", "array 3"))
