"""freewalk's own ways to take the step: on the CPU, on a GPU, by the reference; trials alone or sharing noise."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.peers.peer import InferringPeer, Peer, losses_error, relative_error, update_error
from freewalk.harness.bench import PROBLEM, SEED, Loop, Steps, Workload, first_weights, walk_steps
from freewalk.kernels.backend import resolve_backend
from freewalk.kernels.machine.threads import limited_threads, usable_threads
from freewalk.kernels.model.noise import DEFAULT_NOISE, Kind
from freewalk.kernels.model.pack import PackTrial
from freewalk.kernels.model.walk import Sides
from freewalk.kernels.trainers.reference_walk import ReferenceWalk

LARGEST_ERROR = 1e-4
"""Of an update, relative, before it is timed: float32 gives up to 1e-5, TF32 products more than this."""
_NORMALS_OF_THE_REFERENCE = 2_000_000


def small(workload: Workload) -> Workload:
    """Return the workload with no more datapoints than the float64 reference can take at once, at least 2."""
    most = max(2, _NORMALS_OF_THE_REFERENCE // workload.network.n_weights)
    return replace(workload, batch_size=min(workload.batch_size, most))


def first_update(loop: Loop) -> NDArray[np.floating]:
    """Return what the first step adds to the weights of all trials; close the loop."""
    before = loop.weights()
    loop.measure(1)
    update = loop.weights() - before
    loop.close()
    return update


@dataclass(frozen=True)
class FromPeer:
    """A peer's step as something to check and to time."""

    peer: Peer

    @property
    def largest_error(self) -> float:
        """What the error of an update may be."""
        return float(getattr(self.peer, "largest_error", LARGEST_ERROR))

    def check(self, workload: Workload) -> float:
        """Return the relative error of an update on given noise to the float64 reference's, with fewer datapoints."""
        some = replace(small(workload), n_trials=min(2, workload.n_trials))
        return update_error(self.peer, some, first_weights(some, 3))

    def start(self, workload: Workload, seed: int = 1) -> Loop:
        """Return the loop that is timed."""
        return self.peer.start(workload, first_weights(workload, seed), seed)


@dataclass(frozen=True)
class PeersPasses:
    """Two plain forward passes of a peer, as something to check and to time."""

    peer: InferringPeer
    largest_error: float = LARGEST_ERROR

    def check(self, workload: Workload) -> float:
        """Return the relative error of the losses of given data, with fewer datapoints."""
        return losses_error(self.peer, small(workload), first_weights(workload, 3))

    def start(self, workload: Workload, seed: int = 1) -> Loop:
        """Return the loop that is timed."""
        return self.peer.infer(workload, first_weights(workload, seed), seed)


@dataclass(frozen=True)
class OfFullRank:
    """What takes the step of a workload of low rank with full perturbations instead."""

    competitor: FromPeer | Own

    @property
    def largest_error(self) -> float:
        """What the error of an update may be."""
        return self.competitor.largest_error

    def check(self, workload: Workload) -> float:
        """Return the relative error of an update."""
        return self.competitor.check(replace(workload, rank=None))

    def start(self, workload: Workload) -> Loop:
        """Return the loop that is timed."""
        return self.competitor.start(replace(workload, rank=None))


@dataclass(frozen=True)
class Own:
    """One trial on a backend, or many of seeds of their own on a GPU."""

    backend: str
    threads: int | None = None
    noise: Kind = DEFAULT_NOISE
    sides: Sides = "one"
    always_batch: bool = False
    """Whether a single trial gets a block of the GPU alone, as it does among many."""
    largest_error: float = LARGEST_ERROR

    def start(self, workload: Workload, seed: int = SEED) -> Loop:
        """Return the loop that is timed."""
        with limited_threads(self.threads):
            backend = resolve_backend(self.backend)
            if workload.n_trials == 1 and not self.always_batch:
                return walk_steps(workload, backend, noise=self.noise, sides=self.sides, seed=seed)
        trials = [PackTrial(workload.configuration, seed + k) for k in range(workload.n_trials)]
        batch = backend.make_pack(workload.network, PROBLEM.data(), trials, evaluation_points=1)
        return Steps(batch.train, lambda: [batch.weights(k) for k in range(workload.n_trials)])

    def check(self, workload: Workload) -> float:
        """Return the relative error of the first update of the first and the last trial, with fewer datapoints.

        Judged by the reference; the reference itself by the CPU's kernels.
        """
        some = small(workload)
        found = first_update(self.start(some))
        judge = Own("cpu" if self.backend == "reference" else "reference", noise=self.noise, sides=self.sides)
        return max(
            relative_error(found[k], first_update(judge.start(replace(some, n_trials=1), SEED + k))[0])
            for k in {0, workload.n_trials - 1}
        )


def shared_trials(workload: Workload) -> list[PackTrial]:
    """Return trials of one seed whose stddevs lie evenly between 0.5 and 1.5 times the workload's."""
    stddevs = workload.stddev * (0.5 + np.arange(workload.n_trials) / workload.n_trials)
    return [PackTrial(replace(workload.configuration, stddev=float(stddev)), SEED) for stddev in stddevs]


@dataclass(frozen=True)
class OfOneSeed:
    """Trials of one seed: each on a thread with noise of its own, or in batches, a thread each, that draw it once."""

    shares: bool
    largest_error: float = LARGEST_ERROR

    def start(self, workload: Workload) -> Loop:
        """Return the loop that is timed."""
        backend, trials, threads = resolve_backend("cpu"), shared_trials(workload), usable_threads()
        network, data = workload.network, PROBLEM.data()
        trainers: list[Any]
        make_walk = partial(backend.make_walk, seed=SEED, evaluation_points=1)
        if self.shares:
            n = max(min(threads, len(trials)), -(-len(trials) // backend.most_sharing_noise))
            trainers = [backend.make_pack(network, data, trials[k::n], evaluation_points=1) for k in range(n)]
        else:
            trainers = [make_walk(network, trial.configuration, data) for trial in trials]

        def weights() -> list[NDArray[np.float64]]:
            if not self.shares:
                return [walk.weights for walk in trainers]
            return [trainers[k % len(trainers)].weights(k // len(trainers)) for k in range(len(trials))]

        pool = ThreadPoolExecutor(threads)
        return Steps(
            lambda n_steps: list(pool.map(lambda one: one.train(n_steps), trainers)), weights, close=pool.shutdown
        )

    def check(self, workload: Workload) -> float:
        """Return the error of the last trial's first update against the reference, or of all against those alone: 0."""
        some = small(workload)
        found = first_update(self.start(some))
        if self.shares:
            alone = first_update(OfOneSeed(shares=False).start(some))
            return max(map(relative_error, found, alone))
        configuration = shared_trials(some)[-1].configuration
        judge = ReferenceWalk(some.network, configuration, PROBLEM.data(), seed=SEED, evaluation_points=1)
        return relative_error(found[-1], first_update(Steps(judge.train, lambda: judge.weights)))
