"""Where the steps of a method of one's own lead: down the loss, beyond chance, or not."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

_ERRORS = 4.0
"""A cosine of this many standard errors is no chance."""


@dataclass(frozen=True)
class Direction:
    """What `check_direction` found. How long the steps are is the method's affair."""

    n_samples: int
    n_moved: int
    """Steps that moved a weight."""
    cosine: float
    """Mean cosine of a step with the way down, the negative gradient of its data; NaN without any."""
    standard_error: float
    """Of the cosine."""
    is_finite: bool
    """Whether every step left finite weights."""

    @property
    def passed(self) -> bool:
        """Whether the steps lead down, beyond chance."""
        return self.is_finite and self.cosine > _ERRORS * self.standard_error

    @property
    def sentence(self) -> str:
        """Say what the steps do."""
        figures = f"cosine {self.cosine:+.3g} ± {self.standard_error:.2g}, {self.n_samples:,} samples"
        if not self.is_finite:
            return "a step leaves weights that are not finite"
        if not self.n_moved:
            return f"no first step of {self.n_samples:,} samples moves a weight"
        if math.isnan(self.cosine):
            return "the exact gradient is zero here, so no way down can be told"
        if self.passed:
            return f"the steps lead down the loss ({figures})"
        if self.cosine < -_ERRORS * self.standard_error:
            return f"the steps lead up the loss ({figures}): look for a flipped sign"
        return (
            f"the steps lead nowhere, beyond chance ({figures}): look at what they are made of, or give more --samples"
        )

    def as_dict(self) -> dict[str, Any]:
        """Return the report as JSON holds it."""
        return {"passed": self.passed, **asdict(self), "sentence": self.sentence}


def check_direction(samples: Iterable[tuple[Array, Array]]) -> Direction:
    """Compare steps with the gradients of their data.

    Parameters
    ----------
    samples
        Pairs of one shape: the weights before a step less those after it, and the exact gradient. At least two.
    """
    cosines, n_samples, n_moved, is_finite = [], 0, 0, True
    for step, gradient in samples:
        n_samples += 1
        n_moved += bool(step.any())
        is_finite = is_finite and bool(np.isfinite(step).all())
        with np.errstate(all="ignore"):
            lengths = float(np.linalg.norm(step) * np.linalg.norm(gradient))
        if math.isfinite(lengths) and np.any(gradient):
            cosines.append(float(np.vdot(step, gradient)) / lengths if lengths else 0.0)
    if len(cosines) < 2:
        return Direction(n_samples, n_moved, math.nan, math.nan, is_finite)
    error = float(np.std(cosines, ddof=1)) / math.sqrt(len(cosines))
    return Direction(n_samples, n_moved, float(np.mean(cosines)), error, is_finite)
