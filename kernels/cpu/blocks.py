"""How kernels with shared weights see a network: its layers one after another, a free network as a single one.

Two orders of weights occur. `single`, float32, as products read it: blocks of eight columns, row after row. `master`
and the optimiser's moments, float64, as a step moves them: panels of sixteen columns, row after row, for layer after
layer; columns that pad a panel hold zeros.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from freewalk.kernels.cpu.layout import Shape, aligned
from freewalk.kernels.cpu.products import BLOCK
from freewalk.kernels.machine.jit import helper_function, kernel
from freewalk.kernels.machine.lanes import LANES
from freewalk.kernels.model.directions import Block, blocks_of, words_of_block
from freewalk.kernels.model.network import FreeNetwork

ROWS, COLUMNS, SINGLE, MASTER, A, B, A_PANEL, B_PANEL, WORDS = range(9)
"""Columns of `Blocks.layers`: sizes; where its weights begin in `single` and in `master`; where its numbers begin among
those of a and of b, which follow the order of `blocks_of`; its first panels of sixteen rows and of sixteen columns; and
where its words begin among those of an orthogonal set."""
_ROWS, _COLUMNS, _SINGLE, _MASTER = ROWS, COLUMNS, SINGLE, MASTER
_BLOCK = BLOCK


class Blocks(NamedTuple):
    """A network's layers as the kernels take them."""

    layers: NDArray[np.int64]  # (n_layers, 9), see ROWS and the others
    is_layered: int  # a layer feeds the next; otherwise the only one feeds itself
    n_a: int  # rows of all layers
    n_b: int  # columns of all layers
    a_stride: int  # rows of memory between vectors a: a panel of any layer may reach beyond n_a
    b_stride: int
    n_state_rows: int  # of one half of a state: what enters, or what comes out and enters next


class Places(NamedTuple):
    """Where the weights of a matrix lie in `single` and `master`."""

    matrix: NDArray[np.int64]  # (n_weights,) positions in the flat (n_from, n_to) matrix
    master: NDArray[np.int64]  # (n_weights,)
    single: NDArray[np.int64]  # (n_weights,)
    n_padded: int  # of both, with what pads columns


