"""What tests and benchmarks ask of the kernels apart from training: the device's own noise."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from freewalk.kernels.cuda.jit import cuda
from freewalk.kernels.cuda.noise import make_noise_kernel
from freewalk.kernels.model.network import FreeNetwork
from freewalk.kernels.model.noise import DEFAULT_NOISE, Kind

_THREADS = 128


def unit_noise_on_device(
    network: FreeNetwork, *, seed: int, step: int, datapoints: NDArray[np.integer], noise: Kind = DEFAULT_NOISE
) -> NDArray[np.float32]:
    """Return what the device draws where freewalk.kernels.model.noise.unit_perturbations says what it should draw.

    Returns
    -------
    (n, n_from, n_to) float32
    """
    out = cuda.device_array((len(datapoints), network.n_from, network.n_to), np.float32)
    blocks = -(-len(datapoints) * network.n_to // _THREADS)
    kernel = make_noise_kernel(noise)
    kernel[blocks, _THREADS](np.uint64(seed).view(np.int64), step, cuda.to_device(datapoints.astype(np.int64)), out)
    found: NDArray[np.float32] = out.copy_to_host()
    return found
