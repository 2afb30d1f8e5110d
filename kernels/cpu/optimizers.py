"""How the weights move: the original rule, or an optimiser on the normalised estimate of the gradient. All float64."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from freewalk.kernels.machine.jit import helper_function, inline_function
from freewalk.kernels.model.optimizers import ADAM_BETAS, ADAM_EPSILON

RAW, SGD, MOMENTUM, ADAM = range(4)
CONSTANT, COSINE = range(2)
OPTIMIZERS = {"sgd": SGD, "momentum": MOMENTUM, "adam": ADAM}
SCHEDULES = {"constant": CONSTANT, "cosine": COSINE}
_ADAM_BETA_1, _ADAM_BETA_2 = ADAM_BETAS
_ADAM_EPSILON = ADAM_EPSILON


class Rule(NamedTuple):
    """The update rule as runtime values."""

    kind: int  # RAW, SGD, MOMENTUM or ADAM
    stddev: float
    two_sided: int
    learning_rate: float  # unused by RAW
    momentum: float  # used by MOMENTUM
    schedule: int  # CONSTANT or COSINE
    schedule_steps: int  # steps over which COSINE falls to 0


class Weights(NamedTuple):
    """Master weights and optimiser state by position, and the float32 copy that the network computes with."""

    master: NDArray[np.float64]  # (n_padded,)
    single: NDArray[np.float32]  # (n_padded,)
    first: NDArray[np.float64]  # (n_padded,), momentum's velocity or Adam's first moment
    second: NDArray[np.float64]  # (n_padded,), Adam's second moment


@inline_function
def learning_rate_at(rule: Rule, step: int) -> float:
    """Return the learning rate of a step under the rule's schedule."""
    if rule.schedule == COSINE:
        share = min(1.0, step / rule.schedule_steps)
        return rule.learning_rate * 0.5 * (1.0 + math.cos(math.pi * share))
    return rule.learning_rate


@inline_function
def descend(rule: Rule, weights: Weights, sums: NDArray[np.float64], factor: float, step: int) -> None:
    """Move the weights down the gradient g = factor * sums, in place.

    sgd:       W -= rate * g
    momentum:  v = momentum * v + g;  W -= rate * v  (Polyak, 1964)
    adam:      Kingma and Ba, 2015, with bias correction
    """
    rate = learning_rate_at(rule, step)
    correction_1 = 1.0 - _ADAM_BETA_1 ** (step + 1)
    correction_2 = 1.0 - _ADAM_BETA_2 ** (step + 1)
    for q in range(len(sums)):
        g = factor * sums[q]
        if rule.kind == SGD:
            change = g
        elif rule.kind == MOMENTUM:
            change = rule.momentum * weights.first[q] + g
            weights.first[q] = change
        else:
            weights.first[q] += (1.0 - _ADAM_BETA_1) * (g - weights.first[q])
            weights.second[q] += (1.0 - _ADAM_BETA_2) * (g * g - weights.second[q])
            change = (weights.first[q] / correction_1) / (math.sqrt(weights.second[q] / correction_2) + _ADAM_EPSILON)
        weights.master[q] -= rate * change
    for q in range(len(sums)):
        weights.single[q] = np.float32(weights.master[q])


@helper_function
def move(rule: Rule, weights: Weights, total: NDArray[np.float64], batch_size: int, step: int) -> None:
    """Move the weights by the walk's sums, in place.

    `total` is the sum over datapoints of unit noise times (unperturbed minus perturbed loss), two-sided half of
    (loss at minus minus loss at plus); it is 0 where a mask allows no weight.

    raw: W += stddev * total / B. Otherwise down the gradient g = -total / (B stddev).
    """
    if rule.kind == RAW:
        factor = rule.stddev / batch_size
        for q in range(len(total)):
            weights.master[q] += factor * total[q]
            weights.single[q] = np.float32(weights.master[q])
    else:
        descend(rule, weights, total, -1.0 / (batch_size * rule.stddev), step)
