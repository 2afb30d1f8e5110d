"""Addressed noise: every random number is a function of (seed, stream, step, datapoint, block), and none is stored.

Philox4x32-10 (Salmon, Moraes, Dror, Shaw: Parallel random numbers: as easy as 1, 2, 3, SC 2011) turns a counter of four
words and a key of two into four words of random bits. The key is the 64-bit seed; the counter is
(block, datapoint, step, stream).

A column of the weight matrix has blocks of its own: block `column * blocks_per_column(n_from, noise) + k` serves 4 rows
of Gaussian noise or 128 rows of Rademacher signs. So a GPU thread that owns a column needs nobody else's words.

Gaussian noise has a second generator, for speed: the four words of a block are then the state of xoshiro128++ (Blackman
and Vigna: Scrambled linear pseudorandom number generators, ACM TOMS 47(4), 2021), whose outputs serve RUN rows. The
state of zeros, which it would not leave, comes once in 2**128 blocks.

This module is the obvious NumPy version in float64; the fast kernels are tested against it. NOISES below is the one
table of the kinds of noise: a new kind is a row there and the functions that the row names.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from enum import IntEnum
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

MULTIPLIER_0 = 0xD2511F53
MULTIPLIER_1 = 0xCD9E8D57
WEYL_0 = 0x9E3779B9
WEYL_1 = 0xBB67AE85
ROUNDS = 10
RUN = 64
"""Rows that one state of xoshiro128++ serves."""


class Stream(IntEnum):
    """The last counter word: it separates purposes, so that no two share a counter."""

    INITIAL_WEIGHTS = 0
    PERTURBATIONS = 1
    DATA = 2
    EVALUATION_DATA = 3
    FACTORS = 4
    ORTHOGONAL = 5
    FEEDBACK = 6
    SIGNS = 7
    POPULATION = 8
    NODES = 9


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


def next_word(s0: Any, s1: Any, s2: Any, s3: Any) -> tuple[Any, Any, Any, Any, Any]:
    """Return the next output of xoshiro128++ and the state after it, all uint64 below 2**32: arrays, or for Numba."""
    low, up = np.uint64(0xFFFFFFFF), np.uint64(32)
    turned = ((s0 + s3) & low) << np.uint64(7)
    word = ((turned | turned >> up) + s0) & low
    shifted = s1 << np.uint64(9) & low
    s2, s3 = s2 ^ s0, s3 ^ s1
    s1, s0 = s1 ^ s2, s0 ^ s3
    turned = s3 << np.uint64(11)
    return word, s0, s1, s2 ^ shifted, (turned | turned >> up) & low


def xoshiro(states: NDArray[np.uint32], n: int) -> NDArray[np.uint32]:
    """Return the first n outputs of xoshiro128++ for (..., 4) states, (..., n)."""
    s0, s1, s2, s3 = np.moveaxis(states.astype(np.uint64), -1, 0)
    words = []
    for _ in range(n):
        word, s0, s1, s2, s3 = next_word(s0, s1, s2, s3)
        words.append(word)
    return np.stack(words, axis=-1).astype(np.uint32)


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


def normal_from_states(words: NDArray[np.uint32]) -> NDArray[np.float64]:
    """Return RUN standard normals for each four words, the state of xoshiro128++; (..., 4n) to (..., RUN n)."""
    drawn = xoshiro(words.reshape(*words.shape[:-1], -1, 4), RUN)
    return normal_from_words(drawn.reshape(*words.shape[:-1], -1))


def sign_from_words(words: NDArray[np.uint32]) -> NDArray[np.float64]:
    """Return 32 signs for each word, lowest bit first: -1 for a set bit, 1 for a clear one; (..., n) to (..., 32n)."""
    bits = (words[..., None] >> np.arange(32, dtype=np.uint32)) & np.uint32(1)
    return 1.0 - 2.0 * bits.reshape(*words.shape[:-1], -1).astype(np.float64)


def write_normals(words: Any, out: Any, first: int, stride: int, n: int) -> None:
    """Write the first n of the four normals of a block to out[first], out[first + stride], ...; for Numba to compile.

    The formula is that of `normal_from_words`.
    """
    for k in range(0, n, 2):
        u = float((words[k] >> np.uint32(1)) | np.uint32(1)) / 2147483648.0
        turned = np.int64((words[k + 1] << np.uint32(2)) & np.uint32(0xFFFFFFFF))
        fraction = float(turned - 4294967296 if turned >= 2147483648 else turned) / 4294967296.0
        angle = math.pi / 2 * (float(words[k + 1] >> np.uint32(30)) + fraction)
        radius = math.sqrt(-2.0 * math.log(u))
        out[first + k * stride] = radius * math.cos(angle)
        if k + 1 < n:
            out[first + (k + 1) * stride] = radius * math.sin(angle)


def write_signs(words: Any, out: Any, first: int, stride: int, n: int) -> None:
    """Write the first n of the 128 signs of a block, as `write_normals` does."""
    for k in range(n):
        bit = (words[k >> 5] >> np.uint32(k & 31)) & np.uint32(1)
        out[first + k * stride] = 1.0 - 2.0 * bit


Compile = Callable[[Any], Any]


def make_write_run(compiled: Compile) -> Any:
    """Return what writes the first n of the RUN normals of a state, as `write_normals` does."""
    following, write_four = compiled(next_word), compiled(write_normals)

    def write_run(words: Any, out: Any, first: int, stride: int, n: int) -> None:
        s0, s1, s2, s3 = np.uint64(words[0]), np.uint64(words[1]), np.uint64(words[2]), np.uint64(words[3])
        for row in range(0, n, 4):
            w0, s0, s1, s2, s3 = following(s0, s1, s2, s3)
            w1, s0, s1, s2, s3 = following(s0, s1, s2, s3)
            w2, s0, s1, s2, s3 = following(s0, s1, s2, s3)
            w3, s0, s1, s2, s3 = following(s0, s1, s2, s3)
            four = (np.uint32(w0), np.uint32(w1), np.uint32(w2), np.uint32(w3))
            write_four(four, out, first + row * stride, stride, min(4, n - row))

    return write_run


@dataclass(frozen=True)
class NoiseKind:
    """All that is known of a kind of noise, of mean 0 and variance 1 before stddev scales it."""

    summary: str
    """For help texts."""
    rows: int
    """Of a weight column, that the four words of one block serve."""
    seconds: float
    """A draw on one core of the processor that `freewalk.harness.methods.cost` speaks of."""
    from_words: Callable[[NDArray[np.uint32]], NDArray[np.float64]]
    """The reference: (..., 4 n) words to (..., rows n) values."""
    make_write: Callable[[Compile], Any]
    """Given what compiles the functions that it calls, the plain Python that writes one block in float64, for Numba to
    compile: for the walk on any model."""
    cpu: str
    """Name in freewalk.kernels.cpu.noise of the function that stores one block for sixteen datapoints."""
    cuda: str
    """Name in freewalk.kernels.cuda.noise of its `Draw`."""


Noise = Literal["gaussian", "rademacher"]
Generator = Literal["philox", "xoshiro"]
Kind = Literal["gaussian", "rademacher", "gaussian-xoshiro"]
NOISES: dict[Kind, NoiseKind] = {
    "gaussian": NoiseKind("normal", 4, 0.65e-9, normal_from_words, lambda _: write_normals, "store_normals", "NORMALS"),
    "rademacher": NoiseKind(
        "plus or minus stddev", 128, 0.05e-9, sign_from_words, lambda _: write_signs, "store_signs", "SIGNS"
    ),
    "gaussian-xoshiro": NoiseKind(
        "normal, by xoshiro128++", RUN, 0.45e-9, normal_from_states, make_write_run, "store_run_of_normals", "RUNS"
    ),
}
"""The kinds of noise by name: a distribution, with another generator's name behind it."""
DEFAULT_NOISE: Noise = "gaussian"
DEFAULT_GENERATOR: Generator = "philox"
NOISE_CODES: dict[Kind, int] = {name: code for code, name in enumerate(NOISES)}
"""What compiled code knows the kinds by."""


