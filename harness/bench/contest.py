"""Every implementation at every workload: checked, then timed beside the others, a row each."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from freewalk.harness.bench.clock import Deadline
from freewalk.harness.bench.own import relative_error
from freewalk.harness.bench.peers.peer import Device, Loop, Peer
from freewalk.harness.bench.report import LARGEST_ERROR, OURS
from freewalk.harness.bench.rounds import Effort, Implementation, Plan, calibrate, interleave, ratio, spread
from freewalk.harness.bench.rows import TimingRow, short_error
from freewalk.harness.bench.workloads import Workload, example_data, reference_batch
from freewalk.kernels.model.walk import Sides
from freewalk.kernels.reference import reference

UNIT = "ms a step of all trials"
_SHARE_OF_LONGEST = 0.5
"""A workload begins only if at least this share of the time that the longest so far took is left."""
_TIME_LIMIT = "not run: time limit"
_OUT_OF_MEMORY = (
    "out of memory",
    "resource_exhausted",
    "out_of_memory",
    "can't allocate",
    "resourceexhausted",
    "bad_alloc",
)


class PeerImplementation:
    """A peer as something to time."""

    def __init__(self, peer: Peer, device: Device, *, main_only: bool = False) -> None:
        self.device = device
        self._peer = peer
        self._main_only = main_only
        self._errors: dict[tuple[int, int, bool], float] = {}
        self.largest_error: float = getattr(peer, "largest_error", LARGEST_ERROR)

    def wants(self, workload: Workload) -> bool:
        """Tell whether it takes part in the workload."""
        return workload.is_main or not self._main_only

    def check(self, workload: Workload) -> float:
        """Return the relative error of an update on given noise to the float64 reference, with fewer datapoints."""
        key = (workload.hidden, workload.timesteps, workload.n_trials > 1)
        if key not in self._errors:
            self._errors[key] = update_error(self._peer, workload, n_trials=2 if workload.n_trials > 1 else 1)
        return self._errors[key]

    def start(self, workload: Workload, seed: int = 1) -> Loop:
        """Return the loop that is timed."""
        weights = _glorot(np.random.default_rng(seed), workload, workload.n_trials)
        return self._peer.start(workload, weights, seed=seed)


def _glorot(random: np.random.Generator, workload: Workload, n_trials: int) -> NDArray[np.float32]:
    """Return (n_trials, n_from, n_to) initial weights of freewalk's distribution."""
    n_from, n_to = workload.network.n_from, workload.network.n_to
    bound = np.sqrt(6 / (n_from + n_to))
    return random.uniform(-bound, bound, (n_trials, n_from, n_to)).astype(np.float32)


def update_error(peer: Peer, workload: Workload, *, n_trials: int) -> float:
    """Return the largest relative error over trials of a peer's update, given data and noise."""
    network, batch_size = workload.network, reference_batch(workload)
    random = np.random.default_rng(3)
    x, y = example_data(random, workload, n_trials, batch_size)
    weights = _glorot(random, workload, n_trials)
    noise = random.standard_normal((n_trials, batch_size, network.n_from, network.n_to), dtype=np.float32)
    found = peer.update(workload, weights, x, y, noise)
    sides: Sides = getattr(peer, "sides", "one")
    errors = []
    for k in range(n_trials):
        estimate = reference.gradient_estimate(
            network,
            weights[k].astype(np.float64),
            x[k],
            y[k],
            workload.timesteps,
            noise[k].astype(np.float64),
            workload.stddev,
            sides=sides,
        )
        errors.append(relative_error(found[k], -estimate))
    return max(errors)


