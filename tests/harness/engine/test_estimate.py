"""Estimates of time and memory, numbers as people read them, and the best cell so far."""

import math
import re
import time
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import freewalk
from freewalk.harness.base.errors import UsageError
from freewalk.harness.base.text import duration, significant
from freewalk.harness.engine import estimate as estimate_module
from freewalk.harness.engine.estimate import Course, estimate, memory_mb, seconds_per_step
from freewalk.harness.methods.cost import draw_cost
from freewalk.harness.methods.problem import resolve_problem
from freewalk.harness.plan.budget import Budget
from freewalk.harness.plan.configuration import resolve
from freewalk.harness.plan.plan import Cell, Plan, Trial, expand
from freewalk.harness.plan.registry import BuiltInRegistry
from freewalk.harness.terminal.leaderboard import Leaderboard, varying_parameters
from freewalk.harness.trial.trial import run_trial, start_trial
from freewalk.harness.trial.watch import TrialResult
from freewalk.kernels.backend import resolve_backend

MakePlan = Callable[..., Plan]

CPU = resolve_backend("cpu")


def cell(plan: MakePlan, *specs: str, task: str = "shifted-sums") -> Cell:
    (only,) = plan(*specs, tasks=[task], seeds=[0]).cells
    return only


def test_an_estimate_is_positive_and_grows_with_the_plan(plan: MakePlan) -> None:
    budget = Budget(epochs=2, steps_per_epoch=5, evaluation_points=16)
    trials = plan("batch_size=50", tasks=["xor"], seeds=range(100)).trials
    few, many = estimate(trials[:10], budget, CPU), estimate(trials, budget, CPU)
    assert 0 < few.seconds < many.seconds
    assert few.memory_mb == pytest.approx(many.memory_mb, rel=0.2)
    assert few.memory_mb > 0


def test_the_estimate_is_an_upper_bound_of_the_right_size(plan: MakePlan) -> None:
    specs = ("batch_size=1000", "timesteps=2,4")
    budget = Budget(epochs=2, steps_per_epoch=20, evaluation_points=64)
    made = plan(*specs, tasks=["shifted-sums"], seeds=range(4))
    expected = estimate(made.trials, budget, CPU).seconds * CPU.workers
    options = {"task": "shifted-sums", "seeds": range(4), "epochs": 2, "steps_per_epoch": 20, "evaluation_points": 64}
    trials = freewalk.sweep(specs, **options).trials  # type: ignore[arg-type]
    spent = float(trials["train_seconds"].sum())
    assert expected / 4 < spent < expected * 4, "other work on this machine may double either"


def test_memory_does_not_depend_on_the_batch(plan: MakePlan) -> None:
    sizes = {memory_mb(cell(plan, f"batch_size={n}")) for n in (1, 1000, 10**6, 2**32 - 1)}
    assert len(sizes) == 1
    assert memory_mb(cell(plan, "hidden=300")) > 10 * memory_mb(cell(plan, "hidden=30"))


def test_a_step_costs_more_for_more_work(plan: MakePlan) -> None:
    base = seconds_per_step(cell(plan))
    assert base > 0
    for more in ("batch_size=2000", "timesteps=8", "hidden=60"):
        assert seconds_per_step(cell(plan, more)) > base
    assert seconds_per_step(cell(plan, "noise=rademacher")) < base
    ratio = seconds_per_step(cell(plan, "batch_size=3000")) / base
    assert ratio == pytest.approx(3)


def test_a_perturbation_of_the_family_costs_what_it_draws(plan: MakePlan) -> None:
    def draws(*specs: str) -> float:
        one = cell(plan, *specs)
        return draw_cost(resolve_problem(one.task, one.method, one.parameters))

    full = draws("hidden=30")
    assert draws("hidden=30", "datapoints=10") == pytest.approx(full / 10)
    assert draws("hidden=30", "rank=1") == pytest.approx(full * (36 + 32) / (36 * 32))
    assert draws("hidden=30", "rank=3") == pytest.approx(3 * draws("hidden=30", "rank=1"))
    assert draws("hidden=30", "directions=orthogonal", "rank=1") < draws("hidden=30", "rank=1")
    base = seconds_per_step(cell(plan, "hidden=30"))
    for less in ("rank=1", "datapoints=10"):
        assert seconds_per_step(cell(plan, "hidden=30", less)) < base
    shared = seconds_per_step(cell(plan, "hidden=30", "rank=1", "datapoints=10", "share_data=yes"))
    assert shared < 0.8 * seconds_per_step(cell(plan, "hidden=30", "rank=1", "datapoints=10"))


