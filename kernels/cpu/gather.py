"""A step's datapoints as plain arrays, for trainers that compute with matrix products: one compiled call a batch."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from freewalk.kernels.cpu.lane_group import load_group
from freewalk.kernels.cpu.layout import NO_ARRAY, Shape, Source, aligned, shape_of
from freewalk.kernels.machine.jit import inline_function, kernel
from freewalk.kernels.machine.lanes import LANES
from freewalk.kernels.model.network import FreeNetwork
from freewalk.kernels.model.noise import Stream
from freewalk.kernels.model.walk import Data


@inline_function
def _spread(group: NDArray[np.float32], first: int, out: NDArray[np.float32]) -> None:
    """Transpose (n, LANES) into the rows of (B, n) from `first` on, as many as there are."""
    for lane in range(min(LANES, out.shape[0] - first)):
        for k in range(out.shape[1]):
            out[first + lane, k] = group[k * LANES + lane]


@kernel
def gather(
    shape: Shape,
    source: Source,
    seed: np.uint64,
    step: int,
    group_x: NDArray[np.float32],  # SCRATCH (input_rows, n_input, LANES)
    group_y: NDArray[np.float32],  # SCRATCH (output_rows, n_output, LANES)
    x: NDArray[np.float32],  # OUT (B, input_rows * n_input)
    y: NDArray[np.float32],  # OUT (B, output_rows * n_output)
) -> None:
    """Write the first B datapoints of a step."""
    for first in range(0, len(x), LANES):
        load_group(shape, source, seed, step, first, group_x, group_y)
        _spread(group_x, first, x)
        _spread(group_y, first, y)


class Gatherer:
    """Draws batches of one stream of a task's data.

    Parameters
    ----------
    network, timesteps
        Whose inputs and targets the data are.
    data
        Where datapoints come from.
    seed
        Key of all random numbers.
    stream
        Training or held-out data.
    """

    def __init__(self, network: FreeNetwork, timesteps: int, data: Data, seed: int, stream: Stream) -> None:
        self._shape = shape_of(network, timesteps)
        self._source = Source(data.address, data.argument, int(stream), NO_ARRAY, NO_ARRAY)
        self._seed = np.uint64(seed)
        self._n_x = self._shape.input_rows * network.n_input
        self._n_y = self._shape.output_rows * network.n_output
        self._group_x, self._group_y = aligned(1, self._n_x * LANES)[0], aligned(1, self._n_y * LANES)[0]

    def draw(self, step: int, n_datapoints: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Return x (B, input_rows * n_input) and y (B, output_rows * n_output) of a step."""
        x = np.empty((n_datapoints, self._n_x), dtype=np.float32)
        y = np.empty((n_datapoints, self._n_y), dtype=np.float32)
        gather(self._shape, self._source, self._seed, step, self._group_x, self._group_y, x, y)
        return x, y


def compile_kernels() -> None:
    """Gather a tiny batch, so that the kernel is compiled or loaded from the cache."""
    gatherer = Gatherer(FreeNetwork(1, 1, 0), 1, Data(0), 0, Stream.DATA)
    nothing = np.zeros((1, 1), dtype=np.float32)
    gatherer._source = gatherer._source._replace(x=nothing, y=nothing)
    gatherer.draw(0, 1)
