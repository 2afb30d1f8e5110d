"""Two sweeps beside each other: what is compared, what is said of it, and what a check objects to."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import click
import pandas as pd
from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from freewalk.harness.data_table import json_rows
from freewalk.harness.errors import UsageError
from freewalk.harness.reading import counted_once_note
from freewalk.harness.text import counted, significant
from freewalk.results.comparison import EVALUATIONS, SECONDS, compare, overall, regressions
from freewalk.results.losses import Lost, lost_trials
from freewalk.results.matching import MatchError, Matching, match_cells
from freewalk.results.schema import PARAMETER_PREFIX
from freewalk.results.sources import Source
from freewalk.results.statistics_ranks import SIGNIFICANT

_ROWS_SHOWN = 10
_WIDTH_OF_A_PIPE = 140
_TITLES = {EVALUATIONS: "evaluations for each success", SECONDS: "seconds a step"}


@dataclass(frozen=True)
class Comparison:
    """What two sweeps have in common, side by side."""

    a: Source
    b: Source
    matching: Matching
    table: pd.DataFrame
    """The ``comparison`` table."""
    threshold: float | None
    """Ratio above which a check fails."""
    lost: list[Lost]
    """Cells of A of which B has fewer complete trials."""

    @classmethod
    def of(cls, a: Source, b: Source, threshold: float | None) -> Comparison:
        """Match and compare; UsageError where nothing can be matched."""
        trials = a.counted, b.counted
        try:
            matching = match_cells(*trials)
        except MatchError as error:
            raise UsageError(f"{a.path} and {b.path} cannot be matched: {error}; sweep it in both or none") from None
        if not matching.pairs:
            raise UsageError(
                f"{a.path} and {b.path} have no cell in common; "
                "compare sweeps of the same tasks, methods and parameters"
            )
        found = cls(a, b, matching, compare(*trials, matching), threshold, lost_trials(*trials, matching))
        if threshold is not None and found._judged.empty:
            raise UsageError(
                f"--check: {a.path} and {b.path} have no cell with the same target and complete trials in both, "
                "nor seconds from one machine; run both sweeps to their end"
            )
        return found

    @property
    def same_machine(self) -> bool:
        """Whether all seconds come from one machine, backend and device."""
        machines = {*self.a.machines, *self.b.machines}
        where = [
            {tuple(row) for row in source.trials[["backend", "device"]].dropna().itertuples(index=False)}
            for source in (self.a, self.b)
        ]
        return len(machines) == 1 and None not in machines and len(where[0] | where[1]) <= 1

    def notes(self) -> Iterator[str]:
        """Say what readers of the numbers have to know."""
        matching = self.matching
        for source, side in ((self.a, "A"), (self.b, "B")):
            if doubled := len(source.trials) - len(source.counted):
                yield f"{side}: {counted_once_note(doubled)}"
        for count, side in ((matching.only_a, "A"), (matching.only_b, "B")):
            if count:
                yield f"{counted(count, 'cell')} only in {side}"
        for name in matching.ignored:
            yield f"{name.removeprefix(PARAMETER_PREFIX)} is known to one side only and has one value there: left aside"
        for measure, title in _TITLES.items():
            cells = int((self.table["measure"] == measure).sum())
            if cells < len(matching.pairs):
                missing = counted(len(matching.pairs) - cells, "cell")
                why = "other targets, or " if measure == EVALUATIONS else ""
                yield f"{title}: {missing} left out ({why}no complete trial on one side)"
        if self.lost and self.threshold is None:
            yield f"{counted(sum(one.n for one in self.lost), 'trial')} of A without a complete partner in B"
        if not self.same_machine:
            a, b = (
                ", ".join(name or "an unknown machine" for name in source.machines) or "none"
                for source in (self.a, self.b)
            )
            where = f"A on {a}; B on {b}" if a != b or "unknown" in a else f"both on {a}, with several backends"
            unchecked = " and are not checked" if self.threshold is not None else ""
            are = "may be" if "unknown" in where else "are"
            yield f"seconds {are} from different machines{unchecked} ({where})"
        if self._is_mute:
            yield "too few trials to tell any cell apart, whatever they show; run more seeds"

    @property
    def _judged(self) -> pd.DataFrame:
        """The rows that a check may object to: seconds only from one machine."""
        return self.table if self.same_machine else self.table[self.table["measure"] == EVALUATIONS]

    @property
    def _is_mute(self) -> bool:
        """Whether no result of any cell could be significant."""
        return not self.table.empty and bool((self.table["p_attainable"] > SIGNIFICANT).all())

    def failures(self) -> list[str]:
        """Name what B lacks, and what is worse by more than the threshold, with evidence; nothing without one."""
        if self.threshold is None:
            return []
        cells, whole = regressions(self._judged, self.threshold)
        return [
            *(
                f"{self.cell(self.a.counted.iloc[one.row])}: {counted(one.n, 'trial')} of A without a complete partner "
                f"in B ({one.reason})"
                for one in self.lost
            ),
            *(
                f"{_TITLES[str(row['measure'])]}: {self.cell(row)}: {_ratio(row['ratio'])} times A "
                f"(95 %: {_interval(row)}; p = {row['p_adjusted']:.2g})"
                for _, row in cells.iterrows()
            ),
            *(
                f"{_TITLES[o.measure]}: {_ratio(o.ratio)} times A, median of {counted(o.n_cells, 'cell')} "
                f"(p = {o.p_value:.2g})"
                for o in whole
            ),
        ]

    def cell(self, row: pd.Series[Any]) -> str:
        """Describe a cell: task, and the parameters in which the compared cells differ."""
        values = [str(row["task"]), *([str(row["method"])] if _varies(self.a.counted["method"]) else [])]
        values += [f"{n.removeprefix(PARAMETER_PREFIX)}={_plain(row[n])}" for n in self.varying if not _missing(row[n])]
        return " ".join(values)

    @property
    def varying(self) -> list[str]:
        """Parameters that take several values in the compared cells."""
        parameters = [name for name in self.matching.columns if name.startswith(PARAMETER_PREFIX)]
        return [name for name in parameters if _varies(self.a.counted[name])]


def print_comparison(found: Comparison) -> None:
    """Print for each measure the cells that differ most, and all cells in one line."""
    console = Console(width=None if sys.stdout.isatty() else _WIDTH_OF_A_PIPE)
    console.print(f"A: {found.a.path}\nB: {found.b.path}", highlight=False, markup=False, soft_wrap=True)
    for whole in overall(found.table):
        rows = found.table[found.table["measure"] == whole.measure]
        console.print(_measure_table(found, rows, whole.measure))
        console.print(
            f"{counted(len(rows), 'cell')}, ratio known in {whole.n_cells}: median {_ratio(whole.ratio)} "
            f"(p = {whole.p_value:.2g}); told apart: {whole.n_worse} worse, {whole.n_better} better in B\n",
            highlight=False,
        )


def _measure_table(found: Comparison, rows: pd.DataFrame, measure: str) -> Table:
    size = rows["ratio"].map(lambda ratio: -1.0 if math.isnan(ratio) else abs(_log(ratio)))
    told = rows["different"].fillna(False).astype(bool)
    order = pd.DataFrame({"told": told, "size": size}).sort_values(["told", "size"], ascending=False, kind="stable")
    rows = rows.loc[order.index[:_ROWS_SHOWN]]
    hidden = len(order) - len(rows)
    table = Table(
        title=f"{_TITLES[measure]}{f': the {len(rows)} most different of {len(order)} cells' if hidden else ''}",
        title_justify="left",
        title_style="bold",
        box=box.SIMPLE_HEAD,
    )
    table.add_column("cell")
    for heading in ("reached A", "B", "A", "B", "B / A", "95 % interval", "p", ""):
        table.add_column(heading, justify="right", no_wrap=True)
    for _, row in rows.iterrows():
        table.add_row(escape(found.cell(row)), *_measures(row))
    return table


def _measures(row: pd.Series[Any]) -> tuple[str, ...]:
    return (
        f"{row['n_reached_a']}/{row['n_a']}",
        f"{row['n_reached_b']}/{row['n_b']}",
        significant(float(row["value_a"])),
        significant(float(row["value_b"])),
        _ratio(row["ratio"]),
        _interval(row),
        f"{row['p_adjusted']:.2g}",
        _verdict(row),
    )


def _verdict(row: pd.Series[Any]) -> str:
    if row["p_attainable"] > SIGNIFICANT:
        return "too few"
    if not bool(row["different"]):
        return ""
    return "worse" if row["ratio"] > 1 else "better" if row["ratio"] < 1 else "differs"


def _varies(column: pd.Series[Any]) -> bool:
    return len(column.drop_duplicates()) > 1


def _log(ratio: float) -> float:
    return math.log(ratio) if ratio > 0 else -math.inf


def _ratio(ratio: float) -> str:
    if math.isinf(ratio):
        return "inf"
    return "-" if math.isnan(ratio) else f"{ratio:.3g}"


def _interval(row: pd.Series[Any]) -> str:
    return f"{_ratio(row['ratio_low'])} to {_ratio(row['ratio_high'])}"


def _missing(value: Any) -> bool:
    return value is pd.NA or value is None or (isinstance(value, float) and math.isnan(value))


def _plain(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


def print_comparison_json(found: Comparison) -> None:
    """Print everything as one JSON object."""
    whole = [
        {name: (str(v) if isinstance(v, float) and not math.isfinite(v) else v) for name, v in o._asdict().items()}
        for o in overall(found.table)
    ]
    result = {
        "a": str(found.a.path),
        "b": str(found.b.path),
        "machines_a": found.a.machines,
        "machines_b": found.b.machines,
        "same_machine": found.same_machine,
        "n_cells": len(found.matching.pairs),
        "only_a": found.matching.only_a,
        "only_b": found.matching.only_b,
        "notes": list(found.notes()),
        "failures": found.failures(),
        "overall": whole,
        "cells": json_rows(found.table),
    }
    click.echo(json.dumps(result, indent=2, allow_nan=False))
