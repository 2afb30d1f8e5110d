"""The roofline of the walk: multiply-adds a second over the network's work a random number.

Noise takes the place that memory traffic has in Williams, Waterman and Patterson's roofline (CACM 52(4), 2009): a full
perturbation needs a number for each weight, one of rank 1 for each row and column. With w multiply-adds of the network
for each number (two passes, dead work left out), a generator of g a second allows g * w multiply-adds a second, the
processor's units allow p. Both use the same units, so that a step that does one after the other reaches
1 / (1 / (g w) + 1 / p).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure

from benchmarks.implementations import OURS as OURS_OF
from benchmarks.implementations import SIGNS
from benchmarks.operations import live_multiply_adds
from benchmarks.runs import Run
from freewalk.results.report.palette import LIGHT

OURS = OURS_OF["cpu"]
_INK, _GREY, _FAINT, _COLOURS = LIGHT.ink, LIGHT.muted, LIGHT.faint, LIGHT.series
_OWN = {
    (OURS, None): (_COLOURS[1], "o", "this program, normals"),
    (f"{OURS}-{SIGNS}", None): (_COLOURS[2], "^", "this program, signs"),
    (f"{OURS}-{SIGNS}", 1): (_COLOURS[2], "p", "this program, rank-1 signs"),
}
_PEERS = {
    ("numpy", None): (_COLOURS[0], "s", "numpy"),
    ("jax", None): (_COLOURS[3], "D", "jax"),
    ("torch", None): (_COLOURS[4], "v", "torch"),
    ("torch-func", None): (_COLOURS[4], "<", "torch-func"),
    ("evosax", None): (_COLOURS[5], ">", "evosax"),
    ("tensorflow", None): (_GREY, "X", "tensorflow"),
    (f"numpy-{SIGNS}", 1): (_COLOURS[0], "+", "numpy, rank-1 signs"),
    (f"jax-{SIGNS}", 1): (_COLOURS[3], "x", "jax, rank-1 signs"),
    (f"torch-{SIGNS}", 1): (_COLOURS[4], "1", "torch, rank-1 signs"),
    ("evox", 1): (_COLOURS[5], "2", "evox, rank-1 normals"),
}
"""Colour, marker and words by name and rank."""
_NAMED: dict[tuple[str, int | None], dict[str, Any]] = {
    (OURS, None): {"xytext": (9, -2)},
    (f"{OURS}-{SIGNS}", 1): {"xytext": (0, -9), "ha": "center", "rotation": 90},
}
"""Whose points bear the workload's name, and where."""
_NORMAL_BYTES, _READS = 4, 2
_LEFT, _RIGHT, _CLOSE = 1.2, 250_000.0, 1.2
_METADATA = {"Date": None, "Creator": "freewalk"}


@dataclass(frozen=True)
class Point:
    """One implementation at one workload."""

    workload: str
    implementation: str
    rank: int | None
    work: float
    """Multiply-adds of the network a random number."""
    rate: float
    """Multiply-adds a second."""


def points(run: Run) -> list[Point]:
    """Return the steps of one trial on the CPU as points."""
    found = []
    for step in run.steps:
        workload = step.workload
        if step.device != "cpu" or workload.n_trials > 1 or (step.name, workload.rank) not in _OWN | _PEERS:
            continue
        passes = 1 if step.name == "evosax" else 2
        live = live_multiply_adds(workload.network, workload.timesteps)
        rate = passes * workload.batch_size * live / step.median
        found.append(Point(workload.label, step.name, workload.rank, 2 * live / workload.numbers, rate))
    return found


def rates(run: Run) -> dict[str, float]:
    """Return the best rates of all threads: peak, normals, signs, and normals that pass through memory."""
    best = run.rates
    seconds = _NORMAL_BYTES / best["memory written, bytes"] + _READS * _NORMAL_BYTES / best["memory read, bytes"]
    return {
        "peak": best["multiply-adds"],
        "normals": best["normals"],
        "signs": best["signs"],
        "stored": 1 / seconds,
    }


