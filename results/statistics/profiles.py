"""Performance profiles: how often a solver is within a factor of the best."""

import numpy as np
from numpy.typing import ArrayLike

from freewalk.results.statistics.cell import Floats, without_nan


def performance_profile(costs: ArrayLike, factors: ArrayLike) -> Floats:
    """Give the share of problems that each solver solves at a cost within a factor of the best solver's.

    Source: E. D. Dolan, J. J. Moré, Benchmarking optimization software with performance profiles, Mathematical
    Programming 91, 201 (2002).

    Parameters
    ----------
    costs : array_like of float, shape (n_problems, n_solvers)
        Not negative; +inf where a solver failed. A problem that nobody solved counts against all.
    factors : array_like of float, shape (n_factors,)
        At least 1.

    Returns
    -------
    ndarray of float64, shape (n_factors, n_solvers)
        NaN without problems.

    Raises
    ------
    ValueError
        A cost is NaN or negative, or a factor is below 1.
    """
    spent, within = without_nan(costs), without_nan(factors)
    if spent.ndim != 2 or np.any(spent < 0) or np.any(within < 1):
        raise ValueError("costs are a table of numbers from 0 on, factors are at least 1")
    if not spent.shape[0]:
        return np.full((within.size, spent.shape[1]), np.nan)
    # A cost of 0 is best by any factor: as one thousandth of an evaluation it stays comparable.
    spent = np.maximum(spent, 1e-3)
    best = spent.min(axis=1, keepdims=True)
    with np.errstate(invalid="ignore"):  # nobody solved it: inf / inf, within no factor
        ratios = spent / best
    return np.asarray((ratios[None, :, :] <= within[:, None, None]).mean(axis=1))
