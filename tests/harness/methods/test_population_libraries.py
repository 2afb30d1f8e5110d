"""CMA-ES of the package cma and the algorithms of evosax under freewalk's budgets; each where it is installed."""

from __future__ import annotations

import pickle
from importlib.util import find_spec
from typing import Any

import numpy as np
import pytest

import freewalk
from freewalk.harness.base.errors import UsageError
from freewalk.harness.methods.problem import resolve_problem
from freewalk.harness.methods.registered import METHODS
from freewalk.harness.plan.plan import fill
from freewalk.kernels.backend import resolve_backend
from freewalk.kernels.model.population import Origin, Tried
from freewalk.testing import check_method

CPU = resolve_backend("cpu")
INSTALLED = [name for name in ("cma", "evosax") if find_spec(name) is not None]

needs_cma = pytest.mark.skipif("cma" not in INSTALLED, reason="needs cma")
needs_evosax = pytest.mark.skipif("evosax" not in INSTALLED, reason="needs evosax")
each = pytest.mark.parametrize(
    "method", [pytest.param("cma", marks=needs_cma), pytest.param("evosax", marks=needs_evosax)]
)


def start(method: str, seed: int = 1, **parameters: Any) -> Any:
    problem = resolve_problem("xor", method, fill(method, {"batch_size": 8, "hidden": 2, **parameters}, {}))
    return problem.start(CPU, seed=seed, evaluation_points=4)


@needs_cma
@needs_evosax
def test_a_sweep_of_both_counts_populations_times_datapoints() -> None:
    grid = {"batch_size": 24, "hidden": 2, "population": [32, 12]}
    found = freewalk.sweep(grid, task="xor", method=["cma", "evosax"], seeds="0:2", epochs=3, steps_per_epoch=5)
    trials = found.trials
    assert trials["state"].tolist() == ["complete"] * 8
    assert (trials["evaluations_per_step"] == 24 * trials["param_population"].astype(int)).all()
    assert (trials["evaluations"] == trials["steps"] * trials["evaluations_per_step"]).all()


@each
def test_what_is_counted_has_been_run(method: str) -> None:
    trainer = start(method, population=32)
    trainer.train(5)
    assert trainer.evaluations == 5 * 32 * 8


@each
def test_defaults_learn_the_gates(method: str) -> None:
    grid = {"batch_size": 16, "hidden": 2}
    found = freewalk.sweep(grid, task=["and", "xor"], method=method, seeds="0:2", evaluations=10**6)
    assert found.trials["outcome"].tolist() == ["reached"] * 4


@each
@pytest.mark.parametrize("architecture", ["free", "2-3-1"])
def test_they_keep_what_the_harness_relies_on(method: str, architecture: str) -> None:
    check_method(METHODS[method], {"hidden": 2} if architecture == "free" else {"architecture": architecture})


@each
def test_a_trial_leaves_numpys_own_generator_alone(method: str) -> None:
    np.random.seed(3)  # noqa: NPY002 - the one that others use
    before = np.random.get_state()[1].copy()  # type: ignore[index, union-attr]  # noqa: NPY002
    start(method).train(3)
    assert np.array_equal(before, np.random.get_state()[1])  # type: ignore[index]  # noqa: NPY002


@needs_cma
@pytest.mark.parametrize("covariance", ["full", "diagonal"])
def test_cma_goes_on_from_its_bytes(covariance: str) -> None:
    one, other = start("cma", covariance=covariance), start("cma", covariance=covariance)
    one.train(12)
    other.restore(one.state())
    one.train(12)
    other.train(12)
    assert np.array_equal(one.weights, other.weights)
    shape = one.strategy._es.C.shape if covariance == "full" else ()
    assert covariance == "diagonal" or shape == (18, 18)


@needs_cma
def test_a_pickle_that_is_not_cmas_is_refused() -> None:
    trainer = start("cma")
    for foreign in (pickle.dumps(pytest.skip), b"no pickle"):
        with pytest.raises(ValueError, match="not one of this release of cma"):
            trainer.restore({**trainer.state(), "cma": np.frombuffer(foreign, dtype=np.uint8)})
    with pytest.raises(ValueError, match="the state is of 28 weights, this trial has 18"):
        trainer.restore({**trainer.state(), "cma": start("cma", hidden=3).state()["cma"]})


@needs_evosax
@pytest.mark.parametrize("strategy", ["SimpleGA", pytest.param("Open_ES", marks=pytest.mark.slow)])
def test_algorithms_of_both_kinds_learn_and_go_on(strategy: str) -> None:
    one, other = start("evosax", strategy=strategy), start("evosax", strategy=strategy)
    loss = one.evaluate().loss
    one.train(12)
    other.restore(one.state())
    one.train(12)
    other.train(12)
    assert np.array_equal(one.weights, other.weights)
    assert one.evaluate().loss < loss


@needs_evosax
def test_an_algorithm_with_a_population_runs_its_first_one() -> None:
    parameters = METHODS["evosax"].parameters(strategy="SimpleGA", sigma0=0.25)  # type: ignore[call-arg]
    strategy: Any = METHODS["evosax"].strategy(  # type: ignore[attr-defined]
        Origin(np.full(400, 2.0), np.zeros(400, np.intp), 3, 32, parameters)
    )
    first = strategy.ask(0)
    assert (first[0] == 2).all(), "the start is a member"
    assert first[1:].std() == pytest.approx(0.25, rel=0.05)
    assert first[1:].mean() == pytest.approx(2, abs=0.01)
    losses = np.abs(np.arange(32.0) - 20)
    strategy.tell(0, first, Tried(losses, np.ones(32, np.int64), np.zeros(32, np.bool_)))
    assert np.array_equal(strategy.answer, first[20])


@needs_evosax
def test_an_unknown_algorithm_is_named_with_those_there_are() -> None:
    with pytest.raises(UsageError, match=r"strategy='CMA-ES' \(did you mean 'CMA_ES'\?\): evosax has .*CMA_ES"):
        start("evosax", strategy="CMA-ES")


@needs_evosax
@pytest.mark.parametrize("more", [["--dry-run"], ["--epochs", 1]])
def test_a_population_that_evosax_refuses_ends_in_a_line(refused: Any, more: list[object]) -> None:
    cell = ("--method", "evosax", "--grid", "strategy=Open_ES", "--grid", "population=7")
    line = refused("sweep", "--task", "xor", *cell, *more)
    assert "evosax refuses population=7 for Open_ES: Population size must be even; give another population" in line


@needs_evosax
def test_an_estimate_is_timed_on_no_network_that_evosax_refuses(harness: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("freewalk.harness.engine.estimate._MEASURED_SECONDS", 1e-6)  # of half the width, if it can be
    cell = ("--method", "evosax", "--grid", "strategy=Open_ES", "--grid", "population=auto")
    # 34 members; of half the width 31, which is odd
    said = harness("sweep", "--task", "digits", *cell, "--grid", "architecture=64-300-10", "--dry-run")
    assert said.code == 0, said.err
