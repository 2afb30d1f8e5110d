"""Outcomes of synthetic curves."""

import math
from typing import Any

import pytest

from freewalk.results.ending.convergence import Convergence
from freewalk.results.schema.schema import Outcome


def feed(judge: Convergence, losses: list[float], spread: float | None = 1.0) -> list[Outcome | None]:
    """Observe the losses at steps 0, 10, 20, …, with the loss as metric; stop where the judge does."""
    answers: list[Outcome | None] = []
    for index, loss in enumerate(losses):
        answers.append(
            judge.observe(
                step=10 * index,
                evaluations=200 * index,
                train_seconds=0.5 * index,
                loss=loss,
                metric=loss,
                output_spread=spread,
            )
        )
        if answers[-1] is not None:
            break
    return answers


def test_reached_is_recorded_where_the_target_is_met() -> None:
    judge = Convergence(0.1)
    assert feed(judge, [1.0, 0.5, 0.05]) == [None, None, Outcome.REACHED]
    assert judge.record() == {
        "outcome": Outcome.REACHED,
        "loss_final": 0.05,
        "loss_best": 0.05,
        "metric_final": 0.05,
        "target": 0.1,
        "reached": True,
        "steps_to_target": 20,
        "n_unconfirmed": 0,
        "evaluations_to_target": 400,
        "evaluations_resolution": 200,
        "seconds_to_target": 1.0,
    }
    assert judge.finish() is Outcome.REACHED


def test_a_target_met_counts_when_it_is_confirmed() -> None:
    judge, asked = Convergence(0.1), list[float]()
    answers = iter([False, False, True])

    def confirm() -> bool:
        asked.append(judge.metric_final)
        return next(answers)

    for step, loss in enumerate([1.0, 0.09, 0.5, 0.08, 0.07]):
        judge.observe(
            step=step, evaluations=20 * step, train_seconds=0.0, loss=loss, metric=loss, n_epochs=0, confirm=confirm
        )
    assert asked == [0.09, 0.08, 0.07], "only where the target is met"
    assert judge.reached
    assert (judge.steps_to_target, judge.n_unconfirmed, judge.evaluations_resolution) == (4, 2, 20)
    missed = Convergence(0.1)
    missed.observe(step=1, evaluations=20, train_seconds=0.0, loss=0.05, metric=0.05, confirm=lambda: False)
    assert missed.finish() is Outcome.EXHAUSTED
    assert missed.record()["n_unconfirmed"] == 1


def test_looks_within_an_epoch_are_no_standstill_and_no_rise() -> None:
    """However often one looks: what has not improved for an epoch is counted in epochs."""
    judge = Convergence(0.0, plateau=2)
    for step in range(1, 40):
        looked = judge.observe(
            step=step, evaluations=step, train_seconds=0.0, loss=1.0, metric=1.0, n_epochs=int(step % 10 == 0)
        )
        assert (looked is Outcome.PLATEAUED) == (step == 20)
        if looked:
            break
    rising = Convergence(0.0)
    for step in range(30):
        rising.observe(
            step=step, evaluations=step, train_seconds=0.0, loss=1 + step / 10, metric=1.0, n_epochs=int(step % 15 == 0)
        )
    assert rising.finish() is Outcome.EXHAUSTED, "two ends of an epoch are a leap, no course"


def test_untrained_network_may_already_meet_the_target() -> None:
    judge = Convergence(0.1)
    assert feed(judge, [0.1]) == [Outcome.REACHED]
    assert (judge.steps_to_target, judge.evaluations_to_target, judge.seconds_to_target) == (0, 0, 0.0)


@pytest.mark.parametrize(
    ("direction", "strict", "metric", "expected"),
    [
        ("minimize", False, 0.5, True),
        ("minimize", True, 0.5, False),
        ("minimize", True, 0.499, True),
        ("minimize", False, 0.501, False),
        ("maximize", False, 0.5, True),
        ("maximize", True, 0.5, False),
        ("maximize", True, 0.501, True),
        ("maximize", False, 0.499, False),
    ],
)
def test_target_has_a_direction_and_an_edge(direction: Any, strict: bool, metric: float, expected: bool) -> None:
    judge = Convergence(0.5, direction, strict=strict)
    answer = judge.observe(step=0, evaluations=0, train_seconds=0.0, loss=3.0, metric=metric)
    assert (answer is Outcome.REACHED) is expected
    assert judge.reached is expected


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("where", ["loss", "metric"])
def test_non_finite_is_divergence_even_past_the_target(bad: float, where: str) -> None:
    judge = Convergence(-1e300, "maximize")  # any number meets it
    values = {"loss": 1.0, "metric": 1.0} | {where: bad}
    assert judge.observe(step=0, evaluations=0, train_seconds=0.0, **values) is Outcome.DIVERGED
    assert not judge.reached
    assert judge.steps_to_target is None


def test_best_loss_is_the_lowest_finite_one() -> None:
    judge = Convergence(0.0)
    feed(judge, [0.5, 0.3, 0.4, math.nan])
    assert judge.loss_best == 0.3
    assert math.isnan(judge.loss_final)
    only_nan = Convergence(0.0)
    feed(only_nan, [math.nan])
    assert math.isnan(only_nan.loss_best)


