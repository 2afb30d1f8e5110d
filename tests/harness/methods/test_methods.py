"""Every method in sweeps and alone: what it learns, what it costs, what is recorded, how it goes on."""

import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import freewalk
from freewalk.harness.plan.budget import Budget
from freewalk.harness.plan.configuration import resolve
from freewalk.harness.plan.plan import Plan
from freewalk.harness.plan.registry import BuiltInRegistry
from freewalk.harness.sweep import Sweep
from freewalk.harness.trial.events import Finished
from freewalk.harness.trial.trial import TrialRun, run_trial, start_trial
from freewalk.kernels.backend import resolve_backend
from freewalk.kernels.model.network import FreeNetwork
from freewalk.kernels.model.noise import initial_weights
from freewalk.results.store.store import Store

MakePlan = Callable[..., Plan]

CPU = resolve_backend("cpu")
METHODS = ["walk", "backprop", "numerical", "synthetic"]
FREE_METHODS = METHODS[:3]
SHORT: dict[str, Any] = {"epochs": 3, "steps_per_epoch": 4, "evaluation_points": 16}
VOLATILE = [
    *("sweep_id", "started_at", "finished_at", "train_seconds", "evaluation_seconds", "compile_seconds"),
    *("seconds_to_target", "peak_memory_mb"),
]


def begin(plan: MakePlan, task: str, method: str, *specs: str, **budget: Any) -> TrialRun:
    (trial,) = plan(*specs, tasks=[task], methods=[method], seeds=[3]).trials
    limits = Budget(**({"epochs": 3, "steps_per_epoch": 4, "evaluation_points": 16} | budget))
    return start_trial(trial.cell, trial.seed, limits, CPU)


def sigmoid(z: Any) -> Any:
    return 1 / (1 + np.exp(-z))


def test_all_methods_stand_in_one_table() -> None:
    found = freewalk.sweep("architecture=2-3-1", task="xor", method=METHODS, seeds="0:2", **SHORT)
    trials = found.trials
    assert trials["state"].tolist() == ["complete"] * 8
    assert trials["method"].tolist() == [method for method in METHODS for _ in range(2)]
    assert set(trials["n_weights"]) == {3 * 3 + 4}, "weights that the layers do not have are not counted"
    assert (trials["steps"] == 12).all()
    costs = trials.groupby("method", sort=False)["evaluations_per_step"].first().to_dict()
    assert costs == pytest.approx(
        {"walk": 2000, "backprop": 3000, "numerical": 26_000, "synthetic": 1000 * (3 + 2 * 9 / 13)}
    )
    assert trials["evaluations"].tolist() == pytest.approx((12 * trials["evaluations_per_step"]).tolist(), abs=0.5)
    heldout = found.curves[(found.curves["split"] == "heldout") & (found.curves["metric"] == "loss")]
    starts = heldout[heldout["step"] == 0].merge(trials[["trial_id", "seed"]])
    spread = starts.groupby("seed")["value"].agg(lambda values: values.max() - values.min())
    assert (spread < 1e-6).all(), "all start from the same weights"
    assert len(found.summary) == 4


@pytest.mark.parametrize(
    ("method", "architecture"), [*((m, "free") for m in FREE_METHODS), *((m, "2-4-1") for m in METHODS)]
)
def test_every_method_learns_a_gate(method: str, architecture: str) -> None:
    grid: dict[str, Any] = {
        "batch_size": 4,
        "architecture": architecture,
        "optimizer": "momentum",
        "learning_rate": 0.5,
    }
    if method == "walk":
        grid |= {"batch_size": 64, "update": "normalised", "stddev": 0.1}
    if architecture == "free":
        grid |= {"hidden": 4, "timesteps": 2}
    found = freewalk.sweep(grid, task="and", method=method, seeds="0:2", epochs=40, steps_per_epoch=25)
    assert found.trials["outcome"].tolist() == ["reached"] * 2
    assert (found.trials["effective_learning_rate"] == 0.5).all()