def blocks_per_column(n_from: int, noise: Kind) -> int:
    """Return the number of blocks of a weight column with n_from rows."""
    return -(-n_from // NOISES[noise].rows)


def unit_perturbations(
    n_from: int,
    n_to: int,
    *,
    seed: int,
    step: int,
    datapoints: NDArray[np.integer],
    noise: Kind = DEFAULT_NOISE,
    stream: Stream = Stream.PERTURBATIONS,
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
        Their kind.
    stream
        Those of the weights, or of something else in a matrix.

    Returns
    -------
    (n, n_from, n_to) float64
    """
    per_column = blocks_per_column(n_from, noise)
    blocks = np.arange(n_to * per_column).reshape(n_to, per_column)
    words = philox(counters(blocks, datapoints[:, None, None], step, stream), seed)
    flat = words.reshape(len(datapoints), n_to, per_column * 4)
    return np.swapaxes(NOISES[noise].from_words(flat)[..., :n_from], 1, 2)


def uniforms(n_from: int, n_to: int, seed: int, stream: Stream, *, step: int = 0, item: int = 0) -> NDArray[np.float64]:
    """Return (n_from, n_to) numbers uniform in [-1, 1), one for each position of the matrix of an item at a step."""
    per_column = -(-n_from // 4)  # a word a row
    blocks = np.arange(n_to * per_column).reshape(n_to, per_column)
    words = philox(counters(blocks, item, step, stream), seed).reshape(n_to, -1)
    columns = 2.0 * uniform_from_words(words) - 1.0
    return columns[:, :n_from].T.copy()


def initial_uniforms(n_from: int, n_to: int, seed: int) -> NDArray[np.float64]:
    """Return (n_from, n_to) numbers uniform in [-1, 1), one for each position of a weight matrix."""
    return uniforms(n_from, n_to, seed, Stream.INITIAL_WEIGHTS)


def initial_weights(n_from: int, n_to: int, seed: int) -> NDArray[np.float64]:
    """Return (n_from, n_to) Glorot-uniform weights, U(±sqrt(6 / (n_from + n_to))) (Glorot and Bengio, 2010)."""
    bound = np.sqrt(6.0 / (n_from + n_to))
    weights: NDArray[np.float64] = initial_uniforms(n_from, n_to, seed) * bound
    return weights
