"""The check for estimators that users write themselves: whether what they return is an estimate of the gradient."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from freewalk.harness.estimates.arrays import Space
from freewalk.harness.estimates.checking.evidence import NOTABLE, Evidence
from freewalk.harness.estimates.checking.factors import Counts
from freewalk.harness.estimates.checking.observed import NO_CHANCE, Observed
from freewalk.harness.estimates.checking.probes import Probe
from freewalk.harness.estimates.checking.report import EstimatorFault, EstimatorReport
from freewalk.harness.estimates.checking.runs import Estimator, Loss, Runs, UnusableError
from freewalk.harness.estimates.checking.statistical_faults import expectation
from freewalk.harness.estimates.checking.suspicions import find_faults, find_faults_of_samples
from freewalk.harness.gradcheck.own import Weights

Array = NDArray[np.float64]

_TWO_SIDED = 1.96
_LEAST_CALLS = 20
_SHAPINGS = ("none", "std", "ranks")


def check_estimator(
    estimator: Estimator,
    weights: Weights | None = None,
    *,
    loss: Loss | None = None,
    gradient: Callable[[Weights], Weights] | None = None,
    stddev: float | None = None,
    perturbations: int | None = None,
    rank: int | None = None,
    sides: Literal["one", "two"] | None = None,
    noise: Literal["gaussian", "rademacher"] | None = None,
    shaping: Literal["none", "std", "ranks"] = "none",
    calls: int = 400,
    seed: int = 0,
) -> EstimatorReport:
    """Check a function that estimates gradients from losses at perturbed weights, and name what is wrong with it.

    The estimator is called on linear losses with known gradients that write down where they are evaluated: from the
    perturbations, the losses and the estimates follow factors, baselines and most other faults without chance. What
    cannot be seen is decided by five standard errors.

    Parameters
    ----------
    estimator
        `estimator(loss, weights, seed)` returns an estimate of the gradient of `loss` at `weights`, arranged as the
        weights: what is descended along. It may call the loss on NumPy, PyTorch or JAX arrays, whichever the weights
        are, inside of vmap and jit, and on stacks of weights with an axis in front.
    weights
        Where to check: one array, a sequence of arrays, or a mapping of names to arrays; None: one matrix of 6 x 5.
        They are handed over as copies, of their own type.
    loss, gradient
        The user's own loss and its exact gradient, arranged as the weights: the estimates of it are measured too. If
        the estimator takes no loss, but uses its own, they are needed.
    stddev, perturbations, rank, sides, noise
        What the estimator is meant to do, all optional: its perturbations' standard deviation, their number in a call
        (a mirrored pair is one), the rank of perturbed matrices, whether it compares W + D with W or with W - D, and
        the distribution. They name factors; what is seen counts more.
    shaping
        What is meant to happen to the losses of a call: `std` divides them by their standard deviation, `ranks`
        replaces them by their ranks (or signs). Lengths are then not judged.
    calls
        How often the estimator is called on linear losses, and half as often on the user's own; some twenty more calls
        compare losses that are changed.
    seed
        The estimator's seeds are a function of it.

    Returns
    -------
    EstimatorReport
        `passed`, the `faults` and what was measured; `str` of it is for people.

    Raises
    ------
    ValueError
        If an argument is of no use: an estimator that cannot be called, one of loss and gradient without the other, a
        loss or gradient that is not finite at the weights, or an estimator that does not call the loss.

    Examples
    --------
    >>> import numpy as np
    >>> def forgets_stddev(loss, weights, seed):
    ...     z = np.random.default_rng(seed).standard_normal(weights.shape)
    ...     return (loss(weights + 0.01 * z) - loss(weights - 0.01 * z)) / 2 * z
    >>> print(check_estimator(forgets_stddev, stddev=0.01).faults[0].sentence)
    the estimate is 0.01 times what it should be, which is stddev: divide by stddev once more
    >>> right = lambda loss, weights, seed: forgets_stddev(loss, weights, seed) / 0.01
    >>> check_estimator(right).passed
    True
    """
    if not callable(estimator):
        raise ValueError(f"estimator must be a function (loss, weights, seed), got {type(estimator).__name__}")
    if not _takes_three(estimator):
        raise ValueError("estimator must take three arguments: estimator(loss, weights, seed); wrap one that does not")
    if (loss is None) != (gradient is None):
        given, missing = ("gradient", "loss") if loss is None else ("loss", "gradient")
        raise ValueError(f"{given} is given without {missing}: give both, or neither to check on linear losses")
    if loss is not None and weights is None:
        raise ValueError("loss is given without weights: say at which weights to check it")
    if calls < _LEAST_CALLS:
        raise ValueError(f"calls must be at least {_LEAST_CALLS}, got {calls}")
    for name, value in (("stddev", stddev), ("perturbations", perturbations), ("rank", rank)):
        if value is not None and not (value > 0 and math.isfinite(value)):
            raise ValueError(f"{name} must be greater than 0, got {value}")
    if shaping not in _SHAPINGS:
        raise ValueError(f"shaping must be one of {', '.join(_SHAPINGS)}, got {shaping!r}")
    if weights is None:
        weights = np.random.default_rng([seed, 2]).standard_normal((6, 5))
    space = Space(weights)
    at = space.flatten(weights, "weights")
    if not np.isfinite(at).all():
        raise ValueError("weights must be finite")
    runs = Runs(estimator, space, at, seed)
    claimed = Counts(stddev, perturbations, rank, sides, space.size, noise)
    own = None if loss is None or gradient is None else _own_probe(space, at, loss, gradient)
    try:
        return _checked(runs, own, claimed, shaping, calls)
    except UnusableError as error:
        fault = EstimatorFault(error.kind, error.sentence)
        nothing = (math.nan, math.nan)
        return EstimatorReport((fault,), math.nan, nothing, math.nan, nothing, None, runs.n_calls, None, Observed())


def _takes_three(estimator: Estimator) -> bool:
    try:
        inspect.signature(estimator).bind(None, None, 0)
    except TypeError:
        return False
    except ValueError:
        return True  # some that are compiled have no signature
    return True


def _checked(runs: Runs, own: Probe | None, claimed: Counts, shaping: str, calls: int) -> EstimatorReport:
    first = runs.probe()
    runs.call(first, 0)
    if not first.n_called:
        if own is None:
            text = "the estimator does not call the loss that it is handed"
            raise ValueError(f"{text}: give loss and gradient, those that it uses")
        evidence = runs.sample([own], calls, claimed, shaping)
        runs.repeat(own, evidence)
        return _report(runs, evidence, find_faults_of_samples(evidence))
    linear = runs.linear(calls, claimed, shaping)
    faults = find_faults(linear)
    if own is None:
        return _report(runs, linear, faults)
    evidence = runs.sample([own], max(calls // 2, _LEAST_CALLS), claimed, shaping)
    if not faults and shaping == "none":
        faults = list(_smoothing(evidence, own))
    return _report(runs, evidence, faults)


def _own_probe(space: Space, at: Array, loss: Loss, gradient: Callable[[Weights], Weights]) -> Probe:
    exact = space.flatten(gradient(space.restore(at)), "gradient")
    if not np.isfinite(exact).all() or not exact.any():
        what = "zero" if np.isfinite(exact).all() else "not finite"
        raise ValueError(f"the gradient is {what} at these weights; check at weights where it is finite and not zero")
    probe = Probe(space, space.flatten(space.restore(at), "weights"), exact, own=loss)
    if not math.isfinite(probe.at_centre):
        raise ValueError(f"the loss is {probe.at_centre} at these weights; check at weights where it is finite")
    return probe


def _smoothing(e: Evidence, own: Probe) -> list[EstimatorFault]:
    """Say what is off on the user's own loss, where all is right on linear ones."""
    slope, error = float(e.tally.slope.value), float(e.tally.slope.error)
    if abs(slope - 1) <= max(NOTABLE, NO_CHANCE * error):
        return []
    rises = own.rise_along_gradient()
    if rises and all(abs(rise - 1) > 0.1 for rise in rises):
        text = (
            f"along gradient the loss rises by {rises[0]:.3g} times what it says: it is not the gradient of this loss"
        )
        return [EstimatorFault("gradient", text, rises[0])]
    text = f"on linear losses the estimate is right, and on this one {slope:.3g} times the gradient along it"
    remedy = "perturbations as large as these smooth the loss; take a smaller stddev, or mean the smoothed loss"
    return [EstimatorFault("smoothing", f"{text}: {remedy}", slope)]


def _report(runs: Runs, e: Evidence, faults: list[EstimatorFault]) -> EstimatorReport:
    def interval(mean: Any) -> tuple[float, float]:
        value, error = float(mean.value), float(mean.error)
        return value - _TWO_SIDED * error, value + _TWO_SIDED * error

    tally = e.tally
    return EstimatorReport(
        tuple(faults),
        float(tally.slope.value),
        interval(tally.slope),
        float(tally.length.value),
        interval(tally.length),
        expectation(e),
        runs.n_calls,
        e.observed.evaluations,
        e.observed,
    )
