"""The figures that the suite shall show, each from one run: what is wanted, what this run finds."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from freewalk.harness.base.text import counted
from freewalk.harness.bench.cpu.plan import HUGE_BATCH, TARGET
from freewalk.harness.bench.cpu.raw_rule import RawRun
from freewalk.harness.bench.cpu.rows import FigureRow, MemoryRow, TargetRow
from freewalk.harness.bench.cpu.table import IMPLEMENTATIONS, OURS
from freewalk.harness.bench.cpu.timings import quotients

Samples = Mapping[str, Mapping[str, Sequence[float]]]
"""Seconds a step by workload and implementation."""
_JAX_AND_TORCH = tuple(name for name in IMPLEMENTATIONS if name.startswith(("jax", "torch")))
_OTHER_STEP = "evosax"
"""It has as many perturbations, but draws half as many and makes half as many passes: not the same step."""
_PEERS = tuple(name for name, entry in IMPLEMENTATIONS.items() if entry.kind == "peer" and name != _OTHER_STEP)
_ONE = "freewalk-1" if "freewalk-1" in IMPLEMENTATIONS else OURS
_GENERATOR_ONE = "generator-1" if "generator-1" in IMPLEMENTATIONS else "generator"


@dataclass(frozen=True)
class _Ratio:
    """A quotient of two implementations' times in the same rounds."""

    figure: str
    wanted: float
    at_least: bool
    workload: str
    above: tuple[str, ...]
    """The fastest of these over `below`."""
    below: str


_RATIOS = (
    _Ratio("vectorised NumPy over the step", 20, True, "default", ("numpy",), OURS),
    _Ratio("the best of JAX and PyTorch over the step", 12, True, "default", _JAX_AND_TORCH, OURS),
    _Ratio("the step over its noise alone", 1.5, False, "default", (OURS,), "generator"),
    _Ratio("the step over its noise alone, 1 thread", 1.5, False, "default", (_ONE,), _GENERATOR_ONE),
    _Ratio("NumPy's normals over the generator's, a core", 6, True, "default", ("numpy-normals",), _GENERATOR_ONE),
    _Ratio("the Gaussian step over the Rademacher step", 2, True, "default", (OURS,), "freewalk-rademacher"),
    _Ratio("hidden 254: the best peer with the same step over it", 5, True, "hidden 254", _PEERS, OURS),
    _Ratio("T 100: the best peer with the same step over it", 5, True, "T 100", _PEERS, OURS),
)
RATIO_TO_ORIGINAL = 1e5
MOST_HUGE_MB = 1000.0


def figures(
    samples: Samples, memory: Sequence[MemoryRow], targets: Sequence[TargetRow], raw: RawRun | None
) -> list[FigureRow]:
    """Return all figures, those that this run has not measured too."""
    return [
        *(_ratio_row(ratio, samples) for ratio in _RATIOS),
        *_memory_rows(memory),
        *_target_rows(samples, targets, raw),
    ]


def _row(
    figure: str,
    wanted: float,
    at_least: bool,
    found: float | None,
    how: str,
    low: float | None = None,
    high: float | None = None,
) -> FigureRow:
    if found is None:
        verdict = "not measured"
    else:
        verdict = "met" if (found >= wanted if at_least else found <= wanted) else "missed"
    return FigureRow(figure, wanted, "at least" if at_least else "at most", found, low, high, verdict, how)


def _ratio_row(ratio: _Ratio, samples: Samples) -> FigureRow:
    there = samples.get(ratio.workload, {})
    above = [name for name in ratio.above if name in there]
    if not above or ratio.below not in there:
        return _row(ratio.figure, ratio.wanted, ratio.at_least, None, "")
    best = min(above, key=lambda name: float(np.median(there[name])))
    low, found, high = np.quantile(quotients(there[best], there[ratio.below]), [0.25, 0.5, 0.75])
    how = f"{best} / {ratio.below}, {ratio.workload}"
    if ratio.above == _PEERS and _OTHER_STEP in there:
        other = float(np.median(quotients(there[_OTHER_STEP], there[ratio.below])))
        how += f"; {_OTHER_STEP}, with half the noise and passes, {other:.3g}"
    return _row(ratio.figure, ratio.wanted, ratio.at_least, float(found), how, float(low), float(high))


def _memory_rows(memory: Sequence[MemoryRow]) -> Iterator[FigureRow]:
    huge = {row.implementation: row for row in memory if row.batch_size == HUGE_BATCH}
    ours = huge.get(OURS)
    growth = None if ours is None else ours.growth_mb
    yield _row(f"MB that a step of B {HUGE_BATCH:,} takes", MOST_HUGE_MB, False, growth, "peak beyond a tiny step's")
    others = [row for name, row in huge.items() if name != OURS]
    ran = [row.implementation for row in others if row.growth_mb is not None]
    failed = [row for row in others if row.note == "out of memory"]
    tried = len(ran) + len(failed)
    how = f"{len(failed)} of {tried} peers ran out of memory"
    yield _row(
        f"peers that take a step of B {HUGE_BATCH:,} within {MOST_HUGE_MB:,.0f} MB",
        0,
        False,
        float(len(ran)) if tried else None,
        how if tried else "",
    )


def _target_rows(samples: Samples, targets: Sequence[TargetRow], raw: RawRun | None) -> Iterator[FigureRow]:
    figure = f"the original program over the walk, time to a held-out loss of {TARGET:g}"
    ours = next((row.seconds for row in targets if row.implementation == OURS), None)
    times = samples.get("default", {})
    if raw is None or ours is None or "tensorflow" not in times:
        yield _row(figure, RATIO_TO_ORIGINAL, True, None, "")
        return
    seconds = float(np.median(times["tensorflow"]))
    how = (
        f"a product, not measured end to end: {raw.steps:,.0f} steps, median of {counted(raw.trials, 'trial')} of the"
        f" original rule on these kernels, times {1000 * seconds:.3g} ms a step of TensorFlow in the original's form,"
        f" over {ours:.3g} s"
    )
    yield _row(figure, RATIO_TO_ORIGINAL, True, raw.steps * seconds / ours, how)
