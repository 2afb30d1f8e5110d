"""The device's noise against the NumPy generator: the same random words, normals to float32 accuracy."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import numpy as np
from numpy.typing import NDArray

from freewalk.harness.bench.accelerator import Accelerator
from freewalk.harness.bench.checks.check import Check, Measure
from freewalk.kernels.model.network import FreeNetwork
from freewalk.kernels.model.noise import Noise, unit_perturbations

_NORMAL_TOLERANCE = 3e-5  # a radius of up to 6.6 from a float32 logarithm and square root
_LOST_OF_U = 2.0**-25  # by rounding to float32, next to 1
_LARGEST_SEED, _LARGEST_WORD = 2**64 - 1, 2**32 - 1
_ADDRESSES = (
    # seed, step, first datapoint
    (0, 0, 0),
    (0x299F31D0A4093822, 123_456_789, 1_000_000),
    (_LARGEST_SEED, _LARGEST_WORD, _LARGEST_WORD - 6),
)
_HIDDEN = (0, 4, 30, 127, 300)  # up to three blocks of 128 signs a column, and none that is whole


def noise_checks(accelerator: Accelerator, *, quick: bool) -> Iterator[Check]:
    """Yield the checks of the generator.

    A Rademacher sign is one bit of a random word, and a whole block shows all its 128 bits: equal signs are equal
    words.
    """
    for seed, step, first in _ADDRESSES:
        for hidden in (30,) if quick else _HIDDEN:
            network = FreeNetwork(3, 2, hidden)
            datapoints = np.arange(first, min(first + 40, 2**32), dtype=np.uint64)
            case = f"3-{hidden}-2, seed {seed:#x}, step {step:,}, {len(datapoints)} datapoints from {first:,}"
            for noise in ("rademacher", "gaussian"):
                name = "random words" if noise == "rademacher" else "normals"
                run = partial(_compare, accelerator, network, seed, step, datapoints, noise)
                yield Check(f"{name}: device = NumPy", case, run)
    yield Check("normals: device = NumPy", "a million of them", partial(_million, accelerator))


def _compare(
    accelerator: Accelerator,
    network: FreeNetwork,
    seed: int,
    step: int,
    datapoints: NDArray[np.uint64],
    noise: Noise,
) -> Measure:
    wanted = unit_perturbations(network.n_from, network.n_to, seed=seed, step=step, datapoints=datapoints, noise=noise)
    found = np.asarray(accelerator.unit_noise(network, seed, step, datapoints, noise), np.float64)
    if found.shape != wanted.shape:
        raise ValueError(f"shape {found.shape} instead of {wanted.shape}")
    if noise == "rademacher":
        return Measure("bits that differ", float(np.count_nonzero(found != wanted)), 0)
    differences = np.abs(found - wanted) - lost_near_zero(wanted)
    return Measure("largest difference", float(differences.max()), _NORMAL_TOLERANCE)


def lost_near_zero(normals: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return how far right float32 normals may lie from these, of any shape, for the rounding of u alone.

    A radius r = sqrt(-2 log u) near 0 comes from a u next to 1. If float32 moves u by d, then r² moves by 2 d, and r by
    no more than 2 d / r, nor than sqrt(2 d), where nothing of r is left. A normal is never larger than its radius.
    """
    size = np.maximum(np.abs(normals), np.finfo(np.float64).tiny)
    lost: NDArray[np.float64] = np.minimum(np.sqrt(2 * _LOST_OF_U), 2 * _LOST_OF_U / size)
    return lost


def _million(accelerator: Accelerator) -> Measure:
    """Compare many normals, some from far out, where a logarithm near 0 or 1 is hardest."""
    network = FreeNetwork(3, 2, 30)
    datapoints = np.arange(1_000_000 // network.n_weights + 1, dtype=np.uint64)
    measure = _compare(accelerator, network, 7, 3, datapoints, "gaussian")
    found = np.asarray(accelerator.unit_noise(network, 7, 3, datapoints, "gaussian"), np.float64)
    note = f"mean {found.mean():.1e}, variance {found.var():.5f}, largest {np.abs(found).max():.2f}"
    return Measure(measure.quantity, measure.found, measure.allowed, note)
