"""The compiled generators, called on their own, by kernels: Python cannot call a helper."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from freewalk.kernels.cpu import noise as compiled
from freewalk.kernels.cpu.layout import noise_source, shape_of
from freewalk.kernels.machine.jit import uncached_kernel
from freewalk.kernels.machine.lanes import LANES
from freewalk.kernels.model.network import FreeNetwork
from freewalk.kernels.model.noise import DEFAULT_NOISE, Kind

draw = uncached_kernel(compiled.draw.py_func)
DRAWS = {kind: uncached_kernel(of_kind.py_func) for kind, of_kind in compiled.DRAWS.items()}

EXAMPLE = FreeNetwork(3, 2, 30, sequence_input=True)
"""The original program's example: 36 rows (no padding) and 32 columns."""


def draw_many(
    network: FreeNetwork, n_groups: int, *, seed: int, step: int = 0, first: int = 0, noise: Kind = DEFAULT_NOISE
) -> NDArray[np.float32]:
    """Return what the walk draws for `n_groups` groups of sixteen datapoints, (16 * n_groups, n_from, n_to)."""
    shape = shape_of(network, 1)
    padded = shape.n_to * shape.n_rows
    drawn = np.full(n_groups * padded * LANES, np.nan, dtype=np.float32)
    source = noise_source(noise, seed)
    for group in range(n_groups):
        DRAWS[noise](shape, source, first + group * LANES, step, drawn, group * padded * LANES)
    by_column = drawn.reshape(n_groups, shape.n_to, shape.n_rows, LANES)[:, :, : shape.n_from]
    return np.ascontiguousarray(by_column.transpose(0, 3, 2, 1)).reshape(-1, shape.n_from, shape.n_to)


def draw_normals(n: int, *, seed: int, step: int = 0, noise: Kind = DEFAULT_NOISE) -> NDArray[np.float64]:
    """Return the first n standard normals of a step of the example network, datapoint by datapoint."""
    n_groups = -(-n // (EXAMPLE.n_weights * LANES))
    return draw_many(EXAMPLE, n_groups, seed=seed, step=step, noise=noise).reshape(-1)[:n].astype(np.float64)
