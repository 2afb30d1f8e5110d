"""Gradient methods on layered networks: the same steps as on the masked free network, and what they learn."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import numpy as np
import pytest
from descents import configure, start
from numpy.typing import NDArray
from tolerance import assert_close, largest_difference

from freewalk.kernels.backend import Backend, resolve_backend
from freewalk.kernels.cpu.descent import CpuNumerical
from freewalk.kernels.model.descent import DescentConfiguration
from freewalk.kernels.model.layered import LayeredNetwork
from freewalk.kernels.model.network import FreeNetwork
from freewalk.kernels.model.walk import Data, Trainer
from freewalk.kernels.trainers.backprop import LayeredBackprop, ReferenceBackprop
from freewalk.kernels.trainers.numerical import LayeredNumerical
from freewalk.kernels.trainers.synthetic import LayeredSynthetic
from freewalk.tasks.registry import TASKS

ADDITION = TASKS["addition"].problem({"bits": 4, "form": "static"})
LAYERS = LayeredNetwork((8, 10, 6, 4))
CPU, REFERENCE = resolve_backend("cpu"), resolve_backend("reference")


def _configuration(method: str, **changes: Any) -> DescentConfiguration:
    return configure(method, **{"batch_size": 33, "timesteps": 3, "learning_rate": 0.5} | changes)


def _trainer(
    backend: Backend, configuration: DescentConfiguration, layers: LayeredNetwork = LAYERS, **options: Any
) -> Trainer:
    options = {"seed": 4, "evaluation_points": 40} | options
    return start(backend, layers, configuration, ADDITION.data(), **options)


OPTIMIZERS: list[dict[str, Any]] = [
    {"optimizer": "sgd"},
    {"optimizer": "momentum", "learning_rate": 0.1},
    {"optimizer": "adam", "learning_rate": 0.02, "schedule": "cosine", "schedule_steps": 12},
]


@pytest.mark.parametrize("backend", [CPU, REFERENCE], ids=["cpu", "reference"])
@pytest.mark.parametrize("method", ["backprop", "numerical"])
@pytest.mark.parametrize("optimizer", OPTIMIZERS, ids=["sgd", "momentum", "adam"])
def test_steps_are_those_of_the_masked_free_network(backend: Backend, method: str, optimizer: dict[str, Any]) -> None:
    """The judge runs the free network through all timesteps, with its exact gradient."""
    steps = 10 if method == "backprop" or backend is CPU else 2
    layered = _trainer(backend, _configuration(method, **optimizer))
    judge = ReferenceBackprop(
        LAYERS.free_network,
        _configuration("backprop", **optimizer),
        ADDITION.data(),
        seed=4,
        evaluation_points=40,
        mask=LAYERS.mask,
        initial=LAYERS.initial_weights(4),
    )
    start = layered.weights
    np.testing.assert_array_equal(start, LAYERS.initial_weights(4))
    found, wanted = layered.train(steps), judge.train(steps)
    moved = largest_difference(judge.weights, start)
    bound = {("reference", "backprop"): 1e-12, ("reference", "numerical"): 1e-5, ("cpu", "backprop"): 1e-4}
    assert_close(layered.weights, judge.weights, atol=moved * bound.get((backend.name, method), 0.02), what="weights")
    assert found.steps == layered.step == steps
    assert found.loss == pytest.approx(wanted.loss, rel=1e-3)
    assert (layered.weights[~LAYERS.mask] == 0).all()
    measured, judged = layered.evaluate(), judge.evaluate()
    assert measured.loss == pytest.approx(judged.loss, rel=1e-3)
    assert measured.bit_accuracy == pytest.approx(judged.bit_accuracy, abs=0.02)


def test_each_method_has_its_class() -> None:
    data = ADDITION.data()
    free = dataclasses.replace(LAYERS.free_network, n_hidden=3)
    options: dict[str, Any] = {"seed": 0, "evaluation_points": 4}
    assert isinstance(_trainer(CPU, _configuration("numerical")), CpuNumerical)
    assert isinstance(_trainer(REFERENCE, _configuration("numerical")), LayeredNumerical)
    assert isinstance(_trainer(CPU, _configuration("backprop")), LayeredBackprop)
    assert isinstance(_trainer(CPU, _configuration("synthetic")), LayeredSynthetic)
    assert isinstance(start(REFERENCE, free, _configuration("backprop"), data, **options), ReferenceBackprop)


def _softmax_layers() -> LayeredNetwork:
    return dataclasses.replace(LAYERS, softmax=True, loss="categorical_crossentropy", hidden_activation="tanh")


def test_softmax_cross_entropy_and_tanh() -> None:
    layers = _softmax_layers()
    layered = _trainer(REFERENCE, _configuration("backprop"), layers)
    options: dict[str, Any] = {"mask": layers.mask, "initial": layers.initial_weights(4)}
    judge = ReferenceBackprop(
        layers.free_network, _configuration("backprop"), ADDITION.data(), seed=4, evaluation_points=40, **options
    )
    assert layered.train(5).loss == pytest.approx(judge.train(5).loss, rel=1e-12)
    np.testing.assert_allclose(layered.weights, judge.weights, rtol=1e-9, atol=1e-13)
    assert layered.evaluate().loss == pytest.approx(judge.evaluate().loss, rel=1e-12)


@pytest.mark.parametrize("method", ["backprop", "synthetic"])
def test_float32_follows_float64(method: str) -> None:
    single, double = (_trainer(backend, _configuration(method)) for backend in (CPU, REFERENCE))
    start = single.weights
    single.train(20)
    double.train(20)
    moved = largest_difference(double.weights, start)
    assert 0 < largest_difference(single.weights, double.weights) < 1e-4 * moved


@pytest.mark.parametrize("method", ["backprop", "synthetic"])
def test_how_steps_are_shared_among_calls_changes_nothing(method: str) -> None:
    rule = _configuration(method, optimizer="adam", learning_rate=0.01, schedule="cosine", schedule_steps=9)
    parts, whole = _trainer(CPU, rule), _trainer(CPU, rule)
    for steps in (3, 1, 5):
        parts.train(steps)
        parts.evaluate()
    whole.train(9)
    np.testing.assert_array_equal(parts.weights, whole.weights)


def test_initial_weights_are_where_it_starts() -> None:
    initial = np.random.default_rng(0).uniform(-1, 1, LAYERS.mask.shape) * LAYERS.mask
    for method in ("backprop", "numerical", "synthetic"):
        trainer = _trainer(CPU, _configuration(method), initial=initial)
        np.testing.assert_array_equal(trainer.weights, initial)
        trainer.train(2)
        assert (trainer.weights[~LAYERS.mask] == 0).all()
        assert (trainer.weights != initial).sum() > 0.5 * LAYERS.n_weights


@pytest.mark.parametrize("method", ["backprop", "numerical", "synthetic"])
def test_what_does_not_fit_is_refused(method: str) -> None:
    ones = np.ones(LAYERS.mask.shape)
    with pytest.raises(ValueError, match="not those of the layered network 8-10-6-4"):
        _trainer(CPU, _configuration(method), initial=ones)
    with pytest.raises(ValueError, match="weights must have shape"):
        _trainer(CPU, _configuration(method), initial=ones.T)
    with pytest.raises(ValueError, match="timesteps must be the depth of the layered network, 3, got 2"):
        _trainer(CPU, _configuration(method, timesteps=2))


def test_methods_without_a_trainer_of_free_networks_say_so() -> None:
    for backend in (CPU, REFERENCE):
        with pytest.raises(ValueError, match="kolen-pollack learns layered networks only: give the widths"):
            start(backend, FreeNetwork(8, 4, 15), _configuration("kolen-pollack"), Data(0), seed=0, evaluation_points=1)


@pytest.mark.parametrize("method", ["backprop", "synthetic"])
def test_a_loss_that_is_not_finite_stops_the_trial(method: str) -> None:
    """Weights of 1e300 are infinite in float32, and inf - inf is NaN; that step moves nothing."""
    trainer = _trainer(CPU, _configuration(method, learning_rate=1e300))
    progress = trainer.train(50)
    assert not math.isfinite(progress.loss)
    assert progress.steps < 50
    weights = trainer.weights
    assert trainer.train(10).steps == 1
    np.testing.assert_array_equal(trainer.weights, weights)
    assert not math.isfinite(trainer.evaluate().loss)


@pytest.mark.parametrize("method", ["backprop", "synthetic"])
def test_a_stop_asked_for_before_training(method: str) -> None:
    trainer = _trainer(CPU, _configuration(method))
    trainer.train(2)
    trainer.request_stop()
    assert trainer.train(5).steps == 0
    assert trainer.step == 2


# Synthetic gradients --------------------------------------------------------------------------------


def _sigmoid(z: NDArray[np.float64]) -> NDArray[np.float64]:
    return 1 / (1 + np.exp(-z))


def _features(predictor: str, h: NDArray[Any], y: NDArray[Any], x: NDArray[Any] | None = None) -> NDArray[np.float64]:
    one = np.ones((len(h), 1))
    parts: dict[str, list[Any]] = {
        "linear": [h],
        "bias": [h, one],
        "input": [h, x, one],
        "conditioned": [h, y, one],
        "context": [h, y, x, one],
    }
    return np.hstack(parts[predictor])


@pytest.mark.parametrize("normalisation", ["none", "batch"])
@pytest.mark.parametrize("predictor", ["linear", "bias", "input", "conditioned", "context"])
def test_the_steps_of_synthetic_gradients(predictor: str, normalisation: str) -> None:
    """Four steps written out for two hidden layers: all deltas are of means, each layer moves before it sends down."""
    rate, predictor_rate = 0.5, 0.3
    options: dict[str, Any] = {"predictor": predictor, "predictor_normalisation": normalisation}
    trainer = _trainer(REFERENCE, _configuration("synthetic", predictor_learning_rate=predictor_rate, **options))
    assert isinstance(trainer, LayeredSynthetic)
    (w1, w2, w3), (b1, b2, b3) = LAYERS.split(trainer.weights)
    extra = {"linear": 0, "bias": 1, "input": 9, "conditioned": 5, "context": 13}[predictor]
    s1, s2 = np.zeros((10 + extra, 10)), np.zeros((6 + extra, 6))
    for _ in range(4):
        x, y = trainer._batch()
        n = len(x)
        h1 = _sigmoid(x @ w1 + b1)
        h2 = _sigmoid(h1 @ w2 + b2)
        h3 = _sigmoid(h2 @ w3 + b3)
        g1, g2 = h1, h2
        if normalisation == "batch":
            g1, g2 = ((h - h.mean(axis=0)) / np.sqrt(h.var(axis=0) + 1e-5) for h in (h1, h2))
        f1, f2 = _features(predictor, g1, y, x), _features(predictor, g2, y, x)
        q1, q2 = (f1 @ s1) * h1 * (1 - h1), (f2 @ s2) * h2 * (1 - h2)
        q3 = 2 * (h3 - y) * h3 * (1 - h3)
        w1, b1 = w1 - rate * x.T @ q1 / n, b1 - rate * q1.mean(axis=0)
        w2, b2 = w2 - rate * h1.T @ q2 / n, b2 - rate * q2.mean(axis=0)
        w3, b3 = w3 - rate * h2.T @ q3 / n, b3 - rate * q3.mean(axis=0)
        s1 = s1 - predictor_rate * f1.T @ (f1 @ s1 - q2 @ w2.T) / n
        s2 = s2 - predictor_rate * f2.T @ (f2 @ s2 - q3 @ w3.T) / n
        trainer.train(1)
    np.testing.assert_allclose(trainer.weights, LAYERS.embed([w1, w2, w3], [b1, b2, b3]), rtol=1e-10, atol=1e-13)
    for found, wanted in zip(trainer._decoupled.predictors, (s1, s2, None), strict=True):
        if wanted is None:
            assert found is None
        else:
            assert np.abs(wanted).max() > 1e-3
            np.testing.assert_allclose(found, wanted, rtol=1e-9, atol=1e-13)


def test_without_hidden_layers_synthetic_gradients_are_backpropagation() -> None:
    layers = LayeredNetwork((8, 4))
    both = [_trainer(REFERENCE, _configuration(m, timesteps=1), layers) for m in ("synthetic", "backprop")]
    for trainer in both:
        trainer.train(5)
    np.testing.assert_allclose(both[0].weights, both[1].weights, rtol=1e-12)


def test_a_predictor_comes_near_the_gradient_that_arrives() -> None:
    """With weights that hardly move, a conditioned predictor of the last hidden layer: its guess nears the truth."""
    configuration = _configuration(
        "synthetic", predictor="conditioned", learning_rate=1e-9, predictor_learning_rate=0.2, batch_size=200
    )
    trainer = _trainer(REFERENCE, configuration)
    assert isinstance(trainer, LayeredSynthetic)
    trainer.train(1000)
    x, y = trainer._batch()
    (w1, w2, w3), (b1, b2, b3) = LAYERS.split(trainer.weights)
    h2 = _sigmoid(_sigmoid(x @ w1 + b1) @ w2 + b2)
    h3 = _sigmoid(h2 @ w3 + b3)
    truth = 2 * (h3 - y) * h3 * (1 - h3) @ w3.T
    guess = _features("conditioned", h2, y) @ np.asarray(trainer._decoupled.predictors[1])
    assert ((guess - truth) ** 2).sum() < 0.01 * (truth**2).sum()


# What they learn ------------------------------------------------------------------------------------


def _learn(method: str, widths: tuple[int, ...], bits: int, pairs: int, steps: int, **options: Any) -> Any:
    problem = TASKS["addition"].problem({"bits": bits, "form": "static", "pairs": pairs})
    layers = LayeredNetwork(widths)
    configuration = configure(method, timesteps=layers.depth, batch_size=10, **options)
    trainer = start(CPU, layers, configuration, problem.data(), seed=0, evaluation_points=pairs)
    trainer.train(steps)
    return trainer.evaluate()


@pytest.mark.slow
def test_backprop_learns_to_add_twelve_bits() -> None:
    """250 of the 1,000 passes in which the original program reached 99.7 % of the bits and 96 % of the rows."""
    measured = _learn("backprop", (24, 128, 64, 12), 12, 1000, 25_000, optimizer="momentum", learning_rate=0.1)
    assert measured.bit_accuracy >= 0.995
    assert measured.row_accuracy >= 0.95


@pytest.mark.slow
def test_conditioned_synthetic_gradients_learn_to_add_eight_bits() -> None:
    """800 passes over the pairs; the original program reached 67.6 % of the bits in 100,000."""
    options: dict[str, Any] = {"predictor": "conditioned", "optimizer": "momentum", "learning_rate": 0.1}
    measured = _learn("synthetic", (16, 64, 32, 8), 8, 100, 8_000, predictor_learning_rate=0.05, **options)
    assert measured.bit_accuracy >= 0.99
    assert measured.row_accuracy >= 0.95