def test_a_short_step_has_whole_perturbations(plan: MakePlan) -> None:
    one = cell(plan, "batch_size=1000000", "datapoints=500000", "shaping=std", "hidden=300", "timesteps=100")
    short = estimate_module._short_step(one)
    walk = resolve_problem(short.task, short.method, short.parameters).configuration
    assert walk.batch_size < 100_000
    assert seconds_per_step(short) < 1.0


def test_memory_is_that_of_the_kernels_that_run(plan: MakePlan) -> None:
    full, low = cell(plan, "hidden=1000"), cell(plan, "hidden=1000", "rank=1", "batch_size=16")
    assert memory_mb(low) < memory_mb(full)
    assert memory_mb(cell(plan, "hidden=1000", "rank=1")) - memory_mb(low) == pytest.approx(984 * 2008 * 4 / 1e6)
    many = cell(plan, "hidden=1000", "rank=64", "batch_size=1000000")
    assert memory_mb(many) - memory_mb(low) < 70, "factors of a round, whatever the batch"
    assert memory_mb(full, "reference") == pytest.approx(3 * 1000 * 1006 * 1002 * 8 / 1e6)


def test_what_much_memory_takes_is_said_and_too_much_refused(plan: MakePlan, monkeypatch: pytest.MonkeyPatch) -> None:
    made = plan("hidden=4096", tasks=["shifted-sums"], seeds=[0])
    monkeypatch.setattr(estimate_module, "memory_bytes", lambda: 10**12)
    said = estimate_module.refuse_too_large(made, CPU) or ""
    assert re.fullmatch(r"1 trial at once: about \d\.\d GB of memory", said)
    assert estimate_module.refuse_too_large(plan(tasks=["xor"], seeds=[0]), CPU) is None
    monkeypatch.setattr(estimate_module, "memory_bytes", lambda: 10**9)
    with pytest.raises(UsageError, match=r"hidden=4096 on task .* needs about \d GB of memory, this machine has 1 GB"):
        estimate_module.refuse_too_large(made, CPU)
    with pytest.raises(UsageError, match=r"hidden=4096, batch_size=1000 on .* fewer hidden neurons or a smaller batch"):
        estimate_module.refuse_too_large(made, resolve_backend("reference"))


def kinds_of_trials(plan: MakePlan) -> Plan:
    return plan(
        *("architecture=2-3-1,free", "hidden=3", "batch_size=50"),
        tasks=["xor"],
        methods=["walk", "backprop", "numerical"],
        seeds=[0, 1],
    )


def test_every_kind_of_trial_is_measured_once(plan: MakePlan, monkeypatch: pytest.MonkeyPatch) -> None:
    measured: list[tuple[str, object]] = []

    def scale(trial: Trial, *_: object) -> float:
        measured.append((trial.cell.method, trial.cell.parameters["architecture"]))
        return 10.0 ** len(measured)

    monkeypatch.setattr(estimate_module, "_measured_scale", scale)
    made = kinds_of_trials(plan)
    budget = Budget(epochs=2, steps_per_epoch=5, evaluation_points=16)
    found = estimate(made.trials, budget, CPU)
    assert sorted(measured) == sorted((m, a) for m in ("walk", "backprop", "numerical") for a in ("2-3-1", "free"))
    scales = {kind: 10.0 ** (k + 1) for k, kind in enumerate(measured)}
    expected = sum(
        10 * seconds_per_step(t.cell) * scales[t.cell.method, t.cell.parameters["architecture"]] for t in made.trials
    )
    assert found.seconds == pytest.approx(expected / CPU.workers, rel=0.1)  # and looks at held-out data


