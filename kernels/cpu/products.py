"""Products of matrices over datapoints: eight columns at a time, two lane groups for each load of a weight."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from freewalk.kernels.cpu.functions import sigmoid, tanh
from freewalk.kernels.cpu.tiles import WIDE, add_products, add_scaled, empty_tile, perturbed_factors, store_tile
from freewalk.kernels.machine.jit import helper_function, inline_function
from freewalk.kernels.machine.lanes import LANES, F32x16, load_f32, store

BLOCK = 8
"""Columns of a product that are computed together."""
_BLOCK = BLOCK
_WIDE = WIDE
_PART = BLOCK if WIDE else BLOCK // 2


@helper_function
def multiply(
    factors: NDArray[np.float32],  # IN from `first`: (blocks, n_rows, BLOCK)
    first: int,
    n_rows: int,
    vectors: NDArray[np.float32],  # IN from `at`, a group every `stride`: (rows, LANES)
    at: int,
    stride: int,
    rows: int,
    out: NDArray[np.float32],  # OUT from `to`, a group every `out_stride`: (columns padded to a block, LANES)
    to: int,
    out_stride: int,
    columns: int,
    groups: int,
) -> None:
    """Write the sum over rows of factor times vector for each column and group.

    Two groups share each loaded factor where the registers suffice; else half a block is computed at a time. The last
    columns, if they are two at most, are computed without the rest of their block.
    """
    block = 0
    while block < columns:
        factor = first + block * n_rows
        a, out_a = at, to + block * LANES
        group = 0
        if columns - block <= 2:
            while group + 2 <= groups:
                pair_a, pair_b = empty_tile(2), empty_tile(2)
                b, out_b = a + stride, out_a + out_stride
                for row in range(rows):
                    pair_a = add_products(pair_a, factors, factor + row * _BLOCK, load_f32(vectors, a + row * LANES))
                    pair_b = add_products(pair_b, factors, factor + row * _BLOCK, load_f32(vectors, b + row * LANES))
                store_tile(out, out_a, pair_a)
                store_tile(out, out_b, pair_b)
                a, out_a = b + stride, out_b + out_stride
                group += 2
            while group < groups:
                pair = empty_tile(2)
                for row in range(rows):
                    pair = add_products(pair, factors, factor + row * _BLOCK, load_f32(vectors, a + row * LANES))
                store_tile(out, out_a, pair)
                a, out_a = a + stride, out_a + out_stride
                group += 1
        while _WIDE and group + 2 <= groups:
            tile_a, tile_b = empty_tile(8), empty_tile(8)
            b, out_b = a + stride, out_a + out_stride
            for row in range(rows):
                tile_a = add_products(tile_a, factors, factor + row * _BLOCK, load_f32(vectors, a + row * LANES))
                tile_b = add_products(tile_b, factors, factor + row * _BLOCK, load_f32(vectors, b + row * LANES))
            store_tile(out, out_a, tile_a)
            store_tile(out, out_b, tile_b)
            a, out_a = b + stride, out_b + out_stride
            group += 2
        while group < groups:
            for part in range(0, _BLOCK, _PART):
                tile = empty_tile(_PART)
                for row in range(rows):
                    k = factor + row * _BLOCK + part
                    tile = add_products(tile, factors, k, load_f32(vectors, a + row * LANES))
                store_tile(out, out_a + part * LANES, tile)
            a, out_a = a + stride, out_a + out_stride
            group += 1
        block += _BLOCK


@helper_function
def multiply_individual(
    factors: NDArray[np.float32],  # IN from `first`: (blocks, n_rows, BLOCK)
    first: int,
    n_rows: int,
    noise: NDArray[np.float32],  # IN from `noise_at`, in the order of factors: (n, LANES)
    noise_at: int,
    scale: F32x16,
    vectors: NDArray[np.float32],  # IN from `at`, a group every `stride`: (rows, LANES)
    at: int,
    stride: int,
    rows: int,
    out: NDArray[np.float32],  # OUT from `to`, a group every `out_stride`: (columns padded to a block, LANES)
    to: int,
    out_stride: int,
    columns: int,
    groups: int,
) -> None:
    """Do what `multiply` does with a matrix for each lane, factors + scale * noise, the same for all groups."""
    for block in range(0, columns, _BLOCK):
        factor = first + block * n_rows
        a, out_a = at, to + block * LANES
        group = 0
        while _WIDE and group + 2 <= groups:
            tile_a, tile_b = empty_tile(8), empty_tile(8)
            b, out_b = a + stride, out_a + out_stride
            for row in range(rows):
                k = factor + row * _BLOCK
                own = perturbed_factors(8, factors, k, noise, noise_at + k * LANES, scale)
                tile_a = add_scaled(tile_a, own, load_f32(vectors, a + row * LANES))
                tile_b = add_scaled(tile_b, own, load_f32(vectors, b + row * LANES))
            store_tile(out, out_a, tile_a)
            store_tile(out, out_b, tile_b)
            a, out_a = b + stride, out_b + out_stride
            group += 2
        while group < groups:
            for part in range(0, _BLOCK, _PART):
                tile = empty_tile(_PART)
                for row in range(rows):
                    k = factor + row * _BLOCK + part
                    own = perturbed_factors(_PART, factors, k, noise, noise_at + k * LANES, scale)
                    tile = add_scaled(tile, own, load_f32(vectors, a + row * LANES))
                store_tile(out, out_a + part * LANES, tile)
            a, out_a = a + stride, out_a + out_stride
            group += 1


@inline_function
def activate(values: NDArray[np.float32], at: int, columns: int, first_tanh: int) -> None:
    """Replace the weighted sums of neurons by their activations: sigmoid, and tanh from the neuron `first_tanh` on."""
    for column in range(min(first_tanh, columns)):
        store(values, at + column * LANES, sigmoid(load_f32(values, at + column * LANES)))
    for column in range(first_tanh, columns):
        store(values, at + column * LANES, tanh(load_f32(values, at + column * LANES)))


@inline_function
def copy_vectors(source: NDArray[np.float32], at: int, target: NDArray[np.float32], to: int, n: int) -> None:
    """Copy n vectors from one array to another, from `at` to `to` on."""
    for k in range(n):
        store(target, to + k * LANES, load_f32(source, at + k * LANES))
