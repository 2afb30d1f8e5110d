"""One trial: its outcomes, its looks, its clocks; the same bits however it is run."""

import math
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from freewalk.harness.plan.budget import Budget
from freewalk.harness.plan.plan import Plan
from freewalk.harness.trial import trial as trial_module
from freewalk.harness.trial.trial import Interrupted, TrialRun, run_trial, spread_if_worth, start_trial
from freewalk.harness.trial.watch import TrialResult, peak_memory_mb
from freewalk.kernels.backend import resolve_backend
from freewalk.kernels.model.walk import Progress

MakePlan = Callable[..., Plan]

CPU = resolve_backend("cpu")
FAST = ("update=normalised", "optimizer=momentum", "hidden=4", "batch_size=16")


def begin(plan: MakePlan, task: str, *specs: str, seed: int = 0, **budget: Any) -> TrialRun:
    (only,) = plan(*specs, tasks=[task], seeds=[seed]).trials
    limits = Budget(**({"epochs": 4, "steps_per_epoch": 5, "evaluation_points": 64} | budget))
    return start_trial(only.cell, only.seed, limits, CPU)


def run(plan: MakePlan, task: str, *specs: str, **budget: Any) -> TrialResult:
    return run_trial(begin(plan, task, *specs, **budget), CPU)


def steps_of(result: TrialResult) -> list[int]:
    return [p.step for p in result.curve if (p.split, p.metric) == ("heldout", "loss")]


def test_a_trial_stops_at_its_target(plan: MakePlan) -> None:
    result = run(plan, "and", *FAST, "stddev=0.1", epochs=100)
    assert result.fields["outcome"] == "reached"
    assert 0 < result.fields["steps"] < 500
    assert result.fields["steps_to_target"] == result.fields["steps"]
    assert steps_of(result) == list(range(0, int(str(result.fields["steps"])) + 1, 5))


def test_a_target_that_is_met_at_once_takes_no_step(plan: MakePlan) -> None:
    result = run(plan, "xor", *FAST, target=2.0)
    assert (result.fields["outcome"], result.fields["steps"], result.fields["evaluations"]) == ("reached", 0, 0)
    assert result.fields["train_seconds"] == 0.0
    assert steps_of(result) == [0]


def test_a_trial_that_still_improves_is_exhausted(plan: MakePlan) -> None:
    result = run(plan, "shifted-sums", *FAST, "stddev=0.1", epochs=2)
    assert (result.fields["outcome"], result.fields["steps"]) == ("exhausted", 10)
    assert result.fields["reached"] is False


def test_a_trial_that_stands_still_ends_at_the_plateau_when_asked(plan: MakePlan) -> None:
    still = ("update=raw", "stddev=0", "hidden=4", "batch_size=4")  # the raw rule moves nothing
    result = run(plan, "shifted-sums", *still, epochs=50, plateau=3)
    assert (result.fields["outcome"], steps_of(result)) == ("plateaued", [0, 5, 10, 15])
    assert run(plan, "shifted-sums", *still, epochs=6).fields["outcome"] == "exhausted"


def test_a_network_that_nothing_moves_any_more_is_saturated(plan: MakePlan) -> None:
    # One enormous step saturates every neuron; the gradient is gone and nothing brings it back.
    result = run(plan, "xor", "update=normalised", "hidden=30", "batch_size=16", "learning_rate=1e30")
    assert result.fields["outcome"] == "saturated"
    assert math.isfinite(float(str(result.fields["loss_final"])))


@pytest.mark.parametrize("task", ["xor", "shifted-sums"])
def test_a_trial_whose_loss_is_not_finite_has_diverged(plan: MakePlan, task: str) -> None:
    # Weights beyond float32 are infinite there, and infinity times an input of 0 is not a number.
    result = run(plan, task, "update=normalised", "learning_rate=1e300", "batch_size=16", epochs=1000)
    assert result.fields["outcome"] == "diverged"
    assert 0 < int(str(result.fields["steps"])) < 100, "it stops at once"
    assert math.isnan(float(str(result.fields["loss_final"])))
    assert math.isfinite(float(str(result.fields["loss_best"])))
    assert result.fields["reached"] is False


def test_evaluations_are_two_passes_a_datapoint_whatever_the_sides(plan: MakePlan) -> None:
    for sides in ("one", "two"):
        result = run(plan, "shifted-sums", *FAST, f"sides={sides}", epochs=1)
        assert result.fields["evaluations"] == 2 * 16 * 5


def test_clocks(plan: MakePlan) -> None:
    run(plan, "shifted-sums", "hidden=20", epochs=1)  # so that no kernel is loaded while the clock runs
    start = time.perf_counter()
    result = run(plan, "shifted-sums", "hidden=20", epochs=10)
    passed = time.perf_counter() - start
    spent = float(str(result.fields["train_seconds"])) + float(str(result.fields["evaluation_seconds"]))
    assert 0.2 * passed < spent < passed
    times = [p.train_seconds for p in result.curve]
    assert times == sorted(times)
    assert float(str(result.fields["peak_memory_mb"])) == pytest.approx(peak_memory_mb(), rel=0.5)


