"""How the weights move: the original rule, or an optimiser on the normalised estimate of the gradient. All float64."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from freewalk.kernels.machine.jit import helper_function, inline_function
from freewalk.kernels.model import optimizers
from freewalk.kernels.model.optimizers import OPTIMIZER_CODES, RAW, OptimizerSettings, cosine_steps

_rate_at, _corrections = inline_function(optimizers.rate_at), inline_function(optimizers.corrections)
_direction = inline_function(optimizers.direction)


class Rule(NamedTuple):
    """The update rule as runtime values."""

    kind: int  # RAW, SGD, MOMENTUM or ADAM
    stddev: float
    two_sided: int
    learning_rate: float  # unused by RAW
    momentum: float  # used by MOMENTUM
    cosine_steps: int  # over which the learning rate falls to 0; 0 for a constant one


class Weights(NamedTuple):
    """Master weights and optimiser state by position, and the float32 copy that the network computes with."""

    master: NDArray[np.float64]  # (n_padded,)
    single: NDArray[np.float32]  # (n_padded,)
    first: NDArray[np.float64]  # (n_padded,), momentum's velocity or Adam's first moment
    second: NDArray[np.float64]  # (n_padded,), Adam's second moment


def make_rule(settings: OptimizerSettings, *, raw: bool = False, stddev: float = 1.0, two_sided: bool = False) -> Rule:
    """Return a configuration's update rule as runtime values."""
    return Rule(
        RAW if raw else OPTIMIZER_CODES[settings.optimizer],
        float(stddev),
        int(two_sided),
        float(settings.learning_rate),
        float(settings.momentum),
        cosine_steps(settings),
    )


@inline_function
def descend_between(
    rule: Rule, weights: Weights, sums: NDArray[np.float64], factor: float, step: int, begin: int, end: int
) -> None:
    """Move the master weights of some positions down the gradient g = factor * sums, in place."""
    rate = _rate_at(rule.learning_rate, rule.cosine_steps, step)
    correction_1, correction_2 = _corrections(rule.kind, step)
    first, second = weights.first, weights.second
    for q in range(begin, end):
        g = factor * sums[q]
        change = _direction(rule.kind, rule.momentum, g, first, second, q, correction_1, correction_2)
        weights.master[q] -= rate * change


@inline_function
def descend(rule: Rule, weights: Weights, sums: NDArray[np.float64], factor: float, step: int) -> None:
    """Move the weights down the gradient g = factor * sums, in place."""
    descend_between(rule, weights, sums, factor, step, 0, len(sums))
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
