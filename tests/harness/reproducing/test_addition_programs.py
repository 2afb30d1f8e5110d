"""The plug-in with the addition programs takes the steps of their authors' programs, and is a trial that can go on."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from threadpoolctl import threadpool_limits

from freewalk.harness.methods.method import OwnMethod
from freewalk.harness.methods.problem import resolve_problem
from freewalk.harness.methods.registered import METHODS
from freewalk.harness.plan.plugins import load_plugins
from freewalk.harness.reproducing.document import FOLDER
from freewalk.kernels.backend import resolve_backend
from freewalk.kernels.model.walk import Trainer

GOLDEN = Path(__file__).parents[2] / "golden"
PROGRAMS = ("backprop", "layers", "synthetic-bias", "synthetic-all-layers")
METHOD = "addition-program"


@pytest.fixture
def plugin() -> Any:
    load_plugins([str(FOLDER / "addition_programs.py")])
    method = METHODS[METHOD]
    assert isinstance(method, OwnMethod)
    return sys.modules[method.make_trainer.__module__]


@pytest.mark.parametrize("program", PROGRAMS)
def test_the_first_fifty_iterations_are_the_programs_own(plugin: Any, program: str) -> None:
    with np.load(GOLDEN / f"addition_{program.replace('-', '_')}.npz") as arrays:
        case = dict(arrays)

    def each(name: str, like: Any) -> list[Any]:
        return [case.get(f"{name}_{k}", array).copy() for k, array in enumerate(like)]

    x, y, size = case["x"], case["y"], int(case["batch_size"])
    widths = [x.shape[1], *(case[f"weights_{k}"].shape[1] for k in range(3))]
    names = ("weights", "bias", "synthetic", "synthetic_bias")
    drawn = plugin.drawn_weights(program, widths, 0)
    weights = plugin.Weights(*(each(name, like) for name, like in zip(names, drawn, strict=True)))
    noted = []
    with threadpool_limits(1, user_api="blas"):
        for _ in range(50):
            noted.append(0.0)
            for first in range(0, len(x), size):
                batch = slice(first, first + size)
                outputs = plugin.take_minibatch(program, weights, x[batch], y[batch], float(case["alpha"]))
                noted[-1] += plugin.noted_error(program, outputs, y[batch])
    np.testing.assert_allclose(noted, case["loss"][:50], rtol=1e-9)
    assert noted[-1] != pytest.approx(noted[0], rel=1e-4), "a trace that stands still would compare nothing"


@pytest.mark.parametrize("program", PROGRAMS)
def test_its_first_weights_are_spread_as_the_programs_are(plugin: Any, program: str) -> None:
    with np.load(GOLDEN / f"addition_{program.replace('-', '_')}.npz") as case:
        wanted = [case[f"weights_{k}"] for k in range(3)]
        predictors = [case[f"synthetic_{k}"] for k in range(3)] if "synthetic_0" in case else []
    drawn = plugin.drawn_weights(program, [len(wanted[0]), *(layer.shape[1] for layer in wanted)], 1)
    for mine, theirs in zip([*drawn.layers, *drawn.predictors], [*wanted, *predictors], strict=False):
        assert mine.shape == theirs.shape
        assert mine.mean() == pytest.approx(theirs.mean(), abs=6 * theirs.std() / theirs.size**0.5 + 1e-12)
        assert mine.std() == pytest.approx(theirs.std(), rel=0.3)


def _start(program: str, **more: Any) -> Trainer:
    parameters: dict[str, Any] = {"form": "static", "bits": 4, "pairs": 20, "architecture": "8-6-5-4", "batch_size": 20}
    problem = resolve_problem("addition", METHOD, parameters | {"program": program, "minibatch": 8} | more)
    return problem.start(resolve_backend("reference"), seed=3, evaluation_points=2048)


@pytest.mark.usefixtures("plugin")
@pytest.mark.parametrize("program", PROGRAMS)
def test_a_trial_goes_on_to_the_same_bits(program: str) -> None:
    whole, first, second = _start(program), _start(program), _start(program)
    whole.train(7)
    first.train(3)
    second.restore(first.state())
    second.train(4)
    assert (whole.weights == second.weights).all()
    assert (whole.weights != _start(program).weights).any()


@pytest.mark.usefixtures("plugin")
def test_a_trial_learns_what_a_measurement_shows() -> None:
    trial = _start("backprop", learning_rate=1.0)
    before = trial.evaluate()
    loss = trial.train(300).loss
    after = trial.evaluate()
    assert after.bit_accuracy > before.bit_accuracy
    assert loss == pytest.approx(after.loss, rel=0.2)


@pytest.mark.usefixtures("plugin")
@pytest.mark.parametrize(
    ("wrong", "words"), [({"architecture": "8-6-4"}, "three layers"), ({"batch_size": 10}, "give batch_size=20")]
)
def test_what_does_not_fit_is_refused(wrong: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        _start("backprop", **wrong)
