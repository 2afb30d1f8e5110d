"""Forward gradients: slopes along directions, exact, against the reference and against the walk as stddev shrinks."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from tolerance import largest_difference

from freewalk.kernels.backend import resolve_backend
from freewalk.kernels.cpu.trainer import array_source
from freewalk.kernels.model.layered import LayeredNetwork
from freewalk.kernels.model.network import FreeNetwork
from freewalk.kernels.model.noise import unit_perturbations
from freewalk.kernels.model.pack import PackTrial
from freewalk.kernels.model.walk import Data, WalkConfiguration
from freewalk.kernels.reference import reference
from freewalk.kernels.reference.gradient import loss_gradient
from freewalk.kernels.reference.tangent import loss_slopes, tangent_estimate
from freewalk.kernels.trainers.reference_walk import ReferenceGivenWalk
from freewalk.tasks.registry import TASKS

FREE = FreeNetwork(3, 2, 9)
SEQUENCES = FreeNetwork(2, 3, 14, True, True, True, "categorical_crossentropy", "relu", "linear", leak=0.4)
LEAKY = FreeNetwork(2, 2, 6, sequence_output=True, hidden_activation="tanh", output_activation="linear", leak=0.6)
ODDS = FreeNetwork(2, 3, 5, loss="categorical_crossentropy")
LAYERED = LayeredNetwork((5, 7, 4, 3), hidden_activation="tanh", output_activation="linear")
LAYERED_CLASSES = LayeredNetwork((5, 7, 3), softmax=True, loss="categorical_crossentropy")
NETWORKS: dict[str, tuple[FreeNetwork, Any, int]] = {
    "static": (FREE, None, 4),
    "one timestep": (FREE, None, 1),
    "sequences": (SEQUENCES, None, 5),
    "leaky": (LEAKY, None, 6),
    "cross-entropy of sigmoids": (ODDS, None, 3),
    "layers": (LAYERED.free_network, LAYERED.mask, 3),
    "layers, classes": (LAYERED_CLASSES.free_network, LAYERED_CLASSES.mask, 2),
}
WAYS: dict[str, dict[str, Any]] = {
    "full": {},
    "full, signs": {"noise": "rademacher"},
    "full, 4 datapoints": {"datapoints": 4},
    "full, one direction": {"datapoints": 48},
    "full, orthogonal, shared data": {"directions": "orthogonal", "share_data": True, "datapoints": 6},
    "rank 1, signs": {"rank": 1, "noise": "rademacher"},
    "rank 2, 4 datapoints": {"rank": 2, "datapoints": 4},
    "rank 1, shared data, ranks": {"rank": 1, "share_data": True, "datapoints": 12, "shaping": "ranks"},
    "rank 1, orthogonal, std": {"rank": 1, "directions": "orthogonal", "datapoints": 2, "shaping": "std"},
}
CONFIGURATION = WalkConfiguration(1.0, 48, 1, update="normalised", learning_rate=1.0, tangent="exact")


def _data(network: FreeNetwork, mask: Any, timesteps: int, batch: int) -> tuple[Any, Any, Any]:
    random = np.random.default_rng(4)
    rows = (timesteps,) if network.sequence_input else ()
    x = random.uniform(-1, 1, (batch, *rows, network.n_input)).astype(np.float32)
    rows = (timesteps,) if network.sequence_output else ()
    y = random.uniform(0, 1, (batch, *rows, network.n_output)).astype(np.float32)
    if network.sequence_output:
        y[random.random(y.shape) < 0.2] = np.nan
    weights = random.uniform(-1, 1, (network.n_from, network.n_to)).astype(np.float32) / 2
    return weights.astype(np.float64) * (1 if mask is None else mask), x, y


@pytest.mark.parametrize("name", NETWORKS)
def test_a_slope_is_the_gradient_along_a_direction(name: str) -> None:
    network, mask, timesteps = NETWORKS[name]
    weights, x, y = _data(network, mask, timesteps, 6)
    directions = np.random.default_rng(0).normal(size=(6, *weights.shape)) * (1 if mask is None else mask)
    found = loss_slopes(network, weights, x, y, timesteps, directions)[:, 0]
    for b in range(6):
        gradient = loss_gradient(network, weights, x[b : b + 1], y[b : b + 1], timesteps)[1]
        assert found[b] == pytest.approx((gradient * directions[b]).sum(), rel=1e-10, abs=1e-13)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("name", NETWORKS)
def test_a_step_is_the_reference_s(name: str, way: str) -> None:
    network, mask, timesteps = NETWORKS[name]
    configuration = replace(CONFIGURATION, timesteps=timesteps, **WAYS[way])
    weights, x, y = _data(network, mask, timesteps, configuration.data_per_step)
    judge = ReferenceGivenWalk(network, configuration, seed=3, mask=mask, initial=weights)
    wanted_loss = judge.take_step(x, y)
    kind, _ = resolve_backend("cpu")._trainers(configuration)
    trial = kind(network, configuration, Data(0), seed=3, evaluation_points=1, mask=mask, initial=weights)
    trial._training = array_source(network, x, y, timesteps)
    found = trial.train(1)
    assert found.loss == pytest.approx(wanted_loss, rel=1e-5)
    moved = judge.weights - weights
    assert largest_difference(trial.weights, judge.weights) < 2e-4 * np.abs(moved).max()
    assert np.abs(moved).max() > 1e-3


def test_the_walk_nears_it_as_stddev_shrinks() -> None:
    network, _, timesteps = NETWORKS["static"]
    weights, x, y = _data(network, None, timesteps, 200)
    noise = unit_perturbations(network.n_from, network.n_to, seed=1, step=0, datapoints=np.arange(200))
    exact = tangent_estimate(network, weights, x, y, timesteps, noise)

    def error(stddev: float, sides: Any) -> float:
        walk = reference.gradient_estimate(network, weights, x, y, timesteps, noise, stddev, sides=sides) / stddev**2
        return float(np.linalg.norm(walk - exact) / np.linalg.norm(exact))

    assert error(1e-3, "two") < 1e-5
    assert error(1e-4, "one") < 1e-3
    for stddev in (1e-1, 1e-2, 1e-3):
        assert error(stddev / 10, "one") < error(stddev, "one") / 5
        assert error(stddev / 10, "two") < error(stddev, "two") / 50


@pytest.mark.parametrize("rank", [None, 1])
def test_as_many_orthogonal_directions_as_weights_give_the_gradient(rank: int | None) -> None:
    network = FreeNetwork(2, 2, 4, hidden_activation="tanh")
    weights, x, y = _data(network, None, 3, 8)
    family: dict[str, Any] = {"rank": rank, "directions": "orthogonal", "share_data": True, "datapoints": 8}
    configuration = replace(CONFIGURATION, timesteps=3, batch_size=8 * network.n_weights, **family)
    kind, _ = resolve_backend("cpu")._trainers(configuration)
    trial = kind(network, configuration, Data(0), seed=3, evaluation_points=1, initial=weights)
    trial._training = array_source(network, x, y, 3)
    trial.train(1)
    gradient = loss_gradient(network, weights, x, y, 3)[1]
    np.testing.assert_allclose(weights - trial.weights, gradient, atol=1e-4 * np.abs(gradient).max())


def test_the_same_bits_on_threads_and_in_packs() -> None:
    """Of full directions; those of low rank are with the walk of low rank."""
    problem = TASKS["shifted-sums"].problem({})
    network, configuration = problem.network(9), replace(CONFIGURATION, timesteps=4, batch_size=300)
    cpu = resolve_backend("cpu")
    options: dict[str, Any] = {"seed": 3, "evaluation_points": 20}
    alone, spread = (cpu.make_walk(network, configuration, problem.data(), **options) for _ in range(2))
    spread.use_threads(2)  # type: ignore[attr-defined]
    alone.train(3)
    spread.train(3)
    np.testing.assert_array_equal(alone.weights, spread.weights)
    trials = [PackTrial(configuration, 3), PackTrial(replace(configuration, learning_rate=0.5), 3)]
    pack = cpu.make_pack(network, problem.data(), trials, evaluation_points=20)
    pack.train(3)
    np.testing.assert_array_equal(pack.weights(0), alone.weights)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"update": "raw"}, "tangent=exact takes no step of stddev squared; give update=normalised"),
        ({"sides": "two"}, "tangent=exact has no other side; give sides=one"),
        ({"tangent": "both"}, "tangent must be one of difference, exact, got 'both'"),
    ],
)
def test_what_does_not_fit_is_refused(options: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        replace(CONFIGURATION, **options)


def test_it_costs_two_passes_whoever_shares_data() -> None:
    assert replace(CONFIGURATION, share_data=True, datapoints=12).evaluations_per_step() == 96
