"""Whether a network that met its target at a measurement meets it on fresh datapoints too, beyond doubt.

A trial is measured often, and the best of many measurements on few datapoints is luck as much as learning.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Final

import numpy as np
from numpy.typing import NDArray

from freewalk.harness.methods.problem import ResolvedProblem
from freewalk.kernels.cpu.trial import MEASURES
from freewalk.kernels.model.noise import Stream
from freewalk.kernels.trainers.running import measure_datapoints
from freewalk.tasks.task import Metric

FIRST_POINTS: Final = 2048
MOST_POINTS: Final = 2**17
DOUBT: Final = 2.5
"""Standard errors between a mean and its target that leave no doubt."""
_SIZES: Final = tuple(FIRST_POINTS << k for k in range((MOST_POINTS // FIRST_POINTS).bit_length()))


def confirm(
    problem: ResolvedProblem,
    weights: NDArray[np.float64],
    meets: Callable[[float], bool],
    *,
    seed: int,
    earlier: int,
    n_seen: int,
) -> tuple[bool, float | None]:
    """Return whether a network meets its target on fresh held-out datapoints, and the metric on them.

    They are drawn as those of measurements are, but from another part of the random numbers. Ever more are taken, up to
    `MOST_POINTS`, until the mean is `DOUBT` standard errors from the target; where it never is, the answer is no. The
    largest error of an output, which is no mean, must meet the target on all of them. Where there are only so many
    held-out datapoints, all of these decide.

    Parameters
    ----------
    problem
        What is learned.
    weights
        (n_from, n_to), zeros where the network has none.
    meets
        Whether a value of the metric meets the target.
    seed
        Of the trial.
    earlier
        Confirmations that the trial has asked for before: each sees other datapoints.
    n_seen
        Datapoints that the measurement saw.

    Returns
    -------
    bool, float or None
        None where the measurement has seen every held-out datapoint, so that there is nothing to add.
    """
    n_there, metric = problem.problem.domain_size, problem.task.metric
    if n_there is None and problem.problem.load_stored is not None:
        n_there = FIRST_POINTS  # pieces of a stored text: no draw brings new ones
    if n_there is not None and n_there <= n_seen:
        return True, None
    step = 0 if n_there is not None else 1 + earlier
    parts: list[NDArray[np.float64]] = []
    n = 0
    for size in (n_there,) if n_there is not None else _SIZES:
        parts.append(_metric_of_each(problem, weights, seed=seed, step=step, first=n, n=size - n))
        n = size
        values = np.concatenate(parts)
        found = float(values.max() if metric == "max_error" else values.mean())
        verdict = meets(found) if n_there is not None else _verdict(found, values, metric, meets)
        if verdict is not None:
            return verdict, found
    return metric == "max_error", found


def _verdict(found: float, values: NDArray[np.float64], metric: Metric, meets: Callable[[float], bool]) -> bool | None:
    """Return whether the metric of the first datapoints tells that of all; None where it may be either."""
    if metric == "max_error":
        return None if meets(found) else False
    # A share may be 1 of so many datapoints though not of all there are: as if one more had missed.
    missed = 0.0 if metric == "loss" else 1.0 / len(values)
    error = math.sqrt((float(values.var()) + missed) / len(values))
    low, high = meets(found - DOUBT * error), meets(found + DOUBT * error)
    return low if low == high else None


def _metric_of_each(
    problem: ResolvedProblem, weights: NDArray[np.float64], *, seed: int, step: int, first: int, n: int
) -> NDArray[np.float64]:
    """Return the task's metric of each of n held-out datapoints; of accuracy, those without a class are left out."""
    measures = measure_datapoints(
        problem.network,
        weights,
        problem.data(),
        problem.timesteps,
        seed=seed,
        stream=Stream.EVALUATION_DATA,
        step=step,
        first=first,
        n_datapoints=n,
    )
    values = measures[:, MEASURES.index(problem.task.metric)]
    return values[~np.isnan(values)] if problem.task.metric == "accuracy" else values
