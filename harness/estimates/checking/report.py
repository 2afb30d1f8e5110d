"""What is said of an estimator."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from freewalk.harness.estimates.checking.observed import Observed


@dataclass(frozen=True)
class EstimatorFault:
    """Something wrong with an estimator, by name."""

    kind: str
    sentence: str
    value: float | None = None
    """The factor, where there is one."""


@dataclass(frozen=True)
class EstimatorReport:
    """What `check_estimator` found."""

    faults: tuple[EstimatorFault, ...]
    slope: float
    """Mean length of the estimates along the exact gradient, in lengths of the gradient: 1 is right."""
    slope_interval: tuple[float, float]
    """Of 95 %."""
    second_moment: float
    """Mean of the estimates' squared lengths, in squared lengths of the gradient."""
    second_moment_interval: tuple[float, float]
    """Of 95 %."""
    expected: float | None
    """The second moment that theory gives a right estimate of this kind; None where the kind is not known."""
    calls: int
    """Of the estimator."""
    evaluations: float | None
    """Of the loss in a call, on average; None where they could not be seen."""
    observed: Observed

    @property
    def passed(self) -> bool:
        """Whether nothing is wrong."""
        return not self.faults

    def as_dict(self) -> dict[str, Any]:
        """Return the report as JSON holds it."""
        return {"passed": self.passed, **asdict(self)}

    def __str__(self) -> str:
        low, high = self.slope_interval
        theory = "" if self.expected is None else f"; theory: {self.expected:.4g}"
        a, b = self.second_moment_interval
        lines = [f"fault: {fault.sentence}" for fault in self.faults]
        lines += [
            f"along the gradient: {self.slope:.4g} of it ({low:.4g} to {high:.4g})",
            f"second moment: {self.second_moment:.4g} ({a:.4g} to {b:.4g}){theory}",
            f"seen in {self.calls:,} calls: {self.observed}",
        ]
        return "\n".join(["nothing is wrong with the estimate" if self.passed else "the estimate is wrong", *lines])
