"""What tests and benchmarks ask of the kernels apart from training: the device's own noise and datapoints."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from freewalk.kernels.cuda.jit import cuda, cuda_kernel, device_function
from freewalk.kernels.cuda.noise import make_noise_kernel
from freewalk.kernels.cuda.tables import on_device
from freewalk.kernels.model.network import FreeNetwork
from freewalk.kernels.model.noise import DEFAULT_NOISE, Kind, Stream
from freewalk.kernels.model.walk import Data

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


def datapoints_on_device(
    network: FreeNetwork, data: Data, timesteps: int, *, seed: int, stream: Stream, step: int, n_datapoints: int
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return what the device makes where freewalk.kernels.data.datapoints.draw_rows says what it should make.

    Returns
    -------
    x (n, input_rows, n_input) and y (n, output_rows, n_output), float32
    """
    assert data.datapoint is not None
    datapoint = device_function(data.datapoint)

    @cuda_kernel
    def fill(seed: int, stream: int, step: int, argument: int, x: Any, y: Any) -> None:
        index = cuda.grid(1)
        if index < x.shape[0]:
            datapoint(
                np.uint64(seed), np.uint32(stream), np.uint32(step), index, timesteps, argument, x[index], y[index]
            )

    table = None if data.table is None else on_device(data.table)
    argument = data.argument if table is None else table.address
    x = cuda.device_array((n_datapoints, network.input_rows(timesteps), network.n_input), np.float32)
    y = cuda.device_array((n_datapoints, network.output_rows(timesteps), network.n_output), np.float32)
    key = np.uint64(seed).view(np.int64)
    fill[-(-n_datapoints // _THREADS), _THREADS](key, int(stream), step, argument, x, y)
    return x.copy_to_host(), y.copy_to_host()
