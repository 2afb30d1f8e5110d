"""A layered network is a masked free network: the same outputs, and weights that go there and back."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tolerance import EPS, assert_close

from freewalk.kernels.cpu.trial import run_on_arrays
from freewalk.kernels.model.layered import LayeredNetwork, parse_architecture
from freewalk.kernels.model.noise import initial_weights
from freewalk.kernels.model.synthetic import n_predictor_weights
from freewalk.kernels.reference import reference
from freewalk.kernels.reference.layered_pass import forward_layers, make_parameters, outputs_of, set_parameters

layered_networks = st.builds(
    LayeredNetwork,
    st.lists(st.integers(1, 9), min_size=2, max_size=5).map(tuple),
    hidden_activation=st.sampled_from(["sigmoid", "tanh"]),
    softmax=st.booleans(),
    loss=st.sampled_from(["mean_squared_error", "categorical_crossentropy"]),
)


@settings(max_examples=60, deadline=None, derandomize=True, database=None)
@given(layered_networks, st.integers(0, 2**32 - 1))
def test_layer_by_layer_is_the_masked_free_network(network: LayeredNetwork, seed: int) -> None:
    """The layers written out here; the layered pass; the free network in the reference and in the CPU kernels."""
    random = np.random.default_rng(seed)
    weights = [random.uniform(-2, 2, (n_in, n_out)) for n_in, n_out in pairwise(network.widths)]
    biases = [random.uniform(-2, 2, n_out) for n_out in network.widths[1:]]
    x = random.uniform(-1, 1, (7, network.widths[0])).astype(np.float32)
    matrix = network.embed(weights, biases)

    h = x.astype(np.float64)
    for layer, (w, b) in enumerate(zip(weights, biases, strict=True), start=1):
        z = h @ w + b
        is_tanh = network.hidden_activation == "tanh" and layer < network.depth
        h = np.tanh(z) if is_tanh else 1 / (1 + np.exp(-z))
    if network.softmax:
        h = np.exp(h) / np.exp(h).sum(axis=1, keepdims=True)

    parameters = make_parameters(network)
    set_parameters(network, parameters, matrix)
    by_layers = outputs_of(network, forward_layers(network, parameters, x.astype(np.float64))[-1])
    free = network.free_network
    np.testing.assert_allclose(by_layers, h, rtol=1e-12)
    np.testing.assert_allclose(reference.forward(free, matrix, x, network.depth), h, rtol=1e-12)
    on_cpu, _ = run_on_arrays(free, matrix, x, np.zeros((7, network.widths[-1])), network.depth)
    assert_close(on_cpu, h, atol=20 * EPS)


@settings(max_examples=60, deadline=None, derandomize=True, database=None)
@given(layered_networks, st.integers(0, 2**64 - 1))
def test_weights_go_into_the_matrix_and_back(network: LayeredNetwork, seed: int) -> None:
    matrix = network.initial_weights(seed)
    mask = network.mask
    assert matrix.shape == mask.shape == (network.free_network.n_from, network.free_network.n_to)
    assert mask.sum() == network.n_weights == sum((a + 1) * b for a, b in pairwise(network.widths))
    assert (matrix[~mask] == 0).all()
    weights, biases = network.split(matrix)
    np.testing.assert_array_equal(network.embed(weights, biases), matrix)
    for layer, bias in zip(weights, biases, strict=True):
        assert (bias == 0).all()
        assert np.abs(layer).max() <= np.sqrt(6 / sum(layer.shape))
    weights[0][:] = 99
    assert not (matrix == 99).any(), "split returns copies"


def test_initial_weights_are_glorots_and_use_the_words_of_their_positions() -> None:
    """A free network's weight at the same position is the same number in units of its own bound."""
    network = LayeredNetwork((20, 40, 30, 10))
    free = network.free_network
    matrix, words = network.initial_weights(5), initial_weights(free.n_from, free.n_to, 5)
    unit = words / np.sqrt(6 / (free.n_from + free.n_to))
    for (rows, columns), (n_in, n_out) in zip(network.places, network.layer_sizes, strict=True):
        layer = matrix[rows, columns]
        assert layer.shape == (n_in, n_out)
        np.testing.assert_allclose(layer, unit[rows, columns] * np.sqrt(6 / (n_in + n_out)), rtol=1e-12)
        assert layer.std() == pytest.approx(np.sqrt(2 / (n_in + n_out)), rel=0.1)
    assert (network.initial_weights(6) != matrix)[network.mask].mean() > 0.8


