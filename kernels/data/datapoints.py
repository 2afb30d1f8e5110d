"""A task's datapoints as arrays, for checks that compute in NumPy."""

from __future__ import annotations

from typing import Any

from numpy.typing import NDArray

from freewalk.kernels.data.task_functions import fill_arrays
from freewalk.kernels.model.network import FreeNetwork
from freewalk.kernels.model.noise import Stream
from freewalk.kernels.model.walk import Data


def draw(
    network: FreeNetwork, data: Data, timesteps: int, *, seed: int, stream: Stream, step: int, n_datapoints: int
) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return the first datapoints of a step, those that training or an evaluation sees.

    Returns
    -------
    x (B, T, n_input) and y (B, T, n_output), float32, without the T axis where the network has no sequence there
    """
    options: Any = {"seed": seed, "stream": stream, "step": step, "n_datapoints": n_datapoints}
    x, y = draw_rows(network, data, timesteps, **options)
    return (x if network.sequence_input else x[:, 0]), (y if network.sequence_output else y[:, 0])


def draw_rows(
    network: FreeNetwork,
    data: Data,
    timesteps: int,
    *,
    seed: int,
    stream: Stream,
    step: int,
    n_datapoints: int,
    before: float = 0.0,
) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return what `draw` returns as a task writes it: x (B, input_rows, n_input) and y (B, output_rows, n_output).

    `before` is what the arrays hold before the task writes to them.
    """
    return fill_arrays(
        data.address,
        data.argument,
        seed=seed,
        stream=stream,
        step=step,
        n_datapoints=n_datapoints,
        timesteps=timesteps,
        x_shape=(network.input_rows(timesteps), network.n_input),
        y_shape=(network.output_rows(timesteps), network.n_output),
        before=before,
    )
