"""Work in slices of seconds that can be sent anywhere: what a worker of a cluster is given, and what it gives back."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from freewalk.harness.engine.work import PackRun, Work, alone_again, start_pack
from freewalk.harness.plan.budget import Budget
from freewalk.harness.trial.events import Failed, Finished, Paused, ended
from freewalk.harness.trial.trial import Interrupted
from freewalk.kernels.backend import BackendName, resolve_backend


@dataclass(frozen=True)
class Slice:
    """What came of work in one slice."""

    events: tuple[Finished | Paused | Failed, ...]
    """Trials that have come to their ends, or as far as they were to go for now."""
    left: tuple[Work, ...]
    """The others, with checkpoints; to be continued, in any process."""
    compile_seconds: float


def run_slice(
    work: Work,
    budget: Budget,
    backend: BackendName,
    seconds: float,
    stop: threading.Event | None = None,
    checked: Callable[[], None] = lambda: None,
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
        Set from another thread, it ends the slice at the next check.
    checked
        Called at each check.

    Returns
    -------
    Slice
        Its bits depend on neither the slices nor the trials that ran together.
    """
    where = resolve_backend(backend)
    end = time.perf_counter() + seconds
    open_trials = {trial.trial_id: trial for trial in work.trials}
    events: list[Finished | Paused | Failed] = []
    n_checks = 0
    pack: PackRun | None = None

    def check() -> None:
        nonlocal n_checks
        assert pack is not None
        checked()
        over = n_checks and pack.can_be_left and time.perf_counter() >= end
        if over or (stop is not None and stop.is_set()):
            raise Interrupted
        n_checks += 1

    try:
        pack = start_pack(work, budget, where)
        for trial, result in pack.run(check):
            del open_trials[trial.trial_id]
            events.append(ended(trial, result))
    except Interrupted:
        assert pack is not None
        return Slice(tuple(events), (pack.left(),), pack.compile_seconds)
    except Exception as error:
        compile_seconds = 0.0 if pack is None else pack.compile_seconds
        again = alone_again(work, open_trials.values(), where)
        events += [] if again else [Failed.of(trial, error) for trial in open_trials.values()]
        return Slice(tuple(events), tuple(again), compile_seconds)
    return Slice(tuple(events), (), pack.compile_seconds)
