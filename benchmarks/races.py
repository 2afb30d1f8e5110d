"""Races on grids that were computed once: how often the winner is as good as the best, for which part of the price.

`python -m benchmarks.races runs/races` replays 100 races of `harness tune` on each task of a finished sweep, with seeds
in random orders, beside random search and Optuna's TPE (extra peers) at the same budgets. A cell's true cost is its
expected running time on all seeds of the race; `--judge all` takes all seeds of the sweep, those that no race saw among
them, and sets the race beside the whole grid on the race's seeds: no race with these can do better.
"""

from __future__ import annotations

import argparse
import importlib.util
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from freewalk import read_table
from freewalk.harness.trial.history import History, Observation
from freewalk.harness.tuning.race import Race, Request, Rules
from freewalk.results.analysis.cells import cell_columns, varies
from freewalk.results.schema.records import CurvePoint
from freewalk.results.statistics.cell import wilson_interval

GOOD = 1.1
"""A winner that costs at most so many times what the best cell costs is good."""
_SEEDS_OF_A_RIVAL = (1, 3, 10)
_MOST_ASKED = 1.5
"""Times the cells of a grid: a sampler that asks for nothing new any more has ended."""


@dataclass(frozen=True)
class Grid:
    """A task and a method of a finished sweep."""

    name: str
    settings: list[dict[str, Any]]
    """What varies, of each cell."""
    histories: list[list[History]]
    """Of each cell, by seed."""
    most: float
    """Evaluations that a trial may spend."""

    @classmethod
    def read(cls, folder: Path) -> list[Grid]:
        """Read a sweep's folder, a grid for each task and method."""
        trials = read_table(folder / "trials.csv", "trials").sort_values("seed", kind="stable")
        curves = read_table(folder / "curves.csv", "curves")
        looks = curves[(curves["split"] == "heldout") & (curves["metric"] == "loss")]
        points: dict[str, list[CurvePoint]] = {}
        for trial_id, *point in looks[["trial_id", *CurvePoint._fields]].itertuples(index=False, name=None):
            points.setdefault(trial_id, []).append(CurvePoint(*point))
        return [
            cls._of(f"{task}, {method}", own, points)
            for (task, method), own in trials.groupby(["task", "method"], sort=False)
        ]

    @classmethod
    def _of(cls, name: str, trials: pd.DataFrame, points: Mapping[str, Sequence[CurvePoint]]) -> Grid:
        # what is missing in some cells follows from another value, as momentum does from the optimizer
        several = [one for one in cell_columns(trials) if varies(trials[one]) and trials[one].notna().all()]
        settings, histories = [], []
        for key, cell in trials.groupby(several, sort=False, dropna=False):
            settings.append(dict(zip(several, key, strict=True)))
            rows: Any = cell.to_dict("records")
            histories.append([History.of_curve(points[row["trial_id"]], cost=_cost(row)) for row in rows])
        return cls(name, settings, histories, float(trials["evaluations_budget"].max()))

    @cached_property
    def costs(self) -> NDArray[np.float64]:
        """(cells, seeds), evaluations to the target, +inf where it was not met."""
        return np.array([[one.cost for one in cell] for cell in self.histories])

    @cached_property
    def spent(self) -> NDArray[np.float64]:
        """(cells, seeds), evaluations to the target or the end."""
        return np.array([[one.at(math.inf).spent for one in cell] for cell in self.histories])

    def true_costs(self, seeds: NDArray[np.intp]) -> NDArray[np.float64]:
        """Return the expected running time of each cell on some seeds, (cells,)."""
        with np.errstate(divide="ignore"):
            met: NDArray[np.float64] = self.spent[:, seeds].sum(1) / np.isfinite(self.costs[:, seeds]).sum(1)
        return met

    def race(self, seeds: NDArray[np.intp], budget: float) -> tuple[int, float]:
        """Return the winner of a race, and what it spent."""

        def observe(request: Request) -> Observation:
            history: History = self.histories[request.cell][int(seeds[request.seed])]
            return history.at(request.cap)

        race = Race(len(self.settings), observe, Rules(len(seeds), self.most, budget))
        for _ in race.run():
            pass
        return race.winner, race.spent

    def search(self, ask: Iterator[int], tell: Callable[[float], Any], seeds: NDArray[np.intp], budget: float) -> int:
        """Return the best cell of those that somebody asks for, each run to its end on some seeds, within a budget."""
        best, lowest, left = 0, math.inf, budget
        known: dict[int, float] = {}
        for cell in ask:
            if cell not in known:
                left -= float(self.spent[cell, seeds].sum())
                if left < 0:
                    break
                known[cell] = float(
                    np.where(np.isfinite(self.costs[cell, seeds]), self.costs[cell, seeds], self.most).mean()
                )
            tell(known[cell])
            if known[cell] < lowest:
                best, lowest = cell, known[cell]
        return best


