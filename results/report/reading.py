"""Reading what a report is made from; nothing is changed, and the sweep may be running."""

import hashlib
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Final

import pandas as pd

from freewalk.results.analysis.methods import best_of_methods
from freewalk.results.analysis.ranking import ranking
from freewalk.results.analysis.sensitivity import sensitivity
from freewalk.results.analysis.summary import summarise
from freewalk.results.files.sources import Source, read_source
from freewalk.results.report.subject import Tables, TaskNote
from freewalk.results.store.database import DATABASE_NAME

_LONGEST_CONFIGURATION: Final = 100_000


@dataclass(frozen=True)
class Snapshot:
    """A sweep as it was when it was read, and the tables that follow from its trials, made when they are asked for."""

    source: Source
    curves: pd.DataFrame | None
    """None where there are none."""
    curves_in_progress: pd.DataFrame | None
    document: str
    """The text of ``sweep.toml``; empty where there is none."""
    folder: str
    """The name of its folder."""
    notes: Mapping[str, TaskNote]
    """What is known of tasks besides, by name."""

    @cached_property
    def summary(self) -> pd.DataFrame:
        """The ``summary`` table of the trials that count."""
        return summarise(self.source.counted)

    @cached_property
    def ranking(self) -> pd.DataFrame:
        """The ``ranking`` table."""
        return ranking(self.source.counted, self.summary)

    @cached_property
    def methods(self) -> pd.DataFrame:
        """The ``methods`` table."""
        return best_of_methods(self.source.counted, self.ranking)

    @cached_property
    def tables(self) -> Tables:
        """Everything that a report is made from."""
        source = self.source
        configuration = _cut(self.document)
        settings = _settings(configuration)
        return Tables(
            trials=source.counted,
            n_doubled=len(source.trials) - len(source.counted),
            curves=self.curves,
            curves_in_progress=self.curves_in_progress,
            summary=self.summary,
            ranking=self.ranking,
            methods=self.methods,
            sensitivity=sensitivity(source.counted),
            name=str(settings.get("name") or self.folder),
            sweep_id=_sweep_id(source.trials),
            configuration=configuration,
            axes=_axes(settings),
            settings=[*source.settings.values()] or [settings],
            environment=source.environment or {},
            notes=self.notes,
        )


def read_snapshot(path: Path, notes: Mapping[str, TaskNote]) -> Snapshot:
    """Read a sweep.

    Parameters
    ----------
    path : Path
        A sweep's folder, with a store or CSV files only, or a ``trials.csv``.
    notes : mapping of str to TaskNote
        What is known of tasks besides, by name.

    Raises
    ------
    StoreError
        There is no sweep, or it cannot be read.
    """
    source = read_source(path)
    folder = folder_of(path)
    return Snapshot(
        source,
        _curves(source, folder),
        source.curves_in_progress(),
        _file(folder) if source.document is None else source.document,
        folder.resolve().name,
        notes,
    )


def read_tables(path: Path, notes: Mapping[str, TaskNote]) -> Tables:
    """Read a sweep as `read_snapshot` does; return its tables."""
    return read_snapshot(path, notes).tables


def folder_of(path: Path) -> Path:
    """Return the folder in which a sweep lies."""
    return path if path.is_dir() else path.parent


def _curves(source: Source, folder: Path) -> pd.DataFrame | None:
    there = (folder / DATABASE_NAME).exists() or (folder / "curves.csv").exists()
    return source.curves() if there else None


def _sweep_id(trials: pd.DataFrame) -> str:
    """Name the sweep; merged ones by a digest of all their names."""
    names = sorted(trials["sweep_id"].dropna().unique())
    return str(names[0]) if len(names) == 1 else hashlib.sha256("\n".join(names).encode()).hexdigest()[:12]


def _file(folder: Path) -> str:
    try:
        return (folder / "sweep.toml").read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return ""  # the tables say what was run, only not in this form


def _cut(text: str) -> str:
    cut = len(text) > _LONGEST_CONFIGURATION
    return f"{text[:_LONGEST_CONFIGURATION]}\n… the rest is in sweep.toml\n" if cut else text


def _settings(configuration: str) -> dict[str, object]:
    try:
        return tomllib.loads(configuration)
    except (ValueError, RecursionError):  # no TOML, or numbers and brackets beyond what Python reads
        return {}


def _axes(settings: Mapping[str, object]) -> frozenset[str]:
    grids = settings.get("grid")
    tables = grids if isinstance(grids, list) else []
    return frozenset(key for table in tables if isinstance(table, dict) for key in table)
