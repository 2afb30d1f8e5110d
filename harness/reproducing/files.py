"""The files of `harness reproduce`: all verdicts that a folder holds as a table, as JSON and as a page."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import freewalk
from freewalk.harness.reproducing.names import VERDICT_NAME
from freewalk.results.base.writing import write_bytes
from freewalk.results.files.export import write_csv, write_json
from freewalk.results.report.making import refuse_foreign
from freewalk.results.report.reproductions_page import PAGE_SIGN, reproductions_page
from freewalk.results.report.reproductions_view import reproductions_table

PAGE, JSON, TABLE = "reproductions.html", "reproductions.json", "reproductions.csv"


def paths_in(folder: Path) -> dict[str, Path]:
    """Return where the files lie, by name.

    Raises
    ------
    StoreError
        If one that something else has written is in their place.
    """
    paths = {name: folder / name for name in (PAGE, JSON, TABLE)}
    refuse_foreign(paths.values(), PAGE_SIGN)
    return paths


def verdicts_in(folder: Path) -> list[dict[str, Any]]:
    """Return every verdict that a folder holds, in the order of names and scales; what cannot be read is left out."""
    found = []
    for path in sorted(folder.glob(f"*/{VERDICT_NAME}")):
        try:
            one = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            continue
        if isinstance(one, dict) and {"name", "scale", "checks"} <= one.keys():
            found.append(one)
    return sorted(found, key=lambda one: (one["name"], one["scale"] != "quick"))


def write_files(folder: Path, found: Sequence[Mapping[str, Any]]) -> dict[str, Path]:
    """Write the files of some verdicts; return where they lie, by name.

    Raises
    ------
    StoreError
        As `paths_in`, or if something cannot be written; what was there still is.
    """
    paths = paths_in(folder)
    write_csv(reproductions_table(found), paths[TABLE])
    write_json(list(found), paths[JSON])
    write_bytes(reproductions_page(found, version=freewalk.__version__).encode(), paths[PAGE])
    return paths
