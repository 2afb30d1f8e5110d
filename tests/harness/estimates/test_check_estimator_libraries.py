"""`check_estimator` on estimators in PyTorch and JAX, vectorised and compiled; skipped where there are none."""

from typing import Any

import numpy as np
import pytest

from freewalk.harness.estimates.checking.check import check_estimator

STDDEV = 1e-3


@pytest.fixture
def torch() -> Any:
    return pytest.importorskip("torch", reason="PyTorch is not installed")


@pytest.fixture
def jax() -> Any:
    return pytest.importorskip("jax", reason="JAX is not installed")


def mezo(torch: Any, *, restore: float = 1.0, factor: float = 1.0) -> Any:
    def estimator(loss: Any, weights: Any, seed: int) -> Any:
        def noise() -> list[Any]:
            generator = torch.Generator().manual_seed(seed)
            return [torch.randn(part.shape, generator=generator, dtype=part.dtype) for part in weights.values()]

        def perturb(by: float) -> None:
            for part, z in zip(weights.values(), noise(), strict=True):
                part += by * STDDEV * z

        perturb(1)
        plus = loss(weights)
        perturb(-2)
        minus = loss(weights)
        perturb(restore)
        slope = factor * (plus - minus) / (2 * STDDEV)
        return {name: slope * z for name, z in zip(weights, noise(), strict=True)}

    return estimator


@pytest.mark.parametrize("kind", ["float32", "float64"])
def test_in_place_in_torch(torch: Any, kind: str) -> None:
    weights = {name: torch.ones(*shape, dtype=getattr(torch, kind)) for name, shape in (("w", (6, 5)), ("b", (5,)))}
    for seed in range(3):
        report = check_estimator(mezo(torch), weights, seed=seed, calls=100)
        assert report.passed, str(report)
        assert (report.observed.sides, report.evaluations) == ("two", 2)
    (fault,) = check_estimator(mezo(torch, factor=STDDEV), weights, stddev=STDDEV, calls=100).faults
    assert "divide by stddev once more" in fault.sentence
    (fault,) = check_estimator(mezo(torch, restore=0.0), weights, calls=100).faults
    assert fault.kind == "not restored"


def test_too_small_a_stddev_for_bfloat16(torch: Any) -> None:
    weights = {"w": torch.ones(6, 5, dtype=torch.bfloat16)}
    (fault,) = check_estimator(mezo(torch), weights, calls=50).faults
    assert fault.kind == "rounding"


def test_vectorised_torch_is_seen(torch: Any) -> None:
    def estimator(loss: Any, w: Any, seed: int) -> Any:
        z = torch.randn(8, *w.shape, generator=torch.Generator().manual_seed(seed), dtype=w.dtype)
        slopes = torch.func.vmap(lambda one: (loss(w + STDDEV * one) - loss(w - STDDEV * one)) / (2 * STDDEV))(z)
        return torch.tensordot(slopes, z, 1)

    (fault,) = (report := check_estimator(estimator, torch.ones(6, 5), calls=100)).faults
    assert "take their mean instead of their sum: divide by 8" in fault.sentence
    assert (report.observed.perturbations, report.observed.sides) == (8, "two")


def population(jax: Any, *, same_key: bool = False, factor: float = 1.0) -> Any:
    def estimator(loss: Any, w: Any, seed: Any) -> Any:
        key = jax.random.key(seed)
        keys = jax.numpy.broadcast_to(key, (8,)) if same_key else jax.random.split(key, 8)
        z = jax.vmap(lambda one: jax.random.normal(one, w.shape))(keys)
        losses = jax.vmap(lambda one: loss(w + 0.01 * one))(z)
        return factor * jax.numpy.tensordot(losses - loss(w), z, 1) / (8 * 0.01)

    return estimator


@pytest.mark.parametrize("compiled", [False, pytest.param(True, marks=pytest.mark.slow)])  # it compiles eight times
def test_vectorised_and_compiled_jax_is_seen(jax: Any, compiled: bool) -> None:
    weights = jax.numpy.asarray(np.random.default_rng(0).standard_normal((6, 5)))

    def check(estimator: Any) -> Any:
        return check_estimator(jax.jit(estimator, static_argnums=0) if compiled else estimator, weights, calls=60)

    report = check(population(jax))
    assert report.passed, str(report)
    assert (report.observed.perturbations, report.evaluations, report.observed.noise) == (8, 9, "gaussian")
    (fault,) = check(population(jax, same_key=True)).faults
    assert fault.kind == "same perturbation"
    (fault,) = check(population(jax, factor=-1.0)).faults
    assert fault.kind == "sign"


def test_a_forward_gradient_in_jax_is_judged_by_its_estimates(jax: Any) -> None:
    def estimator(loss: Any, w: Any, seed: int) -> Any:
        z = jax.random.normal(jax.random.key(seed), w.shape)
        return jax.jvp(loss, (w,), (z,))[1] * z

    weights = jax.numpy.ones((4, 3))
    assert check_estimator(estimator, weights).passed
    (fault,) = check_estimator(lambda *args: -estimator(*args), weights).faults
    assert fault.kind == "sign"
