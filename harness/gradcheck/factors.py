"""A factor in words: which counts it is made of."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping

_CLOSE = 1e-4
_SQUARE = "the derivative of a square"


def number(value: float) -> str:
    """Return a factor with as many digits as a comparison supports: 0.001, 12, 0.333333."""
    return f"{value:.6g}"


def factor_words(factor: float, counts: Mapping[str, float]) -> str:
    """Say which counts a positive factor is made of, such as `1 / 1000 cases`; empty if none.

    Tried are the counts and 2 (of the derivative of a square), their inverses, and products of two of these; of several
    matches that are equally simple all are named.
    """
    parts = [(2.0, f"2 ({_SQUARE})"), *((float(v), f"{v:g} ({name})") for name, v in counts.items() if v not in (0, 1))]
    for matches in (_singles(factor, parts), _pairs(factor, parts)):
        found = list(dict.fromkeys(matches))
        if found:
            return " or ".join(found)
    return ""


def _singles(factor: float, parts: list[tuple[float, str]]) -> Iterator[str]:
    for value, words in parts:
        if _matches(factor, value):
            yield words
        elif _matches(factor, 1 / value):
            yield f"1 / {words}"


def _pairs(factor: float, parts: list[tuple[float, str]]) -> Iterator[str]:
    for (v, v_words), (w, w_words) in itertools.combinations(parts, 2):
        for value, words in (
            (v * w, f"{v_words} times {w_words}"),
            (1 / (v * w), f"1 / ({v_words} times {w_words})"),
            (v / w, f"{v_words} / {w_words}"),
            (w / v, f"{w_words} / {v_words}"),
        ):
            if _matches(factor, value):
                yield words


def _matches(factor: float, value: float) -> bool:
    return abs(value - 1) > _CLOSE and abs(factor - value) <= _CLOSE * value
