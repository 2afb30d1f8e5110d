"""Tasks made of arrays: classes for whole numbers, values for others."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from freewalk.tasks.stored import Array32, Rows, Source
from freewalk.tasks.table import SHARES, Table, datapoint, stratified
from freewalk.tasks.task import Metric, Problem, Task

Given = tuple[ArrayLike, ArrayLike]


def from_arrays(
    name: str,
    x: ArrayLike,
    y: ArrayLike,
    *,
    validation: Given | None = None,
    test: Given | None = None,
    shares: Sequence[float] = SHARES,
    metric: Metric | None = None,
    target: float | None = None,
    summary: str = "",
    baseline: float | None = None,
) -> Task:
    """Return a task whose datapoints are rows of arrays.

    Whole numbers as y are classes: the network ends in a softmax, the loss is the categorical cross-entropy and the
    metric the share of classes found. Other numbers are values: squared errors, and the metric is their mean sum.

    Parameters
    ----------
    name
        What `--task` takes.
    x
        (n, n_input), or (n, T, n_input) for an input a timestep.
    y
        (n,) whole numbers of at least 0, a class each; or (n, n_output) numbers, or (n, T, n_output) for an output a
        timestep. Outputs lie between 0 and 1: scale values into that range.
    validation, test
        (x, y) held out, measured after every epoch, or once at a trial's end. Without `validation`, rows of x and y are
        held out for both, every class in the same proportions, the same rows always.
    shares
        Training, validation and test rows in proportion, where they are held out; the last may be 0.
    metric, target
        When the task counts as learned; 0.9 of the classes, but for values a target must be given.
    summary
        One line for people.
    baseline
        The metric of the best answer that does not look at x; for classes the largest class's share of the validation
        rows.

    Raises
    ------
    ValueError
        If shapes do not fit each other, a number is not finite, classes are missing or there is no target.
    """
    ys = np.asarray(y)
    is_class = ys.ndim == 1 and np.issubdtype(ys.dtype, np.integer)
    n_classes = int(ys.max()) + 1 if is_class and len(ys) else 0
    if target is None and not is_class:
        raise ValueError(f"task {name!r}: give a target, the metric's value at which it counts as learned")
    try:
        table = _table(x, ys, validation, test, shares, n_classes)
    except ValueError as error:
        raise ValueError(f"task {name!r}: {error}") from None
    inputs, targets = (np.ndim(x) == 3), (ys.ndim == 3)
    problem = Problem(
        n_input=table.training[0].shape[2],
        n_output=table.training[1].shape[2],
        datapoint=datapoint,
        argument=int(table.sources[0].sha256[:15], 16),  # in the address's place, it tells equal data from others
        sequence_input=inputs,
        sequence_output=targets,
        softmax=is_class,
        loss="categorical_crossentropy" if is_class else "mean_squared_error",
        default_timesteps=max(a.shape[1] for a in table.training) if inputs or targets else 4,
        least_timesteps=max(a.shape[1] for a in table.training),
        domain_size=table.n_validation,
        load_stored=lambda: table,
    )
    held_out = table.validation[1]
    return Task(
        name=name,
        summary=summary or (f"{n_classes} classes of rows" if is_class else "values of rows"),
        metric=metric or ("accuracy" if is_class else "loss"),
        target=0.9 if target is None else target,
        make_problem=lambda: problem,
        baseline=float(held_out.mean(axis=(0, 1)).max()) if baseline is None and is_class else baseline,
        baseline_text="the largest class always" if is_class and baseline is None else "",
    )


def _table(
    x: ArrayLike, y: NDArray[Any], validation: Given | None, test: Given | None, shares: Sequence[float], n_classes: int
) -> Table:
    all_x = _dense(x, "x")
    all_y = _targets(y, n_classes)
    if len(all_x) != len(all_y):
        raise ValueError(f"x and y must have as many rows, got {len(all_x)} and {len(all_y)}")
    if n_classes and (y.min() < 0 or n_classes < 2):
        raise ValueError(f"classes must be whole numbers from 0 to at least 1, got {y.min()} to {y.max()}")
    if validation is not None:
        parts = [(all_x, all_y), _rows(validation, n_classes)]
        parts.append((all_x[:0], all_y[:0]) if test is None else _rows(test, n_classes))
    elif test is not None:
        raise ValueError("give validation rows too; with test rows alone it is not clear what a trial is judged by")
    else:
        labels = y if n_classes else np.zeros(len(all_y), dtype=np.int64)
        parts = [(all_x[rows], all_y[rows]) for rows in stratified(labels, _checked(shares))]
    digest = hashlib.sha256()
    for part in parts:
        for values in part:
            digest.update(str(values.shape).encode())
            digest.update(values.tobytes())
    return Table((Source("arrays", digest.hexdigest()),), *parts)


def _checked(shares: Sequence[float]) -> Sequence[float]:
    if len(shares) != 3 or min(shares) < 0 or not (shares[0] > 0 and shares[1] > 0):
        raise ValueError(f"shares must be three numbers, only the test's 0 or more, the others above 0; got {shares}")
    return shares


def _rows(given: Given, n_classes: int) -> Rows:
    return _dense(given[0], "x"), _targets(np.asarray(given[1]), n_classes)


def _dense(values: ArrayLike, name: str) -> Array32:
    """Return (n, rows, numbers) float32."""
    array = np.asarray(values, dtype=np.float32)
    if array.ndim not in (2, 3) or not array.shape[-1]:
        raise ValueError(f"{name} must have shape (n, numbers) or (n, timesteps, numbers), got {array.shape}")
    return np.ascontiguousarray(array if array.ndim == 3 else array[:, None])


def _targets(y: NDArray[Any], n_classes: int) -> Array32:
    return classes(y, n_classes) if n_classes else _dense(y, "y")


def classes(labels: NDArray[Any], n: int) -> Array32:
    """Return labels 0..n-1 as rows with a one at each, (len, 1, n) float32.

    Raises
    ------
    ValueError
        If a label is another.
    """
    if len(labels) and not (labels.min() >= 0 and labels.max() < n):
        raise ValueError(f"classes must be whole numbers from 0 to {n - 1}, got {labels.min()} to {labels.max()}")
    rows: Array32 = np.eye(n, dtype=np.float32)[labels][:, None]
    return rows
