"""What docs/ says of speed, made from a run: `python -m benchmarks.documentation RUN.json`.

Writes docs/benchmarks/cpu.md and its picture and fills the marked parts of docs/performance.md; the words around them
are written by hand and hold no figures. With --page FILE it writes the page alone, of whatever the run holds.
"""

from __future__ import annotations

import argparse
import csv
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks import roofline
from benchmarks.implementations import IMPLEMENTATIONS, OURS, SIGNS, WORKLOADS
from benchmarks.operations import gpu_floor, live_activations, live_multiply_adds
from benchmarks.runs import Run, Spread, Step, quotient
from benchmarks.test_memory import HUGE, LIMIT
from benchmarks.test_target import TARGET
from freewalk.harness.base.text import counted, significant
from freewalk.harness.bench import spread

DOCS = Path(__file__).resolve().parents[1] / "docs"
PAGE, PICTURE, RAW_RULE = "cpu.md", "roofline.svg", "raw-rule.csv"
_OURS = OURS["cpu"]
_OTHER_STEP = "evosax"
"""It has as many perturbations, but draws half as many and makes half as many passes: not the same step."""
_PEERS = tuple(
    name for name, one in IMPLEMENTATIONS.items() if (one.kind, one.device) == ("peer", "cpu") and name != _OTHER_STEP
)
_ARRAYS = tuple(name for name in _PEERS if name.startswith(("jax", "torch")))
_OF_SIGNS = tuple(name for name in _PEERS if name.endswith(SIGNS))
"""The peers with the estimator of rank 1."""
_SIGNS = f"{_OURS}-{SIGNS}"
_ONE = ("freewalk-1", "generator-1") if "freewalk-1" in IMPLEMENTATIONS else (_OURS, "generator")


class Figure(NamedTuple):
    """A quotient of two implementations' times in the same rounds that the step shall show."""

    words: str
    wanted: float
    at_least: bool
    workload: str
    above: tuple[str, ...]
    """The fastest of these over `below`."""
    below: str


FIGURES = (
    Figure("vectorised NumPy over the step", 20, True, "default", ("numpy",), _OURS),
    Figure("the best of JAX and PyTorch over the step", 12, True, "default", _ARRAYS, _OURS),
    Figure("the same over the step with xoshiro", 12, True, "default", _ARRAYS, f"{_OURS}-gaussian-xoshiro"),
    Figure("the step over its noise alone", 1.5, False, "default", (_OURS,), "generator"),
    Figure("the step over its noise alone, 1 thread", 1.5, False, "default", _ONE[:1], _ONE[1]),
    Figure("NumPy's normals over the generator's, a core", 6, True, "default", ("numpy-normals",), _ONE[1]),
    Figure("the Gaussian step over the Rademacher step", 2, True, "default", (_OURS,), "freewalk-rademacher"),
    Figure("hidden 254: the best peer with the same step over it", 5, True, "hidden 254", _PEERS, _OURS),
    Figure("T 100: the best peer with the same step over it", 5, True, "T 100", _PEERS, _OURS),
)
_AT_RANK_1: Mapping[str, tuple[float | None, float | None, float | None]] = {
    "rank 1": (4, 6, 0.75),
    "hidden 126, rank 1": (8, None, None),
    "hidden 254, rank 1": (13, 3, 0.75),
    "hidden 1,024, rank 1": (15, 1.5, 0.75),
    "T 100, rank 1": (2.5, 5, 0.91),
}
"""What is wanted of the full Gaussian step, the best peer with the estimator and two plain passes over the step of
rank-1 signs."""
FIGURES_AT_RANK_1 = tuple(
    Figure(f"{label}: {words}", wanted, True, label, above, _SIGNS)
    for words, above, place in (
        ("the full Gaussian step over that of signs", ("freewalk-full",), 0),
        ("the best peer with the same estimator over it", _OF_SIGNS, 1),
        ("two plain passes over it", ("inference",), 2),
    )
    for label, all_wanted in _AT_RANK_1.items()
    if (wanted := all_wanted[place]) is not None
)
_DEEP = ("T 100, rank 1", "T 100")
_PRODUCTS_AT_LEAST = 0.6
_RATIO_TO_ORIGINAL = 1e5


