"""What is left of a sweep: how early the trials so far have ended, what they took, and what looks cost."""

import numpy as np
import pytest

from freewalk.harness.engine.estimate import Course
from freewalk.harness.plan.budget import Budget
from freewalk.harness.plan.configuration import resolve
from freewalk.harness.plan.plan import expand
from freewalk.harness.plan.registry import BuiltInRegistry
from freewalk.harness.terminal.remaining import Remaining, shares_left


def test_shares_left_follow_how_early_others_have_ended() -> None:
    seen = np.array([0.1, 0.1, 0.5, 1.0])
    at = np.array([0.0, 0.1, 0.3, 0.5, 0.9])
    # of four, two end at 0.1, one at 0.5 and one never: by hand
    wanted = [0.1 + 0.5 * 0.4 + 0.25 * 0.5, 0.4 + 0.5 * 0.5, 0.2 + 0.5 * 0.5, 0.5, 0.1]
    np.testing.assert_allclose(shares_left(at, seen, np.ones(4, dtype=np.bool_)), wanted)


def test_trials_that_still_run_count_as_not_ended() -> None:
    """A trial that has come to 0.3 says nothing of what happens later, and much of what has not happened before."""
    seen = np.array([0.1, 0.3, 0.3, 0.3])
    ended = np.array([True, False, False, False])
    np.testing.assert_allclose(shares_left(np.array([0.0, 0.3]), seen, ended), [0.1 + 0.75 * 0.9, 0.7])
    assert shares_left(np.array([0.3]), seen, np.zeros(4, dtype=np.bool_))[0] == pytest.approx(0.7)


def test_shares_left_are_right_on_average() -> None:
    random = np.random.default_rng(0)
    ends = np.minimum(random.exponential(0.4, 20_000), 1.0)
    now = random.uniform(0, 1, len(ends))
    at = np.array([0.0, 0.25, 0.75])
    found = shares_left(at, np.minimum(ends, now), ends <= now)
    for share, left in zip(at, found, strict=True):
        assert left == pytest.approx((ends[ends > share] - share).mean(), rel=0.05)


def test_kinds_end_and_take_their_own_time() -> None:
    """The model finds all alike; one kind takes three times as long, and never ends early."""
    remaining = Remaining([10.0] * 6, ["slow"] * 3 + ["quick"] * 3)
    for place, (share, seconds) in {0: (1.0, 30.0), 3: (0.2, 2.0), 4: (0.2, 2.0)}.items():
        remaining.advance(place, share, seconds)
        remaining.end(place)
    assert remaining.knows_ends
    assert remaining.done == pytest.approx(34.0)
    assert remaining.left == pytest.approx(2 * 30.0 + 2.0)
    assert remaining.behind == pytest.approx(30.0)


def test_a_kind_of_which_nothing_is_known_lies_between_the_others_and_its_budget() -> None:
    remaining = Remaining([10.0, 10.0, 10.0], ["a", "a", "b"])
    for place in (0, 1):
        remaining.advance(place, 0.2, 4.0)
        remaining.end(place)
    assert remaining.left == pytest.approx(0.6 * 20.0)


def test_without_an_early_end_it_is_the_whole_budget() -> None:
    remaining = Remaining([10.0, 10.0], ["a", "a"])
    assert remaining.left == 20.0
    remaining.advance(0, 1.0, 10.0)
    remaining.end(0)
    remaining.advance(1, 0.25, 2.5)
    assert not remaining.knows_ends
    assert remaining.left == pytest.approx(7.5)
    assert Remaining([], []).left == Remaining([], []).done == 0.0


def test_looks_that_grow_apart_cost_most_at_first() -> None:
    configuration = resolve((), registry=BuiltInRegistry(), tasks=["adding"], seeds="0:1")
    (cell,) = expand(configuration, BuiltInRegistry()).cells
    growing, rare = (
        Course(cell, Budget(epochs=10, steps_per_epoch=100, evaluation_points=2048, looks=looks))
        for looks in ("growing", "epochs")
    )
    assert growing.share(0) == 0.0
    assert growing.share(1000) == rare.share(1000) == 1.0
    assert 1.4 * rare.share(20) < growing.share(20) < 0.5
    assert growing.whole > rare.whole
