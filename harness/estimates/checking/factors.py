"""What a wrong factor of an estimate is made of, and what to do about it."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass

_FINE = 0.01
"""A factor known less well than this is not taken for a product of two."""


@dataclass(frozen=True)
class Counts:
    """What factors may be made of."""

    stddev: float | None = None
    perturbations: int | None = None
    rank: int | None = None
    sides: str | None = None
    n_weights: int | None = None
    noise: str | None = None


@dataclass(frozen=True)
class Part:
    """One thing that a factor may be."""

    value: float
    words: str
    remedy: str
    alone: bool = False
    """Whether it is no part of a product."""


def parts(counts: Counts) -> list[Part]:
    """Return what a factor may be, the simplest first."""
    found: list[Part] = []
    s, k, r, p = counts.stddev, counts.perturbations, counts.rank, counts.n_weights
    if s:
        found += [
            Part(s, "stddev", "divide by stddev once more"),
            Part(1 / s, "1 / stddev", "it is divided by stddev once too often"),
        ]
    if k and k > 1:
        found += [
            Part(k, "the number of perturbations", f"take their mean instead of their sum: divide by {k}"),
            Part(1 / k, "1 / the number of perturbations", "their mean is taken twice"),
        ]
    one_sided = counts.sides == "one"
    twice = "a one-sided difference is counted twice" if one_sided else "divide a pair's difference by 2 stddev"
    half = "leave the 1/2 out" if one_sided else "a pair's difference is to be halved once"
    found += [Part(2.0, "2", twice), Part(0.5, "1 / 2", half)]
    if r and r > 1:
        root = math.sqrt(r)
        both = "divide A B^T by sqrt(rank), in the perturbation and in the update alike"
        found += [
            Part(r, "the rank", both),
            Part(root, "sqrt(rank)", "A B^T is divided by sqrt(rank) in one of perturbation and update alone"),
            Part(1 / r, "1 / the rank", "divide A B^T by sqrt(rank), not by rank"),
            Part(1 / root, "1 / sqrt(rank)", "divide A B^T by sqrt(rank) once, in the perturbation and in the update"),
        ]
    if k and k > 1:
        root = math.sqrt(k)
        found += [
            Part(root, "sqrt(perturbations)", f"divide by the number of perturbations, {k}, not by its root"),
            Part(1 / root, "1 / sqrt(perturbations)", f"divide by the number of perturbations, {k}, and no more"),
            Part(k / (k - 1), "K / (K - 1) for K perturbations", f"divide by K = {k}, not by K - 1"),
            Part((k - 1) / k, "(K - 1) / K for K perturbations", "compare each loss with the mean of the others"),
        ]
    if s:
        found += [
            Part(s * s, "stddev squared", "divide by stddev twice more"),
            Part(1 / s**2, "1 / stddev squared", "it is divided by stddev twice too often"),
        ]
    if p and p > 1:
        found += [
            Part(p, "the number of weights", "divide by it", alone=True),
            Part(
                1 / p,
                "1 / the number of weights",
                "directions of length 1 are multiplied by the number of weights",
                alone=True,
            ),
            Part(math.sqrt(p), "sqrt(weights)", "divide by it", alone=True),
            Part(1 / math.sqrt(p), "1 / sqrt(weights)", "multiply by it", alone=True),
        ]
    return found


def explained(factor: float, slack: float, counts: Counts) -> tuple[str, str]:
    """Say what a positive factor is and what to do: two texts, empty where nothing explains it.

    Parameters
    ----------
    factor
        How many times too long the estimate is.
    slack
        How far the factor may be off, as a part of it.
    counts
        What it may be made of.
    """
    close = max(slack, 1e-3)
    singles = [part for part in parts(counts) if abs(part.value - 1) > close]
    found = [part for part in singles if _is(factor, part.value, close)]
    if not found and close <= _FINE:
        found = list(_products(factor, close, singles))[:1]
    words, remedies = (list(dict.fromkeys(texts)) for texts in ([p.words for p in found], [p.remedy for p in found]))
    return " or ".join(words[:3]), "; or ".join(remedies[:3])


def _products(factor: float, close: float, singles: list[Part]) -> Iterator[Part]:
    for one, other in itertools.combinations([part for part in singles if not part.alone], 2):
        if _is(factor, one.value * other.value, close):
            yield Part(factor, f"{one.words} times {other.words}", f"{one.remedy}, and {other.remedy}")


def _is(factor: float, value: float, close: float) -> bool:
    return abs(factor / value - 1) <= close
