"""A sweep's trials as the runs of optimisers: an algorithm on a problem, and its best value after so many evaluations.

The tools that compare optimisers read nothing else. An algorithm is a cell without its task, a problem is a task with
its own parameters, its dimension is the number of trained weights, and a trial is a run.
"""

import math
import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd

from freewalk.results.analysis.cells import Rows, TrialArrays, by_trial, counted_once, group_rows, varies
from freewalk.results.base.errors import StoreError
from freewalk.results.base.numbers import is_missing
from freewalk.results.base.writing import naming_failure, replacing
from freewalk.results.files.sources import Source, named_alike
from freewalk.results.schema.schema import PARAMETER_PREFIX, State
from freewalk.results.statistics.cell import Floats
from freewalk.results.tables.frames import (
    build_frame,
    column_dtypes,
    parameter_columns,
    parameter_names,
    parameter_series,
)

NOTHING: Final = 1e21
"""What stands for a value that is infinite or not known: worse than any, and finite, as both formats want it."""
MOST_INSTANCES: Final = 2**16
"""Instances are numbers below this one; iohinspector holds them in 16 bits."""
_SPLIT: Final = "heldout"
_LONGEST_NAME: Final = 80
_ULP: Final = float(np.finfo(np.float64).eps)


@dataclass(frozen=True)
class Problem:
    """What is optimised."""

    number: int
    """From 1, in the order of the plans."""
    name: str
    """The task, and its own parameters where it has any."""
    metric: str
    maximised: bool


@dataclass(frozen=True)
class Run:
    """One trial: its best value so far at every look."""

    instance: int
    evaluations: list[int]
    """Increasing; the first is 1, the last is all that was spent."""
    best: list[float]
    """Never worse than the one before."""

    @property
    def improvements(self) -> list[int]:
        """The places at which the best value is another one, the first place among them."""
        return [place for place, value in enumerate(self.best) if place == 0 or value != self.best[place - 1]]

    @property
    def telling(self) -> list[int]:
        """The improvements and the end: what tells the whole course."""
        return sorted({*self.improvements, len(self.best) - 1})


@dataclass(frozen=True)
class Runs:
    """All runs of one algorithm on one problem."""

    algorithm: str
    """The method, and what is varied of its parameters."""
    settings: str
    """The parameters that are not."""
    problem: Problem
    dimension: int
    runs: list[Run]


@dataclass(frozen=True)
class Experiment:
    """What there is to export of one or more sweeps."""

    parts: list[Runs]
    """In the order of the plans."""
    n_open: int = 0
    """Trials left out: they have not ended."""
    n_unknown: int = 0
    """Trials left out: they failed before anything told how many weights there are."""
    n_failed: int = 0
    """Failed trials among the runs."""
    folders: Mapping[str, str] = field(default_factory=dict)
    """A folder's name for each algorithm."""

    @property
    def n_runs(self) -> int:
        """How many runs there are."""
        return sum(len(part.runs) for part in self.parts)

    @property
    def algorithms(self) -> dict[str, list[Runs]]:
        """The parts of each algorithm."""
        found: dict[str, list[Runs]] = {}
        for part in self.parts:
            found.setdefault(part.algorithm, []).append(part)
        return found

    @property
    def problems(self) -> list[Problem]:
        """Each problem once."""
        return list(dict.fromkeys(part.problem for part in self.parts))


