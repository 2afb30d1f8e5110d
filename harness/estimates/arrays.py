"""Weights of any library as rows of float64, and back: NumPy, PyTorch and JAX, none of which is imported for it."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from freewalk.harness.gradcheck.own import Arrangement, Weights, is_sequence

Array = NDArray[np.float64]


def library(value: Any) -> str:
    """Return which library an array is of: numpy, torch or jax."""
    root = type(value).__module__.partition(".")[0]
    return {"torch": "torch", "jax": "jax", "jaxlib": "jax"}.get(root, "numpy")


def as_numpy(value: Any) -> Array:
    """Return a float64 copy."""
    if library(value) == "torch":
        value = value.detach().cpu().double().numpy()
    return np.array(value, dtype=np.float64)


def converted(values: Array, like: Any) -> Any:
    """Return the values as an array of another's library, type and device."""
    kind = library(like)
    if kind == "torch":
        return like.new_tensor(values)
    if kind == "jax":
        return sys.modules["jax"].numpy.asarray(values, dtype=like.dtype)
    dtype = np.asarray(like).dtype
    return values.astype(dtype if dtype.kind == "f" else np.float64)


class Space:
    """Where the user's weights live: their arrangement, library and types."""

    def __init__(self, weights: Weights) -> None:
        self._weights = weights
        try:
            self._arrangement = Arrangement(_mapped(as_numpy, weights))
        except TypeError as error:
            raise ValueError(
                "weights must be one array, a sequence of arrays or a mapping of names to arrays; flatten nested ones"
            ) from error
        self._keys = list(weights) if isinstance(weights, Mapping) else None
        self._likes = self.leaves(weights)
        self.names: list[str] = self._arrangement.names
        self.shapes: list[tuple[int, ...]] = self._arrangement.shapes
        ends = np.cumsum([0, *(int(np.prod(shape)) for shape in self.shapes)])
        self.parts = [slice(int(a), int(b)) for a, b in pairwise(ends)]
        self.size = int(ends[-1])
        self.library = library(self._likes[0])
        self.resolution = max(_resolution(like) for like in self._likes)

    def leaves(self, weights: Weights) -> list[Any]:
        """Return the arrays in order."""
        if self._keys is not None:
            return [weights[key] for key in self._keys]
        return list(weights) if is_sequence(weights) else [weights]

    def flatten(self, weights: Weights, what: str) -> Array:
        """Return all numbers in one row; ValueError if they are arranged otherwise than the user's."""
        return self._arrangement.flatten(_mapped(as_numpy, weights), what)

    def constants(self, flat: Array) -> list[Any]:
        """Return arrays of the user's library, in order."""
        shaped = [flat[part].reshape(shape) for part, shape in zip(self.parts, self.shapes, strict=True)]
        return [converted(one, like) for one, like in zip(shaped, self._likes, strict=True)]

    def restore(self, flat: Array) -> Weights:
        """Return fresh weights, arranged as the user's and of their library."""
        arrays = self.constants(flat)
        if self._keys is not None:
            return dict(zip(self._keys, arrays, strict=True))
        if not is_sequence(self._weights):
            return arrays[0]
        if isinstance(self._weights, tuple):
            return self._weights._make(arrays) if hasattr(self._weights, "_make") else tuple(arrays)
        return arrays


def _mapped(function: Callable[[Any], Any], weights: Weights) -> Weights:
    if isinstance(weights, Mapping):
        return {key: function(value) for key, value in weights.items()}
    return [function(value) for value in weights] if is_sequence(weights) else function(weights)


def _resolution(like: Any) -> float:
    """Return the relative size of a rounding in an array's type."""
    name = str(getattr(like, "dtype", "float64"))
    for part, value in (("bfloat16", 2.0**-8), ("float16", 2.0**-11), ("float32", 2.0**-24)):
        if part in name:
            return value
    return 2.0**-53
