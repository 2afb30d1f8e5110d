"""Unit perturbations of the family: their moments, their rank, their orthogonality, their addresses."""

from __future__ import annotations

import math

import numpy as np
import pytest

from freewalk.kernels.model.directions import blocks_of, pairs_of_rows, unit_directions
from freewalk.kernels.model.layered import LayeredNetwork
from freewalk.kernels.model.network import FreeNetwork
from freewalk.kernels.model.noise import NOISES, Kind
from freewalk.kernels.model.walk import Directions

FREE = FreeNetwork(2, 1, 4)
SHAPE = (FREE.n_from, FREE.n_to)
LAYERS = LayeredNetwork((3, 4, 2))
P = FREE.n_weights


def _draw(
    n: int,
    *,
    rank: int | None,
    noise: Kind = "gaussian",
    directions: Directions = "independent",
    layered: bool = False,
) -> np.ndarray:
    network = LAYERS.free_network if layered else FREE
    blocks = blocks_of(network, LAYERS.mask if layered else None)
    shape = (network.n_from, network.n_to)
    options = {"noise": noise, "rank": rank, "directions": directions, "seed": 3, "step": 5}
    return unit_directions(blocks, shape, indices=np.arange(n), **options)  # type: ignore[arg-type]


@pytest.mark.parametrize("noise", NOISES)
@pytest.mark.parametrize("rank", [1, 2, 3])
@pytest.mark.parametrize("layered", [False, True])
def test_perturbations_of_low_rank_are_uncorrelated_of_variance_1_and_of_that_rank(
    noise: Kind, rank: int, layered: bool
) -> None:
    n = 20_000
    drawn = _draw(n, rank=rank, noise=noise, layered=layered)
    live = LAYERS.mask if layered else np.ones(SHAPE, bool)
    assert not drawn[:, ~live].any()
    values = drawn[:, live]
    moments = values.T @ values / n
    assert np.abs(moments - np.eye(live.sum())).max() < 6 * np.sqrt(9 / n)  # a fourth moment is 9 at most
    for block in blocks_of(LAYERS.free_network if layered else FREE, LAYERS.mask if layered else None):
        part = drawn[:50, block.rows[:, None], block.columns]
        assert np.linalg.matrix_rank(part).max() == min(rank, *block.shape)


@pytest.mark.parametrize("rank", [None, 1, 2])
def test_orthogonal_perturbations(rank: int | None) -> None:
    n = P // (rank or 1)
    flat = _draw(2 * n, rank=rank, directions="orthogonal").reshape(2 * n, P)
    for chosen in (flat[:n], flat[n:]) if P % (rank or 1) == 0 else (flat[:n],):
        assert np.allclose(chosen @ chosen.T, P * np.eye(n), atol=1e-9)
    assert not np.allclose(flat[:n], flat[n:])  # the next set has signs and rows of its own


@pytest.mark.parametrize("rank", [None, 1, 2])
@pytest.mark.parametrize("layered", [False, True])
def test_each_orthogonal_perturbation_has_uncorrelated_entries_of_variance_1(rank: int | None, layered: bool) -> None:
    network = LAYERS.free_network if layered else FREE
    blocks = blocks_of(network, LAYERS.mask if layered else None)
    shape = (network.n_from, network.n_to)
    live = LAYERS.mask if layered else np.ones(shape, bool)
    n, size = 3_000, math.lcm(*(math.prod(block.shape) for block in blocks))
    drawn = unit_directions(
        blocks,
        shape,
        noise="gaussian",
        rank=rank,
        directions="orthogonal",
        seed=1,
        step=0,
        indices=2 + size * np.arange(n),  # the third of as many sets
    )[:, live]
    assert np.abs(drawn.T @ drawn / n - np.eye(live.sum())).max() < 6 * np.sqrt(16 / n)  # a square is 16 at most


@pytest.mark.parametrize(("n", "m"), [(1, 1), (4, 6), (5, 7), (3, 9), (8, 8)])
def test_pairs_of_rows_join_every_pair_once(n: int, m: int) -> None:
    first, second = pairs_of_rows(n, m, np.arange(n * m))
    assert len(set(zip(first.tolist(), second.tolist(), strict=True))) == n * m


def test_blocks_of_a_layered_network_are_its_layers() -> None:
    blocks = blocks_of(LAYERS.free_network, LAYERS.mask)
    assert sorted(block.shape for block in blocks) == sorted((n + 1, m) for n, m in LAYERS.layer_sizes)
    rebuilt = np.zeros_like(LAYERS.mask)
    for rows, columns in blocks:
        rebuilt[rows[:, None], columns] = True
    assert np.array_equal(rebuilt, LAYERS.mask)
