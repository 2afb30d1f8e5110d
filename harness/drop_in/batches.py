"""What an iterator gives for one step, checked and laid out as the kernels read it."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from freewalk.harness.base.errors import UsageError
from freewalk.harness.drop_in.keys import Keys
from freewalk.harness.drop_in.settings import Settings
from freewalk.tasks.given import as_array, warn_unreachable

Rows = NDArray[np.float32]


def unpack(item: Any) -> tuple[Any, Any]:
    """Return the two parts of what an iterator gave.

    Raises
    ------
    UsageError
        If there are not two.
    """
    try:
        x, target = item
    except (TypeError, ValueError):
        size = f" of {len(item)}" if hasattr(item, "__len__") else ""
        raise UsageError(f"the iterator must give pairs (x, target), it gave a {type(item).__name__}{size}") from None
    return x, target


def batch_of(settings: Settings, x: Any, target: Any, n: int | None) -> tuple[Rows, Rows]:
    """Return inputs and targets of `n` datapoints, any number of them for None, as rows of float32.

    Returns
    -------
    (B, input_rows * num_input) and (B, output_rows * num_output), one-hot where the configuration says so

    Raises
    ------
    UsageError
        If a shape or a type does not fit the configuration: it names what was expected and what was found.
    """
    xs, ys = inputs_of(settings, x, n), _targets_of(settings, target, n)
    if len(xs) != len(ys):
        raise UsageError(f"x and target must have as many datapoints, got {len(xs)} and {len(ys)}")
    warn_unreachable(ys, "target", stacklevel=3)
    return xs, ys


def inputs_of(settings: Settings, x: Any, n: int | None) -> Rows:
    """Return inputs of `n` datapoints, (n, input_rows * num_input) float32; see `batch_of`."""
    keys = settings.keys
    return _rows(keys, "x", x, n, "num_input", keys.sequence_input, keys.net_input_add_onehot)


def _targets_of(settings: Settings, target: Any, n: int | None) -> Rows:
    keys = settings.keys
    return _rows(keys, "target", target, n, "num_output", keys.sequence_output, keys.net_target_add_onehot)


def _rows(keys: Keys, name: str, values: Any, n: int | None, key: str, is_sequence: bool, is_onehot: bool) -> Rows:
    size: int = getattr(keys, key)
    try:
        array = as_array(values, name)
    except ValueError as error:
        raise UsageError(str(error)) from None
    if array.dtype.kind not in "biuf":
        raise UsageError(f"{name} must hold numbers, got {array.dtype}")
    axes = {"timesteps": keys.timesteps} if is_sequence else {}
    axes |= {} if is_onehot else {key: size}
    wanted = tuple(axes.values())
    if array.shape[1:] != wanted or not array.ndim or not len(array) or n not in (None, len(array)):
        batch = "B" if n is None else f"batch_size={n}"
        expected = ", ".join([batch, *(f"{axis}={length}" for axis, length in axes.items())])
        raise UsageError(f"{name} must have shape ({expected}), got {array.shape}")
    dense = _one_hot(name, array, key, size) if is_onehot else array.astype(np.float32, copy=False)
    return np.ascontiguousarray(dense).reshape(len(array), -1)


def _one_hot(name: str, array: NDArray[Any], key: str, size: int) -> Rows:
    indices = array.astype(np.int64, copy=False)
    if array.dtype.kind == "f" and not np.array_equal(indices, array):
        raise UsageError(f"{name} must hold whole numbers, which stand for one-hot rows, got {array.dtype}")
    if indices.min() < 0 or indices.max() >= size:
        found = f"{indices.min()}..{indices.max()}"
        raise UsageError(f"{name} must hold whole numbers from 0 to below {key}={size}, got {found}")
    rows: Rows = np.eye(size, dtype=np.float32)[indices]
    return rows


def why_not_finite(xs: Rows, ys: Rows) -> str:
    """Say what makes a loss that is not finite."""
    for name, rows in (("x", xs), ("target", ys)):
        if not np.isfinite(rows).all():
            return f"{name} holds numbers that are not finite"
    return "outputs or weights have run out of range; lower test_stddev or learning_rate"
