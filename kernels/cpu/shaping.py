"""From the losses of a step's perturbations to the numbers that weigh them, as the reference's `shaped` has it."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from freewalk.kernels.machine.jit import helper_function
from freewalk.kernels.model.walk import Shaping

NONE, STD, RANKS = range(3)
SHAPING_CODES: dict[Shaping, int] = {"none": NONE, "std": STD, "ranks": RANKS}
_STD, _RANKS = STD, RANKS


@helper_function
def _write_ranks(values: NDArray[np.float64], ranks: NDArray[np.float64]) -> None:
    """Write centred ranks; equals share the mean of theirs."""
    n = len(values)
    order = np.argsort(values)
    begin = 0
    while begin < n:
        end = begin + 1
        while end < n and values[order[end]] == values[order[begin]]:
            end += 1
        for k in range(begin, end):
            ranks[order[k]] = (begin + end - 1) / 2 / (n - 1) - 0.5
        begin = end


@helper_function
def shape_losses(
    shaping: int,
    two_sided: int,
    share_data: int,
    plus: NDArray[np.float64],  # IN (K,), mean losses at W + D
    other: NDArray[np.float64],  # IN (K,), at W or, two-sided, at W - D
    coefficients: NDArray[np.float32],  # OUT (K,): the differences, or what shaping puts in the place of slopes
) -> None:
    """Write what weighs the perturbations: without shaping the loss differences, which are the slopes times stddev."""
    n = len(plus)
    half = 0.5 if two_sided else 1.0
    if shaping == _RANKS:
        centre = np.zeros(n) if two_sided and share_data else (plus + other) / 2 if two_sided else other
        if two_sided:
            ranks = np.empty(2 * n)
            _write_ranks(np.concatenate((plus - centre, other - centre)), ranks)
            for k in range(n):
                coefficients[k] = (ranks[k] - ranks[n + k]) / 2
        else:
            ranks = np.empty(n)
            _write_ranks(plus - centre, ranks)
            for k in range(n):
                coefficients[k] = ranks[k]
        return
    scale = half
    if shaping == _STD:
        mean = 0.0
        for k in range(n):
            mean += half * (plus[k] - other[k])
        mean /= n
        squares = 0.0
        for k in range(n):
            squares += (half * (plus[k] - other[k]) - mean) ** 2
        deviation = math.sqrt(squares / (n - 1))
        scale = half / deviation if deviation > 0 else 0.0
    for k in range(n):
        coefficients[k] = scale * (plus[k] - other[k])