def collect_runs(
    sources: Sequence[Source], *, task_parameters: Collection[str] = (), maximised: Collection[str] = ()
) -> Experiment:
    """Make runs of the trials that have ended, failed ones among them; each cell and seed counts once.

    A look before the first step stands at evaluation 1, since the formats count from there. The target is met where and
    when ``trials`` says so: an earlier look as good as it, which fresh datapoints did not confirm, counts as just short
    of it. So the shares of (run, target) pairs that other tools compute are those of ``ecdf``.

    Parameters
    ----------
    sources : sequence of Source
    task_parameters : collection of str
        The parameters that belong to tasks: they make a problem another one, all others an algorithm.
    maximised : collection of str
        The metrics that are to be high; shares, so that 1 is the best.

    Raises
    ------
    StoreError
        There are no curves, they cannot be read, no trial has ended, or two sweeps have other data under one name.
    """
    trials, curves = _united([sources[0], *(named_alike(sources[0], one) for one in sources[1:])])
    trials = counted_once(trials)
    ended = trials["state"].isin([State.COMPLETE, State.FAILED]).to_numpy(bool)
    n_open = len(trials) - int(ended.sum())
    trials = trials[ended].reset_index(drop=True)
    if trials.empty:
        raise StoreError(f"{sources[0].path} has no trial that has ended: run the sweep first, or wait for a trial")
    own = [name for name in parameter_columns(trials) if name.removeprefix(PARAMETER_PREFIX) in task_parameters]
    others = [name for name in parameter_columns(trials) if name not in own]
    problems, of_row = _problems(trials, own, maximised)
    arrays = TrialArrays(trials)
    courses = _courses(trials, arrays, curves, [problems[place] for place in of_row])
    instances = _instances(arrays.seeds)
    varied = _varied(trials, others, of_row)
    parts, n_unknown, n_failed = [], 0, 0
    for rows in group_rows(trials[["task", "method", *own, *others]]):
        first = int(rows[0])
        method = str(trials["method"][first])
        weights = trials["n_weights"].iloc[rows].dropna()
        if weights.empty:
            n_unknown += len(rows)
            continue
        n_failed += int(arrays.failed[rows].sum())
        named = [name for name in others if name in varied[method]]
        parts.append(
            Runs(
                " ".join([method, *_words(trials, first, named)]),
                " ".join(_words(trials, first, [name for name in others if name not in named])),
                problems[of_row[first]],
                int(weights.iloc[0]),
                [Run(instances[row], *courses[row]) for row in rows],
            )
        )
    names = dict.fromkeys(part.algorithm for part in parts)
    return Experiment(parts, n_open, n_unknown, n_failed, _folders(list(names)))


def save_parts(experiment: Experiment, out: Path, write: Callable[[Runs, Path], None]) -> None:
    """Write every part into the folder of its algorithm; `out` appears in one piece when it is complete.

    Raises
    ------
    StoreError
        It cannot be written.
    """
    with naming_failure(out), replacing(out, folder=True) as temporary:
        for part in experiment.parts:
            write(part, temporary / experiment.folders[part.algorithm])


def file_name(name: str) -> str:
    """Make a name that any file system and reader takes: points stay where a digit follows."""
    return re.sub(r"[^A-Za-z0-9.=+-]+|\.(?!\d)", "_", name)[:_LONGEST_NAME]


def number_text(value: float) -> str:
    """Return a number in the fewest digits that give it back."""
    return repr(float(value))


