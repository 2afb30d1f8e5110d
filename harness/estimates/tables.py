"""The tables `estimates` and `cosines` of what was measured."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from freewalk.harness.estimates.run import Measured, mattering
from freewalk.harness.parameters.parameters import PARAMETERS
from freewalk.results.schema.estimates_schema import COSINES, ESTIMATES
from freewalk.results.schema.schema import PARAMETER_PREFIX, TableName
from freewalk.results.tables.frames import frame_of, parameter_series


def tables_of(measured: Sequence[Measured]) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return the tables `estimates` and `cosines`."""
    used = {name for one in measured for name in mattering(one.cell)}
    names = [name for name in PARAMETERS if name in used]

    def frame(table: TableName, rows: Sequence[tuple[Measured, Mapping[str, Any]]]) -> pd.DataFrame:
        columns = {
            PARAMETER_PREFIX + name: parameter_series([mattering(one.cell).get(name) for one, _ in rows])
            for name in names
        }
        return frame_of(table, [row for _, row in rows], pd.DataFrame(columns))

    return (
        frame(ESTIMATES, [(one, row) for one in measured for row in one.rows]),
        frame(COSINES, [(one, row) for one in measured for row in one.cosines]),
    )
