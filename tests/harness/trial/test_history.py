"""What is known of a trial at a cap: the same from its whole curve as from the pause there."""

import itertools
import math
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from freewalk.harness.plan.budget import Budget
from freewalk.harness.plan.plan import Plan, Trial
from freewalk.harness.trial.history import FAILED, History, Observation
from freewalk.harness.trial.trial import TrialPaused, resolve_trial, run_trial, start_trial
from freewalk.harness.trial.watch import TrialResult
from freewalk.kernels.backend import resolve_backend
from freewalk.results.schema.records import CurvePoint

MakePlan = Callable[..., Plan]

CPU = resolve_backend("cpu")
INF = math.inf
LOOKS, LOSSES = (0.0, 10.0, 20.0, 40.0), (0.9, 0.5, 0.7, 0.2)

WAITING = History(LOOKS, LOSSES, next_look=60.0)
REACHED = History(LOOKS, LOSSES, INF, cost=40.0)
EXHAUSTED = History(LOOKS, LOSSES, INF)
DIVERGED = History((0.0, 10.0), (0.9, INF), INF)


@pytest.mark.parametrize(
    ("cap", "spent", "loss"),
    [(0, 0, 0.9), (5, 0, 0.9), (10, 10, 0.5), (10.5, 10, 0.5), (39.9, 20, 0.7), (40, 40, 0.2), (59.9, 40, 0.2)],
)
def test_a_trial_that_waits_costs_more_than_the_cap(cap: float, spent: float, loss: float) -> None:
    assert WAITING.at(cap) == Observation(cap, reached=False, ended=False, spent=spent, loss=loss)
    if cap < 40:  # of one that has ended later, the same is known
        assert REACHED.at(cap) == EXHAUSTED.at(cap) == WAITING.at(cap)


def test_a_trial_that_has_not_been_looked_at_is_at_its_start() -> None:
    assert History((), (), next_look=0.0).at(-1.0) == Observation(0.0, False, False, 0.0, INF)


@pytest.mark.parametrize("cap", [40.0, 41.0, 1e9, INF])
def test_a_trial_that_has_ended_says_how(cap: float) -> None:
    assert REACHED.at(cap) == Observation(40.0, True, True, 40.0, 0.2)
    assert EXHAUSTED.at(cap) == Observation(40.0, False, True, 40.0, 0.2)
    assert DIVERGED.at(cap) == Observation(10.0, False, True, 10.0, INF)
    assert FAILED.at(cap) == Observation(0.0, False, True, 0.0, INF)


def test_a_target_that_is_met_at_once_costs_nothing() -> None:
    at_once = History((0.0,), (0.1,), INF, cost=0.0)
    assert at_once.at(0.0) == at_once.at(INF) == Observation(0.0, True, True, 0.0, 0.1)


def test_it_tells_what_comes_before_the_next_look() -> None:
    assert [WAITING.tells(cap) for cap in (0.0, 40.0, 59.9, 60.0, 61.0, INF)] == [True, True, True, False, False, False]
    assert not History((), (), next_look=0.0).tells(0.0)
    assert not WAITING.ended
    for history in (REACHED, EXHAUSTED, DIVERGED, FAILED):
        assert history.ended
        assert all(history.tells(cap) for cap in (0.0, 40.0, 1e18))


def test_of_a_trial_that_has_ended_everything_is_known() -> None:
    assert [history.tells(INF) for history in (REACHED, EXHAUSTED, DIVERGED, FAILED)] == [True] * 4


@given(st.lists(st.tuples(st.integers(1, 50), st.floats(0, 1)), min_size=1), st.booleans(), st.data())
def test_what_is_seen_only_grows(steps: list[tuple[int, float]], reached: bool, data: st.DataObject) -> None:
    evaluations = [0.0]
    for gap, _ in steps:
        evaluations.append(evaluations[-1] + gap)
    losses = (1.0, *(loss for _, loss in steps))
    whole = History(tuple(evaluations), losses, INF, cost=evaluations[-1] if reached else INF)
    caps = sorted(data.draw(st.lists(st.floats(0, 2 * evaluations[-1]), min_size=2)))
    seen = [whole.at(cap) for cap in (*caps, INF)]
    for cap, one, later in zip(caps, seen, seen[1:], strict=False):
        assert one.spent <= later.spent
        assert one.cost <= later.cost
        assert one.spent <= cap
        assert not one.ended or one == later
    assert seen[-1] == Observation(evaluations[-1], reached, True, evaluations[-1], losses[-1])


