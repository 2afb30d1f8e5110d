"""Running a reproduction at a scale: its sweep, its commands, and what they come to."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import pandas as pd

import freewalk
from freewalk.harness.base.errors import UsageError
from freewalk.harness.cluster.connection import Cluster
from freewalk.harness.parameters.seeds import format_seeds, read_seeds
from freewalk.harness.plan.arguments import specs_and_tables
from freewalk.harness.plan.configuration import SweepConfiguration, resolve, sweep_id
from freewalk.harness.plan.places import by_content
from freewalk.harness.plan.registry import BuiltInRegistry
from freewalk.harness.plan.settings import Settings
from freewalk.harness.reproducing.document import Reproduction, ScaleName
from freewalk.harness.sweep import Sweep
from freewalk.kernels.machine.threads import processor_name, usable_threads
from freewalk.results.analysis.reproduction import CONFIDENCE, Found, Verdict, judge, verdict_of
from freewalk.results.base.numbers import counted
from freewalk.results.files.export import write_json
from freewalk.results.store.rows import now
from freewalk.results.store.store import Store
from freewalk.results.tables.frames import parameter_columns, parameter_series
from freewalk.results.tables.selection import ExpressionError

VERDICT_NAME = "verdict.json"
"""File of a reproduction's folder that says what it came to."""
CURVES = "curves"
"""The table of a sweep's measurements, each with what its trial is."""
COMMAND_TABLE = "command"
"""The table of what commands print that is no list: a row for each seed."""
_CHECK_MISSED = 3


