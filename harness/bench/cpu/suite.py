"""The whole run: peaks, timings, memory, time to target; every row is on disk as soon as it is known."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from freewalk.harness.base.environment import environment
from freewalk.harness.bench.clock import Deadline
from freewalk.harness.bench.cpu import roofline
from freewalk.harness.bench.cpu.figures import figures
from freewalk.harness.bench.cpu.memory import measure_memory
from freewalk.harness.bench.cpu.page import Results, markdown
from freewalk.harness.bench.cpu.peaks import PeakRow, measure_peaks
from freewalk.harness.bench.cpu.plan import Extent
from freewalk.harness.bench.cpu.raw_rule import RawRun
from freewalk.harness.bench.cpu.rows import FigureRow, MemoryRow, SampleRow, TargetRow, TimingRow
from freewalk.harness.bench.cpu.table import IMPLEMENTATIONS
from freewalk.harness.bench.cpu.target import measure_targets
from freewalk.harness.bench.cpu.timings import Staff, Timed, sample_rows, time_workloads
from freewalk.harness.bench.machine import version_of
from freewalk.harness.bench.rows import CsvFile, replace_text
from freewalk.kernels.backend import resolve_backend
from freewalk.kernels.machine.threads import usable_threads

_TABLES: Mapping[type[Any], str] = {
    SampleRow: "samples.csv",
    TimingRow: "timings.csv",
    MemoryRow: "memory.csv",
    TargetRow: "target.csv",
    PeakRow: "peaks.csv",
    FigureRow: "figures.csv",
}
PAGE, PICTURE = "cpu.md", "roofline.svg"
FILES = (*_TABLES.values(), PAGE, PICTURE, "environment.json")
Say = Callable[[str], None]


@dataclass(frozen=True)
class Options:
    """What to run, and where its files go."""

    directory: Path
    """A folder that holds none of `FILES`; it is made if it is not there."""
    extent: Extent
    command: str
    only: str | None = None
    """One section; None: all of the extent."""
    raw: RawRun | None = None
    """What the original rule needs."""

    def wants(self, section: str) -> bool:
        """Tell whether a section shall run."""
        return section in self.extent.sections if self.only is None else section == self.only


class Record:
    """What is known so far: in memory, in CSV files row by row, and as a page."""

    def __init__(self, directory: Path, results: Results) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self.results = results
        self._directory = directory
        self._files = {kind: CsvFile(directory / name, kind) for kind, name in _TABLES.items()}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.write_page()
        for file in self._files.values():
            file.close()

    def add(self, rows: Sequence[Any]) -> None:
        """Take rows in; the page is written anew."""
        for row in rows:
            self._files[type(row)].write(row)
        self.write_page()

    def write_page(self) -> None:
        """Write the page."""
        replace_text(self._directory / PAGE, markdown(self.results))


def run_suite(options: Options, deadline: Deadline, say: Say = lambda line: None) -> Results:
    """Run the sections that are asked for; return everything found."""
    found = describe(options.command)
    results = Results(_machine(found), raw=options.raw)
    with Record(options.directory, results) as record:
        text = json.dumps(found, indent=2, ensure_ascii=False) + "\n"
        replace_text(options.directory / "environment.json", text)
        for name, run in (("peaks", _peaks), ("timings", _timings), ("target", _targets), ("memory", _memory)):
            if options.wants(name):
                run(options, deadline, record, say)
        results.figures = figures(results.samples, results.memory, results.targets, options.raw)
        record.add(results.figures)
        if results.peaks and results.timings:
            roofline.write(options.directory / PICTURE, results.timings, results.peaks)
            results.has_picture = True
    return results


def _peaks(options: Options, deadline: Deadline, record: Record, say: Say) -> None:
    for row in measure_peaks(usable_threads()):
        record.results.peaks.append(row)
        record.add([row])
        say(f"peak: {row.quantity}, {row.threads} threads: {row.best / 1e9:.3g}e9/s")


def _timings(options: Options, deadline: Deadline, record: Record, say: Say) -> None:
    staff = Staff(record.results.missing)
    try:
        for timed in time_workloads(options.extent, staff, deadline):
            _take(timed, record)
            for row in timed.rows:
                measured = "" if row.median is None else f"{row.median:.4g} ms"
                say(f"{row.workload}: {row.implementation}: {' '.join(filter(None, (measured, row.note)))}")
    finally:
        staff.close()


def _take(timed: Timed, record: Record) -> None:
    results = record.results
    if timed.rows:
        results.samples[timed.rows[0].workload] = timed.samples
    results.timings.extend(timed.rows)
    record.add([*sample_rows(timed), *timed.rows])


def _targets(options: Options, deadline: Deadline, record: Record, say: Say) -> None:
    for row in measure_targets(options.extent.target_names, options.extent.target_seeds, deadline):
        record.results.targets.append(row)
        record.add([row])
        said = row.note if row.seconds is None else f"{row.seconds:.3g} s, {row.steps:g} steps"
        say(f"time to target: {row.implementation}: {said}")


def _memory(options: Options, deadline: Deadline, record: Record, say: Say) -> None:
    for row in measure_memory(options.extent.memory_names, deadline):
        record.results.memory.append(row)
        record.add([row])
        said = row.note if row.growth_mb is None else f"{row.growth_mb:,.0f} MB"
        say(f"memory: B {row.batch_size:,}: {row.implementation}: {said}")


def describe(command: str) -> dict[str, Any]:
    """Return what environment.json holds; plain values."""
    packages = dict.fromkeys(entry.package for entry in IMPLEMENTATIONS.values() if entry.kind == "peer")
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else None
    return {
        **environment(resolve_backend("cpu")),
        "peers": {package: version_of(package) for package in packages},
        "load_before": load,
        "command": command,
    }


def _machine(found: Mapping[str, Any]) -> dict[str, str]:
    packages = {**found["packages"], **found["peers"]}
    load = found["load_before"]
    memory = "" if found["memory_gb"] is None else f", {found['memory_gb']:g} GB"
    return {
        "processor": f"{found['cpu']['model']}, {found['threads']} threads{memory}",
        "load when it began": "unknown" if load is None else f"{load:.2f} (average of a minute; 0 is a quiet machine)",
        "versions": ", ".join(f"{name} {version}" for name, version in packages.items() if version),
        "revision": str(found["git_revision"] or "unknown"),
        "command": f"`{found['command']}`",
    }
