"""The vectors a and b of perturbations of low rank, for sixteen pairs at a time, and kept by perturbation.

Passes want the numbers of sixteen pairs side by side, the update those of one perturbation: they are written in both
orders, the second as panels of sixteen rows or columns.
"""

from __future__ import annotations

from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from freewalk.kernels.cpu import noise
from freewalk.kernels.cpu.blocks import A_PANEL, B_PANEL, COLUMNS, ROWS, WORDS, A, B, Blocks
from freewalk.kernels.cpu.layout import aligned
from freewalk.kernels.cpu.tiles import store_transposed
from freewalk.kernels.data.task_functions import data_words
from freewalk.kernels.machine.jit import choice, helper_function, inline_function
from freewalk.kernels.machine.lanes import LANES, load_f32, load_u64, store
from freewalk.kernels.model.directions import SIGNS_OF_A_BLOCK, hartley
from freewalk.kernels.model.noise import NOISE_CODES, NOISES, Kind, NoiseKind, Stream, key_schedule
from freewalk.kernels.model.walk import Directions

_FACTORS = np.uint64(Stream.FACTORS)
_ORTHOGONAL = int(Stream.ORTHOGONAL)
_ROWS, _COLUMNS, _A, _B, _A_PANEL, _B_PANEL, _WORDS = ROWS, COLUMNS, A, B, A_PANEL, B_PANEL, WORDS
_SIGNS = SIGNS_OF_A_BLOCK
_SHIFT = np.uint64(32)
_ONE = np.float32(1.0)


class FactorSource(NamedTuple):
    """Where a and b come from: words of a seed, and of what kind."""

    kind: int  # one of NOISE_CODES, or their number for orthogonal perturbations
    rank: int
    seed: np.uint64
    round_keys: NDArray[np.uint64]  # (20,)
    n_a: int  # rows of all layers
    bases: NDArray[np.float32]  # (n_a + n_b,), cas of each layer's rows, then of its columns, see `hartley`


class Bases(Protocol):
    """Where orthogonal perturbations come from, whatever their rank; see `FactorSource`."""

    @property
    def seed(self) -> np.uint64: ...  # noqa: D102
    @property
    def n_a(self) -> int: ...  # noqa: D102
    @property
    def bases(self) -> NDArray[np.float32]: ...  # noqa: D102


class Panels(NamedTuple):
    """a and b by perturbation: row i * per_round + k of a panel holds sixteen numbers of a_i or b_i of the k-th."""

    a: NDArray[np.float32]  # (panels, rank * per_round * LANES)
    b: NDArray[np.float32]  # (panels, rank * per_round * LANES)
    per_round: int  # perturbations that are kept at a time


def factor_source(blocks: Blocks, noise_kind: Kind, rank: int, directions: Directions, seed: int) -> FactorSource:
    """Return where the numbers of a seed's perturbations come from."""
    bases = np.zeros(blocks.n_a + blocks.n_b, dtype=np.float32)
    for layer in blocks.layers:
        bases[layer[A] : layer[A] + layer[ROWS]] = hartley(layer[ROWS])
        bases[blocks.n_a + layer[B] : blocks.n_a + layer[B] + layer[COLUMNS]] = hartley(layer[COLUMNS])
    kind = NOISE_CODES[noise_kind] if directions == "independent" else len(NOISE_CODES)
    return FactorSource(kind, rank, np.uint64(seed), key_schedule(seed), blocks.n_a, bases)