def test_the_free_network_of_layers() -> None:
    network = LayeredNetwork((3, 4, 2, 5), hidden_activation="tanh", softmax=True, loss="categorical_crossentropy")
    free = network.free_network
    assert (free.n_input, free.n_hidden, free.n_output) == (3, 6, 5)
    assert not free.sequence_input
    assert not free.sequence_output
    assert (free.hidden_activation, free.softmax, free.loss) == ("tanh", True, "categorical_crossentropy")
    assert network.depth == 3
    # rows: 3 inputs, bias, 5 outputs, 4 + 2 hidden; columns: 5 outputs, 4 + 2 hidden
    wanted = np.zeros((15, 11), dtype=bool)
    wanted[:3, 5:9] = wanted[9:13, 9:11] = wanted[13:15, :5] = wanted[3, :] = True
    np.testing.assert_array_equal(network.mask, wanted)


def test_a_single_layer_has_no_hidden_neurons() -> None:
    network = LayeredNetwork((3, 2))
    assert (network.free_network.n_hidden, network.depth, network.n_weights) == (0, 1, 8)


def test_predictors_are_counted() -> None:
    network = LayeredNetwork((16, 64, 32, 8))
    assert n_predictor_weights("linear", network) == 64 * 64 + 32 * 32
    assert n_predictor_weights("bias", network) == 65 * 64 + 33 * 32
    assert n_predictor_weights("conditioned", network) == (64 + 8 + 1) * 64 + (32 + 8 + 1) * 32
    assert n_predictor_weights("input", network) == (64 + 16 + 1) * 64 + (32 + 16 + 1) * 32
    assert n_predictor_weights("context", network) == (64 + 16 + 8 + 1) * 64 + (32 + 16 + 8 + 1) * 32


@pytest.mark.parametrize(("text", "widths"), [("2-1", (2, 1)), ("24-128-64-12", (24, 128, 64, 12))])
def test_an_architecture_is_its_widths(text: str, widths: tuple[int, ...]) -> None:
    assert parse_architecture(text) == widths


@pytest.mark.parametrize("text", ["", "5", "5-", "-5", "2-0-1", "2--1", "a-b", "2-3.5-1", "2 - 1", "free", "٢-٣"])
def test_what_is_no_architecture(text: str) -> None:
    with pytest.raises(ValueError, match="architecture must be widths such as 24-128-64-12"):
        parse_architecture(text)


def test_what_is_no_layered_network() -> None:
    with pytest.raises(ValueError, match="widths must be two or more"):
        LayeredNetwork((3,))
    with pytest.raises(ValueError, match="of at least 1"):
        LayeredNetwork((3, 0, 1))
    with pytest.raises(ValueError, match="hidden_activation"):
        LayeredNetwork((3, 1), hidden_activation="gelu")  # type: ignore[arg-type]


def test_weights_that_do_not_fit_are_refused() -> None:
    network = LayeredNetwork((2, 3, 1))
    with pytest.raises(ValueError, match=r"weights must have shapes \[\(2, 3\), \(3, 1\)\]"):
        network.embed([np.zeros((2, 3))], [np.zeros(3), np.zeros(1)])
    with pytest.raises(ValueError, match=r"biases must have shapes \[\(3,\), \(1,\)\]"):
        network.embed([np.zeros((2, 3)), np.zeros((3, 1))], [np.zeros(3), np.zeros(2)])
    with pytest.raises(ValueError, match=r"weights must have shape \(7, 4\), got \(4, 7\)"):
        network.split(np.zeros((4, 7)))
    with pytest.raises(ValueError, match="not those of the layered network 2-3-1"):
        network.split(np.ones((7, 4)))
