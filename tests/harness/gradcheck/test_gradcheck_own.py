"""`gradcheck` on gradient functions as users write them: hand-made backpropagation with the usual mistakes."""

import doctest
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import numpy as np
import pytest

from freewalk.harness.gradcheck import own
from freewalk.harness.gradcheck.own import gradcheck
from freewalk.harness.gradcheck.report import Report

WIDTHS = (4, 5, 5, 3)
RNG = np.random.default_rng(0)
X = RNG.normal(size=(11, 4))
Y = (RNG.random((11, 3)) < 0.5) * 1.0
WEIGHTS = [
    array for n_in, n_out in pairwise(WIDTHS) for array in (RNG.normal(size=(n_in, n_out)), RNG.normal(size=n_out))
]


def sigmoid(z: Any) -> Any:
    return 1 / (1 + np.exp(-z))


def run(weights: list[Any]) -> tuple[list[Any], list[Any]]:
    """Return what enters each layer, and its sums."""
    entering, sums = [X], []
    for w, b in zip(weights[::2], weights[1::2], strict=True):
        sums.append(entering[-1] @ w + b)
        entering.append(sigmoid(sums[-1]))
    return entering, sums


def loss(weights: list[Any]) -> float:
    """Half the squared errors, summed over the cases, as the older textbooks have it."""
    return float(0.5 * ((run(weights)[0][-1] - Y) ** 2).sum())


def slope(z: Any, a: Any) -> Any:
    return a * (1 - a)


def gradient(
    weights: list[Any], *, slope: Callable[[Any, Any], Any] = slope, error: float = 1.0, propagate: str = "right"
) -> list[Any]:
    """Backpropagation with room for mistakes."""
    entering, sums = run(weights)
    delta = error * (entering[-1] - Y) * slope(sums[-1], entering[-1])
    found: list[Any] = []
    for layer in (2, 1, 0):
        below = entering[layer]
        found = [below.T @ delta, delta.sum(axis=0), *found]
        back = weights[2 * layer] if propagate == "transposed" and layer == 1 else weights[2 * layer].T
        delta = (delta @ back) * slope(sums[layer - 1], below) if layer else delta
    return found


def check(faulty: Callable[[list[Any]], Any], **options: Any) -> Report:
    return gradcheck(loss, faulty, WEIGHTS, data=(X, Y), **options)


def test_the_right_gradient_passes_and_nothing_is_changed() -> None:
    before = [array.copy() for array in WEIGHTS]
    report = check(gradient)
    assert report.passed
    assert [layer.name for layer in report.layers] == [f"array {k}" for k in range(6)]
    assert [layer.n_weights for layer in report.layers] == [20, 5, 25, 5, 15, 3]
    assert max(layer.max_error for layer in report.layers) < 1e-7
    assert all(np.array_equal(one, other) for one, other in zip(before, WEIGHTS, strict=True))


def test_a_gradient_divided_by_the_cases_while_the_loss_sums_over_them() -> None:
    report = check(lambda w: [part / len(X) for part in gradient(w)])
    (fault,) = report.faults
    assert fault.sentence == "the whole gradient: a constant factor of 0.0909091, which is 1 / 11 (cases)"


def test_counts_of_ones_own_name_factors_without_data() -> None:
    report = gradcheck(
        loss, lambda w: [part / 11 for part in gradient(w)], WEIGHTS, counts={"examples": 11, "outputs": 3}
    )
    assert report.faults[0].sentence.endswith("which is 1 / 11 (examples)")


def test_a_derivative_of_what_is_already_an_activation_with_the_wrong_sign() -> None:
    report = check(lambda w: gradient(w, slope=lambda z, a: -sigmoid(a) * (1 - sigmoid(a))))
    # three layers: the sign is wrong once in the last, twice (so right) in the middle, three times in the first
    assert report.faults[0].kind == "derivative"
    assert "taken of activations instead of pre-activations" in report.faults[0].sentence
    (sign,) = [fault for fault in report.faults if fault.kind == "sign"]
    assert sign.layers == ("array 0", "array 1", "array 4", "array 5")


def test_a_derivative_fault_is_seen_through_the_losss_own_convention() -> None:
    report = check(lambda w: gradient(w, slope=lambda z, a: np.ones_like(a)))
    assert [fault.kind for fault in report.faults] == ["derivative"]
    assert "left out" in report.faults[0].sentence


def test_the_shortcut_on_sums() -> None:
    report = check(lambda w: gradient(w, slope=lambda z, a: z * (1 - z)))
    assert [fault.kind for fault in report.faults] == ["derivative"]
    assert "z (1 - z) of pre-activations" in report.faults[0].sentence


def test_functions_that_spoil_their_weights_do_no_harm() -> None:
    def spoil(weights: list[Any]) -> None:
        for part in weights:
            part[:] = np.nan

    def spoiling_loss(weights: list[Any]) -> float:
        value = loss(weights)
        spoil(weights)
        return value

    def spoiling_gradient(weights: list[Any]) -> list[Any]:
        found = gradient(weights)
        spoil(weights)
        return found

    assert gradcheck(spoiling_loss, spoiling_gradient, WEIGHTS).passed


def test_without_data_a_derivative_fault_is_still_a_miss() -> None:
    report = gradcheck(loss, lambda w: gradient(w, slope=lambda z, a: np.ones_like(a)), WEIGHTS)
    assert not report.passed
    assert {fault.kind for fault in report.faults} == {"layer"}


