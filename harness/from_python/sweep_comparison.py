"""Two sweeps beside each other, as `SweepResult.compare` returns them."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from freewalk.harness.terminal.comparison import Comparison
from freewalk.harness.terminal.reading import read_sweep, reading

if TYPE_CHECKING:
    import pandas as pd

    from freewalk.results.files.sources import Source

_WIDTH = 140


@dataclass(frozen=True, eq=False, repr=False)
class SweepComparison:
    """Two sweeps cell by cell, A and B; ratios are B over A, so above 1 B is worse."""

    table: pd.DataFrame
    """One row a measure and cell; columns as `harness compare --csv` prints them, see docs/tables.md."""
    notes: tuple[str, ...]
    """What readers of the numbers have to know."""
    _found: Comparison = field(repr=False)

    def __repr__(self) -> str:
        from rich.console import Console

        from freewalk.harness.terminal.comparison_table import print_comparison

        file = io.StringIO()
        print_comparison(self._found, Console(file=file, width=_WIDTH, color_system=None, force_jupyter=False))
        text = "\n".join(line.rstrip() for line in file.getvalue().splitlines())
        return "\n".join([*(f"note: {note}" for note in self.notes), text.rstrip("\n")])

    def _repr_html_(self) -> str:
        from freewalk.harness.terminal.comparison_table import measure_tables, sides
        from freewalk.results.report.snippet import Part, snippet

        tables = [
            Part(one.heading, header=tuple(one.header), rows=[tuple(row) for row in one.rows], caption=one.sentence)
            for one in measure_tables(self._found)
        ]
        return snippet([Part(sentences=[*sides(self._found), *(f"Note: {note}" for note in self.notes)]), *tables])


def compared(a: Source, b: Source | Path, across: Sequence[str]) -> SweepComparison:
    """Compare two sweeps; UsageError where that cannot be done."""
    from freewalk.results.files.sources import named_alike

    other = read_sweep(str(b)) if isinstance(b, Path) else b
    with reading():
        other = named_alike(a, other)
    found = Comparison.of([(a, other)], None, across)
    return SweepComparison(found.table, tuple(found.notes()), found)
