"""A task's datapoints as arrays, for checks that compute in NumPy."""

from __future__ import annotations

from typing import Any

from numpy.typing import NDArray

from freewalk.kernels.data.task_functions import fill_arrays
from freewalk.kernels.model.network import FreeNetwork
from freewalk.kernels.model.noise import Stream
from freewalk.kernels.model.walk import Data


def draw(network: FreeNetwork, data: Data, timesteps: int, **which: Any) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return the first datapoints of a step, those that training or a measurement sees; `which` as for `draw_rows`.

    Returns
    -------
    x (B, T, n_input) and y (B, T, n_output), float32, without the T axis where the network has no sequence there
    """
    x, y = draw_rows(network, data, timesteps, **which)
    return (x if network.sequence_input else x[:, 0]), (y if network.sequence_output else y[:, 0])


def draw_rows(
    network: FreeNetwork, data: Data, timesteps: int, *, seed: int, stream: Stream, step: int, **more: Any
) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return what `draw` returns as a task writes it: x (B, input_rows, n_input) and y (B, output_rows, n_output).

    `more` is `n_datapoints`, and perhaps what `fill_arrays` finds in the arrays `before`.
    """
    return fill_arrays(
        data.address,
        data.argument,
        seed=seed,
        stream=stream,
        step=step,
        timesteps=timesteps,
        x_shape=(network.input_rows(timesteps), network.n_input),
        y_shape=(network.output_rows(timesteps), network.n_output),
        **more,
    )
