"""Guessing, the genetic algorithm and SNES: a step as its formula reads, and what trials of them count."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import freewalk
from freewalk.harness.base.errors import UsageError
from freewalk.harness.engine.estimate import memory_mb
from freewalk.harness.methods.genetic import GENETIC, Genetic
from freewalk.harness.methods.guess import GUESS, Guess
from freewalk.harness.methods.population import PopulationMethod
from freewalk.harness.methods.problem import resolve_problem
from freewalk.harness.methods.snes import SNES, Snes, utilities
from freewalk.harness.plan.plan import fill
from freewalk.kernels.backend import resolve_backend
from freewalk.kernels.model.population import Array, Origin, Tried
from freewalk.tasks.registry import TASKS

CPU = resolve_backend("cpu")
METHODS: list[PopulationMethod] = [GUESS, GENETIC, SNES]
NEURONS = np.array([0, 1, 2, 0, 1, 2, 0, 1, 2])


def origin(method: PopulationMethod, members: int = 6, **parameters: Any) -> Origin:
    return Origin(np.linspace(-1, 1, 9), NEURONS, 4, members, method.parameters(**parameters))


def tried(losses: Any, seen: Any = None, right: Any = None) -> Tried:
    n = len(losses)
    return Tried(
        np.asarray(losses, float),
        np.full(n, 16) if seen is None else np.array(seen),
        np.zeros(n, np.bool_) if right is None else np.array(right),
    )


def start(task: str, method: PopulationMethod, seed: int = 0, **parameters: Any) -> Any:
    problem = resolve_problem(task, method.name, fill(method.name, parameters, TASKS[task].parameters))
    return problem.start(CPU, seed=seed, evaluation_points=16)


# SNES ----------------------------------------------------------------------------------------------------------------


def test_a_step_of_snes_is_the_papers() -> None:
    one = Snes(origin(SNES))
    mean, sigma, losses = one.answer.copy(), 0.5, [3.0, 1.0, 2.0, 6.0, 5.0, 4.0]
    s = (one.ask(2) - mean) / sigma
    one.tell(2, one.ask(2), tried(losses))
    raw = [max(0.0, math.log(6 / 2 + 1) - math.log(k)) for k in range(1, 7)]
    u = {rank: r / sum(raw) - 1 / 6 for rank, r in enumerate(raw, start=1)}
    rate = (3 + math.log(9)) / (5 * math.sqrt(9))
    moved = sum(u[int(loss)] * s[k] for k, loss in enumerate(losses))
    spread = sum(u[int(loss)] * (s[k] ** 2 - 1) for k, loss in enumerate(losses))
    assert one.answer == pytest.approx(mean + sigma * moved, abs=1e-12)
    assert one.arrays["stddevs"] == pytest.approx(sigma * np.exp(rate / 2 * spread), abs=1e-12)


def test_rates_of_snes_are_taken() -> None:
    still = Snes(origin(SNES, stddev_learning_rate=1e-9, mean_learning_rate=1e-9))
    still.tell(0, still.ask(0), tried(np.arange(6)))
    assert still.answer == pytest.approx(np.linspace(-1, 1, 9), abs=1e-6)
    assert still.arrays["stddevs"] == pytest.approx(0.5, abs=1e-6)


def test_utilities_sum_to_zero_and_fall_with_the_rank() -> None:
    for n in (2, 3, 10, 101):
        u = utilities(n)
        assert u.sum() == pytest.approx(0, abs=1e-12)
        assert (np.diff(u) <= 0).all()
        assert u[-1] == pytest.approx(-1 / n)


# The genetic algorithm -----------------------------------------------------------------------------------------------


def test_children_without_mutation_take_each_neuron_from_one_of_the_parents() -> None:
    one = Genetic(origin(GENETIC, 200, parents=0.01, stddev=0.0, crossover=1.0))
    one.arrays["parents"] = np.stack([np.zeros(9), np.ones(9)])
    assert np.array_equal(one.ask(0)[0], one.answer), "the elite"
    children = one.ask(0)[1:].reshape(-1, 3, 3)
    assert (children == children[:, :1]).all(), "all rows of a column from one parent"
    patterns, counts = np.unique(children[:, 0], axis=0, return_counts=True)
    assert len(patterns) == 8
    mixed = counts[(patterns.sum(axis=1) % 3) > 0]
    assert mixed.min() > 199 / 2 / 8 / 3, "half of the pairs are of two parents, with eight patterns each"


def test_without_crossover_a_child_has_one_parent() -> None:
    one = Genetic(origin(GENETIC, 200, parents=0.01, stddev=0.0, crossover=0.0))
    one.arrays["parents"] = np.stack([np.zeros(9), np.ones(9)])
    sums = one.ask(0)[1:].sum(axis=1)
    assert {*sums.tolist()} == {0.0, 9.0}
    assert 60 < (sums == 9).sum() < 140, "parents are drawn alike"


def test_mutation_has_its_stddev_and_selection_takes_the_best() -> None:
    one = Genetic(origin(GENETIC, 1000, parents=0.002, stddev=0.25))
    members = one.ask(0)
    assert (members[1:] - one.answer).std() == pytest.approx(0.25, rel=0.05)
    losses = np.arange(1000.0)[::-1]
    one.tell(0, members, tried(losses))
    assert np.array_equal(one.arrays["parents"], members[[999, 998]])
    assert np.array_equal(one.answer, members[999])


# Guessing ------------------------------------------------------------------------------------------------------------


def test_guesses_are_uniform_and_forget_the_start() -> None:
    one = Guess(origin(GUESS, 3000, scale=7.0))
    guesses = one.ask(1)
    assert np.array_equal(guesses, Guess(origin(GUESS, 3000, scale=7.0)).ask(1))
    assert abs(guesses).max() <= 7
    assert abs(guesses.mean()) < 0.2
    assert guesses.std() == pytest.approx(7 / math.sqrt(3), rel=0.02)
    assert not np.array_equal(guesses, one.ask(2))


def test_the_answer_is_the_last_right_guess_or_the_one_that_came_furthest() -> None:
    one = Guess(origin(GUESS, 3))

    def told(step: int, **what: Any) -> Array:
        members = one.ask(step)
        one.tell(step, members, tried(**what))
        return members

    first = told(0, losses=[1, 2, 3], seen=[16, 32, 32])
    assert np.array_equal(one.answer, first[1])
    told(1, losses=[0, 9, 9], seen=[16, 32, 32])
    assert np.array_equal(one.answer, first[1])
    assert one.guesses == 0
    right = told(2, losses=[0, 9, 9], seen=[16, 37, 37], right=[False, True, True])
    assert np.array_equal(one.answer, right[1])
    assert one.guesses == 2 * 3 + 2
    told(3, losses=[0, 0, 0], seen=[32, 32, 32])
    assert np.array_equal(one.answer, right[1])
    again = told(4, losses=[9, 9, 9], seen=[37, 32, 32], right=[True, False, False])
    assert np.array_equal(one.answer, again[0])
    assert one.guesses == 8, "the first"


def test_a_right_guess_is_right() -> None:
    trainer = start("xor", GUESS, batch_size=40, hidden=3, population=200)
    while not trainer.strategy.guesses:
        trainer.train(1)
    guess = (trainer.strategy.guesses - 1) % 200
    assert trainer.evaluations < trainer.step * 200 * 40, "wrong guesses were left early"
    assert trainer.evaluate().max_error < 0.1
    step = trainer.step - 1
    assert np.array_equal(trainer.weights.reshape(-1), trainer.strategy.ask(step)[guess])


@pytest.mark.parametrize("seed", [0, 1])
def test_parity_of_sequences_is_guessed(seed: int) -> None:
    parameters = {"length": 6, "delay": 1, "sequences": 20, "batch_size": 20, "hidden": 1}
    trainer = start("long-parity", GUESS, seed, **parameters)
    while not trainer.strategy.guesses:
        trainer.train(1)
    assert trainer.evaluate().row_accuracy > 0.8, "20 sequences of 5 or 6 bits leave little to chance"


# Trials --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", METHODS, ids=lambda method: method.name)
def test_defaults_learn_the_gates(method: PopulationMethod) -> None:
    found = freewalk.sweep("batch_size=16", task=["and", "xor"], method=method.name, seeds="0:2", evaluations=10**6)
    trials = found.trials
    assert trials["outcome"].tolist() == ["reached"] * 4
    assert (trials["evaluations"] == trials["steps"] * trials["evaluations_per_step"]).all()
    assert trials["effective_learning_rate"].isna().all()


@pytest.mark.parametrize("method", METHODS, ids=lambda method: method.name)
@pytest.mark.parametrize("grid", [{"hidden": 2, "timesteps": 2}, {"architecture": "2-3-1"}], ids=["free", "layered"])
def test_the_reference_comes_to_the_same(method: PopulationMethod, grid: dict[str, Any]) -> None:
    problem = resolve_problem("xor", method.name, fill(method.name, {"batch_size": 20, **grid}, {}))
    ends = []
    for backend in (CPU, resolve_backend("reference")):
        trainer: Any = problem.start(backend, seed=1, evaluation_points=4)
        trainer.train(3)
        ends.append((trainer.weights, trainer.evaluations, trainer.evaluate().loss))
    (weights, evaluations, loss), (wanted, wanted_evaluations, wanted_loss) = ends
    assert weights == pytest.approx(wanted, abs=1e-9), "ranks do not depend on rounding here"
    assert evaluations == wanted_evaluations
    assert loss == pytest.approx(wanted_loss, abs=1e-5)


def test_a_missing_package_is_named_with_its_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("freewalk.harness.methods.population.is_installed", lambda package: False)
    for name in ("cma", "evosax"):
        with pytest.raises(UsageError, match=rf"{name} needs {name}, which is not here.*pip install 'freewalk\[es\]'"):
            resolve_problem("xor", name, fill(name, {}, {}))


def test_full_covariance_is_refused_for_many_weights(monkeypatch: pytest.MonkeyPatch, plan: Callable[..., Any]) -> None:
    monkeypatch.setattr("freewalk.harness.methods.population.is_installed", lambda package: True)
    message = "cma takes up to 3,000 weights, this network has 10,504; give covariance=diagonal, or method=snes"
    with pytest.raises(UsageError, match=message):
        plan("hidden=100", "method=cma", tasks=["xor"])
    plan("hidden=100", "method=cma", "covariance=diagonal", tasks=["xor"])


def test_a_plan_knows_the_memory_of_its_members(plan: Callable[..., Any]) -> None:
    def size(*specs: str) -> float:
        (cell,) = plan(*specs, tasks=["xor"]).cells
        return memory_mb(cell)

    more = size("method=snes", "hidden=100", "population=2000") - size("method=snes", "hidden=100", "population=1000")
    n = 104 * 101
    assert more == pytest.approx(1000 * n * (3 * 8 + 4) / 1e6)


def test_a_population_of_one_is_refused(plan: Callable[..., Any]) -> None:
    with pytest.raises(UsageError, match="population=1: must be auto or a whole number of at least 2"):
        plan("population=1", tasks=["xor"], methods=["snes"])
    plan("population=auto", tasks=["xor"], methods=["snes"])
