"""Derivatives of outputs by inputs against complex steps, for every kind of network and input."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from freewalk.kernels.model.layered import LayeredNetwork
from freewalk.kernels.model.network import FreeNetwork
from freewalk.kernels.reference import reference
from freewalk.kernels.reference.input_gradient import level_gradient

H = 1e-30


def by_complex_steps(function: Any, x: Any) -> Any:
    """Return (B, ...) derivatives of an analytic function from inputs (B, ...) to (B,), each by its own inputs.

    Im f(x + ih) / h takes no difference, so nothing cancels: its error is that of f itself, whatever h. (Squire and
    Trapp, Using complex variables to estimate derivatives of real functions, 1998.)
    """
    gradient = np.zeros_like(x)
    for place in np.ndindex(x.shape[1:]):
        moved = x.astype(complex)
        moved[(slice(None), *place)] += 1j * H
        gradient[(slice(None), *place)] = function(moved).imag / H
    return gradient


def level_of(network: FreeNetwork, weights: Any, x: Any, output: int, read_after: int) -> Any:
    """Return (B,) levels of an output, of real or complex inputs: the weighted sum, or the logarithm of a softmax."""
    n = network.n_output
    a = np.zeros((len(x), network.n_to))
    for t in range(read_after):
        x_t = x[:, t] if network.sequence_input else x
        z = np.hstack([x_t, np.ones((len(x), 1)), a]) @ weights
        a = 1 / (1 + np.exp(-z))
        if network.hidden_activation == "tanh":
            a[:, n:] = np.tanh(z[:, n:])
    return a[:, output] - np.log(np.exp(a[:, :n]).sum(axis=1)) if network.softmax else z[:, output]


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
def test_it_is_what_complex_steps_say(
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
        return level_of(network, weights, at, output, read_after)

    np.testing.assert_allclose(found.level, level(x), rtol=1e-12, atol=1e-12)
    at_level = np.exp(found.level) if softmax else reference.sigmoid(found.level)
    np.testing.assert_allclose(at_level, found.output, rtol=1e-12)
    np.testing.assert_allclose(found.gradient, by_complex_steps(level, x), rtol=1e-12, atol=1e-12)
    if is_sequence:
        assert not found.gradient[:, read_after:].any(), "rows after the last that counts"


def test_a_layered_network() -> None:
    layers = LayeredNetwork((2, 3, 2, 1))
    random = np.random.default_rng(0)
    weights = random.normal(size=layers.mask.shape) * layers.mask
    x = random.normal(size=(4, 2))
    (w1, w2, w3), (b1, b2, b3) = layers.split(weights)

    def level(at: Any) -> Any:
        h1 = 1 / (1 + np.exp(-(at @ w1 + b1)))
        return (1 / (1 + np.exp(-(h1 @ w2 + b2))) @ w3 + b3)[:, 0]

    found = level_gradient(layers.free_network, weights, x, 0, layers.depth)
    np.testing.assert_allclose(found.level, level(x), rtol=1e-12)
    np.testing.assert_allclose(found.gradient, by_complex_steps(level, x), rtol=1e-12, atol=1e-14)


def test_the_slope_is_there_where_the_output_is_flat() -> None:
    network = FreeNetwork(1, 1, 0)
    weights = np.array([[60.0], [0.0], [0.0]])
    found = level_gradient(network, weights, np.array([[1.0]]), 0, 1)
    assert found.output[0] == pytest.approx(1.0, abs=1e-15)
    assert found.gradient[0, 0] == 60.0
    assert not level_gradient(network, weights, np.array([[1.0]]), 0, 1, by_input=False).gradient.size