def draw(run: Run) -> Figure:
    """Return the picture."""
    found, limits = points(run), rates(run)
    figure = Figure(figsize=(9, 5.6), facecolor="white")
    axes = figure.add_axes((0.085, 0.11, 0.62, 0.80))
    work = np.geomspace(_LEFT, _RIGHT, 200)
    peak, lowest = limits["peak"] / 1e9, min(point.rate for point in found) / 2e9
    axes.set(xscale="log", yscale="log", xlim=(_LEFT, _RIGHT), ylim=(lowest, peak * 2))
    axes.axhline(peak, color=_INK, linewidth=1.6)
    axes.text(
        _RIGHT * 0.98, peak * 1.07, f"multiply-adds in registers, {peak:.0f} G/s", ha="right", color=_INK, fontsize=9
    )
    for name, style, words in (
        ("signs", "-", "signs"),
        ("normals", "-", "normals"),
        ("stored", "--", "noise written to memory, read twice"),
    ):
        rate = limits[name] / 1e9
        axes.plot(work, np.minimum(rate * work, peak), color=_GREY, linewidth=1, linestyle=style)
        axes.plot(work, 1 / (1 / (rate * work) + 1 / peak), color=_GREY, linewidth=1, linestyle=":")
        _along(axes, words, rate, peak, lowest)
    _scatter(axes, found)
    axes.set_xlabel("multiply-adds of the network for each random number (two passes)", color=_INK)
    axes.set_ylabel("multiply-adds of the network, 1e9 a second", color=_INK)
    axes.grid(which="major", color=_FAINT, linewidth=0.6)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    axes.set_title("What binds a step of the walk", loc="left", color=_INK, fontsize=12)
    handles, labels = axes.get_legend_handles_labels()
    figure.legend(handles, labels, loc="upper left", bbox_to_anchor=(0.715, 0.91), frameon=False, fontsize=9)
    return figure


def _along(axes: Any, words: str, rate: float, peak: float, lowest: float) -> None:
    """Write along a slanted roof, near its left end."""
    at = max(_LEFT * 1.1, 1.3 * lowest / rate)
    axes.text(
        at,
        min(rate * at, peak) * 1.1,
        f"{words}, {rate:.2g} G/s" if rate < 10 else f"{words}, {rate:.0f} G/s",
        rotation=float(np.degrees(np.arctan(1.1 * rate))),  # of y = 1.1 * rate * x, in units of the data
        rotation_mode="anchor",
        transform_rotates_text=True,
        color=_GREY,
        fontsize=8.5,
    )


def _scatter(axes: Any, found: Sequence[Point]) -> None:
    for key, (color, marker, words) in (_PEERS | _OWN).items():
        some = [point for point in found if (point.implementation, point.rank) == key]
        if some:
            xy = ([p.work for p in some], [p.rate / 1e9 for p in some])
            look: dict[str, Any] = {"s": 30, "alpha": 0.9, "linewidths": 0 if key[1] is None else 1.2}
            if key in _OWN:
                look = {"s": 58, "zorder": 3, "edgecolors": "white"}
            axes.scatter(*xy, color=color, marker=marker, label=words, **look)
    for key, place in _NAMED.items():
        for group in _neighbours([point for point in found if (point.implementation, point.rank) == key]):
            axes.annotate(
                "\n".join(map(_name, group)),
                (max(point.work for point in group), float(np.median([point.rate for point in group])) / 1e9),
                textcoords="offset points",
                va="top",
                fontsize=8,
                color=_INK,
                **place,
            )


def _name(point: Point) -> str:
    """Return a workload's name; of rank 1 only the main ones have room for it."""
    parts = [part for part in point.workload.split(", ") if part != "rank 1"]
    return "" if len(parts) > 1 and point.rank else ", ".join(parts) or "default"


def _neighbours(found: Sequence[Point]) -> list[list[Point]]:
    """Return points in groups that lie so close to each other that they need one label."""
    groups: list[list[Point]] = []
    for point in sorted(found, key=lambda point: point.work):
        if groups and point.work < groups[-1][-1].work * _CLOSE:
            groups[-1].append(point)
        else:
            groups.append([point])
    return groups


def write(path: Path, run: Run) -> None:
    """Write the picture: the same bytes for the same run."""
    with mpl.rc_context({"svg.hashsalt": "freewalk", "svg.fonttype": "path"}):
        figure = draw(run)
        FigureCanvasSVG(figure)
        figure.savefig(
            path, format=path.suffix.removeprefix("."), metadata=_METADATA if path.suffix == ".svg" else None
        )
