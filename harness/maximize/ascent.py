"""The two ways up, for many starting points at once: along the exact gradient, or along the walk's estimate of it."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from freewalk.harness.maximize.box import Box
from freewalk.harness.maximize.goal import Goal

Array = NDArray[np.float64]

_ARMIJO = 1e-4
_HALVINGS = 40
_STILL = 1e-12
"""A step shorter than this, in widths of the box, is none."""
_LONGEST_STEP, _LONGEST_SPECTRAL_STEP = 1.0, 1e10
_WALK_STDDEV = 0.05
_WALK_FIRST_STEP, _WALK_LAST_STEP = 0.2, 1e-3
PERTURBATIONS = 32
"""Of an input, in each step of the walk."""


def _over_entries(values: Array, like: Array) -> Array:
    """Return (B,) values in a shape that goes with inputs (B, ...)."""
    return values.reshape(-1, *[1] * (like.ndim - 1))


def _dot(a: Array, b: Array) -> Array:
    total: Array = (a * b).reshape(len(a), -1).sum(axis=1)
    return total


def climb(goal: Goal, box: Box, starts: Array, steps: int) -> Array:
    """Return where projected gradient ascent ends, from each of the starts (B, ...).

    The spectral projected gradient method (Birgin, Martinez and Raydan, Nonmonotone spectral projected gradient methods
    on convex sets, 2000) with a monotone line search, in coordinates in which the box has sides of length 1. A step is
    never longer than that length.
    """
    scale = box.scale
    x = starts
    score, by_x = goal.scores_and_gradients(x)
    gradient = by_x * scale
    rate = np.ones(len(x))
    for _ in range(steps):
        direction = _projected(box, x, gradient, rate, scale)
        moving = np.sqrt(_dot(direction, direction)) > _STILL
        if not moving.any():
            break
        moved, new_score = _search(goal, box, x, score, gradient, direction, moving, scale)
        _, by_x = goal.scores_and_gradients(moved)
        new_gradient = by_x * scale
        with np.errstate(divide="ignore", invalid="ignore"):
            s = np.where(scale > 0, (moved - x) / scale, 0.0)
        curvature = -_dot(s, new_gradient - gradient)
        length = _dot(s, s)
        with np.errstate(divide="ignore", invalid="ignore"):
            rate = np.where(curvature > 0, length / curvature, _LONGEST_SPECTRAL_STEP)
        rate = np.clip(rate, 1 / _LONGEST_SPECTRAL_STEP, _LONGEST_SPECTRAL_STEP)
        if not (new_score > score).any():
            break
        x, score, gradient = moved, new_score, new_gradient
    return x


def _projected(box: Box, x: Array, gradient: Array, rate: Array, scale: Array) -> Array:
    """Return the step along the gradient that stays inside, in box coordinates."""
    step = gradient * _over_entries(rate, x)
    length = np.sqrt(_dot(step, step))
    too_long = length > _LONGEST_STEP
    shrink = np.where(too_long, _LONGEST_STEP / np.where(too_long, length, 1.0), 1.0)
    inside = box.clip(x + step * _over_entries(shrink, x) * scale)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(scale > 0, (inside - x) / scale, 0.0)


def _search(
    goal: Goal,
    box: Box,
    x: Array,
    score: Array,
    gradient: Array,
    direction: Array,
    moving: NDArray[np.bool_],
    scale: Array,
) -> tuple[Array, Array]:
    """Halve each step until it raises the score enough; one that never does is not taken."""
    gain = _dot(gradient, direction)
    found, best = x.copy(), score.copy()
    share = np.ones(len(x))
    open_ = moving.copy()
    for _ in range(_HALVINGS):
        if not open_.any():
            break
        tried = box.clip(x[open_] + direction[open_] * scale * _over_entries(share[open_], x))
        scores = goal.scores(tried)
        good = scores >= score[open_] + _ARMIJO * share[open_] * gain[open_]
        places = np.flatnonzero(open_)
        found[places[good]], best[places[good]] = tried[good], scores[good]
        open_[places[good]] = False
        share[open_] /= 2
    return found, best


def walk(goal: Goal, box: Box, starts: Array, steps: int, seed: int) -> Array:
    """Return the best input that a random walk met, from each of the starts (B, ...), without any gradient.

    Each step tries PERTURBATIONS of the input and moves along their mean, weighted by what each changed the score by:
    the walk's own estimate, on inputs instead of weights. Perturbations are cut off at the box, so that nothing outside
    is ever tried; steps have a length of their own, which falls along a half cosine.
    """
    random = np.random.default_rng((seed, 1))
    scale, x = box.scale, starts
    best, best_score = x.copy(), goal.scores(x)
    score = best_score.copy()
    for step in range(steps):
        share = 0.5 * (1 + math.cos(math.pi * step / steps))
        length = _WALK_LAST_STEP + (_WALK_FIRST_STEP - _WALK_LAST_STEP) * share
        stddev = max(_WALK_STDDEV * share, _WALK_LAST_STEP)
        noise = random.standard_normal((len(x), PERTURBATIONS, *x.shape[1:])) * stddev * scale
        tried = box.clip(x[:, None] + noise)
        scores = goal.scores(tried.reshape(-1, *x.shape[1:])).reshape(len(x), -1)
        with np.errstate(divide="ignore", invalid="ignore"):
            taken = np.where(scale > 0, (tried - x[:, None]) / scale, 0.0)
        weight = (scores - score[:, None]).reshape(*scores.shape, *[1] * (x.ndim - 1))
        direction = (taken * weight).mean(axis=1)
        size = np.sqrt(_dot(direction, direction))
        direction = direction * _over_entries(length / np.where(size > 0, size, 1.0), x)
        x = box.clip(x + direction * scale)
        score = goal.scores(x)
        better = score > best_score
        best[better], best_score[better] = x[better], score[better]
    return best
