"""Node perturbation estimates the gradient, and its variance is what theory says."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from freewalk.kernels.model.layered import LayeredNetwork
from freewalk.kernels.model.network import FreeNetwork
from freewalk.kernels.model.noise import Noise
from freewalk.kernels.reference import reference
from freewalk.kernels.reference.gradient import loss_gradient, passes
from freewalk.kernels.reference.node import (
    node_estimate,
    node_expected_squares,
    node_traces,
    noisy_sums,
    unit_node_noise,
)

NETWORK = FreeNetwork(2, 2, 5, hidden_activation="tanh")
SAMPLES: dict[Any, int] = {"gaussian": 140_000, "rademacher": 28_000}
"""So many that c is known to 0.8 %."""


def _problem(network: FreeNetwork, seed: int = 0) -> tuple[Any, Any, Any]:
    """Return weights and one datapoint."""
    random = np.random.default_rng(seed)
    weights = random.uniform(-0.8, 0.8, (network.n_from, network.n_to))
    return weights, random.uniform(-1, 1, (1, network.n_input)), random.uniform(0, 1, (1, network.n_output))


def _samples(timesteps: int, noise: Noise, n: int) -> tuple[Any, Any, float]:
    """Return n single estimates, the exact gradient and the c that theory gives."""
    weights, x, y = _problem(NETWORK)
    xi = unit_node_noise(NETWORK, timesteps, seed=1, step=0, datapoints=np.arange(n), noise=noise)
    xs, ys = np.repeat(x, n, axis=0), np.repeat(y, n, axis=0)
    _, entering, traces = node_traces(NETWORK, weights, xs, ys, timesteps, xi, 1e-5, sides="two")
    samples = np.einsum("tbi,btj->bij", np.stack(entering), traces, optimize=True)
    gradient = loss_gradient(NETWORK, weights, x, y, timesteps)[1]
    squares = node_expected_squares(passes(NETWORK, weights, x, y, timesteps), noisy_sums(NETWORK, timesteps), noise)
    return samples, gradient, float(squares.sum() / (gradient**2).sum())


@pytest.mark.parametrize("noise", ["gaussian", "rademacher"])
@pytest.mark.parametrize("timesteps", [1, 4, 20])
def test_its_mean_is_the_gradient_and_its_variance_that_of_theory(timesteps: int, noise: Noise) -> None:
    n = SAMPLES[noise] if timesteps == 1 else SAMPLES[noise] // 2
    samples, gradient, c = _samples(timesteps, noise, n)
    length = float((gradient**2).sum())
    along = np.einsum("bij,ij->b", samples, gradient) / length
    assert abs(along.mean() - 1) < 4 * along.std() / np.sqrt(n)
    squares = (samples**2).sum(axis=(1, 2)) / length
    assert squares.mean() == pytest.approx(c, rel=0.02)
    assert squares.std() / np.sqrt(n) < 0.008 * c, "too few samples to say it"


def test_with_one_timestep_c_is_the_number_of_sums_and_two() -> None:
    assert _samples(1, "gaussian", 1)[2] == pytest.approx(NETWORK.n_output + 2, rel=1e-9)


def test_layers_are_a_free_network_whose_layers_have_noise_in_turn() -> None:
    """Its mean is the gradient, and c that of sums which each count once."""
    layers, n = LayeredNetwork((3, 4, 2)), 20_000
    random = np.random.default_rng(0)
    x, y = random.uniform(-1, 1, (1, 3)), random.uniform(0, 1, (1, 2))
    weights = random.uniform(-1, 1, layers.mask.shape) * layers.mask
    gradient = loss_gradient(layers.free_network, weights, x, y, 2, layers.mask)[1]
    xi = unit_node_noise(layers.free_network, 2, seed=1, step=0, datapoints=np.arange(n), noise="gaussian")
    xi[:, 0, :2] = 0  # outputs at the first timestep reach nothing
    xs, ys = np.repeat(x, n, axis=0), np.repeat(y, n, axis=0)
    _, entering, traces = node_traces(layers.free_network, weights, xs, ys, 2, xi, 1e-5, sides="two")
    samples = np.einsum("tbi,btj->bij", np.stack(entering), traces, optimize=True) * layers.mask
    along = np.einsum("bij,ij->b", samples, gradient) / (gradient**2).sum()
    assert abs(along.mean() - 1) < 4 * along.std() / np.sqrt(n)


@pytest.mark.parametrize("sides", ["one", "two"])
def test_the_formula_written_out(sides: Any) -> None:
    """Two datapoints, one at a time, with loops."""
    network = FreeNetwork(1, 1, 2, sequence_input=True, sequence_output=True, leak=0.6)
    random = np.random.default_rng(3)
    weights = random.uniform(-1, 1, (network.n_from, network.n_to))
    x, y = random.uniform(-1, 1, (2, 3, 1)), random.uniform(0, 1, (2, 3, 1))
    xi = unit_node_noise(network, 3, seed=5, step=2, datapoints=np.arange(2), noise="gaussian")
    wanted = np.zeros_like(weights)
    for b in range(2):

        def run(scale: float, b: int = b) -> tuple[float, list[Any]]:
            a, loss, entering = np.zeros(3), 0.0, []
            for t in range(3):
                u = np.array([x[b, t, 0], 1.0, *a])
                fired = 1 / (1 + np.exp(-(u @ weights + scale * xi[b, t])))
                a = np.array([fired[0], *(0.4 * a[1:] + 0.6 * fired[1:])])
                loss += float((a[0] - y[b, t, 0]) ** 2)
                entering.append(u)
            return loss, entering

        loss, entering = run(0.0)
        change = run(0.1)[0] - loss if sides == "one" else (run(0.1)[0] - run(-0.1)[0]) / 2
        for t in range(3):
            wanted += np.outer(entering[t], xi[b, t]) * change / 0.1 / 2
    found_loss, found = node_estimate(network, weights, x, y, 3, xi, 0.1, sides=sides)
    np.testing.assert_allclose(found, wanted, rtol=1e-9, atol=1e-12)
    assert np.isfinite(found_loss)


def test_the_activity_based_form_written_out() -> None:
    """One timestep: sums change by their noise alone."""
    network = FreeNetwork(2, 3, 0)
    weights, x, y = _problem(network)
    xi = unit_node_noise(network, 1, seed=5, step=0, datapoints=np.arange(1), noise="gaussian")
    _, plain = node_estimate(network, weights, x, y, 1, xi, 0.2)
    _, activity = node_estimate(network, weights, x, y, 1, xi, 0.2, activity=True)
    np.testing.assert_allclose(activity, plain * np.sqrt(3) / (xi**2).sum(), rtol=1e-9)


def test_the_activity_based_form_sees_how_far_noise_spreads() -> None:
    weights, x, y = _problem(NETWORK)
    xi = unit_node_noise(NETWORK, 3, seed=5, step=0, datapoints=np.arange(1), noise="gaussian")
    clean, entering, traces = node_traces(NETWORK, weights, x, y, 3, xi, 0.2, activity=True)
    a, sums = np.zeros((1, NETWORK.n_to)), []
    for t in range(3):
        z = np.concatenate([x, [[1.0]], a], axis=1) @ weights + 0.2 * xi[:, t]
        sums.append(z - entering[t] @ weights)
        a = reference.activate(NETWORK, z)
    moved = np.stack(sums, axis=1)
    moved[:, -1, NETWORK.n_output :] = 0
    noisy = reference.losses(NETWORK, a[:, : NETWORK.n_output], y)
    n = 2 * NETWORK.n_to + NETWORK.n_output
    np.testing.assert_allclose(traces, np.sqrt(n) * moved * ((noisy - clean) / (moved**2).sum())[:, None, None])


def test_each_sum_has_noise_of_its_own() -> None:
    where = {"seed": 3, "datapoints": np.arange(40)}
    drawn = unit_node_noise(NETWORK, 5, step=1, noise="gaussian", **where)  # type: ignore[arg-type]
    other = unit_node_noise(NETWORK, 5, step=2, noise="gaussian", **where)  # type: ignore[arg-type]
    live = drawn[drawn != 0]
    assert len(live) == 40 * (4 * NETWORK.n_to + NETWORK.n_output)
    assert len(np.unique(np.concatenate([live, other[other != 0]]))) == 2 * len(live)
    assert abs(live.mean()) < 0.1
    assert abs(live.std() - 1) < 0.1
