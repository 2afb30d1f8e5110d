"""Tables: rows of inputs and targets in three parts, training, validation and test."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from freewalk.kernels.model.noise import Stream, counters, philox
from freewalk.tasks.stored import HEADER_WORDS, Array32, Rows, Stored, first_row, float_at, whole_at

SHARES = (3, 1, 1)
"""Training, validation and test rows of a data set that says nothing of its own, in proportion."""

_N_ROWS, _X_ROWS, _Y_ROWS, _N_INPUT, _N_OUTPUT = range(2, 7)  # places in the header, after those that `first_row` reads
_ZERO = np.float32(0.0)


def datapoint(seed: int, stream: int, step: int, index: int, timesteps: int, argument: int, x: Any, y: Any) -> None:
    """Write a row of the table: in training one drawn with replacement, in a measurement the validation rows in order.

    Timesteps beyond the rows' own are zeros.
    """
    row = first_row(seed, stream, step, index, argument, 0)
    x_rows, y_rows = whole_at(argument, _X_ROWS), whole_at(argument, _Y_ROWS)
    n_input, n_output = whole_at(argument, _N_INPUT), whole_at(argument, _N_OUTPUT)
    first_x = HEADER_WORDS + row * x_rows * n_input
    first_y = HEADER_WORDS + whole_at(argument, _N_ROWS) * x_rows * n_input + row * y_rows * n_output
    for t in range(x.shape[0]):
        for k in range(x.shape[1]):
            x[t, k] = float_at(argument, first_x + t * n_input + k) if t < x_rows else _ZERO
    for t in range(y.shape[0]):
        for k in range(y.shape[1]):
            y[t, k] = float_at(argument, first_y + t * n_output + k) if t < y_rows else _ZERO


@dataclass(frozen=True, eq=False)
class Table(Stored):
    """Rows of x (n, x_rows, n_input) and y (n, y_rows, n_output), float32.

    Raises
    ------
    ValueError
        If shapes differ between the parts, training or validation is empty, or a number is not finite.
    """

    training: Rows
    validation: Rows
    test: Rows

    def __post_init__(self) -> None:
        for part, rows in self.parts.items():
            _check_rows(part, rows, self.training)

    @property
    def parts(self) -> dict[str, Rows]:
        """The rows by the name of their part."""
        return {"training": self.training, "validation": self.validation, "test": self.test}

    @property
    def n_validation(self) -> int:
        """Rows that a measurement shows, each once."""
        return len(self.validation[0])

    def _header(self) -> Sequence[int]:
        x, y = self.training
        n_rows = sum(len(rows[0]) for rows in self.parts.values())
        return len(x), self.n_validation, n_rows, x.shape[1], y.shape[1], x.shape[2], y.shape[2]

    def _words(self) -> Sequence[Array32]:
        return [rows[k].reshape(-1) for k in (0, 1) for rows in self.parts.values()]

    def test_rows(self, timesteps: int) -> Rows | None:
        """Return the test rows, those of sequences with zeros up to so many timesteps; None if there are none."""
        if not len(self.test[0]):
            return None
        x, y = (np.pad(a, ((0, 0), (0, max(0, timesteps - a.shape[1]) * (a.shape[1] > 1)), (0, 0))) for a in self.test)
        return x, y


def _check_rows(part: str, rows: Rows, training: Rows) -> None:
    """Raise ValueError unless the rows of a part fit each other and the training rows."""
    for name, values, first in zip("xy", rows, training, strict=True):
        if values.dtype != np.float32 or values.ndim != 3 or values.shape[1:] != first.shape[1:]:
            wanted = ", ".join(map(str, first.shape[1:]))
            raise ValueError(
                f"{name} of the {part} part must be float32 of shape (n, {wanted}), got {values.dtype} of shape"
                f" {values.shape}"
            )
        may_have_gaps = name == "y" and values.shape[1] > 1  # a timestep whose output does not count
        if not (np.isfinite(values) | (np.isnan(values) & may_have_gaps)).all():
            raise ValueError(f"{name} of the {part} part holds a number that is not finite")
    if len(rows[0]) != len(rows[1]):
        raise ValueError(f"x and y of the {part} part must have as many rows, got {len(rows[0])} and {len(rows[1])}")
    if part != "test" and not len(rows[0]):
        raise ValueError(f"the {part} part has no rows")


def stratified(labels: NDArray[Any], shares: Sequence[float]) -> list[NDArray[np.int64]]:
    """Deal rows out to parts, every class in the same proportions; always the same for the same labels.

    The order of a class's rows, and that of each part, is that of the words that Philox gives row 0, 1, ... under the
    key 0.

    Parameters
    ----------
    labels
        (n,) the class of each row.
    shares
        Sizes of the parts, in proportion.

    Returns
    -------
    For each part the numbers of its rows
    """
    words = philox(counters(0, np.arange(len(labels)), 0, Stream.DATA), 0)[:, 0]
    ends = np.cumsum(shares) / np.sum(shares)
    parts: list[list[NDArray[np.int64]]] = [[] for _ in shares]
    for label in np.unique(labels):
        rows = np.flatnonzero(labels == label)
        rows = rows[np.argsort(words[rows], kind="stable")]
        places = np.round(ends * len(rows)).astype(np.int64)
        for part, chosen in zip(parts, np.split(rows, places[:-1]), strict=True):
            part.append(chosen)
    together = [np.concatenate(part) for part in parts]
    return [part[np.argsort(words[part], kind="stable")] for part in together]
