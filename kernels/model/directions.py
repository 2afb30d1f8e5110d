"""Unit perturbations of the walk: full, of low rank, and orthogonal, in NumPy float64; fast kernels are tested with it.

A mask cuts the weight matrix into blocks: columns that have the same rows. Each block of n rows and m columns has
perturbations of its own. Without a mask there is one block of P = n m weights; of a layered network the blocks are the
layers, each with a bias.

rank r       D = (1/sqrt(r)) sum_i a_i b_iᵀ in every block, with vectors a_i (n) and b_i (m) of independent numbers.
orthogonal   D of rank r is the same with a and b from an orthogonal basis each: of rows of the discrete Hartley
             transform (Bracewell, 1983), cas(2π k p / n) = cos + sin, whose squares sum to n for every n, with random
             signs and a random first row. Perturbation k takes the pairs of rows k r .. k r + r - 1 of the n m that
             there are, so the perturbations of a step are orthogonal, |D|² = n m, as long as those last; the next ones
             have signs and first rows of their own. Each product has a random sign besides, without which those of one
             perturbation would be correlated. A full perturbation is one of rank 1 times random signs, entry by entry,
             the same for all that are orthogonal to it.

Counters are (block of words, index, step, stream). FACTORS: index is the perturbation; the words serve a_0, b_0, a_1,
..., where a holds the rows of all blocks of weights one after another, b their columns, and every vector begins with
words of its own. ORTHOGONAL: index is that of the set of orthogonal pairs; for each block of weights one block of words
whose first two choose the first rows, then the signs of a, of b, of the products in order, and of full perturbations
column by column.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from freewalk.kernels.model.network import FreeNetwork
from freewalk.kernels.model.noise import (
    NOISES,
    Kind,
    Stream,
    counters,
    philox,
    sign_from_words,
    unit_perturbations,
)
from freewalk.kernels.model.walk import Directions

Array = NDArray[np.float64]
Indices = NDArray[np.integer]
SIGNS_OF_A_BLOCK = NOISES["rademacher"].rows


class Block(NamedTuple):
    """Weights that lie where some rows and columns cross."""

    rows: NDArray[np.intp]
    """(n,), ascending."""
    columns: NDArray[np.intp]
    """(m,), ascending."""

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns."""
        return len(self.rows), len(self.columns)


def blocks_of(network: FreeNetwork, mask: NDArray[np.bool_] | None) -> tuple[Block, ...]:
    """Return the blocks of weights that a mask leaves, in the order of their first columns; one without a mask."""
    if mask is None:
        return (Block(np.arange(network.n_from), np.arange(network.n_to)),)
    columns_by_rows: dict[bytes, list[int]] = {}
    for column in range(network.n_to):
        columns_by_rows.setdefault(mask[:, column].tobytes(), []).append(column)
    found = (Block(np.flatnonzero(mask[:, columns[0]]), np.array(columns)) for columns in columns_by_rows.values())
    return tuple(block for block in found if len(block.rows))


def unit_directions(
    blocks: tuple[Block, ...],
    shape: tuple[int, int],
    *,
    noise: Kind,
    rank: int | None,
    directions: Directions,
    seed: int,
    step: int,
    indices: Indices,
) -> Array:
    """Return the perturbations D_k / stddev of a step.

    Parameters
    ----------
    blocks
        See `blocks_of`.
    shape
        (n_from, n_to) of the weight matrix.
    noise, rank, directions
        As in `WalkConfiguration`; the kind of noise.
    seed, step
        Which trial and which weight update.
    indices
        (K,) perturbations of the step.

    Returns
    -------
    (K, n_from, n_to) float64, 0 outside the blocks
    """
    result = np.zeros((len(indices), *shape))
    if rank is None and directions == "independent":
        units = unit_perturbations(*shape, seed=seed, step=step, datapoints=indices, noise=noise)
        for rows, columns in blocks:
            result[:, rows[:, None], columns] = units[:, rows[:, None], columns]
        return result
    if directions == "independent":
        a, b = factors(blocks, noise=noise, rank=rank or 1, seed=seed, step=step, indices=indices)
    else:
        a, b = orthogonal_factors(blocks, rank=rank or 1, seed=seed, step=step, indices=indices)
    products = np.einsum("kin,kim->knm", a, b) / math.sqrt(rank or 1)
    row, column = 0, 0
    for number, block in enumerate(blocks):
        n, m = block.shape
        part = products[:, row : row + n, column : column + m]
        if rank is None:
            sets = indices // (n * m)
            part = part * full_signs(blocks, number, seed=seed, step=step, sets=sets)
        result[:, block.rows[:, None], block.columns] = part
        row, column = row + n, column + m
    return result


