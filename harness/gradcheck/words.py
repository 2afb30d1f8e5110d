"""Faults in words: which counts a factor is made of, and where in a gradient the misses are."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from freewalk.harness.gradcheck.layers import Layer

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


def local(layer: Layer, missed: NDArray[np.bool_]) -> str:
    """Say where in the layer the misses are, if they keep to few neurons."""
    rows, columns = np.nonzero(missed[layer.indices])
    n_rows, n_columns = layer.indices.shape
    few_columns, few_rows = sorted(set(columns.tolist())), sorted(set(rows.tolist()))
    if len(few_columns) <= 3 and len(few_columns) < n_columns:
        return f", only in weights to {listed([layer.column_name(j) for j in few_columns])}"
    if len(few_rows) <= 3 and len(few_rows) < n_rows:
        return f", only in weights from {listed([layer.row_name(i) for i in few_rows])}"
    return ""


def where_it_enters(wrong: Sequence[Layer], layers: Sequence[Layer]) -> str:
    """Say where the error comes in: it travels down, from the outputs to the inputs."""
    depths = {layer.depth for layer in wrong if layer.depth}
    deepest = max((layer.depth for layer in layers), default=0)
    if not depths or deepest < 2:
        return ""
    top = max(depths)
    at_top = [layer for layer in wrong if layer.depth == top]
    biases = [layer for layer in layers if layer.depth == top and layer.is_bias]
    if all(layer.is_bias for layer in at_top):
        return f"the weights of layer {top} are right, so its error signal is: look at how its bias gradient is summed"
    if depths == {top} and (top > 1 or (biases and biases[0] not in at_top)):
        return f"the rest is right, so the error signal of layer {top} is: look at its product with what enters there"
    if top < deepest and depths == set(range(1, top + 1)):
        return f"layers above layer {top} are right: look at how the error signal comes down from layer {top + 1} to it"
    return ""


def listed(names: Sequence[str]) -> str:
    """Return names as a sentence has them: a, b and c."""
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
