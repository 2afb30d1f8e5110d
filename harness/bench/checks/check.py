"""What a check is, and how a list of them runs."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from freewalk.harness.bench.clock import Deadline
from freewalk.harness.bench.rows import CheckRow, Verdict, short_error


@dataclass(frozen=True)
class Measure:
    """What a check found; it is passed if `found` is at most `allowed`, which NaN never is."""

    quantity: str
    found: float
    allowed: float
    note: str = ""


@dataclass(frozen=True)
class Check:
    """One comparison, made when it is called."""

    name: str
    """What is compared with what."""
    case: str
    run: Callable[[], Measure]


def run_checks(
    checks: Iterable[Check], deadline: Deadline, clock: Callable[[], float] = time.perf_counter
) -> Iterator[CheckRow]:
    """Yield a row a check; an error in one is a red row and no reason to stop, those after the deadline are not run."""
    for check in checks:
        if deadline.passed:
            yield CheckRow(check.name, check.case, "", None, None, "not run", 0.0, "time limit")
            continue
        start = clock()
        try:
            measure = check.run()
        except Exception as error:
            yield CheckRow(check.name, check.case, "", None, None, "red", clock() - start, short_error(error))
            continue
        verdict: Verdict = "green" if measure.found <= measure.allowed else "red"
        yield CheckRow(
            check.name,
            check.case,
            measure.quantity,
            measure.found,
            measure.allowed,
            verdict,
            clock() - start,
            measure.note,
        )
