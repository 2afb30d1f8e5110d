"""Two cells set against each other: success rate, cost of success, and both together, each in its own direction."""

import math
from enum import StrEnum
from functools import lru_cache
from typing import Any, Final, NamedTuple

import numpy as np
from scipy.special import gammaln

from freewalk.results.analysis.cells import Bools, Rows, TrialArrays
from freewalk.results.statistics.cell import Estimate, Floats
from freewalk.results.statistics.effect import paired_superiority, superiority
from freewalk.results.statistics.intervals import rate_difference_interval
from freewalk.results.statistics.ranks import (
    SIGNED_RANK,
    SIGNIFICANT,
    RankTest,
    better_suited,
    mann_whitney,
    signed_rank,
    smallest_p,
)
from freewalk.results.statistics.ratio import Ratio, pair_ratio, running_time_ratio, shift_ratio

ALIKE_COST: Final = 1.25
"""Cells are alike where the interval of the ratio of their costs lies within a factor of this,"""
ALIKE_RATE: Final = 0.1
"""and that of the difference of their success rates within this."""


class Verdict(StrEnum):
    """How a cell compares with another."""

    WORSE = "worse"
    """Told apart, and nothing speaks for it."""
    BETTER = "better"
    """Told apart, and nothing speaks against it."""
    TRADE_OFF = "trade-off"
    """Success rate and cost point in different directions."""
    ALIKE = "alike"
    """The intervals of both differences lie within the bounds."""
    UNCLEAR = "unclear"
    """Neither: more seeds would tell."""


class Outcomes(NamedTuple):
    """The complete trials of a cell, those whose cost is known."""

    seeds: Rows
    costs: Floats
    """Evaluations to the target, or all that were spent."""
    reached: Bools
    budget: float
    """Evaluations that a trial may spend; NaN where nobody says."""
    resolution: float = math.nan
    """Evaluations by which the expected running time may be too high because of looks; NaN where nobody says."""

    @classmethod
    def of(cls, trials: TrialArrays, rows: Rows) -> "Outcomes":
        """Take the complete trials with a known cost among some rows."""
        costs = trials.spent("evaluations")[rows]
        known = rows[trials.complete[rows] & ~np.isnan(costs)]
        budgets = trials.numbers["evaluations_budget"][known]
        budget = float(np.nanmax(budgets)) if np.isfinite(budgets).any() else math.nan
        reached = trials.reached[known]
        resolution = (
            float(trials.numbers["evaluations_resolution"][known][reached].mean()) if reached.any() else math.nan
        )
        return cls(trials.seeds[known], trials.spent("evaluations")[known], reached, budget, resolution)

    @property
    def scores(self) -> Floats:
        """The costs as logarithms; +inf for a trial that missed the target, which is worse than any that did not."""
        return np.where(self.reached, np.log1p(self.costs), math.inf)

    def at(self, places: Rows) -> "Outcomes":
        """Return some of the trials, in another order."""
        return self._replace(seeds=self.seeds[places], costs=self.costs[places], reached=self.reached[places])


def rank_test(a: Floats, seeds_a: Rows, b: Floats, seeds_b: Rows, n_tests: int) -> tuple[RankTest, Estimate]:
    """Test the scores of two cells, and say how often one beats the other: as pairs of equal seeds where that suits.

    Parameters
    ----------
    a, b : ndarray of float64, shape (n_a,) and (n_b,)
        At least one each; less is better.
    seeds_a, seeds_b : ndarray of int
        The seed of each.
    n_tests : int
        How many tests are made of which the clearest is believed.
    """
    _, places, partners = np.intersect1d(seeds_a, seeds_b, return_indices=True)
    if better_suited(len(places), a.size, b.size, n_tests) == SIGNED_RANK:
        first, second = a[places], b[partners]
        return signed_rank(first, second), paired_superiority(first, second)
    return mann_whitney(a, b), superiority(a, b)


class Contrast(NamedTuple):
    """What success rates and costs say of B beside A."""

    ratio: Ratio
    """Of the expected running times, failures counted in."""
    cost_ratio: Ratio
    """Median ratio of the costs where both reached the target."""
    rate_direction: int
    """1 where B's success rate is told apart as lower (so B is worse), -1 as higher, 0 where it is not."""
    cost_direction: int
    """The same of the costs of those that reached it: 1 where B's are told apart as higher."""
    is_alike: bool


