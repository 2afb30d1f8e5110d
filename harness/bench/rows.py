"""The rows of the tables that the suite writes, and files that hold them as soon as they are known."""

from __future__ import annotations

import csv
import dataclasses
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

SCHEMA_VERSION = 1
_LONGEST_NOTE = 240

Verdict = Literal["green", "red", "not run"]


@dataclass(frozen=True)
class CheckRow:
    """One check of the device."""

    check: str
    """What is compared with what."""
    case: str
    quantity: str
    """What was measured."""
    measured: float | None
    allowed: float | None
    verdict: Verdict
    seconds: float
    note: str = ""


@dataclass(frozen=True)
class TimingRow:
    """One implementation at one workload; a step is one of all its trials."""

    workload: str
    implementation: str
    device: str
    n_trials: int
    batch_size: int
    hidden: int
    timesteps: int
    unit: str
    median: float | None
    q25: float | None
    q75: float | None
    least: float | None
    rounds: int
    steps_a_round: int
    trial_steps_per_second: float | None
    ratio_to_freewalk: float | None
    """How many times longer than freewalk's; the median over rounds that timed both."""
    relative_error: float | None
    """Of an update, checked before timing."""
    note: str = ""


@dataclass(frozen=True)
class FloorRow:
    """One workload's count of operations beside freewalk's time."""

    workload: str
    n_trials: int
    batch_size: int
    hidden: int
    timesteps: int
    normals: int
    multiply_adds: int
    instructions: int
    bound: str
    unit: str
    floor: float
    measured: float
    share: float
    """The floor over the measured time."""


class CsvFile:
    """A new CSV file; every row is on disk when `write` returns."""

    def __init__(self, path: Path, row: type[Any]) -> None:
        self._file = path.open("x", encoding="utf-8", newline="")
        self._names = [field.name for field in dataclasses.fields(row)]
        self._writer = csv.writer(self._file, lineterminator="\n")
        self._put(["schema_version", *self._names])

    def write(self, row: Any) -> None:
        """Append a row."""
        self._put([SCHEMA_VERSION, *(_cell(getattr(row, name)) for name in self._names)])

    def _put(self, cells: Sequence[object]) -> None:
        self._writer.writerow(cells)
        self._file.flush()

    def close(self) -> None:
        """Close the file."""
        self._file.close()


def _cell(value: object) -> object:
    if value is None:
        return ""
    return repr(value) if isinstance(value, float) else value


def replace_text(path: Path, text: str) -> None:
    """Write a file whole, or leave the one that stood there."""
    temporary = path.with_name(f".{path.name}.new")
    temporary.write_text(text, encoding="utf-8")
    os.replace(temporary, path)


def short_error(error: BaseException) -> str:
    """Return an error's kind and message on one line, shortened."""
    text = " ".join(f"{type(error).__name__}: {error}".split())
    return text if len(text) <= _LONGEST_NOTE else text[: _LONGEST_NOTE - 1] + "…"