def _united(sources: Sequence[Source]) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return the trials and the curves of several sweeps; whose trial it is goes into its name."""
    tables, curves = (
        [_numbered(one, at) for at, one in enumerate(found)]
        for found in ([source.trials for source in sources], [source.curves() for source in sources])
    )
    parameters = list(dict.fromkeys(name for table in tables for name in parameter_names(table)))
    columns: dict[str, pd.Series] = {
        name: pd.concat([table[name] for table in tables], ignore_index=True) for name in column_dtypes("trials")
    }
    for name in (f"{PARAMETER_PREFIX}{parameter}" for parameter in parameters):
        values = [table[name].tolist() if name in table else [None] * len(table) for table in tables]
        columns[name] = parameter_series([value for part in values for value in part])
    return build_frame("trials", columns, parameters), pd.concat(curves, ignore_index=True)


def _numbered(table: pd.DataFrame, number: int) -> pd.DataFrame:
    return table.assign(trial_id=f"{number} " + table["trial_id"])


def _problems(
    trials: pd.DataFrame, own: Sequence[str], maximised: Collection[str]
) -> tuple[list[Problem], Sequence[int]]:
    """Return the problems, and for each trial the place of its own."""
    problems, of_row = [], np.zeros(len(trials), np.int64)
    for number, rows in enumerate(group_rows(trials[["task", *own]]), 1):
        first = int(rows[0])
        metric = str(next(iter(trials["metric_name"].iloc[rows].dropna()), "loss"))
        name = " ".join([str(trials["task"][first]), *_words(trials, first, own)])
        problems.append(Problem(number, name, metric, metric in maximised))
        of_row[rows] = number - 1
    return problems, of_row.tolist()


def _varied(trials: pd.DataFrame, others: Sequence[str], of_row: Sequence[int]) -> dict[str, set[str]]:
    """Return for each method the parameters in which its cells on some problem differ.

    What differs from problem to problem alone, such as a task's own number of timesteps, sets no algorithm apart.
    """
    found: dict[str, set[str]] = {str(method): set() for method in trials["method"]}
    for (method, _), cells in trials.groupby(["method", np.array(of_row)], sort=False):
        found[str(method)] |= {name for name in others if varies(cells[name])}
    return found


def _words(trials: pd.DataFrame, row: int, names: Sequence[str]) -> list[str]:
    """Return those parameters of a trial that apply, as ``key=value``."""
    values = {name.removeprefix(PARAMETER_PREFIX): trials[name][row] for name in names}
    return [f"{key}={_exact(value)}" for key, value in values.items() if not is_missing(value)]


def _exact(value: Any) -> str:
    return number_text(value).removesuffix(".0") if isinstance(value, float) else str(value)


def _instances(seeds: Rows) -> list[int]:
    """Return the seeds where all are numbers that readers take, else their places in order, from 1."""
    if ((seeds >= 0) & (seeds < MOST_INSTANCES)).all():
        return [int(seed) for seed in seeds]
    return [int(place) + 1 for place in np.unique(seeds, return_inverse=True)[1]]


def _courses(
    trials: pd.DataFrame, arrays: TrialArrays, curves: pd.DataFrame, problems: Sequence[Problem]
) -> list[tuple[list[int], list[float]]]:
    """Return the evaluations and the best values so far of each trial."""
    metric = pd.Series([problem.metric for problem in problems], index=pd.Index(trials["trial_id"]), dtype=object)
    chosen = curves[curves["split"] == _SPLIT]
    chosen = chosen[chosen["metric"].to_numpy(object) == metric.reindex(chosen["trial_id"]).to_numpy(object)]
    values, work = (chosen[name].to_numpy(np.float64, na_value=math.nan) for name in ("value", "evaluations"))
    values, work, bounds = by_trial(trials, chosen, values, work)
    to_target = np.where(arrays.reached, arrays.numbers["evaluations_to_target"], math.inf)
    return [
        _course(
            work[bounds[row] : bounds[row + 1]],
            values[bounds[row] : bounds[row + 1]],
            target=float(arrays.numbers["target"][row]),
            to_target=float(to_target[row]),
            spent=float(np.nan_to_num(arrays.numbers["evaluations"][row])),
            higher=problem.maximised,
        )
        for row, problem in enumerate(problems)
    ]


def _course(
    work: Floats, values: Floats, *, target: float, to_target: float, spent: float, higher: bool
) -> tuple[list[int], list[float]]:
    sign = -1.0 if higher else 1.0
    costs = np.clip(sign * values, -NOTHING, NOTHING)
    if not math.isnan(target):
        # of shares one that is another number as 1 - share, too
        short = _ULP - target if higher else math.nextafter(target, math.inf)
        costs[(work < to_target) & (costs <= sign * target)] = short
        if math.isfinite(to_target):  # which a thinned curve need not have
            place = int(np.searchsorted(work, to_target, side="right"))
            work, costs = np.insert(work, place, to_target), np.insert(costs, place, sign * target)
    # both formats count from 1, and their readers tell by a 1 where a run begins
    work = np.maximum(np.concatenate([[1.0], work, [spent]]), 1.0)
    costs = np.minimum.accumulate(np.concatenate([[NOTHING], costs, [NOTHING]]))
    work[-1] = work.max()
    last = np.append(np.diff(work) > 0, True)  # of several looks at one evaluation, which holds the best of them
    return [math.ceil(count) for count in work[last]], [float(cost) for cost in sign * costs[last] + 0.0]


def _folders(algorithms: Sequence[str]) -> dict[str, str]:
    """Name a folder for each algorithm; a number sets those apart that would be the same, in capitals or not."""
    taken: set[str] = set()
    found = {}
    for algorithm in algorithms:
        short = file_name(algorithm)
        names = (short if number == 1 else f"{short}_{number}" for number in range(1, len(algorithms) + 1))
        found[algorithm] = next(name for name in names if name.casefold() not in taken)
        taken.add(found[algorithm].casefold())
    return found
