"""Running a reproduction at a scale: its sweep, its commands, and what they come to."""

from __future__ import annotations

import hashlib
import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd
from pydantic import ValidationError

import freewalk
from freewalk.harness.base.defaults_files import NO_DEFAULTS
from freewalk.harness.base.errors import UsageError
from freewalk.harness.cluster.connection import Cluster
from freewalk.harness.parameters.seeds import format_seeds, read_seeds
from freewalk.harness.plan.arguments import specs_and_tables
from freewalk.harness.plan.configuration import SweepConfiguration, resolve, sweep_id
from freewalk.harness.plan.places import by_content
from freewalk.harness.plan.plan import Plan
from freewalk.harness.plan.plugins import load_plugins, sha256_of
from freewalk.harness.plan.registry import BuiltInRegistry
from freewalk.harness.plan.settings import Settings
from freewalk.harness.reproducing.document import Reproduction
from freewalk.harness.reproducing.names import COMMANDS_PREFIX, SWEEP_PREFIX, VERDICT_NAME, ScaleName
from freewalk.harness.sweep import Sweep
from freewalk.kernels.machine.threads import processor_name, usable_threads
from freewalk.results.analysis.reproduction import CONFIDENCE, Found, Verdict, judge, refuse_unknown, verdict_of
from freewalk.results.base.numbers import counted, json_value
from freewalk.results.files.export import write_json
from freewalk.results.schema.schema import PARAMETER_PREFIX, column_names
from freewalk.results.store.rows import now
from freewalk.results.store.store import Store
from freewalk.results.tables.frames import frame_of, parameter_columns, parameter_series
from freewalk.results.tables.selection import ExpressionError, select

CURVES = "curves"
"""The table of a sweep's measurements, each with what its trial is."""
COMMAND_TABLE = "command"
"""The table of what commands print that is no list: a row for each seed."""
_CHECK_MISSED = 3


@dataclass(frozen=True)
class SeedCommand:
    """A command of the harness, for a seed."""

    seed: int
    words: tuple[str, ...]
    """After `harness`."""
    answer: Path
    """Where its JSON is kept."""


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
    commands: Sequence[SeedCommand] = field(init=False)
    """What runs after the sweep."""
    identity: str = field(init=False)
    """Of what runs, 12 hex digits."""
    _spent: float = field(init=False, default=0.0)
    """Seconds of this run and of earlier ones."""

    def __post_init__(self) -> None:
        one = self.reproduction
        settings = one.settings(self.scale_name)
        self.sweep = None
        try:
            settings["seeds"] = _checked_seeds(settings)
            if grids := one.grids(self.scale_name):
                configuration = self._configuration(grids, settings)
                name = sweep_id(by_content(configuration))  # a file that has changed runs beside what it ran before
                folder = self.directory / f"{SWEEP_PREFIX}{name}"
                self.sweep = Sweep(configuration, folder, self.checkpoint_seconds, self.cluster)
            self.commands = self._commands(settings["seeds"])
        except UsageError as error:
            raise UsageError(f"{one.path}: {_as_in_a_file(str(error))}") from None
        answers = [each.answer.name for each in self.commands]
        self.identity = _digest([self.scale_name, self.sweep.sweep_id if self.sweep else None, answers])
        self._spent = self._spent_before()
        self._refuse_unknown_columns()

    def _commands(self, seeds: Sequence[int]) -> list[SeedCommand]:
        """Return what runs after the sweep; commands or plug-ins that have changed run beside what they ran before."""
        if not (listed := self.reproduction.commands(self.scale_name)):
            return []
        digests = sorted(map(sha256_of, load_plugins(self._plugins)))
        name = _digest([digests, [each.run for each in listed]])
        folder = self.directory / f"{COMMANDS_PREFIX}{name}"
        return [
            SeedCommand(
                seed,
                tuple(_filled(word, seed, folder / f"files-{seed}") for word in each.run),
                folder / f"answer-{seed}-{place}-{name}.json",
            )
            for seed in seeds
            for place, each in enumerate(listed, start=1)
        ]

    def _refuse_unknown_columns(self) -> None:
        """Raise UsageError for a check of a column or of trials that there will not be: before, not after hours."""
        if self.sweep is None:
            return
        planned = _planned(self.sweep.plan)
        tables = _tables_to_be(planned)
        for entry in self.reproduction.checks(self.scale_name):
            if self.commands and entry.table not in tables:
                continue
            check, where = entry.check(), f"{self.reproduction.path}: check {entry.claim!r}"
            try:
                refuse_unknown(check, tables)
            except ExpressionError as error:
                raise UsageError(f"{where}: {error}") from None
            for rows in filter(None, (check.where, check.against)):
                with suppress(ExpressionError):  # which are of what will come of trials
                    if select(planned, rows).empty:
                        raise UsageError(f"{where}: no planned trial is one where {rows}; correct that, or the grid")

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
    def changed(self) -> str:
        """What differs from the publication."""
        return self.reproduction.scale(self.scale_name).changed

    @property
    def title(self) -> str:
        """The reproduction's name and scale."""
        return f"{self.reproduction.name}, {self.scale_name}"

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
        """Run those commands of which the folder has no answer yet, several seeds at a time where there are threads.

        Raises
        ------
        UsageError
            If one fails, with the last line that it says.
        """
        left: dict[int, list[SeedCommand]] = {}
        for each in self.commands:
            if not each.answer.is_file():
                left.setdefault(each.seed, []).append(each)
        if not left:
            return
        at_a_time = min(len(left), usable_threads())
        n_threads = usable_threads() // at_a_time

        def run(commands: Sequence[SeedCommand]) -> None:
            for each in commands:
                said(f"harness {' '.join(each.words)}")
                each.answer.parent.mkdir(parents=True, exist_ok=True)
                write_json(self._answered(each.words, n_threads), each.answer)

        pool = ThreadPoolExecutor(at_a_time)
        with self.timed():
            try:
                for done in as_completed([pool.submit(run, commands) for commands in left.values()]):
                    done.result()
            finally:
                pool.shutdown(cancel_futures=True)

    def _answered(self, words: Sequence[str], n_threads: int) -> Any:
        own = [] if "--json" in words else ["--json"]
        command = [sys.executable, "-m", "freewalk", *words, *own]
        named = os.pathsep.join(str(plugin.resolve()) for plugin in self._plugins)
        # neither variables nor defaults files of whoever runs it may sway what was published
        environment = {name: value for name, value in os.environ.items() if not name.startswith("HARNESS_")}
        environment |= {"NUMBA_NUM_THREADS": str(n_threads), "HARNESS_THREADS": str(n_threads), NO_DEFAULTS: "1"}
        if named:
            environment["HARNESS_PLUGIN"] = named
        done = subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, encoding="utf-8", check=False, env=environment
        )
        problem = "it prints no JSON; give a command that does with --json"
        if done.returncode in (0, _CHECK_MISSED):
            with suppress(ValueError):
                answer = json.loads(done.stdout)
                if isinstance(answer, list | dict):
                    return answer
        else:
            lines = done.stderr.strip().splitlines() or [f"it ends with exit code {done.returncode} and no word"]
            problem = lines[-1].removeprefix("harness: ").removeprefix("error: ")
        raise UsageError(f"{self.reproduction.path}: harness {' '.join(words)}: {problem}")

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
        for each in self.commands:
            answer = json.loads(each.answer.read_text(encoding="utf-8"))
            for name, answered in _rows_of(answer).items():
                rows.setdefault(name, []).extend({"seed": each.seed, **row} for row in answered)
        return found | {name: _frame(answered) for name, answered in rows.items()}

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
        found: dict[str, Any] = {
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
                    **asdict(check),
                }
                for entry, check in zip(one.checks(self.run.scale_name), self.found, strict=True)
            ],
        }
        return {name: json_value(value, nan=None) for name, value in found.items()}


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
    names = ["trial_id", "state", "task", "method", "seed", "n_weights", *parameter_columns(trials)]
    return trials[names]


