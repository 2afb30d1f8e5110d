"""The tables that a report makes from trials."""

import pandas as pd

from freewalk.results.ranking import ranking
from freewalk.results.report_schema import RANKING, SENSITIVITY
from freewalk.results.schema import TableName
from freewalk.results.sensitivity import sensitivity


def report_tables(trials: pd.DataFrame, summary: pd.DataFrame | None = None) -> dict[TableName, pd.DataFrame]:
    """Give the ``ranking`` and the ``sensitivity`` of trials; ``summary`` as in ``ranking``."""
    return {RANKING: ranking(trials, summary), SENSITIVITY: sensitivity(trials)}
