"""What decides a gradient step, what a step costs, and where walks and trials start."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest

from freewalk.kernels.backend import Backend, resolve_backend
from freewalk.kernels.model.descent import DescentConfiguration
from freewalk.kernels.model.layered import LayeredNetwork
from freewalk.kernels.model.walk import WalkConfiguration
from freewalk.kernels.trainers.reference_descent import ReferenceDescent
from freewalk.tasks.registry import TASKS

CONFIGURATION = DescentConfiguration("backprop", batch_size=200, timesteps=2)
WALK = WalkConfiguration(stddev=0.1, batch_size=200, timesteps=2)
PROBLEM = TASKS["shifted-sums"].problem({})
BACKENDS = [resolve_backend("cpu"), resolve_backend("reference")]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"method": "hill-climbing"}, "method must be one of backprop, numerical, synthetic, got 'hill-climbing'"),
        ({"predictor": "deep"}, "predictor must be one of linear, bias, conditioned, got 'deep'"),
        ({"optimizer": "lion"}, "optimizer must be one of sgd, momentum, adam, got 'lion'"),
        ({"schedule": "step"}, "schedule must be one of constant, cosine"),
        ({"learning_rate": 0.0}, "learning_rate must be a finite number above 0, got 0.0"),
        ({"predictor_learning_rate": float("nan")}, "predictor_learning_rate must be a finite number above 0"),
        ({"momentum": 1.0}, "momentum must be at least 0 and below 1, got 1.0"),
        ({"backward_cost": -1.0}, "backward_cost must be a finite number of at least 0, got -1.0"),
        ({"backward_cost": float("inf")}, "backward_cost must be a finite number"),
        ({"batch_size": 0}, "batch_size must be at least 1, got 0"),
        ({"batch_size": 2**32}, r"batch_size must be below 2\*\*32"),
        ({"timesteps": 0}, "timesteps must be at least 1"),
        ({"schedule_steps": 0}, "schedule_steps must be at least 1"),
    ],
)
def test_a_configuration_that_cannot_be(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        dataclasses.replace(CONFIGURATION, **change)


def test_the_learning_rate_is_the_effective_one() -> None:
    assert dataclasses.replace(CONFIGURATION, learning_rate=0.3).effective_learning_rate == 0.3


def test_what_a_step_costs() -> None:
    def cost(method: str, n_predictor_weights: int = 0, **changes: Any) -> float:
        configuration = dataclasses.replace(CONFIGURATION, method=method, **changes)
        return configuration.evaluations_per_step(1000, n_predictor_weights)

    assert WALK.evaluations_per_step(1000) == 400
    assert dataclasses.replace(WALK, sides="two").evaluations_per_step(1000) == 400
    assert cost("backprop") == 600
    assert cost("backprop", backward_cost=1.5) == 500
    assert cost("backprop", n_predictor_weights=500) == 600
    assert cost("numerical") == 2 * 1000 * 200
    assert cost("synthetic") == 600, "a network of one layer has no predictors"
    assert cost("synthetic", n_predictor_weights=500) == 600 + 200 * 2 * 0.5
    assert cost("synthetic", n_predictor_weights=500, backward_cost=0.0) == 200 + 200 * 0.5


@pytest.mark.parametrize("backend", BACKENDS, ids=["cpu", "reference"])
def test_a_walk_starts_where_it_is_told(backend: Backend) -> None:
    network = PROBLEM.network(3)
    initial = np.random.default_rng(0).uniform(-1, 1, (network.n_from, network.n_to))
    kept = initial.copy()
    options: dict[str, Any] = {"seed": 1, "evaluation_points": 20, "initial": initial}
    walk = backend.make_walk(network, WALK, PROBLEM.data(), **options)
    np.testing.assert_array_equal(walk.weights, initial)
    walk.train(3)
    assert (walk.weights != initial).all()
    np.testing.assert_array_equal(initial, kept)
    mask = np.random.default_rng(1).random(initial.shape) < 0.5
    masked = backend.make_walk(network, WALK, PROBLEM.data(), mask=mask, **options)
    np.testing.assert_array_equal(masked.weights, initial * mask)
    for wrong in (initial.T, initial * np.inf):
        with pytest.raises(ValueError, match="initial weights must"):
            backend.make_walk(network, WALK, PROBLEM.data(), **(options | {"initial": wrong}))


def test_a_layered_walk() -> None:
    """A walk on a mask moves the layers' weights alone, and both backends move them alike."""
    problem = TASKS["addition"].problem({"bits": 3, "form": "static"})
    layers = LayeredNetwork((6, 5, 3))
    walks = [
        backend.make_walk(
            layers.free_network,
            WALK,
            problem.data(),
            seed=1,
            evaluation_points=20,
            mask=layers.mask,
            initial=layers.initial_weights(1),
        )
        for backend in BACKENDS
    ]
    for walk in walks:
        walk.train(5)
    cpu, judge = (walk.weights for walk in walks)
    assert (cpu[~layers.mask] == 0).all()
    assert (cpu[layers.mask] != layers.initial_weights(1)[layers.mask]).all()
    moved = np.abs(judge - layers.initial_weights(1)).max()
    assert np.abs(cpu - judge).max() < 1e-3 * moved


@pytest.mark.parametrize("backend", BACKENDS, ids=["cpu", "reference"])
@pytest.mark.parametrize("method", ["backprop", "numerical"])
def test_a_backend_trains_by_gradients(backend: Backend, method: str) -> None:
    configuration = dataclasses.replace(CONFIGURATION, method=method, batch_size=40)
    options: dict[str, Any] = {"seed": 1, "evaluation_points": 20}
    assert backend.warm_up(method) >= 0  # type: ignore[arg-type]
    trainer = backend.make_descent(PROBLEM.network(3), configuration, PROBLEM.data(), **options)
    before = trainer.evaluate().loss
    assert trainer.train(2).steps == trainer.step == 2
    assert trainer.evaluate().loss < before
    copy = trainer.weights
    copy[:] = 0
    assert trainer.weights.any()
    assert isinstance(trainer, ReferenceDescent) == (backend.name == "reference")


@pytest.mark.parametrize("method", ["backprop", "numerical"])
def test_spreading_a_trial_keeps_its_bits(method: str) -> None:
    configuration = dataclasses.replace(CONFIGURATION, method=method)
    cpu = dataclasses.replace(BACKENDS[0], workers=2)
    options: dict[str, Any] = {"seed": 1, "evaluation_points": 20}
    spread, alone = (cpu.make_descent(PROBLEM.network(3), configuration, PROBLEM.data(), **options) for _ in range(2))
    spread.train(2)
    assert cpu.spread(spread) > 0
    spread.train(2)
    cpu.gather(spread)
    spread.train(2)
    alone.train(6)
    np.testing.assert_array_equal(spread.weights, alone.weights)


def test_a_trial_on_matrix_products_is_not_spread() -> None:
    layers = LayeredNetwork((3, 2))
    problem = TASKS["addition"].problem({"bits": 2, "form": "static"})
    layers = LayeredNetwork((problem.n_input, problem.n_output))
    configuration = dataclasses.replace(CONFIGURATION, timesteps=1)
    options: dict[str, Any] = {"seed": 1, "evaluation_points": 4, "layers": layers}
    trainer = BACKENDS[0].make_descent(layers.free_network, configuration, problem.data(), **options)
    assert dataclasses.replace(BACKENDS[0], workers=2).spread(trainer) == 0
