"""Gradient methods while they run: told to stop, and with more threads than one."""

import signal
import threading
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from freewalk.harness.engine.engine import Engine
from freewalk.harness.plan.budget import Budget
from freewalk.harness.plan.plan import Plan
from freewalk.harness.trial.events import Advanced, Started, Stopped
from freewalk.harness.trial.trial import TrialRun, run_interruptibly, run_trial, start_trial
from freewalk.kernels.backend import resolve_backend

MakePlan = Callable[..., Plan]

CPU = resolve_backend("cpu")


def begin(plan: MakePlan, task: str, method: str, *specs: str, **budget: Any) -> TrialRun:
    (trial,) = plan(*specs, tasks=[task], methods=[method], seeds=[3]).trials
    limits = Budget(**({"epochs": 3, "steps_per_epoch": 4, "evaluation_points": 16} | budget))
    return start_trial(trial.cell, trial.seed, limits, CPU)


@pytest.mark.parametrize(
    ("method", "architecture"), [("backprop", "free"), ("numerical", "free"), ("backprop", "16-600-8")]
)
def test_a_gradient_method_stops_when_asked(plan: MakePlan, method: str, architecture: str) -> None:
    specs = ("form=static", "bits=8", f"architecture={architecture}", "batch_size=2000", "learning_rate=1e-9")
    trials = plan(*specs, tasks=["addition"], methods=[method], seeds=range(3)).trials
    engine = Engine(CPU, Budget(epochs=1, steps_per_epoch=10**6, evaluation_points=16))
    events = engine.run(trials)
    assert isinstance(next(events), Started)
    time.sleep(0.3)
    start = time.perf_counter()
    events.close()
    assert time.perf_counter() - start < 6
    left = [event for event in engine.drain() if not isinstance(event, Started | Advanced)]
    assert left
    assert all(isinstance(event, Stopped) for event in left)


def test_ctrl_c_ends_a_gradient_method_between_steps(plan: MakePlan) -> None:
    run = begin(plan, "xor", "backprop", "architecture=2-3-1", "batch_size=4", steps_per_epoch=10**7)
    main = threading.main_thread().ident
    threading.Timer(0.3, signal.pthread_kill, [main, signal.SIGINT]).start()
    start = time.perf_counter()
    with pytest.raises(KeyboardInterrupt):
        run_interruptibly(run, CPU)
    assert time.perf_counter() - start < 6, "30,000,000 steps were not taken"
    assert run.trainer.step > 0


@pytest.mark.parametrize("method", ["backprop", "numerical"])
@pytest.mark.skipif(CPU.workers < 2, reason="needs two threads")
def test_spreading_changes_no_bit_whatever_the_method(plan: MakePlan, method: str) -> None:
    def finish(*, spread: bool) -> Any:
        run = begin(plan, "shifted-sums", method, "hidden=4", "batch_size=600", epochs=1, evaluation_points=64)

        def look(now: TrialRun) -> None:
            if spread and now.trainer.step == 1:
                CPU.spread(now.trainer)

        run_trial(run, CPU, check=look)
        return run.trainer.weights

    assert np.array_equal(finish(spread=False), finish(spread=True))
