"""What decides a gradient step, what a step costs, and where walks and trials start."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest
from descents import DESCENTS, configure, start

from freewalk.kernels.backend import Backend, resolve_backend
from freewalk.kernels.model.descent import BackpropConfiguration, NumericalConfiguration
from freewalk.kernels.model.layered import LayeredNetwork
from freewalk.kernels.model.network import FreeNetwork
from freewalk.kernels.model.synthetic import SyntheticConfiguration
from freewalk.kernels.model.walk import WalkConfiguration
from freewalk.kernels.trainers.reference_descent import ReferenceDescent
from freewalk.tasks.registry import TASKS

SIZES: dict[str, Any] = {"batch_size": 200, "timesteps": 2}
CONFIGURATION = SyntheticConfiguration(**SIZES)
WALK = WalkConfiguration(stddev=0.1, batch_size=200, timesteps=2)
PROBLEM = TASKS["shifted-sums"].problem({})
BACKENDS = [resolve_backend("cpu"), resolve_backend("reference")]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"predictor": "deep"}, "predictor must be one of linear, bias, input, conditioned, context, got 'deep'"),
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
    free, layers = FreeNetwork(3, 2, 5), LayeredNetwork((3, 4, 2))
    assert (free.n_weights, layers.n_weights) == (77, 26)
    assert WALK.evaluations_per_step(free) == dataclasses.replace(WALK, sides="two").evaluations_per_step(layers) == 400
    assert BackpropConfiguration(**SIZES).evaluations_per_step(free) == 600
    assert BackpropConfiguration(**SIZES, backward_cost=1.5).evaluations_per_step(layers) == 500
    assert NumericalConfiguration(**SIZES).evaluations_per_step(free) == 2 * 77 * 200
    assert NumericalConfiguration(**SIZES).evaluations_per_step(layers) == 2 * 26 * 200
    assert CONFIGURATION.evaluations_per_step(LayeredNetwork((3, 2))) == 600, "one layer has no predictors"
    assert CONFIGURATION.evaluations_per_step(layers) == 600 + 200 * 2 * 16 / 26
    conditioned = dataclasses.replace(CONFIGURATION, predictor="conditioned", backward_cost=0.0)
    assert conditioned.evaluations_per_step(layers) == 200 + 200 * (4 + 2 + 1) * 4 / 26


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
    np.testing.assert_array_equal(masked.weights, initial)
    masked.train(3)
    assert (masked.weights[~mask] == initial[~mask]).all(), "what is not trained stays"
    drawn = backend.make_walk(network, WALK, PROBLEM.data(), mask=mask, seed=1, evaluation_points=20).weights
    assert (drawn[~mask] == 0).all(), "and is 0 where nobody says what it is"
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
    configuration = configure(method, batch_size=40, timesteps=2)
    DESCENTS[method].compile_kernels(float64=backend.name == "reference")
    trainer = start(backend, PROBLEM.network(3), configuration, PROBLEM.data(), seed=1, evaluation_points=20)
    before = trainer.evaluate().loss
    assert trainer.train(2).steps == trainer.step == 2
    assert trainer.evaluate().loss < before
    copy = trainer.weights
    copy[:] = 0
    assert trainer.weights.any()
    assert isinstance(trainer, ReferenceDescent) == (backend.name == "reference")


@pytest.mark.parametrize("method", ["backprop", "numerical"])
def test_spreading_a_trial_keeps_its_bits(method: str) -> None:
    configuration = configure(method, **SIZES)
    cpu = dataclasses.replace(BACKENDS[0], workers=2)
    options: dict[str, Any] = {"seed": 1, "evaluation_points": 20}
    spread, alone = (start(cpu, PROBLEM.network(3), configuration, PROBLEM.data(), **options) for _ in range(2))
    spread.train(2)
    assert cpu.spread(spread) > 0
    spread.train(2)
    cpu.gather(spread)
    spread.train(2)
    alone.train(6)
    np.testing.assert_array_equal(spread.weights, alone.weights)


def test_a_trial_on_matrix_products_is_not_spread() -> None:
    problem = TASKS["addition"].problem({"bits": 2, "form": "static"})
    layers = LayeredNetwork((problem.n_input, problem.n_output))
    configuration = configure("backprop", batch_size=200, timesteps=1)
    trainer = start(BACKENDS[0], layers, configuration, problem.data(), seed=1, evaluation_points=4)
    assert dataclasses.replace(BACKENDS[0], workers=2).spread(trainer) == 0
