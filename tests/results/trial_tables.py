"""Trials tables from a few columns, as a caller of ``summarise`` has them."""

from collections.abc import Sequence
from typing import Any

import pandas as pd

from freewalk.results.schema.schema import TRIAL_COLUMNS, column_names


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
