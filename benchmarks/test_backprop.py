"""One step of exact gradients on the original program's example: 3-30-2, T 4, 1,000 datapoints, sequence input.

Off by default; `pytest benchmarks/test_backprop.py --benchmark-only` runs it. Every rival makes the same
step on data of its own making: its gradient is compared with the reference's before it is timed.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from freewalk.kernels.cpu.descent import CpuBackprop
from freewalk.kernels.model.descent import BackpropConfiguration
from freewalk.kernels.model.noise import initial_weights
from freewalk.kernels.reference.gradient import loss_gradient
from freewalk.tasks.registry import TASKS

PROBLEM = TASKS["shifted-sums"].problem({})
NETWORK = PROBLEM.network(30)
B, T, SEED, RATE = 1000, 4, 0, np.float32(0.1)
GROUP = "exact gradient: 3-30-2, T 4, B 1000"
N_IN, N_OUT = NETWORK.n_input, NETWORK.n_output
Single = NDArray[Any]


def _data(random: np.random.Generator) -> tuple[Single, Single]:
    x_0 = random.random((B, 1, 3), dtype=np.float32) * 2 - 1
    return x_0 + np.arange(T, dtype=np.float32)[:, None], 1 / (1 + np.exp(-(x_0[:, 0, :1] + x_0[:, 0, 1:])))


def plain_gradient(w: Single, x: Single, y: Single) -> Single:
    """Backpropagation through time as one writes it in NumPy: 2-D products of whole arrays."""
    a, bias, entered = np.zeros((B, NETWORK.n_to), np.float32), np.ones((B, 1), np.float32), []
    for t in range(T):
        entered.append(np.concatenate([x[:, t], bias, a], axis=1))
        a = np.reciprocal(1 + np.exp(-(entered[t] @ w)))
    arriving = np.zeros_like(a)
    arriving[:, :N_OUT] = 2 * (a[:, :N_OUT] - y)
    gradient = np.zeros_like(w)
    for t in range(T - 1, -1, -1):
        delta = arriving * a * (1 - a)
        gradient += entered[t].T @ delta
        arriving = delta @ w[N_IN + 1 :].T
        a = entered[t][:, N_IN + 1 :]
    return gradient / np.float32(B)


def trimmed_gradient(w: Single, x: Single, y: Single) -> Single:
    """The same without the work that reaches nothing, and in place: NumPy at its best."""
    entered = [np.empty((B, NETWORK.n_from), np.float32) for _ in range(T)]
    a = y
    for t in range(T):
        u = entered[t]
        u[:, :N_IN] = x[:, t]
        u[:, N_IN] = 1
        if t:
            u[:, N_IN + 1 :] = a
        a = u[:, : N_IN + 1] @ w[: N_IN + 1] if t == 0 else u @ (w[:, :N_OUT] if t == T - 1 else w)
        np.negative(a, out=a)
        np.exp(a, out=a)
        a += 1
        np.reciprocal(a, out=a)
    delta = 2 * (a - y) * a * (1 - a)
    gradient = np.zeros_like(w)
    gradient[:, :N_OUT] = entered[-1].T @ delta
    arriving = delta @ w[N_IN + 1 :, :N_OUT].T
    for t in range(T - 2, -1, -1):
        a = entered[t + 1][:, N_IN + 1 :]
        arriving *= a
        arriving *= 1 - a
        if t:
            gradient += entered[t].T @ arriving
            arriving = arriving @ w[N_IN + 1 :].T
        else:
            gradient[: N_IN + 1] += entered[0][:, : N_IN + 1].T @ arriving
    gradient /= np.float32(B)
    return gradient


def check(gradient: NDArray[Any], weights: NDArray[np.float64], x: Single, y: Single) -> None:
    _, wanted = loss_gradient(NETWORK, weights, x, y, T)
    assert np.linalg.norm(gradient - wanted) < 1e-5 * np.linalg.norm(wanted)


@pytest.mark.benchmark(group=GROUP)
@pytest.mark.parametrize("threads", [1, 2])
def test_cpu_backprop(benchmark: Any, threads: int) -> None:
    configuration = BackpropConfiguration(batch_size=B, timesteps=T, learning_rate=float(RATE))
    trainer = CpuBackprop(NETWORK, configuration, PROBLEM.data(), seed=SEED, evaluation_points=1, threads=threads)
    x, y = _data(np.random.default_rng(SEED))
    weights = trainer.weights
    check(CpuBackprop.gradient_on_arrays(NETWORK, weights, x, y, T, threads=threads)[1], weights, x, y)
    benchmark.pedantic(trainer.train, args=(10,), rounds=200, warmup_rounds=20)


@pytest.mark.benchmark(group=GROUP)
@pytest.mark.parametrize("gradient", [plain_gradient, trimmed_gradient], ids=["plain", "trimmed"])
def test_numpy_backprop(benchmark: Any, gradient: Any) -> None:
    """Ten steps a round, as above, each with data of its own."""
    random = np.random.default_rng(SEED)
    weights = initial_weights(NETWORK.n_from, NETWORK.n_to, SEED)
    w = weights.astype(np.float32)
    x, y = _data(random)
    check(gradient(w, x, y), w.astype(np.float64), x, y)

    def train() -> None:
        nonlocal w
        for _ in range(10):
            w = w - RATE * gradient(w, *_data(random))

    benchmark.pedantic(train, rounds=100, warmup_rounds=5)
