"""What a walk on a loss of one's own asks of it: mean losses at W + D and at W or W - D, compiled or in Python."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any, Literal, NamedTuple, Protocol, get_args

import numpy as np
from numba.core.errors import NumbaError
from numpy.typing import NDArray

from freewalk.kernels.machine.jit import kernel, told_by_numba, uncached_kernel
from freewalk.kernels.trainers.bounds import check_indices

Array = NDArray[np.float64]
Run = Literal["compiled", "python", "batched"]
RUNS: tuple[str, ...] = get_args(Run)
_LONGEST_REASON = 200
_REMEDY = (
    'write it with what Numba knows and return one number, or give run="python", or run="batched" for a loss of many'
    " weight sets at once"
)


class Step(NamedTuple):
    """What is told of a step."""

    stddev: float
    two_sided: bool
    datapoints: int  # that see one perturbation
    share_data: bool  # whether all perturbations see the same


class Loss(Protocol):
    """A loss of one's own, however it runs."""

    def check(self, weights: NDArray[Any], xs: NDArray[Any], ys: NDArray[Any]) -> None:
        """Run it on the first datapoints; raise ValueError or IndexError, one line, if it does not fit them."""

    def compare(
        self,
        step: Step,
        weights: NDArray[Any],  # IN (n,)
        units: NDArray[Any],  # IN (K, n), perturbations divided by stddev
        first: int,  # of them
        xs: NDArray[Any],
        ys: NDArray[Any],
        plus: Array,  # OUT (K,), mean losses at W + D
        other: Array,  # OUT (K,), at W or, two-sided, at W - D
    ) -> None:
        """Write the mean losses of perturbations whose datapoints come one after another."""

    def each(self, weights: NDArray[Any], xs: NDArray[Any], ys: NDArray[Any]) -> Array:
        """Return the loss of each datapoint, (n,)."""


def loss_of(function: Callable[..., Any], run: Run) -> Loss:
    """Return a loss as a walk asks it.

    Raises
    ------
    ValueError
        If `run` is none of `RUNS`.
    """
    if run not in RUNS:
        raise ValueError(f"run must be one of {', '.join(RUNS)}, got {run!r}")
    if run == "compiled":
        return _Compiled(function, "the loss", _REMEDY, function)
    return _Batched(function) if run == "batched" else _Batched(one_by_one(function))


def loss_of_outputs(function: Callable[..., Any], outputs: Callable[..., Any], name: str) -> Loss:
    """Return a compiled loss of what a network of one's own answers, about which its errors speak."""
    what = f"outputs of architecture={name}"
    return _Compiled(function, what, "write it with what Numba knows, and fill out", outputs)


@kernel
def add_weighed(units: Any, weighing: Any, total: Any) -> None:
    """Add perturbations (K, n) times numbers (K,) to a total, (n,) float64."""
    for k in range(len(units)):
        for q in range(len(total)):
            total[q] += units[k, q] * weighing[k]


class _Compiled:
    def __init__(self, function: Any, what: str, remedy: str, own: Any) -> None:
        self._loss = function if hasattr(function, "py_func") else uncached_kernel(function)
        self._file = Path(getattr(own, "py_func", own).__code__.co_filename).resolve()
        self._what, self._remedy = what, remedy

    def check(self, weights: NDArray[Any], xs: NDArray[Any], ys: NDArray[Any]) -> None:
        check_indices(self._loss, weights, xs, ys)
        self.each(weights, xs[:1], ys[:1])

    def compare(
        self,
        step: Step,
        weights: NDArray[Any],
        units: NDArray[Any],
        first: int,
        xs: NDArray[Any],
        ys: NDArray[Any],
        plus: Array,
        other: Array,
    ) -> None:
        _compiled(self._loss)[0](step, weights, units, first, xs, ys, plus, other)

    def each(self, weights: NDArray[Any], xs: NDArray[Any], ys: NDArray[Any]) -> Array:
        out = np.empty(len(xs))
        try:
            _compiled(self._loss)[1](weights, xs, ys, out)
        except NumbaError as error:
            raise ValueError(self._why(error)) from None
        return out

    def _why(self, error: NumbaError) -> str:
        lines, reason = told_by_numba(error, self._file)
        where = f" ({self._file.name}, line {lines[0]})" if lines else ""
        return f"{self._what} does not compile{where}: {reason[:_LONGEST_REASON]}; {self._remedy}"


