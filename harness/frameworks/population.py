"""A step of the walk on named arrays of any library: what is drawn, what is compared, and what follows from it."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from freewalk.harness.frameworks.settings import Settings
from freewalk.kernels.cpu import directions
from freewalk.kernels.model.directions import Block
from freewalk.kernels.model.optimizers import make_optimizer
from freewalk.kernels.model.walk import WalkConfiguration
from freewalk.kernels.reference.reference import shaped

Array = NDArray[np.float64]
Noise = dict[str, tuple[NDArray[np.float32], ...]]
"""By array, as a matrix (n, m): of low rank the vectors a (K, rank, n) and b (K, rank, m), over the fourth root of the
rank each; else the perturbations (K, n, m) themselves, whose transposes lie in order. Of unit variance."""
State = dict[str, Any]

_BYTES_AT_ONCE = 1 << 25
"""Of full perturbations, in float32."""
_PAIRS_AT_ONCE = 1 << 13
"""Of a perturbation and a datapoint, of low rank: more are not faster on a CPU."""
_LANES, _MOST_AT_ONCE = 16, 1024
"""Perturbations that are drawn together, and the most that run together."""


class Arrays:
    """Named arrays as blocks of one matrix: an array of one axis is (n, 1), of more than two (first, rest)."""

    def __init__(self, shapes: Mapping[str, Sequence[int]]) -> None:
        self.shapes = {name: tuple(shape) for name, shape in shapes.items()}
        if not any(math.prod(shape) for shape in self.shapes.values()):
            raise ValueError("there are no parameters to train")
        self.blocks = blocks_of_arrays(list(self.shapes.values()))
        self.size = sum(math.prod(shape) for shape in self.shapes.values())

    def draw(self, settings: Settings, step: int, first: int, last: int) -> Noise:
        """Return the perturbations first .. last - 1 of a step."""
        walk = settings.walk
        where: dict[str, Any] = {
            "noise": walk.kind,
            "directions": walk.directions,
            "seed": settings.seed,
            "step": step,
            "first": first,
            "last": last,
        }
        if walk.rank is None:
            return {name: (directions.full(self.blocks, k, **where),) for k, name in enumerate(self.shapes)}
        a, b = directions.factors(self.blocks, rank=walk.rank, **where)
        share = np.float32(walk.rank**-0.25)  # of 1 / sqrt(rank)
        return {
            name: (a[..., block.rows] * share, b[..., block.columns] * share)
            for name, block in zip(self.shapes, self.blocks, strict=True)
        }

    def at_once(self, settings: Settings, walk: WalkConfiguration) -> int:
        """Return how many perturbations of a step run at a time."""
        if settings.at_once is not None:
            return settings.at_once
        most = min(_MOST_AT_ONCE, _PAIRS_AT_ONCE // walk.datapoints)
        if walk.rank is None:
            most = min(most, _BYTES_AT_ONCE // (4 * self.size))
        return max(_LANES, most // _LANES * _LANES)


def blocks_of_arrays(shapes: Sequence[Sequence[int]]) -> tuple[Block, ...]:
    """Return arrays as blocks along the diagonal of one matrix, one below the other."""
    matrices = [(shape[0], math.prod(shape[1:])) if shape else (1, 1) for shape in shapes]
    ends = np.cumsum([(0, 0), *matrices], axis=0)
    return tuple(Block(np.arange(a, b), np.arange(c, d)) for (a, c), (b, d) in pairwise(ends))


class Passes(Protocol):
    """What a library does for a step on some datapoints."""

    def losses(self, noise: Noise, sides: Sequence[float], rows: slice) -> Array:
        """Return the mean losses (sides, K) at W + side * stddev * noise, of the datapoints of those perturbations."""

    def add(self, total: dict[str, Any] | None, noise: Noise, weighing: Array) -> dict[str, Any]:
        """Return a total, None at first, plus the perturbations times (K,) numbers."""


class Found(NamedTuple):
    """What a step finds."""

    gradient: dict[str, Any]
    """Its estimate, by name; arrays of the library, float32 or wider."""
    loss: float
    """Mean over perturbations, of both sides or of the weights themselves."""


def estimate(settings: Settings, arrays: Arrays, walk: WalkConfiguration, passes: Passes, step: int) -> Found:
    """Return the estimate of the gradient that a step takes."""
    k, stddev = walk.n_perturbations, walk.stddev
    weighs_at_once = walk.shaping == "none"  # each difference by itself
    plus, other = np.empty(k), np.empty(k)
    sides: tuple[float, ...] = (1.0, -1.0 if walk.sides == "two" else 0.0)
    pieces = list(_pieces(k, arrays.at_once(settings, walk)))
    if one_centre := walk.share_data and walk.sides == "one":
        sides = (1.0,)
        other[:] = passes.losses(arrays.draw(settings, step, 0, 1), (0.0,), slice(0, 1))
    total: dict[str, Any] | None = None
    noise: Noise = {}
    for rows in pieces:
        noise = arrays.draw(settings, step, rows.start, rows.stop)
        found = passes.losses(noise, sides, rows)
        plus[rows] = found[0]
        if not one_centre:
            other[rows] = found[1]
        if weighs_at_once:
            by = shaped(plus[rows], other[rows], stddev, walk.sides, walk.share_data, "none")
            total = passes.add(total, noise, by / (stddev * k))
    loss = float((plus + other).mean() / 2 if walk.sides == "two" else other.mean())
    if not weighs_at_once:
        by = shaped(plus, other, stddev, walk.sides, walk.share_data, walk.shaping) / (stddev * k)
        for rows in pieces:
            if len(pieces) > 1:  # drawn again: nothing is kept
                noise = arrays.draw(settings, step, rows.start, rows.stop)
            total = passes.add(total, noise, by[rows])
    assert total is not None
    return Found(total, loss)


def _pieces(k: int, size: int) -> Iterator[slice]:
    for first in range(0, k, size):
        yield slice(first, min(first + size, k))


class Descent:
    """The rule that moves arrays along estimates, with what it keeps from step to step."""

    def __init__(self, walk: WalkConfiguration, names: Sequence[str]) -> None:
        self.walk = walk
        self._optimizers = {name: make_optimizer(walk) for name in names}

    def changes(self, gradient: Mapping[str, Any], step: int) -> dict[str, Any]:
        """Return what is subtracted from each array at a step."""
        if self.walk.update == "raw":
            return {name: self.walk.stddev**2 * one for name, one in gradient.items()}
        return {name: self._optimizers[name].change(one, step) for name, one in gradient.items()}

    @property
    def moments(self) -> dict[str, dict[str, Any]]:
        """By kind and array, what the optimiser keeps; numbers 0 before the first step."""
        kinds = next(iter(self._optimizers.values())).moments if self.walk.update == "normalised" else {}
        return {kind: {name: one.moments[kind] for name, one in self._optimizers.items()} for kind in kinds}

    def restore(self, moments: Mapping[str, Mapping[str, Any]]) -> None:
        """Go on from moments; ValueError if they are of another optimiser or other arrays."""
        wanted = self.moments
        if {kind: set(of) for kind, of in moments.items()} != {kind: set(of) for kind, of in wanted.items()}:
            raise ValueError(
                "the state is of another optimizer or other parameters: this walk keeps"
                f" {', '.join(wanted) or 'nothing'} of {', '.join(self._optimizers)}"
            )
        for kind, of in moments.items():
            for name, value in of.items():
                self._optimizers[name].moments[kind] = value


def length_of(leaves: Iterable[Any], what: str) -> int:
    """Return how many datapoints arrays hold; ValueError, which calls them `what`, if they differ."""
    sizes = {len(one) for one in leaves if getattr(one, "ndim", 0)}
    if len(sizes) != 1:
        found = ", ".join(map(str, sorted(sizes))) or "none"
        raise ValueError(f"x and y must be {what} with the datapoints along their first axis, got lengths {found}")
    return int(sizes.pop())


def first_difference(found: Array, wanted: Array, spread: float, resolution: float) -> str:
    """Say by how much losses that were run together differ from those run one by one; empty if they agree.

    `spread` is how much perturbations change the loss, `resolution` the relative size of a rounding.
    """
    slack = 0.02 * spread + 1e3 * resolution * float(np.abs(wanted).max())
    off = np.abs(found - wanted)
    if (off <= slack).all():  # false for NaN
        return ""
    k = np.unravel_index(off.argmax(), off.shape)
    return f"{found[k]:.7g} in place of {wanted[k]:.7g}"
