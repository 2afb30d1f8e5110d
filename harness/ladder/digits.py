"""Rungs with ten classes: seven-segment digits, and the 8x8 digits of scikit-learn where it is installed."""

from __future__ import annotations

from functools import cache
from importlib.util import find_spec

import numpy as np
from numpy.typing import NDArray

from freewalk.harness.base.text import counted
from freewalk.harness.gradcheck.cell import layered_forward
from freewalk.harness.ladder.arrays import ArrayProblem, Rows, split
from freewalk.harness.ladder.rung import Attempt, Setting, Skip
from freewalk.harness.ladder.tasks import checked_values
from freewalk.harness.methods.method import Recipe
from freewalk.harness.methods.problem import ResolvedProblem
from freewalk.harness.methods.registered import METHODS
from freewalk.kernels.model.layered import LayeredNetwork
from freewalk.tasks.task import Task

SEGMENTS = (
    0b1110111,
    0b0100100,
    0b1011101,
    0b1101101,
    0b0101110,
    0b1101011,
    0b1111011,
    0b0100101,
    0b1111111,
    0b1101111,
)
"""The lit segments of the digits 0 to 9, from the lowest bit: top, upper left, upper right, middle, lower left, lower
right, bottom."""
N_RANDOM_BITS = 7
N_CLASSES = 10
SEGMENTS_NETWORK = LayeredNetwork((7 + N_RANDOM_BITS, 16, N_CLASSES))
DIGITS_NETWORK = LayeredNetwork((64, 32, N_CLASSES), softmax=True, loss="categorical_crossentropy")
SEGMENTS_TARGET, DIGITS_TARGET = 0.95, 0.9

_LOOKS = 40
"""How often the accuracy is measured."""


@cache
def seven_segments() -> tuple[Rows, Rows]:
    """Return every digit with every pattern of seven bits that mean nothing, a third of them held out."""
    digit, noise = (part.ravel() for part in np.meshgrid(np.arange(10), np.arange(1 << N_RANDOM_BITS), indexing="ij"))
    lit = np.array(SEGMENTS)[digit]
    bits = [(lit >> k) & 1 for k in range(7)] + [(noise >> k) & 1 for k in range(N_RANDOM_BITS)]
    return split(np.stack(bits, axis=1), digit, N_CLASSES, heldout=1 / 3, seed=0)


def scikit_digits() -> tuple[Rows, Rows]:
    """Return scikit-learn's 1,797 images of 8x8 pixels, each 0 to 1, a third of them held out.

    Raises
    ------
    Skip
        If scikit-learn is not installed.
    """
    if find_spec("sklearn") is None:
        raise Skip("needs scikit-learn: pip install scikit-learn")
    from sklearn.datasets import load_digits  # type: ignore[import-not-found,import-untyped,unused-ignore]

    images, labels = load_digits(return_X_y=True)
    return split(np.asarray(images) / 16.0, np.asarray(labels), N_CLASSES, heldout=1 / 3, seed=0)


def learn_classes(
    setting: Setting, rows: tuple[Rows, Rows], layers: LayeredNetwork, recipe: Recipe, target: float
) -> Attempt:
    """Let a method learn ten classes; passed if the largest output is the right one for enough held-out rows."""
    if setting.backend.name not in ("cpu", "reference"):
        raise Skip(f"its rows are arrays in this process, which backend {setting.backend.name} does not read")
    problem = class_problem(setting.method, rows, layers, recipe)
    trainer = problem.start(setting.backend, seed=setting.seed, evaluation_points=len(rows[1].x))
    best = 0.0
    for _ in range(_LOOKS):
        trainer.train(recipe.steps // _LOOKS)
        share = accuracy(layers, trainer.weights, rows[1])
        best = max(best, share)
        if share >= target:
            break
    figures = f"{100 * share:.1f} % right (>= {100 * target:g} %) after {counted(trainer.step, 'step')}"
    return Attempt(share >= target, figures, f"the best share was {100 * best:.1f} %" if best > share else "")


def class_problem(method: str, rows: tuple[Rows, Rows], layers: LayeredNetwork, recipe: Recipe) -> ResolvedProblem:
    """Return what is trained: a layered network on rows of arrays."""
    problem = ArrayProblem(
        n_input=layers.widths[0],
        n_output=layers.widths[-1],
        training=rows[0],
        heldout=rows[1],
        softmax=layers.softmax,
        loss=layers.loss,
        default_timesteps=layers.depth,
    )
    task = Task("classes", "ten classes of rows", "loss", 0.0, lambda: problem)
    own = METHODS[method]
    configuration = own.configure(checked_values(recipe.options), timesteps=layers.depth, steps=recipe.steps)
    return ResolvedProblem(task, problem, own, layers.free_network, layers, configuration)


def accuracy(layers: LayeredNetwork, weights: NDArray[np.float64], rows: Rows) -> float:
    """Return the share of rows whose largest output is that of their class."""
    outputs = layered_forward(layers, weights, rows.x)
    return float((outputs.argmax(axis=1) == rows.y.argmax(axis=1)).mean())
