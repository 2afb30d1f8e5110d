"""How fast weight and node perturbation learn a linear perceptron, against theory.

Züge, Klos and Memmesheimer, Physical Review X 13, 021006, 2023: M outputs, one trial a step, of T timesteps; inputs of
strength alpha**2 span 50 dimensions, 10 of them in a trial. With the best rates the error shrinks by 1 - 0.2 / (50 M +
2) a trial with weight perturbation, whose noise disturbs all dimensions of the task, and by 1 - 0.2 / (10 M + 2) with
node perturbation, whose updates stay in those of the trial.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from freewalk.kernels.cpu.trainer import CpuTrainer, array_source
from freewalk.kernels.cpu.trial import CpuWalk
from freewalk.kernels.model.network import FreeNetwork
from freewalk.kernels.model.walk import Data, WalkConfiguration
from freewalk.kernels.trainers.node import CpuNode, NodeConfiguration

N, M, T, OF_TASK, OF_TRIAL = 100, 10, 100, 50, 10
STRENGTH = N / OF_TRIAL
TARGET = 0.1
NETWORK = FreeNetwork(N, M, 0, sequence_input=True, sequence_output=True, output_activation="linear")
MASK = np.zeros((NETWORK.n_from, NETWORK.n_to), dtype=np.bool_)
MASK[:N] = True
TRIALS, REPEATS = 400, 25


def _inputs(random: np.random.Generator) -> Any:
    """Return the inputs of one trial, (1, T, N): ten of the task's fifty, orthogonal in time and of one strength."""
    patterns, _ = np.linalg.qr(random.normal(size=(T, OF_TRIAL)))
    x = np.zeros((1, T, N), dtype=np.float32)
    x[0][:, random.choice(OF_TASK, OF_TRIAL, replace=False)] = np.sqrt(T * STRENGTH) * patterns
    return x


def _trainer(way: str, seed: int) -> CpuTrainer:
    # the paper's error is a mean over timesteps and half the squares, this loss a sum of squares
    rate = 1 / (((OF_TASK if way == "weights" else OF_TRIAL) * M + 2) * STRENGTH) / (2 * T)
    options: dict[str, Any] = {"seed": seed, "evaluation_points": 1, "mask": MASK, "initial": 0.0 * MASK}
    if way == "weights":
        walk = WalkConfiguration(0.001, 1, T, update="normalised", optimizer="sgd", learning_rate=rate, sides="two")
        return CpuWalk(NETWORK, walk, Data(0), **options)
    return CpuNode(NETWORK, NodeConfiguration(1, T, learning_rate=rate, stddev=0.01, sides="two"), Data(0), **options)


@pytest.mark.parametrize(("way", "dimensions"), [("weights", OF_TASK), ("nodes", OF_TRIAL)])
def test_the_error_shrinks_as_in_theory(way: str, dimensions: int) -> None:
    shrunk = []
    for seed in range(REPEATS):
        random, trainer = np.random.default_rng(seed), _trainer(way, seed)
        for _ in range(TRIALS):
            x = _inputs(random)
            trainer._training = array_source(NETWORK, x, TARGET * x.sum(axis=2, keepdims=True).repeat(M, axis=2), T)
            trainer.train(1)
        shrunk.append(((trainer.weights[:OF_TASK] - TARGET) ** 2).sum() / (OF_TASK * M * TARGET**2))
    mean, error = np.mean(shrunk), np.std(shrunk, ddof=1) / np.sqrt(REPEATS)
    factor = mean ** (1 / TRIALS)
    half = 3 * error / mean / TRIALS
    wanted = 1 - OF_TRIAL / OF_TASK / (dimensions * M + 2)
    assert abs(factor - wanted) < half, f"{factor:.6f} +- {half:.6f}, theory {wanted:.6f}"
    assert half < 0.15 * (1 - wanted), "too few trials to say it"
