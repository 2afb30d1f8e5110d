"""What neurons make of their sums: functions on lanes, the reference, the CPU kernels, at any leak."""

from __future__ import annotations

import itertools
from typing import Any, get_args

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from on_arrays import raw_step, step_on_arrays
from tolerance import EPS, assert_close, largest_difference

from freewalk.kernels.cpu.descent import CpuBackprop
from freewalk.kernels.cpu.functions import tanh
from freewalk.kernels.cpu.trainer import array_source
from freewalk.kernels.cpu.trial import CpuWalk, run_on_arrays
from freewalk.kernels.machine.jit import uncached_kernel
from freewalk.kernels.machine.lanes import LANES, load_f32, store
from freewalk.kernels.model.layered import LayeredNetwork
from freewalk.kernels.model.network import Activation, FreeNetwork
from freewalk.kernels.model.noise import unit_perturbations
from freewalk.kernels.model.walk import Data, WalkConfiguration
from freewalk.kernels.reference import reference
from freewalk.kernels.reference.gradient import loss_gradient
from freewalk.kernels.trainers.reference_trainer import measure
from freewalk.kernels.trainers.reference_walk import ReferenceGivenWalk

_LANES = LANES


@uncached_kernel
def _apply(values: NDArray[np.float32]) -> None:
    for at in range(0, len(values), _LANES):
        store(values, at, tanh(load_f32(values, at)))


