"""The four addition programs written out in NumPy, as their author did, and pairs of numbers for them."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from original_programs import AdditionProgram, Program

PROGRAMS: list[Program] = ["backprop", "layers", "synthetic_bias", "synthetic_all_layers"]
Case = dict[str, NDArray[Any]]


def each(case: Case, name: str) -> list[NDArray[np.float64]]:
    """Return copies of the arrays of a name, one a layer; none if the case has none."""
    return [case[f"{name}_{layer}"].copy() for layer in range(3) if f"{name}_{layer}" in case]


def program_of(program: Program, case: Case) -> AdditionProgram:
    """Return the kernels' own version, before its first iteration."""
    return AdditionProgram(
        program,
        each(case, "weights"),
        float(case["alpha"]),
        int(case["batch_size"]),
        biases=each(case, "bias"),
        predictors=each(case, "synthetic"),
        predictor_biases=each(case, "synthetic_bias"),
    )


def drawn_again(case: Case, seed: int) -> Case:
    """Return a case of the same sizes with other numbers to add and other arrays of the same spread."""
    random = np.random.default_rng(seed)
    n, bits = case["y"].shape
    powers = 1 << np.arange(bits)[::-1]
    terms = random.integers(0, 2 ** (bits - 1), (2, n, 1))
    x = np.hstack([(term & powers > 0) for term in terms]).astype(np.float64)
    arrays = {
        name: random.normal(values.mean(), values.std(), values.shape)
        for name, values in case.items()
        if name.rpartition("_")[2].isdecimal()
    }
    return case | arrays | {"x": x, "y": (terms.sum(axis=0) & powers > 0).astype(np.float64)}


def errors_noted(program: Program, case: Case, n_iterations: int) -> tuple[list[float], list[float]]:
    """Return what a program notes in each iteration: its error, and that of a predictor (0 where it notes none)."""
    iterate = {"synthetic_bias": _with_biases, "synthetic_all_layers": _all_layers}.get(program, _backprop)
    arrays = [each(case, name) for name in ("weights", "bias", "synthetic", "synthetic_bias")]
    alpha, size = float(case["alpha"]), int(case["batch_size"])
    noted, of_predictor = [], []
    for _ in range(n_iterations):
        error = predictor_error = 0.0
        for first in range(0, len(case["x"]), size):
            batch = slice(first, first + size)
            by_product = program == "layers"
            found = iterate(*arrays, case["x"][batch], case["y"][batch], alpha, by_product)  # type: ignore[operator]
            error += found[0]
            predictor_error += found[1]
        noted.append(error)
        of_predictor.append(predictor_error)
    return noted, of_predictor


def _sigmoid(z: Any) -> Any:
    with np.errstate(over="ignore"):
        return 1 / (1 + np.exp(-z))


def _slope(h: Any) -> Any:
    return h * (1 - h)


def _backprop(w: Any, _b: Any, _s: Any, _u: Any, x: Any, y: Any, alpha: float, by_product: bool) -> tuple[float, float]:
    h1 = _sigmoid(x.dot(w[0]))
    h2 = _sigmoid(h1.dot(w[1]))
    h3 = _sigmoid(h2.dot(w[2]))
    noted = (h3 - y) * h3 * (1 - h3)
    if by_product:
        d3 = (h3 - y) * _slope(h3)
        d2 = d3.dot(w[2].T) * _slope(h2)
        d1 = d2.dot(w[1].T) * _slope(h1)
    else:
        d3 = noted
        d2 = d3.dot(w[2].T) * h2 * (1 - h2)
        d1 = d2.dot(w[1].T) * h1 * (1 - h1)
    w[0] -= x.T.dot(d1) * alpha
    w[1] -= h1.T.dot(d2) * alpha
    w[2] -= h2.T.dot(d3) * alpha
    return float(np.sum(np.abs(noted))), 0.0


def _with_biases(w: Any, b: Any, s: Any, u: Any, x: Any, y: Any, alpha: float, _: bool) -> tuple[float, float]:
    h, predicted, sent = [x], [], []
    for layer in (0, 1):
        h.append(_sigmoid(h[-1].dot(w[layer]) + b[layer]))
        predicted.append(h[-1].dot(s[layer]) + u[layer])
        q = predicted[-1] * _slope(h[-1])
        w[layer] -= h[-2].T.dot(q) * alpha
        b[layer] -= np.average(q, axis=0) * alpha
        sent.append(q.dot(w[layer].T))
    h3 = _sigmoid(h[2].dot(w[2]) + b[2])
    g = (h3 - y) * _slope(h3)
    w[2] -= h[2].T.dot(g) * alpha
    b[2] -= np.average(g, axis=0) * alpha
    sent.append(g.dot(w[2].T))
    for layer in (1, 0):
        r = predicted[layer] - sent[layer + 1]
        s[layer] -= h[layer + 1].T.dot(r) * alpha
        u[layer] -= np.average(r, axis=0) * alpha
    return float(np.sum(np.abs(h3 - y))), float(np.sum(np.abs(sent[2] - predicted[1])))


def _all_layers(w: Any, _b: Any, s: Any, _u: Any, x: Any, y: Any, alpha: float, _: bool) -> tuple[float, float]:
    h, predicted, sent = [x], [], []
    for layer in (0, 1, 2):
        h.append(_sigmoid(h[-1].dot(w[layer])))
        predicted.append(h[-1].dot(s[layer]))
        q = predicted[-1] * _slope(h[-1])
        w[layer] += h[-2].T.dot(q) * alpha
        sent.append(q.dot(w[layer].T))
    sent.append(h[3] - y)
    for layer in (2, 1, 0):
        s[layer] += h[layer + 1].T.dot(predicted[layer] - sent[layer + 1]) * alpha
    return float(np.sum(np.abs((h[3] - y) * h[3] * (1 - h[3])))), 0.0
