"""The judge: derivatives by central differences, with a second look at weights that they measure too coarsely.

At h = 1e-5 a central difference is off by about 1e-11 times the loss (rounding) and 1e-11 times its third derivative
(truncation). That is a relative error of 1e-6 and more where a derivative is below 1e-5, so a right gradient would miss
there. Such weights are measured again with longer steps and Richardson's extrapolation, which reaches about 1e-14.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
LossFunction = Callable[[Array], float]

STEP = 1e-5
_COARSE = 1e-8
"""What central differences may be off by, for a loss of about 1; beyond it a miss is a miss."""
_LONGEST_STEP = 2.0**-5
_ROWS = 7
_EPS = float(np.finfo(np.float64).eps)


def central_differences(loss: LossFunction, weights: Array, indices: NDArray[np.intp], h: float = STEP) -> Array:
    """Return the derivatives by some of the weights, (f(w + h) - f(w - h)) / 2h.

    Parameters
    ----------
    loss
        Of an array like `weights`, which it must not keep; it must compute in float64.
    weights
        Any shape, float64; not changed.
    indices
        (n,) positions in the flat array.

    Returns
    -------
    (n,) float64
    """
    work = weights.copy()
    return np.array([_difference(loss, work, int(index), h) for index in indices])


def second_look(loss: LossFunction, weights: Array, index: int) -> tuple[float, float]:
    """Return the derivative by one weight as well as float64 allows, and how far it may be off.

    Central differences with steps of 2**-5, 2**-6, ... in Romberg's table (Ridders, Accurate computation of F'(x),
    1982): the entry with the smallest estimated error, truncation and rounding together.
    """
    work = weights.copy()
    magnitude = max(1.0, abs(loss(work)))  # a small loss too comes of activations near 1, and has their rounding
    best, best_error = np.nan, np.inf
    above: list[float] = []
    for k in range(_ROWS):
        h = _LONGEST_STEP * 0.5**k
        row = [_difference(loss, work, index, h)]
        for order in range(k):
            row.append(row[order] + (row[order] - above[order]) / (4.0 ** (order + 1) - 1))
        if k:
            error = max(abs(row[k] - row[k - 1]), abs(row[k] - above[k - 1])) + 8 * _EPS * magnitude / h
            if error < best_error:
                best, best_error = row[k], error
        above = row
    return best, best_error


def judge(
    loss: LossFunction, weights: Array, analytic: Array, indices: NDArray[np.intp], tolerance: float, h: float = STEP
) -> tuple[Array, Array]:
    """Return the numerical gradient for comparison with an analytic one, and how far each derivative may be off.

    Parameters
    ----------
    analytic
        The gradient to be judged, of the weights' shape: where central differences agree with it or miss it by far,
        they are the answer; where they miss it by no more than they may be off, a second look decides.
    indices
        (n,) flat positions of the weights there are; all others have derivative 0.
    tolerance
        Relative error that counts as agreement.

    Returns
    -------
    Two arrays of the weights' shape, float64: derivatives, and what they may be off by (0 for plain differences).
    """
    numerical, noise = np.zeros(weights.size), np.zeros(weights.size)
    numerical[indices] = central_differences(loss, weights, indices, h)
    distance = np.abs(analytic.reshape(-1) - numerical)
    magnitude = np.abs(analytic.reshape(-1)) + np.abs(numerical)
    reach = _COARSE * max(1.0, abs(loss(weights)))
    doubtful = (distance > 0.1 * tolerance * magnitude) & (distance <= reach)
    for index in np.flatnonzero(doubtful):
        numerical[index], noise[index] = second_look(loss, weights, int(index))
    return numerical.reshape(weights.shape), noise.reshape(weights.shape)


def _difference(loss: LossFunction, work: Array, index: int, h: float) -> float:
    """Return one central difference; `work` is changed for a moment, and the loss must not keep it."""
    flat = work.reshape(-1)
    here = flat[index]
    flat[index] = here + h
    up = loss(work)
    flat[index] = here - h
    down = loss(work)
    flat[index] = here
    return (up - down) / (2 * h)
