"""The intervals of the tables and reports, for arrays of your own; trials that missed their target count too."""

from freewalk.results.statistics.cell import expected_running_time
from freewalk.results.statistics.ratio import Ratio, running_time_ratio

__all__ = ["Ratio", "expected_running_time", "running_time_ratio"]
