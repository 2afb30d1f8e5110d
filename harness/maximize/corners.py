"""The best corner of a box: every input at one of its two bounds, as binary inputs are."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from freewalk.harness.maximize.box import Box
from freewalk.harness.maximize.goal import Goal

Array = NDArray[np.float64]

MOST_EXHAUSTIVE = 20
"""With so many free inputs every corner is tried, 1,048,576 at most."""
_AT_A_TIME = 4096


@dataclass(frozen=True)
class Corner:
    """The best corner that was found."""

    x: Array
    value: float
    """The output there."""
    exhaustive: bool
    """Whether every corner was tried; otherwise single inputs were flipped from many starts until none helps."""
    tried: int
    """Corners, or starting points."""


def best_corner(goal: Goal, box: Box, starts: Array) -> Corner:
    """Return the best corner; `starts` (B, ...) are where flips begin if there are too many corners to try."""
    free = np.flatnonzero(box.free.reshape(-1))
    if len(free) <= MOST_EXHAUSTIVE:
        x, tried = _try_all(goal, box, free), 2 ** len(free)
        return Corner(x, float(goal.outputs(x[None])[0]), exhaustive=True, tried=tried)
    middle = (box.lower + box.upper) / 2
    ends = np.stack([_flip_until_best(goal, box, free, start > middle) for start in starts])
    x = ends[int(np.argmax(goal.scores(ends)))]
    return Corner(x, float(goal.outputs(x[None])[0]), exhaustive=False, tried=len(starts))


def _at(box: Box, is_high: NDArray[np.bool_]) -> Array:
    return np.where(is_high, box.upper, box.lower)


def _try_all(goal: Goal, box: Box, free: NDArray[np.intp]) -> Array:
    best, best_score = box.lower, -np.inf
    total = 2 ** len(free)
    for first in range(0, total, _AT_A_TIME):
        numbers = np.arange(first, min(first + _AT_A_TIME, total))
        is_high = np.zeros((len(numbers), box.lower.size), dtype=np.bool_)
        is_high[:, free] = (numbers[:, None] >> np.arange(len(free))) & 1
        corners = _at(box, is_high.reshape(-1, *box.lower.shape))
        scores = goal.scores(corners)
        k = int(np.argmax(scores))
        if scores[k] > best_score:
            best, best_score = corners[k], float(scores[k])
    return best


def _flip_until_best(goal: Goal, box: Box, free: NDArray[np.intp], is_high: NDArray[np.bool_]) -> Array:
    """Flip the input that helps most, again and again, until none helps."""
    score = float(goal.scores(_at(box, is_high)[None])[0])
    while True:
        flipped = np.repeat(is_high.reshape(1, -1), len(free), axis=0)
        rows = np.arange(len(free))
        flipped[rows, free] = ~flipped[rows, free]
        corners = _at(box, flipped.reshape(-1, *is_high.shape))
        scores = np.concatenate(
            [goal.scores(corners[first : first + _AT_A_TIME]) for first in range(0, len(corners), _AT_A_TIME)]
        )
        k = int(np.argmax(scores))
        if not scores[k] > score:
            return _at(box, is_high)
        is_high, score = flipped[k].reshape(is_high.shape), float(scores[k])
