"""Numbers as people read them."""

from __future__ import annotations

import math
from collections.abc import Sequence

from freewalk.results.base import numbers
from freewalk.results.base.numbers import counted
from freewalk.results.base.text import printable

__all__ = ["counted", "duration", "packed", "printable", "significant"]


def duration(seconds: float) -> str:
    """Return a time in words: 0.4 s, 12 s, 3 min 20 s, 2 h 5 min, 3 d 4 h."""
    if seconds < 10:
        return f"{seconds:.1f} s"
    if seconds < 100:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    if minutes < 10:
        whole = round(seconds)
        return f"{whole // 60} min {whole % 60} s"
    if minutes < 120:
        return f"{minutes} min"
    if minutes < 48 * 60:
        return f"{minutes // 60} h {minutes % 60} min"
    return f"{minutes // 1440} d {minutes % 1440 // 60} h"


def packed(parts: Sequence[str], width: int) -> list[str]:
    """Return parts with commas between them, in as few lines as a width allows; only a part alone may be longer."""
    lines: list[str] = []
    for part in parts:
        if lines and len(lines[-1]) + len(part) + 3 <= width:  # a comma before it, and one after it
            lines[-1] += f", {part}"
        else:
            lines[-1:] = [*(f"{line}," for line in lines[-1:]), part]
    return lines


def significant(value: float, digits: int = 3) -> str:
    """Return a number as reports do, in ASCII: 0.0123, 4.5e-7, 1,230,000; a dash for what is missing or infinite."""
    return numbers.significant(value + 0.0, digits, math.inf) if math.isfinite(value) else "-"
