"""What to call the end of a trial that missed its target: pure rules on what its outputs and its curve show."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Final

from freewalk.results.schema.schema import Outcome

COLLAPSE_SPREAD: Final = 1e-3
"""Outputs that differ by less over all held-out inputs say nothing of the input (sigmoid outputs span 1)."""

SATURATED_SIGNAL: Final = 1e-6
"""A training signal below this part of the error moves nothing: an untrained network has 0.1 to 1, and a sigmoid output
passes less than this only where it stands at 0 or 1 to float32's precision, or nearly so."""

DIVERGED_RISE: Final = 1.2
"""A loss that only ever rose, to more than this times its first value, was driven up."""
_RISE: Final = 1e-4
_FALL: Final = 1e-3
"""Relative changes that count: a loss that is driven up comes ever more slowly to the worst there is."""
_RISES: Final = 3
"""Fewer evaluations that rise notably are no course but a leap, after which the trial may stand still."""


@dataclass
class Rise:
    """Whether a curve has only ever risen; fed with one held-out loss after another."""

    first: float = field(default=math.nan, init=False)
    last: float = field(default=math.nan, init=False)
    rises: int = field(default=0, init=False)
    """Evaluations notably above the one before."""
    steady: bool = field(default=True, init=False)
    """Whether none was notably below."""
    _started: bool = field(default=False, init=False)

    def observe(self, loss: float) -> None:
        """Take the next loss in."""
        if self._started:
            self.rises += loss > self.last + _RISE * abs(self.last)
            self.steady = self.steady and loss >= self.last - _FALL * abs(self.last)
        else:
            self.first = loss
        self._started = True
        self.last = loss

    @property
    def driven_up(self) -> bool:
        """Whether the loss went up all the time and far."""
        far = self.last - self.first > (DIVERGED_RISE - 1) * abs(self.first)
        return self.steady and self.rises >= _RISES and far


def missed_outcome(
    otherwise: Outcome,
    *,
    output_spread: float | None,
    signal: float | None,
    improving: bool,
    rise: Rise,
    collapse_spread: float = COLLAPSE_SPREAD,
) -> Outcome:
    """Name the end of a trial that missed its target with finite numbers.

    Parameters
    ----------
    otherwise : Outcome
        What it is called if none of the causes below shows: ``exhausted`` or ``plateaued``.
    output_spread : float, optional
        Highest minus lowest value of an output over the held-out inputs, the largest of all outputs. None: unknown.
    signal : float, optional
        Training signal that is left at the outputs, for each unit of error: sum of |dL/dz| over sum of |output -
        target|, z the output neurons' weighted sums. None or NaN: unknown.
    improving : bool
        Whether the loss at the last evaluation was an improvement.
    rise : Rise
        The held-out losses.
    collapse_spread : float
        Outputs that spread less are alike.

    Returns
    -------
    Outcome
        ``saturated`` where no signal is left (the outputs may be alike as well), else ``collapsed`` where the outputs
        are alike, else ``diverged`` where the loss was driven up, else `otherwise`.
    """
    if signal is not None and signal < SATURATED_SIGNAL and not improving:
        return Outcome.SATURATED
    if output_spread is not None and output_spread < collapse_spread:
        return Outcome.COLLAPSED
    if rise.driven_up:
        return Outcome.DIVERGED
    return otherwise
