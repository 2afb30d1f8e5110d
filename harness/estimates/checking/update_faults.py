"""What may be wrong with what an estimator makes of its perturbations and their losses."""

from __future__ import annotations

import math
from collections.abc import Iterator

from freewalk.harness.estimates.checking.evidence import NOTABLE, Evidence
from freewalk.harness.estimates.checking.factors import Counts, explained
from freewalk.harness.estimates.checking.observed import NO_CHANCE
from freewalk.harness.estimates.checking.recomputed import Fit, fit, strange_directions
from freewalk.harness.estimates.checking.report import EstimatorFault as Fault
from freewalk.harness.gradcheck.words import listed

_STRANGE = {
    "transposed": "the update is the transpose of the perturbation that was tried: write A B^T both times",
    "transposed in memory": "the update is the transpose of the perturbation that was tried: write A B^T both times",
    "signs": "the update is along the signs of the perturbations, not along themselves",
    "inverses": "the update divides by the perturbations, as SPSA does with signs; take signs, or multiply by them",
    "units": "the update is along perturbations scaled to length 1: go along those that were tried",
    "next": "each loss difference meets the perturbation after its own",
    "previous": "each loss difference meets the perturbation before its own",
    "next pair": "each loss difference meets the perturbation after its own",
    "previous pair": "each loss difference meets the perturbation before its own",
    "reversed": "the losses meet the perturbations in reversed order",
}


def update_faults(e: Evidence) -> Iterator[Fault]:
    """Yield what is wrong with estimates whose perturbations are known."""
    if e.shaping != "none":
        yield from _shaped_faults(e)
        return
    found = list(baseline_faults(e))
    yield from found
    # what rounding alone, which has been judged, keeps from being explained is told from small losses
    if e.is_explained or (e.is_levelled and not found):
        fits = e.fits if e.is_explained else e.levelled_fits
        if not any(one.added for one in fits.values()):
            yield from _factor_faults(e, fits)
    elif not found:
        yield _strange(e)


def baseline_faults(e: Evidence) -> Iterator[Fault]:
    """Yield what is wrong with what losses are compared with."""
    if not e.is_seen:
        return
    if not e.is_explained:
        if e.span.baseline_explains and e.shaping == "none":
            yield _stale()
        return
    fits = list(e.fits.values())
    missing = [share for one in fits for share in one.no_baseline]
    if any(one.added for one in fits):
        text = "the two losses of a mirrored pair are added where the second is to be subtracted"
        yield Fault("pair added", f"{text}: (L(W + D) - L(W - D)) D")
    elif all(abs(share - 1) < 0.1 for share in missing):
        yield Fault(
            "baseline",
            "losses are used as they are, and their size makes the estimate's variance: subtract the loss at the"
            " weights, or the mean of the other losses",
        )
    elif any(abs(share) > NOTABLE for share in missing):
        yield _stale()


def _stale() -> Fault:
    return Fault(
        "stale baseline",
        "what is subtracted from the losses is not the loss at these weights: the baseline is of other weights or other"
        " data; it does not bias the estimate, but makes it vary more",
    )


def _factor_faults(e: Evidence, fits: dict[str, Fit]) -> Iterator[Fault]:
    k = e.observed.perturbations or 1
    factors: dict[str, tuple[float, float]] = {}
    beliefs = []
    for part, name in enumerate(e.space.names):
        if name not in fits:
            continue
        one, (variance, slack) = fits[name], e.variance(part)
        factor = one.inverse_variance * variance
        if abs(one.mean_subtracted - 1) < 0.1:
            factor *= (k - 1) / k
        factors[name] = factor, max(slack, 3 * one.left)
        beliefs.append(1 / math.sqrt(abs(one.inverse_variance)) if one.inverse_variance else math.inf)
    wrong = {name: it for name, it in factors.items() if abs(it[0] - 1) > max(NOTABLE, it[1])}
    if not wrong:
        return
    mean = any(abs(one.mean_subtracted - 1) < 0.1 for one in fits.values())
    values = list(factors.values())
    sharpest = min(values, key=lambda it: it[1])
    alike = all(abs(f / sharpest[0] - 1) <= slack + sharpest[1] for f, slack in values)
    if alike:
        if mean and abs(sharpest[0] * k / (k - 1) - 1) <= sharpest[1]:
            yield _mean_baseline(k)
            return
        yield factor_fault(e, *sharpest, belief=beliefs[values.index(sharpest)])
        return
    for name, (factor, slack) in wrong.items():
        yield factor_fault(e, factor, slack, belief=math.nan, where=f"{name}: ")


