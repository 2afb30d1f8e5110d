"""`harness estimate`: what it measures is what theory says, and its files and messages."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from freewalk import read_table
from freewalk.harness.estimates.places import task_gradient
from freewalk.harness.estimates.run import Measured, Settings, estimators, measure
from freewalk.harness.estimates.tables import tables_of
from freewalk.harness.methods.problem import resolve_problem
from freewalk.harness.plan.plan import Plan
from freewalk.kernels.data.datapoints import draw
from freewalk.kernels.model.noise import Stream
from freewalk.kernels.reference.gradient import loss_gradient

MakePlan = Callable[..., Plan]
Harness = Callable[..., Any]
SMALL = ("hidden=4", "batch_size=16")
QUICK = ("--samples", 256, "--at", "initial", "--quiet")


def measured(
    plan: MakePlan,
    *specs: str,
    at: Sequence[Any] = ("trained",),
    steps: int = 1500,
    **options: Any,
) -> list[Measured]:
    cells = estimators(plan(*specs, seeds="0", **options).cells)
    return list(measure(cells, Settings(tuple(at), 0, 0.02, steps, "auto")))


def rows(plan: MakePlan, *specs: str, weights: str | None = "all", **options: Any) -> pd.DataFrame:
    found = tables_of(measured(plan, *specs, **options))[0]
    return found if weights is None else found[found["weights"] == weights].reset_index(drop=True)


WALKS = {
    "full": ("rank=full,1,3", "noise=gaussian,rademacher", "stddev=0.001", "sides=two"),
    "exact": ("tangent=exact", "noise=gaussian"),
    "orthogonal": ("rank=full,2", "directions=orthogonal", "stddev=0.001", "sides=two"),
    "datapoints": ("datapoints=4,all", "stddev=0.001", "sides=two"),
    "shared": ("datapoints=2", "share_data=yes", "shaping=none,std,ranks", "sides=one,two", "stddev=0.001"),
}


@pytest.mark.parametrize("kind", WALKS)
def test_the_walk_is_what_theory_says(plan: MakePlan, kind: str) -> None:
    """Second moments and slopes of every kind, within four standard errors."""
    check(rows(plan, "batch_size=32", "hidden=4", *WALKS[kind], tasks=["xor"], methods=["walk"]))


@pytest.mark.parametrize("task", ["xor", "delayed-xor", "shifted-sums"])
def test_node_perturbation_is_what_theory_says(plan: MakePlan, task: str) -> None:
    specs = (*SMALL, "stddev=0.001", "noise=gaussian,rademacher", "sides=one,two")
    check(rows(plan, *specs, tasks=[task], methods=["node"]))


@pytest.mark.parametrize("method", ["walk", "node"])
def test_layers_are_what_theory_says(plan: MakePlan, method: str) -> None:
    specs = ("architecture=2-5-3-1", "batch_size=16", "stddev=0.001", "sides=two")
    ranks = ("rank=full,2",) if method == "walk" else ()
    found = rows(plan, *specs, *ranks, tasks=["xor"], methods=[method], weights=None)
    assert [*dict.fromkeys(found["weights"])] == ["all", *(f"layer {k}{b}" for k in (1, 2, 3) for b in ("", " bias"))]
    check(found)


def check(found: pd.DataFrame) -> None:
    for _, row in found.iterrows():
        error = (row["of_expected_high"] - row["of_expected_low"]) / 2 / 1.96
        assert abs(row["of_expected"] - 1) < 4 * error + 1e-4, row.to_dict()
        assert error < 0.08
        error = (row["slope_high"] - row["slope_low"]) / 2 / 1.96
        assert abs(row["slope"] - row["slope_expected"]) < 4 * error + 1e-4, row.to_dict()


def test_exact_gradients_have_only_the_datapoints_variance(plan: MakePlan) -> None:
    found = rows(plan, *SMALL, tasks=["shifted-sums"], methods=["backprop", "rtrl", "numerical"])
    assert found["slope"].to_numpy() == pytest.approx(1, abs=1e-3)
    assert found["variance_of_noise"].to_numpy() == pytest.approx(0, abs=1e-2 * found["variance_of_data"].max())
    assert (found["variance_of_data"] > 0.1).all()
    assert len({*found["variance_of_data"]}) == 1
    assert (found["kind"] == "exact").all()
    assert (found["numbers_per_step"] == 0).all()


def test_guesses_are_called_so(plan: MakePlan) -> None:
    found = rows(plan, *SMALL, tasks=["xor"], methods=["rflo", "uoro"], at=("initial",))
    assert found["kind"].tolist() == ["predicted", "estimated"]
    assert found["slope_expected"].fillna(0).tolist() == [0, 1]
    assert found["second_moment_expected"].isna().all()


def test_the_gradient_of_a_task_is_that_of_all_its_datapoints(plan: MakePlan) -> None:
    (cell,) = plan(*SMALL, seeds="0", tasks=["xor"], methods=["walk"]).cells
    problem = resolve_problem(cell.task, cell.method, cell.parameters)
    weights = problem.initial_weights(0)
    x, y = np.array([[0, 0], [0, 1], [1, 0], [1, 1]]), np.array([[0], [1], [1], [0]])
    loss, gradient = loss_gradient(problem.network, weights, x, y, problem.timesteps)
    found = task_gradient(problem, weights, 0)
    assert found[0] == pytest.approx(loss)
    np.testing.assert_allclose(found[1], gradient, atol=1e-12)
    assert found[2] == pytest.approx((gradient**2).sum())


def test_drawn_datapoints_do_not_lengthen_a_gradient(plan: MakePlan) -> None:
    """The length is that of the mean over more datapoints, not longer by what 16,384 of them scatter."""
    (cell,) = plan(*SMALL, seeds="0", tasks=["shifted-sums"], methods=["walk"]).cells
    problem = resolve_problem(cell.task, cell.method, cell.parameters)
    weights = 4 * problem.initial_weights(0)
    squares = [task_gradient(problem, weights, seed)[2] for seed in range(3)]
    which: dict[str, Any] = {"seed": 9, "stream": Stream.DATA, "step": 5, "n_datapoints": 200_000}
    x, y = draw(problem.network, problem.data(), problem.timesteps, **which)
    many = loss_gradient(problem.network, weights, x, y, problem.timesteps)[1]
    assert np.mean(squares) == pytest.approx((many**2).sum(), rel=0.03)


def test_places_are_on_the_way_of_backpropagation(plan: MakePlan) -> None:
    specs = (*SMALL, "stddev=0.01")
    places = [one.place for one in measured(plan, *specs, at=("initial", "half", "trained"), steps=64, tasks=["xor"])]
    initial, half, trained = places
    assert (initial.steps, half.steps) == (0, trained.steps // 2)  # type: ignore[operator]
    assert trained.reached
    assert trained.loss < half.loss < 0.3
    assert not np.array_equal(initial.weights, half.weights)


def test_weights_that_never_meet_the_target_are_said_to_be_so(plan: MakePlan, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("freewalk.harness.estimates.places.MOST_STEPS", 20)
    (found,) = measured(plan, *SMALL, "stddev=0.01", steps=64, tasks=["parity"], methods=["walk"])
    assert (found.place.steps, found.place.reached) == (20, False)


def test_what_a_stddev_costs(plan: MakePlan) -> None:
    """Rounding goes with 1 / stddev, smoothing with its square; curvature with it, or its square if two-sided."""
    specs = (*SMALL, "stddev=1e-6,1e-5,0.01,0.1", "sides=one,two")
    found = rows(plan, *specs, steps=64, tasks=["xor"], methods=["node"]).set_index(["param_sides", "param_stddev"])
    for sides, power in (("one", 1), ("two", 2)):
        costs = found.loc[sides]
        assert costs["rounding"][1e-6] / costs["rounding"][1e-5] == pytest.approx(10, rel=0.3)
        assert costs["curvature"][0.1] / costs["curvature"][0.01] == pytest.approx(10**power, rel=0.3)
        assert costs["smoothing"][0.1] / costs["smoothing"][0.01] == pytest.approx(100, rel=0.3)
        assert costs["smoothing_low"][0.1] < costs["smoothing"][0.1] < costs["smoothing_high"][0.1]
    one, two = (found["smoothing"].loc[sides].to_numpy() for sides in ("one", "two"))
    assert one == pytest.approx(two, abs=2e-6)


def test_timesteps_add_up(plan: MakePlan) -> None:
    (one,) = measured(plan, *SMALL, "timesteps=3", "stddev=0.001", "sides=two", tasks=["xor"], methods=["node"])
    parts = [row for row in one.rows if row["weights"].startswith("timestep")]
    assert [row["weights"] for row in parts] == ["timestep 1", "timestep 2", "timestep 3"]
    for row in parts:
        error = (row["of_expected_high"] - row["of_expected_low"]) / 2 / 1.96
        assert abs(row["of_expected"] - 1) < 4 * error
    whole = one.rows[0]["second_moment"]
    assert sum(row["second_moment"] for row in parts) == pytest.approx(whole, rel=0.4)  # but for what two share


@pytest.mark.parametrize("most", [64, 100, 700])
def test_no_more_steps_than_were_allowed(plan: MakePlan, most: int) -> None:
    (one,) = measured(plan, *SMALL, "stddev=0.01", at=("initial",), steps=most, tasks=["xor"], methods=["walk"])
    assert most / 2 < one.rows[0]["n_steps"] <= most
    assert not one.rows[0]["is_precise"]


def test_estimators_that_differ_in_nothing_are_one(plan: MakePlan) -> None:
    cells = plan("optimizer=sgd,adam", "learning_rate=0.1,0.2", "stddev=0.1,0.2", seeds="0", tasks=["xor"]).cells
    assert len(cells) == 8
    assert len(estimators(cells)) == 2


OWN = """
from pydantic import BaseModel, Field

