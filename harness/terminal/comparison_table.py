"""A comparison of sweeps on the terminal, or as JSON."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import pandas as pd
from rich.console import Console
from rich.markup import escape

from freewalk.harness.base.text import counted, significant
from freewalk.harness.terminal.comparison import TITLES, Comparison, interval_text, ratio_text, units_text
from freewalk.harness.terminal.console import make_console, make_table, print_json, print_line
from freewalk.results.analysis.comparison import EVALUATIONS
from freewalk.results.analysis.comparison_whole import Overall
from freewalk.results.base.numbers import is_missing
from freewalk.results.statistics.ranks import SIGNIFICANT

_ROWS_SHOWN = 10


class MeasureTable(NamedTuple):
    """What is shown of one measure of a comparison, in words."""

    title: str
    remark: str
    """How coarse the values are, and which cells are shown; may be empty."""
    header: Sequence[str]
    rows: Sequence[Sequence[str]]
    """The cells that differ most, the most different first; the first text of each describes the cell."""
    sentence: str
    """What holds of all cells together."""

    @property
    def heading(self) -> str:
        """The title, with the remark if there is one."""
        return f"{self.title}{f' ({self.remark})' if self.remark else ''}"


def measure_tables(found: Comparison, n_rows: int = _ROWS_SHOWN) -> list[MeasureTable]:
    """Return what is shown of each measure, with so many cells at most."""
    return [_measure_table(found, whole, n_rows) for whole in found.whole]


def print_comparison(found: Comparison, console: Console | None = None) -> None:
    """Print the tables of a comparison, on standard output unless a console is given."""
    console = console or make_console()
    for line in sides(found):
        print_line(console, line)
    for one in measure_tables(found):
        table = make_table(escape(one.heading))
        table.add_column(one.header[0])
        for heading in one.header[1:]:
            table.add_column(heading, justify="right", no_wrap=True)
        for cell, *values in one.rows:
            table.add_row(escape(cell), *values)
        console.print(table)
        console.print(f"{one.sentence}\n", highlight=False, soft_wrap=True)


def sides(found: Comparison) -> list[str]:
    """Say which sweeps are A and B."""
    numbers = [""] if len(found.pairs) == 1 else list(map(str, range(1, len(found.pairs) + 1)))
    return [
        f"{side}{number}: {source.path}"
        for number, pair in zip(numbers, found.pairs, strict=True)
        for side, source in zip("AB", pair, strict=True)
    ]


def _all_cells(found: Comparison, whole: Overall) -> str:
    cells = "the cell" if whole.n_cells == 1 else f"all {whole.n_cells:,} cells"
    if math.isnan(whole.ratio):
        return f"{cells}: no trial reached the target"
    ratio = f"{cells}: {ratio_text(whole.ratio)} times A"
    if whole.test is None:
        return f"{ratio}; {found.untested_seconds}"
    missed = (
        f"; {counted(whole.n_missed, 'trial')} that missed the target counted as twice the dearest of the cell"
        if whole.n_missed and whole.measure == EVALUATIONS
        else ""
    )
    return (
        f"{ratio} (95 % interval {interval_text(whole.ratio_low, whole.ratio_high)}; {units_text(whole)}, "
        f"p = {whole.p_value:.2g}); "
        f"told apart: {whole.n_worse} worse, {whole.n_better} better in B{missed}"
    )


def _measure_table(found: Comparison, whole: Overall, n_rows: int) -> MeasureTable:
    rows = found.table[found.table["measure"] == whole.measure]
    size = rows["ratio"].map(lambda ratio: -1.0 if math.isnan(ratio) else abs(_log(ratio)))
    told = rows["different"].fillna(False).astype(bool)
    order = pd.DataFrame({"told": told, "size": size}).sort_values(["told", "size"], ascending=False, kind="stable")
    rows = rows.loc[order.index[:n_rows]]
    which = f"the {len(rows)} most different of {len(order)} cells" if len(order) > len(rows) else ""
    where_both = ["where both"] if whole.measure == EVALUATIONS else []
    return MeasureTable(
        TITLES[whole.measure],
        "; ".join(filter(None, (_coarseness(rows), which))),
        ["cell", "reached A", "B", "A", "B", "B / A", "95 % interval", *where_both, "p", ""],
        [(found.cell(row), *_measures(row)) for _, row in rows.iterrows()],
        _all_cells(found, whole),
    )


def _coarseness(rows: pd.DataFrame) -> str:
    """Say how much too high the costs may be; nothing where that is not known, as of seconds."""
    shares = pd.concat([rows[f"resolution_{side}"] / rows[f"value_{side}"] for side in "ab"]).dropna()
    return f"at most {shares.max():.0%} too high" if len(shares) and shares.max() > 0 else ""


def _measures(row: pd.Series[Any]) -> tuple[str, ...]:
    return (
        f"{row['n_reached_a']}/{row['n_a']}",
        f"{row['n_reached_b']}/{row['n_b']}",
        significant(float(row["value_a"])),
        significant(float(row["value_b"])),
        ratio_text(row["ratio"]),
        interval_text(row["ratio_low"], row["ratio_high"]),
        *([ratio_text(row["cost_ratio"])] if row["measure"] == EVALUATIONS else []),
        "-" if math.isnan(row["p_adjusted"]) else f"{row['p_adjusted']:.2g}",
        _verdict(row),
    )


def _verdict(row: pd.Series[Any]) -> str:
    if is_missing(row["verdict"]):
        return "no test"
    return "too few" if row["p_attainable"] > SIGNIFICANT else str(row["verdict"])


def _log(ratio: float) -> float:
    return math.log(ratio) if ratio > 0 else -math.inf


def print_comparison_json(found: Comparison) -> None:
    """Print everything as one JSON object."""
    a, b = found.pairs[0]
    result = {
        "a": str(a.path),
        "b": str(b.path),
        "pairs": [[str(source.path) for source in pair] for pair in found.pairs],
        "across": {name: list(values) for name, values in found.matching.across.items()},
        "machines_a": a.machines,
        "machines_b": b.machines,
        "same_machine": found.same_machine,
        "n_cells": len(found.matching.pairs),
        "only_a": found.matching.only_a,
        "only_b": found.matching.only_b,
        "notes": list(found.notes()),
        "failures": found.failures(),
        "overall": [one._asdict() for one in found.whole],
        "cells": found.table.to_dict("records"),
    }
    print_json(result, nan=None)