def _mean_baseline(k: int) -> Fault:
    text = (
        f"the losses are compared with their own mean, which makes the estimate (K - 1) / K = {(k - 1) / k:.4g} of it"
    )
    remedy = "compare each with the mean of the others, or divide by K - 1, or leave it to the learning rate"
    return Fault("mean baseline", f"{text}: {remedy}", (k - 1) / k)


def factor_fault(
    e: Evidence, factor: float, slack: float, *, belief: float = math.nan, where: str = "", digits: int = 4
) -> Fault:
    """Name a wrong factor.

    Parameters
    ----------
    e
        What is known.
    factor, slack
        How many times too long the estimate is, and how far that may be off, as a part of it.
    belief
        Standard deviation with whose square the estimate would be right.
    where
        Which weights.
    digits
        How many of the factor are said.
    """
    size = abs(factor)
    times = f"{where}the estimate is {factor:.{digits}g} times what it should be"
    if factor < 0:
        times = f"{where}the sign is flipped, so that descending along the estimate climbs"
        if abs(size - 1) <= max(slack, NOTABLE):
            text = "return the gradient, and neither the step nor the direction of ascent"
            return Fault("sign", f"{times}: {text}", factor)
        times += f", and there is a factor of {size:.{digits}g}"
    kind = "sign" if factor < 0 else "factor"
    words, remedy = explained(size, slack, e.counts)
    seen, claimed = e.observed.stddev, e.claimed.stddev
    if e.observed.noise == "uniform" and abs(size * 3 - 1) < max(slack, 0.05):
        text = "noise that is uniform between -stddev and stddev has a third of its variance"
        return Fault("variance", f"{times}: {text}; draw normal numbers or signs, or multiply it by sqrt(3)", factor)
    if seen and claimed and abs(belief / claimed - 1) < NOTABLE and abs(seen / claimed - 1) > NOTABLE:
        ratio = seen / claimed
        reason = explained(ratio, max(slack / 2, 1e-3), Counts(claimed, None, e.counts.rank, "two", e.space.size))[0]
        text = f"the perturbations have a standard deviation of {seen:.4g} instead of {claimed:.4g}"
        why = f", {ratio:.3g} times it" + (f", which is {reason}" if reason else "")
        also = f"; {remedy}" if remedy and "rank" in words else ""
        return Fault("factor" if "rank" in words else "variance", f"{times}: {text}{why}{also}", factor)
    if words:
        return Fault(kind, f"{times}, which is {words}: {remedy}", factor)
    hint = f": it would be right with perturbations of standard deviation {belief:.4g}, and theirs is {seen:.4g}"
    return Fault(kind, f"{times}; no count explains it{hint if seen and math.isfinite(belief) else ''}", factor)


def _strange(e: Evidence) -> Fault:
    whole = slice(0, e.space.size)
    for name, along in strange_directions(e.space).items():
        if fit(e.calls, whole, along).explained:
            kind = {"transposed in memory": "transposed"}.get(name, name)
            kind = "wrong order" if kind in ("next", "previous", "next pair", "previous pair", "reversed") else kind
            return Fault(kind, _STRANGE[name])
    if e.claimed.sides == "two" and not e.is_mirrored:
        text = "the perturbations do not come in mirrored pairs, though sides='two' was said"
        return Fault("not mirrored", f"{text}: take the same numbers for W + D and W - D")
    if e.span.inside is False:
        right = [name for name, one in e.fits.items() if one.explained]
        wrong = [name for name, one in e.fits.items() if not one.explained]
        where = f"{listed(wrong)}: " if right else ""
        text = f"{where}the update is along other perturbations than those that were tried"
        return Fault("other perturbations", f"{text}: use the same key, seed or array for both")
    left = max(one.left for one in e.fits.values())
    text = f"the losses that were recorded do not make this estimate: {left:.0%} of it has another source"
    return Fault("unexplained", f"{text}; look at what multiplies the perturbations, and whether all are used")


def _shaped_faults(e: Evidence) -> Iterator[Fault]:
    slope = float(e.tally.slope.value)
    if slope < -NO_CHANCE * float(e.tally.slope.error):
        text = "the sign is flipped, so that descending along the estimate climbs"
        yield Fault("sign", f"{text}: shape losses so that the worst gets the largest value")
    elif e.span.inside is False:
        yield _strange(e)
    elif slope < NO_CHANCE * float(e.tally.slope.error) and e.tally.slope.error < 0.1 * math.sqrt(e.tally.length.value):
        yield Fault("direction", "the estimate has nothing to do with the gradient's direction")
