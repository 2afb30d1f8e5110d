"""Synthetic gradients through time: truncated backpropagation whose segments end in a prediction."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from descents import configure, start
from numpy.typing import NDArray
from tolerance import largest_difference

from freewalk.kernels.backend import Backend, resolve_backend
from freewalk.kernels.model.layered import LayeredNetwork
from freewalk.kernels.model.network import FreeNetwork
from freewalk.kernels.reference import reference
from freewalk.kernels.reference.gradient import loss_gradient
from freewalk.kernels.reference.truncated import run_steps, truncated_gradient
from freewalk.tasks.registry import TASKS

Array = NDArray[Any]

CPU, REFERENCE = resolve_backend("cpu"), resolve_backend("reference")
T, B = 7, 5
NETWORKS = {
    "sequences": FreeNetwork(2, 3, 4, sequence_input=True, sequence_output=True, hidden_activation="tanh"),
    "one answer": FreeNetwork(2, 3, 4, sequence_input=True, hidden_activation="relu", output_activation="linear"),
    "static, leaky": FreeNetwork(2, 3, 4, hidden_activation="tanh", leak=0.3),
    "softmax": FreeNetwork(
        2, 3, 4, sequence_output=True, output_activation="linear", softmax=True, loss="categorical_crossentropy"
    ),
}


def _problem(network: FreeNetwork) -> tuple[Array, Array, Array]:
    """Return weights, x and y; some targets of a sequence do not count."""
    random = np.random.default_rng(1)
    weights = random.normal(0, 0.7, (network.n_from, network.n_to))
    x = random.normal(size=(B, T, 2) if network.sequence_input else (B, 2))
    y = random.uniform(size=(B, T, 3) if network.sequence_output else (B, 3))
    if network.sequence_output:
        y[1, 2] = y[3, T - 1] = np.nan
    return weights, x, y


def _no_guess(t: int, a: Array) -> Array:
    return np.zeros_like(a)


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("truncation", [0, T, T + 3])
def test_one_segment_is_backpropagation_through_time(name: str, truncation: int) -> None:
    network = NETWORKS[name]
    weights, x, y = _problem(network)
    wanted_loss, wanted = loss_gradient(network, weights, x, y, T)
    loss, found, boundaries = truncated_gradient(network, weights, x, y, T, truncation, _no_guess)
    assert not boundaries
    assert loss == pytest.approx(wanted_loss, rel=1e-14)
    np.testing.assert_allclose(found, wanted, rtol=1e-11, atol=1e-13)


def _later_gradient(network: FreeNetwork, weights: Array, x: Array, y: Array, t: int, a: Array) -> Array:
    """Return the derivative of each datapoint's loss of timesteps from t on by the activations there."""
    keep = reference.kept(network)

    def later_losses(a: Array) -> Array:
        after = []
        for s in range(t, T):
            x_s = x[:, s] if network.sequence_input else x
            z = np.hstack([x_s, np.ones((B, 1)), a]) @ weights
            a = keep * a + (1 - keep) * reference.activate(network, z)
            after.append(a)
        seen = y[:, t:] if network.sequence_output else y
        return reference.losses(network, reference.read_outputs(network, np.stack(after, axis=1)), seen)

    derivative, h = np.zeros_like(a), 1e-6
    for k in range(network.n_to):
        shift = h * np.eye(network.n_to)[k]
        derivative[:, k] = (later_losses(a + shift) - later_losses(a - shift)) / (2 * h)
    return derivative


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("truncation", [1, 3])
def test_with_the_true_gradient_for_a_prediction_segments_change_nothing(name: str, truncation: int) -> None:
    network = NETWORKS[name]
    weights, x, y = _problem(network)

    def truth(t: int, a: Array) -> Array:
        return _later_gradient(network, weights, x, y, t, a)

    _, found, boundaries = truncated_gradient(network, weights, x, y, T, truncation, truth)
    assert [one.timestep for one in boundaries] == ([6, 5, 4, 3, 2, 1] if truncation == 1 else [6, 3])
    np.testing.assert_allclose(found, loss_gradient(network, weights, x, y, T)[1], rtol=1e-6, atol=1e-8)
    for one in boundaries:
        np.testing.assert_allclose(one.target, one.guess, rtol=1e-6, atol=1e-8)
    cut = truncated_gradient(network, weights, x, y, T, truncation, _no_guess)[1]
    assert largest_difference(cut, found) > 1e-3, "it does matter what arrives"


