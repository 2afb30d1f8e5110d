"""How many steps a trial takes, and when it is judged."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from freewalk.harness.plan.budget import Budget
from freewalk.harness.plan.configuration import resolve


def budget(epochs: int, evaluations: int | None = None, steps_per_epoch: int = 25) -> Budget:
    return Budget(epochs=epochs, steps_per_epoch=steps_per_epoch, evaluation_points=16, evaluations=evaluations)


def epoch_ends(made: Budget, cost: float) -> list[int]:
    """Return the steps after which a trial is judged, one after the other."""
    ends: list[int] = []
    while (end := made.next_end(ends[-1] if ends else 0, cost)) is not None:
        ends.append(end)
    return ends


def test_without_evaluations_the_cost_of_a_step_does_not_count() -> None:
    for cost in (1.0, 2000.0, 1e9):
        assert budget(4).steps(cost) == 100
        assert epoch_ends(budget(4), cost) == [25, 50, 75, 100]


@pytest.mark.parametrize(
    ("evaluations", "cost", "steps"),
    [(1000, 10, 100), (1000, 10.5, 95), (1000, 3.0, 333), (1000, 1000, 1), (1000, 1001, 1), (1, 1e12, 1)],
)
def test_evaluations_pay_for_whole_steps_and_for_one_at_least(evaluations: int, cost: float, steps: int) -> None:
    assert budget(4, evaluations).steps(cost) == steps


def test_a_trial_is_judged_at_equal_distances() -> None:
    assert epoch_ends(budget(4, 1000), 10) == [25, 50, 75, 100]
    assert epoch_ends(budget(4, 100), 10) == [2, 5, 7, 10]
    assert epoch_ends(budget(4, 30), 10) == [1, 2, 3], "never more epochs than steps"
    assert epoch_ends(budget(4, 3), 10) == [1]


@given(st.integers(1, 200), st.integers(1, 10**6), st.floats(1, 1e5))
def test_judgements_grow_end_at_the_last_step_and_keep_their_distance(epochs: int, spent: int, cost: float) -> None:
    made = budget(epochs, spent)
    ends = epoch_ends(made, cost)
    steps = made.steps(cost)
    assert ends[-1] == steps
    assert len(ends) == min(epochs, steps)
    gaps = [after - before for before, after in zip([0, *ends], ends, strict=False)]
    assert min(gaps) >= 1
    assert max(gaps) - min(gaps) <= 1
    assert steps * cost <= spent * (1 + 1e-12) or steps == 1


@given(st.integers(1, 200), st.integers(1, 10**7), st.floats(1, 1e5))
def test_looks_that_grow_apart_are_never_more_than_5_percent_apart(epochs: int, spent: int, cost: float) -> None:
    made = Budget(epochs=epochs, steps_per_epoch=25, evaluation_points=16, evaluations=spent, looks="growing")
    ends = list(made.ends(cost))
    assert ends == epoch_ends(made, cost)
    assert ends[0] == 1
    assert ends[-1] == made.steps(cost)
    for before, after in itertools.pairwise(ends):
        assert 1 <= after - before <= max(1, 0.05 * before)
    assert len(ends) < 450
    assert (
        ends[:-1]
        == list(
            Budget(epochs=7, steps_per_epoch=9, evaluation_points=16, evaluations=spent, looks="growing").ends(cost)
        )[:-1]
    ), "nor by epochs"
    assert [made.epochs_ended(end, cost) for end in (0, ends[-1])] == [0, min(epochs, ends[-1])]


def test_it_is_a_sweeps() -> None:
    made = Budget.of(resolve(tasks=["xor"], epochs=3, evaluations=70, target=0.5, plateau=2, evaluation_points=9))
    assert made == Budget(
        epochs=3, steps_per_epoch=100, evaluation_points=9, target=0.5, plateau=2, evaluations=70, looks="growing"
    )