@dataclass
class Contest:
    """One workload: who is ready, what they measured, what was wrong with the others."""

    workload: Workload
    loops: dict[str, Loop] = field(default_factory=dict)
    plans: dict[str, Plan] = field(default_factory=dict)
    errors: dict[str, float] = field(default_factory=dict)
    notes: dict[str, str] = field(default_factory=dict)

    def prepare(self, name: str, implementation: Implementation, effort: Effort) -> None:
        """Check an implementation, start and warm it; note why if that fails.

        One whose update is wrong is not timed, but for freewalk's own, which the others are compared with.
        """
        try:
            self.errors[name] = implementation.check(self.workload)
            if not self.errors[name] <= getattr(implementation, "largest_error", LARGEST_ERROR):
                self.notes[name] = f"wrong: relative error {self.errors[name]:.1e} of an update"
                if name != OURS:
                    return
            loop = implementation.start(self.workload)
        except Exception as error:
            self.notes[name] = _reason(error)
            return
        try:
            self.plans[name] = calibrate(loop, effort)
            self.loops[name] = loop
        except Exception as error:
            self.notes[name] = _reason(error)
            _close(loop)

    def measure(self, deadline: Deadline) -> dict[str, list[float]]:
        """Time those that are ready, in turn; return seconds a step of those that did what they should."""
        before = {name: loop.weights() for name, loop in self.loops.items()}
        samples, failures = interleave(self.loops, self.plans, deadline)
        self.notes |= {name: _reason(error) for name, error in failures.items()}
        for name in list(samples):
            try:
                after = self.loops[name].weights()
            except Exception as error:
                self.notes[name] = _reason(error)
                del samples[name]
                continue
            if not np.isfinite(after).all() or np.array_equal(after, before[name]):
                self.notes[name] = "wrong: the weights did not move, or are not finite"
                del samples[name]
        return samples

    def close(self) -> None:
        """Give all memory back."""
        for loop in self.loops.values():
            _close(loop)
        self.loops.clear()


def _close(loop: Loop) -> None:
    with contextlib.suppress(Exception):  # what has failed may fail once more
        loop.close()


def _reason(error: Exception) -> str:
    return "out of memory" if is_out_of_memory(error) else f"failed: {short_error(error)}"


def is_out_of_memory(error: Exception) -> bool:
    """Tell whether an error of whatever library says that memory ran out."""
    text = str(error).lower()
    return isinstance(error, MemoryError) or any(words in text for words in _OUT_OF_MEMORY)


def time_workload(
    workload: Workload,
    implementations: Mapping[str, Implementation],
    effort: Effort,
    deadline: Deadline,
) -> list[TimingRow]:
    """Return a row for each implementation that takes part, in their order; freewalk's own should be the first."""
    contest = Contest(workload)
    names = [name for name, implementation in implementations.items() if implementation.wants(workload)]
    try:
        for name in names:
            if deadline.passed:
                contest.notes[name] = _TIME_LIMIT
            else:
                contest.prepare(name, implementations[name], effort)
        samples = contest.measure(deadline)
        return [_row(contest, name, implementations[name].device, samples) for name in names]
    finally:
        contest.close()


def _row(contest: Contest, name: str, device: Device, samples: Mapping[str, Sequence[float]]) -> TimingRow:
    workload, own = contest.workload, samples.get(name)
    found = None if own is None else spread([1000 * seconds for seconds in own])
    base = samples.get(OURS)
    return TimingRow(
        workload=workload.family,
        implementation=name,
        device=device,
        n_trials=workload.n_trials,
        batch_size=workload.batch_size,
        hidden=workload.hidden,
        timesteps=workload.timesteps,
        unit=UNIT,
        median=None if found is None else found.median,
        q25=None if found is None else found.q25,
        q75=None if found is None else found.q75,
        least=None if found is None else found.least,
        rounds=0 if found is None else found.rounds,
        steps_a_round=contest.plans[name].n_steps if found is not None else 0,
        trial_steps_per_second=None if found is None else 1000 * workload.n_trials / found.median,
        ratio_to_freewalk=None if own is None or base is None else ratio(own, base),
        relative_error=contest.errors.get(name),
        note=contest.notes.get(name, ""),
    )


def time_all(
    workloads: Sequence[Workload],
    implementations: Mapping[str, Implementation],
    effort: Effort,
    deadline: Deadline,
) -> Iterator[TimingRow]:
    """Yield the rows of every workload as soon as it is timed; those for which no time is left say so."""
    longest = 0.0
    for workload in workloads:
        start = deadline.spent
        if deadline.left <= _SHARE_OF_LONGEST * longest or deadline.passed:
            contest = Contest(workload, notes={OURS: _TIME_LIMIT})
            yield _row(contest, OURS, implementations[OURS].device, {})
            continue
        yield from time_workload(workload, implementations, effort, deadline)
        longest = max(longest, deadline.spent - start)