# Trials ---------------------------------------------------------------------------------------------

ADDITION = TASKS["addition"].problem({"bits": 3})
STATIC = TASKS["addition"].problem({"bits": 2, "form": "static"})


def _trainer(problem: Any, backend: Backend = REFERENCE, hidden: int = 5, timesteps: int = 4, **changes: Any) -> Any:
    values = {"batch_size": 30, "timesteps": timesteps, "learning_rate": 0.3} | changes
    configuration = configure("synthetic", **values)
    return start(backend, problem.network(hidden), configuration, problem.data(), seed=3, evaluation_points=64)


@pytest.mark.parametrize("normalisation", ["none", "batch"])
@pytest.mark.parametrize("predictor", ["linear", "bias", "input", "conditioned", "context"])
def test_steps_written_out(predictor: str, normalisation: str) -> None:
    """Three timesteps in segments of two and one, an answer after the last, sigmoids; four steps."""
    options = {"predictor": predictor, "predictor_normalisation": normalisation, "predictor_learning_rate": 0.2}
    trainer = _trainer(STATIC, timesteps=3, truncation=2, **options)
    network = trainer.network
    n_in, n = network.n_input, network.n_to
    w, own = trainer.weights, np.zeros_like(trainer._predictor)
    extra = {"linear": 0, "bias": 1, "input": n_in + 1, "conditioned": 3, "context": n_in + 3}[predictor]
    assert own.shape == (n + extra, n)
    for _ in range(4):
        x, y = trainer._batch()
        one = np.ones((len(x), 1))
        u0 = np.hstack([x, one, np.zeros((len(x), n))])
        a1 = 1 / (1 + np.exp(-(u0 @ w)))
        u1 = np.hstack([x, one, a1])
        a2 = 1 / (1 + np.exp(-(u1 @ w)))
        u2 = np.hstack([x, one, a2])
        a3 = 1 / (1 + np.exp(-(u2 @ w)))
        seen = a2 if normalisation == "none" else (a2 - a2.mean(axis=0)) / np.sqrt(a2.var(axis=0) + 1e-5)
        beside: dict[str, list[Array]] = {
            "linear": [],
            "bias": [one],
            "input": [x, one],
            "conditioned": [y, one],
            "context": [y, x, one],
        }
        features = np.hstack([seen, *beside[predictor]])
        delta3 = np.zeros_like(a3)
        o = a3[:, :2]
        delta3[:, :2] = 2 * (o - y) * o * (1 - o)
        recurrent = w[n_in + 1 :]
        target, guess = delta3 @ recurrent.T, features @ own
        delta2 = guess * a2 * (1 - a2)
        delta1 = delta2 @ recurrent.T * a1 * (1 - a1)
        gradient = (u0.T @ delta1 + u1.T @ delta2 + u2.T @ delta3) / len(x)
        w = w - 0.3 * gradient
        own = own - 0.2 * features.T @ (guess - target) / len(x)
        trainer.train(1)
    np.testing.assert_allclose(trainer.weights, w, rtol=1e-10, atol=1e-13)
    np.testing.assert_allclose(trainer.state()["predictor"], own, rtol=1e-9, atol=1e-13)
    assert np.abs(own).max() > 1e-3


