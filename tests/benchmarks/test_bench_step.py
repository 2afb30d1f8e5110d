"""One step of the original program's example: 3-30-2, T 4, 1,000 datapoints, Gaussian, one-sided.

Off by default; `pytest tests/benchmarks --benchmark-only` runs it. Every rival makes the same step: its update is
compared with that of the reference before it is timed.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from freewalk.kernels import reference
from freewalk.kernels.cpu.lanes import LANES
from freewalk.kernels.cpu.layout import Shape, shape_of
from freewalk.kernels.cpu.noise import draw_gaussian
from freewalk.kernels.cpu.trial import CpuWalk
from freewalk.kernels.data import fill_arrays
from freewalk.kernels.jit import helper_function
from freewalk.kernels.noise import Stream, initial_weights, key_schedule, unit_perturbations
from freewalk.kernels.walk import WalkConfiguration
from freewalk.tasks.registry import TASKS

PROBLEM = TASKS["shifted-sums"].problem({})
NETWORK = PROBLEM.network(30)
B, T, STDDEV, SEED = 1000, 4, 0.01, 0
STEP_GROUP = "step: 3-30-2, T 4, B 1000"
GENERATOR_GROUP = f"{B * NETWORK.n_weights:,} normals"
Single = NDArray[np.float32]


def data_of_first_step() -> tuple[Single, Single]:
    data = PROBLEM.data()
    x, y = fill_arrays(
        data.address,
        data.argument,
        seed=SEED,
        stream=Stream.DATA,
        step=0,
        n_datapoints=B,
        timesteps=T,
        x_shape=(T, 3),
        y_shape=(1, 2),
    )
    return x, y[:, 0]


def noise_of_first_step() -> NDArray[np.float64]:
    return unit_perturbations(NETWORK.n_from, NETWORK.n_to, seed=SEED, step=0, datapoints=np.arange(B))


@pytest.fixture(scope="module")
def first_update() -> NDArray[np.float64]:
    """The first step's update by the reference."""
    weights = initial_weights(NETWORK.n_from, NETWORK.n_to, SEED)
    x, y = data_of_first_step()
    return reference.raw_step(NETWORK, weights, x, y, T, noise_of_first_step(), STDDEV) - weights


def check(update: NDArray[Any], wanted: NDArray[np.float64]) -> None:
    """Float32 losses (eps 1.2e-7) leave differences of 1e-3 right to 1e-4."""
    assert np.linalg.norm(update - wanted) < 1e-3 * np.linalg.norm(wanted)


class NumpyWalk:
    """The step as NumPy does it best: one batched product a timestep, float32, all noise of a step at once."""

    def __init__(self) -> None:
        self.weights = initial_weights(NETWORK.n_from, NETWORK.n_to, SEED)
        self._random = np.random.default_rng(SEED)

    def _losses(self, weights: Single, x: Single, y: Single) -> Single:
        """Run shared (n_from, n_to) or own (B, n_from, n_to) weights."""
        a = np.zeros((len(x), NETWORK.n_to), dtype=np.float32)
        bias = np.ones((len(x), 1), dtype=np.float32)
        for t in range(T):
            inputs = np.concatenate([x[:, t], bias, a], axis=1)
            z = inputs @ weights if weights.ndim == 2 else (inputs[:, None, :] @ weights)[:, 0]
            a = 1 / (1 + np.exp(-z))
        return ((a[:, :2] - y) ** 2).sum(axis=1)

    def update(self, x: Single, y: Single, unit_noise: Single) -> Single:
        unit_noise *= np.float32(STDDEV)
        weights = self.weights.astype(np.float32)
        lowered = self._losses(weights, x, y) - self._losses(weights + unit_noise, x, y)
        update: Single = (lowered @ unit_noise.reshape(B, -1)).reshape(weights.shape) / np.float32(B)
        return update

    def train(self) -> None:
        x_0 = self._random.random((B, 1, 3), dtype=np.float32) * 2 - 1
        x = x_0 + np.arange(T, dtype=np.float32)[:, None]
        y = 1 / (1 + np.exp(-(x_0[:, 0, :1] + x_0[:, 0, 1:])))
        noise = self._random.standard_normal((B, NETWORK.n_from, NETWORK.n_to), dtype=np.float32)
        self.weights += self.update(x, y, noise)


@pytest.mark.benchmark(group=STEP_GROUP)
@pytest.mark.parametrize("threads", [1, 2])
def test_cpu_step(benchmark: Any, first_update: NDArray[np.float64], threads: int) -> None:
    configuration = WalkConfiguration(stddev=STDDEV, batch_size=B, timesteps=T)
    walk = CpuWalk(NETWORK, configuration, PROBLEM.data(), seed=SEED, evaluation_points=1, threads=threads)
    start = walk.weights
    walk.train(1)
    check(walk.weights - start, first_update)
    benchmark.pedantic(walk.train, args=(1,), rounds=500, warmup_rounds=50)


@pytest.mark.benchmark(group=STEP_GROUP)
def test_numpy_step(benchmark: Any, first_update: NDArray[np.float64]) -> None:
    walk = NumpyWalk()
    check(walk.update(*data_of_first_step(), noise_of_first_step().astype(np.float32)), first_update)
    benchmark.pedantic(walk.train, rounds=50, warmup_rounds=5)


_draw_gaussian, _LANES = draw_gaussian, LANES


@helper_function
def _draw_batch(shape: Shape, keys: NDArray[np.uint64], n_datapoints: int, step: int, noise: Single) -> None:
    """Draw a step's noise group by group into the same memory, as the walk does."""
    for first in range(0, n_datapoints, _LANES):
        _draw_gaussian(shape, keys, first, step, noise, 0)


@pytest.mark.benchmark(group=GENERATOR_GROUP)
def test_generator(benchmark: Any) -> None:
    shape, keys = shape_of(NETWORK, T), key_schedule(SEED)
    noise = np.zeros(shape.n_to * shape.n_rows * LANES, dtype=np.float32)
    _draw_batch(shape, keys, LANES, 0, noise)
    drawn = noise.reshape(shape.n_to, shape.n_rows, LANES).transpose(2, 1, 0)
    np.testing.assert_allclose(drawn, noise_of_first_step()[:LANES], atol=3e-5)
    benchmark.pedantic(_draw_batch, args=(shape, keys, B, 0, noise), rounds=500, warmup_rounds=50)


@pytest.mark.benchmark(group=GENERATOR_GROUP)
def test_numpy_generator(benchmark: Any) -> None:
    random, noise = np.random.default_rng(SEED), np.empty(B * NETWORK.n_weights, dtype=np.float32)
    random.standard_normal(dtype=np.float32, out=noise)
    assert abs(noise.mean()) < 4 / np.sqrt(noise.size)
    benchmark.pedantic(random.standard_normal, kwargs={"dtype": np.float32, "out": noise}, rounds=50, warmup_rounds=5)
