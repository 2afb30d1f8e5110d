"""The gradients of cells: the exact one, and what training steps take for it, right and wrong."""

from typing import Any

import numpy as np
import pytest

from freewalk.harness.gradcheck import cell
from freewalk.harness.gradcheck.cell import check_cell, layered_forward, loss_function, step_gradients
from freewalk.harness.methods.problem import ResolvedProblem, resolve_problem
from freewalk.kernels.backend import resolve_backend
from freewalk.kernels.model.layered import LayeredNetwork
from freewalk.kernels.reference import reference
from freewalk.kernels.trainers import backprop, reference_walk

CPU, REFERENCE = resolve_backend("cpu"), resolve_backend("reference")

FREE: dict[str, Any] = {"hidden": 4}
LAYERED: dict[str, Any] = {"architecture": "2-4-3-1"}


def resolve(method: str, task: str = "xor", **parameters: Any) -> ResolvedProblem:
    return resolve_problem(task, method, {"batch_size": 16, "stddev": 0.01, **parameters})


@pytest.mark.parametrize("backend", [CPU, REFERENCE], ids=lambda backend: backend.name)
@pytest.mark.parametrize("method", ["backprop", "numerical"])
@pytest.mark.parametrize(
    ("task", "parameters"),
    [
        ("xor", FREE),
        ("xor", LAYERED),
        ("sign", {"architecture": "1-5-1", "activation": "tanh"}),
        ("shifted-sums", {"hidden": 6}),
        ("addition", {"hidden": 5, "activation": "tanh"}),
    ],
)
def test_gradient_methods_step_by_the_exact_gradient(
    backend: Any, method: str, task: str, parameters: dict[str, Any]
) -> None:
    found = check_cell(resolve(method, task, **parameters), backend, seed=1, samples=2)
    assert found.exact.passed
    assert found.stepped is not None
    assert found.stepped.passed, str(found.stepped)
    assert found.passed
    assert found.estimate is None
    # float64 is much closer than float32, and exact gradients than differences
    limit = {("float64", "backprop"): 1e-12, ("float64", "numerical"): 1e-7, ("float32", "backprop"): 1e-5}
    largest = max(layer.distance for layer in found.stepped.layers if layer.distance == layer.distance)
    assert largest < limit.get((backend.dtype, method), 2e-2)


@pytest.mark.parametrize("backend", [CPU, REFERENCE], ids=lambda backend: backend.name)
@pytest.mark.parametrize("parameters", [FREE, LAYERED | {"sides": "two"}, FREE | {"noise": "rademacher"}])
def test_the_walk_is_not_biased(backend: Any, parameters: dict[str, Any]) -> None:
    found = check_cell(resolve("walk", "and", **parameters), backend, seed=0, samples=400)
    assert found.passed
    assert found.stepped is None
    assert found.estimate is not None
    whole = found.estimate.whole
    assert abs(whole.bias) < 5 * whole.standard_error < 0.7
    assert whole.cosine == pytest.approx(whole.expected_cosine, abs=0.15)


def test_the_walks_estimate_follows_the_raw_rule_too() -> None:
    """Whatever update a cell has, its estimate is what is checked."""
    raw, normalised = (resolve("walk", "and", **FREE, update=update) for update in ("raw", "normalised"))
    one, other = (check_cell(problem, CPU, seed=0, samples=20).estimate for problem in (raw, normalised))
    assert one == other


def test_synthetic_gradients_are_exact_in_the_last_layer_and_guesses_below() -> None:
    found = check_cell(resolve("synthetic", "and", **LAYERED, predictor="conditioned"), CPU, seed=0, samples=300)
    assert found.passed
    assert found.stepped is not None
    assert [layer.name for layer in found.stepped.layers] == ["layer 3", "layer 3 bias"]
    assert found.estimate is not None
    by_name = {layer.name: layer for layer in found.estimate.layers}
    assert by_name["layer 3"].cosine == pytest.approx(1.0, abs=1e-6)
    assert 0.2 < by_name["layer 2"].cosine < 0.99999
    assert found.estimate.n_samples == 75, "the last quarter: predictors start from nothing"


