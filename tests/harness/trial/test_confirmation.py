"""A target met at a look is met on fresh datapoints too: how often it is not, and what is asked.

`python tests/harness/trial/test_confirmation.py` counts false ends over many trials.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from freewalk.harness.methods.problem import ResolvedProblem
from freewalk.harness.plan.budget import Budget
from freewalk.harness.plan.configuration import resolve
from freewalk.harness.plan.plan import Cell, expand
from freewalk.harness.plan.registry import BuiltInRegistry
from freewalk.harness.trial.confirmation import MOST_POINTS, confirm
from freewalk.harness.trial.trial import resolve_trial, run_trial, start_trial
from freewalk.kernels.backend import resolve_backend
from freewalk.kernels.cpu.trial import MEASURES, measure_datapoints
from freewalk.kernels.data.datapoints import draw
from freewalk.kernels.model.noise import Stream
from freewalk.kernels.reference import reference
from freewalk.kernels.trainers.reference_trainer import measure
from freewalk.tasks.registry import TASKS

_TRUTH_POINTS = 100_000
_NEVER_SEEN = 2**31
"""A step of the held-out stream that no look and no confirmation comes to."""
CASES = (
    ("sign", "hidden=8", "timesteps=2", "batch_size=64", "optimizer=momentum", "learning_rate=0.3"),
    ("sign", "hidden=30", "timesteps=1", "batch_size=16", "optimizer=sgd", "learning_rate=0.1"),
    ("shifted-sums", "hidden=30", "timesteps=4", "batch_size=256", "optimizer=adam", "learning_rate=0.01"),
    ("addition", "hidden=16", "batch_size=256", "optimizer=adam", "learning_rate=0.03"),
)


def cell_of(task: str, *specs: str) -> Cell:
    return expand(resolve([*specs], tasks=[task]), BuiltInRegistry()).cells[0]


def resolved(task: str, *specs: str) -> ResolvedProblem:
    return resolve_trial(cell_of(task, *specs), Budget(epochs=1, steps_per_epoch=1, evaluation_points=16))


def true_metric(problem: ResolvedProblem, weights: np.ndarray[Any, Any], seed: int) -> float:
    """Give the metric on so many datapoints that no trial has seen."""
    where: dict[str, Any] = {"seed": seed, "stream": Stream.EVALUATION_DATA, "step": _NEVER_SEEN}
    each = measure_datapoints(
        problem.network, weights, problem.data(), problem.timesteps, first=0, n_datapoints=_TRUTH_POINTS, **where
    )
    return float(each[:, MEASURES.index(problem.task.metric)].mean())


@pytest.mark.parametrize("task", ["sign", "shifted-sums", "addition", "copy", "xor", "delayed-xor"])
def test_each_datapoint_is_measured_as_the_reference_measures_all(task: str) -> None:
    problem = resolved(task, "hidden=5")
    network, weights = problem.network, problem.initial_weights(3)
    where: dict[str, Any] = {"seed": 7, "stream": Stream.EVALUATION_DATA, "step": 9}
    each = measure_datapoints(network, weights, problem.data(), problem.timesteps, first=16, n_datapoints=37, **where)
    x, y = draw(network, problem.data(), problem.timesteps, n_datapoints=53, **where)
    for k in range(37):
        at = slice(16 + k, 17 + k)
        outputs = reference.forward(network, weights, x[at], problem.timesteps)
        whole = measure(network, outputs, y[at])
        np.testing.assert_allclose(each[k], [getattr(whole, name) for name in MEASURES], rtol=2e-5, atol=1e-6)


def test_fresh_datapoints_are_neither_those_of_looks_nor_those_of_earlier_confirmations() -> None:
    problem, asked = resolved("sign", "hidden=3"), list[float]()
    weights = problem.initial_weights(0)
    found = [
        confirm(problem, weights, lambda value: asked.append(value) or False, seed=0, earlier=n, n_seen=64)  # type: ignore[func-returns-value]
        for n in range(3)
    ]
    assert [sure for sure, _ in found] == [False] * 3
    assert len({value for _, value in found}) == 3


def test_few_held_out_datapoints_are_all_looked_at() -> None:
    xor = resolved("xor", "hidden=3")
    weights = xor.initial_weights(0)
    never = {"seed": 0, "earlier": 0}
    assert confirm(xor, weights, lambda value: False, n_seen=4, **never) == (True, None), "the look saw all four"
    sure, value = confirm(xor, weights, lambda value: value > 0, n_seen=2, **never)
    x, y = np.array([[0, 0], [0, 1], [1, 0], [1, 1]]), np.array([[0], [1], [1], [0]])
    everything = measure(xor.network, reference.forward(xor.network, weights, x, xor.timesteps), y)
    assert sure
    assert value == pytest.approx(everything.max_error, rel=1e-6)


@pytest.mark.parametrize(("gap", "expected"), [(0.02, True), (-0.02, False), (0.0, False)])
def test_only_what_is_beyond_doubt_is_confirmed(gap: float, expected: bool) -> None:
    problem = resolved("sign", "hidden=3")
    weights = problem.initial_weights(0)
    truth = true_metric(problem, weights, 0)
    seen: list[float] = []

    def meets(value: float) -> bool:
        seen.append(value)
        return value >= truth - gap

    assert confirm(problem, weights, meets, seed=0, earlier=0, n_seen=64)[0] is expected
    if gap:
        assert len(seen) < 2 * np.log2(MOST_POINTS / 2048), "what is clear is told from few"


def count_false_ends(points: int, seeds: range, cases: tuple[tuple[str, ...], ...] = CASES) -> tuple[int, int, int]:
    """Count trials that reached their target, those of them that miss it in truth, and looks not confirmed."""
    backend = resolve_backend("cpu")
    budget = Budget(epochs=40, steps_per_epoch=50, evaluation_points=points, looks="growing")
    n_reached = n_false = n_unconfirmed = 0
    for task, *specs in cases:
        cell = cell_of(task, "update=normalised", "stddev=0.1", *specs)
        for seed in seeds:
            run = start_trial(cell, seed, budget, backend)
            result = run_trial(run, backend).fields
            if result["reached"]:
                n_reached += 1
                n_unconfirmed += int(str(result["n_unconfirmed"]))
                n_false += not TASKS[task].is_met_by(true_metric(run.problem, run.trainer.weights, seed))
    return n_reached, n_false, n_unconfirmed


@pytest.mark.parametrize("points", [64, 2048])
def test_what_is_reached_is_reached_in_truth(points: int) -> None:
    n_reached, n_false, n_unconfirmed = count_false_ends(points, range(25), CASES[:2])
    assert n_reached == 50
    assert n_false <= 1
    assert n_unconfirmed > (20 if points == 64 else 0), "looks alone would have been lucky"


if __name__ == "__main__":
    for n in (64, 256, 2048):
        for case in CASES:
            reached, false, unconfirmed = count_false_ends(n, range(200), (case,))
            print(  # noqa: T201
                f"{n:5} held-out points, {' '.join(case)}: {false} of {reached} false, {unconfirmed} unconfirmed looks"
            )