def test_shared_perturbations_are_estimated_once(plan: MakePlan, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(estimate_module, "_measured_scale", lambda *_: 1.0)
    budget = Budget(epochs=1, steps_per_epoch=10**6, evaluation_points=16)

    def seconds(*specs: str, n_seeds: int) -> float:
        return estimate(plan(*specs, tasks=["xor"], seeds=range(n_seeds)).trials, budget, CPU).seconds

    alone = seconds("stddev=0.1", "hidden=30", n_seeds=1)
    several = seconds("stddev=0.1", "hidden=30", n_seeds=12)
    shared = seconds("stddev=" + ",".join(str(k / 100) for k in range(1, 13)), "hidden=30", n_seeds=1)
    assert several == pytest.approx(12 * alone)
    assert 0.35 * several < shared < 0.6 * several
    # of batches of two sizes the larger one draws for both
    both = seconds("batch_size=500,1000", n_seeds=1)
    assert both < seconds("batch_size=1000", n_seeds=1) + 0.9 * seconds("batch_size=500", n_seeds=1)
    # and methods without perturbations share none
    trials = plan("learning_rate=0.1,0.2", tasks=["xor"], methods=["backprop"], seeds=[0]).trials
    assert estimate(trials, budget, CPU).seconds == pytest.approx(
        len(trials) * estimate(trials[:1], budget, CPU).seconds
    )


def test_looks_at_held_out_data_and_rows_cost_something(plan: MakePlan, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(estimate_module, "_measured_scale", lambda *_: 1.0)
    trials = plan("batch_size=1", tasks=["shifted-sums"], seeds=range(50)).trials
    few, many = (
        estimate(trials, Budget(epochs=10, steps_per_epoch=1, evaluation_points=n), CPU).seconds for n in (1, 10**6)
    )
    assert few > 50 * 0.003
    assert many > 2 * few


def test_the_estimate_of_gradient_methods_has_the_right_size(plan: MakePlan) -> None:
    budget = Budget(epochs=2, steps_per_epoch=100, evaluation_points=16, target=-1.0)
    made = kinds_of_trials(plan)
    expected = estimate(made.trials, budget, CPU).seconds * CPU.workers
    spent = sum(run_trial(start_trial(t.cell, 0, budget, CPU), CPU).fields["train_seconds"] for t in made.trials)  # type: ignore[misc]
    assert expected / 5 < spent < expected * 5, "other work on this machine may double either"


def trial_seconds(cell: Cell, budget: Budget) -> float:
    return Course(cell, budget).steps * seconds_per_step(cell)


def test_with_a_budget_of_evaluations_a_trial_costs_what_they_cost(plan: MakePlan) -> None:
    budget = Budget(epochs=2, steps_per_epoch=5, evaluation_points=16, evaluations=10**6)
    small, large = (trial_seconds(cell(plan, f"batch_size={n}"), budget) for n in (50, 5000))
    assert small == pytest.approx(large, rel=1e-3)
    steps = Budget(epochs=2, steps_per_epoch=5, evaluation_points=16)
    small, large = (trial_seconds(cell(plan, f"batch_size={n}"), steps) for n in (50, 5000))
    assert 100 * small == pytest.approx(large, rel=1e-3)


def test_gradient_methods_take_memory_for_a_batch_or_for_time(plan: MakePlan) -> None:
    def mb(method: str, *specs: str) -> float:
        (only,) = plan(*specs, tasks=["xor"], methods=[method]).cells
        return memory_mb(only)

    layered, many = "architecture=2-100-1", "batch_size=1000000"
    assert mb("backprop", layered, many) > 100 * 8 > 10 * mb("backprop", layered)
    assert mb("walk", layered, many) == mb("walk", layered)
    assert mb("numerical", layered, many) == mb("numerical", layered)
    assert mb("backprop", "timesteps=100000") > 10 * mb("walk", "timesteps=100000")


def test_an_estimate_of_many_trials_is_quick(plan: MakePlan) -> None:
    made = plan("stddev=linspace(0.1,1,100)", "batch_size=8", tasks=["xor"], seeds=range(100))
    start = time.perf_counter()
    estimate(made.trials, Budget(epochs=1, steps_per_epoch=1, evaluation_points=16), CPU)
    assert time.perf_counter() - start < 6


@pytest.mark.parametrize("specs", [["batch_size=4000000000"], ["batch_size=100000000", "timesteps=1000"]])
def test_an_estimate_of_enormous_steps_takes_none_of_them(plan: MakePlan, specs: list[str]) -> None:
    trials = plan(*specs, tasks=["xor"], seeds=[0]).trials
    start = time.perf_counter()
    found = estimate(trials, Budget(epochs=1, steps_per_epoch=100, evaluation_points=16), CPU)
    assert time.perf_counter() - start < 5
    assert found.seconds > 3600


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        *((0.0, "0.0 s"), (0.44, "0.4 s"), (9.94, "9.9 s"), (12.3, "12 s"), (99.4, "99 s")),
        *((100.0, "1 min 40 s"), (200.0, "3 min 20 s"), (599.6, "10 min"), (3600.0, "60 min")),
        *((7500.0, "2 h 5 min"), (86400.0, "24 h 0 min"), (3 * 86400 + 4 * 3600, "3 d 4 h")),
    ],
)
def test_durations(seconds: float, text: str) -> None:
    assert duration(seconds) == text