def contrast(a: Outcomes, b: Outcomes, n_tests: int) -> Contrast:
    """Compare the success rates and the costs of two cells, each on its own.

    Success rates by Fisher's exact test (trials with equal seeds vary together, which makes it err on the safe side);
    costs by ranks, as pairs of equal seeds where all trials have a partner and enough pairs reached the target on both
    sides. Both p-values are multiplied by the number of tests.

    Parameters
    ----------
    a, b : Outcomes
        At least one trial each.
    n_tests : int
        How many tests are made of which the clearest is believed.
    """
    seeds, places, partners = np.intersect1d(a.seeds, b.seeds, return_indices=True)
    is_paired = len(seeds) == a.seeds.size == b.seeds.size
    if is_paired:  # in the order of the seeds, so that equal trials stand side by side
        a, b = a.at(places), b.at(partners)
    ratio = running_time_ratio(a.costs, a.reached, b.costs, b.reached, budget_a=a.budget, budget_b=b.budget)
    test, cost_ratio = _costs(a, b, is_paired, n_tests)
    hits_a, hits_b = int(a.reached.sum()), int(b.reached.sum())
    counts = (hits_a, a.reached.size, hits_b, b.reached.size)
    p_rate = fisher_exact(*counts)
    low, high = rate_difference_interval(*counts)
    is_alike = (
        cost_ratio.low >= 1 / ALIKE_COST
        and cost_ratio.high <= ALIKE_COST
        and 1 / ALIKE_COST <= ratio.estimate <= ALIKE_COST
        and low >= -ALIKE_RATE
        and high <= ALIKE_RATE
    )
    lower = int(np.sign(hits_a / counts[1] - hits_b / counts[3]))
    return Contrast(
        ratio,
        cost_ratio,
        lower if p_rate * n_tests < SIGNIFICANT else 0,
        test.direction if test.p_value * n_tests < SIGNIFICANT else 0,
        is_alike,
    )


@lru_cache(maxsize=1024)  # scipy's takes milliseconds, and the cells of a sweep are many and alike
def fisher_exact(successes_a: int, n_a: int, successes_b: int, n_b: int) -> float:
    """Test whether two success rates differ: the probability of tables that are no likelier than this one.

    Source: R. A. Fisher, Statistical Methods for Research Workers, 5th edition (1934).
    """
    total = successes_a + successes_b
    here = np.arange(max(0, total - n_b), min(n_a, total) + 1)
    there = total - here
    logs = -(gammaln(here + 1) + gammaln(n_a - here + 1) + gammaln(there + 1) + gammaln(n_b - there + 1))
    likelihood = np.exp(logs - logs.max())
    observed = likelihood[successes_a - here[0]]
    return float(min(1.0, likelihood[likelihood <= observed * (1 + 1e-7)].sum() / likelihood.sum()))


def _costs(a: Outcomes, b: Outcomes, is_paired: bool, n_tests: int) -> tuple[RankTest, Ratio]:
    """Compare the costs of the trials that reached the target."""
    both = a.reached & b.reached if is_paired else np.zeros(0, np.bool_)
    n = int(both.sum())
    if n and better_suited(n, n, n, n_tests) == SIGNED_RANK:
        first, second = (np.maximum(s.costs[both], 1) for s in (a, b))  # an untrained network may meet the target
        return signed_rank(np.log(first), np.log(second)), pair_ratio(first, second)
    first, second = (np.maximum(s.costs[s.reached], 1) for s in (a, b))
    return mann_whitney(first, second), shift_ratio(first, second)


def judge(found: Contrast | None, direction: int) -> Verdict:
    """Say how B compares with A.

    Parameters
    ----------
    found : Contrast or None
        None where no cost is known, or nobody reached the target: then only the direction counts.
    direction : int
        Of the test of both together: 1 where B is told apart as worse, -1 as better, 0 where it is not told apart.
    """
    evidence = {direction}
    if found is not None:
        evidence |= {found.rate_direction, found.cost_direction}
        if direction and not math.isnan(found.ratio.estimate):
            # On average and in most trials are two things: a few failures may cost more than all others gain.
            evidence.add(int(found.ratio.estimate > 1) - int(found.ratio.estimate < 1))
    if {1, -1} <= evidence:
        return Verdict.TRADE_OFF
    if direction:
        return Verdict.WORSE if direction > 0 else Verdict.BETTER
    return Verdict.ALIKE if found is not None and found.is_alike else Verdict.UNCLEAR


def beside_first(found: Contrast | None, test: RankTest, sizes: tuple[int, int], n_tests: int) -> dict[str, Any]:
    """Return what the tables say of a cell that ranks behind the first.

    Parameters
    ----------
    found : Contrast or None
        None as in ``judge``.
    test : RankTest
        Of both together.
    sizes : pair of int
        Trials of the first and of the cell.
    n_tests : int
        How many tests are made of which the clearest is believed.
    """
    verdict = judge(found, test.direction if test.p_value * n_tests < SIGNIFICANT else 0)
    ratios = {} if found is None else ends("ratio", found.ratio) | ends("cost_ratio", found.cost_ratio)
    return ratios | {
        "test": test.name,
        "p_value": test.p_value,
        "p_adjusted": min(1.0, test.p_value * n_tests),
        "p_attainable": min(1.0, smallest_p(test.name, *sizes) * n_tests),
        # It ranks behind, so something speaks against it.
        "verdict": str(Verdict.TRADE_OFF if verdict == Verdict.BETTER else verdict),
    }


def ends(name: str, found: tuple[float, float, float]) -> dict[str, float]:
    """Return an estimate and its interval by the names of their columns."""
    return dict(zip((name, f"{name}_low", f"{name}_high"), found, strict=True))
