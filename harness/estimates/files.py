"""The files of `harness estimate`: two tables, the same as JSON, and a page."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pandas as pd

import freewalk
from freewalk.harness.estimates.run import Measured, Settings, mattering
from freewalk.harness.estimates.tables import tables_of
from freewalk.harness.plan.plan import Cell
from freewalk.results.base.writing import write_bytes
from freewalk.results.files.export import write_csv, write_json
from freewalk.results.report.estimates_page import estimates_page
from freewalk.results.report.estimates_view import place_views
from freewalk.results.report.making import refuse_foreign

_HEX_DIGITS = 12
_PAGE = "estimates.html"


def identity_of(cells: Sequence[Cell], settings: Settings) -> str:
    """Return 12 hex digits that depend on what is measured and how, and on nothing else."""
    weights = None if settings.weights is None else hashlib.sha256(settings.weights.tobytes()).hexdigest()
    how = {name: getattr(settings, name) for name in ("at", "seed", "precision", "most_steps", "backend")}
    what = [[cell.task, cell.method, mattering(cell)] for cell in cells]
    text = json.dumps([what, how, weights], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:_HEX_DIGITS]


def paths_in(folder: Path, identity: str) -> dict[str, Path]:
    """Return where the files lie, by their names.

    Raises
    ------
    StoreError
        If one that something else has written is in their place.
    """
    paths = {name: folder / name for name in (_PAGE, "estimates.csv", "cosines.csv", "estimates.json")}
    refuse_foreign(paths.values(), identity)
    return paths


def write_files(measured: Sequence[Measured], folder: Path, *, identity: str, command: str) -> str:
    """Write the files and return the JSON document.

    Raises
    ------
    StoreError
        As `paths_in`, or if something cannot be written; what was there still is.
    """
    estimates, cosines = tables_of(measured)
    paths = paths_in(folder, identity)
    page = estimates_page(estimates, cosines, identity=identity, command=command, version=freewalk.__version__)
    crossings = [
        {"task": view.task, "at": view.at, **asdict(one)}
        for view in place_views(estimates, cosines)
        for one in view.crossings
    ]
    document = {
        "freewalk": freewalk.__version__,
        "id": identity,
        "command": command,
        "estimates": _rows(estimates),
        "cosines": _rows(cosines),
        "crossings": crossings,
    }
    write_bytes(page.encode(), paths[_PAGE])
    write_csv(estimates, paths["estimates.csv"])
    write_csv(cosines, paths["cosines.csv"])
    write_json(document, paths["estimates.json"])
    return paths["estimates.json"].read_text(encoding="utf-8")


def _rows(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """Return a table as JSON holds it: null where there is no number."""
    rows: list[dict[str, Any]] = json.loads(frame.to_json(orient="records", double_precision=15))
    return rows
