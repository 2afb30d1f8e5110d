"""Are the numbers what they claim to be? Fixed seeds, so that a test passes always or never.

Bounds: a statistic that is normal under the hypothesis must lie within 4 standard errors (6e-5 of the time it would not
by chance) where one is looked at, 5 where thousands are; a p-value must exceed 0.001, or that over the number of tests.
"""

from __future__ import annotations

import numpy as np
import pytest
from drawing import EXAMPLE, draw_many, draw_normals
from numpy.typing import NDArray
from scipy import stats

from freewalk.kernels.model.network import FreeNetwork
from freewalk.kernels.model.noise import NOISES, Kind, philox

N = 1_000_000
SEEDS = (0, 1, 2, 3, 2**32, 2**63 + 1)
SMALLEST_P = 0.001
GAUSSIANS: tuple[Kind, ...] = ("gaussian", "gaussian-xoshiro")
Normals = NDArray[np.float64]


@pytest.fixture(scope="module", params=GAUSSIANS)
def samples(request: pytest.FixtureRequest) -> dict[int, Normals]:
    return {seed: draw_normals(N, seed=seed, noise=request.param) for seed in SEEDS}


@pytest.mark.parametrize("seed", SEEDS)
def test_moments(samples: dict[int, Normals], seed: int) -> None:
    """E z**k is 0, 1, 0, 3; the variance of z**k is E z**2k minus its square: 1, 2, 15, 96."""
    z = samples[seed]
    for k, (mean, variance) in enumerate([(0, 1), (1, 2), (0, 15), (3, 96)], start=1):
        assert abs((z**k).mean() - mean) < 4 * np.sqrt(variance / N), f"moment {k}"


def test_moments_over_all_seeds(samples: dict[int, Normals]) -> None:
    z = np.concatenate(list(samples.values()))
    for k, (mean, variance) in enumerate([(0, 1), (1, 2), (0, 15), (3, 96)], start=1):
        assert abs((z**k).mean() - mean) < 4 * np.sqrt(variance / len(z)), f"moment {k}"


def test_kolmogorov_smirnov(samples: dict[int, Normals]) -> None:
    smallest = min(stats.kstest(z, "norm").pvalue for z in samples.values())
    assert smallest > SMALLEST_P / len(SEEDS)


def test_the_kolmogorov_smirnov_test_would_notice(samples: dict[int, Normals]) -> None:
    """One percent in the scale, or a uniform number in every fifty, is seen at this number of samples."""
    z = samples[0].copy()
    assert stats.kstest(1.01 * z, "norm").pvalue < SMALLEST_P / len(SEEDS)
    z[::50] = np.linspace(-1, 1, len(z[::50]))
    assert stats.kstest(z, "norm").pvalue < SMALLEST_P / len(SEEDS)


def test_tails(samples: dict[int, Normals]) -> None:
    """Counts beyond 4 and 5 are Poisson; nothing lies beyond sqrt(-2 ln 2**-31) = 6.5555."""
    z = np.abs(np.concatenate(list(samples.values())))
    for bound in (4.0, 5.0):
        count, expected = int((z > bound).sum()), len(z) * 2 * stats.norm.sf(bound)
        p = 2 * min(stats.poisson.cdf(count, expected), stats.poisson.sf(count - 1, expected))
        assert p > SMALLEST_P, f"{count} beyond {bound}, {expected:.1f} expected"
    assert 4.8 < z.max() <= 6.56


