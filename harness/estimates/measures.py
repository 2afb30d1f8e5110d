"""What a cell's samples say, as rows of the tables `estimates` and `cosines`."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import beta

from freewalk.harness.estimates.sampling import TWO_SIDED, Group, Sampled, ratio

Array = NDArray[np.float64]

_ERRORS = 4
"""A slope so many standard errors from what theory says is taken for what it is."""
_SAME_GRADIENT = 0.999
"""Squared cosine from which on all perturbations see one gradient."""
_NOTHING = 1e-9
_ROUNDING = 1e-6
"""A variance below this, of the gradient's square, is float32's."""
_LAW = ("cosine_expected", "cosine_expected_q05", "cosine_expected_q95")
_LEAST_MEANS = 16
"""So many means of estimates make a row of `cosines`."""


@np.errstate(all="ignore")  # where the gradient is 0 there is nothing to divide by, and figures are NaN
def group_row(group: Group, sampled: Sampled, costs: dict[str, float], *, unbiased: bool) -> dict[str, Any]:
    """Return the measures of some weights.

    Parameters
    ----------
    group, sampled
        What was seen of them, and of all weights.
    costs
        Of a step: evaluations, seconds, numbers.
    unbiased
        Whether the slope should be 1 where theory says nothing.
    """
    squares, along = group.joined("squares"), group.joined("along")
    exact_squares, exact_along = group.joined("exact_squares"), group.joined("exact_along")
    wanted, slopes, length = group.joined("expected_squares"), group.joined("slopes"), group.square
    slope, slope_half = ratio(along, exact_along)
    with_theory = exact_along[: slopes.size]
    known, _ = ratio(slopes * with_theory, with_theory) if slopes.size else (1.0 if unbiased else math.nan, 0.0)
    second, second_half = ratio(squares, np.full(len(squares), max(length, 0.0)))
    beside, beside_half = _beside_theory(squares, wanted)
    is_known = abs(slope - known) <= _ERRORS * slope_half / TWO_SIDED  # not if it is NaN
    scale = known if is_known else slope
    of_data = divided(float(exact_squares.mean()), length) - 1
    price = divided(second, scale**2) - 1
    expected = divided(float(wanted.mean()), length) if wanted.size else math.nan
    cosines = along / np.sqrt(squares * float(group.gradient @ group.gradient))
    low, median, high = np.quantile(cosines, (0.05, 0.5, 0.95)) if np.isfinite(cosines).all() else (math.nan,) * 3
    law = _law(sampled, 1) if group is sampled.whole else dict.fromkeys(_LAW, math.nan)
    return {
        "weights": group.name,
        "n_weights": len(group.indices),
        "slope": slope,
        **interval("slope", slope, slope_half),
        "slope_expected": known,
        "second_moment": second,
        **interval("second_moment", second, second_half),
        "second_moment_expected": expected,
        "of_expected": beside,
        **interval("of_expected", beside, beside_half),
        "variance_of_noise": price - of_data,
        "variance_of_noise_expected": divided(expected, scale**2) - 1 - of_data,
        "variance_of_data": of_data,
        "cosine_mean": float(cosines.mean()),
        "cosine_q05": float(low),
        "cosine_median": float(median),
        "cosine_q95": float(high),
        **law,
        **_prices(price, second_half / scale**2 if scale else math.nan, divided(expected, scale**2) - 1, costs),
    }


def _beside_theory(squares: Array, wanted: Array) -> tuple[float, float]:
    """Return the mean square over what theory says of the first steps, and half of its interval.

    Step by step, or of all steps: whichever is more precise. The former is where datapoints make most of the scatter.
    """
    paired, paired_half = ratio(squares[: wanted.size], wanted)
    if wanted.size in (0, squares.size):
        return paired, paired_half
    found = float(squares.mean() / wanted.mean())
    errors = [float(one.var(ddof=1) / len(one) / one.mean() ** 2) for one in (squares, wanted)]
    half = TWO_SIDED * abs(found) * math.sqrt(sum(errors))
    return (found, half) if half < paired_half else (paired, paired_half)


def _prices(price: float, half: float, expected: float, costs: dict[str, float]) -> dict[str, float]:
    """Return what it takes until the mean of the estimates misses the gradient by its length."""
    if abs(price) < _ROUNDING:
        price = half = expected = 0.0
    price, low, high = (
        max(0.0, value) if not math.isnan(value) else value for value in (price, price - half, price + half)
    )
    evaluations = costs["evaluations_per_step"]
    return {
        "evaluations_needed": evaluations * price,
        "evaluations_needed_low": evaluations * low,
        "evaluations_needed_high": evaluations * high,
        "evaluations_needed_expected": evaluations * expected,
        "seconds_needed": costs["seconds_per_step"] * price,
        "numbers_needed": costs["numbers_per_step"] * price,
    }


def cosine_rows(sampled: Sampled, evaluations_per_step: float) -> Iterator[dict[str, Any]]:
    """Yield the rows of `cosines`: how well means of 1, 2, 4, ... estimates point."""
    for size, cosines in sampled.cosines.items():
        if (size == 1 or len(cosines) >= _LEAST_MEANS) and np.isfinite(cosines).all():
            low, median, high = np.quantile(cosines, (0.05, 0.5, 0.95))
            half = ratio(cosines, np.ones(len(cosines)))[1] if len(cosines) > 1 else math.nan
            yield {
                "n_estimates": size,
                "evaluations": size * evaluations_per_step,
                "n_means": len(cosines),
                "cosine_mean": float(cosines.mean()),
                **interval("cosine_mean", float(cosines.mean()), half),
                "cosine_q05": float(low),
                "cosine_median": float(median),
                "cosine_q95": float(high),
                **_law(sampled, size),
            }


def _law(sampled: Sampled, n: int) -> dict[str, float]:
    """Return what theory says of the cosine of the mean of n estimates.

    With v what E|g^|**2 across the gradient is over the squared mean along it, that is about 1 / sqrt(1 + v / n). Where
    all K perturbations of a step see one gradient, the squared cosine of normal ones follows the beta distribution with
    parameters n K / 2 and K v / 2, exactly, that of others nearly.
    """
    group = sampled.whole
    wanted, slopes = group.joined("expected_squares"), group.joined("slopes")
    exact, exact_squares = group.joined("exact_along")[: wanted.size], group.joined("exact_squares")[: wanted.size]
    length, k = float(group.gradient @ group.gradient), n * sampled.n_perturbations
    if not wanted.size or not length or not (slopes * exact).mean():
        return dict.fromkeys(_LAW, math.nan)
    noise = float((wanted - slopes**2 * exact_squares).mean())
    along = float(((slopes * exact) ** 2).mean()) / length + noise * (1 + sampled.alignment) / (len(group.indices) + 1)
    across = max(0.0, (float(wanted.mean()) - along) * length / float((slopes * exact).mean()) ** 2) / n
    if sampled.alignment < _SAME_GRADIENT or not k or across < _NOTHING:
        return dict(zip(_LAW, (1 / math.sqrt(1 + across), math.nan, math.nan), strict=True))
    a, b = k / 2, k / 2 * across
    mean = math.exp(math.lgamma(a + 0.5) - math.lgamma(a) + math.lgamma(a + b) - math.lgamma(a + b + 0.5))
    low, high = np.sqrt(beta.ppf((0.05, 0.95), a, b))
    return dict(zip(_LAW, (mean, float(low), float(high)), strict=True))


def interval(name: str, value: float, half: float) -> dict[str, float]:
    """Return the ends of an interval by the names of their columns."""
    return {f"{name}_low": value - half, f"{name}_high": value + half}


def divided(value: float, by: float) -> float:
    """Return a quotient; NaN for a divisor that is not above 0."""
    return value / by if by > 0 else math.nan
