"""By how much a cost may be too high because trials are looked at now and then; nothing where the tables do not say."""

import math
from collections.abc import Iterable

import pandas as pd

from freewalk.results.base.numbers import counted, is_missing, percent
from freewalk.results.report.subject import Row

_TOO_FINE = 0.001


def share_of_cost(cell: Row) -> float:
    """Return the resolution of a cell's expected evaluations as a share of them; NaN where it is not known."""
    cost, resolution = float(cell["ert_evaluations"]), cell.get("ert_resolution", math.nan)
    known = not is_missing(resolution) and math.isfinite(resolution) and math.isfinite(cost)
    return (min(float(resolution) / cost, 1.0) if cost else 0.0) if known else math.nan


def resolution_text(cell: Row) -> str:
    """Say how coarse a cell's cost is: ``up to 4 % less between looks; 2 of 6 at the first look``."""
    share = share_of_cost(cell)
    n_first = 0 if is_missing(cell.get("n_first_look")) else int(cell["n_first_look"])
    parts = [f"up to {percent(share)} less between looks"] if share >= _TOO_FINE else []
    if n_first:
        n_reached = int(cell["n_reached"])
        parts.append(f"{'' if n_first == n_reached else f'{n_first} of {n_reached} '}met at the first look")
    return "; ".join(parts)


def coarsest(cells: Iterable[Row]) -> str:
    """Say how coarse the costs of several cells are; nothing where that is not known, or next to nothing."""
    shares = [share for cell in cells if (share := share_of_cost(cell)) >= _TOO_FINE]
    if not shares:
        return ""
    least, most = percent(min(shares)), percent(max(shares))
    size = most if least == most else f"{least} to {most}"
    return f"Looks make costs up to {size} too high."


def unconfirmed_text(trials: pd.DataFrame) -> str:
    """Say how many looks of some trials met the target by luck alone; nothing where none did, or it is not known."""
    if "n_unconfirmed" not in trials.columns:
        return ""
    looks = trials["n_unconfirmed"].fillna(0).to_numpy(int)
    n, of = int(looks.sum()), int((looks > 0).sum())
    return f"{counted(n, 'look')} of {counted(of, 'trial')} met the target, but not on fresh datapoints" if n else ""
