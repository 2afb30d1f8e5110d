"""The checks for tasks and methods pass what comes with freewalk, and name each thing that is wrong with others."""

from __future__ import annotations

import re
import runpy
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numba import njit

from freewalk.harness.methods.method import OwnMethod, Parameters
from freewalk.harness.methods.registered import METHODS
from freewalk.harness.plan import plugins
from freewalk.kernels.data.task_functions import data_words, uniform
from freewalk.kernels.model.noise import Stream
from freewalk.methods import ArrayTrainer
from freewalk.tasks.registry import TASKS
from freewalk.tasks.task import Problem, Task
from freewalk.testing import check_method, check_task

EVALUATION = np.uint32(Stream.EVALUATION_DATA)
VARIANTS: list[tuple[str, dict[str, Any]]] = [
    ("parity", {"bits": 11, "form": "sequence"}),
    ("addition", {"bits": 8, "form": "static", "pairs": 20}),
    ("adding", {"length": 2}),
    ("copy", {"length": 2, "delay": 1}),
    ("delayed-xor", {"delay": 5}),
]


@pytest.mark.parametrize(("name", "parameters"), [*((name, {}) for name in TASKS), *VARIANTS])
def test_every_task_conforms(name: str, parameters: dict[str, Any]) -> None:
    needs = TASKS[name].problem(parameters).needs
    if needs is not None and find_spec(needs) is None:
        pytest.skip(f"{needs} is not installed")
    check_task(TASKS[name], parameters)


@pytest.mark.parametrize("name", list(METHODS))
@pytest.mark.parametrize("architecture", ["free", "2-3-1"])
def test_every_method_conforms(name: str, architecture: str) -> None:
    if find_spec(getattr(METHODS[name], "needs", None) or "numpy") is None:
        pytest.skip(f"{name} is not installed")
    if METHODS[name].networks in ("both", "free" if architecture == "free" else "layered"):
        check_method(METHODS[name], {} if architecture == "free" else {"architecture": architecture})


# Tasks -----------------------------------------------------------------------------------------


def good(seed: int, stream: int, step: int, index: int, timesteps: int, argument: int, x: Any, y: Any) -> None:
    word, other, _, _ = data_words(seed, stream, step, index, 0)
    for t in range(x.shape[0]):
        x[t, 0] = uniform(word)
        x[t, 1] = uniform(other)
    y[0, 0] = x[0, 0] > 0.5


_good = njit(good)


def unwritten(seed: int, stream: int, step: int, index: int, timesteps: int, argument: int, x: Any, y: Any) -> None:
    x[0, 0] = uniform(data_words(seed, stream, step, index, 0)[0])
    y[0, 0] = x[0, 0] > 0.5


def infinite(seed: int, stream: int, step: int, index: int, timesteps: int, argument: int, x: Any, y: Any) -> None:
    _good(seed, stream, step, index, timesteps, argument, x, y)
    x[0, 0] = np.inf


def large(seed: int, stream: int, step: int, index: int, timesteps: int, argument: int, x: Any, y: Any) -> None:
    _good(seed, stream, step, index, timesteps, argument, x, y)
    y[0, 0] = 2 * y[0, 0]


def stuck(seed: int, stream: int, step: int, index: int, timesteps: int, argument: int, x: Any, y: Any) -> None:
    _good(0, stream, 0, index, timesteps, argument, x, y)


def constant(seed: int, stream: int, step: int, index: int, timesteps: int, argument: int, x: Any, y: Any) -> None:
    _good(seed, stream, step, 0, timesteps, argument, x, y)


def leaking(seed: int, stream: int, step: int, index: int, timesteps: int, argument: int, x: Any, y: Any) -> None:
    _good(0, 2, 5 if stream == EVALUATION else step, index, timesteps, argument, x, y)


def leaking_by_seed(
    seed: int, stream: int, step: int, index: int, timesteps: int, argument: int, x: Any, y: Any
) -> None:
    _good(seed, 2, 5, index, timesteps, argument, x, y)


def row_counting(seed: int, stream: int, step: int, index: int, timesteps: int, argument: int, x: Any, y: Any) -> None:
    word, other, _, _ = data_words(seed, stream, step, index, 0)
    for t in range(argument):
        x[t, 0] = uniform(word)
        x[t, 1] = uniform(other)
    y[0, 0] = x[0, 0] > 0.5


