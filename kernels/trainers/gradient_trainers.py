"""Which class trains by a gradient method: on lanes of datapoints, on matrix products, or as the reference."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from freewalk.kernels.cpu import descent, gather
from freewalk.kernels.model.descent import METHODS, DescentConfiguration, Method
from freewalk.kernels.model.layered import LayeredNetwork
from freewalk.kernels.model.network import FreeNetwork
from freewalk.kernels.model.walk import Data, Trainer
from freewalk.kernels.trainers.layered_descent import LayeredDescent
from freewalk.kernels.trainers.reference_descent import ReferenceDescent


def make_descent(
    network: FreeNetwork,
    configuration: DescentConfiguration,
    data: Data,
    *,
    seed: int,
    evaluation_points: int,
    layers: LayeredNetwork | None,
    initial: NDArray[np.float64] | None,
    float64: bool,
) -> Trainer:
    """Return a new trial of a gradient method at step 0; see `freewalk.kernels.backend.Backend.make_descent`.

    Parameters
    ----------
    float64
        Whether to compute in NumPy float64; otherwise in float32, free networks and central differences with the
        compiled kernels, layered networks with NumPy's matrix products.
    """
    options: dict[str, Any] = {"seed": seed, "evaluation_points": evaluation_points, "initial": initial}
    trainer: Trainer
    if layers is None:
        if configuration.way.predicts:
            raise ValueError("synthetic gradients need a layered network: give the widths of its layers")
        kind: type[Any] = ReferenceDescent if float64 else descent.trainer_of(configuration)
        trainer = kind(network, configuration, data, **options)
        return trainer
    if network != layers.free_network:
        raise ValueError(f"the layered network {layers.widths} is not a part of {network}")
    if configuration.timesteps != layers.depth:
        raise ValueError(
            f"timesteps must be the depth of the layered network, {layers.depth}, got {configuration.timesteps}"
        )
    if float64 or not configuration.way.tries:
        dtype = np.float64 if float64 else np.float32
        return LayeredDescent(layers, configuration, data, dtype=dtype, **options)
    options["initial"] = layers.initial_weights(seed) if initial is None else initial
    layers.check(options["initial"])
    return descent.CpuNumerical(network, configuration, data, mask=layers.mask, **options)


def compile_kernels(method: Method, *, float64: bool) -> None:
    """Compile what one thread of a method needs, or load it from the cache."""
    if not float64 and not METHODS[method].predicts:
        descent.compile_kernels(method, threads=1)
    if not METHODS[method].tries:
        gather.compile_kernels()
