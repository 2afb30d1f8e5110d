"""How long a sweep of another process takes, told from its store."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from freewalk.harness.watching.left import _covered, time_left
from freewalk.results.store.store import CurvePoint, Store, TrialRecord

START = datetime(2026, 1, 1, tzinfo=UTC)


def at(seconds: float) -> str:
    return (START + timedelta(seconds=seconds)).isoformat().replace("+00:00", "Z")


def ended(store: Store, trial: str, begin: float, end: float, share: float = 1.0, **changes: Any) -> None:
    fields = {
        "outcome": "exhausted",
        "evaluations": int(1000 * share),
        "evaluations_budget": 1000.0,
        "train_seconds": end - begin,
        "started_at": at(begin),
        "finished_at": at(end),
    }
    store.mark_running([trial])
    store.finish(trial, fields | changes)


@pytest.fixture
def store(tmp_path: Path) -> Any:
    with Store.create(tmp_path, {}) as opened:
        opened.add_pending(
            TrialRecord(trial_id=f"t{n}", task="xor", method="walk", seed=n, parameters={}) for n in range(10)
        )
        yield opened


def left(store: Store, now: float) -> float | None:
    found = time_left(store.directory, START + timedelta(seconds=now))
    return None if found is None else found.seconds


def test_nothing_is_told_before_a_trial_has_ended(store: Store) -> None:
    assert left(store, 10) is None
    store.mark_running(["t0"])
    assert left(store, 10) is None


def test_one_after_another(store: Store) -> None:
    for n in range(4):
        ended(store, f"t{n}", 10 * n, 10 * n + 10)
    assert left(store, 40) == pytest.approx(60)


def test_two_at_a_time_take_half(store: Store) -> None:
    for n in range(4):
        ended(store, f"t{n}", 10 * (n // 2), 10 * (n // 2) + 10)
    assert left(store, 20) == pytest.approx(30)


def test_the_time_in_which_nobody_ran_it_does_not_count(store: Store) -> None:
    for n in range(4):
        ended(store, f"t{n}", 10 * n + 5000 * (n // 2), 10 * n + 10 + 5000 * (n // 2))
    assert left(store, 5040) == pytest.approx(60)


def test_trials_that_end_early_are_expected_to(store: Store) -> None:
    for n in range(5):
        ended(store, f"t{n}", 5 * n, 5 * n + 5, share=0.5)
    found = time_left(store.directory, START + timedelta(seconds=25))
    assert found is not None
    assert found.is_expected
    assert found.seconds == pytest.approx(25)


def test_what_a_trial_under_way_has_done_is_done(store: Store) -> None:
    for n in range(8):
        ended(store, f"t{n}", 10 * n, 10 * n + 10)
    store.mark_running(["t8"])
    store._connection.execute("UPDATE trials SET started_at = ? WHERE trial_id = 't8'", (at(80),))
    store.add_points({"t8": [CurvePoint(1, 500, 5.0, "heldout", "loss", 0.1)]})
    assert left(store, 85) == pytest.approx(15)


def test_failed_trials_and_strange_values_do_not_matter(store: Store) -> None:
    ended(store, "t0", 0, 10)
    ended(store, "t1", 10, 20, evaluations_budget=None)
    store.mark_running(["t2"])
    store.fail("t2", "no luck")
    found = left(store, 20)
    assert found is not None
    assert 0 < found < 1e6


@pytest.mark.parametrize(
    ("spans", "seconds"),
    [
        ([], 0.0),
        ([(0, 10)], 10.0),
        ([(0, 10), (5, 15), (5, 7)], 15.0),
        ([(0, 10), (20, None)], 90.0),
        ([(None, None), (3, 2)], 0.0),
    ],
)
def test_seconds_that_spans_cover(spans: Sequence[tuple[float | None, float | None]], seconds: float) -> None:
    texts = [tuple(end if end is None else at(end) for end in span) for span in spans]
    assert _covered(texts, START + timedelta(seconds=100)) == pytest.approx(seconds)  # type: ignore[arg-type]
