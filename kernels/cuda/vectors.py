"""The vectors that perturbations of low rank, and all orthogonal ones, are made of, drawn before they are used.

freewalk.kernels.model.directions says what they are and how they are addressed. In memory a product's left vector is
followed by its right one, in the order of the list in structure.py.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from freewalk.kernels.cuda.functions import philox, sign
from freewalk.kernels.cuda.jit import cuda, cuda_kernel, device_function, types
from freewalk.kernels.cuda.layout import BATCH_SIZE, DATAPOINTS, SEED, STEP
from freewalk.kernels.cuda.noise import draw_of, keys
from freewalk.kernels.cuda.structure import COLUMN, COLUMN_END, ROW, ROW_END, WORDS
from freewalk.kernels.model.directions import SIGNS_OF_A_BLOCK
from freewalk.kernels.model.noise import NOISES, Kind, Stream

_FACTORS, _ORTHOGONAL = np.uint32(Stream.FACTORS), np.uint32(Stream.ORTHOGONAL)
_32 = np.uint64(32)
_WORD = 32  # signs


@device_function
def sign_at(first: int, position: int, index: int, step: int, k0: np.uint32, k1: np.uint32) -> Any:
    """Return the sign at a position among those that begin at a block of words of an orthogonal set."""
    where = np.uint32(first + position // SIGNS_OF_A_BLOCK)
    w0, w1, w2, w3 = philox(where, np.uint32(index), np.uint32(step), _ORTHOGONAL, k0, k1)
    part = position // _WORD % 4
    word = w0 if part == 0 else w1 if part == 1 else w2 if part == 2 else w3
    return sign(word, position % _WORD)


@device_function
def sign_blocks(n: int) -> int:
    """Return the blocks of words that serve n signs."""
    return (n + SIGNS_OF_A_BLOCK - 1) // SIGNS_OF_A_BLOCK


@device_function
def _greatest_common_divisor(a: int, b: int) -> int:
    while b > 0:
        a, b = b, a % b
    return a


@cache
def make_draw_independent(kind: Kind) -> Any:
    """Return a kernel that draws independent vectors: a thread for each block of words of each perturbation."""
    draw = draw_of(kind)
    rows, of_a_block = draw.rows, NOISES[kind].rows
    write = draw.make_write(0, rows)

    @cuda_kernel
    def draw_vectors(
        order: NDArray[np.int32],  # IN (slots,), the trial of each slot
        sizes: NDArray[np.int64],  # IN (n_trials, N_SIZES)
        vectors: NDArray[np.float32],  # OUT (slots, items, width)
        offset: int,
        begin: int,  # perturbations begin .. end - 1 of the step
        end: int,
        rank: int,
        n_rows: int,
        n_columns: int,
    ) -> None:
        values = cuda.local.array(rows, np.float32)
        slot = cuda.blockIdx.y
        trial = order[slot]
        last = min(end, sizes[trial, BATCH_SIZE] // sizes[trial, DATAPOINTS])
        left, right = (n_rows + of_a_block - 1) // of_a_block, (n_columns + of_a_block - 1) // of_a_block
        words = rank * (left + right)
        here = cuda.grid(1)
        if here >= (last - begin) * words:
            return
        local, word = here // words, here % words
        product, part = word // (left + right), word % (left + right)
        is_left = part < left
        length, first = (n_rows if is_left else n_columns), (part if is_left else part - left) * of_a_block
        place = 0 if is_left else n_rows
        k0, k1 = keys(sizes[trial, SEED])
        step = np.uint32(sizes[trial, STEP] + offset)
        w0, w1, w2, w3 = philox(np.uint32(word), np.uint32(begin + local), step, _FACTORS, k0, k1)
        for piece in range(of_a_block // rows):
            write(values, w0, w1, w2, w3, piece)
            for r in range(rows):
                at = first + piece * rows + r
                if at < length:
                    vectors[slot, local * rank + product, place + at] = values[r]

    return draw_vectors


@cache
def make_draw_orthogonal() -> Any:
    """Return a kernel that makes orthogonal vectors: a thread for each number."""

    @cuda_kernel
    def draw_vectors(
        order: NDArray[np.int32],  # IN (slots,), the trial of each slot
        sizes: NDArray[np.int64],  # IN (n_trials, N_SIZES)
        blocks: NDArray[np.int32],  # IN (n_blocks, N_FIELDS)
        block_of: NDArray[np.int32],  # IN (n_rows + n_columns,)
        transform: NDArray[np.float32],  # IN (n_rows + n_columns,)
        vectors: NDArray[np.float32],  # OUT (slots, items, width)
        offset: int,
        begin: int,  # perturbations begin .. end - 1 of the step
        end: int,
        rank: int,
    ) -> None:
        slot = cuda.blockIdx.y
        trial = order[slot]
        last = min(end, sizes[trial, BATCH_SIZE] // sizes[trial, DATAPOINTS])
        here, width = cuda.grid(1), block_of.shape[0]
        item, place = here // width, here % width
        if item >= (last - begin) * rank:
            return
        q = block_of[place]
        row, column, words = blocks[q, ROW], blocks[q, COLUMN], blocks[q, WORDS]
        n, m = int(blocks[q, ROW_END] - row), int(blocks[q, COLUMN_END] - column)
        number = begin * rank + item
        index, position = number // (n * m), number % (n * m)
        k0, k1 = keys(sizes[trial, SEED])
        step = sizes[trial, STEP] + offset
        w0, w1, _, _ = philox(np.uint32(words), np.uint32(index), np.uint32(step), _ORTHOGONAL, k0, k1)
        if place < column:
            at, first = place - row, np.int64(np.uint64(w0) * np.uint64(n) >> _32)
            angle = (position + first) % n * at % n
            value = transform[row + angle] * sign_at(words + 1, at, index, step, k0, k1)
        else:
            at, first = place - column, np.int64(np.uint64(w1) * np.uint64(m) >> _32)
            turns = position // (n // _greatest_common_divisor(n, m) * m)
            angle = (position + turns + first) % m * at % m
            before = words + 1 + sign_blocks(n)
            value = transform[column + angle] * sign_at(before, at, index, step, k0, k1)
            value *= sign_at(before + sign_blocks(m), position, index, step, k0, k1)
        vectors[slot, item, place] = value

    return draw_vectors


_TRIALS = (types.int32[::1], types.int64[:, ::1])
_VECTORS = types.float32[:, :, ::1]
INDEPENDENT = types.void(*_TRIALS, _VECTORS, *[types.int64] * 6)
"""Signature of the kernel of independent vectors."""
ORTHOGONAL = types.void(
    *_TRIALS, types.int32[:, ::1], types.int32[::1], types.float32[::1], _VECTORS, *[types.int64] * 4
)
"""Signature of that of orthogonal ones."""
