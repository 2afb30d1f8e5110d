"""The files of `harness tune`: tables, the winners as a grid, the same as JSON, and a page."""

from __future__ import annotations

from pathlib import Path

import freewalk
from freewalk.harness.tuning.tune import FRESH, Tuning
from freewalk.results.analysis.tuning import mean_ranks, rounds_table
from freewalk.results.base.writing import write_bytes
from freewalk.results.files.export import json_rows, write_csv, write_json, write_text
from freewalk.results.report.making import refuse_foreign
from freewalk.results.report.tuning_page import tuning_page

PAGE, JSON, GRID = "tuning.html", "tuning.json", "tuned.toml"
_TABLES = ("tuned.csv", "rounds.csv")


def paths_in(folder: Path, identity: str) -> dict[str, Path]:
    """Return where the files lie, by their names.

    Raises
    ------
    StoreError
        If one that something else has written is in their place.
    """
    paths = {name: folder / name for name in (PAGE, JSON, GRID, *_TABLES)}
    refuse_foreign((paths[PAGE], paths[JSON]), identity)
    return paths


def write_files(tuning: Tuning, *, command: str) -> dict[str, Path]:
    """Write all files of a tuning that has run; return where they lie, by name.

    Raises
    ------
    StoreError
        As `paths_in`, or if something cannot be written; what was there still is.
    """
    paths = paths_in(tuning.directory, tuning.identity)
    facts, rounds, trials = tuning.facts, tuning.rounds(), tuning.tables[FRESH]
    tables = tuning.tuned, rounds_table(rounds)
    about = {"identity": tuning.identity, "command": command, "version": freewalk.__version__}
    document = {
        "freewalk": freewalk.__version__,
        "id": tuning.identity,
        "command": command,
        "tuned": json_rows(tables[0]),
        "ranks": json_rows(mean_ranks(facts, trials)),
        "rounds": json_rows(tables[1]),
    }
    for name, table in zip(_TABLES, tables, strict=True):
        write_csv(table, paths[name])
    write_text(f"# Found by {command}\n{tuning.document()}", paths[GRID])
    write_bytes(tuning_page(facts, rounds, trials, **about).encode(), paths[PAGE])
    write_json(document, paths[JSON])
    return paths
