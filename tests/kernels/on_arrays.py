"""One step on datapoints that a test gives: of the compiled walk, and as the formula reads."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from freewalk.kernels.cpu.layout import GIVEN
from freewalk.kernels.cpu.low_rank_trial import CpuLowRankWalk
from freewalk.kernels.cpu.trainer import array_source
from freewalk.kernels.cpu.trial import CpuWalk
from freewalk.kernels.model.network import FreeNetwork
from freewalk.kernels.model.walk import Data, Sides, WalkConfiguration
from freewalk.kernels.reference import reference
from freewalk.kernels.reference.reference import Array


def step_on_arrays(
    network: FreeNetwork,
    configuration: WalkConfiguration,
    weights: NDArray[np.floating],
    x: NDArray[Any],
    y: NDArray[Any],
    *,
    unit_noise: NDArray[np.floating] | None = None,
    seed: int = 0,
    step: int = 0,
    threads: int = 1,
    mask: NDArray[np.bool_] | None = None,
) -> NDArray[np.float64]:
    """Return the weights (n_from, n_to) after one step on given datapoints, with given or addressed noise.

    Parameters
    ----------
    configuration
        Its batch size counts with shared data alone: otherwise the batch is what is given.
    unit_noise
        (B, n_from, n_to) perturbations divided by stddev; None draws them for (seed, step).

    Raises
    ------
    ValueError
        If a shape does not fit the network.
    """
    source = array_source(network, x, y, configuration.timesteps)
    own = configuration if configuration.share_data else replace(configuration, batch_size=len(source.x))
    kind = CpuWalk if configuration.rank is None else CpuLowRankWalk
    walk = kind(network, own, Data(0), seed=seed, evaluation_points=1, threads=threads, mask=mask)
    walk._training, walk.step = source, step
    walk._weights.master[:] = walk._values_of(np.asarray(weights, np.float64))
    walk._copy_to_single()
    if unit_noise is not None and isinstance(walk, CpuWalk):
        wanted = (len(source.x), network.n_from, network.n_to)
        if unit_noise.shape != wanted:
            raise ValueError(f"unit_noise must have shape {wanted}, got {unit_noise.shape}")
        given = np.ascontiguousarray(unit_noise, dtype=np.float32)
        walk._noise = walk._noise._replace(kind=GIVEN, given=given)
    walk.train(1)
    return walk.weights


def raw_step(
    network: FreeNetwork,
    weights: Array,
    x: NDArray[Any],
    y: NDArray[Any],
    timesteps: int,
    unit_noise: Array,
    stddev: float,
    *,
    sides: Sides = "one",
    mask: NDArray[np.bool_] | None = None,
) -> Array:
    """Return the weights after one step of the original rule: W + mean_b D_b (L_b(W) - L_b(W + D_b))."""
    return weights - reference.gradient_estimate(
        network, weights, x, y, timesteps, unit_noise, stddev, sides=sides, mask=mask
    )
