"""The rows as people read them: one Markdown page."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from freewalk.harness.base.text import significant
from freewalk.harness.bench.rows import CheckRow, FloorRow, TimingRow

OURS = "freewalk"
"""Name of the implementation that the others' ratios refer to."""
LARGEST_ERROR = 1e-4
"""Of an update, relative, before it is timed: float32 gives up to 1e-5, TF32 products more than this."""


@dataclass
class Results:
    """Everything known so far."""

    machine: Mapping[str, Any]
    """What to say of the machine, by heading."""
    descriptions: Mapping[str, str]
    """What each implementation is."""
    missing: Mapping[str, str] = field(default_factory=dict)
    """Peers that do not run here, with reasons."""
    checks: list[CheckRow] = field(default_factory=list)
    timings: list[TimingRow] = field(default_factory=list)
    floors: list[FloorRow] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    @property
    def red(self) -> list[CheckRow]:
        """The checks that failed."""
        return [row for row in self.checks if row.verdict == "red"]

    @property
    def is_red(self) -> bool:
        """Whether a check failed, or one of freewalk's updates at the sizes that were timed."""
        ours = [row.relative_error for row in self.timings if row.implementation == OURS]
        return bool(self.red) or any(error is not None and not error <= LARGEST_ERROR for error in ours)


def markdown(results: Results) -> str:
    """Return the whole page."""
    parts = [
        "# harness bench",
        "\n".join(f"- {name}: {value}" for name, value in results.machine.items()),
        *_checks(results),
        *_timings(results),
        *_floors(results),
        *(["## Notes", "\n".join(f"- {note}" for note in results.notes)] if results.notes else []),
    ]
    return "\n\n".join(parts) + "\n"


