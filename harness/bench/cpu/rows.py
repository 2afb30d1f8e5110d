"""The rows of the suite cpu's tables."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class TimingRow:
    """One implementation at one workload; a step is one of all its trials."""

    workload: str
    implementation: str
    kind: str
    """own, floor or peer."""
    hidden: int
    timesteps: int
    batch_size: int
    n_trials: int
    unit: str
    median: float | None
    q25: float | None
    q75: float | None
    least: float | None
    rounds: int
    steps_a_round: int
    steps_per_second: float | None
    """Of all trials together."""
    perturbations_per_second: float | None
    ratio: float | None
    """How many times longer than freewalk's, the median over rounds; likewise its quartiles."""
    ratio_q25: float | None
    ratio_q75: float | None
    share_of_generator: float | None
    """Time of its noise alone over its own."""
    share_of_inference: float | None
    """Time of two forward passes without noise over its own."""
    relative_error: float | None
    note: str = ""


@dataclass(frozen=True)
class SampleRow:
    """One measurement."""

    workload: str
    implementation: str
    round: int
    seconds_a_step: float


@dataclass(frozen=True)
class MemoryRow:
    """Memory that a step needs beyond a tiny one's; measured as the process's largest resident size."""

    implementation: str
    batch_size: int
    limit_mb: float | None
    """Private memory that the process was allowed to take more; None: any."""
    growth_mb: float | None
    bytes_a_perturbation: float | None
    ms_a_step: float | None
    note: str = ""


@dataclass(frozen=True)
class TargetRow:
    """Time until the held-out loss is reached, the looking not counted; over seeds."""

    implementation: str
    rule: str
    target: float
    seeds: int
    reached: int
    steps: float | None
    """Median over seeds, likewise the seconds."""
    seconds: float | None
    seconds_q25: float | None
    seconds_q75: float | None
    ratio: float | None
    """Of seconds to freewalk's."""
    note: str = ""


@dataclass(frozen=True)
class FigureRow:
    """One figure that the suite shall show, and whether this run does."""

    figure: str
    wanted: float
    direction: str
    """at least, or at most."""
    found: float | None
    low: float | None
    """Quartiles over rounds, where there are rounds."""
    high: float | None
    verdict: str
    """met, missed or not measured."""
    how: str
