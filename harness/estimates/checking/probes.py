"""Losses with a known gradient that write down where an estimator evaluates them."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from freewalk.harness.estimates.arrays import Space, as_numpy, converted, library
from freewalk.harness.gradcheck.own import Weights

Array = NDArray[np.float64]


class Probe:
    """A loss, `scale` times f(W) plus `shift`, that records its calls.

    f is the user's own loss, or <G, W - W0>, which works on the user's arrays: NumPy, PyTorch or JAX, on stacks of
    weight sets with further axes in front, and inside of vmap and jit. One object serves all calls that need this loss,
    so that what has been compiled for it is compiled once.
    """

    def __init__(
        self,
        space: Space,
        centre: Array,
        gradient: Array,
        *,
        own: Callable[[Weights], Any] | None = None,
        scale: float = 1.0,
        shift: float = 0.0,
        power: int = 1,
    ) -> None:
        self._space, self._own, self._scale, self._shift, self._power = space, own, scale, shift, power
        self._origin, self._slopes = space.constants(centre), space.constants(gradient)
        self.centre, self.gradient, self._plain_gradient = centre, scale * gradient, gradient
        self._points: list[Array] = []
        self._values: list[Array] = []
        self.n_called = 0
        self.n_unseen = 0
        """Calls whose weights could not be read."""
        self.at_centre = float(np.ravel(as_numpy(self._value(space.restore(centre))))[0])

    def __call__(self, weights: Weights) -> Any:
        """Return the loss, as a number of the library of the weights."""
        self.n_called += 1
        leaves = self._space.leaves(weights)
        row = self._row(leaves) if self._own is None else None
        if row is not None:
            value = self._changed((row - self.centre) @ self._plain_gradient)
            self._write_down(row[None], np.array([value]))
            return value
        value = self._value(weights)
        self._see(leaves, value)
        return value

    def start(self) -> None:
        """Forget what was recorded."""
        self._points, self._values, self.n_unseen = [], [], 0

    def recorded(self) -> tuple[Array, Array]:
        """Return the (n, P) weights of the calls since the start and their (n,) losses."""
        if "jax" in sys.modules and self._space.library == "jax":
            sys.modules["jax"].effects_barrier()
        if not self._points:
            return np.zeros((0, self._space.size)), np.zeros(0)
        return np.concatenate(self._points), np.concatenate(self._values)

    def rise_along_gradient(self) -> list[float]:
        """Return central differences along the gradient, over what it says, for steps of several sizes."""
        unit = self.gradient / np.linalg.norm(self.gradient)
        size = max(float(np.linalg.norm(self.centre)), 1e-3)
        found = []
        for h in (1e-2 * size, 1e-4 * size, 1e-6 * size):
            ends = [self._value(self._space.restore(self.centre + sign * h * unit)) for sign in (1, -1)]
            up, down = (float(np.ravel(as_numpy(end))[0]) for end in ends)
            found.append((up - down) / (2 * h) / float(np.linalg.norm(self.gradient)))
        return found

    def _row(self, leaves: Sequence[Any]) -> Array | None:
        """Return one weight set of NumPy's as a row, which is by far the most frequent; None for anything else."""
        for leaf, shape in zip(leaves, self._space.shapes, strict=True):
            if type(leaf) is not np.ndarray or leaf.shape != shape:
                return None
        return np.concatenate([leaf.reshape(-1) for leaf in leaves], dtype=np.float64)

    def _value(self, weights: Weights) -> Any:
        return self._changed(self._own(weights) if self._own is not None else self._linear(self._space.leaves(weights)))

    def _changed(self, plain: Any) -> Any:
        return self._scale * (plain**self._power if self._power > 1 else plain) + self._shift

    def _linear(self, leaves: Sequence[Any]) -> Any:
        total: Any = 0.0
        for leaf, origin, slope, shape in zip(leaves, self._origin, self._slopes, self._space.shapes, strict=True):
            if library(leaf) == "numpy":
                # a loss is a Python number to NumPy's users, whatever the type of their weights
                leaf, origin, slope = (np.asarray(one, dtype=np.float64) for one in (leaf, origin, slope))
            elif library(leaf) == "torch" and library(origin) != "torch":
                origin, slope = converted(origin, leaf), converted(slope, leaf)
            stack = tuple(leaf.shape)[: len(leaf.shape) - len(shape)]
            if tuple(leaf.shape) != (*stack, *shape):
                raise ValueError(
                    f"the estimator called the loss with weights of shape {tuple(leaf.shape)}, not {shape}"
                )
            total = total + ((leaf - origin) * slope).reshape((*stack, math.prod(shape))).sum(-1)
        return total

    def _see(self, leaves: Sequence[Any], value: Any) -> None:
        # a record must never break the estimator: what cannot be read is counted
        try:
            if any(library(one) == "jax" and _is_traced(one) for one in (*leaves, value)):
                sys.modules["jax"].debug.callback(self._store, list(leaves), value)
            else:
                self._store([_unbatched(leaf) for leaf in leaves], _unbatched(value))
        except Exception:
            self.n_unseen += 1

    def _store(self, leaves: Sequence[Any], value: Any) -> None:
        values = as_numpy(value).reshape(-1)
        rows = [
            np.broadcast_to(as_numpy(leaf).reshape(-1, math.prod(shape)), (values.size, math.prod(shape)))
            for leaf, shape in zip(leaves, self._space.shapes, strict=True)
        ]
        self._write_down(np.concatenate(rows, axis=1), values)

    def _write_down(self, points: Array, values: Array) -> None:
        self._points.append(points)
        self._values.append(values)


def _is_traced(value: Any) -> bool:
    return isinstance(value, sys.modules["jax"].core.Tracer)


def _unbatched(value: Any) -> Any:
    """Return the stack of tensors that stands behind one inside of torch.func.vmap."""
    if library(value) != "torch":
        return value
    inside = sys.modules["torch"]._C._functorch
    while inside.is_batchedtensor(value):
        axis = inside.maybe_get_bdim(value)
        value = inside.get_unwrapped(value).movedim(axis, 0)
    return value