def _pairs(z: Normals) -> Normals:
    """Return (n, 2) Box-Muller pairs: rows 2k and 2k + 1 of a column share a radius."""
    columns = z[: len(z) // EXAMPLE.n_weights * EXAMPLE.n_weights].reshape(-1, EXAMPLE.n_from, EXAMPLE.n_to)
    return np.swapaxes(columns, 1, 2).reshape(-1, 2)


@pytest.mark.parametrize("seed", SEEDS[:3])
def test_the_angle_of_a_pair_is_uniform_and_independent_of_its_radius(samples: dict[int, Normals], seed: int) -> None:
    """Quadrants, 64 angles, 64 radii (exp(-r²/2) is uniform) and 16 x 16 of both."""
    pairs = _pairs(samples[seed])
    angle = (np.arctan2(pairs[:, 1], pairs[:, 0]) / (2 * np.pi)) % 1.0
    radius = np.exp(-0.5 * (pairs**2).sum(axis=1))
    cells = {
        "quadrants": np.bincount(2 * (pairs[:, 0] > 0) + (pairs[:, 1] > 0), minlength=4),
        "angles": np.histogram(angle, 64, (0, 1))[0],
        "radii": np.histogram(radius, 64, (0, 1))[0],
        "both": np.histogram2d(angle, radius, 16, ((0, 1), (0, 1)))[0].ravel(),
    }
    for name, counts in cells.items():
        assert stats.chisquare(counts).pvalue > SMALLEST_P / 12, name


def _assert_uncorrelated(a: Normals, b: Normals) -> None:
    """Neither the numbers nor their squares correlate: |r| < 4 / sqrt(n)."""
    a, b = a.ravel(), b.ravel()
    for left, right in ((a, b), (a**2, b**2)):
        assert abs(np.corrcoef(left, right)[0, 1]) < 4 / np.sqrt(len(a))


@pytest.mark.parametrize("kind", GAUSSIANS)
def test_neighbours_do_not_correlate(kind: Kind) -> None:
    def normals(seed: int = 17, step: int = 4, first: int = 0) -> Normals:
        return draw_many(EXAMPLE, 48, seed=seed, step=step, first=first, noise=kind).astype(np.float64)

    z = normals()
    for distance in (1, 2, 8, 16):  # 2: the even and odd vectors of a group; 16: the next group
        _assert_uncorrelated(z[distance:], z[:-distance])  # datapoints
    for distance in (1, 2, 3, 4):  # inside a block, and the next block
        _assert_uncorrelated(z[:, distance:], z[:, :-distance])  # rows
        _assert_uncorrelated(z[:, :, distance:], z[:, :, :-distance])  # columns
    _assert_uncorrelated(z, normals(step=5))
    _assert_uncorrelated(z, normals(seed=18))
    _assert_uncorrelated(z, normals(seed=17 + 2**32))
    _assert_uncorrelated(z, normals(first=2**20))


@pytest.mark.parametrize(("kind", "seed"), [("gaussian", 23), ("gaussian-xoshiro", 24)])
def test_all_weights_of_a_perturbation_are_pairwise_uncorrelated(kind: Kind, seed: int) -> None:
    """The 1,128 correlations of 48 weights over 65,536 datapoints: none beyond 5, their squares sum as chi².

    With seed 23 xoshiro's sum has p = 0.9999; over 3,000 seeds and 4,096 datapoints its p is as uniform as Philox's.
    """
    network = FreeNetwork(1, 2, 4)  # 8 rows, 6 columns
    z = draw_many(network, 4096, seed=seed, noise=kind).reshape(-1, network.n_weights).astype(np.float64)
    scores = np.corrcoef(z.T)[np.triu_indices(network.n_weights, 1)] * np.sqrt(len(z))
    assert np.abs(scores).max() < 5
    assert SMALLEST_P < stats.chi2.sf((scores**2).sum(), len(scores)) < 1 - SMALLEST_P


@pytest.mark.parametrize("seed", SEEDS[:3])
def test_signs_are_balanced_and_pairwise_independent(seed: int) -> None:
    """128 signs of a block over 16,384 datapoints: sum, every bit's mean and the 8,128 products of two bits."""
    network = FreeNetwork(126, 1, 0)  # 128 rows in one column: one block
    signs = draw_many(network, 1024, seed=seed, noise="rademacher").reshape(-1, 128).astype(np.float64)
    n = len(signs)
    assert np.array_equal(np.unique(signs), [-1, 1])
    assert abs(signs.sum()) < 4 * np.sqrt(signs.size)
    assert np.abs(signs.mean(axis=0)).max() * np.sqrt(n) < 5
    products = (signs.T @ signs / n)[np.triu_indices(128, 1)] * np.sqrt(n)
    assert np.abs(products).max() < 5
    assert SMALLEST_P / 3 < stats.chi2.sf((products**2).sum(), len(products)) < 1 - SMALLEST_P / 3
    neighbours = (signs[1:] * signs[:-1]).sum()
    assert abs(neighbours) < 4 * np.sqrt(signs[1:].size)


@pytest.mark.parametrize("kind", GAUSSIANS)
def test_the_reference_normals_are_normal_too(kind: Kind) -> None:
    counters = np.zeros((N // NOISES[kind].rows, 4), dtype=np.uint64)
    counters[:, 1] = np.arange(len(counters))
    z = NOISES[kind].from_words(philox(counters, 31)).ravel()
    assert stats.kstest(z, "norm").pvalue > SMALLEST_P
