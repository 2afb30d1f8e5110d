"""Arrays as people hand them over: numbers of any kind made plain, and what is none of them named by its place."""

from __future__ import annotations

import math
import warnings
from numbers import Real
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from freewalk.tasks.errors import UnreachableTargets

_TOLERANCE = 1e-6  # what float32 may make of a scaled number
_AXES = ("row", "column")
_AXES_OF_SEQUENCES = ("row", "timestep", "column")


def as_array(values: ArrayLike, name: str) -> NDArray[Any]:
    """Return an array of whatever kind the values have: lists, Series, DataFrames, masked arrays without a gap.

    Raises
    ------
    ValueError
        If rows differ in length, or a value is masked.
    """
    mask = np.ma.getmaskarray(values) if isinstance(values, np.ma.MaskedArray) else None
    if mask is not None and mask.any():
        raise ValueError(f"{name} is masked in {place(mask)}; remove that row, or fill it in with .filled()")
    try:
        array = np.asarray(values)
        if array.dtype.kind in "US" and isinstance(values, list | tuple):
            array = np.array(values, dtype=object)  # NumPy would make words of numbers and of what is missing
    except ValueError as error:
        raise ValueError(f"{name} is no array: {' '.join(str(error).split())}") from None
    return array


def as_float32(values: ArrayLike, name: str, *, gaps: bool = False) -> NDArray[np.float32]:
    """Return real finite numbers as float32, of the shape that they have.

    Parameters
    ----------
    values
        Whole numbers, booleans, floating-point numbers, or Python objects that are such numbers.
    name
        What messages call them, such as ``x``.
    gaps
        Whether NaN, and what stands for a missing number, is taken as NaN.

    Raises
    ------
    ValueError
        If a value is missing, no number, complex, not finite or too large for float32: with its row and column.
    """
    array = as_array(values, name)
    if array.dtype.kind == "O":
        array = _of_objects(array, name)
    if array.dtype.kind == "c":
        raise ValueError(f"{name} holds complex numbers; give real and imaginary parts as columns of their own")
    if array.dtype.kind in "US" and array.size:
        raise ValueError(f"{name} holds text, such as {array.flat[0]!r}; numbers are needed")
    if array.dtype.kind not in "biufUS":
        raise ValueError(f"{name} holds {array.dtype}; numbers are needed")
    with np.errstate(over="ignore"):
        small: NDArray[np.float32] = array.astype(np.float32)
    wrong = ~(np.isfinite(small) | (np.isnan(small) & gaps))
    if wrong.any():
        value = array[wrong].flat[0]
        why = "too large for float32; scale it" if math.isfinite(value) else "not finite; remove that row or fill it in"
        raise ValueError(f"{name} holds {value:g} in {place(wrong)}, which is {why}")
    return small


def _of_objects(array: NDArray[Any], name: str) -> NDArray[Any]:
    """Return Python objects as float64."""
    if not array.ndim:
        raise ValueError(f"{name} is a {type(array.item()).__name__}, no array; convert it to one")
    numbers = np.empty(array.shape)
    for k, value in enumerate(array.flat):
        if is_missing(value):
            value = math.nan
        elif not isinstance(value, Real | np.bool_):
            where = place(np.arange(array.size).reshape(array.shape) == k)
            raise ValueError(f"{name} holds {value!r} in {where}, which is no number; give numbers only")
        numbers.flat[k] = value
    return numbers


def is_missing(value: Any) -> bool:
    """Return whether a value stands for none: None, NaN, or what pandas has for them."""
    if value is None or type(value).__name__ in ("NAType", "NaTType"):
        return True
    return isinstance(value, float) and math.isnan(value)


def place(wrong: NDArray[np.bool_]) -> str:
    """Return where the first True is, in words: `row 3, column 1`, counted from 0."""
    first = np.unravel_index(int(wrong.argmax()), wrong.shape)
    axes = _AXES_OF_SEQUENCES if wrong.ndim == len(_AXES_OF_SEQUENCES) else _AXES
    if wrong.ndim > len(axes):
        return f"place {tuple(map(int, first))}"
    return ", ".join(f"{axis} {k}" for axis, k in zip(axes, first, strict=False))


def warn_unreachable(y: NDArray[Any], name: str, *, stacklevel: int = 2) -> None:
    """Warn of targets beyond 0 to 1, where outputs lie, with what to do about it.

    Parameters
    ----------
    y
        Numbers; those that are infinite are somebody else's to name, and NaN does not count.
    name
        What the message calls them.
    stacklevel
        Of `warnings.warn`, seen from the caller.
    """
    counted = y[~np.isnan(y)]
    if not counted.size:
        return
    low, high = float(counted.min()), float(counted.max())
    if not math.isfinite(low + high) or (low >= -_TOLERANCE and high <= 1 + _TOLERANCE):
        return
    scaled = f"(y - {low:g}) / {high - low:g}" if high > low else f"y / {high:g}" if high > 0 else "y + 1"
    if low < 0:
        scaled = scaled.replace("- -", "+ ")
    warnings.warn(
        f"{name} reaches from {low:g} to {high:g}, but outputs lie between 0 and 1, so that no network meets it;"
        f" scale it, such as {scaled}, or give output=linear",
        UnreachableTargets,
        stacklevel=stacklevel + 1,
    )
