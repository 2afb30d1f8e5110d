"""The one table of implementations on the processor: tests, pytest-benchmark and `harness bench` go through it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

from freewalk.harness.bench.contest import PeerImplementation
from freewalk.harness.bench.cpu.floors import Generator, Inference, NumpyNormals
from freewalk.harness.bench.cpu.own import Alone, OnCpu, OnReference, SharedNoise
from freewalk.harness.bench.peers.peer import Unavailable
from freewalk.harness.bench.peers.table import PEERS
from freewalk.harness.bench.rounds import Implementation
from freewalk.harness.bench.workloads import Workload
from freewalk.kernels.machine.threads import usable_threads
from freewalk.kernels.model.noise import Noise
from freewalk.kernels.model.walk import Sides

Kind = Literal["own", "floor", "peer"]
OURS = "freewalk"
YARDSTICK = "numpy"
"""Timed in the same rounds wherever memory allows: not our code, so that it tells how fast the machine was."""
_BYTES_OF_A_WEIGHT = 4
_MOST_REFERENCE_NORMALS = 4_000_000


@dataclass(frozen=True)
class Entry:
    """One implementation."""

    make: Callable[[], Implementation]
    """Raises Unavailable where it cannot run."""
    kind: Kind
    description: str
    package: str = "freewalk"
    """Name of the distribution, for its version."""
    everywhere: bool = False
    """Whether it takes part in all workloads of one trial, or in the default one alone."""
    generator: str | None = None
    """The floor whose noise it draws."""
    noise_copies: float = 0
    """How many arrays of all the noise of a step it holds at once, about; 0: none."""
    together: bool = False
    """Whether it is for workloads of many trials."""

    def bytes_needed(self, workload: Workload) -> float:
        """Return about how much memory a step takes."""
        normals = workload.n_trials * workload.batch_size * workload.network.n_weights
        return self.noise_copies * normals * _BYTES_OF_A_WEIGHT

    def wants(self, workload: Workload) -> bool:
        """Tell whether it takes part in a workload."""
        if self.together or workload.n_trials > 1:
            return self.together and workload.n_trials > 1
        return self.everywhere or workload.family == "default"


def _own(threads: int, noise: Noise = "gaussian", sides: Sides = "one", *, everywhere: bool = False) -> Entry:
    words = [f"{threads} thread{'s' * (threads > 1)}"]
    words += ["signs in place of normals"] * (noise == "rademacher") + ["antithetic pairs"] * (sides == "two")
    return Entry(
        lambda: OnCpu(threads, noise, sides),
        "own",
        "this program, " + ", ".join(words),
        everywhere=everywhere,
        generator=_name("generator", threads, noise),
    )


def _name(base: str, threads: int, noise: Noise = "gaussian", sides: Sides = "one") -> str:
    many = usable_threads()
    parts = [base, "1" * (threads == 1 and many > 1), "rademacher" * (noise == "rademacher"), "two" * (sides == "two")]
    return "-".join(filter(None, parts))


def _all_own() -> dict[str, Entry]:
    """Return every noise, side and number of threads; what is plain Gaussian and one-sided runs everywhere."""
    entries = {}
    kinds: tuple[Noise, ...] = ("gaussian", "rademacher")
    sides: tuple[Sides, ...] = ("one", "two")
    for threads in dict.fromkeys((usable_threads(), 1)):
        for noise in kinds:
            for side in sides:
                everywhere = side == "one" and (noise == "gaussian" or threads > 1)
                entries[_name(OURS, threads, noise, side)] = _own(threads, noise, side, everywhere=everywhere)
    return entries


def _floors() -> dict[str, Entry]:
    entries = {}
    kinds: tuple[Noise, ...] = ("gaussian", "rademacher")
    for threads in dict.fromkeys((usable_threads(), 1)):
        for noise in kinds:
            what = f"the noise of a step alone{', signs' * (noise == 'rademacher')}"
            entries[_name("generator", threads, noise)] = Entry(
                lambda threads=threads, noise=noise: Generator(threads, noise),  # type: ignore[misc]
                "floor",
                f"{what}, {threads} thread{'s' * (threads > 1)}",
                everywhere=noise == "gaussian" or threads > 1,
            )
        entries[_name("inference", threads)] = Entry(
            lambda threads=threads: Inference(threads),  # type: ignore[misc]
            "floor",
            f"two forward passes without noise, {threads} thread{'s' * (threads > 1)}",
            everywhere=True,
        )
    normals = Entry(NumpyNormals, "floor", "as many float32 normals by NumPy's fastest generator, 1 thread", "numpy")
    return entries | {"numpy-normals": normals}


_PEER_COPIES: Mapping[str, float] = {
    "numpy": 1.5,
    "jax": 7,
    "jax-rbg": 7,
    "torch": 2,
    "torch-func": 3,
    "torch-compile": 2.5,
    "evosax": 4,
    "tensorflow": 4,
}
"""Arrays as large as the noise of a step, rounded up from what the suite's section on memory measures."""


def _peer(name: str) -> Entry:
    entry = PEERS[name]
    return Entry(
        lambda: PeerImplementation(entry.make("cpu"), "cpu"),
        "peer",
        entry.description,
        entry.package,
        everywhere=not entry.main_only,
        noise_copies=_PEER_COPIES[name],
    )


IMPLEMENTATIONS: Mapping[str, Entry] = {
    **_all_own(),
    **_floors(),
    **{name: _peer(name) for name in _PEER_COPIES},
    "reference": Entry(OnReference, "own", "this program's NumPy float64 reference on the same noise", noise_copies=16),
    "freewalk-alone": Entry(Alone, "own", "this program, trials of one seed, each drawing its noise", together=True),
    "freewalk-shared": Entry(SharedNoise, "own", "the same trials in batches that draw it once", together=True),
}


def make(name: str) -> Implementation:
    """Return an implementation.

    Raises
    ------
    Unavailable
        It cannot run here.
    """
    return IMPLEMENTATIONS[name].make()


def why_left_out(name: str, workload: Workload, free_bytes: float) -> str | None:
    """Return why an implementation cannot take a workload on, in a few words; None if it can."""
    entry = IMPLEMENTATIONS[name]
    needed = entry.bytes_needed(workload)
    if needed > free_bytes:
        return f"left out: needs about {needed / 1e9:.1f} GB, {free_bytes / 1e9:.1f} GB are free"
    if name == "reference" and workload.batch_size * workload.network.n_weights > _MOST_REFERENCE_NORMALS:
        return "left out: too slow"
    return None


__all__ = ["IMPLEMENTATIONS", "OURS", "YARDSTICK", "Entry", "Unavailable", "make", "why_left_out"]
