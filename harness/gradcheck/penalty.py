"""A penalty on the weights that a loss or its gradient lacks: the difference goes with the weights."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from freewalk.harness.gradcheck.words import factor_words, number

Array = NDArray[np.float64]

_PRECISE = 1e-7
"""What central differences may be off by, as a part of a layer's gradient."""
_SURE = 1e-4
"""A multiple is one if what it leaves over is at most this part of the difference."""
_ABSOLUTE = 1e-10


class Penalty(NamedTuple):
    """How a layer's gradient differs: it is `factor` times the right one and `multiple` times the weights."""

    multiple: float
    of_signs: bool
    """Of the weights' signs, an L1 penalty; else of the weights, an L2 penalty."""
    factor: float
    """1 for most."""
    slack: float
    """How far the multiple may be off, as a part of itself."""

    def agrees(self, other: Penalty) -> bool:
        """Whether two may be the same."""
        close = abs(self.multiple - other.multiple) <= (self.slack + other.slack) * abs(self.multiple)
        return close and self.of_signs == other.of_signs and abs(self.factor - other.factor) <= 1e-4 * abs(self.factor)

    def sentence(self, where: str, counts: Mapping[str, float]) -> str:
        """Say what is wrong in layers."""
        kind, what = ("L1", "the signs of the weights") if self.of_signs else ("L2, weight decay", "the weights")
        amount = f"{number(abs(self.multiple))} times {what}"
        if abs(self.factor - 1) > 1e-9:
            words = factor_words(abs(self.factor), counts)
            return (
                f"{where}: it is {number(self.factor)} times the right one{f', {words},' if words else ''}"
                f" {'plus' if self.multiple > 0 else 'less'} {amount}: a penalty on them ({kind}) is scaled otherwise"
                " than the rest"
            )
        if self.multiple > 0:
            return (
                f"{where}: {amount} too much: the gradient has a penalty on them ({kind}) that the loss lacks or has"
                " smaller"
            )
        return (
            f"{where}: {amount} too little: the loss has a penalty on them ({kind}) that the gradient lacks or has"
            " smaller"
        )


def penalty_of(a: Array, n: Array, weights: Array, noise: float, like: Sequence[Penalty] = ()) -> Penalty | None:
    """Return the penalty that explains how a layer's gradient differs, or None.

    Parameters
    ----------
    a, n
        Analytic and numerical gradient of a layer, any shape.
    weights
        Its weights, of the same shape.
    noise
        Length of what n may be off by.
    like
        Penalties of other layers: the only ones for a layer that too few weights make explicable by any.
    """
    a, n, weights = a.reshape(-1), n.reshape(-1), weights.reshape(-1)
    floor = noise + _ABSOLUTE * np.sqrt(a.size) + _PRECISE * float(np.linalg.norm(n))
    found = []
    for of_signs, basis in ((False, weights), (True, np.sign(weights))):
        if np.count_nonzero(basis):
            found.append((_fit(a - n, basis, floor), of_signs, 1.0, 2))
    if np.count_nonzero(weights) > 2 and np.linalg.norm(n) > floor:
        columns = np.stack([n, weights])
        factor = float(np.linalg.lstsq(columns.T, a, rcond=None)[0][0])
        found.append((_fit(a - factor * n, weights, abs(factor) * floor), False, factor, 4))
    for fit, of_signs, factor, least in found:
        if fit is None:
            continue
        penalty = Penalty(fit[0], of_signs, factor, fit[1])
        if np.count_nonzero(weights) >= least or any(map(penalty.agrees, like)):
            return penalty
    return None


def _fit(difference: Array, basis: Array, floor: float) -> tuple[float, float] | None:
    """Return the multiple of a basis that a difference is, and its slack; None if it is none."""
    length = float(np.linalg.norm(difference))
    multiple = float(difference @ basis / (basis @ basis))
    left = float(np.linalg.norm(difference - multiple * basis))
    if length <= 100 * floor or left > _SURE * length + floor:
        return None
    return multiple, max(1e-5, 2 * floor / length, 2 * left / length)
