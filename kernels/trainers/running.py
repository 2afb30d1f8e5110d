"""What any network answers to given datapoints, free, layered or one's own."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from freewalk.kernels.cpu import trial
from freewalk.kernels.data.datapoints import draw
from freewalk.kernels.model.network import FreeNetwork
from freewalk.kernels.model.own_network import ModelNetwork
from freewalk.kernels.model.walk import Data
from freewalk.kernels.reference import reference
from freewalk.kernels.trainers.own_model import measures_of_each, outputs_of_model


def run_on_arrays(
    network: FreeNetwork, weights: NDArray[np.floating], x: NDArray[Any], y: NDArray[Any], timesteps: int
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return the outputs and the losses (B,) of given datapoints; shapes as in freewalk.kernels.reference.

    Raises
    ------
    ValueError
        If x or y does not fit the network.
    """
    if not isinstance(network, ModelNetwork):
        return trial.run_on_arrays(network, weights, x, y, timesteps)
    outputs = outputs_of_model(network, weights, x)
    return outputs, reference.losses(network, outputs, y).astype(np.float32)


def measure_datapoints(
    network: FreeNetwork, weights: NDArray[np.floating], data: Data, timesteps: int, *, first: int, **which: Any
) -> NDArray[np.float64]:
    """Return each datapoint's own measures; see `freewalk.kernels.cpu.trial.measure_datapoints`."""
    if not isinstance(network, ModelNetwork):
        return trial.measure_datapoints(network, weights, data, timesteps, first=first, **which)
    n = first + which.pop("n_datapoints")  # those before come along: they are few, and drawn in an instant
    x, y = draw(network, data, timesteps, n_datapoints=n, **which)
    return measures_of_each(network, weights, x[first:], y[first:])
