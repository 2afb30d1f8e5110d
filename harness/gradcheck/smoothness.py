"""Whether differences of a loss tell its gradient: it must be the same at each call, and smooth where it is looked at.

A right gradient would be blamed where it is not. So a loss that differs between calls is refused, and a weight that
misses is looked at more closely: by parabolas through nine values on either side, at three scales.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from freewalk.harness.gradcheck.numerical import STEP, LossFunction

Array = NDArray[np.float64]
Reason = Literal["kink", "steps"]

_ROUNDING = 1e-13
"""Two values of a loss of about 1 that are no farther apart are taken for equal: sums may run in another order."""
_REPEATS = 3
_SCALES = (1.0, 1 / 16, 1 / 256, 1 / 1024)
_AT = np.array([0.0, 0.1036, 0.2413, 0.3557, 0.5021, 0.6279, 0.7402, 0.8731, 1.0])
"""Not evenly spaced: rounded weights would fall into step with that."""
_POWERS = _AT[:, None] ** np.arange(3)
_PARABOLA = np.linalg.pinv(_POWERS)
_FARTHEST = 4.0
_SHORT_MANTISSA = 2.0**16
_EPS = float(np.finfo(np.float64).eps)


class Look(NamedTuple):
    """What a closer look at one weight found."""

    derivative: float
    noise: float
    """How far the derivative may be off."""
    reason: Reason | None
    """Why differences do not tell the derivative, if they do not."""
    left: float
    right: float
    """Slopes on the two sides."""


def refuse_unrepeatable(loss: LossFunction, weights: Array, first: float) -> None:
    """Raise ValueError unless a loss has the value `first` at these weights, again and again."""
    for _ in range(_REPEATS):
        refuse_other_value(first, loss(weights.copy()))


def refuse_other_value(first: float, again: float) -> None:
    """Raise ValueError if two values of a loss at the same weights differ by more than rounding."""
    if not _is_equal(first, again):
        raise ValueError(
            f"the loss is not the same at each call: {first!r}, then {again!r} at the same weights, so no difference of"
            " it tells a gradient; fix its random numbers and its minibatch, and let no call leave a trace"
        )


def refuse_other_gradient(first: Array, again: Array) -> None:
    """Raise ValueError if two gradients at the same weights differ."""
    scale = max(float(np.abs(first).max(initial=0.0)), 1e-300)
    with np.errstate(invalid="ignore"):
        differs = np.abs(first - again) > 1e-9 * scale
    if (differs & np.isfinite(first) & np.isfinite(again)).any():
        raise ValueError(
            "the gradient is not the same at each call at the same weights; fix its random numbers and its minibatch,"
            " and let it start each sum at 0"
        )


def is_float32(loss: LossFunction, weights: Array, h: float) -> bool:
    """Tell whether a loss is computed in float32: each value near the weights would be one only by a rare chance."""
    random = np.random.default_rng(0)
    values = {loss(weights + h * random.uniform(-1, 1, weights.shape)) for _ in range(8)}
    long = [value for value in values if np.frexp(value)[0] * _SHORT_MANTISSA % 1]
    return len(long) > 2 and all(float(np.float32(value)) == value for value in values if np.isfinite(value))


def look(loss: LossFunction, weights: Array, index: int, first: float, h: float) -> Look:
    """Look closely at one weight that misses.

    Parameters
    ----------
    loss
        Of an array like `weights`, float64.
    weights
        Flat; not changed.
    first
        The loss at the weights.
    h
        Step of the differences that missed.

    Raises
    ------
    ValueError
        If the loss turns out to differ between calls.
    """

    def along(distance: float) -> float:
        at = weights.copy()
        at[index] += distance
        return loss(at)

    unit = max(1.0, abs(first))
    step = min(h, STEP)
    sides: list[tuple[_Side, _Side]] = []
    for scale in _SCALES:
        sides.append((_side(along, -step * scale), _side(along, step * scale)))
        if len(sides) == 1:
            for distance, value in sides[0][0].points + sides[0][1].points:
                refuse_other_value(value, along(distance))
        left, right = sides[-1]
        rough = max(left.left_over, right.left_over)
        if not rough <= _ROUNDING * unit:
            continue
        if left.is_flat and right.is_flat:
            if not _jumps(along, first, step):
                return Look(0.0, 0.0, None, 0.0, 0.0)
            break
        noise = 16 * max(rough, _EPS * unit) / (step * scale)
        gap = abs(left.slope - right.slope)
        is_kink = gap > noise + 1e-6 * max(abs(left.slope), abs(right.slope))
        middle = (left.slope + right.slope) / 2
        return Look(middle, np.inf if is_kink else noise, "kink" if is_kink else None, left.slope, right.slope)
    else:
        # what a bend leaves over shrinks with the step, what a jump does not
        if max(side.left_over for side in sides[-1]) < max(side.left_over for side in sides[0]) / 16:
            left, right = sides[0]
            return Look((left.slope + right.slope) / 2, np.inf, "kink", left.slope, right.slope)
    left, right = sides[0]
    rough = max(left.left_over, right.left_over)
    noise = 6 * rough / step + abs(left.slope - right.slope) if rough > _ROUNDING * unit else np.inf
    return Look((right.points[-1][1] - left.points[-1][1]) / (2 * step), noise, "steps", left.slope, right.slope)


class _Side(NamedTuple):
    slope: float
    left_over: float
    """What a parabola leaves unexplained."""
    is_flat: bool
    points: list[tuple[float, float]]
    """Distances and values."""


def _side(along: Callable[[float], float], step: float) -> _Side:
    """Fit a parabola to the loss from the weights on to a step away."""
    distances = (step * _AT).tolist()
    values = np.array([along(distance) for distance in distances])
    with np.errstate(all="ignore"):
        fitted = _PARABOLA @ (values - values[0])
        left_over = np.abs(_POWERS @ fitted - (values - values[0])).max()
    is_flat = bool((values == values[0]).all())
    points = list(zip(distances, values.tolist(), strict=True))
    return _Side(float(fitted[1]) / step, float(left_over), is_flat, points)


def _jumps(along: Callable[[float], float], first: float, near: float) -> bool:
    """Tell whether a loss that is flat here jumps where it first changes, as a rounded one does; of a dead unit not."""
    for sign in (1.0, -1.0):
        flat, distance = 0.0, near / 1024
        while distance <= _FARTHEST and along(sign * distance) == first:
            flat, distance = distance, 2 * distance
        if distance > _FARTHEST:
            continue
        for _ in range(60):
            middle = (flat + distance) / 2
            if along(sign * middle) == first:
                flat = middle
            else:
                distance = middle
        if abs(along(sign * distance) - first) > 16 * _EPS * max(1.0, abs(first)):
            return True
    return False


def _is_equal(first: float, again: float) -> bool:
    return bool(first == again or abs(first - again) <= _ROUNDING * max(abs(first), abs(again)))