def test_the_walk_on_layers_is_the_walk_on_the_masked_free_network(plan: MakePlan) -> None:
    run = begin(plan, "xor", "walk", "architecture=2-3-1", "update=normalised", "stddev=0.1", "batch_size=32")
    # Rows: two inputs, bias, output, three hidden neurons; columns: output, hidden. Drawn by hand, not from the layers.
    mask = np.zeros((7, 4), dtype=bool)
    mask[:3, 1:] = True  # inputs and bias to the hidden neurons
    mask[2, 0] = mask[4:, 0] = True  # bias and hidden neurons to the output
    network = FreeNetwork(2, 1, 3)
    glorot = initial_weights(7, 4, 3) / np.sqrt(6 / (7 + 4))
    initial = np.zeros((7, 4))
    initial[:2, 1:] = glorot[:2, 1:] * np.sqrt(6 / (2 + 3))
    initial[4:, 0] = glorot[4:, 0] * np.sqrt(6 / (3 + 1))
    assert run.trainer.weights == pytest.approx(initial, abs=1e-15)
    by_hand = CPU.make_walk(
        network,
        run.problem.configuration,  # type: ignore[arg-type]
        run.problem.data(),
        seed=3,
        evaluation_points=4,
        mask=mask,
        initial=run.trainer.weights,
    )
    assert run.problem.timesteps == 2
    run_trial(run, CPU)
    by_hand.train(12)
    weights = run.trainer.weights
    assert np.array_equal(weights, by_hand.weights)
    assert not weights[~mask].any()
    assert (weights[mask] != initial[mask]).all(), "biases move too"
    # What is learned is the layered network: its loss by two products, without a free network.
    x = np.array([[0, 0], [0, 1], [1, 0], [1, 1]], dtype=float)
    h = sigmoid(x @ weights[:2, 1:] + weights[2, 1:])
    loss = ((sigmoid(h @ weights[4:, 0] + weights[2, 0]) - [0, 1, 1, 0]) ** 2).mean()
    assert run.trainer.evaluate().loss == pytest.approx(loss, abs=1e-6)


def test_numerical_descent_is_backprop_without_the_formulas() -> None:
    grid = {"architecture": ["free", "2-3-1"], "hidden": 3, "timesteps": 3, "batch_size": 4, "activation": "tanh"}
    found = freewalk.sweep(grid, task="xor", method=["backprop", "numerical"], seeds=[1], backend="reference", **SHORT)
    assert set(found.trials["dtype"]) == {"float64"}
    for _, one in found.curves.groupby(found.curves["trial_id"].map(found.trials.set_index("trial_id")["n_weights"])):
        backprop, numerical = (part["value"].to_numpy() for _, part in one.groupby("trial_id", sort=False))
        assert backprop == pytest.approx(numerical, abs=1e-8)
        assert backprop[0] != backprop[-2]


@pytest.mark.parametrize("method", METHODS)
def test_the_numpy_reference_agrees(method: str) -> None:
    grid = {"architecture": "2-3-1", "batch_size": 8}
    fast = freewalk.sweep(grid, task="xor", method=method, seeds=[0], **SHORT)
    slow = freewalk.sweep(grid, task="xor", method=method, seeds=[0], backend="reference", **SHORT)
    assert fast.trials["trial_id"].tolist() == slow.trials["trial_id"].tolist()
    assert fast.curves["value"].to_numpy() == pytest.approx(slow.curves["value"].to_numpy(), abs=1e-3)


@pytest.mark.parametrize("predictor", ["linear", "bias", "conditioned"])
def test_predictors_are_three_different_methods(predictor: str) -> None:
    grid = {"architecture": "2-3-1", "predictor": ["linear", "bias", "conditioned"], "batch_size": 4}
    found = freewalk.sweep(grid, task="xor", method="synthetic", seeds=[0], **SHORT)
    own = found.trials.set_index("param_predictor")
    assert own["loss_final"].nunique() == 3
    alone = freewalk.sweep(grid | {"predictor": predictor}, task="xor", method="synthetic", seeds=[0], **SHORT)
    assert alone.trials["loss_final"].tolist() == [own.loc[predictor, "loss_final"]]


