"""What to give to whom: sizes of bundles and halves of works, without Dask."""

from __future__ import annotations

import math
from dataclasses import replace

from freewalk.harness.slices import Work

_BUNDLE_SECONDS = 0.5
"""Works of milliseconds travel together, as many as fill this time: each journey costs several milliseconds."""
_MOST_IN_A_BUNDLE = 256


def bundle_size(n_pending: int, n_threads: int, seconds_per_work: float | None) -> int:
    """Return how many works shall travel together.

    Fewer and fewer towards the end, so that all threads end at about the same time: guided self-scheduling
    (Polychronopoulos and Kuck, IEEE Transactions on Computers, 1987).

    Parameters
    ----------
    n_pending
        Works that nobody has yet.
    n_threads
        Threads of all workers.
    seconds_per_work
        As measured so far; None at the start.
    """
    if not seconds_per_work:
        return 1
    fair = math.ceil(n_pending / (2 * max(1, n_threads)))
    return max(1, min(int(_BUNDLE_SECONDS / seconds_per_work), fair, _MOST_IN_A_BUNDLE))


def halves(work: Work) -> tuple[Work, Work]:
    """Split a work of several trials in two; the bits of a trial do not depend on its company."""
    middle = (len(work.trials) + 1) // 2
    return (
        replace(work, trials=work.trials[:middle], checkpoints=work.checkpoints[:middle]),
        replace(work, trials=work.trials[middle:], checkpoints=work.checkpoints[middle:]),
    )


def can_be_split(work: Work) -> bool:
    """Tell whether a work has several trials whose bits are those of each alone; a GPU's are not."""
    return len(work.trials) > 1 and work.backend != "cuda"
