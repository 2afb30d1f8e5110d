"""Products of matrices over datapoints: eight columns at a time, two lane groups for each load of a weight."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from freewalk.kernels.cpu.functions import RELU, SIGMOID, TANH, sigmoid, tanh
from freewalk.kernels.cpu.tiles import WIDE, add_products, add_scaled, empty_tile, perturbed_factors, store_tile
from freewalk.kernels.machine.jit import helper_function, inline_function
from freewalk.kernels.machine.lanes import LANES, F32x16, at_least, fma, load_f32, splat_f32, store

BLOCK = 8
"""Columns of a product that are computed together."""
_BLOCK = BLOCK
_WIDE = WIDE
_SIGMOID, _TANH, _RELU = SIGMOID, TANH, RELU
_ZERO, _ONE = np.float32(0.0), np.float32(1.0)
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


@helper_function
def activate(activation: int, values: NDArray[np.float32], at: int, n: int) -> None:
    """Replace the weighted sums of n neurons by their activations."""
    if activation == _SIGMOID:
        for k in range(n):
            store(values, at + k * LANES, sigmoid(load_f32(values, at + k * LANES)))
    elif activation == _TANH:
        for k in range(n):
            store(values, at + k * LANES, tanh(load_f32(values, at + k * LANES)))
    elif activation == _RELU:
        for k in range(n):
            store(values, at + k * LANES, at_least(load_f32(values, at + k * LANES), splat_f32(_ZERO)))


@inline_function
def activate_columns(
    of_outputs: int, of_hidden: int, values: NDArray[np.float32], at: int, columns: int, first_hidden: int
) -> None:
    """Replace the weighted sums of neurons by their activations; hidden neurons begin with `first_hidden`."""
    if of_outputs == of_hidden:
        activate(of_hidden, values, at, columns)
    else:
        outputs = min(first_hidden, columns)
        activate(of_outputs, values, at, outputs)
        activate(of_hidden, values, at + outputs * LANES, columns - outputs)


@inline_function
def leak_into(
    leak: np.floating[Any],
    values: NDArray[np.float32],  # INOUT from `at`: what neurons would show without a leak, (n, LANES)
    at: int,
    before: int,  # activations of the timestep before, in the same array
    n: int,
    first: bool,  # the first timestep, before which there was nothing
) -> None:
    """Let neurons keep 1 - leak of what they were."""
    new, keep = splat_f32(leak), splat_f32(_ONE - leak)
    for k in range(n):
        value = new * load_f32(values, at + k * LANES)
        if not first:
            value = fma(keep, load_f32(values, before + k * LANES), value)
        store(values, at + k * LANES, value)


@inline_function
def copy_vectors(source: NDArray[np.float32], at: int, target: NDArray[np.float32], to: int, n: int) -> None:
    """Copy n vectors from one array to another, from `at` to `to` on."""
    for k in range(n):
        store(target, to + k * LANES, load_f32(source, at + k * LANES))


@inline_function
def clear(values: NDArray[np.float32], at: int, n: int) -> None:
    """Set n vectors to 0."""
    for k in range(n):
        store(values, at + k * LANES, splat_f32(_ZERO))
