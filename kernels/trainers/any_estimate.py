"""The walk's estimate of the gradient of a loss of one's own."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from freewalk.kernels.cpu.directions import factors, full
from freewalk.kernels.model.directions import Block
from freewalk.kernels.model.walk import WalkConfiguration
from freewalk.kernels.reference import reference
from freewalk.kernels.trainers.any_kernels import Loss, Step, add_weighed

Array = NDArray[np.float64]
Map = Callable[..., Any]

_DATAPOINTS_OF_A_PIECE = 64
_NUMBERS_OF_A_PIECE = 1 << 22


class AnyEstimate:
    """Estimates of the gradient of a loss.

    Perturbations are dealt out in pieces of a fixed size, whose sums are added in their order: the bits of an estimate
    do not depend on who computes the pieces.

    Parameters
    ----------
    loss
        How it runs.
    shape
        (n_from, n_to) of the weights.
    seed
        Of the noise.
    dtype
        float64 or float32: what the loss is given.
    """

    def __init__(self, loss: Loss, shape: tuple[int, int], seed: int, dtype: DTypeLike) -> None:
        self._loss, self._seed, self._dtype = loss, seed, np.dtype(dtype)
        self._blocks = (Block(np.arange(shape[0]), np.arange(shape[1])),)
        self._seen: set[tuple[Any, ...]] = set()
        self._of_a_piece = max(1, min(_DATAPOINTS_OF_A_PIECE, _NUMBERS_OF_A_PIECE // (shape[0] * shape[1])))

    def check(self, weights: Array, xs: NDArray[Any], ys: NDArray[Any]) -> None:
        """Try the first datapoints, once for each kind of datapoint."""
        kind = (xs.dtype, xs.shape[1:], ys.dtype, ys.shape[1:])
        if kind not in self._seen:
            self._loss.check(weights.astype(self._dtype), xs, ys)
            self._seen.add(kind)

    def losses(self, weights: Array, xs: NDArray[Any], ys: NDArray[Any]) -> Array:
        """Return the loss of each datapoint, (n,)."""
        self.check(weights, xs, ys)
        return self._loss.each(weights.astype(self._dtype), xs, ys)

    def estimate(
        self, walk: WalkConfiguration, weights: Array, step: int, xs: NDArray[Any], ys: NDArray[Any], run: Map = map
    ) -> tuple[Array, float]:
        """Return stddev squared times the estimated gradient, (n_weights,), and the mean loss.

        Parameters
        ----------
        walk
            How; its batch is xs and ys.
        weights
            (n_weights,).
        step
            Which perturbations.
        run
            What calls a function for each piece, such as the `map` of a pool of threads.
        """
        self.check(weights, xs, ys)
        k, two_sided, at = walk.n_perturbations, walk.sides == "two", weights.astype(self._dtype)
        told = Step(walk.stddev, two_sided, walk.datapoints, walk.share_data)
        plus, other = np.empty(k), np.empty(k)
        pieces = [slice(first, min(first + self._of_a_piece, k)) for first in range(0, k, self._of_a_piece)]

        def compare(piece: slice) -> Array:
            units, own = self._drawn(walk, step, piece), (plus[piece], other[piece])
            self._loss.compare(told, at, units, piece.start, xs, ys, *own)
            with np.errstate(invalid="ignore"):  # of infinite losses, which move nothing
                differences = (own[0] - own[1]) / (2 if two_sided else 1)
            return _sum(units, differences) if walk.shaping == "none" else np.zeros(0)

        totals = list(run(compare, pieces))
        if walk.shaping != "none":
            weighing = reference.shaped(plus, other, walk.stddev, walk.sides, walk.share_data, walk.shaping)
            totals = list(run(lambda piece: _sum(self._drawn(walk, step, piece), weighing[piece]), pieces))
        estimate: Array = sum(totals, np.zeros(len(weights)))
        return walk.stddev * estimate / k, float(((plus + other) / 2 if two_sided else other).mean())

    def _drawn(self, walk: WalkConfiguration, step: int, piece: slice) -> NDArray[Any]:
        """Return perturbations divided by stddev, (n of the piece, n_weights), in the loss's precision."""
        drawn: dict[str, Any] = {"noise": walk.kind, "directions": walk.directions, "seed": self._seed, "step": step}
        drawn |= {"first": piece.start, "last": piece.stop}
        if walk.rank is None:
            units = full(self._blocks, 0, **drawn)
        else:
            a, b = factors(self._blocks, rank=walk.rank, **drawn)
            units = np.einsum("kin,kim->knm", a, b) / np.float32(math.sqrt(walk.rank))
        return np.ascontiguousarray(units, dtype=self._dtype).reshape(len(units), -1)


def _sum(units: NDArray[Any], weighing: Array) -> Array:
    total = np.zeros(units.shape[1])
    add_weighed(units, np.ascontiguousarray(weighing), total)
    return total
