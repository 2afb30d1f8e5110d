"""The suite's rows as people read them: one Markdown page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from freewalk.harness.base.text import counted, significant
from freewalk.harness.bench.cpu.peaks import PeakRow
from freewalk.harness.bench.cpu.raw_rule import COMMAND, RawRun
from freewalk.harness.bench.cpu.rows import FigureRow, MemoryRow, TargetRow, TimingRow
from freewalk.harness.bench.cpu.table import IMPLEMENTATIONS
from freewalk.harness.bench.report import table


@dataclass
class Results:
    """Everything known so far."""

    machine: Mapping[str, str]
    timings: list[TimingRow] = field(default_factory=list)
    memory: list[MemoryRow] = field(default_factory=list)
    targets: list[TargetRow] = field(default_factory=list)
    peaks: list[PeakRow] = field(default_factory=list)
    figures: list[FigureRow] = field(default_factory=list)
    missing: dict[str, str] = field(default_factory=dict)
    samples: dict[str, dict[str, list[float]]] = field(default_factory=dict)
    raw: RawRun | None = None
    """What the original rule needs to the target."""
    has_picture: bool = False

    @property
    def is_red(self) -> bool:
        """Whether an update of freewalk's own was wrong."""
        return any(row.kind != "peer" and row.note.startswith("wrong") for row in self.timings)

    @property
    def missed(self) -> list[FigureRow]:
        """The figures that this run does not show, though it measured them."""
        return [row for row in self.figures if row.verdict == "missed"]


def markdown(results: Results) -> str:
    """Return the whole page."""
    parts = [
        "# The step on the processor",
        "\n".join(f"- {name}: {value}" for name, value in results.machine.items()),
        *_figures(results.figures),
        *(["![Where each step stands against what the processor can do](roofline.svg)"] * results.has_picture),
        *_timings(results),
        *_targets(results.targets),
        *_raw(results.raw),
        *_memory(results.memory),
        *_peaks(results.peaks),
    ]
    return "\n\n".join(parts) + "\n"


def _figures(rows: Sequence[FigureRow]) -> list[str]:
    if not rows:
        return []
    return ["## Figures", figure_table(rows)]


def figure_table(rows: Sequence[FigureRow]) -> str:
    """Return what was wanted beside what was found."""
    lines = [
        (row.figure, f"{row.direction} {significant(row.wanted)}", number(row.found), _range(row), row.verdict, row.how)
        for row in rows
    ]
    return table(("figure", "wanted", "found", "quartiles", "verdict", "how"), lines)


def _range(row: FigureRow) -> str:
    return "" if row.low is None or row.high is None else f"{number(row.low)} to {number(row.high)}"


def number(value: float | None) -> str:
    """Return a number with few digits, or a dash."""
    return "-" if value is None else significant(value)


def _percent(value: float | None) -> str:
    return "" if value is None else f"{value:.0%}"


_HEADINGS = (
    *("implementation", "ms a step", "quartiles", "times freewalk", "quartiles", "steps/s", "perturbations/s"),
    *("noise alone", "two passes", "error", "what"),
)
_EXPLANATION = (
    "A step of 3-30-2, T 4, B 1,000, one trial, stddev 0.01 (0.1 where T is larger), unless the heading says otherwise;"
    " all trials of a workload count together. Medians of rounds that visit each implementation in turn, each in a"
    " process of its own. *times freewalk*: median over rounds of the quotient. *noise alone*: time of drawing the"
    " step's noise and nothing else, as a share of the step's; *two passes*: the same of two forward passes without"
    " noise. *error*: of an update, or of what a floor makes, against the reference; checked before timing."
)


def _timings(results: Results) -> list[str]:
    if not results.timings:
        return []
    parts = ["## Timings", _EXPLANATION]
    for workload in dict.fromkeys(row.workload for row in results.timings):
        rows = [row for row in results.timings if row.workload == workload]
        parts += [f"### {workload}", table(_HEADINGS, [_timing(row) for row in rows])]
    if results.missing:
        parts.append("Not here: " + "; ".join(f"{name} ({why})" for name, why in results.missing.items()) + ".")
    return parts


def _timing(row: TimingRow) -> tuple[str, ...]:
    what = IMPLEMENTATIONS[row.implementation].description if row.implementation in IMPLEMENTATIONS else ""
    note = "; ".join(filter(None, (what, row.note)))
    if row.median is None:
        return (row.implementation, *["-"] * (len(_HEADINGS) - 2), note)
    return (
        row.implementation,
        number(row.median),
        f"{number(row.q25)} to {number(row.q75)}",
        number(row.ratio),
        f"{number(row.ratio_q25)} to {number(row.ratio_q75)}",
        number(row.steps_per_second),
        number(row.perturbations_per_second),
        _percent(row.share_of_generator),
        _percent(row.share_of_inference),
        "-" if row.relative_error is None else f"{row.relative_error:.0e}",
        note,
    )


def _targets(rows: Sequence[TargetRow]) -> list[str]:
    if not rows:
        return []
    lines = [
        (
            row.implementation,
            f"{row.reached}/{row.seeds}",
            number(row.steps),
            number(row.seconds),
            "-" if row.seconds is None else f"{number(row.seconds_q25)} to {number(row.seconds_q75)}",
            number(row.ratio),
            "; ".join(filter(None, (row.rule, row.note))),
        )
        for row in rows
    ]
    headings = ("implementation", "reached", "steps", "seconds", "quartiles", "times freewalk", "rule")
    text = (
        f"Default step, until the loss on 4,000 held-out points is at most {rows[0].target:g}; looked at every five"
        " steps, which is not counted, nor is compilation. Medians over seeds."
    )
    return ["## Time to target", text, table(headings, lines)]


def _raw(run: RawRun | None) -> list[str]:
    if run is None:
        return []
    text = (
        f"The original rule, raw, has no learning rate and takes {run.steps:,.0f} steps to the same loss: the"
        f" median of {counted(run.trials, 'trial')} that really ran on these kernels ({run.seconds:,.0f} s of training,"
        f" as recorded then, beside other work). `{COMMAND}`"
    )
    return ["### The original rule", text]


def _memory(rows: Sequence[MemoryRow]) -> list[str]:
    if not rows:
        return []
    parts = [
        "## Memory",
        "Growth of a fresh process's largest resident size beyond a step of sixteen datapoints. Where a limit stands,"
        " the process may take so much private memory more.",
    ]
    for batch_size in dict.fromkeys(row.batch_size for row in rows):
        some = [row for row in rows if row.batch_size == batch_size]
        limit = "" if some[0].limit_mb is None else f", limit {some[0].limit_mb:,.0f} MB"
        lines = [
            (
                row.implementation,
                number(row.growth_mb),
                number(row.bytes_a_perturbation),
                number(row.ms_a_step),
                row.note,
            )
            for row in some
        ]
        headings = ("implementation", "MB", "bytes a perturbation", "ms a step", "note")
        parts += [f"### B {batch_size:,}{limit}", table(headings, lines)]
    return parts


def _peaks(rows: Sequence[PeakRow]) -> list[str]:
    if not rows:
        return []
    lines = [
        (row.quantity, str(row.threads), number(row.best / 1e9), number(row.median / 1e9), row.how) for row in rows
    ]
    headings = ("what", "threads", "best, 1e9/s", "median, 1e9/s", "how")
    text = "Measured by small kernels of this program that do one thing alone (harness/bench/cpu/peak_kernels.py)."
    return ["## What this processor can do", text, table(headings, lines)]
