"""The files of `harness estimate`: two tables, the same as JSON, and a page."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import pandas as pd

import freewalk
from freewalk.harness.estimates.run import Settings, mattering
from freewalk.harness.plan.plan import Cell
from freewalk.results.base.writing import write_bytes
from freewalk.results.files.export import json_rows, write_csv, write_json
from freewalk.results.report.estimates_page import estimates_page
from freewalk.results.report.estimates_view import PlaceView
from freewalk.results.report.making import refuse_foreign

_HEX_DIGITS = 12
PAGE, JSON = "estimates.html", "estimates.json"


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
    paths = {name: folder / name for name in (PAGE, "estimates.csv", "cosines.csv", JSON)}
    refuse_foreign(paths.values(), identity)
    return paths


def write_files(
    estimates: pd.DataFrame,
    cosines: pd.DataFrame,
    views: Sequence[PlaceView],
    folder: Path,
    *,
    identity: str,
    command: str,
) -> dict[str, Path]:
    """Write the tables, the same as JSON, and the page with what is said of them; return where, by name.

    Raises
    ------
    StoreError
        As `paths_in`, or if something cannot be written; what was there still is.
    """
    paths = paths_in(folder, identity)
    page = estimates_page(views, identity=identity, command=command, version=freewalk.__version__)
    crossings = [{"task": view.task, "at": view.at, **asdict(one)} for view in views for one in view.crossings]
    document = {
        "freewalk": freewalk.__version__,
        "id": identity,
        "command": command,
        "estimates": json_rows(estimates),
        "cosines": json_rows(cosines),
        "crossings": crossings,
    }
    write_bytes(page.encode(), paths[PAGE])
    write_csv(estimates, paths["estimates.csv"])
    write_csv(cosines, paths["cosines.csv"])
    write_json(document, paths[JSON])
    return paths
