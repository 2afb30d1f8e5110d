"""How much of a sweep is left while it runs, learned from how early the trials so far have ended."""

from __future__ import annotations

from collections.abc import Hashable, Sequence

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


class Remaining:
    """The work of trials, weighed by what they cost if they run to their ends.

    A trial that meets its target early leaves the rest of its budget. How much the open ones will leave is estimated
    from the share of its budget at which each trial of the same kind has ended, those that still run counting as not
    ended by now (Kaplan and Meier, Nonparametric estimation from incomplete observations, 1958). What the trials of a
    kind have taken so far corrects their costs.

    Parameters
    ----------
    costs
        Of each trial that runs to its end, in seconds of a model.
    kinds
        What tells trials apart that end alike and that the model misjudges alike.
    """

    def __init__(self, costs: Sequence[float], kinds: Sequence[Hashable]) -> None:
        self._costs = np.array(costs, dtype=np.float64)
        numbers = {kind: number for number, kind in enumerate(dict.fromkeys(kinds))}
        self._kinds = np.array([numbers[kind] for kind in kinds], dtype=np.int64)
        self._shares = np.zeros(len(costs))
        self._shares_before = np.zeros(len(costs))
        self._seconds = np.zeros(len(costs))
        self._ended = np.zeros(len(costs), dtype=np.bool_)

    def advance(self, place: int, share: float, seconds: float) -> None:
        """Note that a trial has this share of its cost behind it, and how many seconds it has taken in all."""
        self._shares[place] = min(1.0, share)
        self._seconds[place] = seconds

    def end(self, place: int) -> None:
        """Note that a trial has ended where it is."""
        self._ended[place] = True

    def start_clock(self) -> None:
        """Count what is done from here on."""
        self._shares_before = self._shares.copy()

    @property
    def _corrected(self) -> Floats:
        """The costs, by what trials have taken so far; of a kind of which nothing is known as of all others."""
        known = self._seconds > 0
        modelled, taken = (
            np.bincount(self._kinds[known], values[known], minlength=self._kinds.max(initial=0) + 1)
            for values in (self._costs * self._shares, self._seconds)
        )
        overall = taken.sum() / modelled.sum() if modelled.any() else 1.0
        scales = np.divide(taken, modelled, out=np.full(len(taken), overall), where=modelled > 0)
        corrected: Floats = self._costs * scales[self._kinds]
        return corrected

    @property
    def done(self) -> float:
        """Seconds of computing since the clock started."""
        return float((self._corrected * (self._shares - self._shares_before)).sum())

    @property
    def behind(self) -> float:
        """The model's seconds of what need not be computed any more: trials that have ended count in full."""
        return float((self._costs * np.where(self._ended, 1.0, self._shares)).sum())

    @property
    def knows_ends(self) -> bool:
        """Whether a trial has ended early, so that `left` is more than an upper bound."""
        return bool((self._ended & (self._shares < 1)).any())

    @property
    def left(self) -> float:
        """Expected seconds of what is still to be computed; for whole budgets as long as no trial has ended early.

        A kind of which none has begun is taken halfway between ending as the others do and using up its budgets.
        """
        left, costs = 0.0, self._corrected
        for kind in range(int(self._kinds.max(initial=-1)) + 1):
            own = self._kinds == kind
            is_open = own & ~self._ended
            if not is_open.any():
                continue
            if self._shares[own].any():
                shares = shares_left(self._shares[is_open], self._shares[own], self._ended[own])
            else:
                shares = (1 + shares_left(self._shares[is_open], self._shares, self._ended)) / 2
            left += float((costs[is_open] * shares).sum())
        return left


def shares_left(at: Floats, seen: Floats, ended: NDArray[np.bool_]) -> Floats:
    """Return the expected share of the budget that trials at some shares will still take.

    Parameters
    ----------
    at
        (m,) shares that open trials have behind them.
    seen
        (n,) shares at which trials have ended or are now; those at 1 have ended with their budget.
    ended
        (n,) whether they have ended.
    """
    ends, n_ended = np.unique(seen[ended & (seen < 1)], return_counts=True)
    at_risk = len(seen) - np.searchsorted(np.sort(seen), ends)
    survival = np.cumprod(np.concatenate([[1.0], 1 - n_ended / at_risk]))  # between one end and the next
    knots = np.concatenate([ends, [1.0]])
    areas = survival * np.diff(knots, prepend=0.0)
    beyond = areas[::-1].cumsum()[::-1] - areas  # from the end of each piece on
    piece = np.searchsorted(ends, at, side="right")
    here = survival[piece]
    # nobody outlived the last end: only trials at it can be there, and they have the rest of their budgets to go
    alive = here > 0
    expected = np.divide(beyond[piece], here, out=np.zeros_like(at), where=alive)
    left: Floats = knots[piece] - at + expected
    return left