def test_a_wrong_exact_gradient_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    right = cell.loss_gradient
    monkeypatch.setattr(cell, "loss_gradient", lambda *a: (right(*a)[0], -right(*a)[1]))
    found = check_cell(resolve("backprop", **LAYERED), CPU, seed=0, samples=2)
    assert not found.passed
    assert found.exact.faults[0].sentence == "the whole gradient: the sign is flipped"


def test_a_wrong_step_is_named_though_the_exact_gradient_is_right(monkeypatch: pytest.MonkeyPatch) -> None:
    right = backprop.loss_gradient
    monkeypatch.setattr(backprop, "loss_gradient", lambda *a: (right(*a)[0], right(*a)[1] / 16))
    found = check_cell(resolve("backprop", **FREE), REFERENCE, seed=0, samples=2)
    assert found.exact.passed
    assert found.stepped is not None
    assert (
        found.stepped.faults[0].sentence == "the whole gradient: a constant factor of 0.0625, which is 1 / 16 (cases)"
    )
    assert not found.passed


def test_float64_is_judged_more_strictly_than_float32(monkeypatch: pytest.MonkeyPatch) -> None:
    right = backprop.loss_gradient
    monkeypatch.setattr(backprop, "loss_gradient", lambda *a: (right(*a)[0], right(*a)[1] * (1 + 1e-5)))
    assert not check_cell(resolve("backprop", **FREE), REFERENCE, seed=0, samples=2).passed


def test_every_step_is_compared_on_its_own_data() -> None:
    problem = resolve("backprop", "sign", **FREE)
    exact = []
    for taken, true in step_gradients(problem, REFERENCE, 0, problem.initial_weights(0), 3, 1.0):
        np.testing.assert_allclose(taken, true, atol=1e-14)
        exact.append(true)
    assert not np.allclose(exact[0], exact[1], rtol=1e-2)


@pytest.mark.parametrize("factor", [-1.0, 0.25])
def test_a_biased_walk_is_found(monkeypatch: pytest.MonkeyPatch, factor: float) -> None:
    right = reference.gradient_estimate
    monkeypatch.setattr(reference_walk.reference, "gradient_estimate", lambda *a, **k: factor * right(*a, **k))
    found = check_cell(resolve("walk", "and", **FREE), REFERENCE, seed=0, samples=300)
    assert found.exact.passed
    assert found.estimate is not None
    assert found.estimate.whole.bias == pytest.approx(factor - 1, abs=0.4)
    assert not found.passed


def test_other_weights_give_another_gradient() -> None:
    problem = resolve("backprop", **LAYERED)
    at = 3 * problem.initial_weights(0)
    (one,) = step_gradients(problem, CPU, 0, problem.initial_weights(0), 1, 1.0)
    (other,) = step_gradients(problem, CPU, 0, at, 1, 1.0)
    assert not np.allclose(one[1], other[1])
    assert check_cell(problem, CPU, seed=0, samples=2, initial=at).passed


@pytest.mark.parametrize("softmax", [False, True])
@pytest.mark.parametrize("activation", ["sigmoid", "tanh"])
def test_layers_run_one_by_one_are_the_free_network(softmax: bool, activation: Any) -> None:
    layers = LayeredNetwork((4, 6, 5, 3), softmax=softmax, hidden_activation=activation)
    rng = np.random.default_rng(0)
    weights = rng.normal(size=layers.mask.shape) * layers.mask
    x = rng.normal(size=(7, 4))
    np.testing.assert_allclose(
        layered_forward(layers, weights, x),
        reference.forward(layers.free_network, weights, x, layers.depth),
        rtol=1e-12,
    )


def test_the_loss_that_is_differentiated_is_the_references() -> None:
    rng = np.random.default_rng(0)
    for parameters in (FREE, LAYERED):
        problem = resolve("backprop", **parameters)
        weights = problem.initial_weights(0)
        x, y = rng.normal(size=(5, 2)), rng.random((5, 1))
        outputs = reference.forward(problem.network, weights, x, problem.timesteps)
        expected = reference.losses(problem.network, outputs, y).mean()
        assert loss_function(problem, x, y)(weights) == pytest.approx(expected, rel=1e-12)
