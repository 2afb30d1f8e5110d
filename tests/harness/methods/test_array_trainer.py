"""A method of one's own with the walk's perturbations: its steps are the walk's, and resume to the same bits."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from freewalk.harness.methods.problem import resolve_problem
from freewalk.harness.plan import plugins
from freewalk.kernels.backend import resolve_backend
from freewalk.methods import ArrayTrainer

RULE = Path(__file__).parents[3] / "examples" / "own_rule.py"
SETTINGS: dict[str, Any] = {"hidden": 4, "batch_size": 50, "stddev": 0.02, "timesteps": 3, "most": 1e9}


@pytest.fixture(autouse=True)
def _rule() -> Iterator[None]:
    plugins.load_plugins([RULE])
    yield
    plugins.unload_all()


def start(method: str, architecture: str, **settings: Any) -> Any:
    named = {"architecture": architecture, **SETTINGS, **settings}
    if architecture != "free":
        named |= {"hidden": None, "timesteps": None}
    problem = resolve_problem("xor", method, named, steps=10)
    return problem.start(resolve_backend("cpu"), seed=3, evaluation_points=16)


@pytest.mark.parametrize("architecture", ["free", "2-4-3-1"])
@pytest.mark.parametrize(
    "rule",
    [
        {"optimizer": "sgd", "learning_rate": 0.1},
        {"optimizer": "momentum", "learning_rate": 0.3, "momentum": 0.8},
        {"optimizer": "adam", "learning_rate": 0.01, "schedule": "cosine"},
    ],
    ids=lambda rule: rule["optimizer"],
)
def test_its_steps_are_the_walk_s(architecture: str, rule: dict[str, Any]) -> None:
    own, walk = start("clipped", architecture, **rule), start("walk", architecture, update="normalised", **rule)
    before = walk.weights
    assert own.train(10).loss == pytest.approx(walk.train(10).loss, rel=1e-4)
    moved = np.linalg.norm(walk.weights - before)
    # Adam's first steps are signs, of which rounding turns those of the smallest gradients
    assert np.linalg.norm(own.weights - walk.weights) < (0.02 if rule["optimizer"] == "adam" else 1e-4) * moved
    assert own.evaluations == 10 * 2 * SETTINGS["batch_size"]


@pytest.mark.parametrize("optimizer", ["sgd", "momentum", "adam"])
def test_it_resumes_to_the_same_bits_moments_and_all(optimizer: str) -> None:
    options = {"optimizer": optimizer, "learning_rate": 0.1, "most": 0.01}
    whole, half, rest = (start("clipped", "free", **options) for _ in range(3))
    whole.train(8)
    half.train(5)
    rest.restore(half.state())
    rest.train(3)
    np.testing.assert_array_equal(rest.weights, whole.weights)
    unclipped = start("clipped", "free", **options | {"most": 1e9})
    unclipped.train(8)
    assert not np.array_equal(unclipped.weights, whole.weights)


def test_a_default_learning_rate_goes_with_the_optimizer_and_a_gradient_needs_one() -> None:
    trial = start("clipped", "free", optimizer="adam", learning_rate=0.01)
    assert trial.start.parameters.learning_rate == 0.01

    class Without(ArrayTrainer):
        def take_step(self) -> float:
            self.descend(self.values)
            return 0.0

    given = trial.start
    bare = Without(type(given)(**{**vars(given), "parameters": object()}))
    with pytest.raises(ValueError, match="needs a parameter learning_rate"):
        bare.train(1)


def test_kernels_are_compiled_before_the_clock_runs_only_where_they_are_called() -> None:
    assert type(start("clipped", "free", learning_rate=0.1)).calls_perturb

    class Another(ArrayTrainer):
        def take_step(self) -> float:
            return 0.0

    assert not Another.calls_perturb