@dataclass
class Run:
    """A reproduction at a scale, in a folder of its own; made once, then its parts run, and afterwards it is judged.

    Raises
    ------
    UsageError
        If the file's grid or settings are wrong, or need what is not installed.
    """

    reproduction: Reproduction
    scale_name: ScaleName
    directory: Path
    """Its own folder."""
    plugins: Sequence[str | Path] = ()
    """Besides those that the file names."""
    checkpoint_seconds: float = 60.0
    cluster: Cluster | None = None
    sweep: Sweep | None = field(init=False)
    """None where only commands run."""
    commands: Sequence[tuple[int, tuple[str, ...]]] = field(init=False)
    """Seeds and words of what runs after the sweep."""
    _spent: float = field(init=False, default=0.0)
    """Seconds of this run and of earlier ones."""

    def __post_init__(self) -> None:
        one, scale = self.reproduction, self.reproduction.scale(self.scale_name)
        settings = one.settings(self.scale_name)
        self.sweep = None
        if grids := one.grids(self.scale_name):
            try:
                configuration = self._configuration(grids, settings)
                name = sweep_id(by_content(configuration))  # a file that has changed runs beside what it ran before
                folder = self.directory / f"sweep-{name}"
                self.sweep = Sweep(configuration, folder, self.checkpoint_seconds, self.cluster)
            except UsageError as error:
                raise UsageError(f"{one.path}: {error}") from None
        seeds = read_seeds(settings.get("seeds", Settings.model_fields["seeds"].default), f"{one.path}: seeds =")
        self.commands = [
            (seed, tuple(_filled(word, seed, self.directory / f"files-{seed}") for word in each.run))
            for seed in Settings.model_validate({"seeds": seeds}).seeds
            for each in one.commands(self.scale_name)
        ]
        self._spent = self._spent_before()
        self.changed = scale.changed
        """What differs from the publication."""

    def _configuration(self, grids: Sequence[Mapping[str, Any]], settings: Mapping[str, Any]) -> SweepConfiguration:
        specs, tables = specs_and_tables([dict(grid) for grid in grids])
        registry = BuiltInRegistry()
        return resolve(specs, tables=tables, registry=registry, plugins=self._plugins, **settings)

    @property
    def _plugins(self) -> list[Path]:
        """Files of the reproduction's, and of whoever runs it."""
        folder = self.reproduction.path.parent
        return [*(folder / plugin for plugin in self.reproduction.plugins), *map(Path, self.plugins)]

    @property
    def title(self) -> str:
        """The reproduction's name and scale."""
        return f"{self.reproduction.name}, {self.scale_name}"

    @cached_property
    def identity(self) -> str:
        """Name what runs, in 12 hex digits."""
        what = [self.scale_name, self.sweep.sweep_id if self.sweep else None, self.commands]
        return hashlib.sha256(json.dumps(what).encode()).hexdigest()[:12]

    @contextmanager
    def timed(self) -> Iterator[None]:
        """Count the seconds of something that runs, also of what is interrupted."""
        start = time.perf_counter()
        try:
            yield
        finally:
            self._spent += time.perf_counter() - start
            self.directory.mkdir(parents=True, exist_ok=True)
            write_json({"identity": self.identity, "seconds": self._spent}, self.directory / "seconds.json")

    def _spent_before(self) -> float:
        try:
            known = json.loads((self.directory / "seconds.json").read_text(encoding="utf-8"))
            return float(known["seconds"]) if known["identity"] == self.identity else 0.0
        except (OSError, ValueError, KeyError, TypeError):
            return 0.0

    def run_commands(self, said: Callable[[str], None] = lambda text: None) -> None:
        """Run those commands of which the folder has no answer yet.

        Raises
        ------
        UsageError
            If one fails, with the last line that it says.
        """
        for seed, words in self.commands:
            path = self._answer_path(seed, words)
            if path.is_file():
                continue
            said(f"harness {' '.join(words)}")
            path.parent.mkdir(parents=True, exist_ok=True)
            with self.timed():
                answer = self._answered(words)
            write_json(answer, path)

    def _answered(self, words: Sequence[str]) -> Any:
        own = [] if "--json" in words else ["--json"]
        command = [sys.executable, "-m", "freewalk", *words, *own]
        named = os.pathsep.join(str(plugin.resolve()) for plugin in self._plugins)
        environment = {**os.environ, "HARNESS_PLUGIN": named} if named else None
        done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
        if done.returncode in (0, _CHECK_MISSED):
            try:
                return json.loads(done.stdout)
            except ValueError:
                pass
        lines = done.stderr.strip().splitlines() or [f"exit code {done.returncode}, and no JSON"]
        raise UsageError(f"{self.reproduction.path}: harness {' '.join(words)}: {lines[-1]}")

    def _answer_path(self, seed: int, words: Sequence[str]) -> Path:
        name = hashlib.sha256("\0".join(words).encode()).hexdigest()[:12]
        return self.directory / f"answer-{seed}-{name}.json"

    def tables(self) -> dict[str, pd.DataFrame]:
        """Return what has run: the sweep's trials, and what commands have said."""
        found: dict[str, pd.DataFrame] = {}
        if self.sweep is not None:
            trials = self.sweep.tables["trials"]
            planned = {trial.trial_id for trial in self.sweep.plan.trials}
            found["trials"] = ours = trials[trials["trial_id"].isin(planned)]
            if any(entry.table == CURVES for entry in self.reproduction.checks(self.scale_name)):
                with Store.open(self.sweep.directory, read_only=True) as store:
                    found[CURVES] = (
                        store.curves().drop(columns="schema_version").merge(_beside_curves(ours), on="trial_id")
                    )
        rows: dict[str, list[dict[str, Any]]] = {}
        for seed, words in self.commands:
            answer = json.loads(self._answer_path(seed, words).read_text(encoding="utf-8"))
            for name, own in _rows_of(answer).items():
                rows.setdefault(name, []).extend({"seed": seed, **row} for row in own)
        return found | {name: _frame(own) for name, own in rows.items()}

    def judged(self, command: str) -> Judged:
        """Return what the run comes to, and keep it in the folder.

        Raises
        ------
        UsageError
            If a check asks for what the tables do not have.
        """
        entries = self.reproduction.checks(self.scale_name)
        tables = self.tables()
        n_failed = int((tables["trials"]["state"] == "failed").sum()) if "trials" in tables else 0
        try:
            found = judge([entry.check() for entry in entries], tables)
        except ExpressionError as error:
            raise UsageError(f"{self.reproduction.path}: {error}") from None
        verdict = verdict_of(found, self.changed)
        judged = Judged(self, found, verdict, self._spent, n_failed, command, now()[:10], _machine())
        write_json(judged.as_dict(), self.directory / VERDICT_NAME)
        return judged


