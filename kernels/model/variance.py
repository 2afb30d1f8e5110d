"""What theory says of the walk's estimate on a linear loss: how long it is, in each weight, and how well it points."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from freewalk.kernels.model.directions import Block
from freewalk.kernels.model.walk import WalkConfiguration

Array = NDArray[np.float64]


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


def expected_squares(walk: WalkConfiguration, blocks: Sequence[Block], gradients: Array) -> Array:
    """Return E g^**2 of each weight of a step, before shaping, if the loss is linear; what `variance_constant` sums.

    With G_k the gradient that perturbation D_k sees and G their mean, in the weight from i to j

        E g^_ij**2 = G_ij**2 + 1/K**2 (sum over k of E (D_ij (D_k . G_k))**2 - sum over sets of (sum of its G_k)_ij**2)

    where a set holds perturbations that are orthogonal to each other; independent ones are sets of their own. With
    kappa = E d**4 - 1 of the independent numbers d, 2 if normal, 0 of signs, E (D_ij (D . G))**2 is |G|**2 and

    full        kappa G_ij**2
    rank r      1/r (kappa R_i + kappa C_j + kappa**2 G_ij**2) + 2 (1 - 1/r) G_ij**2, with R_i and C_j the sums of G**2
                over the row and the column in the weight's block
    orthogonal  nothing: on average over the weights of a block exactly

    Parameters
    ----------
    walk
        How a step is taken.
    blocks
        See `freewalk.kernels.model.directions`.
    gradients
        (..., K, n_from, n_to), G_k; 0 outside the blocks.

    Returns
    -------
    (..., n_from, n_to), 0 outside the blocks
    """
    k = gradients.shape[-3]
    squares: Array = (gradients**2).sum(axis=-3)
    total, kappa = squares.sum(axis=(-2, -1), keepdims=True), 2.0 if walk.noise == "gaussian" else 0.0
    result = np.zeros_like(squares)
    for block in blocks:
        at = (..., block.rows[:, None], block.columns)
        own = squares[at]
        if walk.directions == "orthogonal":
            sets = _set_numbers(k, walk.rank or 1, math.prod(block.shape))
            of_sets = np.stack([gradients[..., sets == one, :, :].sum(axis=-3)[at] for one in np.unique(sets)])
            result[at] = total - (of_sets**2).sum(axis=0)
        elif walk.rank is None:
            result[at] = total + (kappa - 1) * own
        else:
            sides = own.sum(axis=-1, keepdims=True) + own.sum(axis=-2, keepdims=True)
            result[at] = total + (kappa * sides + kappa**2 * own) / walk.rank + (1 - 2 / walk.rank) * own
    inside: Array = gradients.mean(axis=-3) ** 2 + result / k**2
    return inside


def _set_numbers(n_perturbations: int, rank: int, n_orthogonal: int) -> NDArray[np.intp]:
    """Return which set of orthogonal ones each perturbation is of."""
    return np.arange(n_perturbations) * rank // n_orthogonal


def _pairs_of_two_sets(n_perturbations: int, rank: int, n_orthogonal: int) -> int:
    """Return how many ordered pairs of perturbations are of two orthogonal sets, and so independent."""
    sets = _set_numbers(n_perturbations, rank, n_orthogonal)
    return int(n_perturbations**2 - (np.bincount(sets) ** 2).sum())
