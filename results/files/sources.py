"""A sweep to read from: its folder, with a store or with CSV files alone, or a ``trials.csv``."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Final

import pandas as pd

from freewalk.results.analysis.cells import counted_once
from freewalk.results.base.errors import StoreError
from freewalk.results.schema.configuration import DOCUMENT, run_settings
from freewalk.results.schema.environment import machine_name, read_environment
from freewalk.results.schema.report_schema import ORIGINS
from freewalk.results.schema.schema import PARAMETER_PREFIX, SCHEMA_VERSION, State
from freewalk.results.store.data import DataRow, DataSets, recorded
from freewalk.results.store.database import DATABASE_NAME
from freewalk.results.store.store import Store
from freewalk.results.tables.frames import build_frame, column_dtypes
from freewalk.results.tables.reading import read_table

ORIGINS_NAME: Final = "origins.csv"


@dataclass(frozen=True)
class Source:
    """One sweep's tables and what they were made on."""

    path: Path
    """As it was given."""
    trials: pd.DataFrame
    origins: pd.DataFrame = field(repr=False)
    """The ``origins`` table, row by row as ``trials``: sweep, folder and machine of each trial."""
    environment: dict[str, Any] | None = field(repr=False)
    """What ``environment.json`` says; None without one that can be read."""
    settings: Mapping[str, Mapping[str, Any]] = field(default_factory=dict, repr=False)
    """How the trials of each sweep were run, by sweep_id, see ``run_settings``; only a store tells."""
    document: str | None = field(default=None, repr=False)
    """The text of ``sweep.toml`` as the store has it, where it does: the file may have been edited."""

    data: list[DataRow] = field(default_factory=list, repr=False)
    """Which data the trials were trained on, as the store has it; nothing without one."""

    @cached_property
    def counted(self) -> pd.DataFrame:
        """The trials that may be counted as independent, see ``counted_once``."""
        return counted_once(self.trials)

    def settings_of_trials(self) -> dict[str, Mapping[str, Any]]:
        """Return by trial_id how each trial was run; nothing for one of which nobody knows."""
        known = zip(self.origins["trial_id"], self.origins["sweep_id"], strict=True)
        return {trial: self.settings[sweep] for trial, sweep in known if sweep in self.settings}

    @property
    def machines(self) -> list[str | None]:
        """The machines that ran the complete trials, sorted; None among them, last, where nothing tells."""
        names = self.origins["machine"][(self.trials["state"] == State.COMPLETE).fillna(False)]
        return [*sorted(names.dropna().unique()), *([None] if names.isna().any() else [])]

    def curves_in_progress(self) -> pd.DataFrame | None:
        """Read the curves so far of trials that have not ended; None without a store, which alone has them."""
        if self.path.is_dir() and (self.path / DATABASE_NAME).exists():
            with Store.open(self.path, read_only=True) as store:
                return store.curves_in_progress()
        return None

    def curves(self) -> pd.DataFrame:
        """Read the ``curves`` table.

        Raises
        ------
        StoreError
            There is none, or it cannot be read.
        """
        folder = self.path if self.path.is_dir() else self.path.parent
        if self.path.is_dir() and (folder / DATABASE_NAME).exists():
            with Store.open(folder, read_only=True) as store:
                return store.curves()
        return read_table(folder / "curves.csv", "curves")


def read_source(path: Path) -> Source:
    """Read the trials of a sweep; older layouts are brought up to date in memory.

    Parameters
    ----------
    path : Path
        A sweep's folder, also one that holds its CSV files only, or a ``trials.csv``.

    Raises
    ------
    StoreError
        There is no sweep, or it cannot be read.
    """
    folder = path if path.is_dir() else path.parent
    environment = read_environment(folder)
    settings: Mapping[str, Mapping[str, Any]] = {}
    document = None
    if path.is_dir() and (folder / DATABASE_NAME).exists():
        with Store.open(folder, read_only=True) as store:
            trials = store.trials()
            configuration = store.configuration()
            settings = run_settings(configuration, store.sweep_id)
            document = str(configuration[DOCUMENT]) if DOCUMENT in configuration else None
    elif path.is_dir() and not (folder / "trials.csv").exists():
        raise StoreError(f"{path} holds no sweep: check the path")
    else:
        trials = read_table(folder / "trials.csv" if path.is_dir() else path)
    data = recorded(folder) if path.is_dir() else []
    origins = _origins(trials, path, folder, environment)
    return Source(path, trials, origins, environment, settings, document, data)


def named_alike(a: Source, b: Source) -> Source:
    """Return B with its data named as A names them where they are equal, so that their cells are the same.

    Raises
    ------
    StoreError
        A and B have other data under the same name.
    """
    sets = DataSets()
    for source in (a, b):
        sets.add(source.path, source.data, source.environment)
    names = [name for name in b.trials.columns if name.startswith(PARAMETER_PREFIX)]
    keys = [name.removeprefix(PARAMETER_PREFIX) for name in names]
    trials = b.trials.copy() if any(row.places for row in b.data) else b.trials
    for place in {f"{PARAMETER_PREFIX}{place}" for row in b.data for place in row.places} & set(names):
        columns = [b.trials[name].astype(object).where(b.trials[name].notna(), None) for name in names]
        rows = zip(b.trials["task"], *columns, strict=True)
        found = [sets.named_alike(b.data, task, dict(zip(keys, values, strict=True))) for task, *values in rows]
        trials[place] = pd.Series([one[place.removeprefix(PARAMETER_PREFIX)] for one in found], dtype="string")
    return replace(b, trials=trials)


def _origins(trials: pd.DataFrame, path: Path, folder: Path, environment: dict[str, Any] | None) -> pd.DataFrame:
    found: dict[str, list[Any]]
    if (folder / ORIGINS_NAME).exists():
        known = read_table(folder / ORIGINS_NAME, ORIGINS).drop_duplicates("trial_id").set_index("trial_id")
        found = {name: list(known[name].reindex(trials["trial_id"])) for name in ("sweep_id", "source", "machine")}
    else:
        found = {"sweep_id": list(trials["sweep_id"])}
        found |= {"source": [str(path)] * len(trials), "machine": [machine_name(environment)] * len(trials)}
    found |= {"schema_version": [SCHEMA_VERSION] * len(trials), "trial_id": list(trials["trial_id"])}
    columns = {name: pd.Series(found[name], dtype=dtype) for name, dtype in column_dtypes(ORIGINS).items()}
    return build_frame(ORIGINS, columns)