def test_a_curve_is_read_at_its_heldout_losses() -> None:
    def point(step: int, split: str, metric: str, value: float) -> CurvePoint:
        return CurvePoint(step, 4 * step, 0.0, split, metric, value)

    curve = [
        point(2, "heldout", "loss", math.nan),
        point(0, "heldout", "loss", 0.5),
        point(1, "train", "loss", 0.3),
        point(1, "heldout", "bit_accuracy", 0.2),
        point(1, "test", "loss", 0.1),
    ]
    assert History.of_curve(curve) == History((0.0, 8.0), (0.5, INF), INF)
    assert History.of_curve(curve, 12.0) == History((0.0, 8.0), (0.5, INF), 12.0)
    assert History.of_curve([]) == FAILED


# of real trials


def trial_of(plan: MakePlan, *specs: str, task: str = "xor") -> Trial:
    (trial,) = plan("batch_size=4", *specs, tasks=[task], seeds=[0]).trials
    return trial


def histories(trial: Trial, budget: Budget, caps: list[float]) -> Iterator[tuple[float, History]]:
    """Yield what is known of a trial that has run to a cap, for caps that grow, and at last to its end."""
    run = start_trial(trial.cell, trial.seed, budget, CPU)
    for cap in (*caps, INF):
        try:
            result = run_trial(run, CPU, pause_at=cap)
        except TrialPaused:
            yield cap, History.of_pause(run.curve, run.problem.evaluations_per_step, budget)
        else:
            yield cap, of_result(result, trial, budget)
            return


def of_result(result: TrialResult, trial: Trial, budget: Budget) -> History:
    cost = resolve_trial(trial.cell, budget).evaluations_per_step
    return History.of_end(result.curve, {**result.fields, "state": "complete"}, cost, budget)


def assert_alike(trial: Trial, budget: Budget) -> History:
    """Assert that the whole curve says of every cap what the pause there says; return the whole."""
    cost = resolve_trial(trial.cell, budget).evaluations_per_step
    n_steps = budget.steps(cost)
    caps = [max(0.0, step * cost + more) for step in range(n_steps + 1) for more in (-0.1, 0.0, 0.45, 0.9 * cost)]
    known = list(histories(trial, budget, caps))
    end, whole = known[-1]
    assert whole.ended
    for cap, history in known[:-1]:
        assert history.tells(cap)
        assert not history.ended
        assert history.at(cap) == whole.at(cap), cap
        assert not whole.at(cap).ended, cap
    for (_, history), (later, after) in itertools.pairwise(known):
        assert history.tells(later) == (after.evaluations == history.evaluations), "it knows when it is looked at next"
    assert end <= caps[-1], "it ends within its budget"
    assert whole.at(end).ended
    return whole


FAST = ("update=normalised", "optimizer=momentum", "hidden=4")
SHORT = Budget(epochs=4, steps_per_epoch=10, evaluation_points=32, target=-1.0)
GROWING = SHORT.model_copy(update={"looks": "growing"})


@pytest.mark.parametrize("looks", ["growing", "epochs"])
def test_a_pause_tells_what_the_whole_curve_tells(plan: MakePlan, looks: Any) -> None:
    budget = SHORT.model_copy(update={"looks": looks, "epochs": 5})
    assert assert_alike(trial_of(plan, *FAST), budget).evaluations[-1] == 50 * 8
    learning = budget.model_copy(update={"target": None, "epochs": 20})
    reached = assert_alike(
        trial_of(plan, "method=backprop", "optimizer=adam", "learning_rate=0.3", "hidden=4", task="and"), learning
    )
    assert 0 < reached.cost == reached.evaluations[-1] < 200 * 8


def test_so_it_does_of_one_that_diverges_at_a_look(plan: MakePlan) -> None:
    whole = assert_alike(trial_of(plan, *FAST, "learning_rate=1e300"), GROWING)
    assert whole.cost == INF
    assert whole.evaluations[-1] < 40 * 8


def test_so_it_does_of_one_that_diverges_between_two_looks(plan: MakePlan) -> None:
    whole = assert_alike(trial_of(plan, *FAST, "learning_rate=1e300"), SHORT)
    assert whole.evaluations == (0.0, 10 * 8), "when the look was due"


@pytest.mark.parametrize(
    "specs",
    [("method=synthetic", "architecture=2-3-1", "predictor=conditioned"), ("method=synthetic", "hidden=3")],
    ids=["layered", "free"],
)
def test_so_it_does_where_a_step_costs_no_whole_number(plan: MakePlan, specs: tuple[str, ...]) -> None:
    trial = trial_of(plan, *specs)
    assert resolve_trial(trial.cell, GROWING).evaluations_per_step % 1
    assert_alike(trial, GROWING)


def test_the_loss_of_one_that_diverged_is_infinite(plan: MakePlan) -> None:
    """Also where its weights look sound: the loss of a step was not finite, and moved nothing."""
    trial = trial_of(plan, "hidden=4", "sides=two", "stddev=1e25", "output=linear")
    result = run_trial(start_trial(trial.cell, trial.seed, GROWING, CPU), CPU)
    assert result.fields["outcome"] == "diverged"
    assert of_result(result, trial, GROWING).at(INF).loss == INF
