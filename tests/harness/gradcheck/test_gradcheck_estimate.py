"""Estimated gradients: cosine, length and bias against what probability theory says of Gaussian directions."""

import math

import numpy as np
import pytest

from freewalk.harness.gradcheck.estimate import check_estimate
from freewalk.harness.gradcheck.layers import array_layers
from freewalk.harness.terminal.gradcheck_table import estimate_sentence

N_WEIGHTS = 30
LAYERS = array_layers(["W", "b"], [(5, 5), (5,)])


def estimates(n: int, *, factor: float = 1.0, seed: int = 0, directions: int = 8):  # type: ignore[no-untyped-def]
    """Yield (mean of D (D . g), g) over Gaussian directions D, for n random gradients g with a common part."""
    rng = np.random.default_rng(seed)
    common = rng.normal(size=N_WEIGHTS)
    for _ in range(n):
        g = common + 0.1 * rng.normal(size=N_WEIGHTS)
        noise = rng.normal(size=(directions, N_WEIGHTS))
        yield factor * (noise * (noise @ g)[:, None]).mean(axis=0), g


def test_an_unbiased_estimate_passes_with_the_cosine_it_must_have() -> None:
    report = check_estimate(estimates(400), LAYERS)
    assert report.passed
    # cos = sqrt(n / (n + P + 1)) after n directions of a linear loss with P weights
    expected = math.sqrt(3200 / (3200 + N_WEIGHTS + 1))
    assert report.whole.expected_cosine == pytest.approx(expected, abs=2e-3)
    assert report.whole.cosine == pytest.approx(expected, abs=5e-3)
    assert report.whole.norm_ratio == pytest.approx(1 / expected, abs=0.05)
    # the scatter of one estimate along g has variance 2 / directions
    assert report.whole.standard_error == pytest.approx(math.sqrt(2 / 8 / 400), rel=0.15)
    assert [layer.name for layer in report.layers] == ["W", "b"]
    assert sum(layer.n_weights for layer in report.layers) == N_WEIGHTS


def test_the_standard_error_is_honest() -> None:
    """Over many repetitions the bias in standard errors has mean 0 and variance 1."""
    scores = []
    for seed in range(200):
        whole = check_estimate(estimates(40, seed=seed), LAYERS).whole
        scores.append(whole.bias / whole.standard_error)
    assert abs(np.mean(scores)) < 4 / math.sqrt(200)
    assert 0.8 < np.std(scores) < 1.25


@pytest.mark.parametrize(("factor", "bias"), [(-1.0, -2.0), (0.5, -0.5), (1.3, 0.3)])
def test_a_biased_estimate_does_not_pass(factor: float, bias: float) -> None:
    report = check_estimate(estimates(400, factor=factor), LAYERS)
    assert not report.passed
    assert report.whole.bias == pytest.approx(bias, abs=4 * report.whole.standard_error)
    assert "biased along the gradient" in estimate_sentence(report, must_pass=True)
    assert "no fault" in estimate_sentence(report, must_pass=False)


def test_a_tiny_bias_that_is_no_chance_passes() -> None:
    g = np.ones(N_WEIGHTS)
    report = check_estimate([(1.01 * g + 1e-6 * k, g) for k in range(10)], LAYERS)
    assert report.whole.bias > 100 * report.whole.standard_error
    assert report.passed


def test_no_gradient_at_all() -> None:
    report = check_estimate([(np.zeros(N_WEIGHTS), np.zeros(N_WEIGHTS))] * 3, LAYERS)
    assert math.isnan(report.whole.bias)
    assert report.passed
    assert not check_estimate([(np.full(N_WEIGHTS, np.nan), np.ones(N_WEIGHTS))] * 3, LAYERS).passed
    assert "is zero here" in estimate_sentence(report, must_pass=True)


def test_one_sample_has_no_scatter() -> None:
    with pytest.raises(ValueError, match="at least 2 samples, got 1"):
        check_estimate(estimates(1), LAYERS)