def test_it_looks_often_in_a_long_epoch(plan: MakePlan) -> None:
    started = begin(plan, "shifted-sums", epochs=1, steps_per_epoch=10**6)
    looks: list[float] = []

    def look(_: TrialRun) -> None:
        looks.append(time.perf_counter())
        if looks[-1] - looks[0] > 1.0:
            raise Interrupted

    with pytest.raises(Interrupted):
        run_trial(started, CPU, check=look)
    pauses = np.diff(looks)
    assert np.median(pauses) < 2 * trial_module.SECONDS_BETWEEN_CHECKS
    assert pauses.max() < 10 * trial_module.SECONDS_BETWEEN_CHECKS, "even on a busy machine"
    assert started.trainer.step > len(looks), "not every step is looked at"


def weights_after(plan: MakePlan, seconds_between_looks: float, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setattr(trial_module, "SECONDS_BETWEEN_CHECKS", seconds_between_looks)
    started = begin(plan, "shifted-sums", *FAST, epochs=3, steps_per_epoch=40)
    run_trial(started, CPU)
    return started.trainer.weights


def test_how_often_it_looks_changes_no_bit(plan: MakePlan, monkeypatch: pytest.MonkeyPatch) -> None:
    assert np.array_equal(weights_after(plan, 0.0, monkeypatch), weights_after(plan, 10.0, monkeypatch))


@pytest.mark.skipif(CPU.workers < 2, reason="needs two threads")
def test_spreading_changes_no_bit(plan: MakePlan) -> None:
    def finish(*, spread: bool) -> tuple[Any, Any]:
        started = begin(plan, "shifted-sums", "update=normalised", "batch_size=2048", epochs=2)

        def look(now: TrialRun) -> None:
            if spread and now.trainer.step >= 3:
                CPU.spread(now.trainer)

        result = run_trial(started, CPU, check=look)
        assert (started.trainer.threads > 1) is spread  # type: ignore[attr-defined]
        return started.trainer.weights, [(p.step, p.metric, p.value) for p in result.curve]

    alone, spread = finish(spread=False), finish(spread=True)
    assert np.array_equal(alone[0], spread[0])
    assert alone[1] == spread[1]


def test_only_long_trials_are_spread(plan: MakePlan, monkeypatch: pytest.MonkeyPatch) -> None:
    spread: list[int] = []
    monkeypatch.setattr(type(CPU), "spread", lambda self, walk: spread.append(walk.step) or 1.5)
    started = begin(plan, "xor", epochs=100, steps_per_epoch=100)
    assert spread_if_worth(started, CPU) == 0.0, "nothing is known of its speed yet"
    started.seconds_per_step = 1e-5
    assert spread_if_worth(started, CPU) == 0.0
    started.seconds_per_step = 1e-2
    assert spread_if_worth(started, CPU) == 1.5
    assert spread == [0]


@pytest.mark.skipif(CPU.workers < 2, reason="needs two threads")
def test_a_spread_that_does_not_pay_is_taken_back(plan: MakePlan) -> None:
    started = begin(plan, "shifted-sums", "batch_size=20000", epochs=100, steps_per_epoch=1000)
    started.seconds_per_step = 1e-2
    spread_if_worth(started, CPU)
    assert started.trainer.threads == CPU.workers  # type: ignore[attr-defined]
    started.seconds_per_step = 0.6e-2
    spread_if_worth(started, CPU)
    assert started.trainer.threads == CPU.workers  # type: ignore[attr-defined]
    started.seconds_per_step = 3e-2  # other programs came: two threads wait for each other
    spread_if_worth(started, CPU)
    assert started.trainer.threads == 1  # type: ignore[attr-defined]
    spread_if_worth(started, CPU)
    assert started.trainer.threads == 1, "not again at once"  # type: ignore[attr-defined]
    started.spread_not_before = 0.0
    spread_if_worth(started, CPU)
    assert started.trainer.threads == CPU.workers, "later it is tried again"  # type: ignore[attr-defined]


def test_a_training_loss_that_is_not_finite_is_divergence_though_the_weights_are_sound(plan: MakePlan) -> None:
    started = begin(plan, "xor")
    started.trainer.train = lambda n_steps: setattr(started.trainer, "step", 1) or Progress(1, math.nan)  # type: ignore
    result = run_trial(started, CPU)
    assert (result.fields["outcome"], result.fields["steps"]) == ("diverged", 1)
    assert math.isnan(float(str(result.fields["loss_final"])))
    heldout = [p.value for p in result.curve if (p.split, p.metric) == ("heldout", "loss")]
    assert len(heldout) == 2
    assert all(math.isfinite(value) for value in heldout), "the curve shows what was measured"
