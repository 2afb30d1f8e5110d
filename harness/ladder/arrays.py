"""Training on arrays: rows of NumPy arrays handed to the kernels through a C function made at run time."""

from __future__ import annotations

import ctypes
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from freewalk.kernels.machine.lanes import LANES
from freewalk.kernels.model.noise import Stream
from freewalk.kernels.model.walk import Data
from freewalk.tasks.task import Problem

Array32 = NDArray[np.float32]

_FLOATS = ctypes.POINTER(ctypes.c_float)
_FILL = ctypes.CFUNCTYPE(None, ctypes.c_uint64, *[ctypes.c_uint32] * 3, *[ctypes.c_int64] * 6, _FLOATS, _FLOATS)
"""`freewalk.kernels.data.task_functions.FILL` in ctypes' words."""

_N_ORDER = 1 << 16
_STRIDE = 7919  # a prime: the steps of a trial start at different places of the order


@dataclass(frozen=True, eq=False)
class Rows:
    """Inputs and targets: x (n, n_input) and y (n, n_output), float32."""

    x: Array32
    y: Array32

    def __post_init__(self) -> None:
        if self.x.ndim != 2 or self.y.ndim != 2 or len(self.x) != len(self.y) or not len(self.x):
            raise ValueError(
                f"x (n, n_input) and y (n, n_output) need as many rows, got {self.x.shape}, {self.y.shape}"
            )
        if self.x.dtype != np.float32 or self.y.dtype != np.float32:
            raise ValueError(f"x and y must be float32, got {self.x.dtype} and {self.y.dtype}")


def _no_datapoint(*_: Any) -> None:
    """Stand where a task has its own function."""
    raise NotImplementedError("these datapoints are rows of arrays")


@dataclass(frozen=True, kw_only=True)
class ArrayProblem(Problem):
    """A classification of rows: training steps take training rows in a random order, evaluations the held-out rows.

    The data live as long as this object does.
    """

    datapoint: Any = field(default=_no_datapoint)
    training: Rows
    heldout: Rows

    def data(self) -> Data:
        """Return the address of a function that copies rows; it needs Python's lock, so one thread at a time."""
        address = ctypes.cast(self._fill, ctypes.c_void_p).value
        assert address is not None
        return Data(address)

    @cached_property
    def _order(self) -> NDArray[np.int64]:
        return np.random.default_rng(0).integers(len(self.training.x), size=_N_ORDER)

    @cached_property
    def _fill(self) -> Any:
        lanes = np.arange(LANES)

        def fill(seed: int, stream: int, step: int, first: int, *rest: Any) -> None:
            x, y = rest[-2:]
            if stream == Stream.EVALUATION_DATA:
                rows, which = self.heldout, (first + lanes) % len(self.heldout.x)
            else:
                rows, which = self.training, self._order[(seed + step * _STRIDE + first + lanes) % _N_ORDER]
            np.ctypeslib.as_array(x, (self.n_input, LANES))[:] = rows.x[which].T
            np.ctypeslib.as_array(y, (self.n_output, LANES))[:] = rows.y[which].T

        return _FILL(fill)


def classes(labels: NDArray[Any], n: int) -> Array32:
    """Return labels 0..n-1 as rows with a one at each, (len, n) float32."""
    rows: Array32 = np.eye(n, dtype=np.float32)[labels]
    return rows


def split(x: NDArray[Any], labels: NDArray[Any], n_classes: int, *, heldout: float, seed: int) -> tuple[Rows, Rows]:
    """Return training and held-out rows, dealt out at random."""
    order = np.random.default_rng(seed).permutation(len(x))
    x, y = x[order].astype(np.float32), classes(labels[order], n_classes)
    n = round(len(x) * (1 - heldout))
    return Rows(x[:n], y[:n]), Rows(x[n:], y[n:])