def _cost(row: Mapping[str, Any]) -> float:
    return float(row["evaluations_to_target"]) if row["reached"] else math.inf


def random_search(grid: Grid, seeds: NDArray[np.intp], budget: float, seed: int) -> int:
    """Return what random search picks."""
    order = np.random.default_rng(seed).permutation(len(grid.settings))
    return grid.search(iter(order.tolist()), lambda cost: None, seeds, budget)


def tpe(grid: Grid, seeds: NDArray[np.intp], budget: float, seed: int) -> int:
    """Return what Optuna's tree-structured Parzen estimator picks, with its defaults."""
    import optuna

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    study = optuna.create_study(sampler=optuna.samplers.TPESampler(seed=seed))
    places = {tuple(one.values()): place for place, one in enumerate(grid.settings)}
    axes = {key: sorted({one[key] for one in grid.settings}) for key in grid.settings[0]}
    asked: list[Any] = []

    def pick(key: str, values: list[Any]) -> Any:
        if isinstance(values[0], str):
            return asked[-1].suggest_categorical(key, values)
        return values[asked[-1].suggest_int(key, 0, len(values) - 1)]  # their order tells the sampler who is near

    def ask() -> Iterator[int]:
        for _ in range(int(_MOST_ASKED * len(grid.settings))):
            asked.append(study.ask())
            yield places[tuple(pick(key, values) for key, values in axes.items())]

    return grid.search(ask(), lambda cost: study.tell(asked[-1], math.log(cost)), seeds, budget)


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sweeps", nargs="+", type=Path, help="folders of finished sweeps")
    parser.add_argument("--races", type=int, default=100, help="of each (%(default)s)")
    parser.add_argument("--seeds", type=int, default=30, help="of a race (%(default)s)")
    parser.add_argument("--share", type=float, default=0.2, help="of the grid's evaluations, at most (%(default)s)")
    parser.add_argument("--judge", choices=["race", "all"], default="race", help="whose seeds say the true cost")
    given = parser.parse_args()
    rivals: dict[str, Callable[..., int]] = {} if given.judge == "all" else {"random search": random_search}
    if rivals and importlib.util.find_spec("optuna"):
        rivals["TPE"] = tpe
    _say("| grid | who | good winners | winner's cost over the best's: median, worst | of the grid's evaluations |")
    _say("|---|---|---|---|---|")
    for folder in given.sweeps:
        for grid in Grid.read(folder):
            for line in _lines(grid, given, rivals):
                _say(line)


def _say(line: str) -> None:
    print(line, flush=True)  # noqa: T201


def _lines(grid: Grid, given: Any, rivals: dict[str, Callable[..., int]]) -> Iterator[str]:
    generator = np.random.default_rng(0)
    everywhere = np.arange(grid.costs.shape[1])
    regrets: dict[str, list[float]] = {}
    shares: dict[str, list[float]] = {}

    def note(who: str, cell: int, spent: float) -> None:
        regrets.setdefault(who, []).append(float(true[cell] / true.min()))
        shares.setdefault(who, []).append(spent / whole)

    for number in range(given.races):
        seeds = generator.permutation(everywhere)[: given.seeds]
        whole = float(grid.spent[:, seeds].sum())
        true = grid.true_costs(seeds if given.judge == "race" else everywhere)
        winner, spent = grid.race(seeds, given.share * whole)
        note("race", winner, spent)
        if given.judge == "all":
            note("whole grid", int(np.argmin(grid.true_costs(seeds))), whole)
        for name, rival in rivals.items():
            for n in _SEEDS_OF_A_RIVAL:
                for budget in (spent, given.share * whole):
                    text = "as the race spent" if budget == spent else f"{given.share:.0%}"
                    note(f"{name}, {n} seeds a cell, {text}", rival(grid, seeds[:n], budget, number), budget)
    for who, found in regrets.items():
        n_good = sum(one <= GOOD for one in found)
        low, high = wilson_interval(n_good, len(found))
        share = pd.Series(shares[who])
        yield (
            f"| {grid.name}, {len(grid.settings)} cells | {who} | {n_good} of {len(found)} ({low:.0%} to {high:.0%})"
            f" | {np.median(found):.2f}, {max(found):.2f} | {share.median():.1%}, at most {share.max():.1%} |"
        )


if __name__ == "__main__":
    main()