def make_panels(blocks: Blocks, rank: int, per_round: int) -> Panels:
    """Allocate panels for so many perturbations."""
    n_a = sum(-(-int(layer[ROWS]) // LANES) for layer in blocks.layers)
    n_b = sum(-(-int(layer[COLUMNS]) // LANES) for layer in blocks.layers)
    size = rank * per_round * LANES
    return Panels(aligned(n_a, size), aligned(n_b, size), per_round)


@inline_function
def _write_indices(first: int, datapoints: int, indices: NDArray[np.uint64]) -> None:
    """Write the perturbations of the pairs first .. first + 15: of the even lanes, then of the odd ones."""
    index, seen = first // datapoints, first % datapoints
    for lane in range(LANES):
        indices[lane // 2 + lane % 2 * (LANES // 2)] = np.uint64(index)
        seen += 1
        if seen == datapoints:
            index, seen = index + 1, 0


def _make_draw(kind: NoiseKind) -> Any:
    """Return the compiled function that writes a kind's numbers."""
    store_block, of_a_block = getattr(noise, kind.cpu), kind.rows

    @helper_function
    def draw_kind(
        source: FactorSource,
        blocks: Blocks,
        first: int,
        datapoints: int,
        groups: int,
        step: int,
        indices: NDArray[np.uint64],
        a: NDArray[np.float32],
        b: NDArray[np.float32],
    ) -> None:
        for group in range(groups):
            _write_indices(first + group * LANES, datapoints, indices)
            even, odd = load_u64(indices, 0), load_u64(indices, LANES // 2)
            block = 0
            for i in range(source.rank):
                at = (group * source.rank + i) * blocks.a_stride * LANES
                for row in range(0, blocks.n_a, of_a_block):
                    words = noise.words_of(block, even, odd, step, _FACTORS, source.round_keys)
                    store_block(words, a, at + row * LANES, blocks.n_a - row)
                    block += 1
                at = (group * source.rank + i) * blocks.b_stride * LANES
                for row in range(0, blocks.n_b, of_a_block):
                    words = noise.words_of(block, even, odd, step, _FACTORS, source.round_keys)
                    store_block(words, b, at + row * LANES, blocks.n_b - row)
                    block += 1

    return draw_kind


@inline_function
def _write_basis_row(
    bases: NDArray[np.float32],  # IN from `base`: (n,), cas
    base: int,
    n: int,
    row: int,
    source: Bases,
    set_: int,
    step: int,
    word: int,
    sign: np.floating[Any],
    out: NDArray[np.float32],  # OUT from `at`, a number every `stride`
    at: int,
    stride: int,
) -> None:
    """Write sign times a row of a basis, with the signs of its set from the block of words `word` on."""
    w0 = w1 = w2 = w3 = np.uint32(0)
    angle = 0
    for p in range(n):
        if p % _SIGNS == 0:
            w0, w1, w2, w3 = data_words(source.seed, _ORTHOGONAL, step, set_, word + p // _SIGNS)
        k = p % _SIGNS // 32
        bits = w0 if k == 0 else w1 if k == 1 else w2 if k == 2 else w3
        value = bases[base + angle] * sign
        out[at + p * stride] = -value if (bits >> np.uint32(p & 31)) & np.uint32(1) else value
        angle += row
        if angle >= n:
            angle -= n


@helper_function
def _gcd(n: int, m: int) -> int:
    while m:
        n, m = m, n % m
    return n


@helper_function
def write_orthogonal(
    source: Bases,
    layers: NDArray[np.int64],
    layer: int,
    number: int,  # of the product of two vectors, in its step
    step: int,
    a: NDArray[np.float32],  # OUT from `a_at`, a number every `stride`
    a_at: int,
    b: NDArray[np.float32],  # OUT from `b_at`, a number every `stride`
    b_at: int,
    stride: int,
) -> Any:
    """Write rows of a layer's two bases, see `freewalk.kernels.model.directions`; return the set they are of."""
    n, m, word = layers[layer, _ROWS], layers[layer, _COLUMNS], layers[layer, _WORDS]
    of_a, of_b = (n + _SIGNS - 1) // _SIGNS, (m + _SIGNS - 1) // _SIGNS
    set_: int = number // (n * m)
    position = number % (n * m)
    w0, w1, _, _ = data_words(source.seed, _ORTHOGONAL, step, set_, word)
    row = (position % n + np.int64((np.uint64(w0) * np.uint64(n)) >> _SHIFT)) % n
    column = position % m + position // (n * m // _gcd(n, m))
    column = (column + np.int64((np.uint64(w1) * np.uint64(m)) >> _SHIFT)) % m
    words = data_words(source.seed, _ORTHOGONAL, step, set_, word + 1 + of_a + of_b + position // _SIGNS)
    k = position % _SIGNS // 32
    bits = words[0] if k == 0 else words[1] if k == 1 else words[2] if k == 2 else words[3]
    sign = -_ONE if (bits >> np.uint32(position & 31)) & np.uint32(1) else _ONE
    first_a, first_b = layers[layer, _A], source.n_a + layers[layer, _B]
    _write_basis_row(source.bases, first_a, n, row, source, set_, step, word + 1, _ONE, a, a_at, stride)
    _write_basis_row(source.bases, first_b, m, column, source, set_, step, word + 1 + of_a, sign, b, b_at, stride)
    return set_


@helper_function
def _draw_orthogonal(
    source: FactorSource,
    blocks: Blocks,
    first: int,
    datapoints: int,
    groups: int,
    step: int,
    indices: NDArray[np.uint64],
    a: NDArray[np.float32],
    b: NDArray[np.float32],
) -> None:
    """Write rows of bases, as `freewalk.kernels.model.directions.orthogonal_factors` says."""
    layers = blocks.layers
    for layer in range(len(layers)):
        for pair in range(groups * LANES):
            for i in range(source.rank):
                number = (first + pair) // datapoints * source.rank + i
                vector, lane = pair // LANES * source.rank + i, pair % LANES
                a_at = (vector * blocks.a_stride + layers[layer, _A]) * LANES + lane
                b_at = (vector * blocks.b_stride + layers[layer, _B]) * LANES + lane
                write_orthogonal(source, layers, layer, number, step, a, a_at, b, b_at, LANES)


_draw_numbers = choice([*(_make_draw(kind) for kind in NOISES.values()), _draw_orthogonal])


@inline_function
def draw_factors(
    source: FactorSource,
    blocks: Blocks,
    first: int,  # pair
    datapoints: int,
    groups: int,
    step: int,
    indices: NDArray[np.uint64],  # SCRATCH (LANES,)
    a: NDArray[np.float32],  # OUT (groups, rank, a_stride, LANES)
    b: NDArray[np.float32],  # OUT (groups, rank, b_stride, LANES)
) -> None:
    """Write the vectors of the perturbations of some lane groups of pairs."""
    _draw_numbers(source.kind, source, blocks, first, datapoints, groups, step, indices, a, b)


@inline_function
def _keep(
    numbers: NDArray[np.float32],  # IN from `at`: (rows, LANES)
    at: int,
    n: int,
    panels: NDArray[np.float32],  # OUT (panels, rows of a panel * LANES)
    panel: int,
    row: int,
    first: int,  # pair in the round
    n_pairs: int,
    datapoints: int,
    turned: NDArray[np.float32],  # SCRATCH (LANES, LANES)
) -> None:
    for k in range((n + LANES - 1) // LANES):
        if datapoints == 1:
            store_transposed(numbers, at + k * LANES * LANES, panels[panel + k], (row + first) * LANES)
            continue
        store_transposed(numbers, at + k * LANES * LANES, turned, 0)
        for lane in range(min(LANES, n_pairs - first)):
            if (first + lane) % datapoints == 0:
                to = (row + (first + lane) // datapoints) * LANES
                store(panels[panel + k], to, load_f32(turned, lane * LANES))


@helper_function
def keep_factors(
    blocks: Blocks,
    rank: int,
    panels: Panels,
    first: int,  # pair in the round
    n_pairs: int,  # in the round
    datapoints: int,
    groups: int,
    a: NDArray[np.float32],  # IN, as `draw_factors` leaves it
    b: NDArray[np.float32],  # IN
    turned: NDArray[np.float32],  # SCRATCH (LANES * LANES,)
) -> None:
    """Write the vectors of some lane groups to the rows of their perturbations."""
    for layer in blocks.layers:
        for vector in range(groups * rank):
            pair, row = first + vector // rank * LANES, vector % rank * panels.per_round
            at = (vector * blocks.a_stride + layer[_A]) * LANES
            _keep(a, at, layer[_ROWS], panels.a, layer[_A_PANEL], row, pair, n_pairs, datapoints, turned)
            at = (vector * blocks.b_stride + layer[_B]) * LANES
            _keep(b, at, layer[_COLUMNS], panels.b, layer[_B_PANEL], row, pair, n_pairs, datapoints, turned)
