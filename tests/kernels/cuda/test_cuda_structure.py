"""What the GPU's kernels read of a mask: every weight once, and of layers only what a timestep needs."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from freewalk.kernels.cuda.structure import (
    COLUMN,
    COLUMN_END,
    GROUP,
    GROUP_END,
    INPUT_END,
    INPUT_GROUP_END,
    NEEDED,
    ROW,
    ROW_END,
    Structure,
    make_structure,
)
from freewalk.kernels.model.layered import LayeredNetwork
from freewalk.kernels.model.network import FreeNetwork
from freewalk.kernels.reference import reference

FREE = FreeNetwork(4, 3, 9)
LAYERED = LayeredNetwork((5, 7, 4, 3))


def _random_mask() -> Any:
    mask = np.random.default_rng(5).random((FREE.n_from, FREE.n_to)) < 0.6
    mask[:, 2], mask[:, 7] = mask[:, 5], False
    return mask


CASES = {"free": (FREE, None), "layers": (LAYERED.free_network, LAYERED.mask), "a mask": (FREE, _random_mask())}


def _allowed(network: FreeNetwork, mask: Any) -> Any:
    return np.ones((network.n_from, network.n_to), np.int64) if mask is None else mask.astype(np.int64)


@pytest.mark.parametrize("name", CASES)
def test_tiles_hold_every_weight_once(name: str) -> None:
    network, mask = CASES[name]
    made = make_structure(network, mask, 3, 0, orthogonal=False)
    found = np.zeros((network.n_from, network.n_to), np.int64)
    for row, n_rows, column, n_columns in made.tiles(4):
        assert max(n_rows, n_columns) <= 4
        found[np.ix_(made.lists[row : row + n_rows], made.lists[column : column + n_columns])] += 1
    np.testing.assert_array_equal(found, _allowed(network, mask))


@pytest.mark.parametrize("orthogonal", [False, True])
@pytest.mark.parametrize("name", CASES)
def test_groups_hold_every_weight_once_and_inputs_first(name: str, orthogonal: bool) -> None:
    network, mask = CASES[name]
    made = make_structure(network, mask, 3, 4, orthogonal=orthogonal)
    found = np.zeros((network.n_from, network.n_to), np.int64)
    for q, column, group in made.owners:
        first, rows = made.lists[group], made.lists[group + 1 : group + 5]
        block = made.blocks[q]
        for position, row in enumerate(first + np.arange(4)):
            if rows[position] >= 0:
                assert rows[position] == (made.lists[block[ROW] + row] if orthogonal else row)
                found[rows[position], made.lists[column]] += 1
                assert rows[position] > network.n_input or group < block[INPUT_GROUP_END]
        assert block[GROUP] <= group < block[GROUP_END]
    np.testing.assert_array_equal(found, _allowed(network, mask))


def _computed(made: Structure, remaining: int) -> Any:
    """Return the columns that a timestep with so many after it computes."""
    ends = [(block[COLUMN], made.lists[block[NEEDED] + remaining]) for block in made.blocks]
    return np.concatenate([made.lists[first : first + n] for first, n in ends])


@pytest.mark.parametrize("sequence_output", [False, True])
@pytest.mark.parametrize("timesteps", [1, 2, 3, 5])
@pytest.mark.parametrize("name", CASES)
def test_what_is_left_out_never_reaches_the_output(name: str, timesteps: int, sequence_output: bool) -> None:
    network, mask = CASES[name]
    network = FreeNetwork(network.n_input, network.n_output, network.n_hidden, sequence_output=sequence_output)
    made = make_structure(network, mask, timesteps, 0, orthogonal=False)
    rng = np.random.default_rng(1)
    weights = rng.normal(size=(network.n_from, network.n_to)) * _allowed(network, mask)
    x = rng.normal(size=(1, network.n_input))
    wanted = reference.forward(network, weights, x, timesteps).reshape(-1)
    activations, outputs = np.zeros(network.n_to), []
    for t in range(timesteps):
        entering, after = np.concatenate([x[0], [1.0], activations]), np.full(network.n_to, np.nan)
        for column in _computed(made, timesteps - 1 - t):
            rows = np.flatnonzero(weights[:, column])
            after[column] = reference.sigmoid(entering[rows] @ weights[rows, column])
        activations = after
        if sequence_output or t + 1 == timesteps:
            outputs.append(after[: network.n_output])
    np.testing.assert_allclose(np.concatenate(outputs), wanted, rtol=1e-12)


def test_each_timestep_computes_one_layer() -> None:
    made = make_structure(LAYERED.free_network, LAYERED.mask, 5, 0, orthogonal=False)
    layers = [np.arange(place.columns.start, place.columns.stop) for place in LAYERED.places]
    for remaining in range(5):
        wanted = layers[-1 - remaining] if remaining < 3 else []
        np.testing.assert_array_equal(_computed(made, remaining), wanted)


def test_rows_of_inputs_and_bias_come_first() -> None:
    made = make_structure(FREE, _random_mask(), 2, 0, orthogonal=False)
    for block in made.blocks:
        rows = made.lists[block[ROW] : block[ROW_END]]
        assert block[INPUT_END] - block[ROW] == np.count_nonzero(rows <= FREE.n_input)
        assert (np.diff(rows) > 0).all()
        assert block[COLUMN_END] > block[COLUMN]