def test_exhausted_when_the_budget_ends() -> None:
    judge = Convergence(0.1)
    assert feed(judge, [1.0, 0.9, 0.8]) == [None] * 3
    assert judge.finish() is Outcome.EXHAUSTED
    assert judge.record()["steps_to_target"] is None


@pytest.mark.parametrize(
    ("spread", "outcome"),
    [
        (0.9e-3, Outcome.COLLAPSED),
        (1e-3, Outcome.EXHAUSTED),
        (None, Outcome.EXHAUSTED),
        (0.0, Outcome.COLLAPSED),
    ],
)
def test_collapse_needs_equal_outputs_at_the_last_evaluation(spread: float | None, outcome: Outcome) -> None:
    judge = Convergence(0.1)
    judge.observe(step=0, evaluations=0, train_seconds=0.0, loss=1.0, metric=1.0, output_spread=0.0)
    judge.observe(step=1, evaluations=2, train_seconds=0.1, loss=1.0, metric=1.0, output_spread=spread)
    assert judge.finish() is outcome


def test_constant_output_that_meets_the_target_has_not_collapsed() -> None:
    judge = Convergence(0.1)
    assert feed(judge, [0.05], spread=0.0) == [Outcome.REACHED]


def test_plateau_counts_evaluations_in_a_row() -> None:
    judge = Convergence(0.0, plateau=3)
    assert feed(judge, [1.0, 1.0, 1.0, 0.5, 0.5, 0.6, 0.5, 0.1]) == [None] * 6 + [Outcome.PLATEAUED]


def test_plateau_is_never_called_without_a_length() -> None:
    assert feed(Convergence(0.0), [1.0] * 50) == [None] * 50


def test_slow_but_steady_progress_is_no_plateau() -> None:
    # Each evaluation gains 0.04 %, below the tolerance of 0.1 %; three of them gain enough.
    losses = [0.9996**index for index in range(40)]
    assert feed(Convergence(0.0, plateau=4), losses) == [None] * 40
    assert feed(Convergence(0.0, plateau=2), losses)[-1] is Outcome.PLATEAUED


def test_plateau_judges_the_loss_not_the_metric() -> None:
    judge = Convergence(1.0, "maximize", plateau=1)
    for step in range(5):
        assert judge.observe(step=step, evaluations=step, train_seconds=0.0, loss=0.5**step, metric=0.5) is None


@pytest.mark.parametrize(
    ("spread", "signal", "outcome"),
    [(0.0, None, Outcome.COLLAPSED), (1.0, 0.0, Outcome.SATURATED), (1.0, 0.5, Outcome.PLATEAUED)],
)
def test_plateau_may_have_a_better_name(spread: float, signal: float | None, outcome: Outcome) -> None:
    judge = Convergence(0.0, plateau=2)
    assert feed(judge, [1.0] * 3, spread=spread)[-1] is Outcome.PLATEAUED
    assert judge.missed
    assert judge.finish(signal) is outcome
    assert judge.record()["outcome"] is outcome
    assert judge.finish() is outcome, "it stays what it was called"


def test_only_a_missed_target_with_finite_numbers_may_be_saturated() -> None:
    judge = Convergence(0.1)
    assert not judge.missed, "nothing was observed"
    for losses, outcome in (([0.05], Outcome.REACHED), ([0.5, math.nan], Outcome.DIVERGED)):
        judge = Convergence(0.1)
        feed(judge, losses)
        assert not judge.missed
        assert judge.finish(0.0) is outcome


def test_no_signal_while_the_loss_still_falls_is_not_saturation() -> None:
    judge = Convergence(0.0)
    feed(judge, [1.0, 0.9])
    assert judge.missed
    assert not judge.needs_signal
    assert judge.finish(0.0) is Outcome.EXHAUSTED
    judge = Convergence(0.0)
    feed(judge, [1.0, 0.9, 0.9])
    assert judge.needs_signal
    assert judge.finish(0.0) is Outcome.SATURATED


def test_a_loss_that_only_rises_has_diverged() -> None:
    judge = Convergence(0.0)
    feed(judge, [0.25, 0.3, 0.4, 0.5])
    assert judge.missed
    assert judge.finish() is Outcome.DIVERGED
    assert (judge.loss_final, judge.reached) == (0.5, False)


def test_negative_losses_improve_downwards() -> None:
    assert feed(Convergence(-10.0, plateau=1), [-1.0, -2.0, -4.0]) == [None] * 3


def test_order_of_calls_is_guarded() -> None:
    judge = Convergence(0.1)
    with pytest.raises(RuntimeError, match="no look at held-out data"):
        judge.finish()
    feed(judge, [1.0])
    with pytest.raises(ValueError, match="step 0 follows step 0"):
        feed(judge, [1.0])
    judge.finish()
    with pytest.raises(RuntimeError, match="already ended: exhausted"):
        judge.observe(step=99, evaluations=0, train_seconds=0.0, loss=1.0, metric=1.0)


@pytest.mark.parametrize(
    "arguments",
    [
        {"target": math.nan},
        {"target": 0.1, "direction": "down"},
        {"target": 0.1, "plateau": 0},
        {"target": 0.1, "plateau_tolerance": math.nan},
        {"target": 0.1, "collapse_spread": -1.0},
    ],
)
def test_arguments_without_meaning_are_refused(arguments: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"target|direction|plateau|tolerance"):
        Convergence(**arguments)
