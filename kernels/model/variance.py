"""What theory says of the walk's estimate on a linear loss: how long it is, and how well it points."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from freewalk.kernels.model.walk import WalkConfiguration


def variance_constant(
    walk: WalkConfiguration, shapes: Sequence[tuple[int, int]], shares: Sequence[float] | None = None
) -> float:
    """Return c, with which the estimate g^ of a step has E|g^|² / |g|² = (K - 1 + c) / K.

    For K perturbations that all see one gradient g of a linear loss, before shaping. The mean of the squared cosine
    between g^ and g is then about K / (K - 1 + c). With P weights in all, and of each block of weights (see
    `freewalk.kernels.model.directions`) n rows and m columns:

    full        Gaussian P + 2, signs P
    rank r      signs P + 2 (1 - 1/r); Gaussian, in one block, (n + 2)(m + 2) / r + (1 - 1/r)(n m + 2)
    orthogonal  P - K + 1 as long as orthogonal perturbations last, that is for K r <= n m in every block

    A block adds its own c less its number of weights, times its share of |g|².

    Parameters
    ----------
    walk
        How a step is taken.
    shapes
        (n, m) of each block.
    shares
        Of |g|², which lies in each block; None: as of the weights. They matter for Gaussian factors of several blocks
        alone, and for orthogonal ones beyond a block's.
    """
    sizes = np.array([n * m for n, m in shapes], dtype=np.float64)
    weights = sizes / sizes.sum() if shares is None else np.asarray(shares, dtype=np.float64) / sum(shares)
    n_weights, rank = float(sizes.sum()), walk.rank or 1
    if walk.directions == "orthogonal":
        k = walk.n_perturbations
        strangers = np.array([_pairs_of_two_sets(k, rank, math.prod(shape)) for shape in shapes])
        return float(n_weights + weights @ strangers / k - k + 1)
    if walk.noise == "rademacher":
        excess = 0.0 if walk.rank is None else 2 * (1 - 1 / rank)
        return n_weights + excess
    if walk.rank is None:
        return n_weights + 2
    excesses = [((n + 2) * (m + 2) - n * m) / rank + 2 * (1 - 1 / rank) for n, m in shapes]
    return float(n_weights + weights @ np.array(excesses))


def _pairs_of_two_sets(n_perturbations: int, rank: int, n_orthogonal: int) -> int:
    """Return how many ordered pairs of perturbations are of two orthogonal sets, and so independent."""
    sets = np.arange(n_perturbations) * rank // n_orthogonal
    return int(n_perturbations**2 - (np.bincount(sets) ** 2).sum())