@given(st.floats(0, 1e9))
def test_durations_are_close_to_what_they_say(seconds: float) -> None:
    units = {"s": 1, "min": 60, "h": 3600, "d": 86400}
    said = sum(float(number) * units[unit] for number, unit in re.findall(r"([\d.]+) (\w+)", duration(seconds)))
    assert said == pytest.approx(seconds, rel=0.06, abs=0.051)


@pytest.mark.parametrize(
    ("value", "digits", "text"),
    [
        *((0.0, 3, "0"), (0.012345, 3, "0.0123"), (4.5e-7, 3, "4.5e-7"), (1.0, 3, "1"), (12.3456, 3, "12.3")),
        *((999.4, 3, "999"), (999.9, 3, "1,000"), (1234.0, 3, "1,230"), (1_234_567.0, 3, "1,230,000")),
        *((-1234.0, 3, "-1,230"), (1234.4, 4, "1,234"), (123456.0, 4, "123,500"), (0.123456, 4, "0.1235")),
        *((math.nan, 3, "-"), (math.inf, 3, "-"), (-math.inf, 3, "-")),
    ],
)
def test_significant_digits(value: float, digits: int, text: str) -> None:
    assert significant(value, digits) == text


@given(st.floats(-1e15, 1e15))
def test_significant_digits_are_close_and_short(value: float) -> None:
    text = significant(value)
    assert float(text.replace(",", "")) == pytest.approx(value, rel=0.005001)
    if abs(value) >= 0.001 or value == 0:
        assert "e" not in text


def result(*, reached: bool, evaluations: int) -> TrialResult:
    return TrialResult({"reached": reached, "evaluations": evaluations}, [])


def leaderboard(plan: MakePlan) -> tuple[Leaderboard, tuple[Cell, ...]]:
    specs, options = ("stddev=0.1,0.5,1", "hidden=4"), {"tasks": ["xor"], "seeds": range(4)}
    board = Leaderboard(plan(*specs, **options), resolve(specs, registry=BuiltInRegistry(), **options))
    return board, plan(*specs, **options).cells


def test_the_best_cell_succeeds_most_often_then_costs_least(plan: MakePlan) -> None:
    board, (first, second, third) = leaderboard(plan)
    assert board.best() == []
    board.add(first, result(reached=False, evaluations=100))
    assert board.best() == [], "none has reached its target"
    board.add(second, result(reached=True, evaluations=3000))
    assert board.best() == ["xor stddev=0.5: 1/1 reached, 3,000 evaluations"]
    board.add(third, result(reached=True, evaluations=200))
    assert board.best()[0].startswith("xor stddev=1.0: 1/1")
    board.add(third, result(reached=False, evaluations=200))
    assert board.best()[0].startswith("xor stddev=0.5: 1/1"), "half is less than all"
    board.add(second, result(reached=False, evaluations=3000))
    assert board.best() == ["xor stddev=1.0: 1/2 reached, 400 evaluations"], "failures are paid for"


def test_parameters_that_vary_are_those_that_tell_cells_apart() -> None:
    def varying(*specs: str, tasks: list[str], methods: tuple[str, ...] | list[str] = ()) -> tuple[str, ...]:
        configuration = resolve(specs, registry=BuiltInRegistry(), tasks=tasks, methods=methods)
        return varying_parameters(expand(configuration, BuiltInRegistry()), configuration)

    assert varying("stddev=1", tasks=["xor", "sign"]) == ()
    assert varying("batch_size=1,2", "hidden=3", "stddev=1,2", tasks=["xor"]) == ("batch_size", "stddev")
    # Tasks have timesteps of their own, but no cell is told from another by them.
    assert varying(tasks=["xor", "addition"]) == ()
    assert varying("timesteps=5,6", tasks=["xor", "addition"]) == ("timesteps",)
    # A method's own parameter says nothing more where it has one value only.
    methods = ["walk", "backprop"]
    assert varying("stddev=1", tasks=["xor"], methods=methods) == ("method",)
    assert varying("stddev=1,2", "hidden=3", tasks=["xor"], methods=methods) == ("method", "stddev")
    assert varying("architecture=free,2-3-1", "hidden=3", tasks=["xor"]) == ("architecture", "hidden")


def test_numpy_values_read_the_same() -> None:
    assert significant(float(np.float64(0.25))) == "0.25"