def factors(
    blocks: tuple[Block, ...], *, noise: Kind, rank: int, seed: int, step: int, indices: Indices
) -> tuple[Array, Array]:
    """Return the independent vectors a (K, rank, rows of all blocks) and b (K, rank, columns of all blocks)."""
    lengths = [sum(sizes) for sizes in zip(*(block.shape for block in blocks), strict=True)]
    per_block = NOISES[noise].rows
    vectors: list[list[Array]] = [[], []]
    first = 0
    for _ in range(rank):
        for length, drawn in zip(lengths, vectors, strict=True):
            n_blocks = -(-length // per_block)
            where = first + np.arange(n_blocks)
            words = philox(counters(where, indices[:, None], step, Stream.FACTORS), seed)
            drawn.append(NOISES[noise].from_words(words.reshape(len(indices), -1))[:, :length])
            first += n_blocks
    a, b = (np.stack(drawn, axis=1) for drawn in vectors)
    return a, b


def hartley(n: int) -> Array:
    """Return cas(2π p / n) = cos + sin for p = 0 .. n - 1."""
    angles = 2 * np.pi * np.arange(n) / n
    table: Array = np.cos(angles) + np.sin(angles)
    return table


def pairs_of_rows(n: int, m: int, positions: Indices) -> tuple[Indices, Indices]:
    """Return the rows of two bases, of n and of m vectors, that the pairs at positions 0 .. n m - 1 join.

    Each pair occurs once, and as many neighbours as possible differ in both.
    """
    return positions % n, (positions + positions // math.lcm(n, m)) % m


def orthogonal_factors(
    blocks: tuple[Block, ...], *, rank: int, seed: int, step: int, indices: Indices
) -> tuple[Array, Array]:
    """Return the vectors a and b, shapes as those of `factors`, of orthogonal perturbations."""
    numbers = indices[:, None] * rank + np.arange(rank)
    a: list[Array] = []
    b: list[Array] = []
    first = 0
    for block in blocks:
        n, m = block.shape
        sets, positions = numbers // (n * m), numbers % (n * m)
        row, column = pairs_of_rows(n, m, positions)
        words = philox(counters(first, sets, step, Stream.ORTHOGONAL), seed).astype(np.uint64)
        for vectors, k, word, size in ((a, row, words[..., 0], n), (b, column, words[..., 1], m)):
            start = (word * np.uint64(size) >> np.uint64(32)).astype(np.int64)
            angle = ((k + start) % size)[..., None] * np.arange(size) % size
            vectors.append(hartley(size)[angle])
        a[-1] *= _signs(first + 1, n, seed=seed, step=step, sets=sets)
        b[-1] *= _signs(first + 1 + sign_blocks(n), m, seed=seed, step=step, sets=sets)
        of_products = _signs(first + 1 + sign_blocks(n) + sign_blocks(m), n * m, seed=seed, step=step, sets=sets)
        b[-1] *= np.take_along_axis(of_products, positions[..., None], axis=-1)
        first += words_of_block(n, m)
    return np.concatenate(a, axis=-1), np.concatenate(b, axis=-1)


def full_signs(blocks: tuple[Block, ...], number: int, *, seed: int, step: int, sets: Indices) -> Array:
    """Return the signs (K, n, m) that full orthogonal perturbations of some sets have in one block of weights."""
    n, m = blocks[number].shape
    before = sum(words_of_block(*block.shape) for block in blocks[:number])
    first = before + words_of_block(n, m) - m * sign_blocks(n)
    columns = [_signs(first + j * sign_blocks(n), n, seed=seed, step=step, sets=sets) for j in range(m)]
    return np.stack(columns, axis=-1)


def sign_blocks(n: int) -> int:
    """Return the number of blocks of words that serve n signs."""
    return -(-n // SIGNS_OF_A_BLOCK)


def words_of_block(n: int, m: int) -> int:
    """Return how many blocks of words an orthogonal set has for a block of n rows and m columns."""
    return 1 + sign_blocks(n) + sign_blocks(m) + sign_blocks(n * m) + m * sign_blocks(n)


def _signs(first: int, n: int, *, seed: int, step: int, sets: Indices) -> Array:
    """Return signs (..., n) of sets (...) from the words that begin at a block."""
    where = first + np.arange(sign_blocks(n))
    words = philox(counters(where, sets[..., None], step, Stream.ORTHOGONAL), seed)
    return sign_from_words(words.reshape(*sets.shape, -1))[..., :n]
