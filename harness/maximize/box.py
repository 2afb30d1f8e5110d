"""Where inputs may lie: a lower and an upper bound for each, equal where an input is fixed."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from numbers import Integral
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from freewalk.harness.base.errors import UsageError

Array = NDArray[np.float64]
Place = int | tuple[int, int]
"""Of an input: its number, at every timestep, or (timestep, number)."""


@dataclass(frozen=True)
class Box:
    """Bounds of the entries of an input, shaped like it: (n_input,), or (T, n_input) for a sequence."""

    lower: Array
    upper: Array
    source: str
    """Where they come from, in words."""

    @classmethod
    def unbounded(cls, shape: tuple[int, ...]) -> Self:
        """Return the box without sides."""
        return cls(np.full(shape, -np.inf), np.full(shape, np.inf), "none")

    @property
    def free(self) -> NDArray[np.bool_]:
        """Entries that are not fixed."""
        return self.lower < self.upper

    @property
    def is_bounded(self) -> bool:
        """Whether every entry has both bounds."""
        return bool(np.isfinite(self.lower).all() and np.isfinite(self.upper).all())

    @property
    def scale(self) -> Array:
        """What a step of length 1 is for each entry: its range, 1 without bounds, 0 where it is fixed."""
        width = self.upper - self.lower
        return np.where(np.isfinite(width), width, 1.0)

    def clip(self, x: Array) -> Array:
        """Return the nearest inputs inside, of x (B, ...)."""
        clipped: Array = np.clip(x, self.lower, self.upper)
        return clipped

    def starts(self, n: int, seed: int) -> Array:
        """Return n inputs to start from: the middle, then random ones inside; standard normal without bounds."""
        random = np.random.default_rng(seed)
        shape = (n, *self.lower.shape)
        both = np.isfinite(self.lower) & np.isfinite(self.upper)
        low, high = np.where(both, self.lower, 0.0), np.where(both, self.upper, 0.0)
        inside = low + random.random(shape) * (high - low)
        inside[:1] = (low + high) / 2
        wild = random.standard_normal(shape)
        wild[:1] = 0.0
        return self.clip(np.where(both, inside, wild))

    def bounded(self, place: Place, lower: float, upper: float, where: str = "") -> Self:
        """Return the box with other bounds of an input.

        Raises
        ------
        UsageError
            If there is no such input, or the bounds are not two numbers in order.
        """
        if not lower <= upper or (np.isinf(lower) and lower > 0) or (np.isinf(upper) and upper < 0):
            raise UsageError(f"{where}bounds must be a lower and an upper number, got {lower:g} and {upper:g}")
        new_lower, new_upper = self.lower.copy(), self.upper.copy()
        new_lower[self._entries(place, where)] = lower
        new_upper[self._entries(place, where)] = upper
        return replace(self, lower=new_lower, upper=new_upper)

    def fixed(self, values: Mapping[Place, float], where: str = "") -> Self:
        """Return the box with some inputs fixed.

        Raises
        ------
        UsageError
            If there is no such input, or its value is outside the box.
        """
        box = self
        for place, value in values.items():
            entries = self._entries(place, where)
            if not (
                np.isfinite(value) and (self.lower[entries] <= value).all() and (value <= self.upper[entries]).all()
            ):
                low, high = self.lower[entries].max(), self.upper[entries].min()
                raise UsageError(f"{where}{_name(place)} must lie in its bounds {low:g} to {high:g}, got {value:g}")
            box = box.bounded(place, value, value, where)
        return box

    def _entries(self, place: Place, where: str) -> Any:
        """Return the index of an input's entries."""
        shape = self.lower.shape
        index = place if isinstance(place, tuple) else (place,)
        if len(index) > 2 or not all(isinstance(number, Integral) for number in index):
            raise UsageError(f"{where}an input is named by its number, or by (timestep, number), got {place!r}")
        if len(index) == 2 and len(shape) == 1:
            raise UsageError(f"{where}this network sees one row, without timesteps; give the input's number alone")
        sizes = shape if len(index) == 2 else shape[-1:]
        names = ("timestep", "input")[-len(index) :]
        for name, number, size in zip(names, index, sizes, strict=True):
            if not 0 <= number < size:
                raise UsageError(f"{where}there is no {name} {number}; they run from 0 to {size - 1}")
        return index if len(index) == len(shape) else (..., index[0])


def _name(place: Place) -> str:
    return f"input {place[1]} at timestep {place[0]}" if isinstance(place, tuple) else f"input {place}"


_PLACED = re.compile(r"(?:(\d+):)?(\d+)=(.*)")


def split_place(text: str) -> tuple[Place | None, str]:
    """Return (place, rest) of a text such as ``2=0.5`` or, at timestep 1, ``1:2=0.5``; no place if it names none."""
    match = _PLACED.fullmatch(text.strip())
    if match is None:
        return None, text.strip()
    number = int(match[2])
    return (number if match[1] is None else (int(match[1]), number)), match[3]


def read_bounds(shape: tuple[int, ...], texts: Iterable[str]) -> Box | None:
    """Return the box that options such as ``0,1``, ``2=-1,1``, ``1:2=-1,1`` or ``none`` make; None without options.

    Raises
    ------
    UsageError
        If a text says something else, or names bounds of some inputs only.
    """
    box: Box | None = None
    placed = []
    for text in texts:
        place, rest = split_place(text)
        where = f"--bounds {text}: "
        if place is not None:
            placed.append((place, *_two_numbers(rest, where), where))
        elif box is not None:
            raise UsageError(f"{where}bounds of all inputs are given twice; write 2=-1,1 for those of input 2")
        elif rest == "none":
            box = Box.unbounded(shape)
        else:
            lower, upper = _two_numbers(rest, where)
            box = Box.unbounded(shape)
            for number in range(shape[-1]):
                box = box.bounded(number, lower, upper, where)
            box = replace(box, source=f"{lower:g} to {upper:g}")
    if not placed:
        return box
    made = Box.unbounded(shape) if box is None else box
    for place, lower, upper, where in placed:
        made = made.bounded(place, lower, upper, where)
    if box is None and not made.is_bounded:
        raise UsageError("--bounds is given for some inputs only; give --bounds LOW,HIGH or none for the others")
    return replace(made, source="as given")


def _two_numbers(text: str, where: str) -> tuple[float, float]:
    try:
        lower, upper = (float(part) for part in text.split(","))
    except ValueError:
        raise UsageError(f"{where}write LOW,HIGH such as 0,1 or 2=-1,1, or none") from None
    return lower, upper


def read_fixed(texts: Iterable[str]) -> dict[Place, float]:
    """Return the fixed inputs that options such as ``2=0.5`` or, at timestep 1, ``1:2=0.5`` name.

    Raises
    ------
    UsageError
        If a text says something else.
    """
    values: dict[Place, float] = {}
    for text in texts:
        place, rest = split_place(text)
        try:
            value = float(rest)
        except ValueError:
            place = None
        if place is None:
            raise UsageError(f"--fix {text}: write INPUT=VALUE such as 2=0.5, or TIMESTEP:INPUT=VALUE such as 1:2=0.5")
        if place in values:
            raise UsageError(f"--fix {text}: this input is fixed twice; leave one out")
        values[place] = value
    return values
