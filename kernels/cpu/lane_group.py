"""Loading a group of sixteen datapoints from its source."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from freewalk.kernels.cpu.layout import Shape, Source
from freewalk.kernels.data.task_functions import call_fill
from freewalk.kernels.machine.jit import helper_function
from freewalk.kernels.machine.lanes import LANES


@helper_function
def _copy_rows(values: NDArray[np.float32], first: int, out: NDArray[np.float32]) -> None:
    """Transpose up to sixteen rows of (B, n) into (n, LANES); lanes beyond B repeat the last row."""
    for lane in range(LANES):
        datapoint = min(first + lane, values.shape[0] - 1)
        for k in range(values.shape[1]):
            out[k * LANES + lane] = values[datapoint, k]


@helper_function
def load_group(
    shape: Shape,
    source: Source,
    seed: np.uint64,
    step: int,
    first: int,
    x: NDArray[np.float32],  # OUT (input_rows, n_input, LANES)
    y: NDArray[np.float32],  # OUT (output_rows, n_output, LANES)
) -> None:
    """Write the datapoints first .. first + 15 of a step."""
    if source.address:
        call_fill(
            source.address,
            seed,
            source.stream,
            step,
            first,
            shape.timesteps,
            source.argument,
            shape.input_rows,
            shape.n_input,
            shape.output_rows,
            shape.n_output,
            x,
            y,
        )
    else:
        _copy_rows(source.x, first, x)
        _copy_rows(source.y, first, y)
