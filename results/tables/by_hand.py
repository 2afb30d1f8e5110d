"""Trials tables that somebody made by hand: a few columns are enough, the others follow from them or are missing."""

import hashlib
import json
import math
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final, TypeAlias

import pandas as pd

from freewalk.results.base.errors import StoreError, UnreadColumns
from freewalk.results.base.names import nearest
from freewalk.results.schema.records import INT64_MAX
from freewalk.results.schema.schema import PARAMETER_PREFIX, SCHEMA_VERSION, TRIAL_COLUMNS, DType, Outcome, State

Row: TypeAlias = dict[str, str]
"""The texts of a line, by the names of their columns; empty where nothing is given."""

NEEDED: Final = ("task", "method", "seed", "evaluations")
"""Columns that nothing else stands for; besides, ``reached`` or ``outcome`` has to say how each trial ended."""

_TYPES: Final[Mapping[str, DType]] = {column.name: column.dtype for column in TRIAL_COLUMNS}
_WORDS: Final = {"state": [word.value for word in State], "outcome": [word.value for word in Outcome]}
_MISSING: Final = {"", "nan", "na", "n/a", "<na>", "none", "null"}
_TRUTH: Final = {"true": "True", "yes": "True", "1": "True", "false": "False", "no": "False", "0": "False"}
_DIGITS: Final = 12
_FIRST_LINE: Final = 2
"""Of a file, below its header."""


def completed(raw: pd.DataFrame, path: Path) -> pd.DataFrame:
    """Return a table of texts with every column of a trials table, in any order.

    A trial is complete unless its state says otherwise or it has an error. One that has reached its target did so with
    all its evaluations, unless evaluations_to_target says otherwise; one that has not used up its budget, unless its
    outcome says otherwise. Its name follows from its cell and its seed.

    Parameters
    ----------
    raw : pandas.DataFrame
        What stands in the file, as texts.
    path : Path
        The file, for messages.

    Raises
    ------
    StoreError
        A needed column is not there, a value is not what its column holds, or a cell and seed come twice: with the line
        of the file.

    Warns
    -----
    UnreadColumns
        Columns are none of a trials table.
    """
    names = [str(name).strip() for name in raw.columns]
    unread = _unread(names, path)
    rows: list[Row] = []
    lines: dict[str, int] = {}
    for line, texts in enumerate(zip(*(raw.iloc[:, place] for place in range(len(names))), strict=True), _FIRST_LINE):
        given = {name: text.strip() for name, text in zip(names, texts, strict=True) if name not in unread}
        if not any(given.values()):  # as spreadsheets leave below a table
            continue
        try:
            row = _row(given)
            if "trial_id" not in given:
                row["trial_id"] = _trial_id(row)
                if (first := lines.setdefault(row["trial_id"], line)) != line:
                    raise ValueError(
                        f"the same task, method, parameters and seed as line {first}; what tells them apart needs a"
                        f" column {_parameter(unread)}"
                    )
        except ValueError as error:
            raise StoreError(f"{path}, line {line}: {error}") from None
        rows.append(row)
    sweep = _digest(sorted({(row["task"], row["method"]) for row in rows}))
    parameters = [name for name in names if name.startswith(PARAMETER_PREFIX)]
    if unread:
        columns = f"column{'s' * (len(unread) > 1)} {', '.join(unread)}"
        warnings.warn(
            f"{path}: nothing is read of the {columns}; a parameter needs a name such as {_parameter(unread)}",
            UnreadColumns,
            stacklevel=2,
        )
    defaults = {"schema_version": str(SCHEMA_VERSION), "sweep_id": sweep}
    return pd.DataFrame(
        {name: [row.get(name) or defaults.get(name, "") for row in rows] for name in (*_TYPES, *parameters)}, dtype=str
    )


