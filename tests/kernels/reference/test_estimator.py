"""What the walk's estimate of the gradient must satisfy, measured through the real kernels.

All datapoints of a batch are the same point, so that all directions see one loss function, and stddev is small, so that
it is nearly linear: L(W + D) - L(W) = g.D up to a term of order stddev.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pytest
from numpy.typing import NDArray
from on_arrays import step_on_arrays
from scipy import special, stats

from freewalk.kernels.model.network import FreeNetwork
from freewalk.kernels.model.noise import Noise, initial_weights
from freewalk.kernels.model.walk import Sides, WalkConfiguration
from freewalk.kernels.reference import reference

NETWORK = FreeNetwork(3, 2, 8, sequence_input=True)
TIMESTEPS = 3
P = NETWORK.n_weights
Array = NDArray[np.float64]


class Point(NamedTuple):
    weights: Array
    x: Array  # (1, T, 3)
    y: Array  # (1, 2)
    gradient: Array


@pytest.fixture(scope="module")
def point() -> Point:
    weights = initial_weights(NETWORK.n_from, NETWORK.n_to, 2)
    x = np.array([[[0.3, -0.7, 0.5], [0.1, 0.9, -0.4], [1.1, 0.2, 0.6]]])
    y = np.array([[0.1, 0.9]])

    def loss(w: Array) -> float:
        return float(reference.losses(NETWORK, reference.forward(NETWORK, w, x, TIMESTEPS), y)[0])

    return Point(weights, x, y, reference.numerical_gradient(loss, weights))


def _estimate(
    point: Point, n: int, *, seed: int, stddev: float, sides: Sides = "one", noise: Noise = "gaussian"
) -> Array:
    """Return the gradient's estimate from n directions: what the raw rule moves by, over -stddev²."""
    configuration = WalkConfiguration(stddev=stddev, batch_size=n, timesteps=TIMESTEPS, sides=sides, noise=noise)
    x, y = (np.repeat(values, n, axis=0) for values in (point.x, point.y))
    after = step_on_arrays(NETWORK, configuration, point.weights, x, y, seed=seed)
    return (point.weights - after) / stddev**2


def _cosine(a: Array, b: Array) -> float:
    return float((a * b).sum() / np.sqrt((a**2).sum() * (b**2).sum()))


@pytest.mark.parametrize("n", [10, 50, 200, 1000, 5000])
def test_cosine_with_the_gradient_after_n_directions(point: Point, n: int) -> None:
    """With g along the first axis the estimate is |g| mean_i d_i1 d_i, where n values d_i1² sum to a chi² of n.

    Its part along g has mean 1 and variance 2/n, each of the P - 1 others mean 0 and variance 1/n, in units of |g|, so
    E|estimate|² = (n + P + 1)/n: the cosine is near sqrt(n/(n + P + 1)). Exactly, cosine² is
    chi²_n / (chi²_n + chi²_{P-1}), a Beta(n/2, (P-1)/2) variable.
    """
    cosines = np.array(
        [_cosine(_estimate(point, n, seed=seed, stddev=1e-3, sides="two"), point.gradient) for seed in range(60)]
    )
    error = cosines.std(ddof=1) / np.sqrt(len(cosines))
    print(f"n {n}: {cosines.mean():.5f} ± {error:.5f}, theory {np.sqrt(n / (n + P + 1)):.5f}")  # noqa: T201
    mean = np.exp(
        special.gammaln((n + 1) / 2)
        + special.gammaln((n + P - 1) / 2)
        - special.gammaln(n / 2)
        - special.gammaln((n + P) / 2)
    )
    assert abs(cosines.mean() - mean) < 4 * error
    # the approximation itself is off by up to 1 % of the cosine at n = 10
    assert abs(cosines.mean() - np.sqrt(n / (n + P + 1))) < 4 * error + 0.01 * mean
    assert stats.kstest(cosines**2, stats.beta(n / 2, (P - 1) / 2).cdf).pvalue > 0.001


def test_signs_estimate_at_least_as_well(point: Point) -> None:
    """Signs have d_i1² = 1 always: E|estimate|² = (n + P - 1)/n."""
    n = 50
    cosines = [
        _cosine(_estimate(point, n, seed=seed, stddev=1e-3, sides="two", noise="rademacher"), point.gradient)
        for seed in range(100)
    ]
    error = np.std(cosines, ddof=1) / np.sqrt(len(cosines))
    assert abs(np.mean(cosines) - np.sqrt(n / (n + P - 1))) < 4 * error


@pytest.mark.parametrize(("sides", "noise"), [("one", "gaussian"), ("two", "gaussian"), ("one", "rademacher")])
def test_the_expected_raw_step_is_minus_stddev_squared_times_the_gradient(
    point: Point, sides: Sides, noise: Noise
) -> None:
    """Along the gradient within 4 standard errors (which are below 1 %); all components together as a chi²."""
    estimates = np.array(
        [_estimate(point, 5000, seed=seed, stddev=1e-3, sides=sides, noise=noise) for seed in range(100, 140)]
    )
    squared_length = (point.gradient**2).sum()
    along = (estimates * point.gradient).sum(axis=(1, 2)) / squared_length
    error = along.std(ddof=1) / np.sqrt(len(along))
    assert error < 0.01
    assert abs(along.mean() - 1) < 4 * error
    scores = stats.ttest_1samp(estimates, point.gradient, axis=0).statistic
    freedom = len(estimates) - 1
    mean = freedom / (freedom - 2)  # of the square of a t variable, and its variance:
    variance = 3 * freedom**2 / ((freedom - 2) * (freedom - 4)) - mean**2
    assert abs((scores**2).mean() - mean) < 4 * np.sqrt(variance / P)


def test_two_sides_have_the_lower_variance_on_a_curved_loss(point: Point) -> None:
    """At a minimum the loss is even in the perturbation: two sides cancel all of it but float32 and fourth-order odds.

    On the slope, at stddev 0.001, there is no even part to speak of, and both have the variance of the linear loss.
    """

    def spread(at: Point, sides: Sides, stddev: float) -> float:
        estimates = np.array([_estimate(at, 200, seed=seed, stddev=stddev, sides=sides) for seed in range(60)])
        return float(estimates.var(axis=0, ddof=1).sum())

    minimum = point._replace(y=reference.forward(NETWORK, point.weights, point.x, TIMESTEPS))
    print("two / one:", spread(minimum, "two", 0.1) / spread(minimum, "one", 0.1))  # noqa: T201
    assert spread(minimum, "two", 0.1) < 0.1 * spread(minimum, "one", 0.1)
    assert spread(point, "two", 1e-3) == pytest.approx(spread(point, "one", 1e-3), rel=0.02)
