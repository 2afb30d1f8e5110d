"""The original program's README example in its own form; only the import has changed, and an argument makes it shorter.

    python examples/original_readme.py [EPOCHS]

10,000 epochs of 400 steps are the original's own: the raw rule is slow. See docs/drop-in.md for faster ones.
"""

import sys

import numpy as np
from numpy.typing import NDArray

from freewalk import NNRndTraining

config = {
    "num_input": 3,
    "sequence_input": True,
    "net_input_add_onehot": False,
    "num_hidden": 30,
    "num_output": 2,
    "sequence_output": False,
    "timesteps": 4,
    "net_add_softmax": False,
    "loss": "mean_squared_error",
    "test_stddev": 0.01,
    "batch_size": 1000,
    "epoch_steps": 400,
    "epochs": 10_000,
    "debug": False,
}


class DataIterator:
    """Gives a batch a step, by `__next__` alone."""

    def __init__(self) -> None:
        self.random = np.random.default_rng(0)

    def __next__(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return x_t = x_0 + t, and sigmoid(x_0[0] + x_0[1]), sigmoid(x_0[0] + x_0[2])."""
        x_0 = self.random.uniform(-1, 1, (1000, 3))
        x = x_0[:, None] + np.arange(4)[:, None]
        return x, 1 / (1 + np.exp(-(x_0[:, :1] + x_0[:, 1:])))


if __name__ == "__main__":
    if len(sys.argv) > 1:
        config["epochs"] = int(sys.argv[1])
    NNRndTraining(config).train(DataIterator())
