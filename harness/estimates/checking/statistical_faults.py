"""What is wrong with estimates whatever they are made of: their length, direction and scatter."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from freewalk.harness.estimates.checking.evidence import NOTABLE, Evidence
from freewalk.harness.estimates.checking.observed import NO_CHANCE, Observed
from freewalk.harness.estimates.checking.recomputed import rms
from freewalk.harness.estimates.checking.report import EstimatorFault as Fault
from freewalk.harness.estimates.checking.theory import expected_second_moment
from freewalk.harness.estimates.checking.update_faults import factor_fault

_CERTAIN = 6.0


def statistical_faults(e: Evidence) -> Iterator[Fault]:
    """Yield what chance cannot explain."""
    if e.shaping != "none":
        return
    found = [*_unseen_baseline(e), *_length(e)] or [*_direction(e), *_scatter(e)]
    yield from found


def _unseen_baseline(e: Evidence) -> Iterator[Fault]:
    if e.is_seen or "level" not in e.paired or e.differs("base", "level") <= NOTABLE:
        return
    first, second = (e.paired[name] - e.paired["level"] for name in ("base", "level 1"))
    if rms(second - 2 * first) < 0.1 * rms(first):
        yield Fault(
            "baseline",
            "a constant that is added to the loss changes the estimate, so that the losses' size makes its variance:"
            " subtract the loss at the weights, or the mean of the other losses",
        )


def _length(e: Evidence) -> Iterator[Fault]:
    slope, error = float(e.tally.slope.value), float(e.tally.slope.error)
    if abs(slope - 1) <= max(_notable(e), NO_CHANCE * error):
        return
    if beside := list(_direction(e, slope)):
        yield from beside
    elif abs(slope) <= NO_CHANCE * error:
        text = f"the estimate has nothing to do with the gradient: {slope:.2g} of it along it, give or take {error:.2g}"
        yield Fault("direction", text, slope)
    else:
        yield factor_fault(e, slope, NO_CHANCE * error / abs(slope), digits=3)


def _notable(e: Evidence) -> float:
    # where all follows from what was recorded, only much is no chance: few calls tell little of heavy tails
    return 0.25 if e.is_explained else NOTABLE


def _direction(e: Evidence, slope: float = 1.0) -> Iterator[Fault]:
    """Find derivatives that the mean of the estimates misses, once it is divided by its length along the gradient."""
    gradients = {call.group: call.gradient / np.linalg.norm(call.gradient) for call in e.calls}
    missed = e.tally.errors.value - (slope - 1) * np.mean(list(gradients.values()), axis=0)
    typical = 1 / np.sqrt(e.space.size)
    wrong = (np.abs(missed) > _CERTAIN * e.tally.errors.error) & (np.abs(missed) > max(0.1, _notable(e)) * typical)
    if not wrong.any():
        return
    parts = zip(e.space.names, e.space.parts, strict=True)
    where = ", ".join(f"{int(wrong[part].sum())} of {name}" for name, part in parts if wrong[part].any())
    text = (
        f"the mean of the estimates misses derivatives ({where}), by up to {np.abs(missed).max() / typical:.2g} typical"
    )
    yield Fault("direction", f"{text} ones: look for weights that are never perturbed, or a transpose")


def _scatter(e: Evidence) -> Iterator[Fault]:
    expected = expectation(e)
    value, error = float(e.tally.length.value), float(e.tally.length.error)
    if expected is None or value - expected <= max(0.2 * expected, NO_CHANCE * error):
        return
    text = f"the estimates' mean squared length is {value:.4g} times the gradient's, and should be {expected:.4g}"
    yield Fault("second moment", f"{text}: perturbations are not independent, or the loss's size comes in", value)


def expectation(e: Evidence) -> float | None:
    """Return what theory says of the second moment; None where it says nothing."""
    if e.shaping != "none":
        return None
    calls = {call.group: call for call in e.calls}.values()
    shares = np.mean(
        [
            np.array([(call.gradient[part] ** 2).sum() for part in e.space.parts]) / (call.gradient**2).sum()
            for call in calls
        ],
        axis=0,
    )
    others = e.is_explained and any(abs(one.mean_subtracted - 1) < 0.1 for one in e.fits.values())
    claimed = e.claimed
    told = Observed(perturbations=claimed.perturbations, rank=claimed.rank, noise=claimed.noise)
    seen = e.observed if e.is_seen else told
    return expected_second_moment(seen, e.space.shapes, shares.tolist(), others_subtracted=others)
