"""Unit perturbations of one weight column, drawn by the thread that owns the column."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from freewalk.kernels.cuda.functions import box_muller, philox, sign
from freewalk.kernels.cuda.jit import cuda, cuda_kernel, device_function
from freewalk.kernels.model.noise import Stream, blocks_per_column

_PERTURBATIONS = np.uint32(Stream.PERTURBATIONS)
_WORD = 32  # signs in a word


@device_function
def keys(seed: int) -> tuple[np.uint32, np.uint32]:
    """Return the key of a seed whose bits lie in an int64: its low and its high word."""
    bits = np.uint64(seed)
    return np.uint32(bits & np.uint64(0xFFFFFFFF)), np.uint32(bits >> np.uint64(32))


def _draw_blocks_from(block: int, blocks: int) -> Any:
    """Return a device function that draws the blocks `block` .. `blocks` - 1 of a column, four rows each.

    Each draws its own and calls the next. That is a loop written out, which the compiler does not do by itself with so
    large a body: a loop that stays would put the noise into memory.
    """
    following = _draw_blocks_from(block + 1, blocks) if block + 1 < blocks else _draw_nothing
    row = 4 * block

    @device_function
    def draw(noise: Any, k0: np.uint32, k1: np.uint32, column: int, index: int, step: int) -> None:
        where = np.uint32(column * blocks + block)
        w0, w1, w2, w3 = philox(where, np.uint32(index), np.uint32(step), _PERTURBATIONS, k0, k1)
        noise[row], noise[row + 1] = box_muller(w0, w1)
        noise[row + 2], noise[row + 3] = box_muller(w2, w3)
        following(noise, k0, k1, column, index, step)

    return draw


@device_function
def _draw_nothing(noise: Any, k0: np.uint32, k1: np.uint32, column: int, index: int, step: int) -> None:
    pass


def make_draw_column(n_rows: int, *, gaussian: bool) -> Any:
    """Return a device function that leaves the noise of one column's rows in a thread's own array.

    The number of rows is compiled in, so that the array lives in registers.
    """
    if gaussian:
        return _draw_blocks_from(0, blocks_per_column(n_rows, "gaussian"))
    signs_0, signs_1, signs_2, signs_3 = (max(0, min(_WORD, n_rows - _WORD * k)) for k in range(4))

    @device_function
    def draw_rademacher(noise: Any, k0: np.uint32, k1: np.uint32, column: int, index: int, step: int) -> None:
        # one block: a column that lives in registers has fewer rows than its 128 signs
        w0, w1, w2, w3 = philox(np.uint32(column), np.uint32(index), np.uint32(step), _PERTURBATIONS, k0, k1)
        for k in range(signs_0):
            noise[k] = sign(w0, k)
        for k in range(signs_1):
            noise[_WORD + k] = sign(w1, k)
        for k in range(signs_2):
            noise[2 * _WORD + k] = sign(w2, k)
        for k in range(signs_3):
            noise[3 * _WORD + k] = sign(w3, k)

    return draw_rademacher


def make_values(*, gaussian: bool) -> Any:
    """Return (rows, device function): the function leaves that many rows' noise of one column in a thread's own array.

    Rows begin at a multiple of the number returned; n_rows, the rows of a column, is a runtime value.
    """
    rows = 4 if gaussian else _WORD

    @device_function
    def gaussian_values(
        noise: Any, k0: np.uint32, k1: np.uint32, n_rows: int, first_row: int, column: int, index: int, step: int
    ) -> None:
        where = np.uint32(column * ((n_rows + 3) // 4) + first_row // 4)
        w0, w1, w2, w3 = philox(where, np.uint32(index), np.uint32(step), _PERTURBATIONS, k0, k1)
        noise[0], noise[1] = box_muller(w0, w1)
        noise[2], noise[3] = box_muller(w2, w3)

    @device_function
    def rademacher_values(
        noise: Any, k0: np.uint32, k1: np.uint32, n_rows: int, first_row: int, column: int, index: int, step: int
    ) -> None:
        where = np.uint32(column * ((n_rows + 127) // 128) + first_row // 128)
        w0, w1, w2, w3 = philox(where, np.uint32(index), np.uint32(step), _PERTURBATIONS, k0, k1)
        which = (first_row // _WORD) & 3
        word = w0 if which == 0 else w1 if which == 1 else w2 if which == 2 else w3
        for k in range(_WORD):
            noise[k] = sign(word, k)

    return rows, gaussian_values if gaussian else rademacher_values


@cache
def make_noise_kernel(*, gaussian: bool) -> Any:
    """Return a kernel that writes unit perturbations, for checks: one thread for each datapoint and column."""
    rows, values = make_values(gaussian=gaussian)

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
