"""One step of the original program's example as NumPy does it best: 3-30-2, T 4, 1,000 datapoints, raw, one-sided."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from freewalk.kernels.model.noise import initial_weights
from freewalk.tasks.registry import TASKS

PROBLEM = TASKS["shifted-sums"].problem({})
NETWORK = PROBLEM.network(30)
B, T, STDDEV, SEED = 1000, 4, 0.01, 0
Single = NDArray[np.float32]


class NumpyWalk:
    """One batched product a timestep, float32, all noise of a step at once."""

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
        """Return what a step adds to the weights; `unit_noise` (B, n_from, n_to) is overwritten."""
        unit_noise *= np.float32(STDDEV)
        weights = self.weights.astype(np.float32)
        lowered = self._losses(weights, x, y) - self._losses(weights + unit_noise, x, y)
        update: Single = (lowered @ unit_noise.reshape(B, -1)).reshape(weights.shape) / np.float32(B)
        return update

    def train(self) -> None:
        """Take a step on a batch of its own."""
        x_0 = self._random.random((B, 1, 3), dtype=np.float32) * 2 - 1
        x = x_0 + np.arange(T, dtype=np.float32)[:, None]
        y = 1 / (1 + np.exp(-(x_0[:, 0, :1] + x_0[:, 0, 1:])))
        noise = self._random.standard_normal((B, NETWORK.n_from, NETWORK.n_to), dtype=np.float32)
        self.weights += self.update(x, y, noise)
