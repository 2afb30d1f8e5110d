"""Spaces of settings: ranges and choices of parameters, of which settings are drawn evenly, always the same ones."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Literal, NamedTuple, TypeAlias

Scalar: TypeAlias = int | float | str
Scale: TypeAlias = Literal["log", "uniform"]


class Range(NamedTuple):
    """Numbers between two ends, evenly spread on a scale."""

    low: float
    high: float
    scale: Literal["log", "uniform"] = "log"

    def __str__(self) -> str:
        """Return how `--grid` has it."""
        return f"{self.scale}({self.low:.12g},{self.high:.12g})"

    def value(self, place: float) -> float:
        """Return the number at a place from 0, the low end, to 1."""
        if self.scale == "log":
            return math.exp(math.log(self.low) * (1 - place) + math.log(self.high) * place)
        return self.low * (1 - place) + self.high * place

    def place(self, value: float) -> float:
        """Return where a number lies, from 0, the low end, to 1."""
        if self.scale == "log":
            return math.log(value / self.low) / math.log(self.high / self.low)
        return (value - self.low) / (self.high - self.low)


Space: TypeAlias = Mapping[str, tuple[Scalar, ...]]
"""What some parameters may be, values or a `Range`; those that it does not name keep their defaults."""

BATCH_SIZES = Range(4, 512)
_WIDTH = 30.0
"""Learning rates are searched from this part of an optimizer's default to this many times it, for every method."""


def descents(learning_rates: Mapping[str, float], **more: tuple[Scalar, ...]) -> tuple[Space, ...]:
    """Return the spaces of a method that an optimizer steps for: momentum and Adam, each around its own default.

    Parameters
    ----------
    learning_rates
        The method's defaults by optimizer.
    **more
        Parameters of the method that decide its steps besides.
    """
    return tuple(
        {
            "optimizer": (optimizer,),
            "learning_rate": _around(learning_rates[optimizer]),
            "batch_size": BATCH_SIZES,
            **more,
        }
        for optimizer in ("momentum", "adam")
    )


def _around(rate: float) -> Range:
    low, high = (float(f"{rate * factor:.2g}") for factor in (1 / _WIDTH, _WIDTH))
    return Range(low, high)
