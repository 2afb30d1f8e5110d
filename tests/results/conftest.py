"""Trials to fill stores with."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from trial_tables import make_trials

from freewalk.results.store.store import CurvePoint, Store, TrialRecord


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
