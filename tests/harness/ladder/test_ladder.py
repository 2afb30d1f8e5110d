"""The ladder: how it climbs, where it stops, what it says; and the data it is climbed with."""

import itertools
import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from freewalk.harness.gradcheck import cell
from freewalk.harness.ladder.digits import SEGMENTS, segments_problem, seven_segments
from freewalk.harness.ladder.rung import Attempt, Rung, RungResult, Setting, Skip, climb
from freewalk.harness.ladder.rungs import ladder
from freewalk.harness.methods import problem
from freewalk.harness.methods.method import Recipe
from freewalk.harness.methods.registered import METHODS
from freewalk.kernels.backend import resolve_backend
from freewalk.kernels.trainers import backprop

Harness = Callable[..., Any]
Refused = Callable[..., str]

CPU, REFERENCE = resolve_backend("cpu"), resolve_backend("reference")
NAMES = ["neuron", "error signal", "weights", "and", "hidden layer", "hidden and", "xor", "sign", "segments", "digits"]


@pytest.fixture
def without_scikit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(problem, "is_installed", lambda name: False)


def climbed(method: str, *, backend: Any = CPU, seed: int = 0) -> list[RungResult]:
    return list(climb(ladder(method), Setting(method, seed, backend)))


def test_a_climb_passes_skips_and_stops_at_the_first_failure() -> None:
    def skip(_: Setting) -> Attempt:
        raise Skip("no such thing here: get it")

    rungs = [
        Rung("one", "first", lambda _: Attempt(True, "1 of 1"), "never said"),
        Rung("two", "second", skip, "never said"),
        Rung("three", "third", lambda _: Attempt(False, "0 of 1", "it was off by 2"), "look there"),
        Rung("four", "fourth", lambda _: pytest.fail("too far"), ""),
    ]
    results = list(climb(rungs, Setting("backprop", 0, CPU)))
    assert [(r.name, r.status, r.figures, r.advice) for r in results] == [
        ("one", "passed", "1 of 1", ""),
        ("two", "skipped", "no such thing here: get it", ""),
        ("three", "failed", "0 of 1", "look there; it was off by 2"),
    ]
    assert all(r.seconds >= 0 for r in results)


@pytest.mark.usefixtures("without_scikit")
@pytest.mark.parametrize("method", [name for name, method in METHODS.items() if method.recipes])
def test_every_method_with_recipes_climbs_the_whole_ladder(method: str) -> None:
    results = climbed(method, seed=3)
    assert [result.name for result in results] == NAMES
    assert [result.status for result in results] == ["passed"] * 9 + ["skipped"], results[-1]
    assert results[-1].figures.endswith(
        "needs scikit-learn, which is not here; install it with: pip install scikit-learn"
    )
    assert {*METHODS[method].recipes} == {"and", "xor", "sign", "segments", "digits"}


def test_the_digits_of_scikit_learn() -> None:
    pytest.importorskip("sklearn", reason="needs scikit-learn")
    (result,) = climb([ladder("backprop")[-1]], Setting("backprop", 0, CPU))
    assert result.status == "passed"
    assert result.figures.startswith("accuracy 0.9")


def wrong(factor: float) -> Callable[..., Any]:
    right = backprop.loss_gradient

    def gradient(*arguments: Any) -> Any:
        loss, found = right(*arguments)
        return loss, factor * found

    return gradient


def test_a_wrong_gradient_stops_at_the_neuron_it_was_derived_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cell, "loss_gradient", wrong(-1.0))
    results = climbed("backprop")
    assert [result.name for result in results] == ["neuron", "error signal"]
    assert results[-1].status == "failed"
    assert results[-1].advice.startswith(
        "look at the derivatives of the loss by the output and of the output by the sum"
    )
    assert "the sign is flipped" in results[-1].advice


def test_a_gradient_that_is_wrong_only_below_a_hidden_layer_stops_there(monkeypatch: pytest.MonkeyPatch) -> None:
    right = cell.loss_gradient

    def wrong_below(network: Any, *rest: Any) -> Any:
        loss, gradient = right(network, *rest)
        gradient[:, network.n_output :] *= 0.5
        return loss, gradient

    monkeypatch.setattr(cell, "loss_gradient", wrong_below)
    results = climbed("backprop")
    assert [result.name for result in results] == NAMES[:5]
    assert "one neuron is right: look at how the error signal comes down" in results[-1].advice
    assert "layer 1 and layer 1 bias: a constant factor of 0.5" in results[-1].advice


