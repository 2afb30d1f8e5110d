"""What theory says of single weights: by simulation of the noise, and by formulas where there are some."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from freewalk.kernels.model.directions import Block, blocks_of, unit_directions
from freewalk.kernels.model.layered import LayeredNetwork
from freewalk.kernels.model.network import FreeNetwork
from freewalk.kernels.model.variance import expected_squares
from freewalk.kernels.model.walk import WalkConfiguration
from freewalk.kernels.reference.gradient import datapoint_gradients, loss_gradient, passes
from freewalk.kernels.reference.node import node_expected_squares, noisy_sums, unit_node_noise
from freewalk.kernels.reference.shaped import shaped_moments

NETWORK = FreeNetwork(2, 2, 2)
LAYERS = LayeredNetwork((2, 3, 1))
K, SIZE = 6, NETWORK.n_weights
KINDS: dict[str, dict[str, Any]] = {
    "normal": {"noise": "gaussian"},
    "signs": {"noise": "rademacher"},
    "rank 1 normal": {"noise": "gaussian", "rank": 1},
    "rank 1 signs": {"noise": "rademacher", "rank": 1},
    "rank 3 normal": {"noise": "gaussian", "rank": 3},
}


def simulated(walk: WalkConfiguration, blocks: tuple[Block, ...], gradients: Any, n_steps: int) -> Any:
    """Return squares of estimates of a linear loss in each weight, (n_steps, n_from, n_to).

    Perturbations of a step stand for steps: sets of orthogonal ones begin at multiples of the block's size.
    """
    k = walk.n_perturbations
    each = k if walk.directions == "independent" else -(-k // SIZE) * SIZE
    indices = (each * np.arange(n_steps)[:, None] + np.arange(k)).ravel()
    options: dict[str, Any] = {"noise": walk.kind, "rank": walk.rank, "directions": walk.directions}
    units = unit_directions(blocks, gradients.shape[1:], seed=4, step=0, indices=indices, **options)
    units = units.reshape(n_steps, *gradients.shape)
    slopes = (units * gradients).sum(axis=(2, 3), keepdims=True)
    return (units * slopes).mean(axis=1) ** 2


@pytest.mark.parametrize("layered", [False, True])
@pytest.mark.parametrize("kind", KINDS)
def test_each_weight_of_the_family(kind: str, layered: bool) -> None:
    """Perturbations that see gradients of their own, in blocks: within five standard errors in every weight."""
    network, mask = (LAYERS.free_network, LAYERS.mask) if layered else (NETWORK, None)
    blocks = blocks_of(network, mask)
    inside = 1.0 if mask is None else mask
    gradients = np.random.default_rng(1).normal(size=(K, network.n_from, network.n_to)) * inside + 0.5 * inside
    walk = WalkConfiguration(stddev=1.0, batch_size=K, timesteps=1, **KINDS[kind])
    wanted = expected_squares(walk, blocks, gradients)
    squares = simulated(walk, blocks, gradients, 30_000)
    found, error = squares.mean(axis=0), squares.std(axis=0, ddof=1) / math.sqrt(len(squares))
    assert np.abs(found - wanted).max() < 5 * error.max()
    assert (np.abs(found - wanted) < 5 * error + 1e-12).all()
    assert error.max() < 0.05 * wanted.max(), "too few samples to say it"


@pytest.mark.parametrize("rank", [None, 1, 2])
@pytest.mark.parametrize("k", [K, 40])
def test_orthogonal_ones_in_all(rank: int | None, k: int) -> None:
    """Of 28 weights: one set, or two and part of a third."""
    network = FreeNetwork(2, 2, 2)
    blocks = blocks_of(network, None)
    gradients = np.random.default_rng(1).normal(size=(k, network.n_from, network.n_to)) + 0.5
    walk = WalkConfiguration(stddev=1.0, batch_size=k, timesteps=1, rank=rank, directions="orthogonal")
    lengths = simulated(walk, blocks, gradients, 6000).sum(axis=(1, 2))
    error = lengths.std(ddof=1) / math.sqrt(len(lengths))
    assert abs(lengths.mean() - expected_squares(walk, blocks, gradients).sum()) < 5 * error
    assert error < 0.02 * lengths.mean(), "too few samples to say it"


@pytest.mark.parametrize("noise", ["gaussian", "rademacher"])
def test_each_weight_of_node_perturbation(noise: Any) -> None:
    random, n = np.random.default_rng(0), 60_000
    weights = random.uniform(-1, 1, (NETWORK.n_from, NETWORK.n_to))
    x, y = random.uniform(-1, 1, (1, 2)), random.uniform(0, 1, (1, 2))
    found = passes(NETWORK, weights, x, y, 3)
    (wanted,) = node_expected_squares(found, noisy_sums(NETWORK, 3), noise)
    xi = unit_node_noise(NETWORK, 3, seed=1, step=0, datapoints=np.arange(n), noise=noise)
    slopes = (xi * found.deltas).sum(axis=(1, 2))
    estimates = np.einsum("tbi,btj,b->bij", np.stack([np.repeat(u, n, axis=0) for u in found.entering]), xi, slopes)
    squares = estimates**2
    error = squares.std(axis=0, ddof=1) / math.sqrt(n)
    assert (np.abs(squares.mean(axis=0) - wanted) < 5 * error + 1e-12).all()
    assert error.max() < 0.03 * wanted.max(), "too few samples to say it"


def test_sums_of_layers_have_noise_in_turn() -> None:
    noisy = noisy_sums(LAYERS.free_network, LAYERS.depth, LAYERS)
    assert noisy.sum(axis=1).tolist() == [3, 1]
    assert not (noisy[0] & noisy[1]).any()


@pytest.mark.parametrize("leak", [1.0, 0.6])
def test_gradients_of_datapoints_have_the_batch_s_as_their_mean(leak: float) -> None:
    network = FreeNetwork(2, 2, 3, sequence_input=True, sequence_output=True, leak=leak)
    random = np.random.default_rng(2)
    weights = random.uniform(-1, 1, (network.n_from, network.n_to))
    x, y = random.uniform(-1, 1, (7, 4, 2)), random.uniform(0, 1, (7, 4, 2))
    each = datapoint_gradients(passes(network, weights, x, y, 4))
    loss, gradient = loss_gradient(network, weights, x, y, 4)
    np.testing.assert_allclose(each.mean(axis=0), gradient, rtol=1e-12, atol=1e-15)
    assert passes(network, weights, x, y, 4).losses.mean() == pytest.approx(loss)
    np.testing.assert_allclose(each[2], loss_gradient(network, weights, x[2:3], y[2:3], 4)[1], rtol=1e-12, atol=1e-15)


def test_what_shaping_makes_of_slopes() -> None:
    """Formulas: no shaping 1, (K + 2) / K and 1 / K; one-sided ranks 1 / (2 sqrt(pi)); a deviation's mean is c4."""
    along, square, across = shaped_moments(16, "one", True, "none")
    assert (along, square, across) == pytest.approx((1, 18 / 16, 1 / 16), rel=0.01)
    along, _, across = shaped_moments(16, "one", True, "ranks")
    assert along == pytest.approx(1 / (2 * math.sqrt(math.pi)), rel=0.01)
    assert across == pytest.approx(17 / (12 * 15) / 16, rel=1e-9)
    k = 16
    c4 = math.sqrt(2 / (k - 1)) * math.gamma(k / 2) / math.gamma((k - 1) / 2)
    inverse = math.sqrt((k - 1) / 2) * math.gamma((k - 2) / 2) / math.gamma((k - 1) / 2)
    assert shaped_moments(k, "two", True, "std")[0] == pytest.approx((k - 1) / k * c4 + inverse / k, rel=0.01)
    two = (2 * (k - 1) * 2 / (2 * math.sqrt(math.pi)) + math.sqrt(2 / math.pi)) / (2 * (2 * k - 1))
    assert shaped_moments(k, "two", True, "ranks")[0] == pytest.approx(two, rel=0.01)
