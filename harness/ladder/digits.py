"""Rungs with ten classes: seven-segment digits, and the 8x8 digits of scikit-learn where it is installed."""

from __future__ import annotations

from functools import cache

import numpy as np

from freewalk.harness.base.errors import UsageError
from freewalk.harness.ladder.rung import Attempt, Setting, Skip
from freewalk.harness.ladder.tasks import checked_values, learn, learn_problem
from freewalk.harness.methods.method import FREE, Recipe
from freewalk.harness.methods.problem import ResolvedProblem
from freewalk.harness.methods.registered import METHODS
from freewalk.kernels.model.layered import LayeredNetwork
from freewalk.tasks.arrays import from_arrays
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
SEGMENTS_NETWORK = LayeredNetwork((7 + N_RANDOM_BITS, 16, 10))
DIGITS_WIDTHS = "64-32-10"


@cache
def seven_segments() -> Task:
    """Return every digit with every pattern of seven bits that mean nothing, a third of them held out."""
    digit, noise = (part.ravel() for part in np.meshgrid(np.arange(10), np.arange(1 << N_RANDOM_BITS), indexing="ij"))
    lit = np.array(SEGMENTS)[digit]
    bits = [(lit >> k) & 1 for k in range(7)] + [(noise >> k) & 1 for k in range(N_RANDOM_BITS)]
    x, y = np.stack(bits, axis=1), np.eye(10)[digit]
    return from_arrays("segments", x, y, shares=(2, 1, 0), metric="accuracy", target=0.95)


def segments_problem(method: str, recipe: Recipe) -> ResolvedProblem:
    """Return what is trained on seven-segment digits."""
    task, layers, own = seven_segments(), SEGMENTS_NETWORK, METHODS[method]
    problem = task.problem({})
    configuration = own.configure(checked_values(recipe.options), timesteps=layers.depth, steps=recipe.steps)
    if own.networks == FREE:
        network = problem.network(sum(layers.widths[1:-1]))
        return ResolvedProblem(task, problem, own, network, None, configuration)
    return ResolvedProblem(task, problem, own, layers.free_network, layers, configuration)


def learn_segments(setting: Setting, recipe: Recipe) -> Attempt:
    """Let a method learn seven-segment digits."""
    return learn_problem(setting, segments_problem(setting.method, recipe), recipe)


def learn_digits(setting: Setting, recipe: Recipe) -> Attempt:
    """Let a method learn scikit-learn's images of 8x8 pixels."""
    try:
        return learn(setting, setting.method, "digits", DIGITS_WIDTHS, recipe)
    except UsageError as error:
        raise Skip(str(error)) from None
