"""Tasks and methods of a Python session in a folder: the same again goes on, another one is refused in one line."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import freewalk
from freewalk.harness.methods.registered import METHODS
from freewalk.harness.plan import objects
from freewalk.methods import OwnMethod, Start
from freewalk.tasks import Problem, Task, data_words, from_arrays
from freewalk.tasks.registry import TASKS

SHORT: dict[str, Any] = {"seeds": "0:2", "epochs": 1, "steps_per_epoch": 3, "evaluation_points": 64}


def bit_task(edge: float = 1.0, *, target: float = 0.99, summary: str = "a bit") -> Task:
    """A task whose data function closes over a number."""

    def datapoint(seed: int, stream: int, step: int, index: int, timesteps: int, argument: int, x: Any, y: Any) -> None:
        bit = np.float32(data_words(seed, stream, step, index, 0)[0] & np.uint32(1))
        x[0, 0] = bit * np.float32(edge)
        y[0, 0] = bit

    return Task("own-bit", summary, "bit_accuracy", target, lambda: Problem(1, 1, datapoint))


def array_task(first: float = 0.0) -> Task:
    x = np.random.default_rng(0).normal(size=(60, 2))
    x[0, 0] = first
    return from_arrays("own-signs", x, (x[:, 1] > 0).astype(int))


class _Still:
    def __init__(self, start: Start) -> None:
        raise ValueError("does not start")


def still_method(cost: float = 1.0) -> OwnMethod:
    return OwnMethod("own-still", "does not move", _Still, lambda parameters, batch, weights: cost * batch)  # type: ignore[arg-type]


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def swept(**options: Any) -> freewalk.SweepResult:
    return freewalk.sweep({"hidden": 2}, **{**SHORT, "out": "out", **options})


@pytest.mark.parametrize("make", [bit_task, array_task])
def test_an_equal_task_goes_on_where_the_sweep_was(make: Callable[[], Task]) -> None:
    first = swept(task=make())
    assert set(first.trials["state"]) == {"complete"}
    again = swept(task=[make(), "xor"], seeds="0:3")
    before = again.trials[again.trials["trial_id"].isin(first.trials["trial_id"])]
    assert before["finished_at"].tolist() == first.trials["finished_at"].tolist()
    assert len(again.trials) == 6
    assert not {"own-bit", "own-signs"} & {*TASKS}


def test_the_same_bits_as_without_a_folder() -> None:
    kept, passing = (swept(task=bit_task(), out=out).trials["loss_final"].tolist() for out in ("out", None))
    assert kept == passing


@pytest.mark.parametrize("change", [{"edge": 2.0}, {"target": 0.9}])
def test_another_task_of_the_same_name_is_refused(change: dict[str, float]) -> None:
    swept(task=bit_task())
    with pytest.raises(
        freewalk.StoreError, match=r"task 'own-bit' of a Python session has changed.*--retry-failed"
    ) as one:
        swept(task=bit_task(**change))
    assert "\n" not in str(one.value)
    assert "Python 3" not in str(one.value)
    swept(task=bit_task(summary="words decide nothing"))


def test_other_arrays_are_refused() -> None:
    swept(task=array_task())
    with pytest.raises(freewalk.UsageError, match="the data of task 'own-signs' have changed"):
        swept(task=array_task(1.0))


def test_a_mended_method_runs_what_failed() -> None:
    first = swept(task="xor", method=[still_method(), "walk"])
    assert first.trials["state"].value_counts().to_dict() == {"failed": 2, "complete": 2}
    with pytest.raises(freewalk.StoreError, match="method 'own-still' of a Python session has changed"):
        swept(task="xor", method=[still_method(2.0), "walk"])
    again = swept(task="xor", method=[still_method(2.0), "walk"], retry_failed=True)
    assert again.trials["started_at"].tolist() != first.trials["started_at"].tolist()
    assert "own-still" not in METHODS


def test_another_python_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as then:
        then.setattr(objects, "_python", lambda: "3.7")
        swept(task=bit_task())
    monkeypatch.setattr(objects, "fingerprint", lambda value: "0" * 64)
    here = ".".join(map(str, sys.version_info[:2]))
    with pytest.raises(
        freewalk.StoreError, match=rf"has changed since out was begun \(by Python 3\.7, and this is {here}"
    ):
        swept(task=bit_task())


def test_a_task_more_or_less_is_refused() -> None:
    swept(task=[bit_task(), array_task()])
    with pytest.raises(freewalk.StoreError, match="2 plug-ins and objects there and 1 here"):
        swept(task=bit_task())


def test_what_cannot_be_told_apart_is_refused() -> None:
    lines = (line for line in ["1"])
    task = Task("own-lines", "", "bit_accuracy", 0.9, lambda: (lines, bit_task().make_problem())[1])
    with pytest.raises(
        freewalk.UsageError, match=r"task 'own-lines' cannot be kept with out.*generator.*plugins=\[FILE\]"
    ):
        swept(task=task)
    assert not Path("out").exists()
    assert set(swept(task=task, out=None).trials["state"]) == {"complete"}


def test_the_command_line_says_whose_task_it_is(harness: Any) -> None:
    swept(task=bit_task())
    for more in ((), ("--out", "out"), ("--out", "other")):
        result = harness("sweep", "--grid", "out/sweep.toml", *more)
        assert result.code == 2
        assert "task 'own-bit' was an object of a Python session" in result.err
        assert "--plugin" in result.err
        assert result.err.count("\n") == 1
    assert freewalk.sweep("out/sweep.toml", task=bit_task(), out="out").trials["task"].tolist() == ["own-bit"] * 2


def test_folders_are_read_without_the_object(harness: Any) -> None:
    swept(task=[bit_task(), array_task()])
    swept(task=[bit_task(), array_task()], seeds="5:7", out="more")
    for command in (
        ["report", "out"],
        ["show", "out"],
        ["compare", "out", "out"],
        ["merge", "out", "more", "--out", "all"],
    ):
        assert harness(*command).code == 0
    result = harness("report", "all")
    assert "own-bit" in result.out
    assert len(freewalk.read_sweep("all").trials) == 8


def test_more_seeds_are_asked_for_where_the_object_is(harness: Any) -> None:
    freewalk.sweep({"hidden": [2, 3]}, task=bit_task(), out="out", **{**SHORT, "epochs": 20})
    said = harness("report", "out").out
    assert "the same freewalk.sweep(...) with seeds=" in said
    assert "harness sweep" not in said


def test_a_tuning_goes_on_with_an_equal_task() -> None:
    options: dict[str, Any] = {"method": "walk", "seeds": "0:2", "race_seeds": "9:11", "n_settings": 2, "out": "out"}
    one, other = (freewalk.tune({"hidden": 2}, task=bit_task(), evaluations=20_000, **options) for _ in range(2))
    assert one.trials["finished_at"].tolist() == other.trials["finished_at"].tolist()
    with pytest.raises(freewalk.StoreError):
        freewalk.tune({"hidden": 2}, task=bit_task(2.0), evaluations=20_000, **options)


def test_another_process_goes_on(tmp_path: Path) -> None:
    code = (
        f"import sys; sys.path.insert(0, {str(Path(__file__).parent)!r})\n"
        "import test_session_objects as t\n"
        "print(t.swept(task=[t.bit_task(), t.array_task()]).trials['finished_at'].tolist())"
    )
    said = set()
    for seed in ("1", "2"):
        environment = os.environ | {"PYTHONHASHSEED": seed, "PYTHONPATH": str(Path(freewalk.__file__).parents[1])}
        command = [sys.executable, "-c", code]
        ran = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=True)
        said.add(ran.stdout)
    assert len(said) == 1


@pytest.mark.parametrize("where", [{"workers": 1}, {"cluster": "tcp://localhost:1"}])
@pytest.mark.parametrize("own", [{"task": bit_task()}, {"task": "xor", "method": still_method()}])
def test_workers_do_not_know_objects(where: Any, own: Any) -> None:
    with pytest.raises(freewalk.UsageError, match=r"is an object of this process alone.*plugins=\[FILE\]"):
        swept(**where, **own)
    assert not Path("out").exists()
