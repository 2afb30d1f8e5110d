"""Trials that are complete in one sweep and failed, unfinished or absent in another."""

from typing import Final, NamedTuple

import numpy as np
import pandas as pd

from freewalk.results.analysis.cells import Rows
from freewalk.results.analysis.matching import Matching
from freewalk.results.schema.schema import State

_LONGEST: Final = 160
_NONE: Final[Rows] = np.array([], dtype=np.intp)


class Lost(NamedTuple):
    """Complete trials of a cell of A that have no complete partner in B."""

    row: int
    """A row of A's ``trials`` in that cell."""
    n: int
    """Trials."""
    reason: str
    """What became of them in B, in words."""


def lost_trials(a: pd.DataFrame, b: pd.DataFrame, matching: Matching) -> list[Lost]:
    """Find the cells of A of which B has fewer complete trials, or failed and unfinished ones that A does not have.

    Seeds need not be the same: where all trials of B are complete, their number decides.

    Parameters
    ----------
    a, b : pandas.DataFrame
        The ``trials`` tables.
    matching : Matching
        Their cells, from ``match_cells``.

    Returns
    -------
    list of Lost
        In the order of A.
    """
    found = []
    for rows_a, rows_b in [*matching.pairs, *((rows, _NONE) for rows in matching.alone_a)]:
        complete, seeds = _complete(a, rows_a)
        there, _ = _complete(b, rows_b)
        if not complete.size:
            continue
        broken = rows_b[~np.isin(rows_b, there)]
        excused = ~np.isin(b["seed"].to_numpy(np.int64, na_value=-1)[broken], seeds[~np.isin(rows_a, complete)])
        broken = broken[excused]
        absent = max(0, complete.size - len(rows_b))
        if broken.size + absent:
            found.append(Lost(int(rows_a[0]), int(broken.size + absent), _reason(b.iloc[broken], absent)))
    return sorted(found)


def _complete(trials: pd.DataFrame, rows: Rows) -> tuple[Rows, Rows]:
    """Return the complete rows among some, and the seeds of all of these."""
    states = (trials["state"].iloc[rows] == State.COMPLETE).to_numpy(np.bool_, na_value=False)
    return rows[states], trials["seed"].to_numpy(np.int64, na_value=-1)[rows]


def _reason(broken: pd.DataFrame, absent: int) -> str:
    n_failed = int((broken["state"] == State.FAILED).sum())
    errors = [" ".join(str(error).split())[:_LONGEST] for error in broken["error"].dropna().head(1)]
    counts = {
        f"failed: {errors[0]}" if errors else "failed": n_failed,
        "unfinished": len(broken) - n_failed,
        "missing": absent,
    }
    return "; ".join(f"{count} {word}" for word, count in counts.items() if count)
