"""Unit perturbations of one weight column, drawn by the thread that owns the column."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from freewalk.kernels.cuda.functions import box_muller, philox, sign
from freewalk.kernels.cuda.jit import cuda, cuda_kernel, device_function
from freewalk.kernels.model.noise import NOISES, Noise, Stream, blocks_per_column

_PERTURBATIONS = np.uint32(Stream.PERTURBATIONS)
_WORD = 32  # signs in a word


@device_function
def keys(seed: int) -> tuple[np.uint32, np.uint32]:
    """Return the key of a seed whose bits lie in an int64: its low and its high word."""
    bits = np.uint64(seed)
    return np.uint32(bits & np.uint64(0xFFFFFFFF)), np.uint32(bits >> np.uint64(32))


class Draw(NamedTuple):
    """How a kind of noise makes values of the four words of a block."""

    rows: int
    """Values that a thread takes at a time where it cannot keep a column's: those of a block, or a part of them."""
    write_part: Any
    """Device function (noise, w0, w1, w2, w3, part) that writes this part of a block to noise[0], noise[1], ..."""
    make_block: Callable[[int, int], Any]
    """(first, n): device function (noise, w0, w1, w2, w3) that writes a block's first n values from noise[first] on.

    Both are compiled in: an array lives in registers only if every index is known."""


def _make_normals(first: int, n: int) -> Any:
    @device_function
    def write(noise: Any, w0: np.uint32, w1: np.uint32, w2: np.uint32, w3: np.uint32) -> None:
        noise[first], noise[first + 1] = box_muller(w0, w1)
        noise[first + 2], noise[first + 3] = box_muller(w2, w3)

    return write


@device_function
def _write_normals(noise: Any, w0: np.uint32, w1: np.uint32, w2: np.uint32, w3: np.uint32, part: int) -> None:
    noise[0], noise[1] = box_muller(w0, w1)
    noise[2], noise[3] = box_muller(w2, w3)


def _make_signs(first: int, n: int) -> Any:
    n0, n1, n2, n3 = (max(0, min(_WORD, n - _WORD * k)) for k in range(4))

    @device_function
    def write(noise: Any, w0: np.uint32, w1: np.uint32, w2: np.uint32, w3: np.uint32) -> None:
        for k in range(n0):
            noise[first + k] = sign(w0, k)
        for k in range(n1):
            noise[first + _WORD + k] = sign(w1, k)
        for k in range(n2):
            noise[first + 2 * _WORD + k] = sign(w2, k)
        for k in range(n3):
            noise[first + 3 * _WORD + k] = sign(w3, k)

    return write


@device_function
def _write_signs(noise: Any, w0: np.uint32, w1: np.uint32, w2: np.uint32, w3: np.uint32, part: int) -> None:
    word = w0 if part == 0 else w1 if part == 1 else w2 if part == 2 else w3
    for k in range(_WORD):
        noise[k] = sign(word, k)


NORMALS = Draw(4, _write_normals, _make_normals)
SIGNS = Draw(_WORD, _write_signs, _make_signs)


def _draw_of(kind: Noise) -> Draw:
    found: Draw = globals()[NOISES[kind].cuda]
    return found


def make_draw_column(n_rows: int, kind: Noise) -> Any:
    """Return a device function that leaves the noise of one column's rows in a thread's own array.

    The number of rows, padded to a multiple of four, is compiled in, so that the array lives in registers.
    """
    return _draw_blocks_from(0, blocks_per_column(n_rows, kind), n_rows, kind)


def _draw_blocks_from(block: int, blocks: int, n_rows: int, kind: Noise) -> Any:
    """Return a device function that draws the blocks `block` .. `blocks` - 1 of a column.

    Each draws its own and calls the next. That is a loop written out, which the compiler does not do by itself with so
    large a body: a loop that stays would put the noise into memory.
    """
    following = _draw_blocks_from(block + 1, blocks, n_rows, kind) if block + 1 < blocks else _draw_nothing
    row = NOISES[kind].rows * block
    write = _draw_of(kind).make_block(row, min(NOISES[kind].rows, n_rows - row))

    @device_function
    def draw(noise: Any, k0: np.uint32, k1: np.uint32, column: int, index: int, step: int) -> None:
        where = np.uint32(column * blocks + block)
        w0, w1, w2, w3 = philox(where, np.uint32(index), np.uint32(step), _PERTURBATIONS, k0, k1)
        write(noise, w0, w1, w2, w3)
        following(noise, k0, k1, column, index, step)

    return draw


@device_function
def _draw_nothing(noise: Any, k0: np.uint32, k1: np.uint32, column: int, index: int, step: int) -> None:
    pass


def make_values(kind: Noise) -> Any:
    """Return (rows, device function): the function leaves that many rows' noise of one column in a thread's own array.

    Rows begin at a multiple of the number returned; n_rows, the rows of a column, is a runtime value.
    """
    rows, write_part, _ = _draw_of(kind)
    rows_of_a_block = NOISES[kind].rows
    last_part = rows_of_a_block // rows - 1  # parts are a power of two

    @device_function
    def values(
        noise: Any, k0: np.uint32, k1: np.uint32, n_rows: int, first_row: int, column: int, index: int, step: int
    ) -> None:
        blocks = (n_rows + rows_of_a_block - 1) // rows_of_a_block
        where = np.uint32(column * blocks + first_row // rows_of_a_block)
        w0, w1, w2, w3 = philox(where, np.uint32(index), np.uint32(step), _PERTURBATIONS, k0, k1)
        write_part(noise, w0, w1, w2, w3, first_row // rows & last_part)

    return rows, values


@cache
def make_noise_kernel(kind: Noise) -> Any:
    """Return a kernel that writes unit perturbations, for checks: one thread for each datapoint and column."""
    rows, values = make_values(kind)

    @cuda_kernel
    def write_noise(seed: int, step: int, datapoints: NDArray[np.int64], out: NDArray[np.float32]) -> None:
        here = cuda.grid(1)
        n_rows, n_to = out.shape[1], out.shape[2]
        k0, k1 = keys(seed)
        noise = cuda.local.array(rows, np.float32)
        if here < len(datapoints) * n_to:
            b, column = here // n_to, here % n_to
            for first_row in range(0, n_rows, rows):
                values(noise, k0, k1, n_rows, first_row, column, datapoints[b], step)
                for r in range(min(rows, n_rows - first_row)):
                    out[b, first_row + r, column] = noise[r]

    return write_noise
