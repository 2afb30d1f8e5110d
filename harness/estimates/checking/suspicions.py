"""What may be wrong with an estimator, and the sentences for it; what was recorded decides before statistics do."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from freewalk.harness.estimates.checking.evidence import NOTABLE, Evidence
from freewalk.harness.estimates.checking.perturbation_faults import perturbation_faults
from freewalk.harness.estimates.checking.recomputed import rms
from freewalk.harness.estimates.checking.report import EstimatorFault as Fault
from freewalk.harness.estimates.checking.statistical_faults import statistical_faults
from freewalk.harness.estimates.checking.update_faults import baseline_faults, update_faults

_POWER = 1024.0
"""By which losses are scaled: a power of two rounds nothing."""
_CHANGED = 0.05
"""A change of the estimates below this part of them is none."""
_DROWNED = 0.1
"""Part of the estimates that rounding may make."""


def find_faults(e: Evidence) -> list[Fault]:
    """Return what is wrong, what explains most first; of faults that may follow from another only that one."""
    if not any(call.estimate.any() for call in e.calls):
        return list(_too_small(e)) or [Fault("zero", _why_zero(e))]
    if e.is_exact:
        return list(_not_restored(e))
    for group in (_not_restored, _too_small, _seed, _not_of_the_loss, _rounding, _shaping):
        if found := list(group(e)):
            return found
    found = (list(perturbation_faults(e)) or list(update_faults(e))) if e.is_seen else []
    return found or list(statistical_faults(e))


def find_faults_of_samples(e: Evidence) -> list[Fault]:
    """Return what is wrong with estimates of a loss that cannot be changed."""
    return list(_not_restored(e)) or list(_seed(e)) or list(statistical_faults(e))


def _why_zero(e: Evidence) -> str:
    if e.is_seen and e.observed.perturbations == 1 and e.observed.sides == "one":
        return "the estimate is zero: with one perturbation the mean of the losses is the loss itself, and no baseline"
    return "the estimate is zero everywhere"


def _not_restored(e: Evidence) -> Iterator[Fault]:
    changes = [rms(call.left) for call in e.calls]
    stddev = e.observed.stddev or e.claimed.stddev or 0.0
    weights = max(rms(call.centre) for call in e.calls)
    if min(changes) > max(0.05 * stddev, 10 * e.space.resolution * max(weights, 0.1)):
        size = float(np.mean(changes))
        text = f"the weights that are handed over are left changed, by {size:.3g} each"
        if stddev:
            text += f" ({size / stddev:.2g} times the standard deviation of a perturbation)"
        yield Fault("not restored", f"{text}: take the last perturbation off again, or perturb a copy")


def _seed(e: Evidence) -> Iterator[Fault]:
    base = e.paired["base"]
    if len(base) > 1 and rms(base - base[0]) <= 1e-6 * rms(base):
        yield Fault(
            "seed",
            "every call gives the same estimate: the seed is ignored, so all steps go along the same perturbations;"
            " make the generator or key from the seed",
        )
    elif e.differs("repeat", "base") > _CHANGED and not list(baseline_faults(e)):
        yield Fault(
            "seed",
            "two calls with the same weights and seed differ: draw from a generator made of the seed alone, and keep"
            " nothing from call to call, so that a run can be repeated",
        )


def _not_of_the_loss(e: Evidence) -> Iterator[Fault]:
    """Find a part of the estimate that stays when the loss is negated."""
    if e.is_explained:
        return
    base, negative = e.paired["base"], e.paired["negative"]
    rest = (base + negative) / 2
    if rms(rest) <= _CHANGED * rms(base) or not np.isfinite(rest).all():
        return
    if rms(rest - rest[0]) <= _CHANGED * rms(rest):
        mean, weights = rest.mean(axis=0), e.calls[0].centre
        share = float(mean @ weights) / max(float(weights @ weights), 1e-300)
        if rms(mean - share * weights) <= _CHANGED * rms(mean):
            text = (
                f"{share:.4g} times the weights are added to the estimate: a weight decay is no part of this gradient"
            )
            yield Fault("penalty", text, share)
            return
        yield Fault("penalty", "a part of the estimate does not depend on the loss: look at what is added to it")
    elif e.differs("negative", "base") <= _CHANGED:
        text = "the estimate is the same for the loss and its negative: sizes are used where differences belong"
        yield Fault("sign", text)


def _too_small(e: Evidence) -> Iterator[Fault]:
    stddev, weights = e.observed.stddev, max(rms(call.centre) for call in e.calls)
    if stddev is not None and stddev < 10 * e.space.resolution * weights:
        yield _drowned(stddev, "and the weights' type hardly tells W + D from W")


def _rounding(e: Evidence) -> Iterator[Fault]:
    if e.shaping != "none" or "level" not in e.paired or e.differs("base", "level") <= _CHANGED:
        return
    if e.is_seen:
        # it shows where losses are large, is gone where they are small, and no baseline explains it
        shows = bool(e.fits) and max(one.left for one in e.fits.values()) > _DROWNED
        if shows and e.is_levelled and not e.span.baseline_explains:
            yield _drowned(e.observed.stddev, "although the perturbations and all else are right")
    elif e.differs("base", "level") > _DROWNED:
        first, second = (e.paired[name] - e.paired["level"] for name in ("base", "level 1"))
        if rms(second - 2 * first) > 0.5 * rms(first):
            yield _drowned(None, "for it is another one when a constant is added to the loss")


def _drowned(stddev: float | None, why: str) -> Fault:
    of = f" of {stddev:.3g}" if stddev else ""
    text = f"rounding drowns the estimate, {why}: with a stddev{of} the differences of losses of about 1 are lost"
    return Fault("rounding", f"{text}; take losses and their differences in float64, or a larger stddev")


def _shaping(e: Evidence) -> Iterator[Fault]:
    up, down = e.differs("up", "base", _POWER), e.differs("down", "base", 1 / _POWER)
    if up <= NOTABLE and down <= NOTABLE:
        if e.shaping != "none":
            text = (
                f"shaping={e.shaping!r} was said, but a loss {_POWER:g} times as large gives an estimate as much larger"
            )
            yield Fault("no shaping", f"{text}: nothing is shaped")
        return
    if list(baseline_faults(e)):
        return
    if e.differs("up", "base") <= _CHANGED and e.differs("down", "base") <= _CHANGED:
        kind = "ranks" if e.differs("cubed", "base") <= _CHANGED else "std"
        if e.shaping == kind:
            return
        how = (
            "only the order of the losses matters: ranks or signs are taken"
            if kind == "ranks"
            else "losses are divided by their own standard deviation, or the estimate by its length"
        )
        text = f"the estimate does not grow with the loss: {how}. That is no estimate of the gradient's length"
        yield Fault("shaping", f"{text}; say shaping={kind!r} if it is meant, else leave it out")
        return
    if e.shaping != "none":
        return
    base = rms(e.paired["base"])
    ratio = rms(e.paired["up"]) / base / _POWER
    if ratio < 1 - NOTABLE or rms(e.paired["down"]) * _POWER / base > 1 + NOTABLE:
        text = (
            f"differences of losses are clipped or squashed: {_POWER:g} times the loss gives {ratio * _POWER:.3g} times"
        )
        yield Fault("clipping", f"{text} the estimate, and small losses more than their share; clip the step instead")
    else:
        text = f"the estimate does not grow as the loss does: {_POWER:g} times the loss give {ratio * _POWER:.3g} times"
        yield Fault("nonlinear", f"{text} the estimate")
