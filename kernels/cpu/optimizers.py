"""How the weights move: the original rule, or an optimiser on the normalised estimate of the gradient. All float64."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from freewalk.kernels.machine.jit import choice, helper_function, inline_function
from freewalk.kernels.model import optimizers
from freewalk.kernels.model.optimizers import ADAM, MOMENTUM, OPTIMIZER_CODES, RAW, SGD, OptimizerSettings, cosine_steps

_rate_at, _corrections = inline_function(optimizers.rate_at), inline_function(optimizers.corrections)
_direction = inline_function(optimizers.direction)
_RAW = RAW


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
def part_of(weights: Weights, begin: int, end: int) -> Weights:
    """Return the weights of some positions, as views.

    A loop from 0 over such a view is compiled to vectors; one from `begin` is not, as an index could be negative there.
    """
    return Weights(
        weights.master[begin:end], weights.single[begin:end], weights.first[begin:end], weights.second[begin:end]
    )


@inline_function
def _move_raw(rule: Rule, weights: Weights, sums: NDArray[np.float64], factor: float, step: int) -> None:
    master = weights.master
    for q in range(len(sums)):
        master[q] -= factor * sums[q]


def _make_move(kind: int) -> Any:
    """Return a function that moves by one kind of rule: a loop without a branch becomes vectors in every compiler."""

    @inline_function
    def move_by(rule: Rule, weights: Weights, sums: NDArray[np.float64], factor: float, step: int) -> None:
        rate = _rate_at(rule.learning_rate, rule.cosine_steps, step)
        correction_1, correction_2 = _corrections(kind, step)
        master, first, second = weights.master, weights.first, weights.second
        for q in range(len(sums)):
            change = _direction(kind, rule.momentum, factor * sums[q], first, second, q, correction_1, correction_2)
            master[q] -= rate * change

    return move_by


_move_by_kind = choice([_move_raw, *(_make_move(kind) for kind in (SGD, MOMENTUM, ADAM))])  # RAW is 0, and so on


@inline_function
def move_masters(rule: Rule, weights: Weights, sums: NDArray[np.float64], factor: float, step: int) -> None:
    """Move the master weights down the gradient factor * sums, or by the raw rule's step of as much, in place."""
    _move_by_kind(rule.kind, rule, weights, sums, factor, step)


@inline_function
def descend(rule: Rule, weights: Weights, sums: NDArray[np.float64], factor: float, step: int) -> None:
    """Do what `move_masters` does, and round the weights that the network computes with."""
    move_masters(rule, weights, sums, factor, step)
    master, single = weights.master, weights.single
    for q in range(len(sums)):
        single[q] = np.float32(master[q])


@helper_function
def move(rule: Rule, weights: Weights, total: NDArray[np.float64], batch_size: int, step: int) -> None:
    """Move the weights by the walk's sums, in place.

    `total` is the sum over datapoints of unit noise times (unperturbed minus perturbed loss), two-sided half of
    (loss at minus minus loss at plus); it is 0 where a mask allows no weight.

    raw: W += stddev * total / B. Otherwise down the gradient g = -total / (B stddev).
    """
    factor = -rule.stddev / batch_size if rule.kind == _RAW else -1.0 / (batch_size * rule.stddev)
    descend(rule, weights, total, factor, step)
