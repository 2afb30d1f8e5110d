"""Node perturbation, compiled, against the reference: its noise, one step on any network, bits on any threads."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from device_noise import lost_near_zero
from numpy.typing import NDArray
from tolerance import EPS, assert_close, largest_difference

from freewalk.kernels.backend import resolve_backend
from freewalk.kernels.cpu.trainer import array_source
from freewalk.kernels.model.layered import LayeredNetwork
from freewalk.kernels.model.network import FreeNetwork
from freewalk.kernels.model.walk import Data
from freewalk.kernels.reference.node import node_estimate, unit_node_noise
from freewalk.kernels.trainers.node import NODE, CpuNode, LayeredNode, NodeConfiguration, unit_noise
from freewalk.tasks.registry import TASKS

STATIC = FreeNetwork(3, 2, 9)
SEQUENCES = FreeNetwork(2, 3, 14, True, True, True, "categorical_crossentropy", "relu", "linear", leak=0.4)
READ_ONCE = FreeNetwork(5, 1, 0, sequence_input=True, hidden_activation="tanh", output_activation="linear")
NETWORKS = {"static": STATIC, "sequences": SEQUENCES, "read once": READ_ONCE}
WAYS: dict[str, dict[str, Any]] = {
    "one side": {},
    "two sides, signs": {"sides": "two", "noise": "rademacher"},
    "activity": {"activity": True},
}


@pytest.mark.parametrize("noise", ["gaussian", "rademacher"])
@pytest.mark.parametrize("n_hidden", [0, 3, 150])
def test_the_noise_is_that_of_the_reference(n_hidden: int, noise: Any) -> None:
    network = FreeNetwork(3, 2, n_hidden)
    where: dict[str, Any] = {"seed": 2**63 + 5, "step": 2**31 + 3, "noise": noise}
    found = unit_noise(network, 3, n_datapoints=37, **where)
    wanted = unit_node_noise(network, 3, datapoints=np.arange(37), **where)
    assert (np.abs(found - wanted) <= 3e-6 + lost_near_zero(wanted)).all()


def _data(network: FreeNetwork, timesteps: int, batch: int) -> tuple[Any, Any, Any]:
    random = np.random.default_rng(4)
    rows = (timesteps,) if network.sequence_input else ()
    x = random.uniform(-1, 1, (batch, *rows, network.n_input)).astype(np.float32)
    rows = (timesteps,) if network.sequence_output else ()
    y = random.uniform(0, 1, (batch, *rows, network.n_output)).astype(np.float32)
    if network.sequence_output:
        y[random.random(y.shape) < 0.2] = np.nan
    weights = random.uniform(-1, 1, (network.n_from, network.n_to)).astype(np.float32) / 2
    return weights.astype(np.float64), x, y


@pytest.mark.parametrize("batch", [5, 70])
@pytest.mark.parametrize("timesteps", [1, 4])
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("name", NETWORKS)
def test_a_step_is_the_reference_s(name: str, way: str, timesteps: int, batch: int) -> None:
    network = NETWORKS[name]
    weights, x, y = _data(network, timesteps, batch)
    configuration = NodeConfiguration(batch_size=batch, timesteps=timesteps, stddev=0.1, **WAYS[way])
    trainer = CpuNode(network, configuration, Data(0), seed=7, evaluation_points=1, initial=weights)
    trainer._training = array_source(network, x, y, timesteps)
    found = trainer.train(1)
    xi = unit_node_noise(
        network, timesteps, seed=7, step=0, datapoints=np.arange(batch), noise=configuration.noise
    )  # fmt: skip
    ways: dict[str, Any] = {"sides": configuration.sides, "activity": configuration.activity}
    loss, estimate = node_estimate(network, weights, x, y, timesteps, xi, 0.1, **ways)
    assert found.loss == pytest.approx(loss, rel=1e-5)
    size = np.abs(estimate).max()
    assert_close(trainer.weights, weights - 0.1 * estimate, atol=2000 * EPS * (0.1 * size + 0.01), what="weights")
    assert size > 1e-3


def test_the_same_bits_on_any_number_of_threads_and_in_pieces() -> None:
    problem = TASKS["shifted-sums"].problem({})
    configuration = NodeConfiguration(batch_size=600, timesteps=4, optimizer="momentum")
    options: dict[str, Any] = {"seed": 3, "evaluation_points": 20}
    one, two, pieces = (
        CpuNode(problem.network(9), configuration, problem.data(), threads=threads, **options)
        for threads in (1, 2, 1)
    )  # fmt: skip
    one.train(4)
    two.train(4)
    np.testing.assert_array_equal(one.weights, two.weights)
    pieces.train(2)
    again = CpuNode(problem.network(9), configuration, problem.data(), **options)
    again.restore(pieces.state())
    again.train(2)
    np.testing.assert_array_equal(one.weights, again.weights)
    assert one.evaluate() == again.evaluate()


def _layered_step(layers: LayeredNetwork, configuration: NodeConfiguration, dtype: Any) -> NDArray[np.float64]:
    """Return what a step subtracts, at rate 1."""
    problem = TASKS["digits"].problem({}) if layers.widths[0] == 64 else TASKS["xor"].problem({})
    trainer = LayeredNode(layers, configuration, problem.data(), seed=5, evaluation_points=4, dtype=dtype)
    before = trainer.weights
    trainer.train(1)
    return before - trainer.weights


@pytest.mark.parametrize("way", WAYS)
def test_layers_are_a_free_network_whose_layers_have_noise_in_turn(way: str) -> None:
    layers = LayeredNetwork((2, 6, 3, 1), hidden_activation="tanh")
    own = NodeConfiguration(batch_size=40, timesteps=3, learning_rate=1.0, stddev=0.1, **WAYS[way])
    problem = TASKS["xor"].problem({})
    found, single = (_layered_step(layers, own, dtype) for dtype in (np.float64, np.float32))
    trainer = LayeredNode(layers, own, problem.data(), seed=5, evaluation_points=4)
    x, y = trainer._batch()
    drawn = unit_node_noise(layers.free_network, 2, seed=5, step=0, datapoints=np.arange(40), noise=own.noise)[:, 0]
    xi = np.zeros((40, 3, layers.free_network.n_to))
    for k, (_, columns) in enumerate(layers.places):
        xi[:, k, columns] = drawn[:, columns]
    _, wanted = node_estimate(
        layers.free_network, trainer.weights, x, y, 3, xi, 0.1, sides=own.sides, activity=own.activity
    )
    np.testing.assert_allclose(found, wanted * layers.mask, atol=1e-12)
    assert largest_difference(single, found) < 1e-3 * np.abs(found).max()


def test_it_learns_xor_on_both_kinds_of_network() -> None:
    problem = TASKS["xor"].problem({})
    common: dict[str, Any] = {"batch_size": 64, "optimizer": "adam", "learning_rate": 0.05, "stddev": 0.05}
    cpu = resolve_backend("cpu")
    for network, timesteps in ((problem.network(6), 3), (LayeredNetwork((2, 8, 1)), 2)):
        configuration = NodeConfiguration(timesteps=timesteps, **common)
        trial = NODE.start(
            network, configuration, problem.data(), float64=cpu.name == "reference", seed=1, evaluation_points=4
        )
        trial.train(1500)
        assert trial.evaluate().bit_accuracy == 1


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"stddev": 0.0}, "stddev must be a finite number above 0"),
        ({"activity": True, "sides": "two"}, "activity=yes compares with the clean pass; it needs sides=one"),
        ({"noise": "uniform"}, "noise must be one of gaussian, rademacher"),
    ],
)
def test_what_does_not_fit_is_refused(options: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        replace(NodeConfiguration(1, 1), **options)
