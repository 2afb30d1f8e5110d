"""Tasks made of arrays: classes for labels, values for other numbers."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from freewalk.kernels.trainers.reference_trainer import measure
from freewalk.tasks.errors import DataError
from freewalk.tasks.given import as_array, as_float32, warn_unreachable
from freewalk.tasks.labels import Names, listed, names_of, one_hot, read_labels
from freewalk.tasks.stored import Array32, Rows, Source
from freewalk.tasks.table import SHARES, Table, datapoint, stratified
from freewalk.tasks.task import METRIC_DESCRIPTIONS, MINIMISED, Metric, Problem, Task

Given = tuple[ArrayLike, ArrayLike]
_FOR_CLASSES = "labels of classes have shape (n,), and their target is the share of them found"


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

    Labels as y are classes: the network ends in a softmax, the loss is the categorical cross-entropy and the metric the
    share of classes found. Other numbers are values: squared errors, and the metric is their mean sum.

    Parameters
    ----------
    name
        What `--task` takes.
    x
        (n, n_input), or (n, T, n_input) for an input a timestep.
    y
        (n,) labels, a class each: whole numbers of at least 0, True and False, -1 and 1, or words, whose classes are in
        alphabetical order. Or values between 0 and 1, as outputs are: (n, n_output), (n,) for one output, or
        (n, T, n_output) for an output a timestep, NaN where one does not count. Others are taken with an
        `UnreachableTargets` warning; they need output=linear.
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
    DataError
        A ValueError: if shapes do not fit each other, a number or a label is missing or not finite, there is no target,
        or one that cannot be met or is met without learning.
    """
    try:
        labels = read_labels(as_array(y, "y"))
        names = None if labels is None or not len(labels) else names_of(labels)
        table = _table(x, y, labels, names, validation, test, shares)
        chosen = _metric(metric, names, table)
        goal = _goal(chosen, target, names)
    except ValueError as error:
        raise DataError(f"task {name!r}: {error}") from None
    warn_unreachable(np.concatenate([rows[1] for rows in table.parts.values()]), f"task {name!r}: y")
    is_class = names is not None
    inputs, targets = np.ndim(x) == 3, np.ndim(y) == 3
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
    task = Task(
        name=name,
        summary=summary or _summary(names),
        metric=chosen,
        target=goal,
        make_problem=lambda: problem,
        baseline=float(held_out.mean(axis=(0, 1)).max()) if baseline is None and is_class else baseline,
        baseline_text="the largest class always" if is_class and baseline is None else "",
    )
    _refuse_met(task, problem, held_out)
    return task


def _summary(names: Names | None) -> str:
    if names is None:
        return "values of rows"
    said = "" if isinstance(names, range) else f": {listed(names)}"
    return f"{len(names)} classes of rows{said}"


def _metric(metric: Metric | None, names: Names | None, table: Table) -> Metric:
    if metric is None:
        return "loss" if names is None else "accuracy"
    if metric not in METRIC_DESCRIPTIONS:
        raise ValueError(f"metric {metric!r} is unknown; known: {', '.join(METRIC_DESCRIPTIONS)}")
    if metric == "accuracy" and table.training[1].shape[2] == 1:
        raise ValueError("metric 'accuracy' is the share of classes found, and one output has none; give bit_accuracy")
    return metric


def _goal(metric: Metric, target: float | None, names: Names | None) -> float:
    """Return the target, given or the usual one of classes; refuse one that the metric never has."""
    if target is None and names is None:
        raise ValueError(f"give a target, the metric's value at which it counts as learned; {_FOR_CLASSES}")
    try:
        goal = 0.9 if target is None else float(target)
    except (TypeError, ValueError):
        goal = math.nan
    is_share = metric not in MINIMISED
    if not (0 < goal <= 1 if is_share else 0 <= goal < math.inf):
        meant = "a share above 0 and at most 1" if is_share else "a finite number of at least 0"
        raise ValueError(f"target={target!r} does not fit metric {metric!r}, which needs {meant}")
    return goal


