"""Trials to fill stores with."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from freewalk.results.schema import TRIAL_COLUMNS, column_names
from freewalk.results.store import CurvePoint, Store, TrialRecord


def make_record(trial_id: str, **changes: Any) -> TrialRecord:
    values: dict[str, Any] = {
        "trial_id": trial_id,
        "task": "xor",
        "method": "walk",
        "seed": 0,
        "parameters": {"stddev": 0.01, "hidden": 30},
        "metric_name": "rows_right",
        "target": 1.0,
    }
    return TrialRecord(**(values | changes))


def make_curve(length: int = 3, value: float = 0.5) -> list[CurvePoint]:
    return [CurvePoint(step, 2 * step, step / 8, "heldout", "loss", value / (step + 1)) for step in range(length)]


def make_trials(rows: Sequence[dict[str, Any]], parameters: Sequence[str] = ()) -> pd.DataFrame:
    """Make a trials table as a caller of ``summarise`` has it: complete unless a row says else."""
    defaults = {
        "schema_version": 1,
        "sweep_id": "s",
        "state": "complete",
        "task": "xor",
        "method": "walk",
        "seed": 0,
    }
    frame = pd.DataFrame([defaults | row for row in rows])
    frame = frame.reindex(columns=column_names("trials", parameters))
    return frame.astype({column.name: column.dtype for column in TRIAL_COLUMNS})


@pytest.fixture
def record() -> Callable[..., TrialRecord]:
    return make_record


@pytest.fixture
def curve() -> Callable[..., list[CurvePoint]]:
    return make_curve


@pytest.fixture
def trials_table() -> Callable[..., pd.DataFrame]:
    return make_trials


@pytest.fixture
def store(tmp_path: Path) -> Any:
    with Store.create(tmp_path / "sweep", {"task": "xor"}) as opened:
        yield opened
