"""What a real trial that cannot learn by its settings says: the setting, its value, what to give instead."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from freewalk.harness.plan.plan import Plan
from freewalk.harness.trial.trial import Budget, run_trial, start_trial
from freewalk.kernels.backend import resolve_backend
from freewalk.results.report.explanation import explain
from freewalk.results.schema.schema import PARAMETER_PREFIX

MakePlan = Callable[..., Plan]
CPU = resolve_backend("cpu")


def explained(plan: MakePlan, task: str, *specs: str, method: str = "walk", steps: int = 500) -> str:
    (only,) = plan(*specs, tasks=[task], methods=[method], seeds=[0]).trials
    budget = Budget(epochs=20, steps_per_epoch=steps // 20, evaluation_points=64)
    result = run_trial(start_trial(only.cell, only.seed, budget, CPU), CPU)
    parameters = {PARAMETER_PREFIX + name: value for name, value in only.cell.parameters.items()}
    return explain({"method": method, **parameters, **result.fields}, result.curve)


@pytest.mark.parametrize(
    ("specs", "method", "said"),
    [
        (
            "update=raw",
            "walk",
            "update=raw moves by stddev squared = 0.0001 times the gradient, and the loss fell only by",
        ),
        ("timesteps=1", "walk", "timesteps=1 applies the layer once, so that the outputs see the inputs alone"),
        ("timesteps=1", "backprop", "give timesteps=2 or more"),
        ("architecture=2-1", "backprop", "architecture=2-1 has no hidden layer: give it one"),
        (
            "learning_rate=1000",
            "walk",
            "steps of learning_rate=1000 drove the outputs to 0 or 1: give a smaller learning_rate",
        ),
        ("learning_rate=1000 batch_size=16", "backprop", "steps of learning_rate=1000 drove the outputs to 0 or 1"),
        (
            "update=raw stddev=30",
            "walk",
            "stddev=30 drove the outputs to 0 or 1, since update=raw steps by stddev squared",
        ),
        ("stddev=30", "walk", "stddev=30 perturbs by more than the largest weight that training starts from (0.54)"),
        ("batch_size=4", "walk", "batch_size=4 is few perturbations for 108 weights, and steps of learning_rate=0.3"),
        ("learning_rate=0.0001", "walk", "learning_rate=0.0001 moved the loss only by"),
    ],
)
def test_it_names_the_setting_its_value_and_the_remedy(plan: MakePlan, specs: str, method: str, said: str) -> None:
    assert said in explained(plan, "xor", *specs.split(), method=method)


def test_a_budget_that_ends_too_soon(plan: MakePlan) -> None:
    text = explained(plan, "shifted-sums", "learning_rate=0.02", steps=100)
    assert "so more steps may reach it: give more epochs" in text


def test_a_loss_that_goes_up_and_down(plan: MakePlan) -> None:
    text = explained(plan, "shifted-sums", "batch_size=16", "learning_rate=0.1")
    assert "batch_size=16 is few perturbations for 140 weights, and the loss went up and down between" in text
    assert text.endswith("give a larger batch_size or a smaller learning_rate than 0.1")


@pytest.mark.parametrize("task", ["xor", "shifted-sums", "sign"])
def test_the_defaults_learn_and_give_no_advice(plan: MakePlan, task: str) -> None:
    text = explained(plan, task)
    assert text.startswith("reached: ")
    assert "give" not in text


def test_a_sweep_that_reaches_nothing_says_why(harness: Any, tmp_path: Path) -> None:
    arguments = ["--grid", "update=raw", "--grid", "stddev=0.01,0.02", "--grid", "batch_size=16", "--seeds", "0:2"]
    ended = harness("sweep", "--task", "xor", *arguments, "--epochs", 8, "--out", "out").out
    assert "4 of 4 trials: for example, update=raw moves by stddev squared = 0.0001 times" in " ".join(ended.split())
    answer = harness("report", "out").out
    assert "update=raw moves by stddev squared" in answer
    assert "matters most" not in answer


def test_a_method_that_reaches_nothing_beside_one_that_does(harness: Any, tmp_path: Path) -> None:
    one = '[[grid]]\nmethod="walk"\nupdate="raw"\nbatch_size=16\n[[grid]]\nmethod="backprop"\nbatch_size=16\n'
    (tmp_path / "two.toml").write_text(one)
    ended = " ".join(harness("sweep", "--task", "and", "--grid", "two.toml", "--epochs", 8, "--out", "out").out.split())
    assert "walk: 3 of 3 trials: for example, update=raw moves" in ended
    assert "backprop: 3 of" not in ended
