"""Success rates and costs, each in its own direction, and the word that both together come to."""

import math
from typing import Any

import numpy as np
import pytest
from scipy import stats

from freewalk.results.analysis.contrast import Contrast, Outcomes, Verdict, contrast, fisher_exact, judge
from freewalk.results.statistics.ratio import Ratio


def outcomes(costs: Any, reached: Any = None, budget: float = math.nan, first_seed: int = 0) -> Outcomes:
    costs = 1000 * np.asarray(costs, dtype=np.float64)
    hit = np.ones(costs.size, bool) if reached is None else np.asarray(reached, bool)
    return Outcomes(np.arange(costs.size) + first_seed, costs, hit, budget)


@pytest.mark.parametrize(
    "counts", [(10, 10, 5, 10), (0, 8, 0, 5), (3, 7, 1, 20), (29, 30, 30, 30), (100, 400, 150, 400)]
)
def test_fisher_as_scipy_has_it(counts: tuple[int, int, int, int]) -> None:
    k_a, n_a, k_b, n_b = counts
    theirs = stats.fisher_exact([[k_a, n_a - k_a], [k_b, n_b - k_b]]).pvalue
    assert fisher_exact(*counts) == pytest.approx(theirs)
    assert fisher_exact(k_b, n_b, k_a, n_a) == pytest.approx(theirs)


def test_rates_and_costs_have_their_own_directions() -> None:
    luck = np.random.default_rng(0).lognormal(size=30)
    a = outcomes(luck)
    dear = contrast(a, outcomes(2 * luck), 1)
    assert (dear.rate_direction, dear.cost_direction) == (0, 1)
    assert dear.cost_ratio == (pytest.approx(2), pytest.approx(2), pytest.approx(2))
    half = np.arange(30) % 2 == 0
    swift = contrast(a, outcomes(np.where(half, luck / 2, 50), half), 1)
    assert (swift.rate_direction, swift.cost_direction) == (1, -1)
    assert swift.cost_ratio.estimate == pytest.approx(0.5)
    back = contrast(outcomes(np.where(half, luck / 2, 50), half), a, 1)
    assert (back.rate_direction, back.cost_direction) == (-1, 1)
    # Of so many tests nothing is left to believe.
    assert contrast(a, outcomes(np.where(half, luck / 2, 50), half), 10**9)[2:4] == (0, 0)
    # Other seeds are no pairs, and the luck is in the way.
    assert contrast(a, outcomes(1.2 * luck, first_seed=100), 1).cost_direction == 0
    assert contrast(a, outcomes(1.2 * luck), 1).cost_direction == 1


def test_alike_takes_bounds_on_costs_and_on_rates() -> None:
    luck = np.random.default_rng(0).lognormal(size=60)
    nearly = luck * np.random.default_rng(1).lognormal(0, 0.1, size=60)
    assert contrast(outcomes(luck), outcomes(nearly), 1).is_alike
    assert not contrast(outcomes(luck[:20]), outcomes(nearly[:20]), 1).is_alike, "a fifth of the trials may fail"
    assert not contrast(outcomes(luck), outcomes(nearly, first_seed=100), 1).is_alike, "no pairs, wide intervals"
    assert not contrast(outcomes(luck), outcomes(1.3 * luck), 1).is_alike
    some = np.arange(60) >= 4
    assert not contrast(outcomes(luck), outcomes(luck, some), 1).is_alike


def found(ratio: float, rate: int, cost: int, *, alike: bool = False) -> Contrast:
    return Contrast(Ratio(ratio, 0.1, 9.0), Ratio(1.0, 0.1, 9.0), rate, cost, alike)


@pytest.mark.parametrize(
    ("contrasted", "direction", "verdict"),
    [
        (found(2.0, 1, 1), 1, Verdict.WORSE),
        (found(2.0, 0, 0), 1, Verdict.WORSE),
        (found(0.5, -1, -1), -1, Verdict.BETTER),
        (found(math.inf, 1, 0), 1, Verdict.WORSE),
        (found(math.nan, 0, 0), 1, Verdict.WORSE),
        (None, 1, Verdict.WORSE),
        (None, -1, Verdict.BETTER),
        (None, 0, Verdict.UNCLEAR),
        (found(2.0, 1, -1), 1, Verdict.TRADE_OFF),
        (found(0.8, 1, -1), -1, Verdict.TRADE_OFF),
        (found(0.8, 1, 0), 1, Verdict.TRADE_OFF),
        (found(1.6, 0, -1), -1, Verdict.TRADE_OFF),
        (found(1.0, 1, -1), 0, Verdict.TRADE_OFF),
        (found(1.6, 1, 1), 0, Verdict.UNCLEAR),
        (found(1.0, 0, 0), 0, Verdict.UNCLEAR),
        (found(1.0, 0, 0, alike=True), 0, Verdict.ALIKE),
        (found(1.1, 0, 0, alike=True), 1, Verdict.WORSE),
    ],
)
def test_verdicts(contrasted: Contrast | None, direction: int, verdict: Verdict) -> None:
    assert judge(contrasted, direction) == verdict