def _refuse_met(task: Task, problem: Problem, held_out: Array32) -> None:
    """Refuse a target that is met before anything is learned."""
    y = held_out if problem.sequence_output else held_out[:, 0]
    if task.direction == "maximize":
        counts = ~np.isnan(y)
        mean = np.where(counts, y, 0).sum(axis=0) / np.maximum(counts.sum(axis=0), 1)
        answer, what, remedy = mean, "one answer always", "higher"
    else:
        answer, remedy = np.full(y.shape[1:], 1 / problem.n_output if problem.softmax else 0.5), "lower"
        what = "equal chances for all classes" if problem.softmax else "an output of 1/2 always"
    outputs = np.broadcast_to(answer.astype(np.float64), y.shape)
    value = task.measure(measure(problem.network(0), outputs, y.astype(np.float64)))
    if task.is_met_by(value):
        otherwise = "" if problem.softmax else f"; {_FOR_CLASSES}"
        raise DataError(
            f"task {task.name!r}: the target, {task.metric} {task.comparison} {task.target:g}, is met without"
            f" learning: {what} has {value:.4g}; give a {remedy} target{otherwise}"
        )


def _table(
    x: ArrayLike,
    y: ArrayLike,
    labels: NDArray[Any] | None,
    names: Names | None,
    validation: Given | None,
    test: Given | None,
    shares: Sequence[float],
) -> Table:
    all_x = _dense(x, "x")
    all_y = _targets(y, labels, names, "y")
    if len(all_x) != len(all_y):
        raise ValueError(f"x and y must have as many rows, got {len(all_x)} and {len(all_y)}")
    if not len(all_x):
        raise ValueError("x and y have no rows")
    if validation is not None:
        parts = [(all_x, all_y), _rows(validation, names, "validation")]
        parts.append((all_x[:0], all_y[:0]) if test is None else _rows(test, names, "test"))
    elif test is not None:
        raise ValueError("give validation rows too; with test rows alone it is not clear what a trial is judged by")
    else:
        of_one = np.zeros(len(all_y), dtype=np.int64)
        classes = of_one if names is None else all_y.argmax(axis=2)[:, 0]
        parts = [(all_x[rows], all_y[rows]) for rows in stratified(classes, _checked(shares))]
        if not all(len(rows[0]) for rows in parts[:2]):
            raise ValueError(f"{len(all_x)} rows are too few to hold some out; give more, or validation rows")
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


def _rows(given: Given, names: Names | None, part: str) -> Rows:
    x, y = given
    called = f"y of the {part} rows"
    labels = None if names is None else read_labels(as_array(y, called), called, wanted=True)
    return _dense(x, f"x of the {part} rows"), _targets(y, labels, names, called)


def _dense(values: ArrayLike, name: str, *, gaps: bool = False) -> Array32:
    """Return (n, rows, numbers) float32."""
    array = as_float32(values, name, gaps=gaps)
    if array.ndim not in (2, 3) or not array.shape[-1]:
        column = f"; one number a row is {name.split()[0]}[:, None]" if array.ndim == 1 else ""
        raise ValueError(f"{name} must have shape (n, numbers) or (n, timesteps, numbers), got {array.shape}{column}")
    return np.ascontiguousarray(array if array.ndim == 3 else array[:, None])


def _targets(y: ArrayLike, labels: NDArray[Any] | None, names: Names | None, name: str) -> Array32:
    """Return (n, rows, numbers) float32: a one at each class, or values."""
    if labels is not None and names is not None:
        return one_hot(labels, names, name)
    array = as_float32(y, name, gaps=np.ndim(y) == 3)
    if names is not None:
        raise ValueError(f"{name} must have shape (n,), a label each as y has, got {array.shape}")
    return _dense(array[:, None] if array.ndim == 1 else array, name, gaps=array.ndim == 3)
