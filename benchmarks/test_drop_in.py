"""The original program's README example through its own class: 3-30-2, T 4, 1,000 datapoints a step from an iterator.

The same step as NumPy takes in freewalk.harness.bench; here the batches come from Python, made by NumPy, and that time
counts. `pytest benchmarks/test_drop_in.py --benchmark-only` times both in one run.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from freewalk import NNRndTraining
from freewalk.harness.bench import DEFAULT, ArrayStep, Single, first_weights

B, T = DEFAULT.batch_size, DEFAULT.timesteps
CONFIG = {
    "num_input": 3,
    "num_hidden": 30,
    "num_output": 2,
    "timesteps": T,
    "sequence_input": True,
    "loss": "mean_squared_error",
    "test_stddev": 0.01,
    "batch_size": B,
    "epoch_steps": 50,
    "epochs": 1,
}
STEPS = CONFIG["epoch_steps"]
GROUP = f"{STEPS} steps of the README example, batches from an iterator"


def batches() -> Iterator[tuple[Any, Any]]:
    """Give x_t = x_0 + t and sigmoid(x_0[0] + x_0[1]), sigmoid(x_0[0] + x_0[2])."""
    random = np.random.default_rng(0)
    while True:
        x_0 = random.uniform(-1, 1, (B, 3))
        yield x_0[:, None] + np.arange(T)[:, None], 1 / (1 + np.exp(-(x_0[:, :1] + x_0[:, 1:])))


def check_update(weights: Single) -> None:
    """Fail unless NumPy's step is the class's, on one batch and noise. Float32 losses leave it right to 1e-3."""
    x, y = next(batches())
    unit_noise = np.random.default_rng(1).standard_normal((B, *weights.shape), dtype=np.float32)
    training = NNRndTraining(CONFIG, weights=weights, echo=None)
    training.train_step(x, y, noise=0.01 * unit_noise)
    (update,) = ArrayStep().update(DEFAULT, *(given.astype(np.float32)[None] for given in (weights, x, y, unit_noise)))
    moved = training.weights - weights
    assert np.linalg.norm(update - moved) < 1e-3 * np.linalg.norm(moved)


@pytest.mark.benchmark(group=GROUP)
@pytest.mark.parametrize("threads", [1, 2, None], ids=["1 thread", "2 threads", "as many as are worth it"])
def test_drop_in(benchmark: Any, threads: int | None) -> None:
    training = NNRndTraining(CONFIG, threads=threads, echo=None)
    benchmark.pedantic(training.train, args=(batches(),), rounds=10, warmup_rounds=1)


@pytest.mark.benchmark(group=GROUP)
def test_numpy(benchmark: Any) -> None:
    weights = first_weights(DEFAULT)
    check_update(weights[0])
    benchmark.pedantic(ArrayStep().start(DEFAULT, weights, 0).measure, args=(STEPS,), rounds=3, warmup_rounds=1)
