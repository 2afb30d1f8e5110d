"""Values beyond what Python reads, a processor reaches or a machine holds end in one line that names them."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import freewalk
from freewalk.harness.engine import estimate as estimate_module
from freewalk.harness.engine.estimate import estimate
from freewalk.harness.methods.problem import resolve_problem
from freewalk.harness.plan.budget import Budget
from freewalk.harness.plan.plan import Plan
from freewalk.kernels.backend import resolve_backend

Harness = Callable[..., Any]
LONG = "9" * 5000
"""More digits than Python makes a whole number of."""


@pytest.mark.parametrize(
    ("spec", "culprit"),
    [
        (f"stddev=range(0,1,0.1{'0' * 5000}1)", "a number has 5,004 characters"),
        (f"stddev=linspace(0,{LONG},3)", "is not a finite number"),
        (f"stddev={LONG}", "finite number"),
        (f"hidden={LONG}", "hidden"),
        (f"hidden={'9' * 400}", "hidden"),
        ("stddev=1e308", "stddev=1e+308 is too large to be squared"),
        ("stddev=1e200", "stddev=1e+200 is too large to be squared"),
    ],
    ids=lambda text: text[:25],
)
def test_numbers_of_an_axis(refused: Callable[..., str], spec: str, culprit: str) -> None:
    line = refused("sweep", "--task", "xor", "--backend", "reference", "--grid", spec, "--dry-run")
    assert culprit in line
    line = refused("sweep", "--task", "xor", "--grid", spec, "--grid", "update=normalised", "--dry-run")
    assert culprit in line


@pytest.mark.parametrize(
    ("text", "culprit"),
    [
        (f"epochs = {LONG}", "a number has thousands of digits"),
        (f"epochs = {'9' * 400}", "epochs"),
        (f"x = {'[' * 3000}{']' * 3000}", "too many brackets"),
        (f"x = {'{a = ' * 3000}1{'}' * 3000}", "too many brackets"),
        (f"[[grid]]\nstddev = [{LONG}]", "a number has thousands of digits"),
        (f"[[grid]]\nstddev = [{'9' * 400}]", "stddev"),
        ("epochs = 0x" + "f" * 9000, "a number has thousands of digits"),
    ],
    ids=lambda text: text[:20],
)
def test_numbers_and_nesting_of_a_file(
    harness: Harness, refused: Callable[..., str], tmp_path: Path, text: str, culprit: str
) -> None:
    (tmp_path / "grid.toml").write_text(f"{text}\n[[grid]]\ntask = 'xor'\n")
    assert culprit in refused("sweep", "--grid", "grid.toml", "--dry-run")
    # beside a store such a file is no reason to refuse a report
    assert harness("sweep", "--task", "xor", "--seeds", "0", "--epochs", "1", "--quiet", "--out", "out").code == 0
    (tmp_path / "out" / "sweep.toml").write_text(text)
    assert harness("report", "out", "--quiet").code == 0


@pytest.mark.parametrize("name", ["evaluations", "epochs", "steps-per-epoch", "plateau", "evaluation-points", "seeds"])
@pytest.mark.parametrize("value", ["9" * 400, LONG], ids=["400", "5000"])
def test_numbers_of_an_option(refused: Callable[..., str], name: str, value: str) -> None:
    line = refused("sweep", "--task", "xor", "--backend", "reference", f"--{name}", value, "--dry-run")
    assert name.split("-")[0] in line


@pytest.mark.parametrize(
    ("arguments", "culprit"),
    [
        ("--task long-parity --grid length=2147483647", "length=2147483647"),
        ("--task xor --method backprop --grid timesteps=2000000000", "timesteps=2000000000"),
        ("--task parity --grid bits=2147483647", "bits=2147483647"),
        ("--task xor --grid hidden=2147483647", "hidden=2147483647"),
        ("--task xor --method backprop --grid architecture=2-2000000-2000000-1", "architecture=2-2000000-2000000-1"),
        ("--task adding --grid length=2147483647", "length=2147483647"),
    ],
)
def test_what_no_machine_holds(refused: Callable[..., str], arguments: str, culprit: str) -> None:
    line = refused("sweep", *arguments.split(), "--dry-run")
    assert culprit in line
    assert "GB of memory" in line


def test_what_other_commands_do_not_hold(harness: Harness, refused: Callable[..., str]) -> None:
    sizes = "2-1000000-1000000-1"
    assert sizes in refused("gradcheck", "--task", "xor", "--architecture", sizes)
    trained = harness("train", "--task", "xor", "--epochs", "1", "--backend", "reference", "--quiet", "--save", "w.npz")
    assert trained.code == 0
    assert "restarts=1,000,000,000,000" in refused("maximize", "w.npz", "--restarts", "1000000000000")


def test_memory_that_is_not_given_is_one_line(refused: Callable[..., str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(estimate_module, "memory_bytes", lambda: None)  # as on a system that does not tell

    def none_left(*_: object) -> None:
        raise MemoryError("Unable to allocate 128. GiB")

    monkeypatch.setattr(estimate_module, "start_trial", none_left)
    line = refused("sweep", "--task", "long-parity", "--grid", "length=2147483647", "--dry-run")
    assert line == "not enough memory (Unable to allocate 128. GiB); ask for smaller sizes, or fewer at once"


@pytest.mark.parametrize(
    ("method", "spec"),
    [
        ("walk", "timesteps=1000000000"),
        ("walk", "hidden=5000"),
        ("backprop", "timesteps=1000000"),
        ("numerical", "hidden=3000"),
        ("numerical", "architecture=2-3000-3000-1"),
        ("numerical", "timesteps=1000000000"),
    ],
)
def test_a_dry_run_takes_no_enormous_step(plan: Callable[..., Plan], method: str, spec: str) -> None:
    cpu = resolve_backend("cpu")
    (small,) = plan(tasks=["xor"], methods=[method], seeds=[0]).trials
    resolve_problem("xor", method, small.cell.parameters).warm_up(cpu)
    trials = plan(spec, tasks=["xor"], methods=[method], seeds=[0]).trials
    start = time.process_time()
    found = estimate(trials, Budget(epochs=1, steps_per_epoch=100, evaluation_points=16), cpu)
    assert time.process_time() - start < 10
    assert found.seconds > 60


def test_a_learning_rate_of_any_size_runs() -> None:
    options = {"task": "xor", "seeds": [0], "epochs": 1, "steps_per_epoch": 2, "backend": "reference"}
    trials = freewalk.sweep({"stddev": 1e150, "batch_size": 4}, **options).trials  # type: ignore[arg-type]
    assert list(trials["state"]) == ["complete"]
