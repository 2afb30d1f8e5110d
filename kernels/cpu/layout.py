"""How the CPU kernels see a network, its data and their memory: plain tuples of numbers and arrays.

A weight matrix is held column after column, each column's rows padded to a multiple of 4, so that the words of one
Philox block serve neighbours. Position q = column * n_rows + row; `freewalk.kernels.cpu.layers` says where the weights
of a layered network lie. Arrays over datapoints have LANES as their innermost axis: noise (n_weights_padded, LANES),
states (rows, LANES), inputs (rows, n_input, LANES).
"""

from __future__ import annotations

from typing import NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from freewalk.kernels.cpu.functions import ACTIVATION_CODES
from freewalk.kernels.cpu.layers import NO_LAYERS, Places, layered_part, layout_of
from freewalk.kernels.machine.lanes import LANES
from freewalk.kernels.model.layered import LayeredNetwork
from freewalk.kernels.model.network import FreeNetwork
from freewalk.kernels.model.noise import NOISE_CODES, NOISES, Kind, key_schedule

Scalar = TypeVar("Scalar", bound=np.generic)

GIVEN = len(NOISES)
"""After the codes of the kinds of noise: an array in their place."""
MAX_GROUPS = 4
_NOISE_BYTES_OF_A_TILE = 1 << 20  # what may stay in a level-2 cache between drawing, forward pass and accumulation
_MAX_CHUNKS = 64
_PARTIAL_SUM_BYTES = 1 << 25
_LARGEST_BATCH = 2**32 - 1  # a datapoint is one 32-bit word of the noise's counter
NO_ARRAY = np.zeros((0, 0), dtype=np.float32)
NO_MASK = np.zeros(0, dtype=np.bool_)
_NO_NOISE = np.zeros((0, 0, 0), dtype=np.float32)


class Shape(NamedTuple):
    """Sizes and options of a network as runtime values: no size is compiled in."""

    n_input: int
    n_output: int
    n_from: int
    n_to: int
    n_rows: int  # n_from padded to a multiple of 4
    timesteps: int
    input_rows: int
    output_rows: int
    softmax: int
    cross_entropy: int
    of_hidden: int  # one of ACTIVATION_CODES
    of_outputs: int
    leak: np.float32  # of hidden neurons
    hidden_first: int  # output neurons hear hidden ones of the same timestep
    tangent: int  # perturbed passes are linearised: derivatives along perturbations
    runs: NDArray[np.int64]  # (n, 4), column, first row, rows and position of rows that lie one after another
    layers: NDArray[np.int64]  # (depth, 5), of a layered network, as in Layout; (0, 5) of a free one


class Source(NamedTuple):
    """Where datapoints come from: a compiled function, or arrays where its address is 0."""

    address: int  # of a function with the signature of freewalk.kernels.data.task_functions.FILL
    argument: int  # handed to that function
    stream: int
    x: NDArray[np.float32]  # (B, input_rows * n_input) or (0, 0)
    y: NDArray[np.float32]  # (B, output_rows * n_output) or (0, 0)


class NoiseSource(NamedTuple):
    """Where unit perturbations come from: Philox with a seed's round keys, or an array where kind is GIVEN."""

    kind: int  # one of NOISE_CODES, or GIVEN
    seed: np.uint64
    round_keys: NDArray[np.uint64]  # (20,)
    given: NDArray[np.float32]  # (B, n_from, n_to) or (0, 0, 0)
    mask: NDArray[np.bool_]  # (n_padded,) by position, or (0,) without a mask


class Tiling(NamedTuple):
    """How a batch is cut: groups of LANES datapoints, tiles of groups, chunks of tiles.

    It depends on the batch size and the network alone, never on the number of threads: each chunk has a partial sum of
    its own, and the partial sums are added in order.
    """

    batch_size: int
    groups: int  # in a tile
    n_tiles: int
    n_chunks: int


class Workspace(NamedTuple):
    """Scratch memory, one row a worker; or the rows of one worker."""

    noise: NDArray[np.float32]  # (workers, groups * n_padded * LANES)
    state: NDArray[np.float32]  # (workers, 2 * n_from * LANES), activations of two timesteps; twice with tangents
    x: NDArray[np.float32]  # (workers, input_rows * n_input * LANES)
    y: NDArray[np.float32]  # (workers, output_rows * n_output * LANES)
    outputs: NDArray[np.float32]  # (workers, output_rows * n_output * LANES)
    coefficients: NDArray[np.float32]  # (workers, (groups + 1) * LANES), loss differences, then the losses
    stop: NDArray[np.uint8]  # (1,), set from another thread to leave a step unfinished


class Sums(NamedTuple):
    """Partial sums, one row a chunk, and their total."""

    partial: NDArray[np.float64]  # (n_chunks, n_padded), of unit noise times loss difference
    loss: NDArray[np.float64]  # (n_chunks,)
    total: NDArray[np.float64]  # (n_padded,)


