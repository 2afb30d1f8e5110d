"""The whole run: checks, timings, floor; every row is on disk as soon as it is known."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self, get_args

from freewalk.harness.bench.accelerator import Accelerator
from freewalk.harness.bench.checks.all import all_checks
from freewalk.harness.bench.checks.check import run_checks
from freewalk.harness.bench.clock import Deadline
from freewalk.harness.bench.contest import PeerImplementation, time_all
from freewalk.harness.bench.floor import floor_row
from freewalk.harness.bench.own import OnGpu, OnProcessor
from freewalk.harness.bench.peers.peer import Peer
from freewalk.harness.bench.peers.table import PEERS
from freewalk.harness.bench.report import OURS, Results, label, markdown
from freewalk.harness.bench.rounds import Effort, Implementation
from freewalk.harness.bench.rows import CheckRow, CsvFile, FloorRow, TimingRow, replace_text
from freewalk.harness.bench.workloads import workloads
from freewalk.kernels.cuda.device import GpuInfo

Section = Literal["correctness", "timings", "floor"]
SECTIONS: tuple[Section, ...] = get_args(Section)
FILES = ("correctness.csv", "timings.csv", "floor.csv", "gpu.md", "environment.json")
_CHECKS_SHARE = 0.5
"""Of the time limit: what the checks leave undone then is not run, so that there are timings too."""
_QUICK_EFFORT = Effort(seconds=0.03, rounds=5, most_seconds=1.0)
_NO_FLOOR = "No floor: the instruction rates of compute capability {} are not in the table of harness/bench/floor.py."

DESCRIPTIONS: Mapping[str, str] = {
    OURS: "this program on the GPU: one trial over all of it, many trials a block each",
    "freewalk-block": "this program, one trial on one block, as among many",
    "freewalk-cpu": "this program on this machine's processor, all threads",
    **{name: entry.description for name, entry in PEERS.items()},
}


@dataclass(frozen=True)
class Options:
    """What to run, and where its files go."""

    directory: Path
    """A folder that holds none of `FILES`; it is made if it is not there."""
    quick: bool = False
    """Fewer cases, sizes and rounds."""
    only: Section | None = None
    """None: all sections."""

    def wants(self, section: Section) -> bool:
        """Tell whether a section shall run."""
        return self.only in (None, section)


class Record:
    """What is known so far: in memory, in CSV files row by row, and as a page that is written anew with every row."""

    def __init__(self, directory: Path, results: Results) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self.results = results
        self._page = directory / "gpu.md"
        self._files = {
            CheckRow: CsvFile(directory / "correctness.csv", CheckRow),
            TimingRow: CsvFile(directory / "timings.csv", TimingRow),
            FloorRow: CsvFile(directory / "floor.csv", FloorRow),
        }

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.write_page()
        for file in self._files.values():
            file.close()

    def add(self, row: CheckRow | TimingRow | FloorRow) -> None:
        """Take a row in."""
        self._files[type(row)].write(row)
        if isinstance(row, CheckRow):
            self.results.checks.append(row)
        elif isinstance(row, TimingRow):
            self.results.timings.append(row)
        else:
            self.results.floors.append(row)
        self.write_page()

    def write_page(self) -> None:
        """Write the page."""
        replace_text(self._page, markdown(self.results))


def run_suite(
    options: Options,
    accelerator: Accelerator,
    peers: tuple[Mapping[str, Peer], Mapping[str, str]],
    deadline: Deadline,
    environment: Mapping[str, Any],
    say: Callable[[str], None] = lambda line: None,
) -> Results:
    """Run the sections that are asked for; return everything found.

    Parameters
    ----------
    peers
        Those that run here, and the reasons of the others.
    environment
        What environment.json shall hold.
    say
        Takes a line a row, for people who wait.
    """
    found, missing = peers
    facts = accelerator.facts()
    results = Results(_machine(facts, environment), DESCRIPTIONS, missing)
    with Record(options.directory, results) as record:
        text = json.dumps(environment, indent=2, ensure_ascii=False) + "\n"
        replace_text(options.directory / "environment.json", text)
        if options.wants("correctness"):
            part = deadline.share(_CHECKS_SHARE) if options.only is None else deadline
            for row in run_checks(all_checks(accelerator, quick=options.quick), part):
                record.add(row)
                say(f"{row.verdict}: {row.check}: {row.case}{f' ({row.note})' if row.note else ''}")
        if options.wants("timings") or options.wants("floor"):
            _run_timings(options, accelerator, found, deadline, record, say)
    return results


def _run_timings(
    options: Options,
    accelerator: Accelerator,
    peers: Mapping[str, Peer],
    deadline: Deadline,
    record: Record,
    say: Callable[[str], None],
) -> None:
    implementations: dict[str, Implementation] = {OURS: OnGpu(accelerator)}
    if options.wants("timings"):
        implementations |= {
            name: PeerImplementation(peer, "cuda", main_only=PEERS[name].main_only) for name, peer in peers.items()
        }
        implementations["freewalk-block"] = OnGpu(accelerator, always_blocks=True)
        implementations["freewalk-cpu"] = OnProcessor(everywhere=False)
    effort = _QUICK_EFFORT if options.quick else Effort()
    facts = accelerator.facts() if options.wants("floor") else None
    for row in time_all(workloads(quick=options.quick), implementations, effort, deadline):
        record.add(row)
        measured = "" if row.median is None else f"{row.median:.4g} ms"
        say(f"{label(row)}: {row.implementation}: {' '.join(filter(None, (measured, row.note)))}")
        if facts is not None and row.implementation == OURS and row.median is not None:
            if (floor := floor_row(row, facts)) is not None:
                record.add(floor)
            elif not record.results.notes:
                record.results.notes.append(_NO_FLOOR.format(".".join(map(str, facts.compute_capability))))


def _machine(facts: GpuInfo, environment: Mapping[str, Any]) -> dict[str, str]:
    packages = {**environment.get("packages", {}), **environment.get("peers", {})}
    capability = ".".join(map(str, facts.compute_capability))
    return {
        "GPU": f"{facts.name}, compute capability {capability}, {facts.multiprocessors} multiprocessors,"
        f" up to {facts.clock_mhz:,.0f} MHz, {facts.memory_gb:.0f} GB, driver {facts.driver}",
        "processor": f"{environment.get('cpu', {}).get('model', 'unknown')}, {environment.get('threads', '?')} threads",
        "versions": ", ".join(f"{name} {version}" for name, version in packages.items() if version),
        "revision": str(environment.get("git_revision") or "unknown"),
        "command": str(environment.get("command", "harness bench --suite gpu")),
    }
