"""Cells, and sweeps, that are all the same: how often one is called worse. As a script, it prints the whole table.

python tests/results/analysis/test_results_same_cells.py [FOLDER]: a sweep in FOLDER lends its costs:
those of its first cell to the cells, those of all cells to pairs of sweeps.
"""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from trial_tables import make_trials

from freewalk.results.analysis.cells import TrialArrays, cell_columns, group_rows
from freewalk.results.analysis.comparison import Runs, compare
from freewalk.results.analysis.comparison_whole import overall, regressions
from freewalk.results.analysis.contrast import Verdict
from freewalk.results.analysis.matching import match_cells
from freewalk.results.analysis.ranking import ranking
from freewalk.results.files.sources import read_source

BUDGET = 16_000
Draw = Callable[[np.random.Generator, tuple[int, int]], tuple[Any, Any, Any]]
"""Costs (all that was spent without success), success, and final loss, of so many cells and seeds."""


def lognormal(rng: np.random.Generator, shape: tuple[int, int]) -> tuple[Any, Any, Any]:
    """Costs without ties, every trial successful."""
    return np.rint(1e6 * rng.lognormal(size=shape)), np.ones(shape, bool), np.zeros(shape)


def looks(rng: np.random.Generator, shape: tuple[int, int]) -> tuple[Any, Any, Any]:
    """Costs rounded up to looks 800 apart, four in five successful, and luck that the cells of a seed share."""
    luck = np.log(6000) + 0.5 * rng.normal(size=shape[1]) + 0.5 * rng.normal(size=shape)
    costs = 800 * np.ceil(np.exp(luck) / 800)
    reached = (costs <= BUDGET) & (rng.random(shape) < 0.8)
    return np.where(reached, costs, BUDGET), reached, rng.choice([0.25, 0.2501, 0.17, 0.125], size=shape)


def borrowed(folder: Path) -> Draw:
    """Give the costs of the first cell of a sweep, with replacement."""
    trials = read_source(folder).counted
    arrays, rows = TrialArrays(trials), group_rows(trials[cell_columns(trials)])[0]
    columns = arrays.spent("evaluations"), arrays.reached, arrays.numbers["loss_final"]

    def draw(rng: np.random.Generator, shape: tuple[int, int]) -> tuple[Any, Any, Any]:
        chosen = rng.choice(rows, size=shape)
        return columns[0][chosen], columns[1][chosen], columns[2][chosen]

    return draw


