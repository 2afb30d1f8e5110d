"""The update of the walk of low rank: sums over perturbations k of c_k a_k b_kᵀ, a product of matrices by panels."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from freewalk.kernels.cpu.blocks import A_PANEL, B_PANEL, COLUMNS, MASTER, ROWS, write_panel
from freewalk.kernels.cpu.factors import Panels
from freewalk.kernels.cpu.optimizers import Rule, Weights, move_masters, part_of
from freewalk.kernels.cpu.tiles import WIDE, add_products, empty_tile, store_tile
from freewalk.kernels.machine.jit import helper_function, inline_function
from freewalk.kernels.machine.lanes import LANES, load_f32, splat_f32, store

_ROWS, _COLUMNS, _MASTER, _A_PANEL, _B_PANEL = ROWS, COLUMNS, MASTER, A_PANEL, B_PANEL
_WIDE = WIDE
SUMMED_AT_ONCE = 256
"""Products that are added in float32 before they go into a float64."""
_SUMMED_AT_ONCE = SUMMED_AT_ONCE


@inline_function
def _scale_panel(
    panel: NDArray[np.float32],  # IN (rank * per_round * LANES,)
    rank: int,
    per_round: int,
    n_used: int,
    coefficients: NDArray[np.float32],  # IN (n_used,)
    columns: int,
    scaled: NDArray[np.float32],  # OUT, rows of all ranks one after another, zero beyond the columns
) -> None:
    for lane in range(LANES):
        scaled[lane] = np.float32(lane < columns)
    live = load_f32(scaled, 0)
    for i in range(rank):
        for k in range(n_used):
            row = load_f32(panel, (i * per_round + k) * LANES)
            store(scaled, (i * n_used + k) * LANES, splat_f32(coefficients[k]) * (live * row))


@inline_function
def _add_tile(tile_sums: NDArray[np.float32], sums: NDArray[np.float64], to: int, rows: int) -> None:
    for q in range(rows * LANES):
        sums[to + q] += np.float64(tile_sums[q])


def _make_sum(rows: int) -> Any:
    """Return a function that adds the products of `rows` rows of a and a panel of b to the sums of `live` of them."""

    @inline_function
    def sum_rows(
        a: NDArray[np.float32],
        at: int,
        b: NDArray[np.float32],
        b_at: int,
        n: int,
        tile_sums: NDArray[np.float32],
        sums: NDArray[np.float64],
        to: int,
        live: int,
    ) -> None:
        tile = empty_tile(rows)
        for k in range(n):
            tile = add_products(tile, a, at + k * LANES, load_f32(b, b_at + k * LANES))
        store_tile(tile_sums, 0, tile)
        _add_tile(tile_sums, sums, to, live)

    return sum_rows


_sum_sixteen, _sum_eight, _sum_four = _make_sum(16), _make_sum(8), _make_sum(4)


@inline_function
def _sum_two(
    a: NDArray[np.float32],
    at: int,
    b: NDArray[np.float32],
    b_at: int,
    c_at: int,
    n: int,
    tile_sums: NDArray[np.float32],
    sums: NDArray[np.float64],
    to: int,
    distance: int,
    live: int,
) -> None:
    """Add the products of eight rows of a and two panels of b, whose sums lie at a distance: fewer loads each."""
    tile, other = empty_tile(8), empty_tile(8)
    for k in range(n):
        tile = add_products(tile, a, at + k * LANES, load_f32(b, b_at + k * LANES))
        other = add_products(other, a, at + k * LANES, load_f32(b, c_at + k * LANES))
    store_tile(tile_sums, 0, tile)
    _add_tile(tile_sums, sums, to, live)
    store_tile(tile_sums, 0, other)
    _add_tile(tile_sums, sums, to + distance, live)


@helper_function
def sum_panels(
    layer: NDArray[np.int64],
    panels: Panels,
    rank: int,
    n_used: int,  # perturbations of the round
    coefficients: NDArray[np.float32],  # IN (n_used,), of the round
    scaled: NDArray[np.float32],  # SCRATCH (2, rank * per_round * LANES)
    tile_sums: NDArray[np.float32],  # SCRATCH (LANES * LANES,)
    first: int,  # column of the layer
    n_panels: int,  # one or two
    is_first: bool,  # round of the step
    sums: NDArray[np.float64],  # INOUT
) -> None:
    """Add coefficient times a bᵀ, summed over a round's perturbations, to the sums of a panel of weights, or of two."""
    rows, here = layer[_ROWS], layer[_MASTER] + first * layer[_ROWS]
    size, distance = rank * n_used * LANES, rows * LANES
    for k in range(n_panels):
        panel, left = panels.b[layer[_B_PANEL] + first // LANES + k], layer[_COLUMNS] - first - k * LANES
        _scale_panel(panel, rank, panels.per_round, n_used, coefficients, left, scaled[k * size :])
    if is_first:
        sums[here : here + n_panels * distance] = 0.0
    for begin in range(0, n_used, _SUMMED_AT_ONCE):  # outermost: so many rows of a panel stay in a level-1 cache
        n = min(_SUMMED_AT_ONCE, n_used - begin)
        for row in range(0, rows, LANES):
            a, to = panels.a[layer[_A_PANEL] + row // LANES], here + row * LANES
            left = rows - row
            for i in range(rank):
                at, b_at = (i * panels.per_round + begin) * LANES, (i * n_used + begin) * LANES
                if not _WIDE:  # four rows are what the registers hold
                    for k in range(n_panels):
                        for part in range(0, min(left, LANES), 4):
                            there, live = to + k * distance + part * LANES, min(4, left - part)
                            _sum_four(a, at + part, scaled, b_at + k * size, n, tile_sums, sums, there, live)
                elif n_panels == 2:
                    c_at = b_at + size
                    for half in range(0, min(left, LANES), 8):
                        there, live = to + half * LANES, min(8, left - half)
                        _sum_two(a, at + half, scaled, b_at, c_at, n, tile_sums, sums, there, distance, live)
                elif left > 8:
                    _sum_sixteen(a, at, scaled, b_at, n, tile_sums, sums, to, min(LANES, left))
                elif left > 4:
                    _sum_eight(a, at, scaled, b_at, n, tile_sums, sums, to, left)
                else:
                    _sum_four(a, at, scaled, b_at, n, tile_sums, sums, to, left)


@helper_function
def move_panel(
    layer: NDArray[np.int64],
    rule: Rule,
    weights: Weights,
    sums: NDArray[np.float64],
    factor: float,  # of the gradient, on the sums
    first: int,  # column of the layer
    step: int,
) -> None:
    """Move a panel of weights."""
    rows = layer[_ROWS]
    begin = layer[_MASTER] + first * rows
    end = begin + rows * LANES
    move_masters(rule, part_of(weights, begin, end), sums[begin:end], factor, step)
    write_panel(layer, weights.master, weights.single, first)
