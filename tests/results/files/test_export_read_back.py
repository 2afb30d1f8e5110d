"""What iohinspector makes of an export is what our own tables say.

Its default load drops the first line of a run that begins with the value that the run before ended on, and so a whole
run that never improves; the lines of an export are the best so far as they are.
"""

import math
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from export_sweeps import GOALS, make_sweep, runs_of

from freewalk.results.analysis.ecdf import ecdf
from freewalk.results.files.coco import save_coco
from freewalk.results.files.ioh import save_ioh
from freewalk.results.store.store import Store

iohinspector = pytest.importorskip("iohinspector", reason="the extra peers is not installed")

BUDGETS = [1, 2, 16, 100, 101, 500, 999, 5000]
NUMBERS = {"xor": 1, "parity": 2}
# From the easiest to the trials' own; steps of a sixteenth, as all values are.
TARGETS = {
    "xor": np.arange(2.0 - 1 / 16, 0.25 - 1 / 32, -1 / 16),
    "parity": np.arange(0.5 + 1 / 16, 0.75 + 1 / 32, 1 / 16),
}


def course(rng: np.random.Generator, task: str, sure: bool) -> tuple[list[tuple[int, float]], dict[str, Any]]:
    """Make a curve of sixteenths; it ends where the target is met, at once or, unless it is sure, later."""
    looks = [0, *np.sort(rng.choice(np.arange(2, 1000), 12, replace=False)).tolist()]
    steps = np.cumsum(rng.integers(-1, 6 if task == "xor" else 2, len(looks))) / 16
    values = np.clip(2.0 - steps, 0.125, 2.0) if task == "xor" else np.clip(0.5 + steps, 0.4375, 1.0)
    values[0] = 2.0 if task == "xor" else 0.5
    met = np.flatnonzero(values <= 0.25 if task == "xor" else values >= 0.75)
    met = met if sure else met[1:]
    more = {"n_weights": 40 if task == "xor" else 45}
    if not met.size:
        cut = len(looks) if sure or not rng.integers(2) else int(rng.integers(1, len(looks)))
        return list(zip(looks[:cut], values[:cut].tolist(), strict=True)), more | {"spent": 1000}
    end = int(met[0]) + 1
    return list(zip(looks[:end], values[:end].tolist(), strict=True)), more | {"to_target": looks[end - 1]}


@pytest.fixture
def sweep(tmp_path: Path, request: pytest.FixtureRequest) -> Path:
    """Two tasks, two cells and two methods, 8 seeds each; failed ones, and some that have not ended."""
    sure = bool(getattr(request, "param", True))
    rng = np.random.default_rng(3)
    trials: dict[str, Any] = {}
    for task in GOALS:
        for method, stddev in (("walk", 0.1), ("walk", 0.5), ("backprop", None)):
            for seed in range(8):
                curve, more = course(rng, task, sure)
                if seed == 6:
                    more = {"n_weights": more["n_weights"], "state": "failed"}
                    curve = curve[:2] if stddev else []
                elif seed == 7:
                    more = {"state": "running"}
                trials[f"t{len(trials)}"] = (
                    curve,
                    {"task": task, "method": method, "seed": seed, "stddev": stddev} | more,
                )
    return make_sweep(tmp_path / "sweep", trials)


@pytest.fixture
def tables(sweep: Path) -> tuple[pd.DataFrame, pd.DataFrame]:
    with Store.open(sweep, read_only=True) as store:
        return store.trials(), store.curves()


def own_shares(tables: Any, task: str, algorithm: str, targets: list[float]) -> list[float]:
    """Give our shares of (trial, target) pairs at the budgets; the last target is the trials' own."""
    trials, curves = tables
    method, _, stddev = algorithm.partition(" stddev=")
    rows = (trials["task"] == task) & (trials["method"] == method)
    rows &= trials["param_stddev"] == float(stddev) if stddev else trials["param_stddev"].isna()
    higher = {"parity"} if task == "parity" else set()
    found = ecdf(trials[rows.fillna(False)], curves, by=("task",), higher=higher, targets={task: targets})
    assert found["n_trials"].tolist()[0] == 7
    return [float(found["solved"].to_numpy()[found["evaluations"] <= budget][-1]) for budget in BUDGETS]