def test_what_follows_a_boundary_is_what_its_predictor_sees() -> None:
    """Of sequences, the rows of the next timestep; the predictor moves by the mean over boundaries."""
    options = {"predictor": "context", "predictor_learning_rate": 0.5}
    trainer = _trainer(ADDITION, timesteps=ADDITION.default_timesteps, truncation=1, **options)
    network, timesteps = trainer.network, ADDITION.default_timesteps
    x, y = trainer._batch()
    _, _, boundaries = truncated_gradient(network, trainer.weights, x, y, timesteps, 1, _no_guess)
    wanted = np.zeros_like(trainer._predictor)
    for one in boundaries:
        t = one.timestep
        y_t = np.nan_to_num(y[:, t] if network.sequence_output else y)
        features = np.hstack([one.activations, y_t, x[:, t], np.ones((len(x), 1))])
        wanted += 0.5 * features.T @ one.target / len(x) / len(boundaries)
    trainer.train(1)
    assert np.abs(wanted).max() > 1e-3
    np.testing.assert_allclose(trainer.state()["predictor"], wanted, rtol=1e-9, atol=1e-13)


def test_float32_follows_float64() -> None:
    options = {"predictor": "context", "truncation": 2, "predictor_normalisation": "batch"}
    single, double = (_trainer(ADDITION, backend, **options) for backend in (CPU, REFERENCE))
    began = single.weights
    single.train(20)
    double.train(20)
    moved = largest_difference(double.weights, began)
    assert 0 < largest_difference(single.weights, double.weights) < 1e-3 * moved
    assert single._predictor.dtype == np.float32
    assert single.evaluate().loss == pytest.approx(double.evaluate().loss, rel=1e-4)
    weights, x = single.weights.astype(np.float32), single._batch()[0]
    assert run_steps(single.network, weights, x, 4)[1].dtype == np.float32


def test_a_loss_that_is_not_finite_moves_nothing() -> None:
    trainer = _trainer(STATIC, CPU, learning_rate=1e300)
    assert not math.isfinite(trainer.train(50).loss)
    before = trainer.state()
    assert trainer.train(5).steps == 1
    for name, array in trainer.state().items():
        assert name == "step" or np.array_equal(array, before[name])


def test_what_a_step_costs() -> None:
    free = FreeNetwork(3, 2, 5)
    sizes: dict[str, Any] = {"batch_size": 10, "timesteps": 8, "predictor": "conditioned"}
    share = (7 + 2 + 1) * 7 / free.n_weights
    for truncation, boundaries in ((0, 0), (1, 7), (3, 2), (4, 1), (8, 0), (100, 0)):
        cost = configure("synthetic", truncation=truncation, **sizes).evaluations_per_step(free)
        assert cost == pytest.approx(10 * (3 + 2 * share * boundaries / 8))
    layers = LayeredNetwork((3, 4, 2))
    context = configure("synthetic", batch_size=10, timesteps=2, predictor="context").evaluations_per_step(layers)
    assert context == pytest.approx(10 * (3 + 2 * (4 + 3 + 2 + 1) * 4 / layers.n_weights))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"truncation": -1}, "truncation must be at least 0, got -1"),
        ({"predictor_normalisation": "layer"}, "predictor_normalisation must be one of none, batch, got 'layer'"),
        (
            {"predictor_normalisation": "batch", "batch_size": 1},
            "predictor_normalisation=batch needs a batch_size",
        ),
    ],
)
def test_a_configuration_that_cannot_be(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        configure("synthetic", **{"batch_size": 4, "timesteps": 2} | change)


@pytest.mark.parametrize("task", ["delayed-xor", "addition"])
def test_predictions_teach_what_segments_alone_cannot(task: str) -> None:
    """One timestep a segment: hidden neurons learn nothing without a prediction, and with one the whole task."""
    problem = TASKS[task].problem({"delay": 2} if task == "delayed-xor" else {})
    options: dict[str, Any] = {"predictor": "conditioned", "batch_size": 64, "optimizer": "adam", "learning_rate": 0.02}

    def accuracy(rate: float) -> float:
        options["timesteps"], options["predictor_learning_rate"] = problem.default_timesteps, rate
        trainer = _trainer(problem, CPU, hidden=12, truncation=1, **options)
        trainer.train(1500)
        return float(trainer.evaluate().bit_accuracy)

    assert accuracy(0.1) > 0.99
    assert accuracy(1e-30) < 0.8