def _padded_rows(network: FreeNetwork) -> int:
    return -(-network.n_from // 4) * 4


def shape_of(
    network: FreeNetwork, timesteps: int, mask: NDArray[np.bool_] | None = None, *, tangent: bool = False
) -> Shape:
    """Return the runtime sizes of a network that runs for `timesteps`; of a layered one if the mask makes it that.

    With `tangent`, perturbed passes are those of the linearised network.
    """
    n_rows = _padded_rows(network)
    layered = layered_part(network, mask, timesteps)
    if layered is None:
        columns = np.arange(network.n_to)
        runs = np.stack([columns, 0 * columns, np.full_like(columns, n_rows), columns * n_rows], axis=1)
        layers = NO_LAYERS
    else:
        layers, runs, _ = layout_of(layered)
    return Shape(
        n_input=network.n_input,
        n_output=network.n_output,
        n_from=network.n_from,
        n_to=network.n_to,
        n_rows=n_rows,
        timesteps=timesteps,
        input_rows=network.input_rows(timesteps),
        output_rows=network.output_rows(timesteps),
        softmax=int(network.softmax),
        cross_entropy=int(network.loss == "categorical_crossentropy"),
        of_hidden=ACTIVATION_CODES[network.hidden_activation],
        of_outputs=ACTIVATION_CODES[network.output_activation],
        leak=np.float32(network.leak),
        hidden_first=int(network.hidden_first),
        tangent=int(tangent),
        runs=runs,
        layers=layers,
    )


def n_positions(shape: Shape) -> int:
    """Return how many numbers hold a weight matrix, padding included."""
    return int(shape.runs[-1, 2] + shape.runs[-1, 3])


def _places(shape: Shape) -> Places:
    """Return position, row and column of every weight of a layered network."""
    widths = (shape.n_input, *shape.layers[:, 4].tolist())
    return layout_of(LayeredNetwork(widths)).places


def noise_source(noise: Kind, seed: int, mask: NDArray[np.bool_] = NO_MASK) -> NoiseSource:
    """Return where a seed's unit perturbations come from; `mask` by position, (n_padded,)."""
    return NoiseSource(NOISE_CODES[noise], np.uint64(seed), key_schedule(seed), _NO_NOISE, mask)


def tiling_of(shape: Shape, batch_size: int) -> Tiling:
    """Return how a batch is cut; a layered network's as that of the free one, so that results keep their bits."""
    return _tiling(shape.n_to * shape.n_rows, batch_size)


def _tiling(padded: int, batch_size: int) -> Tiling:
    groups = max(1, min(MAX_GROUPS, _NOISE_BYTES_OF_A_TILE // (padded * LANES * 4)))
    n_tiles = -(-batch_size // (groups * LANES))
    return Tiling(batch_size, groups, n_tiles, min(n_tiles, most_chunks(padded)))


def most_chunks(padded: int) -> int:
    """Return into how many chunks a step of so many numbers to sum is cut."""
    return max(1, min(_MAX_CHUNKS, _PARTIAL_SUM_BYTES // (padded * 8)))


def most_bytes(network: FreeNetwork, timesteps: int) -> int:
    """Return the memory of a walk on one thread, in bytes, also for networks that no memory holds.

    Noise of a tile, partial sums of the largest batch, weights, and sixteen datapoints, twice: held-out ones beside
    those of training.
    """
    padded = network.n_to * _padded_rows(network)
    tiling = _tiling(padded, _LARGEST_BATCH)
    noise = tiling.groups * padded * LANES * 4
    sums = (tiling.n_chunks + 1) * padded * 8
    weights = padded * (3 * 8 + 4)
    inputs, outputs = network.input_rows(timesteps) * network.n_input, network.output_rows(timesteps) * network.n_output
    columns = 2 * network.n_from + inputs + 2 * outputs
    return noise + sums + weights + 2 * columns * LANES * 4


def to_padded(matrix: NDArray[Scalar], shape: Shape) -> NDArray[Scalar]:
    """Return a (n_from, n_to) matrix by position; padding is zero.

    A layered network has positions for its own weights alone.

    Raises
    ------
    ValueError
        If the matrix has another shape.
    """
    if matrix.shape != (shape.n_from, shape.n_to):
        raise ValueError(f"weights must have shape {(shape.n_from, shape.n_to)}, got {matrix.shape}")
    padded = np.zeros(n_positions(shape), dtype=matrix.dtype)
    if len(shape.layers):
        positions, rows, columns = _places(shape)
        padded[positions] = matrix[rows, columns]
    else:
        padded.reshape(shape.n_to, shape.n_rows)[:, : shape.n_from] = matrix.T
    return padded


def from_padded(values: NDArray[np.float64], shape: Shape) -> NDArray[np.float64]:
    """Return the (n_from, n_to) matrix of values by position, 0 where a layered network has no weight."""
    if len(shape.layers):
        positions, rows, columns = _places(shape)
        matrix = np.zeros((shape.n_from, shape.n_to))
        matrix[rows, columns] = values[positions]
        return matrix
    return values.reshape(shape.n_to, shape.n_rows)[:, : shape.n_from].T.copy()


def aligned(rows: int, columns: int) -> NDArray[np.float32]:
    """Return a zeroed (rows, columns) array with 64-byte aligned rows: a vector never straddles two cache lines."""
    columns = -(-columns // LANES) * LANES
    buffer = np.zeros(rows * columns * 4 + 64, dtype=np.uint8)
    start = -buffer.ctypes.data % 64
    return buffer[start : start + rows * columns * 4].view(np.float32).reshape(rows, columns)


def make_workspace(shape: Shape, groups: int, workers: int) -> Workspace:
    """Allocate scratch memory for `workers` threads; independent of the batch size."""
    n_outputs, both = shape.output_rows * shape.n_output, 1 + shape.tangent
    return Workspace(
        noise=aligned(workers, groups * n_positions(shape) * LANES),
        state=aligned(workers, both * 2 * shape.n_from * LANES),
        x=aligned(workers, shape.input_rows * shape.n_input * LANES),
        y=aligned(workers, n_outputs * LANES),
        outputs=aligned(workers, both * n_outputs * LANES),
        coefficients=aligned(workers, (groups + 1) * LANES),
        stop=np.zeros(1, dtype=np.uint8),
    )


def make_sums(shape: Shape, tiling: Tiling) -> Sums:
    """Allocate the partial sums of a batch."""
    padded = n_positions(shape)
    return Sums(
        partial=np.zeros((tiling.n_chunks, padded)),
        loss=np.zeros(tiling.n_chunks),
        total=np.zeros(padded),
    )
