"""Sweeps whose cells are all the same: how often one is called worse. As a script, it prints the whole table.

python tests/results/test_results_same_cells.py [FOLDER]: a sweep in FOLDER lends its costs, those of its first cell.
"""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from conftest import make_trials

from freewalk.results.cells import TrialArrays, cell_columns, group_rows
from freewalk.results.contrast import Verdict
from freewalk.results.ranking import ranking
from freewalk.results.sources import read_source

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
        blank = make_trials([{}], ["cell"])
        trials = pd.DataFrame({name: [blank[name].iloc[0]] * len(cost) for name in blank.columns}).astype(blank.dtypes)
        trials = trials.assign(task=task.astype(str), param_cell=cell, seed=seed, reached=reached, loss_final=loss)
        trials = trials.assign(evaluations=cost, target=0.1, metric_name="loss", outcome="exhausted", steps=1.0)
        trials["evaluations_to_target"] = trials["steps_to_target"] = np.where(reached, cost, np.nan)
        table = ranking(trials)
        verdicts = table["verdict"].groupby(table["task"])
        n_worse += sum(bool((of_one == Verdict.WORSE).any()) for _, of_one in verdicts)
        n_told += sum(bool(of_one.isin([Verdict.WORSE, Verdict.TRADE_OFF]).any()) for _, of_one in verdicts)
    return n_worse, n_told


@pytest.mark.parametrize("draw", [lognormal, looks])
@pytest.mark.parametrize(("n_cells", "n_seeds"), [(2, 20), (10, 12)])
def test_a_difference_among_equals_is_claimed_in_one_sweep_of_twenty_at_most(
    draw: Draw, n_cells: int, n_seeds: int
) -> None:
    n_worse, n_told = false_claims(draw, n_cells, n_seeds, 150)
    assert n_worse <= n_told <= 13  # of 150 with a probability of 0.05 each: more than 13 in 1.6 %


def print_table(draws: dict[str, Draw], n_sweeps: int = 1000) -> None:
    sys.stdout.write("share of sweeps with a cell called worse, and with any claim (worse or trade-off)\n")
    for name, draw in draws.items():
        for n_cells in (2, 10, 60):
            for n_seeds in (5, 10, 20, 30):
                n_worse, n_told = (n / n_sweeps for n in false_claims(draw, n_cells, n_seeds, n_sweeps))
                sys.stdout.write(f"{name:12}{n_cells:3} cells{n_seeds:4} seeds  {n_worse:.3f}  {n_told:.3f}\n")
                sys.stdout.flush()


if __name__ == "__main__":
    given = {"a sweep's": borrowed(Path(sys.argv[1]))} if len(sys.argv) > 1 else {}
    print_table({"lognormal": lognormal, "looks": looks, **given})