def test_equal_evaluations_are_as_many_steps_as_they_pay_for() -> None:
    found = freewalk.sweep(
        {"architecture": "2-3-1", "batch_size": 10, "learning_rate": 1e-9, "update": "normalised"},
        task="xor",
        method=METHODS,
        seeds=[0],
        epochs=4,
        evaluations=1000,
        looks="epochs",
    )
    # A step of synthetic gradients: forward and backward, and predictors of 9 weights beside 13.
    per_step = {"walk": 20, "backprop": 30, "numerical": 2 * 13 * 10, "synthetic": 10 * (3 + 2 * 9 / 13)}
    steps = found.trials.set_index("method")["steps"].to_dict()
    assert steps == {"walk": 50, "backprop": 33, "numerical": 3, "synthetic": 22}
    assert steps == {method: int(1000 // cost) for method, cost in per_step.items()}
    spent = found.trials.set_index("method")["evaluations"]
    assert spent.to_dict() == {method: round(steps[method] * cost) for method, cost in per_step.items()}
    assert (spent <= 1000).all()
    judged = found.curves[(found.curves["split"] == "heldout") & (found.curves["metric"] == "loss")]
    by_method = dict(zip(found.trials["trial_id"], found.trials["method"], strict=True))
    points = {by_method[str(name)]: part["step"].tolist() for name, part in judged.groupby("trial_id")}
    assert points == {
        "walk": [0, 12, 25, 37, 50],
        "backprop": [0, 8, 16, 24, 33],
        "numerical": [0, 1, 2, 3],
        "synthetic": [0, 5, 11, 16, 22],
    }


def test_a_schedule_ends_with_the_trials_own_steps(plan: MakePlan) -> None:
    specs = ("schedule=cosine", "batch_size=10", "architecture=2-3-1")
    for method, steps in (("backprop", 33), ("numerical", 3)):
        run = begin(plan, "xor", method, *specs, evaluations=1000)
        assert run.problem.configuration.schedule_steps == run.steps == steps


@pytest.fixture(scope="module")
def specs() -> list[str]:
    return ["architecture=2-3-1", "batch_size=4", "predictor=linear,bias"]


def test_a_sweep_of_all_methods_resumes(specs: list[str], tmp_path: Path) -> None:
    options: dict[str, Any] = {"method": METHODS, "seeds": "0:2", "evaluations": 5000, "epochs": 3}
    undisturbed = freewalk.sweep(specs, task="xor", out=tmp_path, **options)
    with closing(sqlite3.connect(tmp_path / "sweep.sqlite")) as connection:
        # As a kill leaves it: one of each method was under way.
        connection.execute(
            "UPDATE trials SET state = 'running', outcome = NULL, result_checksum = NULL, curve_checksum = NULL"
            " WHERE position IN (1, 3, 4, 6, 9)"
        )
        connection.commit()
    configuration = resolve(
        specs, registry=BuiltInRegistry(), tasks=["xor"], methods=METHODS, seeds="0:2", evaluations=5000, epochs=3
    )
    sweep = Sweep(configuration, tmp_path)
    _, *events = sweep.run()
    again = [event.trial.cell.method for event in events if isinstance(event, Finished)]
    assert sorted(again) == ["backprop", "numerical", "synthetic", "synthetic", "walk"]
    left, right = (frame.drop(columns=VOLATILE) for frame in (sweep.tables["trials"], undisturbed.trials))
    pd.testing.assert_frame_equal(left, right, check_exact=True)
    with Store.open(tmp_path, read_only=True) as store:
        curves = [frame.drop(columns="train_seconds") for frame in (store.curves(), undisturbed.curves)]
    pd.testing.assert_frame_equal(*curves, check_exact=True)


def test_a_diverging_gradient_method_is_a_row() -> None:
    specs = ["architecture=2-3-1", "learning_rate=1e300", "batch_size=4"]
    found = freewalk.sweep(specs, task="xor", method=["backprop", "numerical", "synthetic"], seeds=[0], epochs=40)
    assert set(found.trials["state"]) == {"complete"}
    assert set(found.trials["outcome"]) <= {"diverged", "collapsed", "exhausted"}
