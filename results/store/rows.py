"""From trials, fields and curve points to the store's rows."""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Final

from freewalk.results.base.text import clean_text
from freewalk.results.schema.layout import CURVE_CHECKSUM, PLAN_CHECKSUM, POINT, RESULT_CHECKSUM, STORED_COLUMNS, quoted
from freewalk.results.schema.records import CurvePoint, SqlValue, TrialRecord, encode, plain
from freewalk.results.schema.schema import CURVE_COLUMNS, DType, Outcome, State
from freewalk.results.store.checksums import plan_checksum

_DTYPES: Final[dict[str, DType]] = {column.name: column.dtype for column in STORED_COLUMNS}
_PLANNED: Final = [
    "trial_id",
    "task",
    "method",
    "seed",
    "metric_name",
    "target",
    "backend",
    "device",
    "dtype",
]
# What a run finds out, and what a new run of the same trial must not inherit.
RESULTS: Final = [name for name in _DTYPES if name not in {*_PLANNED, "state"}]
BLANK: Final = [*RESULTS, RESULT_CHECKSUM, CURVE_CHECKSUM]
# What the plan may leave open and the run may fill in.
_LATE: Final = ["metric_name", "target", "backend", "device", "dtype"]

_TRIAL: Final = ["position", "parameters", "state", *_PLANNED, PLAN_CHECKSUM]
INSERT_TRIAL: Final = (
    f"INSERT INTO trials ({quoted(_TRIAL)}) VALUES ({', '.join('?' * len(_TRIAL))}) ON CONFLICT (trial_id) DO NOTHING"
)
INSERT_POINT: Final = f"INSERT INTO curves (position, {quoted(POINT)}) VALUES (?, {', '.join('?' * len(POINT))})"
REPLACE_POINT: Final = INSERT_POINT.replace("INSERT", "INSERT OR REPLACE", 1)
_POINT_DTYPES: Final[dict[str, DType]] = {c.name: c.dtype for c in CURVE_COLUMNS if c.name in POINT}


def now() -> str:
    """Return the time as the tables write it: ISO 8601, UTC, milliseconds."""
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def planned(trials: Iterable[TrialRecord], first: int) -> Iterator[list[SqlValue]]:
    """Yield the rows for ``INSERT_TRIAL``, numbered in plan order from ``first``.

    Raises
    ------
    ValueError
        A value does not fit its column.
    """
    for position, trial in enumerate(trials, start=first):
        values = {name: encode(name, _DTYPES[name], getattr(trial, name)) for name in _PLANNED}
        row = {"position": position, "parameters": _parameters_json(trial), "state": State.PENDING.value, **values}
        yield [*row.values(), plan_checksum(row)]


def _parameters_json(trial: TrialRecord) -> str:
    parameters = {name: plain(value) for name, value in trial.parameters.items()}
    for name, value in parameters.items():
        if not (value is None or isinstance(value, str | int | float)):
            raise ValueError(f"parameter {name} of trial {trial.trial_id} is not a scalar: {value!r}")
    texts = {name: clean_text(value) for name, value in parameters.items() if isinstance(value, str)}
    return json.dumps({**parameters, **texts})


def concluded(state: State, fields: Mapping[str, object]) -> dict[str, SqlValue]:
    """Return every column that the end of a trial sets; what ``fields`` leaves out becomes missing.

    Only ``started_at`` and what the plan already said stay as they are.

    Raises
    ------
    ValueError
        A field is unknown, or its value does not fit the column.
    """
    blank: dict[str, SqlValue] = dict.fromkeys(name for name in RESULTS if name != "started_at")
    if unknown := sorted(fields.keys() - {*RESULTS, *_LATE}):
        raise ValueError(f"trials have no result column {unknown[0]}")
    if fields.get("outcome") is not None:
        Outcome(str(fields["outcome"]))
    encoded = {name: encode(name, _DTYPES[name], value) for name, value in fields.items()}
    return {**blank, "finished_at": now(), **encoded, "state": state.value}


def curve(trial_id: str, points: Sequence[CurvePoint]) -> list[list[SqlValue]]:
    """Return the rows for ``INSERT_POINT``, without the position.

    Raises
    ------
    ValueError
        A value does not fit its column, or two points share step, split and metric.
    """
    if len({(point.step, point.split, point.metric) for point in points}) != len(points):
        raise ValueError(f"trial {trial_id} has two curve points for one (step, split, metric)")
    return [[encode(name, _POINT_DTYPES[name], getattr(point, name)) for name in POINT] for point in points]