def their_shares(data: Any, task: str, low: float, high: float, *, higher: bool) -> pd.DataFrame:
    """Give iohinspector's ECDF, of targets everywhere from low to high: by budget and algorithm."""
    import polars as pl

    found = iohinspector.metrics.get_data_ecdf(
        data.filter(pl.col("function_id") == NUMBERS[task]),
        eval_values=BUDGETS,
        f_min=low,
        f_max=high,
        scale_f_log=False,
        maximization=higher,
        return_as_pandas=False,
    )
    rows = found.select("evaluations", "algorithm_name", "eaf").rows()
    table = pd.DataFrame(rows, columns=["at", "algorithm", "eaf"]).set_index(["algorithm", "at"])["eaf"]
    return pd.DataFrame({name: table[name].sort_index() for name in table.index.unique("algorithm")})


def load(folder: Path) -> Any:
    manager = iohinspector.DataManager()
    manager.add_folder(str(folder))
    # no other words: newer releases of polars have no mean of them
    return manager, manager.load(monotonic=False, include_columns=["algorithm_name", "function_id"])


@pytest.fixture
def exported(sweep: Path, tmp_path: Path) -> Path:
    save_ioh(runs_of(sweep), tmp_path / "out")
    return tmp_path / "out"


def test_it_finds_every_run(exported: Path) -> None:
    manager, data = load(exported)
    found = pd.DataFrame(manager.overview.rows(), columns=manager.overview.columns)
    assert len(found) == data["data_id"].n_unique() == 42
    assert {*found["algorithm_name"]} == {"walk stddev=0.1", "walk stddev=0.5", "backprop"}
    assert {*zip(found["function_id"], found["function_name"], found["dimension"], strict=True)} == {
        (1, "xor", 40),
        (2, "parity", 45),
    }
    assert {*found["instance"]} == {*range(7)}
    assert found["evals"].max() == 1000
    assert {one.function.maximization for one in manager.data_sets if one.function.name == "parity"} == {True}


@pytest.mark.parametrize("sweep", [True, False], indirect=True, ids=["confirmed", "not always confirmed"])
@pytest.mark.parametrize("task", GOALS)
def test_its_ecdf_is_ours_for_every_target(exported: Path, tables: Any, task: str) -> None:
    _, data = load(exported)
    higher = task == "parity"
    last = GOALS[task][1]
    for target in TARGETS[task].tolist():
        # so narrow a range holds one target
        low, high = (target - 2**-52, target) if higher else (target, math.nextafter(target, math.inf))
        theirs = their_shares(data, task, low, high, higher=higher)
        for algorithm in theirs:
            ours = own_shares(tables, task, algorithm, [target] if target == last else [target, last])
            if target != last:  # the share of both, of which the last is known
                ours = [2 * a - b for a, b in zip(ours, own_shares(tables, task, algorithm, [last]), strict=True)]
            assert theirs[algorithm].tolist() == pytest.approx(ours, abs=1e-12), (target, algorithm)


@pytest.mark.parametrize("task", GOALS)
def test_its_ecdf_is_ours_for_all_targets_at_once(exported: Path, tables: Any, task: str) -> None:
    _, data = load(exported)
    targets = TARGETS[task].tolist()
    ends = (0.25, 2.0) if task == "xor" else (0.5, 0.75)
    theirs = their_shares(data, task, *ends, higher=task == "parity")
    for algorithm in theirs:
        assert theirs[algorithm].tolist() == pytest.approx(own_shares(tables, task, algorithm, targets), abs=1e-12)


def test_what_it_reads_of_coco_are_the_distances_of_the_same_runs(sweep: Path, exported: Path, tmp_path: Path) -> None:
    save_coco(runs_of(sweep), tmp_path / "coco")
    (_, ioh), (_, coco) = load(exported), load(tmp_path / "coco")
    found: list[set[Any]] = [set(), set()]
    for data, rows in ((ioh, found[0]), (coco, found[1])):
        names = ("algorithm_name", "function_id", "run_id", "evaluations", "raw_y")
        rows |= {*data.select(names).rows()}
    found[0] = {(*row[:4], 1 - row[4] if row[1] == NUMBERS["parity"] else row[4]) for row in found[0]}
    assert found[0] <= found[1], "coco has every look"
    assert {row[:3] for row in found[0]} == {row[:3] for row in found[1]}