def test_a_flipped_error() -> None:
    (fault,) = check(lambda w: gradient(w, error=-1.0)).faults
    assert fault.sentence == "the whole gradient: the sign is flipped"


def test_a_missing_bias_gradient() -> None:
    def without(weights: list[Any]) -> list[Any]:
        return [part if part.ndim == 2 else 0 * part for part in gradient(weights)]

    (fault,) = check(without).faults
    assert (fault.kind, fault.layers) == ("missing bias", ("array 1", "array 3", "array 5"))


def test_an_error_sent_down_through_the_wrong_weights() -> None:
    report = check(lambda w: gradient(w, propagate="transposed"))
    assert {name for fault in report.faults for name in fault.layers} == {"array 0", "array 1"}
    assert "comes down from layer 2" in report.faults[-1].sentence


def test_one_neuron_by_hand_as_one_array() -> None:
    x, y = np.array([[0.0, 0, 1], [0, 1, 1], [1, 0, 1], [1, 1, 1]]), np.array([0.0, 0, 0, 1])

    def neuron_loss(w: Any) -> float:
        return float(((sigmoid(x @ w) - y) ** 2).sum())

    def neuron_gradient(w: Any) -> Any:
        a = sigmoid(x @ w)
        return x.T @ (2 * (a - y) * a * (1 - a))

    at = [0.2, -0.3, 0.1]
    assert gradcheck(neuron_loss, neuron_gradient, at).passed
    (fault,) = gradcheck(neuron_loss, lambda w: -neuron_gradient(w), at).faults
    assert fault.kind == "sign"


def test_a_mapping_keeps_its_names() -> None:
    names = ["W1", "b1", "W2", "b2", "W3", "b3"]

    def faulty(weights: dict[str, Any]) -> dict[str, Any]:
        parts = dict(zip(names, gradient(list(weights.values())), strict=True))
        return {**parts, "W2": -parts["W2"]}

    report = gradcheck(lambda w: loss(list(w.values())), faulty, dict(zip(names, WEIGHTS, strict=True)), data=(X, Y))
    (fault,) = report.faults
    assert fault.sentence == "W2: the sign is flipped"


def test_layers_without_biases_and_tanh() -> None:
    matrices = WEIGHTS[::2]

    def tanh_run(weights: list[Any]) -> list[Any]:
        entering = [X]
        for k, w in enumerate(weights):
            entering.append((sigmoid if k == 2 else np.tanh)(entering[-1] @ w))
        return entering

    def tanh_loss(weights: list[Any]) -> float:
        return float(((tanh_run(weights)[-1] - Y) ** 2).mean())

    def tanh_gradient(weights: list[Any], hidden: Callable[[Any], Any]) -> list[Any]:
        a = tanh_run(weights)
        delta = 2 * (a[3] - Y) * a[3] * (1 - a[3]) / Y.size
        found = [a[2].T @ delta]
        for k in (2, 1):
            delta = (delta @ weights[k].T) * hidden(a[k])
            found.insert(0, a[k - 1].T @ delta)
        return found

    def check_tanh(hidden: Callable[[Any], Any]) -> Report:
        return gradcheck(tanh_loss, lambda w: tanh_gradient(w, hidden), matrices, data=(X, Y), activation="tanh")

    assert check_tanh(lambda a: 1 - a**2).passed
    assert "tanh'(a)" in check_tanh(lambda a: 1 - np.tanh(a) ** 2).faults[0].sentence
    assert "sigmoid's" in check_tanh(lambda a: a * (1 - a)).faults[0].sentence


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((loss, lambda w: gradient(w)[:5], WEIGHTS), "must be 6 arrays"),
        ((loss, lambda w: gradient(w)[::-1], WEIGHTS), r"array 0 must have shape \(4, 5\), got \(3,\)"),
        ((lambda w: np.float32(loss(w)), gradient, WEIGHTS), "compute it in float64"),
        ((lambda w: np.zeros(2), gradient, WEIGHTS), "must be one number"),
        ((lambda w: np.nan, gradient, WEIGHTS), "loss is nan"),
        ((loss, gradient, []), "no weights"),
        ((lambda w: 0.0, lambda w: {"b": 1.0}, {"a": np.ones(2)}), "keys a"),
    ],
)
def test_mistakes_of_use_are_named(arguments: tuple[Any, ...], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        gradcheck(*arguments)


@pytest.mark.parametrize(
    ("weights", "data", "message"),
    [
        (WEIGHTS, (X[:, :3], Y), "do not fit weights"),
        (WEIGHTS[2:], (X, Y), "do not fit weights"),
        (WEIGHTS, (X, Y[:5]), "do not fit weights"),
        (WEIGHTS, (X, 1 - Y), "have another gradient than the loss given"),
    ],
)
def test_data_that_are_not_the_losss_are_refused(weights: Any, data: Any, message: str) -> None:
    def any_loss(w: Any) -> float:
        return loss(w) if len(w) == 6 else float(sum((part**2).sum() for part in w))

    with pytest.raises(ValueError, match=message):
        gradcheck(any_loss, lambda w: [0 * part for part in w], weights, data=data)


def test_the_examples_in_the_documentation() -> None:
    found = doctest.testmod(own)
    assert (found.failed, found.attempted > 3) == (0, True)