def _up_to(n: int, step: int) -> int:
    return -(-n // step) * step


def layers_in_order(network: FreeNetwork, mask: NDArray[np.bool_] | None, timesteps: int) -> tuple[Block, ...] | None:
    """Return the layers of a layered network, from the input on; the only one of a free network; None for other masks.

    Only a network that runs for as many timesteps as it has layers, and answers once, is a layered one.
    """
    blocks = blocks_of(network, mask)
    if len(blocks) == 1 and blocks[0].shape == (network.n_from, network.n_to):
        return blocks
    if network.sequence_input or network.sequence_output or timesteps != len(blocks):
        return None
    before = np.arange(network.n_input)
    bias, ordered = network.n_input, []
    for _ in blocks:
        wanted = np.sort(np.append(before, bias))
        found = next((block for block in blocks if np.array_equal(block.rows, wanted)), None)
        if found is None:
            return None
        ordered.append(found)
        before = found.columns + network.n_input + 1
    ends_at_the_output = np.array_equal(ordered[-1].columns, np.arange(network.n_output))
    return tuple(ordered) if ends_at_the_output and sum(len(b.columns) for b in ordered) == network.n_to else None


def make_blocks(network: FreeNetwork, mask: NDArray[np.bool_] | None, timesteps: int) -> tuple[Blocks, Places]:
    """Return a free or a layered network as the kernels take it, and where its weights lie.

    Raises
    ------
    ValueError
        If a mask is not that of a layered network.
    """
    ordered = layers_in_order(network, mask, timesteps)
    if ordered is None:
        raise ValueError("perturbations of low rank need a free or a layered network, not a mask of another kind")
    numbered = blocks_of(network, mask)
    first_a, first_b, words = 0, 0, 0
    begins = {}
    for block in numbered:
        begins[block.columns[0]] = first_a, first_b, words
        n, m = block.shape
        first_a, first_b, words = first_a + n, first_b + m, words + words_of_block(n, m)
    layers, matrix, master, single = [], [], [], []
    n_weights = a_panels = b_panels = 0
    for rows, columns in ordered:
        n, m = len(rows), len(columns)
        first_a, first_b, words = begins[columns[0]]
        layers.append((n, m, n_weights, n_weights, first_a, first_b, a_panels, b_panels, words))
        i, j = np.meshgrid(np.arange(n), np.arange(m), indexing="ij")
        matrix.append((rows[i] * network.n_to + columns[j]).ravel())
        master.append((n_weights + j // LANES * n * LANES + i * LANES + j % LANES).ravel())
        single.append((n_weights + j // BLOCK * n * BLOCK + i * BLOCK + j % BLOCK).ravel())
        n_weights += _up_to(m, LANES) * n
        a_panels, b_panels = a_panels + -(-n // LANES), b_panels + -(-m // LANES)
    n_state_rows = max(network.n_input + 1, max(max(n, 1 + _up_to(m, BLOCK)) for n, m, *_ in layers))
    is_layered = mask is not None and len(ordered) == timesteps and ordered[0].shape != (network.n_from, network.n_to)
    if not is_layered:
        n_state_rows = network.n_input + 1 + _up_to(network.n_to, BLOCK)
    n_a, n_b = sum(n for n, *_ in layers), sum(m for _, m, *_ in layers)
    strides = _up_to(n_a, LANES) + LANES, _up_to(n_b, LANES) + LANES
    blocks = Blocks(np.array(layers, dtype=np.int64), int(is_layered), n_a, n_b, *strides, n_state_rows)
    at = (np.concatenate(parts) for parts in (matrix, master, single))
    return blocks, Places(next(at), next(at), next(at), n_weights)


def to_single(matrix: NDArray[np.floating], places: Places) -> NDArray[np.float32]:
    """Return the weights of a matrix (n_from, n_to) in the order of `single`."""
    values: NDArray[np.float32] = aligned(1, places.n_padded)[0]
    with np.errstate(over="ignore"):  # what float32 cannot hold is infinite, and the loss shows it
        values[places.single] = matrix.reshape(-1)[places.matrix]
    return values


def to_master(matrix: NDArray[np.float64], places: Places) -> NDArray[np.float64]:
    """Return the weights, or moments, of a matrix (n_from, n_to) in the order of `master`."""
    values = np.zeros(places.n_padded)
    values[places.master] = matrix.reshape(-1)[places.matrix]
    return values


def from_master(values: NDArray[np.float64], places: Places, shape: Shape) -> NDArray[np.float64]:
    """Return the matrix (n_from, n_to) of values in the order of `master`, zero where there is no weight."""
    matrix = np.zeros(shape.n_from * shape.n_to)
    matrix[places.matrix] = values[places.master]
    return matrix.reshape(shape.n_from, shape.n_to)


@kernel
def write_single(blocks: Blocks, master: NDArray[np.float64], single: NDArray[np.float32]) -> None:
    """Copy all weights from the one order to the other."""
    for layer in blocks.layers:
        for first in range(0, layer[_COLUMNS], LANES):
            write_panel(layer, master, single, first)


@helper_function
def write_panel(
    layer: NDArray[np.int64],
    master: NDArray[np.float64],  # IN
    single: NDArray[np.float32],  # OUT
    first: int,  # column of the layer, a multiple of sixteen
) -> None:
    """Copy one panel of weights."""
    n = layer[_ROWS]
    here = layer[_MASTER] + first * n
    panel = master[here : here + n * LANES]
    for half in range(0, min(LANES, layer[_COLUMNS] - first), _BLOCK):
        there = layer[_SINGLE] + (first + half) * n
        block = single[there : there + n * _BLOCK]
        for row in range(n):
            for k in range(_BLOCK):
                block[row * _BLOCK + k] = np.float32(panel[row * LANES + half + k])
