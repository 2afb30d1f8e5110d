"""Methods of one's own in gradcheck and ladder: where their steps lead, with their parameters."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from commanded import Harness

from freewalk.harness.gradcheck.direction import check_direction

Refused = Callable[..., str]

PLUGIN = """
import numpy as np
from pydantic import BaseModel, Field
from freewalk.methods import ArrayTrainer, OwnMethod
from freewalk.tasks import from_arrays

X = np.array([[0, 0], [0, 1], [1, 0], [1, 1]] * 10, float)
TASK = from_arrays("own-or", X, (X.sum(axis=1) > 0).astype(int))


class Parameters(BaseModel):
    sign: float = Field(1.0, description="-1: up the loss")
    size: float = Field(0.05, description="of a perturbation")


class Walk(ArrayTrainer):
    def take_step(self):
        x, y = self.batch()
        change = self.unmasked(self.start.parameters.size * self.random().standard_normal(self.values.shape))
        up, down = self.losses(self.values + change, x, y).mean(), self.losses(self.values - change, x, y).mean()
        self.values = self.values - self.start.parameters.sign * change * (up - down)
        return float(up)


class Nowhere(ArrayTrainer):
    def take_step(self):
        self.values = self.values + self.unmasked(0.01 * self.random().standard_normal(self.values.shape))
        return 1.0


class Still(ArrayTrainer):
    def take_step(self):
        return 1.0


METHODS = [
    OwnMethod("own-walk", "a walk", Walk, lambda parameters, batch_size, n_weights: 2 * batch_size, Parameters),
    OwnMethod("nowhere", "noise", Nowhere, lambda parameters, batch_size, n_weights: batch_size),
    OwnMethod("still", "nothing", Still, lambda parameters, batch_size, n_weights: batch_size),
]
"""


@pytest.fixture
def plugin(tmp_path: Path) -> Path:
    path = tmp_path / "own.py"
    path.write_text(PLUGIN)
    return path


@pytest.mark.parametrize(
    ("method", "options", "code", "words"),
    [
        ("own-walk", [], 0, "the steps lead down the loss (cosine +"),
        ("own-walk", ["--sign", "-1"], 3, "the steps lead up the loss (cosine -"),
        ("nowhere", [], 3, "the steps lead nowhere, beyond chance (cosine "),
        ("still", [], 3, "no first step of 60 samples moves a weight"),
    ],
)
@pytest.mark.parametrize("task", ["xor", "own-or"])
def test_gradcheck_of_a_plug_ins_method(
    harness: Harness, plugin: Path, task: str, method: str, options: list[str], code: int, words: str
) -> None:
    arguments = ("--plugin", plugin, "--method", method, "--task", task, "--hidden", 2, "--samples", 60, *options)
    result = harness("gradcheck", *arguments)
    assert result.code == code, result.err
    assert words in result.out
    found = json.loads(harness("gradcheck", *arguments, "--json").out)
    assert found["exact"]["passed"]
    assert found["direction"]["passed"] == (code == 0)
    assert found["direction"]["n_samples"] == 60


def test_a_plug_ins_task_in_gradcheck(harness: Harness, plugin: Path) -> None:
    result = harness("gradcheck", "--plugin", plugin, "--task", "own-or", "--hidden", 2)
    assert (result.code, result.out.splitlines()[-1]) == (0, "passed")


def test_a_method_of_ones_own_climbs_until_its_sign_is_flipped(harness: Harness, plugin: Path) -> None:
    arguments = ("ladder", "--plugin", plugin, "--method", "own-walk", "--quiet", "--json")
    up = json.loads(harness(*arguments, "--sign", "-1").out)["rungs"]
    assert [rung["name"] for rung in up] == ["neuron", "error signal", "weights"]
    assert up[-1]["status"] == "failed"
    assert "look for a flipped sign" in up[-1]["advice"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("gradcheck", "--task", "xor", "--sgn", "1"), "no option --sgn (did you mean '--sign'?)"),
        (("gradcheck", "--task", "xor", "--set", "sign"), "write a parameter and its value"),
        (("gradcheck", "--task", "xor", "--method", "own-walk", "--sign", "x"), "sign='x': must be"),
        (
            ("gradcheck", "--task", "xor", "--method", "own-walk", "--sign", "1", "--sign", "2"),
            "--sign is given 2 times",
        ),
        (("ladder", "--method", "walk", "--sign", "-1"), "sign: walk climbs with settings of its own; leave it out"),
        (("ladder", "--method", "own-walk", "--sign", "1,2"), "a climb has one value of each"),
        (("ladder", "--method", "own-walk", "--sign", "x"), "sign='x': must be"),
        (("ladder", "--method", "own-wlak"), "one of your own needs --plugin FILE"),
    ],
)
def test_mistakes_are_one_line(refused: Refused, plugin: Path, arguments: tuple[str, ...], words: str) -> None:
    assert words in refused(*arguments, "--plugin", plugin)


def test_directions_without_a_gradient_or_finite_weights() -> None:
    def found(step: float, gradient: float) -> Any:
        return check_direction([(np.full(3, step), np.full(3, gradient))] * 4)

    assert found(1.0, 2.0).passed
    assert math.isnan(found(1.0, 0.0).cosine)
    assert "gradient is zero here" in found(1.0, 0.0).sentence
    assert "not finite" in found(math.nan, 1.0).sentence
    assert not found(math.nan, 1.0).passed
