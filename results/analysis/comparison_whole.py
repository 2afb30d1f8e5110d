"""Two sides of sweeps, all cells together, and what a check objects to."""

import math
from typing import NamedTuple

import numpy as np
import pandas as pd

from freewalk.results.analysis.comparison import EVALUATIONS, STUDENT, Runs, Sides, log_ratios, student_ratio
from freewalk.results.analysis.contrast import Verdict
from freewalk.results.analysis.matching import Matching
from freewalk.results.analysis.sensitivity import PENALTY
from freewalk.results.statistics.ranks import SIGNED_RANK, SIGNIFICANT, better_suited, mann_whitney, signed_rank
from freewalk.results.statistics.ratio import UNKNOWN, Ratio, pair_ratio, shift_ratio


class Overall(NamedTuple):
    """All cells of a measure together."""

    measure: str
    n_cells: int
    n_units: int
    """What the test counts, on the smaller side: seeds for evaluations, pairs of runs for seconds."""
    ratio: float
    """Of a seed's, or a pair's, geometric mean over the cells: the median over seeds, the mean over pairs of runs."""
    ratio_low: float
    ratio_high: float
    test: str | None
    """None where nothing is tested."""
    p_value: float
    p_worse: float
    """One-sided: small where B is worse."""
    n_worse: int
    """Cells whose verdict this is."""
    n_better: int
    n_missed: int
    """Trials that did not reach the target, of both sides."""


def overall(
    a: pd.DataFrame, b: pd.DataFrame, matching: Matching, comparison: pd.DataFrame, runs: Runs | None = None
) -> list[Overall]:
    """Sum up each measure of a ``comparison``.

    The cells of a sweep share their seeds, and their seconds the machine's state: neither is a sample of its own. So
    the log ratios of the cells are averaged within a seed, or within a pair of runs, and these averages are tested:
    of evaluations by ranks, signed ones where both sides have the same seeds; of seconds by Student's t.
    A trial that did not reach the target counts as twice the most that any of its cell spent.

    Parameters
    ----------
    a, b, matching, runs
        As in ``compare``.
    comparison : pandas.DataFrame
        What ``compare`` made of them.
    """
    sides = Sides(a, b, matching, runs)
    found = []
    for measure in dict.fromkeys(comparison["measure"]):
        rows = comparison[comparison["measure"] == measure]
        n_worse, n_better = (int((rows["verdict"] == verdict).sum()) for verdict in (Verdict.WORSE, Verdict.BETTER))
        n_units, ratio, test, p, p_worse = _evaluations(sides) if measure == EVALUATIONS else _seconds(sides)
        n_missed = int(sum((rows[f"n_{side}"] - rows[f"n_reached_{side}"]).sum() for side in "ab"))
        found.append(Overall(str(measure), len(rows), n_units, *ratio, test, p, p_worse, n_worse, n_better, n_missed))
    return found


def _seconds(sides: Sides) -> tuple[int, Ratio, str | None, float, float]:
    by_run: dict[int, list[float]] = {}
    for _, (one, other) in sides.seconds():
        for run, log in log_ratios(one, other).items():
            by_run.setdefault(run, []).append(log)
    ratio, p, p_worse = student_ratio(np.array([np.mean(logs) for logs in by_run.values()]))
    return len(by_run), ratio, None if math.isnan(p) else STUDENT, p, p_worse


def _evaluations(sides: Sides) -> tuple[int, Ratio, str | None, float, float]:
    by_seed: tuple[dict[int, list[float]], dict[int, list[float]]] = ({}, {})
    for _, pair in sides.evaluations():
        if not any(side.reached.any() for side in pair):
            continue
        dearest = PENALTY * max(1.0, *(float(side.costs.max()) for side in pair))
        logs = [np.log(np.where(side.reached, np.maximum(side.costs, 1), dearest)) for side in pair]
        centre = sum(float(log.mean()) for log in logs) / 2  # so that a seed without this cell is no other for it
        for side, log, seeds in zip(pair, logs, by_seed, strict=True):
            for seed, value in zip(side.seeds.tolist(), (log - centre).tolist(), strict=True):
                seeds.setdefault(seed, []).append(value)
    first, second = ({seed: float(np.mean(values)) for seed, values in seeds.items()} for seeds in by_seed)
    n = min(len(first), len(second))
    if not n:
        return 0, UNKNOWN, None, math.nan, math.nan
    shared = sorted(first.keys() & second.keys())
    n_pairs = len(shared) if len(shared) == len(first) == len(second) else 0
    if better_suited(n_pairs, len(first), len(second), 1) == SIGNED_RANK:
        one, other = (np.array([side[seed] for seed in shared]) for side in (first, second))
        test, ratio = signed_rank(one, other), pair_ratio(np.exp(one), np.exp(other))
    else:
        one, other = (np.array([*side.values()]) for side in (first, second))
        test, ratio = mann_whitney(one, other), shift_ratio(np.exp(one), np.exp(other))
    return n, ratio, test.name, test.p_value, test.p_larger


def regressions(comparison: pd.DataFrame, whole: list[Overall], threshold: float) -> tuple[pd.DataFrame, list[Overall]]:
    """Return what is worse in B by more than a factor, with evidence in that direction.

    A cell is where the one-sided test says that B is worse and the 95 % interval of the ratio lies above the threshold:
    of the expected running times; or of the costs where both reached the target, as long as the expected running times
    have such a ratio too; or B never reached the target. A measure as a whole is where the same holds of it.
    The probability of objecting to anything where nothing differs, 5 %, is shared out evenly: each measure's cells
    (corrected by Holm) and each measure as a whole, as far as so many trials can tell, get their part.

    Parameters
    ----------
    comparison : pandas.DataFrame
    whole : list of Overall
        Of the measures in question.
    threshold : float
        1 or more.

    Returns
    -------
    pandas.DataFrame, list of Overall
        The rows of `comparison`, and the measures as a whole.
    """
    tested = [one for one in whole if one.test is not None and one.n_cells > 1]
    n_questions = len(tested) + comparison[comparison["p_attainable"] < SIGNIFICANT]["measure"].nunique()
    level = SIGNIFICANT / max(1, n_questions)
    told = comparison["p_worse_adjusted"] < level
    beyond = (
        (comparison["ratio_low"] > threshold)
        | ((comparison["cost_ratio_low"] > threshold) & (comparison["ratio"] > threshold))
        | ((comparison["measure"] == EVALUATIONS) & (comparison["n_reached_b"] == 0))
    )
    rows = comparison[(told & beyond).to_numpy(dtype=np.bool_, na_value=False)]
    return rows, [one for one in tested if one.p_worse < level and one.ratio_low > threshold]