def _planned(plan: Plan) -> pd.DataFrame:
    """Return what is known of a plan's trials before they run."""
    trials = plan.trials
    known = {"task": [trial.cell.task for trial in trials], "method": [trial.cell.method for trial in trials]}
    frame = pd.DataFrame({name: pd.Series(words, dtype="string") for name, words in known.items()})
    frame["seed"] = pd.Series([trial.seed for trial in trials], dtype="Int64")
    for name in plan.parameter_names:
        frame[PARAMETER_PREFIX + name] = parameter_series([trial.cell.parameters.get(name) for trial in trials])
    return frame


def _tables_to_be(planned: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """Return tables of a sweep with nothing in them but what is planned."""
    trials = frame_of("trials", [dict.fromkeys(column_names("trials"))] * len(planned), planned)
    curves = frame_of("curves", [dict.fromkeys(column_names("curves"))] * len(planned)).drop(columns="schema_version")
    return {"trials": trials, CURVES: curves.join(_beside_curves(trials).drop(columns="trial_id"))}


def _checked_seeds(settings: Mapping[str, Any]) -> tuple[int, ...]:
    seeds = settings.get("seeds", Settings.model_fields["seeds"].default)
    try:
        return Settings.model_validate({"seeds": read_seeds(seeds, "seeds =")}).seeds
    except (ValidationError, TypeError):
        raise UsageError(f"seeds = {seeds!r}: give whole numbers, or a range such as '0:10'") from None


def _as_in_a_file(message: str) -> str:
    """Return a message that names an option as one that names a key."""
    option = re.match(r"--([a-z-]+) ", message)
    if option is None:
        return message
    key = option[1].replace("-", "_")
    return f"{key} {'' if key in ('grid', 'plugin') else '= '}{message[option.end() :]}"


def _digest(what: Any) -> str:
    return hashlib.sha256(json.dumps(what).encode()).hexdigest()[:12]


def _filled(word: str, seed: int, folder: Path) -> str:
    return word.replace("{seed}", str(seed)).replace("{folder}", str(folder))


def _machine() -> str:
    return f"{processor_name()}, {counted(usable_threads(), 'thread')}"