@dataclass(frozen=True)
class Judged:
    """What a reproduction came to at a scale."""

    run: Run
    found: Sequence[Found]
    """Of its checks, in order."""
    verdict: Verdict
    seconds: float
    """That it took, resumed runs together."""
    n_failed: int
    """Trials that failed, which no check counts."""
    command: str
    """That makes it again."""
    date: str
    machine: str

    def as_dict(self) -> dict[str, Any]:
        """Return it as JSON holds it."""
        one = self.run.reproduction
        return {
            "freewalk": freewalk.__version__,
            "identity": self.run.identity,
            "name": one.name,
            "scale": self.run.scale_name,
            "title": one.title,
            "source": one.source,
            "address": one.address,
            "claim": one.claim,
            "notes": one.notes,
            "changed": self.run.changed,
            "verdict": str(self.verdict),
            "seeds": format_seeds(self.run.sweep.configuration.seeds) if self.run.sweep else None,
            "seconds": round(self.seconds, 1),
            "n_failed": self.n_failed,
            "command": self.command,
            "date": self.date,
            "machine": self.machine,
            "confidence": CONFIDENCE,
            "checks": [
                {
                    **entry.model_dump(exclude={"scale"}),
                    "known": entry.known or one.known,
                    **{name: _finite(value) for name, value in asdict(found).items()},
                }
                for entry, found in zip(one.checks(self.run.scale_name), self.found, strict=True)
            ],
        }


def _finite(value: Any) -> Any:
    """Return a number as JSON has it: words for what is infinite, null for NaN."""
    if not isinstance(value, float) or value - value == 0:
        return value
    return None if value != value else "inf" if value > 0 else "-inf"


def _rows_of(answer: Any) -> dict[str, list[dict[str, Any]]]:
    """Return the tables of a command's JSON: its lists of rows by name, and what stands beside them as one row.

    What stands in a table within it, a in b, is named b_a, and what stands in a list of numbers b, b_0, b_1 and so on.
    Rows of a list have the words of the answer, such as its task.
    """
    if isinstance(answer, list):
        return {COMMAND_TABLE: [row for row in answer if isinstance(row, dict)]}
    flat = dict(_flat(answer))
    lists = {name: value for name, value in flat.items() if isinstance(value, list) and value}
    listed = {name: value for name, value in lists.items() if isinstance(value[0], dict)}
    plain = {name: value for name, value in flat.items() if isinstance(value, int | float | str)}
    words = {name: value for name, value in answer.items() if isinstance(value, str)}
    return {COMMAND_TABLE: [plain], **{name: [words | row for row in rows] for name, rows in listed.items()}}


def _flat(answer: Mapping[str, Any], before: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in answer.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{before}{name}_")
        elif isinstance(value, list) and all(isinstance(one, int | float) for one in value):
            yield from ((f"{before}{name}_{place}", one) for place, one in enumerate(value))
        else:
            yield f"{before}{name}", value


def _frame(rows: Sequence[Mapping[str, Any]]) -> pd.DataFrame:
    """Return rows as a table, its columns of the types that their values have."""
    names = dict.fromkeys(name for row in rows for name in row)
    return pd.DataFrame({name: parameter_series([row.get(name) for row in rows]) for name in names})


def _beside_curves(trials: pd.DataFrame) -> pd.DataFrame:
    """Return what trials are, without what became of them."""
    names = ["trial_id", "task", "method", "seed", "n_weights", *parameter_columns(trials)]
    return trials[names]


def _filled(word: str, seed: int, folder: Path) -> str:
    return word.replace("{seed}", str(seed)).replace("{folder}", str(folder))


def _machine() -> str:
    return f"{processor_name()}, {counted(usable_threads(), 'thread')}"
