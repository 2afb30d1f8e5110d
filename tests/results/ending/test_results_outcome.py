"""Names for the ends of trials that missed their target, on made curves."""

import math

import numpy as np
import pytest

from freewalk.results.ending.outcome import DIVERGED_RISE, SATURATED_SIGNAL, Rise, missed_outcome
from freewalk.results.schema.schema import Outcome


def rise(*losses: float) -> Rise:
    found = Rise()
    for loss in losses:
        found.observe(loss)
    return found


RISING = (0.25, 0.3, 0.4, 0.5)
FLAT = (0.25, 0.25, 0.25, 0.25)


@pytest.mark.parametrize(
    ("losses", "driven_up"),
    [
        (RISING, True),
        (FLAT, False),
        ((0.25, 0.5, 1.0), False),  # too few to be sure
        ((0.25, 0.5, 0.5, 0.5, 0.5), False),  # one leap, and then it stood still
        ((0.25, 0.5, 0.50002, 0.50004, 0.50006), False),
        ((0.25, 0.48, 0.49, 0.4902, 0.4901), True),  # ever less, as it comes to the worst there is
        ((0.25, 0.24, 0.4, 0.5), False),  # it fell once
        ((0.25, 0.5, 0.4, 0.5), False),
        ((0.25, 0.26, 0.27, 0.28), False),  # not far
        ((0.25, 0.4, 0.39999, 0.5, 0.6), True),  # a flat stretch with some noise
        ((-2.0, -1.8, -1.7, -1.5), True),  # a quarter of its size up
        ((-2.0, -1.9, -1.8, -1.7), False),
        ((0.0, 0.1, 0.2, 0.3), True),
        ((0.25, 0.3, math.nan, 0.5), False),
        ((math.nan, 0.3, 0.4, 0.5), False),
        ((), False),
    ],
)
def test_what_counts_as_driven_up(losses: tuple[float, ...], driven_up: bool) -> None:
    assert rise(*losses).driven_up is driven_up


def test_a_random_walk_of_the_loss_is_hardly_ever_a_steady_rise() -> None:
    rng = np.random.default_rng(0)
    called = sum(rise(*np.exp(np.cumsum(0.1 * rng.normal(size=41)))).driven_up for _ in range(2000))
    assert called == 0


@pytest.mark.parametrize(
    ("losses", "spread", "signal", "improving", "expected"),
    [
        (FLAT, 1.0, 0.5, False, None),
        (FLAT, None, None, False, None),
        (FLAT, 1.0, math.nan, False, None),
        (FLAT, math.nan, 0.5, False, None),
        (FLAT, 1e-4, 0.5, False, Outcome.COLLAPSED),
        (FLAT, 1.0, 1e-7, False, Outcome.SATURATED),
        (FLAT, 1.0, 1e-7, True, None),
        (FLAT, 0.0, 0.0, False, Outcome.SATURATED),  # the outputs are alike because nothing moves them any more
        (FLAT, 0.0, 0.0, True, Outcome.COLLAPSED),
        (FLAT, 1.0, SATURATED_SIGNAL, False, None),
        (RISING, 1.0, 0.5, False, Outcome.DIVERGED),
        (RISING, None, None, False, Outcome.DIVERGED),
        (RISING, 1e-4, 0.5, False, Outcome.COLLAPSED),
        (RISING, 0.0, 0.0, False, Outcome.SATURATED),
    ],
)
@pytest.mark.parametrize("otherwise", [Outcome.EXHAUSTED, Outcome.PLATEAUED])
def test_causes_in_their_order(
    losses: tuple[float, ...],
    spread: float | None,
    signal: float | None,
    improving: bool,
    expected: Outcome | None,
    otherwise: Outcome,
) -> None:
    found = missed_outcome(otherwise, output_spread=spread, signal=signal, improving=improving, rise=rise(*losses))
    assert found is (expected or otherwise)


def test_the_edge_of_a_rise() -> None:
    just, above = DIVERGED_RISE * 0.25 - 1e-9, DIVERGED_RISE * 0.25 + 1e-9
    assert not rise(0.25, 0.26, 0.27, just).driven_up
    assert rise(0.25, 0.26, 0.27, above).driven_up
