"""All that is known of an estimator when it is judged."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from freewalk.harness.estimates.arrays import Space
from freewalk.harness.estimates.checking.factors import Counts
from freewalk.harness.estimates.checking.observed import NO_CHANCE, Call, Observed, Tally
from freewalk.harness.estimates.checking.recomputed import Fit, Span, fit, rms, span

Array = NDArray[np.float64]

NOTABLE = 0.02
"""What is off by less than this part of it is no fault even if it is no chance."""


@dataclass
class Evidence:
    """What was claimed and what was seen."""

    space: Space
    claimed: Counts
    shaping: str
    calls: list[Call]
    """The first calls, in full."""
    levelled: list[Call]
    """Of a loss that is zero at the weights handed over."""
    tally: Tally
    observed: Observed
    paired: dict[str, Array] = field(default_factory=dict)
    """(n, P) estimates with the same seeds: `base`, `repeat`, and of a loss that is changed, by how."""

    @cached_property
    def is_seen(self) -> bool:
        """Whether the perturbations are known."""
        return self.observed.stddev is not None

    @cached_property
    def is_exact(self) -> bool:
        """Whether every estimate is the gradient, whatever it is made of."""
        return all(np.linalg.norm(c.estimate - c.gradient) < 0.01 * np.linalg.norm(c.gradient) for c in self.calls)

    @cached_property
    def is_mirrored(self) -> bool:
        """Whether perturbations come in pairs."""
        return self.observed.sides == "two"

    @cached_property
    def counts(self) -> Counts:
        """What a factor may be made of: what was seen, else what was claimed."""
        seen, claimed = self.observed, self.claimed
        return Counts(
            claimed.stddev or seen.stddev,
            seen.perturbations or claimed.perturbations,
            seen.rank or claimed.rank,
            seen.sides or claimed.sides,
            self.space.size,
        )

    @cached_property
    def fits(self) -> dict[str, Fit]:
        """How the estimates of each array follow from what was tried; without those never perturbed."""
        return self._fits(self.calls)

    @cached_property
    def levelled_fits(self) -> dict[str, Fit]:
        """The same, of the loss that is zero at the weights handed over."""
        return self._fits(self.levelled)

    def _fits(self, calls: list[Call]) -> dict[str, Fit]:
        return {
            name: fit(calls, part)
            for name, part in zip(self.space.names, self.space.parts, strict=True)
            if not self.tally.never[part].all()
        }

    @cached_property
    def is_explained(self) -> bool:
        """Whether the estimates follow from what was tried."""
        return self.is_seen and bool(self.fits) and all(one.explained for one in self.fits.values())

    @cached_property
    def is_levelled(self) -> bool:
        """Whether the estimates of the loss that is zero at the weights follow from what was tried."""
        return bool(self.levelled_fits) and all(one.left < 0.05 for one in self.levelled_fits.values())

    @cached_property
    def span(self) -> Span:
        """Each call's estimate beside its own perturbations."""
        return span(self.calls)

    def one_of_each(self, call: Call) -> Array:
        """Return a call's perturbations, of mirrored pairs the first."""
        return call.one_of_each() if self.is_mirrored else call.perturbed

    def variance(self, part: int) -> tuple[float, float]:
        """Return the variance of an array's perturbations, and how far it may be off, as a part of it.

        Where the claim may be true it is taken as exact.
        """
        squares = self.tally.part_squares
        value = float(squares.value[part])
        slack = NO_CHANCE * float(squares.error[part]) / value + 1e-3
        claimed = self.claimed.stddev
        if claimed is not None and abs(value / claimed**2 - 1) <= slack:
            return claimed**2, 1e-3
        return value, slack

    def differs(self, one: str, other: str, factor: float = 1.0) -> float:
        """Return how far paired estimates are from `factor` times others, as a part of the latter."""
        a, b = self.paired[one], factor * self.paired[other]
        if not np.isfinite(a).all():
            return 0.0  # beyond the range of a small type: nothing can be said
        return rms(a - b) / max(rms(b), 1e-300)
