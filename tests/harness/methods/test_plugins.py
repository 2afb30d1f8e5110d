"""Tasks and methods of one's own: they run, are recorded, and what is wrong with them is one line."""

from __future__ import annotations

import csv
import importlib.metadata
import json
import pickle
import re
import subprocess
import sys
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import freewalk
from freewalk.harness.base.errors import UsageError
from freewalk.harness.methods.registered import BUILT_IN as BUILT_IN_METHODS
from freewalk.harness.methods.registered import METHODS
from freewalk.harness.parameters.parameters import PARAMETERS
from freewalk.harness.plan import plugins
from freewalk.harness.plan.plugins import load_plugins, sha256_of
from freewalk.tasks.registry import BUILT_IN as BUILT_IN_TASKS
from freewalk.tasks.registry import TASKS

TASK = """
from freewalk.tasks import Problem, Task, data_words, uniform

def datapoint(seed, stream, step, index, timesteps, edge, x, y):
    word, _, _, _ = data_words(seed, stream, step, index, 0)
    x[0, 0] = uniform(word)
    y[0, 0] = x[0, 0] * 100 > edge

OWN = Task(
    name="above",
    summary="above the edge",
    metric="bit_accuracy",
    target=0.9,
    make_problem=lambda edge: Problem(n_input=1, n_output=1, datapoint=datapoint, argument=edge),
    parameters={"edge": 50},
    parameter_help={"edge": "hundredths"},
)
"""
METHOD = """
from pydantic import BaseModel, Field
from freewalk.methods import ArrayTrainer, OwnMethod

class Parameters(BaseModel):
    reach: float = Field(0.3, gt=0, description="standard deviation of a change")

class Climb(ArrayTrainer):
    def take_step(self):
        x, y = self.batch()
        before = self.losses(self.values, x, y).mean()
        change = self.start.parameters.reach * self.random().standard_normal(self.values.shape)
        changed = self.values + self.unmasked(change)
        if self.losses(changed, x, y).mean() < before:
            self.values = changed
        return before

CLIMB = OwnMethod("climb", "keep what helps", Climb, lambda parameters, batch, n: 2 * batch, Parameters)
"""
SMALL = ("--seeds", "0:2", "--epochs", "3", "--steps-per-epoch", "5", "--grid", "batch_size=16", "--grid", "hidden=3")


@pytest.fixture(autouse=True)
def _forget() -> Iterator[None]:
    yield
    plugins.unload_all()
    assert tuple(TASKS) == BUILT_IN_TASKS
    assert tuple(METHODS) == BUILT_IN_METHODS
    assert not {"reach", "edge"} & {*PARAMETERS}


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., Path]:
    def write(text: str, name: str = "own.py") -> Path:
        path = tmp_path / name
        path.write_text(text, encoding="utf-8")
        return path

    return write


def test_a_sweep_of_one_s_own_task_and_method(harness: Any, write: Any) -> None:
    path = write(TASK + METHOD)
    arguments = ("--plugin", path, "--task", "above", "--method", "climb", "--grid", "reach=0.1,0.2", *SMALL)
    result = harness("sweep", *arguments, "--grid", "edge=30", "--out", "out")
    assert result.code == 0, result.err
    with Path("out/trials.csv").open(newline="") as file:
        trials = list(csv.DictReader(file))
    assert len(trials) == 4
    assert {row["param_reach"] for row in trials} == {"0.1", "0.2"}
    assert {row["param_edge"] for row in trials} == {"30"}
    assert {row["evaluations_per_step"] for row in trials} == {"32.0"}
    recorded = json.loads(Path("out/environment.json").read_text())["plugins"]
    assert recorded == [{"path": str(path), "sha256": sha256_of(load_plugins([path])[0])}]
    again = harness("sweep", "--grid", "out/sweep.toml", "--out", "out", "--json")
    assert again.code == 0
    assert json.loads(again.out)["states"] == {"complete": 4}


def test_another_plug_in_does_not_resume_a_sweep(harness: Any, refused: Any, write: Any) -> None:
    path = write(TASK)
    arguments = ("sweep", "--plugin", path, "--task", "above", "--grid", "stddev=0.1", *SMALL, "--out", "out")
    assert harness(*arguments, "--quiet").code == 0
    write(TASK + "\nCHANGED = True\n")
    line = refused(*arguments)
    assert f"{path} has changed since out was begun: put the old text back, add --retry-failed" in line
    line = refused("sweep", "--grid", "out/sweep.toml", "--out", "out")
    assert f"--plugin {path}: the file has changed: its SHA-256 is" in line
    assert "put the old file back" in line
    write(TASK)
    assert harness(*arguments, "--quiet").code == 0


