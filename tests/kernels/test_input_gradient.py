"""Derivatives of outputs by inputs against central differences, for every kind of network and input."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from freewalk.kernels import reference
from freewalk.kernels.input_gradient import level_gradient
from freewalk.kernels.layered import LayeredNetwork
from freewalk.kernels.network import FreeNetwork

H = 1e-6


def differences(function: Any, x: Any) -> Any:
    """Return (B, ...) derivatives of a function from inputs (B, ...) to (B,), each datapoint's by its own inputs."""
    gradient = np.zeros_like(x)
    for place in np.ndindex(x.shape[1:]):
        up, down = x.copy(), x.copy()
        up[(slice(None), *place)] += H
        down[(slice(None), *place)] -= H
        gradient[(slice(None), *place)] = (function(up) - function(down)) / (2 * H)
    return gradient


@settings(max_examples=40, deadline=None)
@given(
    n_input=st.integers(1, 3),
    n_output=st.integers(1, 3),
    n_hidden=st.integers(0, 4),
    timesteps=st.integers(1, 4),
    is_sequence=st.booleans(),
    reads_sequence=st.booleans(),
    softmax=st.booleans(),
    tanh=st.booleans(),
    seed=st.integers(0, 99),
)
def test_it_is_what_central_differences_say(
    n_input: int,
    n_output: int,
    n_hidden: int,
    timesteps: int,
    is_sequence: bool,
    reads_sequence: bool,
    softmax: bool,
    tanh: bool,
    seed: int,
) -> None:
    network = FreeNetwork(
        n_input,
        n_output,
        n_hidden,
        sequence_input=is_sequence,
        sequence_output=reads_sequence,
        softmax=softmax,
        hidden_activation="tanh" if tanh else "sigmoid",
    )
    random = np.random.default_rng(seed)
    weights = random.normal(size=(network.n_from, network.n_to))
    x = random.normal(size=(3, timesteps, n_input) if is_sequence else (3, n_input))
    output = int(random.integers(n_output))
    read_after = int(random.integers(1, timesteps + 1)) if reads_sequence else timesteps
    found = level_gradient(network, weights, x, output, read_after)
    outputs = reference.forward(network, weights, x, timesteps)
    read = outputs[:, read_after - 1] if reads_sequence else outputs
    np.testing.assert_allclose(found.output, read[:, output], rtol=1e-12)

    def level(at: Any) -> Any:
        outputs = reference.forward(network, weights, at, timesteps)
        o = (outputs[:, read_after - 1] if reads_sequence else outputs)[:, output]
        return np.log(o) if softmax else np.log(o / (1 - o))

    np.testing.assert_allclose(found.level, level(x), rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(found.gradient, differences(level, x), rtol=1e-5, atol=1e-7)
    if is_sequence:
        assert not found.gradient[:, read_after:].any(), "rows after the last that counts"


def test_a_layered_network() -> None:
    layers = LayeredNetwork((2, 3, 2, 1))
    random = np.random.default_rng(0)
    weights = random.normal(size=layers.mask.shape) * layers.mask
    x = random.normal(size=(4, 2))
    (w1, w2, w3), (b1, b2, b3) = layers.split(weights)

    def level(at: Any) -> Any:
        h1 = reference.sigmoid(at @ w1 + b1)
        return (reference.sigmoid(h1 @ w2 + b2) @ w3 + b3)[:, 0]

    found = level_gradient(layers.free_network, weights, x, 0, layers.depth)
    np.testing.assert_allclose(found.level, level(x), rtol=1e-12)
    np.testing.assert_allclose(found.gradient, differences(level, x), rtol=1e-6, atol=1e-9)


def test_the_slope_is_there_where_the_output_is_flat() -> None:
    network = FreeNetwork(1, 1, 0)
    weights = np.array([[60.0], [0.0], [0.0]])
    found = level_gradient(network, weights, np.array([[1.0]]), 0, 1)
    assert found.output[0] == pytest.approx(1.0, abs=1e-15)
    assert found.gradient[0, 0] == 60.0
    assert not level_gradient(network, weights, np.array([[1.0]]), 0, 1, by_input=False).gradient.size
