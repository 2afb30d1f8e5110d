"""Are the words of xoshiro128++ as good as Philox's, down a run of rows and from one run to its neighbours?

Its states are words of Philox, so what could be wrong lies within a run: all outputs are functions of one state of 128
bits, and the map from state to state is linear modulo 2. Bounds are those of test_noise_distribution.
"""

from __future__ import annotations

import numpy as np
import pytest
from drawing import draw_many
from numpy.typing import NDArray
from scipy import stats

from freewalk.kernels.model.network import FreeNetwork
from freewalk.kernels.model.noise import RUN, Stream, counters, philox, xoshiro

SMALLEST_P = 0.001
N_RUNS = 32_768
Words = NDArray[np.uint32]


@pytest.fixture(scope="module")
def runs() -> Words:
    """Return (N_RUNS, RUN) words: 32 columns of 1,024 datapoints."""
    where = counters(np.arange(32), np.arange(N_RUNS // 32)[:, None], 6, Stream.PERTURBATIONS)
    return xoshiro(philox(where, 2**40 + 3), RUN).reshape(N_RUNS, RUN)


def _signs(words: Words) -> NDArray[np.float32]:
    """Return the bits of (n, k) words as signs, (n, 32 k)."""
    bits = np.unpackbits(np.ascontiguousarray(words).view(np.uint8), axis=1)
    return 1 - 2 * bits.astype(np.float32)


@pytest.mark.parametrize("rows", [slice(0, 12), slice(RUN - 12, RUN), slice(0, RUN, 5)], ids=["first", "last", "all"])
def test_the_bits_of_a_run_are_pairwise_independent(runs: Words, rows: slice) -> None:
    """73,536 or 86,320 products of two of its bits: none beyond 6, their squares sum as chi²; so do the means."""
    signs = _signs(runs[:, rows])
    n_bits = signs.shape[1]
    products = (signs.T @ signs)[np.triu_indices(n_bits, 1)] / np.sqrt(N_RUNS)
    assert np.abs(products).max() < 6
    squares = (products.astype(np.float64) ** 2).sum()
    assert SMALLEST_P / 3 < stats.norm.sf(squares, len(products), np.sqrt(2 * len(products))) < 1 - SMALLEST_P / 3
    means = signs.sum(axis=0, dtype=np.float64) ** 2 / N_RUNS
    assert SMALLEST_P / 3 < stats.chi2.sf(means.sum(), n_bits) < 1 - SMALLEST_P / 3


def _ranks(matrices: Words) -> NDArray[np.int64]:
    """Return the ranks over two bits of (n, 32) words, each a matrix of 32 rows."""
    left = matrices.copy()
    each, ranks = np.arange(len(left)), np.zeros(len(left), dtype=np.int64)
    for bit in range(32):
        has = (left >> np.uint32(bit) & np.uint32(1)).astype(bool)
        pivot, found = has.argmax(axis=1), has.any(axis=1)
        row = left[each, pivot]
        left ^= np.where(has, row[:, None], np.uint32(0))  # the pivot's row itself becomes 0, and is not used again
        ranks += found
    return ranks


@pytest.mark.parametrize("first", [0, RUN - 32])
def test_matrices_of_32_rows_have_the_ranks_of_random_ones(runs: Words, first: int) -> None:
    """Of random 32 x 32 matrices over two bits 28.879 % have rank 32, 57.758 % 31, 12.835 % 30 (Marsaglia, 1985)."""
    ranks = _ranks(runs[:, first : first + 32])
    found = [(ranks == 32).sum(), (ranks == 31).sum(), (ranks == 30).sum(), (ranks < 30).sum()]
    shares = np.array([0.2887880951, 0.5775761902, 0.1283502645])
    assert stats.chisquare(found, N_RUNS * np.append(shares, 1 - shares.sum())).pvalue > SMALLEST_P / 2


def test_the_numbers_of_set_bits_do_not_correlate(runs: Words) -> None:
    """The variance of a word's is 8; rows, columns and datapoints at several distances."""
    # NumPy 1.26 cannot count bits
    of_half = np.unpackbits(np.arange(1 << 16, dtype=np.uint16).view(np.uint8)).reshape(-1, 16).sum(axis=1)
    counts = of_half[runs & 0xFFFF] + of_half[runs >> 16]
    set_bits = counts.astype(np.float64).reshape(-1, 32, RUN) - 16
    for axis, distances in ((2, (1, 2, 3, 4, 8, 32)), (1, (1, 2)), (0, (1, 2, 16))):
        along = np.moveaxis(set_bits, axis, 0)
        for distance in distances:
            products = along[distance:] * along[:-distance]
            assert abs(products.sum()) < 4 * 8 * np.sqrt(products.size), (axis, distance)


def test_spacings_of_birthdays(runs: Words) -> None:
    """Of 4,096 words among 2**32 the spacings that occur twice are Poisson, 4 in the mean (Marsaglia, 1985)."""
    for words in (runs, np.ascontiguousarray(runs.T)):
        days = np.sort(words.reshape(-1, 4096).astype(np.int64), axis=1)
        spacings = np.sort(np.diff(days, axis=1), axis=1)
        repeated = int((np.diff(spacings, axis=1) == 0).sum())
        mean = 4.0 * len(days)
        assert 2 * min(stats.poisson.cdf(repeated, mean), stats.poisson.sf(repeated - 1, mean)) > SMALLEST_P / 2


def test_runs_of_a_column_do_not_correlate() -> None:
    """Columns of 132 rows have three runs: rows beside the border and a run apart, as numbers and as squares."""
    z = draw_many(FreeNetwork(1, 2, 128), 16, seed=41, noise="gaussian-xoshiro").astype(np.float64)
    for distance in (1, RUN - 1, RUN, RUN + 1):
        for power in (1, 2):
            a, b = (part.ravel() ** power for part in (z[:, distance:], z[:, :-distance]))
            assert abs(np.corrcoef(a, b)[0, 1]) < 4 / np.sqrt(len(a)), (distance, power)
    border = np.corrcoef(z[:, RUN - 4 : RUN].reshape(-1), z[:, RUN : RUN + 4].reshape(-1))[0, 1]
    assert abs(border) < 4 / np.sqrt(z[:, :4].size)
