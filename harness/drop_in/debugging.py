"""The first values of every tensor of a step, as the original program's `debug` shows them."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from freewalk.harness.drop_in.batches import Rows
from freewalk.harness.drop_in.settings import Settings
from freewalk.kernels.model.noise import unit_perturbations
from freewalk.kernels.reference import reference

_VALUES = 3
_DATAPOINTS = 3
"""As many losses can be shown; no more datapoints are run for it."""

Array = NDArray[np.float64]


def tensors_of(
    settings: Settings, weights: Array, xs: Rows, ys: Rows, step: int, unit_noise: NDArray[Any] | None
) -> dict[str, Array]:
    """Return the tensors of a step's first datapoints by name, computed in float64 before it is taken."""
    network, configuration = settings.network, settings.configuration
    n, timesteps = min(_DATAPOINTS, len(xs)), configuration.timesteps
    x = xs[:n].reshape(n, timesteps, -1) if network.sequence_input else xs[:n]
    y = ys[:n].reshape(n, timesteps, -1) if network.sequence_output else ys[:n]
    if unit_noise is None:
        noise = unit_perturbations(
            network.n_from,
            network.n_to,
            seed=settings.keys.seed,
            step=step,
            datapoints=np.arange(n),
            noise=configuration.kind,
        )
    else:
        noise = unit_noise[:n].astype(np.float64)
    if settings.mask is not None:
        noise = noise * settings.mask
    perturbations = configuration.stddev * noise
    other = 0.0 if configuration.sides == "one" else -perturbations
    with np.errstate(all="ignore"):
        outputs = reference.forward(network, weights + other, x, timesteps)
        tested = reference.forward(network, weights + perturbations, x, timesteps)
        losses, test_losses = reference.losses(network, outputs, y), reference.losses(network, tested, y)
    return {
        "x": x.astype(np.float64),
        "target": y.astype(np.float64),
        "weights": weights,
        "test noise": perturbations,
        "output": outputs,
        "test output": tested,
        "loss": losses,
        "test loss": test_losses,
        "loss difference": losses - test_losses,
    }


def line_of(name: str, tensor: Array) -> str:
    """Return a tensor's name, shape and first values."""
    first = " ".join(f"{value:.6g}" for value in tensor.reshape(-1)[:_VALUES])
    more = " ..." if tensor.size > _VALUES else ""
    return f"  {name} {tensor.shape}: [{first}{more}]"
