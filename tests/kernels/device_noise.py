"""The device's noise against the NumPy generator: the same random words, normals to float32 accuracy."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from freewalk.kernels.model.network import FreeNetwork
from freewalk.kernels.model.noise import unit_perturbations

NORMAL_TOLERANCE = 3e-5  # a radius of up to 6.6 from a float32 logarithm and square root
_LOST_OF_U = 2.0**-25  # by rounding to float32, next to 1
ADDRESSES = (
    # seed, step, first datapoint
    (0, 0, 0),
    (0x299F31D0A4093822, 123_456_789, 1_000_000),
    (2**64 - 1, 2**32 - 1, 2**32 - 7),
)
HIDDEN = (0, 4, 30, 127, 300)  # up to three blocks of 128 signs a column, and none that is whole


def lost_near_zero(normals: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return how far right float32 normals may lie from these, of any shape, for the rounding of u alone.

    A radius r = sqrt(-2 log u) near 0 comes from a u next to 1. If float32 moves u by d, then r² moves by 2 d, and r by
    no more than 2 d / r, nor than sqrt(2 d), where nothing of r is left. A normal is never larger than its radius.
    """
    size = np.maximum(np.abs(normals), np.finfo(np.float64).tiny)
    lost: NDArray[np.float64] = np.minimum(np.sqrt(2 * _LOST_OF_U), 2 * _LOST_OF_U / size)
    return lost


def noise_error(network: FreeNetwork, seed: int, step: int, datapoints: NDArray[np.uint64], noise: Any) -> float:
    """Return how many signs differ, or the largest difference of a normal beyond what rounding of u explains.

    A sign is one bit of a random word, and a whole block shows all its 128 bits: equal signs are equal words.
    """
    from freewalk.kernels.cuda.checks import unit_noise_on_device

    where: dict[str, Any] = {"seed": seed, "step": step, "datapoints": datapoints, "noise": noise}
    wanted = unit_perturbations(network.n_from, network.n_to, **where)
    found = np.asarray(unit_noise_on_device(network, **where), np.float64)
    assert found.shape == wanted.shape
    if noise == "rademacher":
        return float(np.count_nonzero(found != wanted))
    return float((np.abs(found - wanted) - lost_near_zero(wanted)).max())


def datapoints_from(first: int) -> NDArray[np.uint64]:
    """Return forty datapoints, or those that are left below 2**32."""
    return np.arange(first, min(first + 40, 2**32), dtype=np.uint64)
