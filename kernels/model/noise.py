"""Addressed noise: every random number is a function of (seed, stream, step, datapoint, block), and none is stored.

Philox4x32-10 (Salmon, Moraes, Dror, Shaw: Parallel random numbers: as easy as 1, 2, 3, SC 2011) turns a counter of four
words and a key of two into four words of random bits. The key is the 64-bit seed; the counter is
(block, datapoint, step, stream).

A column of the weight matrix has blocks of its own: block `column * blocks_per_column(n_from, noise) + k` serves 4 rows
of Gaussian noise or 128 rows of Rademacher signs. So a GPU thread that owns a column needs nobody else's words.

This module is the obvious NumPy version in float64; the fast kernels are tested against it.
"""

from __future__ import annotations

from enum import IntEnum
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

Noise = Literal["gaussian", "rademacher"]

MULTIPLIER_0 = 0xD2511F53
MULTIPLIER_1 = 0xCD9E8D57
WEYL_0 = 0x9E3779B9
WEYL_1 = 0xBB67AE85
ROUNDS = 10


class Stream(IntEnum):
    """The last counter word: it separates purposes, so that no two share a counter."""

    INITIAL_WEIGHTS = 0
    PERTURBATIONS = 1
    DATA = 2
    EVALUATION_DATA = 3


def seed_words(seed: int) -> tuple[int, int]:
    """Return the key of a seed: its low and its high 32 bits.

    Raises
    ------
    ValueError
        If the seed is negative or needs more than 64 bits.
    """
    if not 0 <= seed < 2**64:
        raise ValueError(f"seed must be between 0 and 2**64 - 1, got {seed}")
    return seed & 0xFFFFFFFF, seed >> 32


def key_schedule(seed: int) -> NDArray[np.uint64]:
    """Return the (2 * ROUNDS,) uint64 round keys of a seed: two words a round, the first two the key itself."""
    low, high = seed_words(seed)
    words = [((low + r * WEYL_0) & 0xFFFFFFFF, (high + r * WEYL_1) & 0xFFFFFFFF) for r in range(ROUNDS)]
    return np.array(words, dtype=np.uint64).reshape(-1)


def philox(counter: ArrayLike, seed: int) -> NDArray[np.uint32]:
    """Return the four words of random bits of each counter.

    Parameters
    ----------
    counter
        (..., 4) integers below 2**32.
    seed
        The 64-bit key.

    Returns
    -------
    (..., 4) uint32
    """
    c0, c1, c2, c3 = np.moveaxis(np.asarray(counter, dtype=np.uint64), -1, 0)
    low, shift = np.uint64(0xFFFFFFFF), np.uint64(32)
    for key_0, key_1 in key_schedule(seed).reshape(ROUNDS, 2):
        product_0 = c0 * np.uint64(MULTIPLIER_0)
        product_1 = c2 * np.uint64(MULTIPLIER_1)
        c0, c1, c2, c3 = (
            (product_1 >> shift) ^ c1 ^ key_0,
            product_1 & low,
            (product_0 >> shift) ^ c3 ^ key_1,
            product_0 & low,
        )
    return np.stack([c0, c1, c2, c3], axis=-1).astype(np.uint32)


def counters(block: ArrayLike, datapoint: ArrayLike, step: ArrayLike, stream: Stream) -> NDArray[np.uint64]:
    """Return the (..., 4) counters of broadcast blocks, datapoints and steps."""
    parts = np.broadcast_arrays(block, datapoint, step, int(stream))
    return np.stack([np.asarray(part, dtype=np.uint64) for part in parts], axis=-1)


def uniform_from_words(words: NDArray[np.uint32]) -> NDArray[np.float64]:
    """Return the uniform numbers in [0, 1) that the top 24 bits of the words give, exact in float32 too."""
    result: NDArray[np.float64] = (words >> np.uint32(8)) * np.float64(2.0**-24)
    return result