def test_a_moved_plug_in_resumes(harness: Any, write: Any, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    for name in ("own.py", "elsewhere/other.py"):
        path = write(TASK, name)
        result = harness("sweep", "--plugin", path, "--task", "above", *SMALL, "--out", "out", "--json")
        assert result.code == 0, result.err


def test_a_file_names_plug_ins_seen_from_its_own_folder(harness: Any, write: Any, tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    write(METHOD, "there/own.py")
    write(
        'plugins = ["own.py"]\nepochs = 2\nsteps_per_epoch = 2\n'
        '[[grid]]\ntask = "xor"\nmethod = "climb"\nreach = 0.2\n',
        "there/sweep.toml",
    )
    assert harness("sweep", "--grid", "there/sweep.toml", "--grid", "reach=0.4", "--out", "out", "--quiet").code == 0
    assert tomllib.loads(Path("out/sweep.toml").read_text())["grid"][0]["reach"] == [0.4]


def test_trials_of_other_plug_ins_have_other_names(write: Any) -> None:
    from freewalk.harness.plan.configuration import resolve
    from freewalk.harness.plan.plan import expand
    from freewalk.harness.plan.registry import BuiltInRegistry

    def name(text: str) -> str:
        configuration = resolve(tasks=["above"], registry=BuiltInRegistry(), plugins=[write(text)])
        return expand(configuration, BuiltInRegistry()).trials[0].trial_id

    assert name(TASK) == name(TASK) != name(TASK + "\n")


def test_train_sets_parameters_of_plug_ins(harness: Any, refused: Any, write: Any) -> None:
    path = write(TASK + METHOD)
    arguments = ("train", "--plugin", path, "--task", "above", "--method", "climb", "--epochs", "1", "--quiet")
    assert harness(*arguments, "--reach", "0.2", "--edge", "20", "--save", "weights").code == 0
    assert "reach=-1: must be a finite number greater than 0" in refused(*arguments, "--reach", "-1")
    assert "--set 'reach': write a parameter and its value" in refused(*arguments, "--set", "reach")
    assert "no option --reech (did you mean '--reach'?)" in refused(*arguments, "--reech", "1")
    assert "unknown parameter 'reech' (did you mean 'reach'?)" in harness(*arguments, "--set", "reech=1").err


def test_tasks_and_report_know_plug_ins(harness: Any, write: Any) -> None:
    path = write(TASK)
    assert "above the edge" in harness("tasks", "--plugin", path).out
    one = json.loads(harness("tasks", "--plugin", path, "above", "--json").out)
    assert (one["task"], one["parameters"]) == ("above", {"edge": 50})
    assert harness("sweep", "--plugin", path, "--task", "above", *SMALL, "--out", "out", "--quiet").code == 0
    assert harness("report", "out", "--plugin", path).code == 0
    assert "above the edge" in Path("out/report.html").read_text()


def test_the_environment_names_plug_ins(harness: Any, write: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    one, two = write(TASK, "one.py"), write(METHOD, "two.py")
    monkeypatch.setenv("HARNESS_PLUGIN", f"{one}:{two}")
    assert harness("sweep", "--task", "above", "--method", "climb", *SMALL, "--out", "out", "--quiet").code == 0


def test_from_python(write: Any) -> None:
    options: dict[str, Any] = {"task": "above", "seeds": "0", "epochs": 1, "steps_per_epoch": 2}
    result = freewalk.sweep({"edge": [20, 40]}, plugins=[write(TASK)], **options)
    assert list(result.trials["param_edge"]) == [20, 40]
    edited = freewalk.sweep({"edge": [20, 40]}, plugins=[write(TASK.replace("0.9", "0.8"))], **options)
    assert set(edited.trials["target"]) == {0.8}, "an edited file takes its older self's place"


def test_loading_twice_is_loading_once(write: Any) -> None:
    path = write(TASK + METHOD)
    first = load_plugins([path, str(path)])
    task = TASKS["above"]
    assert load_plugins(first) == first
    assert len(first) == 1
    assert TASKS["above"] is task


def test_another_process_loads_what_it_is_named(write: Any) -> None:
    pinned = load_plugins([write(TASK + METHOD)])
    code = (
        "import pickle, sys; from freewalk.harness.plan.plugins import load_plugins;"
        "load_plugins(pickle.load(sys.stdin.buffer));"
        "from freewalk.tasks.registry import TASKS; from freewalk.harness.methods.registered import METHODS;"
        "print(*list(TASKS)[-1:], *list(METHODS)[-1:])"
    )
    done = subprocess.run([sys.executable, "-c", code], input=pickle.dumps(pinned), capture_output=True, check=True)
    assert done.stdout.decode().split() == ["above", "climb"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("x = (\n", r"line 1: SyntaxError: '\(' was never closed; mend that line"),
        ("import numpy\n\nx = unknown_name\n", "line 3: NameError: name 'unknown_name' is not defined; mend that line"),
        ("def f():\n    raise OSError('no disk')\nf()\n", "line 2: OSError: no disk"),
        ("x = 1\n", "brings no task, method or network; assign a Task"),
        (TASK.replace('"above"', '"xor"'), "task 'xor' is the name of a task that comes with freewalk; choose another"),
        (METHOD.replace('"climb"', '"walk"'), "method 'walk' is the name of a method that comes with freewalk"),
        (TASK.replace("uniform(word)", "uniform(word).wrong"), "task 'above': line 6: does not compile: Unknown attr"),
        (TASK.replace('"above"', '"a,b"'), "task 'a,b': a name has letters, digits, points, hyphens and underscores"),
        (METHOD.replace('"climb"', '"9"'), "method '9': a name has letters, digits, points, hyphens and underscores"),
        (TASK.replace('"edge": 50', '"stddev": 50'), "parameter 'stddev' of task 'above' means something else already"),
        (TASK.replace('"edge": 50', '"bits": 0'), "parameter 'bits' of task 'above': bits=0: must be a whole number"),
        (METHOD.replace("reach: float", "bits: float"), "parameter 'bits' of method 'climb' means something else"),
        (METHOD.replace("reach: float", "optimizer: float"), "parameter 'optimizer' of method 'climb' means something"),
        (METHOD.replace("0.3, ", "..., "), "parameter 'reach' of method 'climb' needs a default and a description"),
        (METHOD.replace("reach: float", "reach: list"), "'reach' of method 'climb' must be a whole number, a number"),
        (METHOD.replace("reach: float", "seed: float"), "parameter 'seed' of method 'climb': choose another name"),
    ],
)
def test_what_is_wrong_with_a_plug_in_is_one_line(refused: Any, write: Any, text: str, message: str) -> None:
    path = write(text)
    line = refused("tasks", "--plugin", path)
    assert f"--plugin {path}: " in line
    assert re.search(message, line), line
    assert tuple(TASKS) == BUILT_IN_TASKS
    assert tuple(METHODS) == BUILT_IN_METHODS


def test_plug_ins_that_bring_the_same_name(refused: Any, write: Any) -> None:
    one, two = write(TASK, "one.py"), write(TASK + "# other\n", "two.py")
    line = refused("tasks", "--plugin", one, "--plugin", two)
    assert f"--plugin {two}: task 'above' is the name of a task that another plug-in brought" in line
    assert "cannot be read" in refused("tasks", "--plugin", "nowhere.py")


class Point:
    """An entry point of an installed package."""

    def __init__(self, name: str, load: Callable[[], Any]) -> None:
        self.name, self.value, self.load = name, f"package:{name}", load
        self.dist = type("Distribution", (), {"name": "a-package", "version": "1.2"})()


def test_entry_points(monkeypatch: pytest.MonkeyPatch, harness: Any, refused: Any) -> None:
    found: dict[str, list[Point]] = {}
    monkeypatch.setattr(importlib.metadata, "entry_points", lambda group: found.get(group, []))
    monkeypatch.setattr(plugins, "_entry_points_done", {})
    brought: dict[str, Any] = {"__name__": "a_package"}
    exec(TASK, brought)

    def broken() -> Any:
        raise ImportError("no module named missing")

    found["freewalk.tasks"] = [Point("OWN", lambda: brought["OWN"])]
    found["freewalk.methods"] = [Point("BROKEN", broken)]
    line = refused("tasks")
    assert "entry point 'BROKEN' (package:BROKEN) of a-package: ImportError: no module named missing" in line
    assert "mend or uninstall a-package" in line
    found["freewalk.methods"] = []
    try:
        assert "above the edge" in harness("tasks").out
        assert harness("sweep", "--task", "above", *SMALL, "--out", "out", "--quiet").code == 0
        facts = {"group": "freewalk.tasks", "name": "OWN", "value": "package:OWN", "package": "a-package"}
        assert json.loads(Path("out/environment.json").read_text())["entry_points"] == [{**facts, "version": "1.2"}]
        assert "above" in [row["task"] for row in json.loads(harness("tasks", "--json").out)]
    finally:
        plugins._forget(["above"], [])


def test_an_unpinned_name_has_no_digest() -> None:
    with pytest.raises(ValueError, match="not pinned"):
        sha256_of("own.py")
    with pytest.raises(UsageError, match="cannot be read"):
        load_plugins(["nowhere.py"])
