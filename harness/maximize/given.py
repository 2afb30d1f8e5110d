"""Bounds and fixed inputs as Python hands them over: in this package's forms, and in SciPy's."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from numbers import Real
from typing import Any

import numpy as np
from numpy.typing import NDArray

from freewalk.harness.base.errors import UsageError
from freewalk.harness.maximize.box import Box, Place

Array = NDArray[np.float64]

_FORMS = (
    "bounds must be (lower, upper), each a number or an array that fits an input of shape {shape}, or a (low, high) for"
    " each input, always with a lower number before an upper one"
)


def box_of(shape: tuple[int, ...], bounds: Any) -> Box:
    """Return the box of bounds in any form.

    Parameters
    ----------
    shape
        Of an input, (n_input,) or (T, n_input).
    bounds
        ``(lower, upper)``; a sequence of (low, high), one for each input; or what has `lb` and `ub`, as
        `scipy.optimize.Bounds`. None in place of a number is no bound.

    Raises
    ------
    UsageError
        If they are none of these, or two pairs for two inputs that could be either.
    """
    if hasattr(bounds, "lb") and hasattr(bounds, "ub"):
        bounds = (np.asarray(bounds.lb), np.asarray(bounds.ub))
    elif isinstance(bounds, Iterator):
        bounds = list(bounds)
    # two lists or arrays in a tuple are lower and upper bounds, as ever
    is_plain = isinstance(bounds, tuple) and not any(isinstance(side, tuple) for side in bounds)
    readings = [box for box in _readings(shape, bounds) if (box.lower <= box.upper).all()]
    usable = [box for box in readings if box.free.any()] or readings
    if not usable:
        raise UsageError(_FORMS.format(shape=shape))
    if len(usable) > 1 and not is_plain and any((a != b).any() for a, b in zip(*map(_sides, usable), strict=True)):
        raise UsageError(
            "bounds of two inputs as two pairs could be (low, high) of each input, or the lower bounds and the upper"
            " ones; give scipy.optimize.Bounds(lower, upper), or a tuple of two lists, (lower, upper)"
        )
    return usable[0]


def _sides(box: Box) -> tuple[Array, Array]:
    return box.lower, box.upper


def _readings(shape: tuple[int, ...], bounds: Any) -> Iterator[Box]:
    """Yield what bounds can mean: lower and upper ones, and pairs of each input."""
    try:
        lower, upper = bounds
        yield Box(_side(lower, shape, -np.inf), _side(upper, shape, np.inf), "as given")
    except (TypeError, ValueError):
        pass
    try:
        pairs = np.array(list(bounds), dtype=object)
        if pairs.shape in ((*shape, 2), (shape[-1], 2)):
            yield Box(_side(pairs[..., 0], shape, -np.inf), _side(pairs[..., 1], shape, np.inf), "as given")
    except (TypeError, ValueError):
        pass


def _side(values: Any, shape: tuple[int, ...], missing: float) -> Array:
    numbers = np.vectorize(lambda value: missing if value is None else _number(value), otypes=[np.float64])(
        np.asarray(values, dtype=object)
    )
    return np.broadcast_to(numbers, shape).copy()


def _number(value: Any) -> float:
    if not isinstance(value, Real):
        raise TypeError
    return float(value)


def fixed_of(shape: tuple[int, ...], fixed: Any) -> Mapping[Place, float]:
    """Return fixed inputs by place: of a mapping, or of a value for each input, None where it is free.

    Raises
    ------
    UsageError
        If they are neither.
    """
    if fixed is None:
        return {}
    if isinstance(fixed, Mapping):
        values = dict(fixed)
    else:
        array = np.array(fixed, dtype=object) if _is_nested(fixed) else np.array(None)
        if array.shape not in (shape, shape[-1:]):
            raise UsageError(
                f"fixed must map inputs to values, such as {{0: 0.5}}, or have a value or None for each input of shape"
                f" {shape}, got {fixed!r:.60}"
            )
        values = {
            (place if len(place) > 1 else place[0]): array[place]
            for place in np.ndindex(array.shape)
            if array[place] is not None
        }
    for place, value in values.items():
        if not isinstance(value, Real):
            raise UsageError(f"fixed: the value of input {place} must be a number, got {value!r:.60}")
    return values


def _is_nested(fixed: Any) -> bool:
    return isinstance(fixed, list | tuple | np.ndarray)
