"""The tables that a report makes from trials."""

import pandas as pd

from freewalk.results.analysis.methods import best_of_methods
from freewalk.results.analysis.ranking import ranking
from freewalk.results.analysis.sensitivity import sensitivity
from freewalk.results.schema.report_schema import METHODS, RANKING, SENSITIVITY
from freewalk.results.schema.schema import TableName


def report_tables(trials: pd.DataFrame, summary: pd.DataFrame | None = None) -> dict[TableName, pd.DataFrame]:
    """Give the ``ranking``, the ``methods`` and the ``sensitivity`` of trials; ``summary`` as in ``ranking``."""
    ranked = ranking(trials, summary)
    return {RANKING: ranked, METHODS: best_of_methods(trials, ranked), SENSITIVITY: sensitivity(trials)}
