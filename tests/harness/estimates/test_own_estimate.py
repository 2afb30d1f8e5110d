"""`freewalk.estimate` on losses of one's own: NumPy here, PyTorch and JAX where they are."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray

from freewalk import Estimates, estimate

Array = NDArray[np.float64]

RANDOM = np.random.default_rng(0)
X, Y = RANDOM.normal(size=(60, 3)), RANDOM.normal(size=(60, 1))
WEIGHTS = {"first": RANDOM.normal(size=(3, 4)), "bias": np.zeros(4), "second": RANDOM.normal(size=(4, 1))}


def hidden(w: Any, x: Any) -> Any:
    return np.tanh(x @ w["first"] + w["bias"])


def loss(w: Any, x: Any, y: Any) -> float:
    return float(((hidden(w, x) @ w["second"] - y) ** 2).mean())


def gradient(w: Any, x: Any, y: Any) -> dict[str, Array]:
    h = hidden(w, x)
    d = 2 * (h @ w["second"] - y) / len(x)
    back = (d @ w["second"].T) * (1 - h * h)
    return {"first": x.T @ back, "bias": back.sum(axis=0), "second": h.T @ d}


def check(found: Estimates) -> None:
    """Slopes and second moments are what theory says, within four standard errors, for all weights and each array."""
    for _, row in found.table.iterrows():
        error = (row["of_expected_high"] - row["of_expected_low"]) / 2 / 1.96
        assert abs(row["of_expected"] - 1) < 4 * error, row.to_dict()
        assert error < 0.2
        error = (row["slope_high"] - row["slope_low"]) / 2 / 1.96
        assert abs(row["slope"] - row["slope_expected"]) < 4 * error, row.to_dict()


KINDS: dict[str, dict[str, Any]] = {
    "full": {},
    "signs of rank 1": {"rank": 1, "noise": "rademacher", "sides": "one", "stddev": 1e-5},
    "rank 2": {"rank": 2},
    "orthogonal": {"directions": "orthogonal"},
    "several datapoints": {"datapoints": 5},
    "shared data": {"datapoints": 5, "share_data": True},
    "ranks": {"datapoints": 5, "share_data": True, "shaping": "ranks"},
}


@pytest.mark.parametrize("kind", KINDS)
def test_it_is_what_theory_says(kind: str) -> None:
    found = estimate(loss, gradient, WEIGHTS, data=(X, Y), perturbations=8, steps=300, **KINDS[kind])
    assert found.table["weights"].tolist() == ["all", "first", "bias", "second"]
    check(found)


def test_a_loss_without_data() -> None:
    """A quadratic: c = P + 2 of normal numbers, and nothing comes from datapoints."""
    found = estimate(lambda w: float((w**2).sum()), lambda w: 2 * w, np.ones((4, 3)), perturbations=8)
    assert found.second_moment_expected == pytest.approx((8 - 1 + 14) / 8)
    assert found.variance_of_data == pytest.approx(0)
    assert found.evaluations_per_step == 16
    assert found.numbers_per_step == 96
    assert found.cosine_expected == pytest.approx(
        math.exp(math.lgamma(4.5) - math.lgamma(4) + math.lgamma(9.5) - math.lgamma(10))
    )
    check(found)


def test_a_wrong_gradient_shows() -> None:
    found = estimate(lambda w: float((w**2).sum()), lambda w: w, np.ones((4, 3)), perturbations=8)
    assert found.slope == pytest.approx(2, rel=0.1)
    assert found.slope_low > 1.5


def test_float32_drowns_in_rounding() -> None:
    """A loss of about 1,000 in float32 knows no change of 1e-5."""

    def of(w: Any) -> Any:
        return w.dtype.type(1000) + (w**2).sum(dtype=w.dtype)

    options: dict[str, Any] = {"perturbations": 8, "steps": 100, "stddev": 1e-6}
    single = estimate(of, lambda w: 2 * w, np.ones((4, 3), np.float32), **options)
    assert (single.dtype, single.slope) == ("float32", 0)
    assert estimate(of, lambda w: 2 * w, np.ones((4, 3)), **options).slope == pytest.approx(1, rel=0.2)


def test_the_same_seed_gives_the_same_table() -> None:
    one, two, other = (
        estimate(loss, gradient, WEIGHTS, data=(X, Y), steps=32, seed=seed).table.drop(
            columns=["seconds_per_step", "seconds_needed"]
        )
        for seed in (1, 1, 2)
    )
    pd.testing.assert_frame_equal(one, two)
    assert one["slope"][0] != other["slope"][0]


def test_what_people_see() -> None:
    found = estimate(loss, gradient, WEIGHTS, data=(X, Y), steps=32)
    assert str(found).splitlines()[0].split()[0] == "weights"
    assert len(str(found).splitlines()) == 5
    assert {"slope", "table", "evaluations_needed"} <= set(dir(found))
    with pytest.raises(AttributeError, match="'slop'"):
        _ = found.slop


BAD: dict[str, tuple[dict[str, Any], str]] = {
    "datapoints without data": ({"datapoints": 3}, "need data"),
    "a sequence of other lengths": ({"data": (X, Y[:5])}, "as many rows"),
    "no steps": ({"steps": 1}, "steps must be at least 2"),
    "stddev 0": ({"stddev": 0.0}, "stddev"),
    "a word": ({"sides": "three"}, "sides must be one of one, two"),
}


@pytest.mark.parametrize("case", BAD)
def test_what_is_refused(case: str) -> None:
    options, message = BAD[case]
    with pytest.raises(ValueError, match=message):
        estimate(lambda w, *_: float((w**2).sum()), lambda w, *_: 2 * w, np.ones((2, 2)), **options)


def test_what_does_not_fit() -> None:
    weights = np.ones((2, 2))
    with pytest.raises(ValueError, match="gradient: weights must have shape"):
        estimate(lambda w: float((w**2).sum()), lambda w: np.ones(3), weights)
    with pytest.raises(ValueError, match="the gradient is not finite"):
        estimate(lambda w: float((w**2).sum()), lambda w: w * np.nan, weights)
    with pytest.raises(ValueError, match="the loss must be one number"):
        estimate(lambda w: w, lambda w: w, weights)
    with pytest.raises(ValueError, match="weights must be finite"):
        estimate(lambda w: float((w**2).sum()), lambda w: w, weights * np.inf)


def test_pytorch() -> None:
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")
    torch.set_num_threads(1)

    def of(w: Any, x: Any, y: Any) -> Any:
        return ((torch.tanh(x @ w[0] + w[1]) @ w[2] - y) ** 2).mean()

    def exact(w: Any, x: Any, y: Any) -> Any:
        own = [one.clone().requires_grad_() for one in w]
        return torch.autograd.grad(of(own, x, y), own)

    weights = [torch.tensor(WEIGHTS[name], dtype=torch.float32) for name in WEIGHTS]
    data = torch.tensor(X, dtype=torch.float32), torch.tensor(Y, dtype=torch.float32)
    found = estimate(of, exact, weights, data=data, perturbations=8, steps=200)
    assert (found.backend, found.dtype) == ("torch", "float32")
    check(found)


def test_jax() -> None:
    jax = pytest.importorskip("jax", reason="JAX is not installed")

    @jax.jit  # type: ignore[untyped-decorator]
    def of(w: Any, x: Any, y: Any) -> Any:
        return ((jax.numpy.tanh(x @ w["first"] + w["bias"]) @ w["second"] - y) ** 2).mean()

    weights = {name: jax.numpy.asarray(value) for name, value in WEIGHTS.items()}
    data = jax.numpy.asarray(X), jax.numpy.asarray(Y)
    found = estimate(of, jax.jit(jax.grad(of)), weights, data=data, perturbations=8, steps=100)
    assert (found.backend, found.dtype) == ("jax", "float32")
    check(found)
