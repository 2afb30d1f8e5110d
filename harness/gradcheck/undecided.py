"""The weights that miss without being wrong: where the loss bends or moves in steps, no gradient is right or wrong."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from freewalk.harness.gradcheck.layers import Layer
from freewalk.harness.gradcheck.numerical import LossFunction
from freewalk.harness.gradcheck.report import relative_errors
from freewalk.harness.gradcheck.smoothness import Look, is_float32, look

Array = NDArray[np.float64]

_ENOUGH = 30
"""So many weights that are wrong, or that cannot be decided, are looked at."""


def without_the_undecided(
    loss: LossFunction,
    weights: Array,
    first: float,
    analytic: Array,
    expected: Array,
    noise: Array,
    layers: Sequence[Layer],
    *,
    h: float,
    tolerance: float,
) -> tuple[Array, Array, Array]:
    """Look closely at weights that miss; return the three flat arrays again, with 0 where nothing can be decided.

    Parameters
    ----------
    loss
        Of flat weights.
    weights
        (n,), where it is checked.
    first
        The loss there.
    analytic, expected, noise
        (n,): the gradient, the numerical one, and how far that may be off.
    layers
        Their names, for messages.
    h
        Step of the differences.
    tolerance
        Relative error that agrees.

    Raises
    ------
    ValueError
        If all misses that were looked at are of the loss's making: with what is wrong with it, and the remedy.
    """
    with np.errstate(invalid="ignore"):
        missed = np.flatnonzero(~(relative_errors(analytic, expected, noise) <= tolerance))
    missed = missed[np.isfinite(analytic[missed])]
    analytic, expected, noise = analytic.copy(), expected.copy(), noise.copy()
    undecided: dict[int, Look] = {}
    n_wrong = 0
    for index in np.random.default_rng(0).permutation(missed):
        if max(n_wrong, len(undecided)) >= _ENOUGH:
            break
        found = look(loss, weights, int(index), first, h)
        apart = abs(found.derivative - expected[index])
        if found.reason is None and noise[index] > 0 and apart <= found.noise + noise[index]:
            found = found._replace(derivative=expected[index], noise=noise[index])  # the judge looked twice already
        agrees = relative_errors(analytic[[index]], np.array([found.derivative]), found.noise)[0] <= tolerance
        if found.reason is None:
            expected[index], noise[index] = found.derivative, found.noise
        elif agrees:
            undecided[int(index)] = found
            analytic[index] = expected[index] = noise[index] = 0.0
        n_wrong += not agrees
    if undecided and not n_wrong:
        raise ValueError(_reason(loss, weights, layers, undecided, h))
    return analytic, expected, noise


def _reason(loss: LossFunction, weights: Array, layers: Sequence[Layer], undecided: dict[int, Look], h: float) -> str:
    if is_float32(loss, weights, h):
        return (
            "the loss is computed in float32, too coarse for differences: each value near these weights is a float32;"
            " compute it in float64 throughout"
        )
    index, found = min(undecided.items())
    where = _place(layers, index)
    if found.reason == "kink":
        return (
            f"the loss has a kink at these weights, as relu and abs have at 0: along {where} its slope is"
            f" {found.left:.6g} on one side and {found.right:.6g} on the other, so no gradient is right or wrong there;"
            " check at weights a little away"
        )
    return (
        f"the loss moves in steps or jumps along {where}, as one that is rounded, computed in float32 or counts"
        " mistakes, so differences do not tell its gradient; compute it in float64 and without rounding"
    )


def _place(layers: Sequence[Layer], index: int) -> str:
    """Return the name of a weight."""
    for layer in layers:
        for row, column in np.argwhere(layer.indices == index):
            return f"{layer.name}, {layer.row_name(int(row))} to {layer.column_name(int(column))}"
    return f"weight {index}"
