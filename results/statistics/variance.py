"""Analysis of variance of an unbalanced grid: what each factor explains alone, and beside the others."""

import math
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.special import fdtrc

from freewalk.results.statistics.cell import Floats

Codes = NDArray[np.intp]


class Effect(NamedTuple):
    """What one factor does to a response."""

    share: float
    """Of the variance, explained by the factor alone: its main effect's in functional analysis of variance."""
    freedom: int
    """Degrees of freedom beside the other factors; 0 where they say all that it says."""
    residual_freedom: int
    f_value: float
    p_value: float


def main_effect(response: Floats, factor: Codes, others: Mapping[str, Codes]) -> Effect:
    """Judge one factor: its own share of the variance, and F beside the other factors.

    The share is that of the variance between the means of the factor's values. F compares how much the residual sum of
    squares grows when the factor is taken out of the model with all factors (type II sums of squares), so that it holds
    on unbalanced grids. Every value of a factor has an effect of its own; interactions are left to the residual.
    Sources: F. Yates, JASA 29, 51 (1934); F. Hutter, H. Hoos, K. Leyton-Brown, An efficient approach for assessing
    hyperparameter importance, ICML 2014.

    Parameters
    ----------
    response : ndarray of float64, shape (n,)
    factor : ndarray of int, shape (n,)
        From 0 on, the value of the factor in each trial.
    others : mapping of str to ndarray of int, shape (n,)
        The other factors.

    Returns
    -------
    Effect
        The share is NaN where the response does not vary, F and p where nothing is left to compare with.
    """
    centred = response - response.mean()
    total = float(centred @ centred)
    if total <= 0:
        return Effect(math.nan, 0, 0, math.nan, math.nan)
    counts = np.bincount(factor)
    between = float((np.bincount(factor, weights=centred) ** 2 / np.maximum(counts, 1)).sum())
    reduced, reduced_rank = _residual(centred, list(others.values()))
    full, full_rank = _residual(centred, [*others.values(), factor])
    freedom, left = full_rank - reduced_rank, len(response) - full_rank
    if not freedom or not left:
        return Effect(between / total, freedom, left, math.nan, math.nan)
    gained = max(0.0, reduced - full)
    return Effect(between / total, freedom, left, *_compared(gained, freedom, full, left, total))


def _compared(gained: float, freedom: int, rest: float, left: int, total: float) -> tuple[float, float]:
    """Return F and its p-value of a sum of squares beside the residual one."""
    # A residual of rounding errors is none: the factor then explains all that is left, or nothing.
    noise = rest / left if rest > 1e-12 * total else 0.0
    f_value = gained / freedom / noise if noise else (math.inf if gained > 1e-12 * total else math.nan)
    return f_value, float(fdtrc(freedom, left, f_value))


def interaction(response: Floats, first: Codes, second: Codes, others: Mapping[str, Codes]) -> Effect | None:
    """Judge what two factors do together, beyond what each of them and all others do alone.

    F compares how much the residual sum of squares grows when the model has no effect of its own for each pair of
    values. Pairs that were not tried are left out. Source: as `main_effect`.

    Parameters
    ----------
    response : ndarray of float64, shape (n,)
    first, second : ndarray of int, shape (n,)
        From 0 on, the values of the two factors.
    others : mapping of str to ndarray of int, shape (n,)
        The other factors.

    Returns
    -------
    Effect or None
        The share is that of the variance which the pairs add. None where they add no degree of freedom or leave none,
        or nothing varies.
    """
    centred = response - response.mean()
    total = float(centred @ centred)
    if total <= 0:
        return None
    _, pairs = np.unique(first * (int(second.max(initial=0)) + 1) + second, return_inverse=True)
    single = [*others.values(), first, second]
    reduced, reduced_rank = _residual(centred, single)
    full, full_rank = _residual(centred, [*single, pairs])
    freedom, left = full_rank - reduced_rank, len(response) - full_rank
    if not freedom or not left:
        return None
    gained = max(0.0, reduced - full)
    return Effect(gained / total, freedom, left, *_compared(gained, freedom, full, left, total))


def unexplained_share(response: Floats, factors: Mapping[str, Codes]) -> tuple[float, int]:
    """Return the share of the variance that the sum of all factors leaves, and its degrees of freedom."""
    centred = response - response.mean()
    total = float(centred @ centred)
    left, rank = _residual(centred, list(factors.values()))
    return (left / total if total > 0 else math.nan), len(response) - rank


def _residual(centred: Floats, factors: list[Codes]) -> tuple[float, int]:
    """Return the residual sum of squares of the additive model and its rank, the mean's one included."""
    columns = [np.ones((len(centred), 1)), *(np.eye(int(codes.max()) + 1)[codes] for codes in factors)]
    design = np.concatenate(columns, axis=1)
    solution, _, rank, _ = np.linalg.lstsq(design, centred, rcond=None)
    rest = centred - design @ solution
    return float(rest @ rest), int(rank)
