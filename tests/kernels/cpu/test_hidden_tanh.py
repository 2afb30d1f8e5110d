"""tanh in hidden neurons: the function on lanes, the reference, the CPU kernels; outputs stay sigmoid."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from on_arrays import raw_step, step_on_arrays
from tolerance import EPS, assert_close, largest_difference

from freewalk.kernels.cpu.functions import tanh
from freewalk.kernels.cpu.trial import run_on_arrays
from freewalk.kernels.machine.jit import uncached_kernel
from freewalk.kernels.machine.lanes import LANES, load_f32, store
from freewalk.kernels.model.network import FreeNetwork
from freewalk.kernels.model.noise import unit_perturbations
from freewalk.kernels.model.walk import WalkConfiguration
from freewalk.kernels.reference import reference

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


networks = st.builds(
    FreeNetwork,
    st.integers(1, 6),
    st.integers(1, 6),
    st.integers(0, 20),
    sequence_input=st.booleans(),
    sequence_output=st.booleans(),
    hidden_activation=st.just("tanh"),
)


@settings(max_examples=40, deadline=None, derandomize=True, database=None)
@given(networks, st.integers(1, 6), st.integers(1, 70), st.integers(0, 2**32 - 1))
def test_the_cpu_kernels_are_the_reference(network: FreeNetwork, timesteps: int, batch: int, seed: int) -> None:
    """Outputs, and one step of the walk, whose update is off by what float32 does to losses."""
    random = np.random.default_rng(seed)
    rows = (timesteps,) if network.sequence_input else ()
    x = random.uniform(-1, 1, (batch, *rows, network.n_input)).astype(np.float32)
    rows = (timesteps,) if network.sequence_output else ()
    y = random.uniform(0, 1, (batch, *rows, network.n_output)).astype(np.float32)
    weights = random.uniform(-1, 1, (network.n_from, network.n_to)).astype(np.float32).astype(np.float64)

    outputs, _ = run_on_arrays(network, weights, x, y, timesteps)
    wanted = reference.forward(network, weights, x, timesteps)
    wanted_losses = reference.losses(network, wanted, y)
    assert_close(outputs, wanted, atol=20 * EPS, what="outputs")

    configuration = WalkConfiguration(stddev=0.1, batch_size=batch, timesteps=timesteps)
    noise = unit_perturbations(network.n_from, network.n_to, seed=seed, step=0, datapoints=np.arange(batch))
    found = step_on_arrays(network, configuration, weights, x, y, seed=seed)
    stepped = raw_step(network, weights, x, y, timesteps, noise, 0.1)
    assert_close(found, stepped, atol=30 * EPS * 0.1 * (wanted_losses.mean() + 1), what="weights after one step")


def test_the_activation_makes_a_difference() -> None:
    sigmoid = FreeNetwork(2, 1, 3)
    tanh_network = dataclasses.replace(sigmoid, hidden_activation="tanh")
    random = np.random.default_rng(1)
    weights, x = random.uniform(-1, 1, (sigmoid.n_from, sigmoid.n_to)), random.uniform(-1, 1, (5, 2))
    outputs = [run_on_arrays(network, weights, x, np.zeros((5, 1)), 3)[0] for network in (sigmoid, tanh_network)]
    assert largest_difference(*outputs) > 0.01


def test_an_unknown_activation_is_refused() -> None:
    with pytest.raises(ValueError, match="hidden_activation must be sigmoid or tanh, got 'relu'"):
        FreeNetwork(1, 1, 1, hidden_activation="relu")  # type: ignore[arg-type]