@cache
def _compiled(loss: Any) -> tuple[Any, Any]:
    """Compile what asks a loss: (compare, each)."""

    @uncached_kernel
    def compare(step: Any, weights: Any, units: Any, first: int, xs: Any, ys: Any, plus: Any, other: Any) -> None:
        tried = np.empty_like(weights)
        for k in range(len(units)):
            begin = 0 if step.share_data else (first + k) * step.datapoints
            for q in range(len(weights)):
                tried[q] = weights[q] + step.stddev * units[k, q]
            plus[k] = 0.0
            for b in range(begin, begin + step.datapoints):
                plus[k] += float(loss(tried, xs[b], ys[b]))
            if step.share_data and not step.two_sided and k > 0:
                other[k] = other[0] * step.datapoints
            else:
                for q in range(len(weights)):
                    tried[q] = weights[q] - step.stddev * units[k, q] if step.two_sided else weights[q]
                other[k] = 0.0
                for b in range(begin, begin + step.datapoints):
                    other[k] += float(loss(tried, xs[b], ys[b]))
            plus[k] /= step.datapoints
            other[k] /= step.datapoints

    @uncached_kernel
    def each(weights: Any, xs: Any, ys: Any, out: Any) -> None:
        for b in range(len(out)):
            out[b] = float(loss(weights, xs[b], ys[b]))

    return compare, each


class _Batched:
    def __init__(self, function: Callable[..., Any]) -> None:
        self._loss = function

    def check(self, weights: NDArray[Any], xs: NDArray[Any], ys: NDArray[Any]) -> None:
        self.each(weights, xs[:2], ys[:2])

    def compare(
        self,
        step: Step,
        weights: NDArray[Any],
        units: NDArray[Any],
        first: int,
        xs: NDArray[Any],
        ys: NDArray[Any],
        plus: Array,
        other: Array,
    ) -> None:
        k, m, scale = len(units), step.datapoints, weights.dtype.type(step.stddev)
        seen = [
            np.broadcast_to(of[:m], (k, m, *of.shape[1:]))
            if step.share_data
            else of[first * m : (first + k) * m].reshape(k, m, *of.shape[1:])
            for of in (xs, ys)
        ]
        plus[:] = self._means(weights + scale * units, *seen)
        if step.two_sided:
            other[:] = self._means(weights - scale * units, *seen)
        elif step.share_data:
            other[:] = self._means(weights[None], *(of[:1] for of in seen))[0]
        else:
            other[:] = self._means(np.broadcast_to(weights, units.shape), *seen)

    def each(self, weights: NDArray[Any], xs: NDArray[Any], ys: NDArray[Any]) -> Array:
        return self._means(np.broadcast_to(weights, (len(xs), len(weights))), xs[:, None], ys[:, None])

    def _means(self, weights: NDArray[Any], xs: NDArray[Any], ys: NDArray[Any]) -> Array:
        """Return the mean loss of each weight set, (K,)."""
        k, m = len(weights), xs.shape[1]
        returned = self._loss(weights, xs, ys)
        try:
            found = np.asarray(returned.detach() if hasattr(returned, "detach") else returned, dtype=np.float64)
        except (TypeError, ValueError):
            raise ValueError(f"the loss must return numbers, got {type(returned).__name__}") from None
        if found.shape not in ((k,), (k, m)):
            raise ValueError(
                f"the loss of {k} weight sets, each on {m} datapoints, must have shape ({k},) or ({k}, {m}),"
                f" got {found.shape}"
            )
        mean: Array = found if found.ndim == 1 else found.mean(axis=1)
        return mean


def one_by_one(function: Callable[..., Any]) -> Callable[..., Array]:
    """Return a loss of many weight sets that asks a plain one of each set and datapoint in turn."""

    def losses(weights: NDArray[Any], xs: NDArray[Any], ys: NDArray[Any]) -> Array:
        out = np.empty(xs.shape[:2])
        for k, own in enumerate(weights):
            for b in range(xs.shape[1]):
                returned = function(own, xs[k, b], ys[k, b])
                try:
                    out[k, b] = float(returned)
                except (TypeError, ValueError):
                    shape = getattr(returned, "shape", None)
                    got = type(returned).__name__ if shape is None else f"an array of shape {tuple(shape)}"
                    raise ValueError(f"the loss of a datapoint must be one number, got {got}") from None
        return out

    return losses
