"""The unit perturbations of `freewalk.kernels.model.directions` as plain float32 arrays, a row for each perturbation.

For models whose passes are not ours. Vectors are drawn for sixteen perturbations at a time, as everywhere, and turned.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from freewalk.kernels.cpu import noise
from freewalk.kernels.cpu.blocks import COLUMNS, ROWS, WORDS, A, B, Blocks
from freewalk.kernels.cpu.factors import FactorSource, factor_source, write_orthogonal
from freewalk.kernels.cpu.tiles import store_transposed
from freewalk.kernels.machine.jit import choice, helper_function, kernel
from freewalk.kernels.machine.lanes import LANES, every_second_from, load_f32, store
from freewalk.kernels.model.directions import Block, sign_blocks, words_of_block
from freewalk.kernels.model.noise import NOISE_CODES, NOISES, Kind, NoiseKind, Stream, blocks_per_column, key_schedule
from freewalk.kernels.model.walk import Directions

Array = NDArray[np.float32]

_TILE = LANES * LANES
_A, _B = A, B


def factors(
    blocks: tuple[Block, ...],
    *,
    noise: Kind,
    rank: int,
    directions: Directions,
    seed: int,
    step: int,
    first: int,
    last: int,
) -> tuple[Array, Array]:
    """Return the vectors of the perturbations first .. last - 1: a (K, rank, rows), b (K, rank, columns of all blocks).

    The same numbers as `directions.factors` and `directions.orthogonal_factors` of `freewalk.kernels.model`.
    """
    n_a, n_b = (sum(sizes) for sizes in zip(*(block.shape for block in blocks), strict=True))
    if directions == "orthogonal":
        a, b = (np.empty((last - first, rank, n), dtype=np.float32) for n in (n_a, n_b))
        layers = _layers(blocks)
        source = factor_source(Blocks(layers, 0, n_a, n_b, 0, 0, 0), noise, rank, directions, seed)
        _write_orthogonal_factors(source, layers, step, first, a, b)
        return a, b
    of_a, of_b = (-(-n // NOISES[noise].rows) for n in (n_a, n_b))
    begins = np.arange(rank) * (of_a + of_b)
    where: dict[str, Any] = {"noise": noise, "seed": seed, "step": step, "first": first, "last": last}
    return (
        _vectors(Stream.FACTORS, begins, n_a, **where),
        _vectors(Stream.FACTORS, begins + of_a, n_b, **where),
    )


def full(
    blocks: tuple[Block, ...],
    number: int,
    *,
    noise: Kind,
    directions: Directions,
    seed: int,
    step: int,
    first: int,
    last: int,
) -> Array:
    """Return the full perturbations first .. last - 1 of one of the blocks, (K, n, m).

    Its rows and columns follow each other in the weight matrix, of which the blocks have all rows between them.
    """
    rows, columns = blocks[number]
    (n, m), n_from = blocks[number].shape, sum(len(block.rows) for block in blocks)
    if directions == "independent":
        per_column, of_a_block = blocks_per_column(n_from, noise), NOISES[noise].rows
        begins, skipped = columns * per_column + rows[0] // of_a_block, int(rows[0] % of_a_block)
        drawn_as: dict[str, Any] = {"noise": noise, "seed": seed, "step": step, "first": first, "last": last}
        drawn = _vectors(Stream.PERTURBATIONS, begins, skipped + n, **drawn_as)
        return drawn[:, :, skipped:].swapaxes(1, 2)
    a, b = factors(blocks, noise=noise, rank=1, directions=directions, seed=seed, step=step, first=first, last=last)
    before = [block.shape for block in blocks[:number]]
    at_a, at_b = (sum(sizes) for sizes in zip((0, 0), *before, strict=True))
    sets = np.arange(first, last) // (n * m)
    words = sum(words_of_block(*shape) for shape in before) + words_of_block(n, m) - m * sign_blocks(n)
    begins = words + np.arange(m) * sign_blocks(n)
    kind: dict[str, Any] = {"noise": "rademacher", "seed": seed, "step": step}
    signs = _vectors(Stream.ORTHOGONAL, begins, n, **kind, first=sets[0], last=sets[-1] + 1)
    product: Array = b[:, 0, at_b : at_b + m, None] * a[:, 0, None, at_a : at_a + n]
    product *= signs[sets - sets[0]]
    return product.swapaxes(1, 2)


def _layers(blocks: tuple[Block, ...]) -> NDArray[np.int64]:
    """Return what `write_orthogonal` reads of `Blocks.layers`."""
    layers = np.zeros((len(blocks), WORDS + 1), dtype=np.int64)
    layers[:, [ROWS, COLUMNS]] = shapes = [block.shape for block in blocks]
    words = [words_of_block(*shape) for shape in shapes]
    layers[1:, [A, B, WORDS]] = np.cumsum([(*shape, n) for shape, n in zip(shapes, words, strict=True)], axis=0)[:-1]
    return layers


def _vectors(
    stream: Stream, begins: NDArray[np.int64], n: int, *, noise: Kind, seed: int, step: int, first: int, last: int
) -> Array:
    """Return vectors (K, V, n) of numbers for the indices first .. last - 1; each begins at a block of words."""
    groups, padded = math.ceil((last - first) / LANES), math.ceil(n / LANES) * LANES
    out = np.empty((groups * LANES, len(begins), padded), dtype=np.float32)
    scratch, turned = np.empty(padded * LANES, dtype=np.float32), np.empty(_TILE, dtype=np.float32)
    what = NOISE_CODES[noise], key_schedule(seed), np.uint64(stream), step, first, groups
    _write_vectors(*what, begins.astype(np.int64), n, padded, scratch, turned, out.reshape(-1))
    return out[: last - first, :, :n]


def _make_draw(kind: NoiseKind) -> Any:
    """Return the compiled function that writes a kind's numbers for sixteen indices."""
    store_block, of_a_block = getattr(noise, kind.cpu), kind.rows

    @helper_function
    def draw_kind(
        keys: NDArray[np.uint64],
        stream: np.uint64,
        step: int,
        index: int,
        begin: int,
        n: int,
        out: Array,  # OUT (n, LANES), to a multiple of sixteen
    ) -> None:
        even, odd = every_second_from(np.uint64(index)), every_second_from(np.uint64(index + 1))
        for row in range(0, n, of_a_block):
            words = noise.words_of(begin + row // of_a_block, even, odd, step, stream, keys)
            store_block(words, out, row * LANES, n - row)

    return draw_kind


_draw = choice([_make_draw(kind) for kind in NOISES.values()])


@kernel
def _write_vectors(
    kind: int,
    keys: NDArray[np.uint64],  # IN (20,)
    stream: np.uint64,
    step: int,
    first: int,
    groups: int,
    begins: NDArray[np.int64],  # IN (V,)
    n: int,
    padded: int,
    scratch: Array,  # SCRATCH (padded, LANES)
    turned: Array,  # SCRATCH (LANES, LANES)
    out: Array,  # OUT (groups * LANES, V, padded)
) -> None:
    for group in range(groups):
        for v in range(len(begins)):
            _draw(kind, keys, stream, step, first + group * LANES, begins[v], n, scratch)
            for tile in range(padded // LANES):
                store_transposed(scratch, tile * _TILE, turned, 0)
                for lane in range(LANES):
                    to = ((group * LANES + lane) * len(begins) + v) * padded + tile * LANES
                    store(out, to, load_f32(turned, lane * LANES))


@kernel
def _write_orthogonal_factors(
    source: FactorSource,
    layers: NDArray[np.int64],  # IN (n_layers, 9), see `Blocks.layers`
    step: int,
    first: int,
    a: Array,  # OUT (K, rank, rows of all layers)
    b: Array,  # OUT (K, rank, columns of all layers)
) -> None:
    for k in range(len(a)):
        for i in range(source.rank):
            number = (first + k) * source.rank + i
            for layer in range(len(layers)):
                write_orthogonal(
                    source, layers, layer, number, step, a[k, i], layers[layer, _A], b[k, i], layers[layer, _B], 1
                )
