"""The original program's README example; only the import has changed, and an argument makes it shorter.

    python examples/original_readme.py [EPOCHS]

10,000 epochs of 400 steps are the original's own: the raw rule is slow. See docs/drop-in.md for faster ones.
"""

import sys
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from freewalk import NNRndTraining

BATCH_SIZE, TIMESTEPS = 1000, 4


def batches() -> Iterator[tuple[NDArray[np.float64], NDArray[np.float64]]]:
    """Give a batch a step: x_t = x_0 + t, and sigmoid(x_0[0] + x_0[1]), sigmoid(x_0[0] + x_0[2])."""
    random = np.random.default_rng(0)
    while True:
        x_0 = random.uniform(-1, 1, (BATCH_SIZE, 3))
        x = x_0[:, None] + np.arange(TIMESTEPS)[:, None]
        yield x, 1 / (1 + np.exp(-(x_0[:, :1] + x_0[:, 1:])))


config = {
    "num_input": 3,
    "num_hidden": 30,
    "num_output": 2,
    "timesteps": TIMESTEPS,
    "sequence_input": True,
    "loss": "mean_squared_error",
    "test_stddev": 0.01,
    "batch_size": BATCH_SIZE,
    "epoch_steps": 400,
    "epochs": int(sys.argv[1]) if len(sys.argv) > 1 else 10_000,
}

if __name__ == "__main__":
    NNRndTraining(config).train(batches())
