"""Work in slices of seconds that can be sent anywhere: what a worker of a cluster is given, and what it gives back."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace

from freewalk.harness.base.errors import one_line
from freewalk.harness.engine.work import Group, Work, start_group
from freewalk.harness.plan.budget import Budget
from freewalk.harness.trial.events import Failed, Finished
from freewalk.harness.trial.trial import Interrupted
from freewalk.kernels.backend import BackendName, resolve_backend


@dataclass(frozen=True)
class Slice:
    """What came of work in one slice."""

    events: tuple[Finished | Failed, ...]
    """Trials that have come to their ends."""
    left: tuple[Work, ...]
    """The others, with checkpoints; to be continued, in any process."""
    compile_seconds: float


def run_slice(
    work: Work,
    budget: Budget,
    backend: BackendName,
    seconds: float,
    stop: threading.Event | None = None,
    looked: Callable[[], None] = lambda: None,
) -> Slice:
    """Run trials together for some seconds, on the calling thread.

    Parameters
    ----------
    work
        The trials, from their beginnings or from checkpoints.
    budget, backend
        How long they train in all, and where; the backend is looked up in this process.
    seconds
        After this long the slice ends; but not before a call of the kernels.
    stop
        Set from another thread, it ends the slice at the next look.
    looked
        Called at each look.

    Returns
    -------
    Slice
        Its bits depend on neither the slices nor the trials that ran together.
    """
    where = resolve_backend(backend)
    end = time.perf_counter() + seconds
    open_trials = {trial.trial_id: trial for trial in work.trials}
    events: list[Finished | Failed] = []
    looks = 0
    group: Group | None = None

    def look() -> None:
        nonlocal looks
        assert group is not None
        looked()
        over = looks and group.can_be_left and time.perf_counter() >= end
        if over or (stop is not None and stop.is_set()):
            raise Interrupted
        looks += 1

    try:
        group = start_group(work, budget, where)
        for trial, result in group.run(look):
            del open_trials[trial.trial_id]
            events.append(Finished(trial, result))
    except Interrupted:
        assert group is not None
        return Slice(tuple(events), (group.left(),), group.compile_seconds)
    except Exception as error:
        compile_seconds = 0.0 if group is None else group.compile_seconds
        if len(work.trials) > 1 and where.most_sharing_noise:
            # they share nothing but noise: one of them has failed, not all, and each tries again alone
            alone = replace(work, together=False)
            again = (replace(alone, trials=(trial,), checkpoints=(None,)) for trial in open_trials.values())
            return Slice(tuple(events), tuple(again), compile_seconds)
        events += [Failed(trial, one_line(error)) for trial in open_trials.values()]
        return Slice(tuple(events), (), compile_seconds)
    return Slice(tuple(events), (), group.compile_seconds)