def false_claims(draw: Draw, n_cells: int, n_seeds: int, n_sweeps: int) -> tuple[int, int]:
    """Count the sweeps in which a cell is called worse, and those with any claim of a difference.

    Many sweeps are ranked at once, each as a task of its own.
    """
    n_told = n_worse = 0
    rng = np.random.default_rng([n_cells, n_seeds])
    most = max(1, 6000 // (n_cells * n_seeds))
    for first in range(0, n_sweeps, most):
        at_once = min(most, n_sweeps - first)
        made = [draw(rng, (n_cells, n_seeds)) for _ in range(at_once)]
        cost, reached, loss = (np.stack(part).ravel() for part in zip(*made, strict=True))
        task, cell, seed = (place.ravel() for place in np.indices((at_once, n_cells, n_seeds)))
        table = ranking(filled(cost, reached, task=task.astype(str), param_cell=cell, seed=seed, loss_final=loss))
        verdicts = table["verdict"].groupby(table["task"])
        n_worse += sum(bool((of_one == Verdict.WORSE).any()) for _, of_one in verdicts)
        n_told += sum(bool(of_one.isin([Verdict.WORSE, Verdict.TRADE_OFF]).any()) for _, of_one in verdicts)
    return n_worse, n_told


@pytest.mark.parametrize("draw", [lognormal, looks])
@pytest.mark.parametrize(("n_cells", "n_seeds"), [(2, 20), pytest.param(10, 12, marks=pytest.mark.slow)])
def test_a_difference_among_equals_is_claimed_in_one_sweep_of_twenty_at_most(
    draw: Draw, n_cells: int, n_seeds: int
) -> None:
    n_worse, n_told = false_claims(draw, n_cells, n_seeds, 80)
    assert n_worse <= n_told <= 9  # of 80 with a probability of 0.05 each: more than 9 in 1 %


def is_red(a: pd.DataFrame, b: pd.DataFrame, runs: Runs | None = None) -> bool:
    """Whether a check with threshold 1 objects to B."""
    matching = match_cells(a, b)
    table = compare(a, b, matching, runs=runs)
    cells, whole = regressions(table, overall(a, b, matching, table, runs), 1.0)
    return bool(len(cells) or whole)


def made_up_sweep(rng: np.random.Generator, n_cells: int = 4, n_seeds: int = 300) -> pd.DataFrame:
    """Make a sweep whose seeds have some luck in all of their cells, as ``looks`` has it."""
    cost, reached, _ = looks(rng, (n_cells, n_seeds))
    cell, seed = np.indices(cost.shape)
    return filled(cost.ravel(), reached.ravel(), param_cell=cell.ravel(), seed=seed.ravel())


def filled(cost: Any, reached: Any, **more: Any) -> pd.DataFrame:
    """Make a ``trials`` table of costs and success."""
    blank = make_trials([{}], ["cell"])
    trials = pd.DataFrame({name: [blank[name].iloc[0]] * len(cost) for name in blank.columns}).astype(blank.dtypes)
    trials = trials.assign(evaluations=cost, target=0.1, metric_name="loss", outcome="exhausted", steps=1.0)
    trials["evaluations_to_target"] = trials["steps_to_target"] = np.where(reached, cost, np.nan)
    return trials.assign(reached=reached, **more)


def red_checks(trials: pd.DataFrame, n_seeds: int, are_pairs: bool, n_checks: int) -> int:
    """Count the checks that object where both sides have seeds of one sweep; as pairs, under the same numbers."""
    rng = np.random.default_rng([n_seeds, are_pairs])
    seeds = trials["seed"].to_numpy(dtype=np.int64)
    found = 0
    for _ in range(n_checks):
        chosen = rng.permutation(np.unique(seeds))[: 2 * n_seeds]
        sides = []
        for part in (chosen[:n_seeds], chosen[n_seeds:]):
            rows = trials[np.isin(seeds, part)]
            number = {int(seed): place for place, seed in enumerate(part)}
            sides.append(rows.assign(seed=[number[int(seed)] for seed in rows["seed"]]) if are_pairs else rows)
        found += is_red(*sides)
    return found


def red_clocks(n_runs: int, n_checks: int, flips_per_run: float) -> int:
    """Count the checks that object to seconds of equal runs in turn, on a machine that flips between two speeds."""
    rng = np.random.default_rng([n_runs, round(100 * flips_per_run)])
    n_cells, n_seeds = 4, 3
    n = n_cells * n_seeds
    cell, seed = (place.ravel() for place in np.indices((n_cells, n_seeds)))
    run = np.repeat(np.arange(n_runs), n)
    found = 0
    for _ in range(n_checks):
        slow = (rng.integers(2) + np.cumsum(rng.random(2 * n_runs * n) < flips_per_run / n)) % 2
        seconds = (np.where(slow, 1.65, 1.0) * rng.lognormal(0, 0.01, size=slow.size)).reshape(n_runs, 2, n)
        sides = [
            filled(np.full(n_runs * n, 800), np.ones(n_runs * n, bool), param_cell=np.tile(cell, n_runs)).assign(
                seed=np.tile(seed, n_runs), train_seconds=seconds[:, side].ravel()
            )
            for side in (0, 1)
        ]
        found += is_red(sides[0], sides[1], (run, run))
    return found


@pytest.mark.parametrize("are_pairs", [True, False])
def test_a_check_of_equal_sweeps_is_red_in_one_of_twenty_at_most(are_pairs: bool) -> None:
    trials = made_up_sweep(np.random.default_rng(0))
    assert red_checks(trials, 12, are_pairs, 40) <= 6  # more in 1 % of cases where each has a probability of 0.05


def test_a_check_of_equal_runs_is_red_in_one_of_twenty_at_most() -> None:
    assert red_clocks(3, 40, 2.0) <= 6


def print_table(draws: dict[str, Draw], n_sweeps: int = 1000) -> None:
    sys.stdout.write("share of sweeps with a cell called worse, and with any claim (worse or trade-off)\n")
    for name, draw in draws.items():
        for n_cells in (2, 10, 60):
            for n_seeds in (5, 10, 20, 30):
                n_worse, n_told = (n / n_sweeps for n in false_claims(draw, n_cells, n_seeds, n_sweeps))
                sys.stdout.write(f"{name:12}{n_cells:3} cells{n_seeds:4} seeds  {n_worse:.3f}  {n_told:.3f}\n")
                sys.stdout.flush()


def print_checks(sweeps: dict[str, pd.DataFrame], n_checks: int = 400) -> None:
    sys.stdout.write("share of checks of equal sweeps, threshold 1, that are red\n")
    for name, trials in sweeps.items():
        for n_seeds in (5, 8, 20, 40):
            shares = [red_checks(trials, n_seeds, are_pairs, n_checks) / n_checks for are_pairs in (True, False)]
            sys.stdout.write(f"{name:12}{n_seeds:3} seeds  as pairs {shares[0]:.3f}, unpaired {shares[1]:.3f}\n")
            sys.stdout.flush()
    for n_runs in (3, 4, 6):
        shares = [red_clocks(n_runs, n_checks, flips) / n_checks for flips in (0.1, 0.5, 2.0)]
        sys.stdout.write(f"seconds of {n_runs} pairs, 0.1, 0.5 or 2 flips a run: {shares}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else None
    made_up = {"looks": made_up_sweep(np.random.default_rng(0))}
    print_checks(made_up | ({"a sweep's": read_source(folder).counted} if folder else {}))
    print_table({"lognormal": lognormal, "looks": looks} | ({"a sweep's": borrowed(folder)} if folder else {}))
