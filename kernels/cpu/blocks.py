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
from freewalk.kernels.machine.jit import helper_function
from freewalk.kernels.machine.lanes import LANES
from freewalk.kernels.model.directions import Block, blocks_of
from freewalk.kernels.model.network import FreeNetwork

ROWS, COLUMNS, SINGLE, MASTER, A, B = range(6)
"""Columns of `Blocks.layers`: sizes; where its weights begin in `single` and in `master`; where its numbers begin among
those of a and of b, which follow the order of `blocks_of`."""
_ROWS, _COLUMNS, _SINGLE, _MASTER = ROWS, COLUMNS, SINGLE, MASTER
_BLOCK = BLOCK


class Blocks(NamedTuple):
    """A network's layers as the kernels take them."""

    layers: NDArray[np.int64]  # (n_layers, 6), see ROWS and the others
    is_layered: int  # a layer feeds the next; otherwise the only one feeds itself
    n_a: int  # rows of all layers
    n_b: int  # columns of all layers
    n_state_rows: int  # of one half of a state: what enters, or what comes out and enters next


class Places(NamedTuple):
    """Where the weights of a matrix lie in `single` and `master`."""

    matrix: NDArray[np.int64]  # (n_weights,) positions in the flat (n_from, n_to) matrix
    master: NDArray[np.int64]  # (n_weights,)
    single: NDArray[np.int64]  # (n_weights,)
    n_master: int
    n_single: int


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
    numbered = [block.columns[0] for block in blocks_of(network, mask)]
    sizes = {block.columns[0]: block.shape for block in ordered}
    first_a = dict(zip(numbered, np.cumsum([0, *(sizes[c][0] for c in numbered)]), strict=False))
    first_b = dict(zip(numbered, np.cumsum([0, *(sizes[c][1] for c in numbered)]), strict=False))
    layers, matrix, master, single = [], [], [], []
    n_master = n_single = 0
    for rows, columns in ordered:
        n, m = len(rows), len(columns)
        layers.append((n, m, n_single, n_master, first_a[columns[0]], first_b[columns[0]]))
        i, j = np.meshgrid(np.arange(n), np.arange(m), indexing="ij")
        matrix.append((rows[i] * network.n_to + columns[j]).ravel())
        master.append((n_master + j // LANES * n * LANES + i * LANES + j % LANES).ravel())
        single.append((n_single + j // BLOCK * n * BLOCK + i * BLOCK + j % BLOCK).ravel())
        n_master += _up_to(m, LANES) * n
        n_single += _up_to(m, LANES) * n
    n_state_rows = max(network.n_input + 1, max(max(n, 1 + _up_to(m, BLOCK)) for n, m, *_ in layers))
    is_layered = mask is not None and len(ordered) == timesteps and ordered[0].shape != (network.n_from, network.n_to)
    if not is_layered:
        n_state_rows = network.n_input + 1 + _up_to(network.n_to, BLOCK)
    blocks = Blocks(
        np.array(layers, dtype=np.int64),
        int(is_layered),
        sum(n for n, *_ in layers),
        sum(m for _, m, *_ in layers),
        n_state_rows,
    )
    return blocks, Places(*(np.concatenate(parts) for parts in (matrix, master, single)), n_master, n_single)


def free_blocks(network: FreeNetwork) -> Blocks:
    """Return a network of any mask as a free one."""
    return make_blocks(network, None, 1)[0]


def make_single(places: Places) -> NDArray[np.float32]:
    """Allocate weights as products read them."""
    return aligned(1, places.n_single)[0]


def to_master(matrix: NDArray[np.float64], places: Places) -> NDArray[np.float64]:
    """Return the weights, or moments, of a matrix (n_from, n_to) in the order of `master`."""
    values = np.zeros(places.n_master)
    values[places.master] = matrix.reshape(-1)[places.matrix]
    return values


def from_master(values: NDArray[np.float64], places: Places, shape: Shape) -> NDArray[np.float64]:
    """Return the matrix (n_from, n_to) of values in the order of `master`, zero where there is no weight."""
    matrix = np.zeros(shape.n_from * shape.n_to)
    matrix[places.matrix] = values[places.master]
    return matrix.reshape(shape.n_from, shape.n_to)


@helper_function
def write_single(blocks: Blocks, master: NDArray[np.float64], single: NDArray[np.float32]) -> None:
    """Copy all weights from the one order to the other."""
    for layer in blocks.layers:
        n = layer[_ROWS]
        for first in range(0, layer[_COLUMNS], LANES):
            write_rows(layer, master, single, first, 0, n)


@helper_function
def write_rows(
    layer: NDArray[np.int64],
    master: NDArray[np.float64],  # IN
    single: NDArray[np.float32],  # OUT
    first: int,  # column of the layer, a multiple of sixteen
    begin: int,  # row
    end: int,
) -> None:
    """Copy some rows of one panel of weights."""
    n = layer[_ROWS]
    here = layer[_MASTER] + first * n
    for half in range(0, min(LANES, layer[_COLUMNS] - first), _BLOCK):
        there = layer[_SINGLE] + (first + half) * n
        for row in range(begin, end):
            for k in range(_BLOCK):
                single[there + row * _BLOCK + k] = np.float32(master[here + row * LANES + half + k])


