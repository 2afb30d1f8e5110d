"""Layered networks as the CPU kernels hold them: only the weights that they have, layer after layer.

A layer's columns lie one after another. Each begins with the four rows of the matrix among which the bias is, unless
that is the last of the layer's own rows, as it is behind the inputs; then come the layer's rows, made up to fours at
both ends. So the four words of a Philox block serve neighbours here too, and every weight keeps its noise.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from freewalk.kernels.model.directions import blocks_of
from freewalk.kernels.model.layered import LayeredNetwork
from freewalk.kernels.model.network import FreeNetwork

NO_LAYERS = np.zeros((0, 5), dtype=np.int64)
Places = tuple[NDArray[np.intp], NDArray[np.intp], NDArray[np.intp]]


class Layout(NamedTuple):
    """Where a layered network's weights lie."""

    layers: NDArray[np.int64]
    """(depth, 5): position of the weight by which a layer's first row enters its first neuron, positions from one
    neuron to the next, rows that enter, from their first to the bias (0 where it is one of them), neurons."""
    runs: NDArray[np.int64]
    """(runs, 4): column, first row, rows and position of rows of the matrix that lie one after another."""
    places: Places
    """(n_weights,) each: position, row and column of every weight."""


def layered_part(network: FreeNetwork, mask: NDArray[np.bool_] | None, timesteps: int) -> LayeredNetwork | None:
    """Return the layered network that a free one is with a mask and so many timesteps; None if it is none."""
    if mask is None or network.sequence_input or network.sequence_output or network.leak != 1:
        return None
    hidden = (len(block.columns) for block in blocks_of(network, mask)[1:])
    layered = LayeredNetwork((network.n_input, *hidden, network.n_output))
    same = layered.depth == timesteps and sum(layered.widths[1:]) == network.n_to and np.array_equal(layered.mask, mask)
    return layered if same else None


def layout_of(layered: LayeredNetwork) -> Layout:
    """Return where a layered network's weights lie."""
    bias_row = layered.bias_row
    layers: list[tuple[int, ...]] = []
    runs: list[tuple[int, ...]] = []
    places: list[NDArray[np.intp]] = []
    position = 0
    for rows, columns in layered.places:
        if not layers:  # the bias comes right behind the inputs
            rows = slice(0, bias_row + 1)
        low, high = rows.start // 4 * 4, -(-rows.stop // 4) * 4
        before = 4 if layers else 0
        n_columns, stride = columns.stop - columns.start, before + high - low
        first = before + rows.start - low
        bias = bias_row % 4 - first if layers else 0
        starts = position + stride * np.arange(n_columns)
        for column, start in enumerate(starts.tolist(), start=columns.start):
            if before:
                runs.append((column, bias_row // 4 * 4, 4, start))
            runs.append((column, low, high - low, start + before))
        own = [(row, first + row - rows.start) for row in range(rows.start, rows.stop)]
        for row, offset in [*own, (bias_row, first + bias)] if before else own:
            places.append(np.stack([starts + offset, np.full(n_columns, row), np.arange(columns.start, columns.stop)]))
        layers.append((position + first, stride, rows.stop - rows.start, bias, n_columns))
        position += stride * n_columns
    positions, matrix_rows, matrix_columns = np.concatenate(places, axis=1)
    return Layout(
        np.array(layers, dtype=np.int64),
        np.array(runs, dtype=np.int64),
        (positions, matrix_rows, matrix_columns),
    )
