"""Weight sets and their losses in NumPy float64."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from freewalk.kernels.machine.lanes import LANES
from freewalk.kernels.model.network import FreeNetwork
from freewalk.kernels.model.population import Tried
from freewalk.kernels.reference import reference
from freewalk.kernels.reference.reference import Array


def try_members(
    network: FreeNetwork,
    members: Array,
    x: NDArray[Any],
    y: NDArray[Any],
    timesteps: int,
    tolerance: float = math.inf,
) -> Tried:
    """Return what K weight sets come to on the same datapoints.

    Parameters
    ----------
    members
        (K, n_from, n_to); zeros where the network has no weight.
    x, y
        Datapoints, as in `freewalk.kernels.reference.reference`.
    tolerance
        How far an output may be from its target. Below infinity a member sees no lane group of sixteen datapoints after
        the first in which one is wrong, and its loss is the mean of those that it has seen.
    """
    every = [_of_each(network, weights, x, y, timesteps, tolerance) for weights in members]
    losses, right = np.stack([one[0] for one in every]), np.stack([one[1] for one in every])
    seen = np.full(len(members), len(x))
    if tolerance < math.inf:
        first_wrong = np.where(right.all(axis=1), len(x), right.argmin(axis=1))
        seen = np.minimum((first_wrong // LANES + 1) * LANES, len(x))
    means = np.array([one[:n].mean() for one, n in zip(losses, seen, strict=True)])
    return Tried(np.where(np.isnan(means), math.inf, means), seen, np.all(right, axis=1))


def _of_each(
    network: FreeNetwork, weights: Array, x: NDArray[Any], y: NDArray[Any], timesteps: int, tolerance: float
) -> tuple[Array, NDArray[np.bool_]]:
    """Return the (m,) losses of one weight set's datapoints, and which are right."""
    outputs = reference.forward(network, weights, x, timesteps)
    target = reference.dense_targets(network, y)
    each = (np.abs(outputs - target) < tolerance) | np.isnan(target)  # a target that is NaN does not count
    right: NDArray[np.bool_] = np.all(each.reshape(len(each), -1), axis=1)
    return reference.losses(network, outputs, y), right