def _unread(names: Sequence[str], path: Path) -> list[str]:
    """Return the columns that are none of a trials table.

    Raises
    ------
    StoreError
        One comes twice, or a needed one is not there.
    """
    unread = [name for name in names if name not in _TYPES and not name.startswith(PARAMETER_PREFIX)]
    missing = [name for name in NEEDED if name not in names]
    if not {"reached", "outcome"} & {*names}:
        missing.append("reached")
    if missing:
        if len(missing) > len(NEEDED):  # none of them: it is hardly such a table at all
            raise StoreError(
                f"{path} is not a trials table: it has none of the columns {', '.join(NEEDED)}; check the path"
            )
        meant = nearest(missing[0], [name for name in unread if name.isidentifier()])
        raise StoreError(
            f"{path} is not a trials table: it has no column {missing[0]!r}{meant}; needed are {', '.join(NEEDED)}, and"
            " reached or outcome, with commas between the columns"
        )
    if twice := [name for name in names if names.count(name) > 1]:
        raise StoreError(f"{path} has two columns {twice[0]!r}: leave one out")
    return unread


def _row(given: Row) -> Row:
    """Return a line with what follows from what is given; ValueError if that is wrong."""
    row = {name: _read(name, text) for name, text in given.items()}
    for name in ("task", "method", "seed"):
        if not row[name]:
            raise ValueError(f"{name} is missing")
    row["state"] = row.get("state") or (State.FAILED if row.get("error") else State.COMPLETE)
    reached, outcome = row.get("reached"), row.get("outcome")
    if row["state"] != State.COMPLETE:
        return row | {"outcome": "", "reached": ""}
    if not reached and not outcome:
        raise ValueError("neither reached nor outcome says how the trial ended")
    if reached and outcome and (reached == "True") != (outcome == Outcome.REACHED):
        raise ValueError(f"reached is {reached}, and outcome is {outcome!r}")
    if not row["evaluations"]:
        raise ValueError("evaluations is missing")
    row["reached"] = reached or str(outcome == Outcome.REACHED)
    row["outcome"] = outcome or (Outcome.REACHED if reached == "True" else Outcome.EXHAUSTED)
    if row["reached"] == "True":
        row["evaluations_to_target"] = row.get("evaluations_to_target") or row["evaluations"]
        if int(row["evaluations_to_target"]) > int(row["evaluations"]):
            raise ValueError("evaluations_to_target is above evaluations, all that the trial spent")
    return row


def _read(name: str, text: str) -> str:
    """Return a value as today's tables have it; ValueError if it is not what the column holds."""
    kind = _TYPES.get(name, "string")
    if name in _WORDS and text:
        if text.lower() not in _WORDS[name]:
            raise ValueError(f"{name} is {text!r}, not one of {', '.join(_WORDS[name])}")
        return text.lower()
    if kind == "string":
        return text
    if text.lower() in _MISSING:
        return ""
    if kind == "boolean":
        if text.lower().removesuffix(".0") not in _TRUTH:
            raise ValueError(f"{name} is {text!r}, neither True nor False")
        return _TRUTH[text.lower().removesuffix(".0")]
    number = _number(text)
    if kind == "float64":
        if math.isnan(number):
            raise ValueError(f"{name} is {text!r}, not a number")
        return text
    if not (number.is_integer() and 0 <= number <= INT64_MAX):
        raise ValueError(f"{name} is {text!r}, not a whole number of at least 0")
    return text if text.isdecimal() else str(int(number))  # pandas writes 12.0 where others of the column are missing


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return math.nan


def _trial_id(row: Row) -> str:
    cell = {name: text for name, text in row.items() if name.startswith(PARAMETER_PREFIX) and text}
    return _digest([row["task"], row["method"], cell, row["seed"]])


def _digest(value: object) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:_DIGITS]


def _parameter(unread: Sequence[str]) -> str:
    """Return what the column of a parameter would be called."""
    return PARAMETER_PREFIX + next(iter(unread), "NAME")
