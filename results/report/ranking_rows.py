"""A task's ranking as the rows of a table."""

import math
from dataclasses import dataclass
from typing import Final

from freewalk.results.base.numbers import MISSING, between, interval, percent, seconds, significant
from freewalk.results.report.palette import N_SERIES
from freewalk.results.report.resolution import resolution_text
from freewalk.results.report.subject import Row, Task

ROWS_AT_ONCE: Final = 10
"""Rows that are seen without unfolding the others."""
MAX_ROWS: Final = 60
AT_LEAST: Final = "at least"


@dataclass(frozen=True)
class RankingRow:
    """A cell of the ranking, in words."""

    number: int
    coloured: bool
    """Whether the plots show it in its own colour."""
    values: tuple[str, ...]
    """Its method where there are several, and the parameters that vary."""
    reached: str
    rate: float
    rate_low: float
    rate_high: float
    """The success rate and its interval; NaN without a complete trial."""
    evaluations: str
    resolution: str
    """How coarse that is; empty where it is not known."""
    interval: str
    ratio: str
    """What it costs by what the first cell costs; empty for the first, and where the table does not say."""
    ratio_interval: str
    time: str
    loss: str
    first_wins: str
    """How often a trial of the first cell beats one of this."""
    behind: str
    """How it compares with the first, and how sure it is that they differ."""


def ranking_rows(task: Task) -> list[RankingRow]:
    """Return the first ``MAX_ROWS`` cells."""
    return [_row(task, place, cell) for place, cell in enumerate(task.cells[:MAX_ROWS])]


def _row(task: Task, place: int, cell: Row) -> RankingRow:
    return RankingRow(
        number=place + 1,
        coloured=place < N_SERIES and cell["n_complete"] > 0,
        values=tuple(text for _, text in task.values(cell)),
        reached=f"{cell['n_reached']}/{cell['n_complete']}" if cell["n_complete"] else MISSING,
        rate=float(cell["success_rate"]),
        rate_low=float(cell["success_rate_low"]),
        rate_high=float(cell["success_rate_high"]),
        evaluations=significant(float(cell["ert_evaluations"])),
        resolution=resolution_text(cell),
        interval=interval(float(cell["ert_evaluations_low"]), float(cell["ert_evaluations_high"])),
        ratio=ratio_text(cell) if place else "",
        ratio_interval=_ratio_interval(cell) if place else "",
        time=seconds(float(cell["ert_seconds"])),
        loss=significant(float(cell["loss_final_iqm"])),
        first_wins=percent(float(cell["superiority"])) if place else "",
        behind=_behind(place, cell),
    )


def ratio_text(cell: Row) -> str:
    """Return a cell's cost by the first's: 1.3, or at least 3.2 where it never reached the target."""
    ratio, low = float(cell.get("ratio", math.nan)), float(cell.get("ratio_low", math.nan))
    if math.isnan(ratio):
        return ""
    if math.isinf(ratio) and math.isfinite(low) and low > 0:
        return f"{AT_LEAST} {significant(low, 2)}"
    return significant(ratio, 2)


def _ratio_interval(cell: Row) -> str:
    low, high = float(cell.get("ratio_low", math.nan)), float(cell.get("ratio_high", math.nan))
    is_bound = math.isinf(float(cell.get("ratio", math.nan)))
    return "" if is_bound or math.isnan(low) else between(significant(low, 2), significant(high, 2))


def _behind(place: int, cell: Row) -> str:
    if place == 0 or cell["n_complete"] == 0:
        return ""
    if math.isnan(float(cell["p_adjusted"])):
        return MISSING
    p = float(cell["p_adjusted"])
    text = "p < 0.001" if p < 0.001 else f"p = {significant(p, 2)}"
    return f"{cell['verdict']}, {text}"
