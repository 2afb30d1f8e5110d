"""What docs/ says of speed, made from a run's files: `python -m freewalk.harness.bench.cpu.documentation DIR`.

Copies the run's page and picture to docs/benchmarks/ and fills the marked parts of docs/performance.md; the words
around them are written by hand and hold no figures.
"""

from __future__ import annotations

import csv
import dataclasses
import json
import sys
import types
import typing
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from freewalk.harness.base.errors import UsageError
from freewalk.harness.bench.cpu import roofline
from freewalk.harness.bench.cpu.page import figure_table, number
from freewalk.harness.bench.cpu.peaks import PeakRow
from freewalk.harness.bench.cpu.rows import FigureRow, MemoryRow, TimingRow
from freewalk.harness.bench.cpu.suite import PAGE, PICTURE
from freewalk.harness.bench.cpu.table import OURS
from freewalk.harness.bench.report import table
from freewalk.harness.bench.rows import replace_text

DOCS = Path(__file__).resolve().parents[3] / "docs"
Row = TypeVar("Row")


def read_rows(path: Path, kind: type[Row]) -> list[Row]:
    """Read a table that the suite wrote.

    Raises
    ------
    UsageError
        The file is not there, or is no such table.
    """
    types_ = typing.get_type_hints(kind)
    names = [field.name for field in dataclasses.fields(typing.cast(Any, kind))]
    try:
        with path.open(newline="", encoding="utf-8") as file:
            return [kind(**{name: _value(row[name], types_[name]) for name in names}) for row in csv.DictReader(file)]
    except OSError:
        raise UsageError(f"{path}: is not there; name the folder of a whole run of harness bench --suite cpu") from None
    except (KeyError, ValueError, csv.Error) as error:
        raise UsageError(f"{path}: is no table of this suite ({error})") from None


def _value(text: str, kind: Any) -> Any:
    if isinstance(kind, types.UnionType):
        return None if text == "" else float(text)
    return kind(text)


def binding_table(timings: Sequence[TimingRow]) -> str:
    """Return, for each workload, what of a step is noise, what two passes without noise take, and what binds."""
    lines = []
    points = {point.workload: point.work for point in roofline.points(timings) if point.implementation == OURS}
    for row in timings:
        if row.implementation != OURS or row.share_of_generator is None or row.share_of_inference is None:
            continue
        binds = "noise" if row.share_of_generator >= 0.5 else "the network"
        lines.append(
            (
                row.workload,
                number(points[row.workload]),
                number(row.median),
                f"{row.share_of_generator:.0%}",
                f"{row.share_of_inference:.0%}",
                binds,
            )
        )
    headings = ("workload", "multiply-adds a weight", "ms a step", "noise alone", "two passes alone", "bound by")
    return table(headings, lines)


def memory_table(rows: Sequence[MemoryRow]) -> str:
    """Return bytes a perturbation where nothing limits them."""
    free = [row for row in rows if row.limit_mb is None and row.bytes_a_perturbation is not None]
    lines = [(row.implementation, number(row.bytes_a_perturbation), number(row.growth_mb)) for row in free]
    return table(("implementation", "bytes a perturbation", "MB"), lines)


def parts(folder: Path) -> dict[str, str]:
    """Return what goes between the marks of docs/performance.md."""
    timings = read_rows(folder / "timings.csv", TimingRow)
    peaks = read_rows(folder / "peaks.csv", PeakRow)
    if not timings or not peaks:
        raise UsageError(f"{folder}: holds no timings or no peaks; name the folder of a whole run")
    try:
        environment = json.loads((folder / "environment.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        raise UsageError(f"{folder}: has no readable environment.json; name the folder of a whole run") from None
    limits = roofline.rates(peaks)
    most = max(row.threads for row in peaks)
    model, load = environment["cpu"]["model"], environment["load_before"]
    said = f"`{environment['command']}` on {model}, {most} threads, load {load:.1f} when it began."
    rates = "; ".join(f"{name} {limits[key] / 1e9:.3g}e9/s" for key, name in _RATES.items())
    return {
        "machine": said,
        "rates": f"On {most} threads: {rates}.",
        "figures": figure_table(read_rows(folder / "figures.csv", FigureRow)),
        "binding": binding_table(timings),
        "memory": memory_table(read_rows(folder / "memory.csv", MemoryRow)),
    }


_RATES: Mapping[str, str] = {
    "peak": "multiply-adds in registers",
    "normals": "normals",
    "signs": "signs",
    "stored": "values written to memory once and read twice",
}


def filled(text: str, given: Mapping[str, str]) -> str:
    """Return a page with its marked parts replaced.

    Raises
    ------
    ValueError
        A part has no marks in the page.
    """
    for name, part in given.items():
        begin, end = f"<!-- {name}: made by the command above -->", f"<!-- end of {name} -->"
        if text.count(begin) != 1 or text.count(end) != 1:
            raise ValueError(f"the page needs {begin} and {end}, once each")
        before, rest = text.split(begin)
        after = rest.split(end)[1]
        text = f"{before}{begin}\n{part}\n{end}{after}"
    return text


def write(folder: Path, docs: Path) -> None:
    """Make the pages and the picture of docs/ from a run."""
    given = parts(folder)
    performance = docs / "performance.md"
    page = filled(performance.read_text(encoding="utf-8"), given)
    replace_text(docs / "benchmarks" / PAGE, (folder / PAGE).read_text(encoding="utf-8"))
    roofline.write(
        docs / "benchmarks" / PICTURE,
        read_rows(folder / "timings.csv", TimingRow),
        read_rows(folder / "peaks.csv", PeakRow),
    )
    replace_text(performance, page)


def main(arguments: Sequence[str], docs: Path = DOCS) -> int:
    """Make docs/ from a folder."""
    if len(arguments) != 1:
        sys.stderr.write("usage: python -m freewalk.harness.bench.cpu.documentation DIR\n")
        return 2
    try:
        write(Path(arguments[0]), docs)
    except UsageError as error:
        sys.stderr.write(f"error: {error}\n")
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
