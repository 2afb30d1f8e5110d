"""How feedback comes to align with the gradient on a linear network: `python -m benchmarks.alignment`.

The network is that of Lillicrap et al., Nature Communications 7:13276, 2016: 30-20-10, a linear teacher, one datapoint
a step. The angle is that between what the hidden layer is told and what backpropagation would tell it.
"""

from __future__ import annotations

import math
import sys
from typing import Any

import numpy as np
from numpy.typing import NDArray

from freewalk.kernels.model.layered import LayeredNetwork
from freewalk.kernels.model.walk import Data
from freewalk.kernels.trainers.feedback import FeedbackAlignment, FeedbackConfiguration

Array = NDArray[Any]
LINEAR = LayeredNetwork((30, 20, 10), hidden_activation="linear", output_activation="linear")
_GLOROT = math.sqrt(6 / 30)
_WINDOWS = (0, 50, 100, 200, 400, 700, 1000, 1500, 2000, 2900)


def angle(a: Array, b: Array) -> float:
    """Return the angle between two arrays taken for vectors, in degrees."""
    cosine = float((a * b).sum() / np.linalg.norm(a) / np.linalg.norm(b))
    return math.degrees(math.acos(max(-1.0, min(1.0, cosine))))


def angles(seed: int, steps: int) -> tuple[list[float], list[float]]:
    """Return the angle, in degrees, and the loss at each step.

    A linear teacher from standard normal inputs; small weights to start from, U(±0.01), and feedback U(±0.5).
    """
    random = np.random.default_rng(seed)
    teacher = random.uniform(-1, 1, (30, 10))
    initial = LINEAR.embed(
        [random.uniform(-0.01, 0.01, size) for size in LINEAR.layer_sizes], [np.zeros(20), np.zeros(10)]
    )
    rule = FeedbackConfiguration(batch_size=1, timesteps=2, learning_rate=0.002, feedback_scale=0.5 / _GLOROT)
    trainer: Any = FeedbackAlignment(LINEAR, rule, Data(0), seed=seed, evaluation_points=1, initial=initial)
    found, losses = [], []

    def batch() -> tuple[Array, Array]:
        x = random.standard_normal((1, 30))
        return x, x @ teacher

    trainer._batch = batch
    for _ in range(steps):
        above = trainer._used.weights[1].copy()
        losses.append(trainer.train(1).loss)
        error = trainer._gradient.biases[1][None]  # of one datapoint: the delta of the outputs
        found.append(angle(error @ trainer._feedback[0], error @ above.T))
    return found, losses


def main() -> None:
    """Print the angle and the loss in windows of 50 steps."""
    say = sys.stdout.write
    say("steps    angle: mean of 10 seeds, lowest to highest    loss\n")
    runs = [angles(seed, 3000) for seed in range(10)]
    for first in _WINDOWS:
        means = [float(np.mean(found[first : first + 50])) for found, _ in runs]
        loss = np.mean([np.mean(losses[first : first + 50]) for _, losses in runs])
        say(f"{first:5}    {np.mean(means):5.1f}, {min(means):5.1f} to {max(means):5.1f}    {loss:10.4f}\n")


if __name__ == "__main__":
    main()
