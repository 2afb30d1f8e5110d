"""Why trials of a sweep have failed, told without a trace in its folder."""

import csv
from collections import Counter
from pathlib import Path

from freewalk.results.schema.schema import State
from freewalk.results.store.database import DATABASE_NAME, naming
from freewalk.results.store.listing import TABLE_NAME, reading
from freewalk.results.store.lock import is_being_written

_REASONS = "SELECT coalesce(error, ''), count(*) FROM trials WHERE state = ? GROUP BY error"


def failures_in(directory: Path) -> list[tuple[str, int]]:
    """Return the reasons for which trials of a sweep have failed, and how many for each, the commonest first.

    Raises
    ------
    StoreError
        The store cannot be read.
    """
    path = directory / DATABASE_NAME
    if path.exists():
        with naming(path), reading(path, writing=is_being_written(directory)) as connection:
            found = Counter(dict(connection.execute(_REASONS, [State.FAILED]).fetchall()))
    else:
        with (directory / TABLE_NAME).open(encoding="utf-8", newline="") as file:
            found = Counter(row.get("error") or "" for row in csv.DictReader(file) if row["state"] == State.FAILED)
    return found.most_common()
