"""What may be wrong with perturbations: repeated, forgotten, dependent on each other."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import NDArray

from freewalk.harness.estimates.checking.evidence import NOTABLE, Evidence
from freewalk.harness.estimates.checking.observed import NO_CHANCE
from freewalk.harness.estimates.checking.recomputed import rms
from freewalk.harness.estimates.checking.report import EstimatorFault as Fault
from freewalk.harness.gradcheck.words import listed

Array = NDArray[np.float64]

_ALIKE = 1e-3
"""Rounding of the weights makes numbers that were equal differ by less than this part of them."""
_CERTAIN = 6.0
"""Standard errors of the largest among many."""


def perturbation_faults(e: Evidence) -> Iterator[Fault]:
    """Yield what is wrong with the perturbations that were seen."""
    for group in (_drift, _repeated, _forgotten, _dependent, _uneven):
        if found := list(group(e)):
            yield from found
            return


def _drift(e: Evidence) -> Iterator[Fault]:
    t = e.tally
    first, last, step = (float(one.value) for one in (t.first_square, t.last_square, t.last_step))
    by = 4 if 0.7 < step / (4 * first) < 1.4 else 1
    if last > 1.5 * first and t.last_square.error < 0.05 * last and 0.7 < step / (by * first) < 1.4:
        sizes = f"from {math.sqrt(first):.3g} to {math.sqrt(last):.3g}"
        text = f"the weights are not restored between perturbations, whose size grows {sizes} within a call"
        yield Fault("drift", f"{text}: take each off again before the next, or perturb a copy")


def _repeated(e: Evidence) -> Iterator[Fault]:
    rows = [e.one_of_each(call) for call in e.calls]
    if min(len(some) for some in rows) < 2:
        return
    k = len(rows[0])
    distinct = max(_n_distinct(some) for some in rows)
    if distinct == 1:
        text = f"all {k} perturbations of a call are the same: make a key or a draw for each"
        yield Fault("same perturbation", f"{text}, else {k} cost as much as they should and help as one")
    elif distinct < k and e.observed.noise != "rademacher":
        text = f"of {k} perturbations of a call only {distinct} differ: make a key or a draw for each"
        yield Fault("same perturbation", text)


def _n_distinct(rows: Array) -> int:
    products = rows @ rows.T
    squares = np.diag(products)
    same = squares[:, None] + squares - 2 * products <= _ALIKE**2 * squares
    return int((~np.tril(same, -1).any(axis=1)).sum())


def _forgotten(e: Evidence) -> Iterator[Fault]:
    never = e.tally.never
    if not never.any():
        return
    whole = [name for name, part in zip(e.space.names, e.space.parts, strict=True) if never[part].all()]
    where = f": {listed(whole)} not at all" if whole else ""
    text = f"{int(never.sum())} of {never.size} weights are never perturbed{where}"
    yield Fault("not perturbed", f"{text}; their estimate says nothing of their gradient")


def _dependent(e: Evidence) -> Iterator[Fault]:
    """Find numbers of a perturbation that depend on each other."""
    for words, is_so in (("row", _equal_in_rows), ("column", lambda m: _equal_in_rows(m.T))):
        if name := _always(e, is_so):
            text = f"{name}: a perturbation has one number for each {words}: draw one for each weight"
            yield Fault("one number per " + words, f"{text}; a shape is broadcast")
            return
    if name := _always(e, _symmetric):
        text = f"{name}: the two factors of a perturbation are made of the same numbers, so that it is symmetric"
        yield Fault("same factors", f"{text}: draw B from a key of its own, or after A")
        return
    between = e.tally.between
    variance = float(e.tally.square.value)
    shared = float(between.value) / variance
    if abs(shared) > max(NOTABLE, NO_CHANCE * float(between.error) / variance) and shared > 0:
        yield from _mean_or(e, f"the perturbations of a call are correlated, by {shared:.2g}: draw each by itself")
        return
    products, errors = e.tally.products.value / variance, e.tally.products.error / variance
    off = ~np.eye(len(products), dtype=bool)
    certain = (np.abs(products) > np.maximum(0.05, _CERTAIN * np.maximum(errors, rms(errors[off])))) & off
    if certain.any():
        i, j = np.unravel_index(np.argmax(np.where(certain, np.abs(products), 0.0)), products.shape)
        text = f"the perturbations of different weights are correlated, some by {products[i, j]:.2g}"
        yield from _mean_or(e, f"{text}: every weight needs a number of its own")


def _mean_or(e: Evidence, text: str) -> Iterator[Fault]:
    mean, stddev = e.tally.mean, e.observed.stddev or 1.0
    value = float(mean.value)
    if abs(value) > max(NOTABLE * stddev, NO_CHANCE * float(mean.error)):
        share = f"the mean of the perturbations is {value:.3g}, {value / stddev:.2g} of their size, and should be 0"
        yield Fault("mean", f"{share}: draw from a distribution around 0 (normal, or signs)", value)
    else:
        yield Fault("correlated", text)


def _always(e: Evidence, is_so: Callable[[Array], bool]) -> str:
    """Return the first array of which something holds in every perturbation."""
    for name, part, shape in zip(e.space.names, e.space.parts, e.space.shapes, strict=True):
        if len(shape) != 2 or min(shape) < 2 or e.tally.never[part].any():
            continue
        rows = [row[part].reshape(shape) for call in e.calls[:12] for row in e.one_of_each(call)]
        if len(rows) >= 8 and all(is_so(matrix) for matrix in rows):
            return name
    return ""


def _equal_in_rows(matrix: Array) -> bool:
    return bool(np.abs(matrix - matrix[:, :1]).max() <= _ALIKE * np.abs(matrix).max())


def _symmetric(matrix: Array) -> bool:
    n = min(matrix.shape)
    block = matrix[:n, :n]
    return bool(np.abs(block - block.T).max() <= _ALIKE * np.abs(matrix).max())


def _uneven(e: Evidence) -> Iterator[Fault]:
    """Find weights that are perturbed more than others of their array, which one factor cannot make good."""
    sample = e.tally.sample
    squares, errors = np.diag(e.tally.products.value), np.diag(e.tally.products.error)
    for name, part, value in zip(e.space.names, e.space.parts, e.tally.part_squares.value, strict=True):
        mine = (sample >= part.start) & (sample < part.stop) & ~e.tally.never[sample]
        if not mine.any() or value == 0:
            continue
        share = squares[mine] / value
        # a small mean of few heavy-tailed numbers has too small an error of its own
        error = np.maximum(errors[mine], rms(errors[mine])) / value
        wrong = np.abs(share - 1) > np.maximum(0.1, _CERTAIN * error)
        if wrong.any():
            low, high = share.min(), share.max()
            text = f"{name}: weights are perturbed unevenly, with {low:.2g} to {high:.2g} times the mean variance"
            yield Fault("uneven", f"{text}; give all the same, or divide each derivative by its own variance")