def own(datapoint: Any, *, baseline: float | None = None, target: float = 0.9, **changes: Any) -> Task:
    problem = Problem(n_input=2, n_output=1, datapoint=datapoint)
    return Task("own", "", "bit_accuracy", target, lambda: replace(problem, **changes), baseline=baseline)


def test_a_good_task_passes() -> None:
    check_task(own(good, baseline=0.5))
    check_task(own(good, sequence_input=True, default_timesteps=4))


@pytest.mark.parametrize(
    ("task", "complaint"),
    [
        (own(unwritten), "not all of x is written"),
        (own(infinite), "training data hold numbers that are not finite"),
        (own(large), "training targets reach from 0 to 2, outputs only from 0 to 1: scale them"),
        (own(stuck), "every step has the same data"),
        (own(stuck), "every seed has the same data"),
        (own(constant), "all datapoints of a step have the same x"),
        (own(leaking_by_seed), "held-out datapoints are training datapoints"),
        (own(leaking), "held-out datapoints are training datapoints"),
        (own(row_counting, sequence_input=True, argument=4), "not all of x and y is written with timesteps=7"),
        (own(good, baseline=0.95), "the baseline 0.95 meets the target >= 0.9"),
        (own(good, target=1.5), "the right answers have bit_accuracy 1, which misses the target >= 1.5"),
        (own(good, softmax=True, n_output=1), "training targets of a softmax must sum to 1"),
        (own(good, sequence_input=True, least_timesteps=6), "default_timesteps=4 is below least_timesteps=6"),
        (replace(own(good), make_problem=lambda bits: None), "TypeError"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_is_wrong_with_a_task_is_named(task: Task, complaint: str) -> None:
    with pytest.raises(AssertionError, match=f"task 'own':\n(.|\n)*- {re.escape(complaint)}"):
        check_task(task)


def test_plain_python_must_agree() -> None:
    def tells_them_apart(
        seed: int, stream: int, step: int, index: int, timesteps: int, argument: int, x: Any, y: Any
    ) -> None:
        _good(seed, stream, step, index, timesteps, argument, x, y)
        x[0, 1] = index // -2  # as in C or as in Python, one of them
        x[0, 1] += 0.5 * (type(x) is np.ndarray)

    with pytest.raises(AssertionError, match=r"plain Python and the compiled function differ|TypingError"):
        check_task(own(tells_them_apart))


# Methods ---------------------------------------------------------------------------------------


class Climb(ArrayTrainer):
    """A method that keeps every promise."""

    def take_step(self) -> float:
        x, y = self.batch()
        before = self.losses(self.values, x, y).mean()
        changed = self.values + self.unmasked(0.3 * self.random().standard_normal(self.values.shape))
        if self.losses(changed, x, y).mean() < before:
            self.values = changed
        return float(before)


def climbing(trainer: type[ArrayTrainer], cost: Callable[..., float] = lambda p, batch, n: 2 * batch) -> OwnMethod:
    return OwnMethod("climbing", "", trainer, cost, Parameters)


class Unseeded(Climb):
    def random(self) -> np.random.Generator:
        return np.random.default_rng()


class Seedless(Climb):
    def random(self) -> np.random.Generator:
        return np.random.default_rng(self.step)

    def batch(self) -> Any:
        return self._draw(Stream.DATA, 0, self.start.batch_size)


class Elsewhere(Climb):
    def __init__(self, start: Any) -> None:
        super().__init__(start)
        self.values = self.values + 1


class Forgetful(Climb):
    """Keeps something that its state does not hold."""

    push = 0.0

    def take_step(self) -> float:
        self.push += 1e-3
        self.values = self.values + self.unmasked(np.full_like(self.values, self.push))
        return super().take_step()


class Masked(Climb):
    def unmasked(self, noise: Any) -> Any:
        return noise


class Moving(Climb):
    def evaluate(self) -> Any:
        self.values = self.values + 1e-3
        return super().evaluate()


class Shared(Climb):
    @property
    def weights(self) -> Any:
        return self.values


class Blind(Climb):
    def take_step(self) -> float:
        super().take_step()
        self.values = self.values + np.nan
        return 1.0


class Miscounting(Climb):
    def train(self, n_steps: int) -> Any:
        return super().train(n_steps - 1)


def test_a_good_method_passes() -> None:
    check_method(climbing(Climb))
    check_method(climbing(Climb), {"architecture": "2-3-1", "batch_size": 4})
    assert "climbing" not in METHODS


@pytest.mark.parametrize(
    ("method", "complaint"),
    [
        (climbing(Unseeded), "the same seed gives other bits"),
        (climbing(Elsewhere), "a new trial does not start from the weights it was given"),
        (climbing(Forgetful), "a trial that goes on from its state gives other bits"),
        (climbing(Masked), "weights are not 0 where the network has none"),
        (climbing(Moving), "an evaluation moves the weights"),
        (climbing(Shared), "weights is not a copy"),
        (climbing(Blind), "weights are not finite after a few steps"),
        (climbing(Miscounting), "train(5) counted 4 steps, and step is 4"),
        (climbing(Climb, lambda p, batch, n: 1), "5 steps took 80 evaluations and are said to cost 5"),
        (climbing(Climb, lambda p, batch, n: 0), "ValueError: method climbing says that a step costs 0"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_is_wrong_with_a_method_is_named(method: OwnMethod, complaint: str) -> None:
    with pytest.raises(AssertionError, match=f"method 'climbing':\n(.|\n)*- {re.escape(complaint)}"):
        check_method(method, {"architecture": "2-3-1"})
    assert "climbing" not in METHODS


def test_a_method_that_does_not_stop(monkeypatch: pytest.MonkeyPatch) -> None:
    import threading

    release = threading.Event()

    class Deaf(Climb):
        def request_stop(self) -> None:
            pass

        def train(self, n_steps: int) -> Any:
            if n_steps > 1000:
                release.wait()
                return super().train(1)
            return super().train(n_steps)

    monkeypatch.setattr("freewalk.harness.gradcheck.conformance._SECONDS_TO_STOP", 0.2)
    try:
        with pytest.raises(AssertionError, match=r"train goes on 0\.2 s after request_stop"):
            check_method(climbing(Deaf))
    finally:
        release.set()


# Examples --------------------------------------------------------------------------------------

EXAMPLES = Path(__file__).parents[3] / "examples"


@pytest.mark.parametrize("name", ["own_task", "own_arrays", "own_method", "own_rule"])
def test_examples_conform(name: str) -> None:
    before = {*TASKS}, {*METHODS}
    try:
        plugins.load_plugins([EXAMPLES / f"{name}.py"])
        tasks, methods = {*TASKS} - before[0], {*METHODS} - before[1]
        assert len(tasks) + len(methods) == 1
        for task in tasks:
            check_task(TASKS[task])
        for method in methods:
            check_method(METHODS[method])
    finally:
        plugins.unload_all()


def test_the_walk_on_a_model_of_one_s_own_learns() -> None:
    assert runpy.run_path(str(EXAMPLES / "any_model.py"))["main"]() > 0.95


# Documentation ---------------------------------------------------------------------------------

DOCS = Path(__file__).parents[3] / "docs"


def blocks(page: str) -> list[str]:
    return re.findall(r"```python\n(.*?)```", (DOCS / page).read_text(encoding="utf-8"), re.DOTALL)


def test_whoever_follows_the_page_on_tasks_has_tasks_that_conform(tmp_path: Path) -> None:
    """The page's files, from the page alone, in a folder of their own."""
    found = blocks("tasks.md")
    assert len(found) == 2
    for number, text in enumerate(found):
        (tmp_path / f"own_{number}.py").write_text(text, encoding="utf-8")
    assert len(found[0].strip().splitlines()) <= 20
    code = (
        "import sys; from freewalk.harness.plan.plugins import load_plugins;"
        "from freewalk.testing import check_task;"
        "from freewalk.tasks.registry import BUILT_IN, TASKS; load_plugins(sys.argv[1:]);"
        "[check_task(task) for name, task in TASKS.items() if name not in BUILT_IN]; print(len(TASKS) - len(BUILT_IN))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, "own_0.py", "own_1.py"], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout.strip()) == (0, "2"), done.stderr


def test_the_page_on_methods_runs_as_it_stands() -> None:
    names: dict[str, Any] = {"__name__": "page"}
    for text in blocks("methods.md"):
        exec(text, names)
    assert names["walk"].step == 500
