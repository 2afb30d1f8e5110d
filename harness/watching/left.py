"""How long a sweep that another process runs will take, told from its store alone."""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

from freewalk.harness.terminal.remaining import Remaining
from freewalk.results.schema.schema import State
from freewalk.results.store.database import DATABASE_NAME, naming
from freewalk.results.store.listing import reading

_LEAST_SECONDS = 0.5
"""Of running, before a pace is taken from it."""
_ENDED = (State.COMPLETE, State.FAILED)

_TRIALS = """SELECT position, task || char(10) || method || char(10) || parameters, state, evaluations,
    evaluations_budget, coalesce(train_seconds, 0) + coalesce(evaluation_seconds, 0), started_at, finished_at
    FROM trials"""
_UNDER_WAY = """SELECT position, max(curves.evaluations), max(curves.train_seconds)
    FROM trials JOIN curves USING (position) WHERE state = 'running' GROUP BY position"""


class Left(NamedTuple):
    """What is left."""

    seconds: float
    is_expected: bool
    """Whether trials have ended early, so that it is more than an upper bound."""


def time_left(directory: Path, now: datetime | None = None) -> Left | None:
    """Estimate what is left of a running sweep, at the pace that it has had so far.

    Of each trial counts which share of its budget it has spent, as long as some trial of its cell has ended and so told
    the budget; the pace is what trials have computed over the time in which any was under way.

    Parameters
    ----------
    directory : Path
        Folder of the sweep.
    now : datetime, optional
        When it is.

    Returns
    -------
    Left or None
        None as long as nothing can be told.

    Raises
    ------
    StoreError
        The store cannot be read.
    """
    path = directory / DATABASE_NAME
    with naming(path), reading(path, writing=True) as connection:
        rows = connection.execute(_TRIALS).fetchall()
        under_way = {position: rest for position, *rest in connection.execute(_UNDER_WAY)}
    budgets = {kind: budget for _, kind, _, _, budget, *_ in rows if budget}
    remaining = Remaining([1.0] * len(rows), [kind for _, kind, *_ in rows])
    spans = []
    for place, (position, kind, state, evaluations, _, seconds, started, finished) in enumerate(rows):
        budget = budgets.get(kind)
        if state in _ENDED:
            if state == State.COMPLETE:
                remaining.advance(place, evaluations / budget if evaluations is not None and budget else 1.0, seconds)
            remaining.end(place)
            spans.append((started, finished))
        elif state == State.RUNNING:
            spent, taken = under_way.get(position, (0, 0.0))
            if budget and spent:
                remaining.advance(place, spent / budget, taken or 0.0)
            spans.append((started, None))
    elapsed = _covered(spans, now or datetime.now(UTC))
    done = remaining.done
    if done <= 0 or elapsed < _LEAST_SECONDS:
        return None
    seconds = remaining.left * elapsed / done
    return Left(seconds, remaining.knows_ends) if math.isfinite(seconds) else None


def _covered(spans: Sequence[tuple[str | None, str | None]], now: datetime) -> float:
    """Return the seconds that lie in at least one span; one without an end goes on until now."""
    known = sorted(
        (datetime.fromisoformat(start), now if end is None else datetime.fromisoformat(end))
        for start, end in spans
        if start is not None
    )
    covered, until = 0.0, None
    for start, end in known:
        begin = start if until is None or start > until else until
        if end > begin:
            covered += (end - begin).total_seconds()
            until = end
    return covered