def test_tanh_is_within_an_eps_of_one() -> None:
    x = np.concatenate([np.linspace(-20, 20, 16_000), [0.0, -0.0, 1e30, -1e30, np.inf, -np.inf, 1e-8, -1e-8]])
    x = np.resize(x, -(-len(x) // LANES) * LANES).astype(np.float32)
    found = x.copy()
    _apply(found)
    assert np.abs(found).max() == 1
    assert_close(found, np.tanh(x.astype(np.float64)), atol=1.5 * EPS)


def test_tanh_of_nan_is_nan() -> None:
    values = np.full(LANES, np.nan, dtype=np.float32)
    _apply(values)
    assert np.isnan(values).all()


def test_the_reference_applies_tanh_to_hidden_neurons_alone() -> None:
    """Two timesteps of a network with one output and one hidden neuron, written out."""
    network = FreeNetwork(1, 1, 1, hidden_activation="tanh")
    w = np.random.default_rng(0).uniform(-1, 1, (network.n_from, network.n_to))
    x = 0.7

    def sigmoid(z: float) -> float:
        return float(1 / (1 + np.exp(-z)))

    o_1, h_1 = sigmoid(x * w[0, 0] + w[1, 0]), np.tanh(x * w[0, 1] + w[1, 1])
    o_2 = sigmoid(x * w[0, 0] + w[1, 0] + o_1 * w[2, 0] + h_1 * w[3, 0])
    found = reference.forward(network, w, np.array([[x]]), 2)
    assert found[0, 0] == pytest.approx(o_2, rel=1e-14)


Free = dict[str, Any]
UNITS: list[Free] = [
    {"hidden_activation": "tanh"},
    {"hidden_activation": "relu"},
    {"hidden_activation": "linear", "output_activation": "linear"},
    {"hidden_activation": "relu", "output_activation": "linear", "softmax": True, "loss": "categorical_crossentropy"},
    {"output_activation": "linear", "softmax": True},
    {"hidden_activation": "tanh", "output_activation": "linear", "leak": 0.2},
    {"hidden_activation": "relu", "leak": 0.7},
    {"leak": 0.05},
    {"hidden_activation": "sigmoid", "output_activation": "tanh"},
    {"hidden_activation": "tanh", "output_activation": "tanh"},
]


def _network(units: Free, n_input: int, n_output: int, n_hidden: int, *, sequence: bool) -> FreeNetwork:
    return FreeNetwork(n_input, n_output, n_hidden, sequence_input=sequence, sequence_output=sequence, **units)


def _data(network: FreeNetwork, timesteps: int, batch: int, seed: int, *, gaps: bool) -> tuple[Any, Any, Any]:
    """Return weights, x and y; with gaps, about a third of the targets do not count."""
    random = np.random.default_rng(seed)
    rows = (timesteps,) if network.sequence_input else ()
    x = random.uniform(-1, 1, (batch, *rows, network.n_input)).astype(np.float32)
    rows = (timesteps,) if network.sequence_output else ()
    y = random.uniform(0, 1, (batch, *rows, network.n_output)).astype(np.float32)
    if gaps:
        y[random.random(y.shape) < 0.3] = np.nan
    weights = random.uniform(-1, 1, (network.n_from, network.n_to)) / np.sqrt(network.n_from) * 2
    return weights.astype(np.float32).astype(np.float64), x, y


sizes = st.tuples(st.integers(1, 6), st.integers(1, 6), st.integers(0, 20))


@pytest.mark.parametrize("units", UNITS)
@settings(max_examples=10, deadline=None, derandomize=True, database=None)
@given(sizes, st.booleans(), st.integers(1, 6), st.integers(1, 70), st.integers(0, 2**32 - 1), st.booleans())
def test_a_step_of_the_walk_is_the_reference(
    units: Free, sizes: tuple[int, int, int], sequence: bool, timesteps: int, batch: int, seed: int, gaps: bool
) -> None:
    """Outputs, losses, and one step, whose update is off by what float32 does to losses."""
    network = _network(units, *sizes, sequence=sequence)
    weights, x, y = _data(network, timesteps, batch, seed, gaps=gaps)
    outputs, losses = run_on_arrays(network, weights, x, y, timesteps)
    wanted = reference.forward(network, weights, x, timesteps)
    wanted_losses = reference.losses(network, wanted, y)
    size = max(1.0, np.abs(wanted).max())
    assert_close(outputs, wanted, atol=40 * EPS * size, what="outputs")
    assert_close(losses, wanted_losses, atol=200 * EPS * size * (1 + wanted_losses.max()), what="losses")

    configuration = WalkConfiguration(stddev=0.1, batch_size=batch, timesteps=timesteps)
    noise = unit_perturbations(network.n_from, network.n_to, seed=seed, step=0, datapoints=np.arange(batch))
    found = step_on_arrays(network, configuration, weights, x, y, seed=seed)
    stepped = raw_step(network, weights, x, y, timesteps, noise, 0.1)
    plus = reference.perturbed_losses(network, weights, x, y, timesteps, 0.1 * noise)
    largest = 1 + wanted_losses.max() + plus.max()
    assert_close(found, stepped, atol=100 * EPS * 0.1 * size * largest, what="weights after one step")


@pytest.mark.parametrize("units", UNITS)
@settings(max_examples=8, deadline=None, derandomize=True, database=None)
@given(sizes, st.booleans(), st.integers(1, 6), st.integers(1, 70), st.integers(0, 2**32 - 1), st.booleans())
def test_gradients_are_the_reference(
    units: Free, sizes: tuple[int, int, int], sequence: bool, timesteps: int, batch: int, seed: int, gaps: bool
) -> None:
    network = _network(units, *sizes, sequence=sequence)
    weights, x, y = _data(network, timesteps, batch, seed, gaps=gaps)
    loss, gradient = CpuBackprop.gradient_on_arrays(network, weights, x, y, timesteps)
    wanted_loss, wanted = loss_gradient(network, weights, x, y, timesteps)
    assert loss == pytest.approx(wanted_loss, rel=1e-4, abs=1e-5)
    if "relu" not in units.values():  # whose slope jumps where a sum is rounded to the other side of 0
        assert_close(gradient, wanted, atol=100 * EPS * (1 + np.abs(wanted).max()), what="gradient")
    else:
        assert largest_difference(gradient, wanted) < 0.05 * (1 + np.abs(wanted).max())


@pytest.mark.parametrize("units", [units for units in UNITS if "leak" not in units])
@pytest.mark.parametrize("rank", [None, 1])
def test_layered_networks_walk_as_the_reference(units: Free, rank: int | None) -> None:
    layers = LayeredNetwork((5, 7, 4, 3), **units)
    network, mask = layers.free_network, layers.mask
    weights, x, y = _data(network, 3, 40, 1, gaps=False)
    weights = weights * mask
    configuration = WalkConfiguration(
        0.05, 40, 3, update="normalised", learning_rate=0.1, rank=rank, noise="rademacher"
    )
    wanted = ReferenceGivenWalk(network, configuration, seed=3, mask=mask, initial=weights)
    wanted.take_step(x, y)
    found = step_on_arrays(network, configuration, weights, x, y, seed=3, mask=mask)
    assert largest_difference(found, wanted.weights) < 1e-3 * np.abs(wanted.weights - weights).max()


@pytest.mark.parametrize("units", [{}, {"hidden_activation": "tanh", "output_activation": "linear", "leak": 0.3}])
@settings(max_examples=20, deadline=None, derandomize=True, database=None)
@given(sizes, st.booleans(), st.integers(1, 6), st.integers(1, 70), st.integers(0, 2**32 - 1))
def test_outputs_hear_hidden_neurons_at_once(
    units: Free, sizes: tuple[int, int, int], sequence: bool, timesteps: int, batch: int, seed: int
) -> None:
    """As NumPy says neuron by neuron, and as both forward passes of the kernels do, shared weights and perturbed."""
    network = _network({**units, "hidden_first": True}, *sizes, sequence=sequence)
    weights, x, y = _data(network, timesteps, batch, seed, gaps=False)
    wanted = reference.forward(network, weights, x, timesteps)
    assert_close(run_on_arrays(network, weights, x, y, timesteps)[0], wanted, atol=1e-5, what="outputs")
    one = wanted[0] if sequence else wanted[0][None]
    assert_close(np.array(_neuron_by_neuron(network, weights, x[0], timesteps))[-len(one) :], one, atol=1e-12, what="")

    configuration = WalkConfiguration(stddev=0.1, batch_size=batch, timesteps=timesteps)
    noise = unit_perturbations(network.n_from, network.n_to, seed=seed, step=0, datapoints=np.arange(batch))
    found = step_on_arrays(network, configuration, weights, x, y, seed=seed)
    stepped = raw_step(network, weights, x, y, timesteps, noise, 0.1)
    assert_close(found, stepped, atol=2e-4, what="weights after one step")


def _neuron_by_neuron(network: FreeNetwork, weights: Any, x: Any, timesteps: int) -> list[Any]:
    """Return what output neurons hold after each timestep of one datapoint."""
    n, n_input = network.n_output, network.n_input
    of_hidden, of_outputs = (reference.ACTIVATIONS[f] for f in (network.hidden_activation, network.output_activation))
    outputs, hidden, held = np.zeros(n), np.zeros(network.n_hidden), []
    for t in range(timesteps):
        seen = np.append(x[t] if network.sequence_input else x, 1.0)
        fired = of_hidden(np.concatenate([seen, outputs, hidden]) @ weights[:, n:])
        hidden = network.leak * fired + (1 - network.leak) * hidden
        outputs = of_outputs(np.concatenate([seen, outputs, hidden]) @ weights[:, :n])
        held.append(outputs)
        assert n_input == len(seen) - 1
    return held


def test_measures_leave_out_what_does_not_count() -> None:
    network = FreeNetwork(1, 2, 0, sequence_input=True, sequence_output=True)
    weights = np.zeros((network.n_from, network.n_to))
    weights[0, 0], weights[0, 1] = 10, -10
    x = np.ones((2, 3, 1), np.float32)
    y = np.array([[[1, 0], [np.nan, 0], [0, np.nan]], [[np.nan, np.nan], [1, 0], [np.nan, 0]]], np.float32)
    walk = CpuWalk(network, WalkConfiguration(0.1, 1, 3), Data(0), seed=0, evaluation_points=2, initial=weights)
    walk._held_out = array_source(network, x, y, 3)
    found = walk.evaluate()
    wanted = measure(network, reference.forward(network, weights, x, 3), y.astype(np.float64))
    assert (wanted.bit_accuracy, wanted.row_accuracy) == (6 / 7, 1 / 2)
    assert wanted.accuracy == 1
    np.testing.assert_allclose(found, wanted, rtol=1e-5)


def test_the_activation_makes_a_difference() -> None:
    networks = [FreeNetwork(2, 1, 3, hidden_activation=activation) for activation in get_args(Activation)]
    networks.append(FreeNetwork(2, 1, 3, leak=0.5))
    random = np.random.default_rng(1)
    weights, x = random.uniform(-1, 1, (networks[0].n_from, networks[0].n_to)), random.uniform(-1, 1, (5, 2))
    outputs = [run_on_arrays(network, weights, x, np.zeros((5, 1)), 3)[0] for network in networks]
    for one, other in itertools.combinations(outputs, 2):
        assert largest_difference(one, other) > 1e-3


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"hidden_activation": "gelu"}, "hidden_activation must be one of sigmoid, tanh, relu, linear, got 'gelu'"),
        ({"output_activation": "relu"}, "output_activation must be one of sigmoid, tanh, linear, got 'relu'"),
        ({"leak": 0.0}, "leak must be above 0 and at most 1, got 0.0"),
        ({"leak": 1.5}, "leak must be above 0 and at most 1"),
        ({"leak": float("nan")}, "leak must be above 0"),
        ({"output_activation": "linear", "loss": "categorical_crossentropy"}, "needs outputs between 0 and 1"),
    ],
)
def test_what_is_no_network(options: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        FreeNetwork(1, 1, 1, **options)