def normal_from_words(words: NDArray[np.uint32]) -> NDArray[np.float64]:
    """Return standard normals for (..., 2n) words: each pair of words is a radius and an angle (Box and Muller, 1958).

    Radius: u = ((word >> 1) | 1) / 2**31. Angle: the two top bits are the quadrant q, the other 30 a signed fraction v
    in [-1/2, 1/2) of a quarter turn; the angle is (q + v) quarter turns.
    """
    radius_word, angle_word = words[..., 0::2], words[..., 1::2]
    u = ((radius_word >> np.uint32(1)) | np.uint32(1)) / 2.0**31
    fraction = (angle_word << np.uint32(2)).astype(np.uint32).view(np.int32) / 2.0**32
    angle = (np.pi / 2) * ((angle_word >> np.uint32(30)) + fraction)
    radius = np.sqrt(-2.0 * np.log(u))
    pairs = np.stack([radius * np.cos(angle), radius * np.sin(angle)], axis=-1)
    normals: NDArray[np.float64] = pairs.reshape(words.shape)
    return normals


def sign_from_words(words: NDArray[np.uint32]) -> NDArray[np.float64]:
    """Return 32 signs for each word, lowest bit first: -1 for a set bit, 1 for a clear one; (..., n) to (..., 32n)."""
    bits = (words[..., None] >> np.arange(32, dtype=np.uint32)) & np.uint32(1)
    return 1.0 - 2.0 * bits.reshape(*words.shape[:-1], -1).astype(np.float64)


def rows_per_block(noise: Noise) -> int:
    """Return how many rows of a weight column the four words of one block serve."""
    return 4 if noise == "gaussian" else 128


def blocks_per_column(n_from: int, noise: Noise) -> int:
    """Return the number of blocks of a weight column with n_from rows."""
    return -(-n_from // rows_per_block(noise))


def unit_perturbations(
    n_from: int,
    n_to: int,
    *,
    seed: int,
    step: int,
    datapoints: NDArray[np.integer],
    noise: Noise = "gaussian",
) -> NDArray[np.float64]:
    """Return the perturbations D_b / stddev of some datapoints at one step.

    Parameters
    ----------
    n_from, n_to
        Shape of the weight matrix.
    seed, step
        Which trial and which weight update.
    datapoints
        (n,) indices in the batch.
    noise
        Standard normals or signs.

    Returns
    -------
    (n, n_from, n_to) float64
    """
    per_column = blocks_per_column(n_from, noise)
    blocks = np.arange(n_to * per_column).reshape(n_to, per_column)
    words = philox(counters(blocks, datapoints[:, None, None], step, Stream.PERTURBATIONS), seed)
    flat = words.reshape(len(datapoints), n_to, per_column * 4)
    values = normal_from_words(flat) if noise == "gaussian" else sign_from_words(flat)
    return np.swapaxes(values[..., :n_from], 1, 2)


def initial_uniforms(n_from: int, n_to: int, seed: int) -> NDArray[np.float64]:
    """Return (n_from, n_to) numbers uniform in [-1, 1), one for each position of a weight matrix."""
    per_column = blocks_per_column(n_from, "gaussian")
    blocks = np.arange(n_to * per_column).reshape(n_to, per_column)
    words = philox(counters(blocks, 0, 0, Stream.INITIAL_WEIGHTS), seed).reshape(n_to, -1)
    columns = 2.0 * uniform_from_words(words) - 1.0
    return columns[:, :n_from].T.copy()


def initial_weights(n_from: int, n_to: int, seed: int) -> NDArray[np.float64]:
    """Return (n_from, n_to) Glorot-uniform weights, U(±sqrt(6 / (n_from + n_to))) (Glorot and Bengio, 2010)."""
    bound = np.sqrt(6.0 / (n_from + n_to))
    weights: NDArray[np.float64] = initial_uniforms(n_from, n_to, seed) * bound
    return weights