from freewalk.methods import ArrayTrainer, OwnMethod


class Parameters(BaseModel):
    learning_rate: float = Field(0.1, description="length of a step")
    stddev: float = Field(0.001, description="of the noise")


class Trainer(ArrayTrainer):
    def take_step(self):
        own, noise = self.start.parameters, self.unmasked(self.random().standard_normal(self.values.shape))
        x, y = self.batch()
        plus, minus = (self.losses(self.values + s * own.stddev * noise, x, y).mean() for s in (1, -1))
        self.values = self.values - own.learning_rate * FACTOR * (plus - minus) / 2 / own.stddev * noise
        return plus


SPSA = OwnMethod("own-spsa", "SPSA", Trainer, lambda p, b, n: 2 * b, Parameters, gradient="estimated")
"""


@pytest.mark.parametrize(("factor", "biased"), [(1.0, False), (2.0, True)])
def test_a_method_of_one_s_own(harness: Harness, tmp_path: Path, factor: float, biased: bool) -> None:
    (tmp_path / "own.py").write_text(OWN.replace("FACTOR", str(factor)))
    specs = ("--grid", "hidden=2", "--grid", "batch_size=8", "--at", "initial", "--samples", 2000)
    result = harness("estimate", "--plugin", "own.py", "--task", "xor", "--method", "own-spsa", *specs, "--out", "out")
    assert result.code == 0, result.err
    assert ("biased" in result.out) == biased
    row = read_table(tmp_path / "out" / "estimates.csv", "estimates").iloc[0]
    assert row["slope_low"] < factor < row["slope_high"]
    assert row["evaluations_per_step"] == 16


def test_a_method_that_says_it_estimates_needs_a_learning_rate() -> None:
    from freewalk.methods import OwnMethod

    with pytest.raises(ValueError, match="needs a parameter learning_rate"):
        OwnMethod("x", "x", lambda start: None, lambda *_: 1.0, gradient="estimated")  # type: ignore[arg-type, return-value]


def test_files_and_that_they_are_the_same_again(harness: Harness, tmp_path: Path) -> None:
    command = ("estimate", "--task", "xor", "--method", "node", "--grid", "hidden=2", "--grid", "timesteps=2,3,4")
    result = harness(*command, *QUICK, "--out", "out")
    assert (result.code, result.out, result.err) == (0, "", "")
    names = {path.name for path in (tmp_path / "out").iterdir()}
    assert names == {"estimates.html", "estimates.csv", "cosines.csv", "estimates.json"}
    document = json.loads((tmp_path / "out" / "estimates.json").read_text())
    estimates = read_table(tmp_path / "out" / "estimates.csv", "estimates")
    cosines = read_table(tmp_path / "out" / "cosines.csv", "cosines")
    assert len(document["estimates"]) == len(estimates) > 3
    assert document["cosines"][0]["cosine_mean"] == pytest.approx(cosines["cosine_mean"][0])
    assert document["command"].startswith("harness estimate --grid hidden=2 --grid timesteps=2,3,4 --task xor")
    assert "--out" not in document["command"]
    assert harness(*command, *QUICK, "--threads", 1, "--out", "out").code == 0
    again = read_table(tmp_path / "out" / "estimates.csv", "estimates")
    timed = ["seconds_per_step", "seconds_needed"]
    pd.testing.assert_frame_equal(estimates.drop(columns=timed), again.drop(columns=timed))


def test_json_is_what_the_file_holds(harness: Harness, tmp_path: Path) -> None:
    command = ("estimate", "--task", "and", "--method", "backprop", "--grid", "hidden=2")
    result = harness(*command, *QUICK[:-1], "--json", "--out", "out")
    assert json.loads(result.out) == json.loads((tmp_path / "out" / "estimates.json").read_text())


def test_the_table_on_the_terminal(harness: Harness) -> None:
    result = harness(
        "estimate", "--task", "xor", "--method", "walk", "--method", "node", "--grid", "hidden=2", *QUICK[:-1]
    )
    assert result.code == 0
    assert "xor at the initial weights" in result.out
    assert "Fewest evaluations: " in result.out
    assert "page in runs/estimates-" in result.out


def test_weights_of_a_file(harness: Harness, refused: Callable[..., str], tmp_path: Path) -> None:
    train = ("train", "--task", "xor", "--hidden", 3, "--epochs", 1, "--steps-per-epoch", 5, "--quiet")
    assert harness(*train, "--save", "w.npz").code == 0
    result = harness("estimate", "--weights", "w.npz", "--method", "walk", "--samples", 128, "--quiet", "--out", "out")
    assert result.code == 0, result.err
    found = read_table(tmp_path / "out" / "estimates.csv", "estimates")
    assert set(found["at"]) == {"file"}
    assert found["param_hidden"].unique().tolist() == [3]
    line = refused("estimate", "--weights", "w.npz", "--method", "walk", "--grid", "hidden=5")
    assert "another network" in line


REFUSED = {
    ("--task", "xor", "--method", "genetic"): "--method genetic takes no estimate of a gradient",
    ("--task", "xor", "--grid", "learning_rate=0.1"): "no estimate of a gradient depends on learning_rate",
    ("--task", "xor", "--at", "start"): "--at start: must be some of initial, half, trained",
    ("--task", "xor", "--at", ""): "--at : must be some of initial, half, trained",
    ("--task", "xor", "--seed", "0:3"): "--seed 0:3: must be one whole number",
    ("--method", "walk"): "no task given",
    ("--task", "xor", "--stddev", "low"): "--stddev 'low': stddev='low': must be",
    ("--task", "xor", "--backend", "abacus"): "--backend abacus: must be one of",
    ("--task", "xor", "--precision", "0"): "'--precision'",
    ("--task", "xor", "--weights", "none.npz"): "none.npz",
    ("--task", "digits", "--method", "node", "--grid", "architecture=2-2"): "architecture=2-2 does not fit",
}


@pytest.mark.parametrize("arguments", REFUSED, ids=" ".join)
def test_what_is_refused_in_one_line(refused: Callable[..., str], arguments: tuple[str, ...]) -> None:
    assert REFUSED[arguments] in refused("estimate", *arguments)


def test_files_of_others_stay(harness: Harness, refused: Callable[..., str], tmp_path: Path) -> None:
    command = ("estimate", "--task", "xor", "--method", "backprop", "--grid", "hidden=2", *QUICK, "--out", "out")
    assert harness(*command).code == 0
    line = refused(*command, "--grid", "batch_size=8")
    assert "is the report of another" in line
    (tmp_path / "own").mkdir()
    (tmp_path / "own" / "estimates.csv").write_text("mine")
    assert "was not written by" in refused(*command[:-1], "own")


def test_any_table_is_read_by_its_name_whatever_was_imported_before(tmp_path: Path) -> None:
    """In a process of its own: the layouts of reports and estimates are known without them."""
    (tmp_path / "ranking.csv").write_text("schema_version\n")
    code = "import freewalk, pathlib; freewalk.read_table(pathlib.Path('ranking.csv'), 'ranking')"
    found = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True)
    assert "is not a ranking table" in found.stderr
