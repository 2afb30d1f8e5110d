"""What the store is given: planned trials and points of their curves."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple, TypeAlias

import numpy as np

from freewalk.results.base.text import clean_text
from freewalk.results.schema.schema import DType

Scalar: TypeAlias = str | int | float | bool | None
SqlValue: TypeAlias = str | int | float | None

INT64_MIN, INT64_MAX = -(2**63), 2**63 - 1


class CurvePoint(NamedTuple):
    """One measurement of one trial.

    ``step`` in weight updates, ``evaluations`` in forward passes of one datapoint, ``train_seconds`` without
    evaluation and compilation; ``split`` is ``train``, ``heldout`` or ``test``. One point per (step, split, metric).
    """

    step: int
    evaluations: int
    train_seconds: float
    split: str
    metric: str
    value: float


@dataclass(frozen=True, slots=True, kw_only=True)
class TrialRecord:
    """A planned trial: what is known before it runs."""

    trial_id: str
    """Its name, unique in the sweep."""
    task: str
    method: str
    seed: int
    """Within the signed 64-bit range, which is what SQLite and the tables hold."""
    parameters: Mapping[str, Scalar]
    """One ``param_*`` column each, in this order; None and "" mean "does not apply"."""
    metric_name: str | None = None
    target: float | None = None
    backend: str | None = None
    """Also allowed among the fields of ``Store.finish``, as are the next two, when only the run can tell."""
    device: str | None = None
    dtype: str | None = None


def plain(value: object) -> object:
    """Turn a NumPy scalar into the Python scalar it stands for; leave anything else alone."""
    return value.item() if isinstance(value, np.generic) else value


def encode(name: str, dtype: DType, value: object) -> SqlValue:
    """Turn the value of a column into what SQLite stores.

    Parameters
    ----------
    name : str
        The column, for the error.
    dtype : {"Int64", "float64", "boolean", "string"}
        The column's documented type.
    value : object
        A Python or NumPy scalar, or None. NaN becomes NULL; infinities stay.

    Returns
    -------
    str, int, float or None

    Raises
    ------
    ValueError
        The value does not fit the type: stored as it is, it would spoil the whole column on reading.
    """
    value = plain(value)
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return None
    if dtype == "string" and isinstance(value, str):
        return clean_text(value)
    if isinstance(value, int | float):
        if dtype == "float64":
            return float(value)
        if dtype == "boolean" and value in (0, 1):
            return int(value)
        if dtype == "Int64" and _is_int64(value):
            return int(value)
    raise ValueError(f"{name} holds {dtype} values, not {value!r}")


def _is_int64(value: float) -> bool:
    return value == value // 1 and INT64_MIN <= value <= INT64_MAX
