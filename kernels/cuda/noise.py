"""Unit perturbations of one weight column, drawn by the thread that owns the column."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from freewalk.kernels.cuda.functions import box_muller, next_word, philox, sign
from freewalk.kernels.cuda.jit import cuda, cuda_kernel, device_function
from freewalk.kernels.model.noise import NOISES, RUN, Kind, Stream, blocks_per_column

_PERTURBATIONS = np.uint32(Stream.PERTURBATIONS)


@device_function
def keys(seed: int) -> tuple[np.uint32, np.uint32]:
    """Return the key of a seed whose bits lie in an int64: its low and its high word."""
    bits = np.uint64(seed)
    return np.uint32(bits & np.uint64(0xFFFFFFFF)), np.uint32(bits >> np.uint64(32))


class Draw(NamedTuple):
    """How a kind of noise makes values of the four words of a block."""

    rows: int
    """Values that a thread makes at a time: those of a block, or of one of its parts, of which it has 2, 4 or more."""
    make_write: Callable[[int, int], Any]
    """(first, n): device function (noise, w0, w1, w2, w3, part) that writes n values of a part from noise[first] on.

    Where they go is compiled in: an array lives in registers only if every index is known.
    """


def _make_write_normals(first: int, n: int) -> Any:
    @device_function
    def write(noise: Any, w0: np.uint32, w1: np.uint32, w2: np.uint32, w3: np.uint32, part: int) -> None:
        noise[first], noise[first + 1] = box_muller(w0, w1)
        noise[first + 2], noise[first + 3] = box_muller(w2, w3)

    return write


def _make_write_signs(first: int, n: int) -> Any:
    @device_function
    def write(noise: Any, w0: np.uint32, w1: np.uint32, w2: np.uint32, w3: np.uint32, part: int) -> None:
        word = w0 if part == 0 else w1 if part == 1 else w2 if part == 2 else w3
        for k in range(n):
            noise[first + k] = sign(word, k)

    return write


def _make_write_runs(first: int, n: int) -> Any:
    """Four rows, of the next words of a state, and then the others, written out as by `_draw_from`."""
    write_four = _make_write_normals(first, 4)
    following = _make_write_runs(first + 4, n - 4) if n > 4 else _draw_nothing

    @device_function
    def write(noise: Any, s0: np.uint32, s1: np.uint32, s2: np.uint32, s3: np.uint32, part: int) -> None:
        w0, s0, s1, s2, s3 = next_word(s0, s1, s2, s3)
        w1, s0, s1, s2, s3 = next_word(s0, s1, s2, s3)
        w2, s0, s1, s2, s3 = next_word(s0, s1, s2, s3)
        w3, s0, s1, s2, s3 = next_word(s0, s1, s2, s3)
        write_four(noise, w0, w1, w2, w3, part)
        following(noise, s0, s1, s2, s3, part)

    return write


NORMALS = Draw(4, _make_write_normals)
SIGNS = Draw(32, _make_write_signs)
RUNS = Draw(RUN, _make_write_runs)


def draw_of(kind: Kind) -> Draw:
    """Return how a kind of noise is made."""
    found: Draw = globals()[NOISES[kind].cuda]
    return found


def make_draw_column(n_rows: int, kind: Kind) -> Any:
    """Return a device function that leaves the noise of one column's rows in a thread's own array.

    The number of rows, a multiple of four, is compiled in, so that the array lives in registers.
    """
    draw = _draw_from(0, n_rows, kind)

    @device_function
    def draw_column(noise: Any, k0: np.uint32, k1: np.uint32, column: int, index: int, step: int) -> None:
        draw(noise, k0, k0, k0, k0, k0, k1, column, index, step)

    return draw_column


def _draw_from(row: int, n_rows: int, kind: Kind) -> Any:
    """Return a device function that draws the rows `row` .. `n_rows` - 1 of a column, given the words of their block.

    Each draws a part of a block and calls the next. That is a loop written out, which the compiler does not do by
    itself with so large a body: a loop that stays would put the noise into memory.
    """
    rows, make_write = draw_of(kind)
    rows_of_a_block, blocks = NOISES[kind].rows, blocks_per_column(n_rows, kind)
    block, part = row // rows_of_a_block, row % rows_of_a_block // rows
    write = make_write(row, min(rows, n_rows - row))
    following = _draw_from(row + rows, n_rows, kind) if row + rows < n_rows else _draw_nothing

    @device_function
    def draw(
        noise: Any,
        w0: np.uint32,
        w1: np.uint32,
        w2: np.uint32,
        w3: np.uint32,
        k0: np.uint32,
        k1: np.uint32,
        column: int,
        index: int,
        step: int,
    ) -> None:
        if part == 0:
            where = np.uint32(column * blocks + block)
            w0, w1, w2, w3 = philox(where, np.uint32(index), np.uint32(step), _PERTURBATIONS, k0, k1)
        write(noise, w0, w1, w2, w3, part)
        following(noise, w0, w1, w2, w3, k0, k1, column, index, step)

    return draw


@device_function
def _draw_nothing(*arguments: Any) -> None:
    pass


def make_values(kind: Kind, stream: Stream = Stream.PERTURBATIONS) -> Any:
    """Return (rows, device function): the function leaves that many rows' noise of one column in a thread's own array.

    Rows begin at a multiple of the number returned; n_rows, the rows of a column, is a runtime value.
    """
    rows, make_write = draw_of(kind)
    rows_of_a_block, write = NOISES[kind].rows, make_write(0, rows)
    last_part, of_stream = rows_of_a_block // rows - 1, np.uint32(stream)

    @device_function
    def values(
        noise: Any, k0: np.uint32, k1: np.uint32, n_rows: int, first_row: int, column: int, index: int, step: int
    ) -> None:
        blocks = (n_rows + rows_of_a_block - 1) // rows_of_a_block
        where = np.uint32(column * blocks + first_row // rows_of_a_block)
        w0, w1, w2, w3 = philox(where, np.uint32(index), np.uint32(step), of_stream, k0, k1)
        write(noise, w0, w1, w2, w3, first_row // rows & last_part)

    return rows, values


@cache
def make_noise_kernel(kind: Kind) -> Any:
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