def test_a_wrong_step_stops_at_the_weights(monkeypatch: pytest.MonkeyPatch) -> None:
    """Layered networks of the reference backend take their steps by their own passes: spoil what a step takes."""
    right = backprop.write_gradient

    def spoilt(gradient: Any, *rest: Any) -> Any:
        right(gradient, *rest)
        gradient.flat[:] *= 0.25

    monkeypatch.setattr(backprop, "write_gradient", spoilt)
    results = climbed("backprop")
    assert [result.name for result in results] == NAMES[:3]
    assert "in a training step: the whole gradient: a constant factor of 0.25" in results[-1].advice


def test_a_wrong_update_stops_at_learning(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every gradient is right, but the update goes uphill."""
    from freewalk.kernels.model import optimizers

    right = optimizers.Adam.change
    monkeypatch.setattr(optimizers.Adam, "change", lambda self, *a: -right(self, *a))
    results = climbed("backprop")
    assert [result.name for result in results] == NAMES[:4]
    assert results[-1].status == "failed"
    assert results[-1].advice.startswith("the gradient is right: look at the update, its sign and its learning rate; ")
    assert any(word in results[-1].advice for word in ("diverged: ", "collapsed: ", "saturated: "))


def test_the_command_prints_a_table_and_where_it_stopped(harness: Harness, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cell, "loss_gradient", wrong(0.5))
    result = harness("ladder")
    assert result.code == 3
    for words in ("neuron", "passed", "error signal", "failed", "1 derivative, largest relative error"):
        assert words in result.out
    last = result.out.splitlines()[-1]
    assert last.startswith("stopped at error signal (8 not tried): look at the derivatives")
    assert "a constant factor of 0.5, which is 1 / 2 (the derivative of a square)" in last
    assert result.err == "1/10 neuron: passed\n2/10 error signal: failed\n"


@pytest.mark.usefixtures("without_scikit")
def test_the_command_as_json_and_quiet(harness: Harness) -> None:
    result = harness("ladder", "--method", "walk", "--seed", 1, "--json", "--quiet")
    assert (result.code, result.err) == (0, "")
    found = json.loads(result.out)
    assert (found["method"], found["seed"], found["backend"]) == ("walk", 1, "cpu")
    assert [rung["name"] for rung in found["rungs"]] == NAMES
    assert {rung["status"] for rung in found["rungs"]} == {"passed", "skipped"}
    assert harness("ladder", "--method", "walk", "--seed", 1, "--quiet").out.endswith("climbed: 9 passed, 1 skipped\n")


@pytest.mark.parametrize(
    ("arguments", "culprit", "remedy"),
    [
        (["--method", "backpro"], "unknown method 'backpro'", "did you mean 'backprop'?"),
        (["--backend", "gpu"], "--backend gpu", "one of auto"),
        (["--seed", "-1"], "--seed", "from 0 to below 2**64"),
        (["--task", "xor"], "no option --task", "harness ladder --help"),
    ],
)
def test_mistakes_are_one_line(refused: Refused, arguments: list[str], culprit: str, remedy: str) -> None:
    line = refused("ladder", *arguments)
    assert culprit in line
    assert remedy in line


def test_seven_segment_digits() -> None:
    """A digit's neighbours by one segment, as anybody may check on a clock."""
    lit = [bin(code).count("1") for code in SEGMENTS]
    assert lit == [6, 2, 5, 5, 4, 5, 6, 3, 7, 6]
    near = {(i, j) for i, j in itertools.combinations(range(10), 2) if bin(SEGMENTS[i] ^ SEGMENTS[j]).count("1") == 1}
    assert near == {(0, 8), (1, 7), (3, 9), (5, 6), (5, 9), (6, 8), (8, 9)}
    table = seven_segments().problem({}).load_stored()
    parts = [(x[:, 0], y[:, 0]) for x, y in (table.training, table.validation)]
    assert [len(x) for x, _ in parts] == [853, 427]
    everything = {tuple(row) for x, _ in parts for row in x.tolist()}
    assert len(everything) == 10 * 128, "each pattern once: what is held out was never seen"
    for x, y in parts:
        codes = (x[:, :7] @ 2 ** np.arange(7)).astype(int)
        assert np.array_equal(np.array(SEGMENTS)[y.argmax(axis=1)], codes)
        assert 0.45 < x[:, 7:].mean() < 0.55


def test_trainers_learn_segments_the_same_on_both_backends() -> None:
    problem = segments_problem("backprop", Recipe(50, {"batch_size": "20"}))
    trainers = [problem.start(backend, seed=2, evaluation_points=1000) for backend in (CPU, REFERENCE)]
    for trainer in trainers:
        trainer.train(50)
    np.testing.assert_allclose(trainers[0].weights, trainers[1].weights, atol=1e-4)
    shares = [trainer.evaluate().accuracy for trainer in trainers]
    assert shares[0] == pytest.approx(shares[1], abs=0.02)