def table(headings: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a Markdown table whose columns, but for the last, have an even width: it reads well on a terminal too."""
    cells = [list(headings), *([cell.replace("|", "/") for cell in row] for row in rows)]
    widths = [max(len(row[k]) for row in cells) for k in range(len(headings) - 1)] + [0]
    lines = [
        "| " + " | ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) + " |" for row in cells
    ]
    rule = "|" + "|".join("-" * (width + 2) for width in [*widths[:-1], len(headings[-1])]) + "|"
    return "\n".join([lines[0], rule, *lines[1:]])


def number(value: float | None) -> str:
    """Return a number with few digits, or a dash."""
    return "-" if value is None else significant(value)


def between(found: Spread | None, factor: float = 1.0) -> str:
    """Return quartiles in words."""
    return "" if found is None else f"{number(factor * found[0])} to {number(factor * found[2])}"


def percent(found: Spread | None) -> str:
    """Return a median as a share."""
    return "" if found is None else f"{found[1]:.0%}"


def figure_table(run: Run) -> str:
    """Return what was wanted beside what was found."""
    headings = ("figure", "wanted", "found", "quartiles", "verdict", "how")
    quotients = [_figure(figure, run) for figure in FIGURES + FIGURES_AT_RANK_1]
    return table(headings, [*quotients, _products_of_passes(run), *_memory_figures(run), _original(run)])


def _line(words: str, wanted: float, at_least: bool, found: float | None, quartiles: str, how: str) -> tuple[str, ...]:
    is_met = found is not None and (found >= wanted if at_least else found <= wanted)
    verdict = "not measured" if found is None else "met" if is_met else "missed"
    bound = f"at {'least' if at_least else 'most'} {significant(wanted)}"
    return words, bound, number(found), quartiles, verdict, how


def _figure(figure: Figure, run: Run) -> tuple[str, ...]:
    there = run.samples("cpu", figure.workload)
    above = [there[name] for name in figure.above if name in there]
    if not above or figure.below not in there:
        return _line(*figure[:3], None, "", "")
    best = min(above, key=lambda step: step.median)
    found = quotient(best, there[figure.below])
    assert found is not None
    how = f"{best.name} / {figure.below}, {figure.workload}"
    if figure.above == _PEERS and (other := quotient(there.get(_OTHER_STEP), there[figure.below])):
        how += f"; {_OTHER_STEP}, with half the noise and passes, {other[1]:.3g}"
    return _line(*figure[:3], found[1], between(found), how)


def _products_of_passes(run: Run) -> tuple[str, ...]:
    """Return what share of the processor's rate the products of plain passes reach, without the sigmoids' time."""
    words = "T 100: multiply-adds of plain passes over those in registers, sigmoids counted apart"
    passes_of = [run.samples("cpu", label).get("inference") for label in _DEEP]
    step = passes_of[0] or passes_of[1]
    if step is None or "sigmoids" not in run.rates:
        return _line(words, _PRODUCTS_AT_LEAST, True, None, "", "")
    passes, shape = 2 * step.workload.batch_size, (step.workload.network, step.workload.timesteps)
    apart = passes * live_activations(*shape) / run.rates["sigmoids"]
    least = passes * live_multiply_adds(*shape) / run.rates["multiply-adds"]
    shares = spread([least / (seconds - apart) for seconds in step.seconds])
    how = f"inference, {step.workload.label}, less {1000 * apart:.3g} of {1000 * step.median:.3g} ms for sigmoids"
    return _line(words, _PRODUCTS_AT_LEAST, True, shares[1], between(shares), how)


def _memory_figures(run: Run) -> Iterator[tuple[str, ...]]:
    huge = {row["name"]: row["extra_info"]["bytes"] for row in run.having("bytes") if row["extra_info"]["limit"]}
    ours = huge.pop(_OURS, None)
    how = "peak beyond a tiny step's"
    yield _line(f"MB that a step of B {HUGE:,} takes", LIMIT / 1e6, False, ours and ours / 1e6, "", how)
    ran = float(sum(found is not None for found in huge.values())) if huge else None
    how = f"{sum(found is None for found in huge.values())} of {len(huge)} peers ran out of memory" * bool(huge)
    yield _line(f"peers that take a step of B {HUGE:,} within {LIMIT / 1e6:,.0f} MB", 0, False, ran, "", how)


def raw_rule(docs: Path = DOCS) -> tuple[float, float, int]:
    """Return the median trial's steps and seconds to the target under the original rule, and how many trials ran."""
    with (docs / "benchmarks" / RAW_RULE).open(newline="", encoding="utf-8") as file:
        ways = sorted((float(r["steps_to_target"]), float(r["seconds_to_target"])) for r in csv.DictReader(file))
    return (*ways[(len(ways) - 1) // 2], len(ways))


def _original(run: Run) -> tuple[str, ...]:
    words = f"the original program over the walk, time to a held-out loss of {TARGET:g}"
    ours = next((spread(row["stats"]["data"])[1] for row in run.having("target") if row["name"] == _OURS), None)
    theirs = run.samples("cpu", "default").get("tensorflow")
    if ours is None or theirs is None:
        return _line(words, _RATIO_TO_ORIGINAL, True, None, "", "")
    steps, _, trials = raw_rule()
    how = (
        f"a product, not measured end to end: {steps:,.0f} steps, median of {counted(trials, 'trial')} of the"
        f" original rule on these kernels, times {1000 * theirs.median:.3g} ms a step of TensorFlow in the original's"
        f" form, over {ours:.3g} s"
    )
    return _line(words, _RATIO_TO_ORIGINAL, True, steps * theirs.median / ours, "", how)


_STEP_HEADINGS = (
    *("implementation", "ms a step", "quartiles", "times freewalk", "quartiles", "steps/s", "perturbations/s"),
    *("noise alone", "two passes", "MB", "error", "what"),
)
_EXPLANATION = (
    "A step of 3-30-2, T 4, B 1,000, one trial, stddev 0.01 (0.1 where T is larger), unless the heading says"
    " otherwise; all trials of a workload count together. Medians of rounds that visit each implementation in turn,"
    " each in a process of its own. *times freewalk*: median over rounds of the quotient. *noise alone*: time of"
    " drawing the step's noise and nothing else, as a share of the step's; *two passes*: the same of two forward"
    " passes without noise by the same program, the share of pure inference. *MB*: the largest resident size while it"
    " was timed, beyond that after a tiny step; what JAX's compiler leaves behind blurs it by tens of MB. *error*: of"
    " an update, or of what a floor makes, against the reference; checked before timing. Of rank 1, *times freewalk*"
    " refers to its step with signs; what is called *full* draws a number for every weight all the same, and is"
    " another estimator."
)


def _steps(run: Run) -> Iterator[str]:
    if run.steps:
        yield f"## Timings\n\n{_EXPLANATION}"
    for device, workloads in WORKLOADS.items():
        for label in (workload.label for workload in workloads):
            if there := run.samples(device, label):
                rows = [_step(there[name], there, run) for name in IMPLEMENTATIONS if name in there]
                yield f"### {label}{', GPU' * (device == 'cuda')}\n\n{table(_STEP_HEADINGS, rows)}"


def _step(step: Step, there: Mapping[str, Step], run: Run) -> tuple[str, ...]:
    found, ratio, is_floor = spread(step.seconds), quotient(step, run.base(step)), step.extra["kind"] == "floor"
    steps = None if is_floor else step.workload.n_trials / found[1]
    return (
        step.name,
        number(1000 * found[1]),
        between(found, 1000),
        number(ratio and ratio[1]),
        between(ratio),
        number(steps),
        number(steps and steps * step.workload.batch_size),
        percent(quotient(there.get(step.extra["generator"]), step)),
        percent(quotient(there.get(step.extra["inference"]), step)),
        number((memory := step.extra.get("memory")) and memory / 1e6),
        f"{step.extra['relative_error']:.0e}",
        step.extra["description"],
    )


def _gpu_floors(run: Run) -> Iterator[str]:
    rows = []
    for step in run.steps:
        gpu = run.machine["gpu"]
        if step.name == OURS["cuda"] and gpu and (floor := gpu_floor(step.workload, gpu)):
            share = f"{floor[0] / step.median:.0%}"
            rows.append((step.workload.label, number(1000 * step.median), number(1000 * floor[0]), share, floor[1]))
    if rows:
        text = "The least time that the GPU's instruction rates allow, counted as benchmarks/operations.py says."
        yield f"## Floor\n\n{text}\n\n{table(('workload', 'ms a step', 'floor, ms', 'share', 'bound by'), rows)}"


_TARGET_TEXT = (
    f"Default step, until the loss on 4,000 held-out points is at most {TARGET:g}; looked at every five steps, which is"
    " not counted, nor is compilation. Medians over seeds."
)


def _targets(run: Run) -> Iterator[str]:
    rows = run.having("target")
    ours = next((spread(row["stats"]["data"])[1] for row in rows if row["name"] == _OURS), None)
    lines = []
    for row in rows:
        extra, found = row["extra_info"], spread(row["stats"]["data"])
        counts = str(len(extra["steps"])), number(spread(extra["steps"])[1])
        ratio = number(ours and found[1] / ours)
        lines.append((row["name"], *counts, number(found[1]), between(found), ratio, extra["rule"]))
    if lines:
        headings = ("implementation", "seeds", "steps", "seconds", "quartiles", "times freewalk", "rule")
        yield f"## Time to target\n\n{_TARGET_TEXT}\n\n{table(headings, lines)}"
        steps, seconds, trials = raw_rule()
        yield (
            f"### The original rule\n\nThe original rule, raw, has no learning rate and takes {steps:,.0f} steps to the"
            f" same loss: the median of {counted(trials, 'trial')} that really ran on these kernels ({seconds:,.0f} s"
            " of training, as recorded then, beside other work)."
            " `harness sweep --grid original --seeds 0:5 --out DIR`"
        )


_MEMORY_TEXT = (
    "Growth of a fresh process's largest resident size beyond a step of sixteen datapoints. Where a limit stands, the"
    " process may take so much private memory more."
)


def _memory(run: Run) -> Iterator[str]:
    rows = run.having("bytes")
    if rows:
        yield f"## Memory\n\n{_MEMORY_TEXT}"
    headings = ("implementation", "MB", "bytes a perturbation", "ms a step", "note")
    for group in dict.fromkeys(row["group"] for row in rows):
        lines = [_taken(row) for row in rows if row["group"] == group]
        yield f"### {group.removeprefix('memory of a step: ')}\n\n{table(headings, lines)}"


def _taken(row: Mapping[str, Any]) -> tuple[str, ...]:
    extra, taken = row["extra_info"], row["extra_info"]["bytes"]
    if taken is None:
        return row["name"], "-", "-", "-", extra["note"]
    each = number(taken / extra["batch_size"])
    return row["name"], number(taken / 1e6), each, number(1000 * min(row["stats"]["data"])), ""


def _peaks(run: Run) -> Iterator[str]:
    if run.peaks:
        lines = [
            (peak.quantity, str(peak.threads), number(peak.best / 1e9), number(peak.median / 1e9), peak.how)
            for peak in run.peaks
        ]
        text = "Measured by small kernels that do one thing alone (benchmarks/peak_kernels.py)."
        headings = ("what", "threads", "best, 1e9/s", "median, 1e9/s", "how")
        yield f"## What this processor can do\n\n{text}\n\n{table(headings, lines)}"


def _machine(run: Run) -> str:
    found = run.machine
    packages = {**found["packages"], **found["peers"]}
    said = {
        "processor": f"{found['cpu']['model']}, {found['threads']} threads, {found['memory_gb']} GB",
        "GPU": found["gpu"] and ", ".join(f"{name} {value}" for name, value in found["gpu"].items()),
        "load when it began": f"{found['load_before']:.2f} (average of a minute; 0 is a quiet machine)",
        "versions": ", ".join(f"{name} {version}" for name, version in packages.items() if version),
        "revision": found["git_revision"] or "unknown",
        "command": f"`{found['command']}`",
    }
    return "\n".join(f"- {name}: {value}" for name, value in said.items() if value)


def page(run: Run, *, picture: bool) -> str:
    """Return everything as a page."""
    parts = ["# The step on the processor" if picture else "# The step", _machine(run)]
    if picture:
        parts += [f"## Figures\n\n{figure_table(run)}"]
        parts += [f"![Where each step stands against what the processor can do]({PICTURE})"]
    sections: Sequence[Callable[[Run], Iterator[str]]] = (_steps, _gpu_floors, _targets, _memory, _peaks)
    return "\n\n".join([*parts, *(part for section in sections for part in section(run))]) + "\n"


def _binding_table(run: Run) -> str:
    """Return, for each workload, what of a step is noise, what two passes without noise take, and what binds."""
    lines = []
    for point in roofline.points(run):
        there = run.samples("cpu", point.workload)
        step = there[point.implementation]
        noise, passes = (quotient(there.get(step.extra[name]), step) for name in ("generator", "inference"))
        if step == run.base(step) and noise is not None and passes is not None:
            binds = "noise" if noise[1] >= 0.5 else "the network"
            ms = number(1000 * step.median)
            lines.append((point.workload, number(point.work), ms, percent(noise), percent(passes), binds))
    headings = ("workload", "multiply-adds a number", "ms a step", "noise alone", "two passes alone", "bound by")
    return table(headings, lines)


_RATES: Mapping[str, str] = {
    "peak": "multiply-adds in registers",
    "normals": "normals",
    "signs": "signs",
    "stored": "values written to memory once and read twice",
}


def parts(run: Run) -> dict[str, str]:
    """Return what goes between the marks of docs/performance.md."""
    found, limits = run.machine, roofline.rates(run)
    rates = "; ".join(f"{name} {limits[key] / 1e9:.3g}e9/s" for key, name in _RATES.items())
    free = [_taken(row)[:3] for row in run.having("bytes") if row["extra_info"]["limit"] is None]
    return {
        "machine": f"`{found['command']}` on {found['cpu']['model']}, {found['threads']} threads,"
        f" load {found['load_before']:.1f} when it began.",
        "rates": f"On {max(peak.threads for peak in run.peaks)} threads: {rates}.",
        "figures": figure_table(run),
        "binding": _binding_table(run),
        "memory": table(("implementation", "bytes a perturbation", "MB"), [(a, c, b) for a, b, c in free]),
    }


def filled(text: str, given: Mapping[str, str]) -> str:
    """Return a page with its marked parts replaced; ValueError if a part has no marks in it."""
    for name, part in given.items():
        begin, end = f"<!-- {name}: made by the command above -->", f"<!-- end of {name} -->"
        if text.count(begin) != 1 or text.count(end) != 1:
            raise ValueError(f"the page needs {begin} and {end}, once each")
        before, rest = text.split(begin)
        text = f"{before}{begin}\n{part}\n{end}{rest.split(end)[1]}"
    return text


def main(arguments: Sequence[str] | None = None, docs: Path = DOCS) -> int:
    """Write what the arguments ask for; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", nargs="+", type=Path, metavar="RUN.json", help="of --benchmark-json")
    parser.add_argument("--page", type=Path, metavar="FILE", help="write the page alone, and there")
    given = parser.parse_args(arguments)
    try:
        run = Run(given.runs)
        if given.page is not None:
            given.page.write_text(page(run, picture=False), encoding="utf-8")
            return 0
        if not run.steps or not run.peaks:
            raise ValueError("the run holds no steps or no peaks; give that of pytest benchmarks --benchmark-only")
        performance = docs / "performance.md"
        text = filled(performance.read_text(encoding="utf-8"), parts(run))
        roofline.write(docs / "benchmarks" / PICTURE, run)
        (docs / "benchmarks" / PAGE).write_text(page(run, picture=True), encoding="utf-8")
        performance.write_text(text, encoding="utf-8")
    except ValueError as error:
        sys.stderr.write(f"error: {error}\n")
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