def table(headings: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a Markdown table whose columns, but for the last, have an even width: it reads well on a terminal too."""
    cells = [list(headings), *([cell.replace("|", "/") for cell in row] for row in rows)]
    widths = [max(len(row[k]) for row in cells) for k in range(len(headings) - 1)] + [0]
    lines = [
        "| " + " | ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) + " |" for row in cells
    ]
    rule = "|" + "|".join("-" * (width + 2) for width in [*widths[:-1], len(headings[-1])]) + "|"
    return "\n".join([lines[0], rule, *lines[1:]])


def _checks(results: Results) -> list[str]:
    if not results.checks:
        return []
    counts = {verdict: sum(row.verdict == verdict for row in results.checks) for verdict in ("green", "red", "not run")}
    said = ", ".join(f"{count} {verdict}" for verdict, count in counts.items() if count or verdict == "green")
    parts = [f"## Correctness: {said}", _check_table(results.checks)]
    if results.red:
        headings = ("check", "case", "found", "allowed", "what")
        parts += ["### Red", table(headings, [_check_row(row) for row in results.red])]
    return parts


def _check_table(checks: Sequence[CheckRow]) -> str:
    """Return a line for each kind of check, with the case that came nearest to its bound."""
    lines = []
    for name in dict.fromkeys(row.check for row in checks):
        rows = [row for row in checks if row.check == name]
        green = sum(row.verdict == "green" for row in rows)
        worst = max(rows, key=_nearness)
        lines.append((name, f"{green} of {len(rows)}", *_check_row(worst)[1:]))
    return table(("check", "green", "worst case", "found", "allowed", "what"), lines)


def _nearness(row: CheckRow) -> float:
    """Return how much of its bound a check used; one that is red used more than any other, one not run nothing."""
    if row.verdict != "green":
        return -1.0 if row.verdict == "not run" else float("inf")
    return (row.measured or 0.0) / (row.allowed or 1.0)


def _check_row(row: CheckRow) -> tuple[str, ...]:
    found, allowed = (_number(value) for value in (row.measured, row.allowed))
    return row.check, row.case, found, allowed, ": ".join(text for text in (row.quantity, row.note) if text)


_FAMILIES = {
    "trials": ("Trials at once", "trials"),
    "batch": ("Datapoints of a batch", "B"),
    "hidden": ("Hidden neurons", "hidden"),
    "timesteps": ("Timesteps", "T"),
}


def _size(row: TimingRow | FloorRow, family: str | None = None) -> int:
    sizes = {"trials": row.n_trials, "batch": row.batch_size, "hidden": row.hidden, "timesteps": row.timesteps}
    return sizes[family or row.workload]


def _timings(results: Results) -> list[str]:
    if not results.timings:
        return []
    default = [row for row in results.timings if row.workload == "default"]
    parts = [
        "## Timings",
        "A step of 3-30-2, T 4, B 1,000, one trial, unless a table says otherwise; milliseconds a step of all its"
        " trials, medians of rounds that visit each implementation in turn. In brackets: how many times longer than"
        f" {OURS}'s, the median over rounds.",
    ]
    if default:
        parts += ["### One trial", table(_HEADINGS, [_default_row(results, row) for row in default])]
    for family, (title, size) in _FAMILIES.items():
        rows = [row for row in results.timings if row.workload == family]
        if rows:
            parts += [f"### {title}", _family_table(family, size, [*default, *rows])]
    remarks = [f"{label(row)}, {row.implementation}: {row.note}" for row in results.timings if row.note]
    if remarks:
        parts += ["### Remarks", "\n".join(f"- {line}" for line in remarks)]
    if results.missing:
        parts.append("Not here: " + "; ".join(f"{name} ({reason})" for name, reason in results.missing.items()) + ".")
    return parts


_HEADINGS = ("implementation", "ms a step", "quartiles", "least", f"times {OURS}", "error of an update", "what")


def _default_row(results: Results, row: TimingRow) -> tuple[str, ...]:
    measured = row.median is not None
    return (
        row.implementation,
        _number(row.median),
        f"{_number(row.q25)} to {_number(row.q75)}" if measured else "-",
        _number(row.least),
        _number(row.ratio_to_freewalk),
        "-" if row.relative_error is None else f"{row.relative_error:.1e}",
        "; ".join(text for text in (results.descriptions.get(row.implementation, ""), row.note) if text),
    )


def _family_table(family: str, size: str, rows: Sequence[TimingRow]) -> str:
    """Return sizes down, implementations across; those that only the default workload had are left out."""
    inside = {row.implementation for row in rows if row.workload == family}
    names = list(dict.fromkeys(row.implementation for row in rows if row.implementation in inside))
    sizes = sorted({_size(row, family) for row in rows})
    found = {(_size(row, family), row.implementation): row for row in rows}
    per_second = (f"trial-steps/s, {OURS}",) if family == "trials" else ()
    lines = []
    for value in sizes:
        line = [f"{value:,}", *(_cell(found.get((value, name))) for name in names)]
        if per_second:
            line.append(_number(getattr(found.get((value, OURS)), "trial_steps_per_second", None)))
        lines.append(line)
    return table((size, *names, *per_second), lines)


def _cell(row: TimingRow | None) -> str:
    if row is None:
        return ""
    if row.median is None:
        return row.note.split(":")[0] or "-"
    is_base = row.implementation == OURS or row.ratio_to_freewalk is None
    return _number(row.median) if is_base else f"{_number(row.median)} ({_number(row.ratio_to_freewalk)})"


def _number(value: float | None) -> str:
    return "-" if value is None else significant(value)


def _floors(results: Results) -> list[str]:
    if not results.floors:
        return []
    headings = (
        "workload",
        "normals",
        "multiply-adds",
        "instructions",
        "bound by",
        "floor, ms",
        "measured, ms",
        "share",
    )
    rows = [
        (
            label(row),
            f"{row.normals:,}",
            f"{row.multiply_adds:,}",
            f"{row.instructions:,}",
            row.bound,
            _number(row.floor),
            _number(row.measured),
            f"{row.share:.1%}",
        )
        for row in results.floors
    ]
    text = (
        "Operations of a step of all trials, counted as harness/bench/floor.py says, over what the GPU can issue at"
        f" its highest clock: the least time there is, and its share of {OURS}'s."
    )
    return ["## Floor", text, table(headings, rows)]


def label(row: TimingRow | FloorRow) -> str:
    """Return a row's workload in a few words."""
    if row.workload not in _FAMILIES:
        return row.workload
    return f"{_FAMILIES[row.workload][1]} {_size(row):,}"
