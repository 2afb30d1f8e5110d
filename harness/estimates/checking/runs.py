"""An estimator called on losses with known gradients, and what came of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from freewalk.harness.estimates.arrays import Space
from freewalk.harness.estimates.checking.evidence import Evidence
from freewalk.harness.estimates.checking.factors import Counts
from freewalk.harness.estimates.checking.observed import Call, Tally, fixed_points, observe, steps_tried
from freewalk.harness.estimates.checking.probes import Probe
from freewalk.harness.gradcheck.own import Weights

Array = NDArray[np.float64]
Loss = Callable[[Weights], Any]
Estimator = Callable[[Loss, Weights, int], Weights]

_POWER = 1024.0
_N_PAIRED = 3
_IN_FULL = 40
_NUMBERS = 10_000_000
"""Of perturbations that are kept at a time."""


class UnusableError(Exception):
    """An estimate that is none: of the wrong shape, or not finite."""

    def __init__(self, kind: str, sentence: str) -> None:
        super().__init__(sentence)
        self.kind, self.sentence = kind, sentence


class Runs:
    """Calls of an estimator at weights and near them."""

    def __init__(self, estimator: Estimator, space: Space, weights: Array, seed: int) -> None:
        self._estimator, self._space, self._seed = estimator, space, seed
        rng = np.random.default_rng([seed, 1])
        size = max(float(np.sqrt(np.mean(weights**2))), 0.1)
        near = weights + 0.1 * size * rng.standard_normal(space.size)
        self._centres = [space.flatten(space.restore(one), "weights") for one in (weights, near)]
        self._gradients = []
        for _ in range(2):
            drawn = rng.standard_normal(space.size)
            self._gradients.append(drawn / np.linalg.norm(drawn))
        self._probes: dict[str, Probe] = {}
        self.n_calls = 0

    def call(self, probe: Probe, n: int, group: int = 0) -> Call:
        """Estimate a gradient with the n-th seed."""
        space = self._space
        weights = space.restore(probe.centre)
        probe.start()
        self.n_calls += 1
        answer = self._estimator(probe, weights, 100_003 * self._seed + n)
        points, losses = probe.recorded()
        try:
            estimate = space.flatten(answer, "estimate")
        except (TypeError, ValueError) as error:
            message = str(error) if isinstance(error, ValueError) else f"the estimate is {type(answer).__name__}"
            raise UnusableError("shape", f"{message}; return arrays arranged as the weights") from error
        if not np.isfinite(estimate).all() and np.isfinite(losses).all():
            n_bad = int((~np.isfinite(estimate)).sum())
            raise UnusableError(
                "not finite",
                f"{n_bad} of {estimate.size} numbers of the estimate are not finite though the losses are:"
                " look for a division by zero, such as by the spread of equal losses",
            )
        left = space.flatten(weights, "weights") - probe.centre
        tried = points - probe.centre
        return Call(probe.centre, probe.gradient, probe.at_centre, estimate, tried, losses, probe.n_unseen, left, group)

    def probe(self, group: int = 0, **options: Any) -> Probe:
        """Return a linear loss that is 1 at the first weights and 2 at the others, or is changed by the options."""
        options = {"shift": 1.0 + group, **options}
        key = str((group, options))
        if key not in self._probes:
            self._probes[key] = Probe(self._space, self._centres[group], self._gradients[group], **options)
        return self._probes[key]

    def linear(self, calls: int, claimed: Counts, shaping: str) -> Evidence:
        """Run all that linear losses tell."""
        probes = [self.probe(0), self.probe(1)]
        evidence = self.sample(probes, calls, claimed, shaping)
        level = self.probe(shift=0.0)
        evidence.levelled = [self.call(level, n) for n in range(0, 2 * _N_PAIRED, 2)]
        evidence.paired["level"] = np.array([call.estimate for call in evidence.levelled])
        changed = {
            "level 1": self.probe(shift=2.0),
            "up": self.probe(scale=_POWER, shift=_POWER),
            "down": self.probe(scale=1 / _POWER, shift=1 / _POWER),
            "negative": self.probe(scale=-1.0, shift=-1.0),
            "cubed": self.probe(shift=0.0, power=3),
        }
        for name, probe in changed.items():
            evidence.paired[name] = self._paired(probe, usable=name not in ("up", "down", "cubed"))
        evidence.paired["repeat"] = self._paired(probes[0])
        return evidence

    def sample(self, probes: Sequence[Probe], calls: int, claimed: Counts, shaping: str) -> Evidence:
        """Call by turns with the probes; each is a group of calls."""
        turns = len(probes)
        first = [self.call(probes[n % turns], n, n % turns) for n in range(2 * turns)]
        numbers = max(call.tried.size for call in first)
        n_full = min(calls, max(4, min(_IN_FULL, _NUMBERS // max(numbers, 1))))
        full = first + [self.call(probes[n % turns], n, n % turns) for n in range(len(first), n_full)]
        elsewhere = [fixed_points([call for call in full if call.group == group]) for group in range(turns)]
        steps = steps_tried(full)

        def leave_out(call: Call) -> None:
            call.leave_out([*elsewhere[call.group], *(times * call.estimate for times in steps)])

        for call in full:
            leave_out(call)
        tally = Tally(self._space, mirrored=all(call.pairs for call in full))
        for call in full:
            tally.add(call)
        for n in range(len(full), calls):
            call = self.call(probes[n % turns], n, n % turns)
            leave_out(call)
            tally.add(call)
        seen = observe(self._space, full, tally)
        base = [call.estimate for call in full if call.group == 0][:_N_PAIRED]
        return Evidence(self._space, claimed, shaping, full, [], tally, seen, {"base": np.array(base)})

    def repeat(self, probe: Probe, evidence: Evidence) -> None:
        """Call once more with the first seeds."""
        estimates = [self.call(probe, n).estimate for n in range(_N_PAIRED)]
        evidence.paired["repeat"] = np.array(estimates)

    def _paired(self, probe: Probe, usable: bool = True) -> Array:
        """Return estimates with the seeds of the first calls of the first group."""
        found = []
        for n in range(0, 2 * _N_PAIRED, 2):
            try:
                found.append(self.call(probe, n).estimate)
            except UnusableError:
                # losses a thousand times as large may be too large for a small type
                if usable:
                    raise
                found.append(np.full(self._space.size, np.nan))
        return np.array(found)
