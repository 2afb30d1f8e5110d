"""What the suite cpu times: workloads in order of what they tell, who takes part, for how long."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from freewalk.harness.bench.cpu.table import IMPLEMENTATIONS, OURS, YARDSTICK
from freewalk.harness.bench.rounds import Effort
from freewalk.harness.bench.workloads import DEFAULT, Workload

SECTIONS = ("peaks", "timings", "memory", "target")
TOGETHER = Workload("together", n_trials=16)
LARGE_BATCH, HUGE_BATCH = 100_000, 1_000_000
MEMORY_LIMIT = 1_000_000_000
"""Bytes: what the step of the huge batch is given."""
TARGET = 1e-3
TARGET_WORKLOAD = Workload("default", update="momentum")
_DEEP_STDDEV = 0.1
"""Of deep networks, whose inputs grow with the timestep: at 0.01 some outputs are so saturated that nothing moves."""
_REST = 0.15
"""Idle threads of OpenMP and BLAS wait busily; without a rest a step on all cores took up to twice as long."""
_QUICK = (OURS, "freewalk-1", "freewalk-rademacher", "generator", "generator-1", "inference", "numpy-normals")
_QUICK_PEERS = (YARDSTICK, "torch", "jax")


@dataclass(frozen=True)
class Extent:
    """How much of everything is done."""

    workloads: tuple[Workload, ...]
    names: tuple[str, ...]
    """Implementations that take part in the timings, if they want to."""
    effort: Effort
    memory_names: tuple[str, ...]
    target_names: tuple[str, ...]
    target_seeds: int
    sections: tuple[str, ...] = SECTIONS


def peers() -> list[str]:
    """Return the names of all peers."""
    return [name for name, entry in IMPLEMENTATIONS.items() if entry.kind == "peer"]


def full() -> Extent:
    """Return everything, about ten minutes."""
    everywhere = [name for name in peers() if IMPLEMENTATIONS[name].everywhere]
    return Extent(
        workloads=(
            DEFAULT,
            Workload("hidden", hidden=254),
            Workload("timesteps", timesteps=100, stddev=_DEEP_STDDEV),
            TOGETHER,
            Workload("batch", batch_size=LARGE_BATCH),
            Workload("hidden", hidden=126),
            Workload("timesteps", timesteps=20, stddev=_DEEP_STDDEV),
            Workload("batch", batch_size=10_000),
        ),
        names=tuple(IMPLEMENTATIONS),
        effort=Effort(seconds=0.08, rounds=11, most_seconds=2.5, rest=_REST),
        memory_names=(OURS, *everywhere),
        target_names=(OURS, *everywhere),
        target_seeds=5,
    )


def quick() -> Extent:
    """Return the default step beside the peers that are quickest to load, in less than a minute."""
    names = tuple(name for name in (*_QUICK, *_QUICK_PEERS) if name in IMPLEMENTATIONS)
    return Extent(
        workloads=(DEFAULT,),
        names=names,
        effort=Effort(seconds=0.03, rounds=7, most_seconds=0.6, rest=_REST),
        memory_names=(),
        target_names=(OURS,),
        target_seeds=3,
        sections=("timings", "target"),
    )


def label(workload: Workload) -> str:
    """Return a workload in a few words, by what departs from the default."""
    parts = {"hidden": workload.hidden, "T": workload.timesteps, "B": workload.batch_size, "trials": workload.n_trials}
    default = {"hidden": DEFAULT.hidden, "T": DEFAULT.timesteps, "B": DEFAULT.batch_size, "trials": DEFAULT.n_trials}
    return ", ".join(f"{name} {value:,}" for name, value in parts.items() if value != default[name]) or "default"


def steps_a_round(workload: Workload) -> int:
    """Return steps that every implementation can take at once: few where there are many normals a step."""
    return max(1, min(10, int(1e8 / (workload.n_trials * workload.batch_size * workload.network.n_weights))))


def taking_part(workload: Workload, names: Sequence[str]) -> list[str]:
    """Return who takes part in a workload, freewalk's own first."""
    return [name for name in names if IMPLEMENTATIONS[name].wants(workload)]
