"""Feedback alignment and its relatives: their steps written out, and how they come to the gradient."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from descents import FEEDBACK, configure, start
from numpy.typing import NDArray
from tolerance import largest_difference

from benchmarks.alignment import angle, angles
from freewalk.kernels.backend import Backend, resolve_backend
from freewalk.kernels.model.layered import LayeredNetwork
from freewalk.kernels.model.noise import Stream, uniforms
from freewalk.kernels.reference.feedback import draw_feedback
from freewalk.kernels.trainers.feedback import FeedbackAlignment
from freewalk.tasks.registry import TASKS

Array = NDArray[Any]

ADDITION = TASKS["addition"].problem({"bits": 4, "form": "static"})
LAYERS = LayeredNetwork((8, 10, 6, 4), hidden_activation="tanh")
CPU, REFERENCE = resolve_backend("cpu"), resolve_backend("reference")
METHODS = [descent.configuration.method for descent in FEEDBACK]


def _trainer(method: str, backend: Backend = REFERENCE, layers: LayeredNetwork = LAYERS, **changes: Any) -> Any:
    values = {"batch_size": 33, "timesteps": layers.depth, "learning_rate": 0.5} | changes
    return start(backend, layers, configure(method, **values), ADDITION.data(), seed=4, evaluation_points=40)


def _draw(step: int, n_rows: int, n_columns: int, layer: int) -> Array:
    return uniforms(n_rows, n_columns, 4, Stream.FEEDBACK, step=step, item=layer)


def _glorot(rows: int, columns: int) -> float:
    return math.sqrt(6 / (rows + columns))


CASES: dict[str, tuple[str, dict[str, Any]]] = {
    "fa": ("feedback-alignment", {}),
    "fa scaled": ("feedback-alignment", {"feedback_scale": 0.3}),
    "dfa": ("direct-feedback-alignment", {}),
    "drtp": ("direct-random-target-projection", {}),
    "usf": ("sign-symmetry", {}),
    "frsf": ("sign-symmetry", {"magnitudes": "fixed"}),
    "brsf": ("sign-symmetry", {"magnitudes": "batchwise", "feedback_scale": 2.0}),
    "kp": ("kolen-pollack", {"weight_decay": 0.02}),
}


@pytest.mark.parametrize("case", CASES)
def test_the_steps_of_each_rule(case: str) -> None:
    """Three steps written out for two hidden layers of tanh, outputs of sigmoids, squared errors."""
    method, changes = CASES[case]
    trainer, rate = _trainer(method, **changes), 0.5
    scale, decay = changes.get("feedback_scale", 1.0), changes.get("weight_decay", 0.0)
    (w1, w2, w3), (b1, b2, b3) = LAYERS.split(trainer.weights)
    v1, v2 = scale * _glorot(6, 10) * _draw(0, 6, 10, 0), scale * _glorot(4, 6) * _draw(0, 4, 6, 1)
    for step in range(3):
        x, y = trainer._batch()
        n = len(x)
        h1 = np.tanh(x @ w1 + b1)
        h2 = np.tanh(h1 @ w2 + b2)
        h3 = 1 / (1 + np.exp(-(h2 @ w3 + b3)))
        if case == "usf":
            v1, v2 = np.sign(w2.T) * math.sqrt(2 / 16), np.sign(w3.T) * math.sqrt(2 / 10)
        elif case == "frsf":
            v1 = np.sign(w2.T) * _glorot(6, 10) * abs(_draw(0, 6, 10, 0))
            v2 = np.sign(w3.T) * _glorot(4, 6) * abs(_draw(0, 4, 6, 1))
        elif case == "brsf":
            v1 = np.sign(w2.T) * 2 * _glorot(6, 10) * abs(_draw(step, 6, 10, 0))
            v2 = np.sign(w3.T) * 2 * _glorot(4, 6) * abs(_draw(step, 4, 6, 1))
        q3 = 2 * (h3 - y) * h3 * (1 - h3)
        sent = y if case == "drtp" else q3
        q2 = sent @ v2 * (1 - h2**2)
        direct = case in ("dfa", "drtp")
        q1 = (sent @ (_glorot(4, 10) * _draw(0, 4, 10, 0)) if direct else q2 @ v1) * (1 - h1**2)
        d1, d2, d3 = x.T @ q1 / n, h1.T @ q2 / n, h2.T @ q3 / n
        if case == "kp":
            v1, v2 = (1 - decay) * v1 - rate * d2.T, (1 - decay) * v2 - rate * d3.T
        w1, w2, w3 = w1 - rate * d1, (1 - decay) * w2 - rate * d2, (1 - decay) * w3 - rate * d3
        b1, b2, b3 = b1 - rate * q1.mean(axis=0), b2 - rate * q2.mean(axis=0), b3 - rate * q3.mean(axis=0)
        trainer.train(1)
    np.testing.assert_allclose(trainer.weights, LAYERS.embed([w1, w2, w3], [b1, b2, b3]), rtol=1e-10, atol=1e-13)
    if case == "kp":
        for name, wanted in (("feedback_0", v1), ("feedback_1", v2)):
            np.testing.assert_allclose(trainer.state()[name], wanted, rtol=1e-10, atol=1e-13)


@pytest.mark.parametrize(
    "layers",
    [
        LAYERS,
        LayeredNetwork((8, 10, 6, 4), hidden_activation="relu", output_activation="linear"),
        LayeredNetwork((8, 9, 4), output_activation="linear", softmax=True, loss="categorical_crossentropy"),
    ],
    ids=["tanh", "relu and linear", "softmax on logits"],
)
@pytest.mark.parametrize("backend", [CPU, REFERENCE], ids=["cpu", "reference"])
def test_through_the_transposed_weights_it_is_the_gradient(backend: Backend, layers: LayeredNetwork) -> None:
    aligned, judge = _trainer("feedback-alignment", backend, layers), _trainer("backprop", backend, layers)
    assert isinstance(aligned, FeedbackAlignment)
    aligned._feedback = [weights.T for weights in aligned._used.weights[1:]]
    x, y = aligned._batch()
    assert aligned._find_gradient(x, y) == judge._find_gradient(x, y)
    assert all(weights.any() for weights in judge._gradient.weights)
    np.testing.assert_array_equal(aligned._gradient.flat, judge._gradient.flat)


@pytest.mark.parametrize("method", METHODS)
def test_float32_follows_float64(method: str) -> None:
    single, double = _trainer(method, CPU), _trainer(method)
    began = single.weights
    single.train(20)
    double.train(20)
    moved = largest_difference(double.weights, began)
    assert 0 < largest_difference(single.weights, double.weights) < 1e-4 * moved


def test_with_one_hidden_layer_direct_feedback_is_feedback_alignment() -> None:
    layers = LayeredNetwork((8, 7, 4))
    both = [_trainer(method, CPU, layers) for method in METHODS[:2]]
    for trainer in both:
        trainer.train(5)
    np.testing.assert_array_equal(both[0].weights, both[1].weights)


@pytest.mark.parametrize(("optimizer", "rate"), [("sgd", 0.5), ("momentum", 0.1), ("adam", 0.01)])
def test_the_feedback_of_kolen_and_pollack_comes_to_the_transposed_weights(optimizer: str, rate: float) -> None:
    trainer = _trainer("kolen-pollack", CPU, optimizer=optimizer, learning_rate=rate, weight_decay=0.02)

    def gaps() -> list[Array]:
        weights, _ = LAYERS.split(trainer.weights)
        return [trainer.state()[f"feedback_{k}"] - weights[k + 1].T for k in range(2)]

    before = gaps()
    trainer.train(200)
    for gap, start_gap in zip(gaps(), before, strict=True):
        np.testing.assert_allclose(gap, start_gap * 0.98**200, rtol=1e-9, atol=1e-13)
    x, y = trainer._batch()
    judge = _trainer("backprop", CPU)
    judge._used.flat[:] = trainer._used.flat
    trainer._find_gradient(x, y)
    judge._find_gradient(x, y)
    assert angle(trainer._gradient.flat, judge._gradient.flat) < 2


def test_feedback_is_drawn_from_a_stream_of_its_own() -> None:
    drawn = draw_feedback(LAYERS, 4, 1.0)
    assert [matrix.shape for matrix in drawn] == [(6, 10), (4, 6)]
    assert [matrix.shape for matrix in draw_feedback(LAYERS, 4, 1.0, direct=True)] == [(4, 10), (4, 6)]
    weights, _ = LAYERS.split(LAYERS.initial_weights(4))
    flat = np.concatenate([(matrix / _glorot(*matrix.shape)).ravel() for matrix in drawn])
    initial = np.concatenate([(w.T / _glorot(*w.shape)).ravel() for w in weights[1:]])
    assert abs(np.corrcoef(flat, initial)[0, 1]) < 4 / math.sqrt(len(flat))
    assert np.abs(flat).max() <= 1
    assert flat.std() == pytest.approx(1 / math.sqrt(3), rel=0.2)
    for other in (draw_feedback(LAYERS, 5, 1.0), draw_feedback(LAYERS, 4, 1.0, step=1)):
        assert (other[0] != drawn[0]).all()


def test_what_a_step_costs() -> None:
    for method in ("feedback-alignment", "sign-symmetry", "kolen-pollack"):
        assert configure(method, batch_size=10, timesteps=3).evaluations_per_step(LAYERS) == 30
    assert LAYERS.n_weights == 184
    for method in ("direct-feedback-alignment", "direct-random-target-projection"):
        direct = configure(method, batch_size=10, timesteps=3, backward_cost=3.0)
        assert direct.evaluations_per_step(LAYERS) == pytest.approx(10 * (1 + 1.5 + 1.5 * 4 * (10 + 6) / 184))


@pytest.mark.parametrize(
    ("method", "change", "message"),
    [
        ("feedback-alignment", {"feedback_scale": 0.0}, "feedback_scale must be a finite number above 0, got 0.0"),
        ("sign-symmetry", {"magnitudes": "none"}, "magnitudes must be one of uniform, fixed, batchwise, got 'none'"),
        ("kolen-pollack", {"weight_decay": 1.0}, "weight_decay must be at least 0 and below 1, got 1.0"),
    ],
)
def test_a_configuration_that_cannot_be(method: str, change: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        configure(method, batch_size=1, timesteps=1, **change)


def test_the_angle_to_the_gradient_falls() -> None:
    """It starts at a right angle, as weights are next to nothing, and these come to meet the feedback."""
    for seed in range(3):
        found, losses = angles(seed, 1500)
        assert 60 < np.mean(found[:10]) < 120
        assert np.mean(found[-100:]) < 45
        assert max(found[-100:]) < 90
        assert np.mean(losses[-100:]) < 0.05 * np.mean(losses[:100])
