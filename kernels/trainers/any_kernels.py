"""Compiled parts of a walk on a loss of one's own: perturbed losses, and the sum of perturbations that they weigh."""

from __future__ import annotations

from functools import cache
from typing import Any, NamedTuple

import numpy as np

from freewalk.kernels.data.task_functions import data_words
from freewalk.kernels.machine.jit import choice, inline_function, uncached_kernel
from freewalk.kernels.model.noise import NOISES, Stream

_PERTURBATIONS = int(Stream.PERTURBATIONS)


class Step(NamedTuple):
    """What the kernels are told of a step."""

    seed: int
    step: int
    n_from: int
    n_to: int
    noise: int  # one of NOISE_CODES
    rows_of_a_block: int
    stddev: float
    two_sided: bool
    datapoints: int  # that see one perturbation
    share_data: bool  # whether all perturbations see the same


class Pieces(NamedTuple):
    """What `pieces_of` compiles for a loss."""

    loss: Any
    """(weights, x, y) -> float."""
    compare: Any
    """Write the mean losses of perturbations first .. last - 1 at W + D, and at W or W - D; return their sum as seen by
    a step. Add each perturbation times the loss difference to a total, (n,) float64, unless that is empty."""
    add: Any
    """Add perturbations times given numbers, (K,), to a total."""
    losses: Any
    """Write the loss of each datapoint."""


_write_block = choice([inline_function(kind.make_write(inline_function)) for kind in NOISES.values()])


@inline_function
def _perturb(step: Any, perturbation: int, out: Any) -> None:
    """Write a perturbation divided by stddev; weights lie row after row of an (n_from, n_to) matrix."""
    per_column = (step.n_from + step.rows_of_a_block - 1) // step.rows_of_a_block
    for column in range(step.n_to):
        for block in range(per_column):
            words = data_words(step.seed, _PERTURBATIONS, step.step, perturbation, column * per_column + block)
            row = block * step.rows_of_a_block
            n = min(step.rows_of_a_block, step.n_from - row)
            _write_block(step.noise, words, out, row * step.n_to + column, step.n_to, n)


@cache
def pieces_of(plain_or_compiled: Any) -> Pieces:
    """Compile what walks on a loss."""
    loss = plain_or_compiled if hasattr(plain_or_compiled, "py_func") else uncached_kernel(plain_or_compiled)

    @inline_function
    def mean_loss(step: Any, weights: Any, xs: Any, ys: Any, k: int) -> float:
        first = 0 if step.share_data else k * step.datapoints
        total = 0.0
        for b in range(first, first + step.datapoints):
            total += float(loss(weights, xs[b], ys[b]))
        mean: float = total / step.datapoints
        return mean

    @inline_function
    def moved(weights: Any, noise: Any, stddev: float, out: Any) -> None:
        for q in range(len(weights)):
            out[q] = weights[q] + stddev * noise[q]

    @uncached_kernel
    def compare(
        step: Any, weights: Any, xs: Any, ys: Any, first: int, last: int, given: Any, plus: Any, other: Any, total: Any
    ) -> float:
        noise, tried = np.empty(len(weights), np.float64), np.empty_like(weights)
        shares_other = step.share_data and not step.two_sided
        own = mean_loss(step, weights, xs, ys, 0) if shares_other else 0.0
        seen = 0.0
        for k in range(first, last):
            if len(given):
                noise[:] = given[k - first]
            else:
                _perturb(step, k, noise)
            moved(weights, noise, step.stddev, tried)
            plus[k] = mean_loss(step, tried, xs, ys, k)
            if step.two_sided:
                moved(weights, noise, -step.stddev, tried)
                other[k] = mean_loss(step, tried, xs, ys, k)
                seen += (plus[k] + other[k]) / 2
            else:
                other[k] = own if shares_other else mean_loss(step, weights, xs, ys, k)
                seen += other[k]
            difference = (plus[k] - other[k]) / 2 if step.two_sided else plus[k] - other[k]
            for q in range(len(total)):
                total[q] += step.stddev * noise[q] * difference
        return seen

    @uncached_kernel
    def add(step: Any, first: int, last: int, given: Any, weighing: Any, total: Any) -> None:
        noise = np.empty(len(total), np.float64)
        for k in range(first, last):
            if len(given):
                noise[:] = given[k - first]
            else:
                _perturb(step, k, noise)
            for q in range(len(total)):
                total[q] += step.stddev * noise[q] * weighing[k]

    @uncached_kernel
    def losses(weights: Any, xs: Any, ys: Any, out: Any) -> None:
        for b in range(len(out)):
            out[b] = loss(weights, xs[b], ys[b])

    return Pieces(loss, compare, add, losses)
