"""Where a network's weights lie, as the kernels of the perturbation family read it: blocks of rows and columns.

One list of integers holds the rows of all blocks, one block after another, and after them the columns of all. The two
vectors of a product of a perturbation lie in memory in the same order, so a place in the list names a row or a column
and is where its number stands. Columns that no weight reaches make a last block without rows.

How many columns of a block a timestep needs depends on the timesteps that follow it: the outputs at the end, and before
it whatever feeds what is needed. So of a layered network each timestep computes one layer.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from freewalk.kernels.model.directions import Block, blocks_of, hartley, sign_blocks, words_of_block
from freewalk.kernels.model.network import FreeNetwork

ROW, INPUT_END, ROW_END, COLUMN, COLUMN_END, NEEDED, WORDS, FULL_SIGNS, GROUP, INPUT_GROUP_END, GROUP_END = range(11)
"""Columns of what is known of a block. Places in the list: its first row, where the rows of inputs and bias end, where
all end; its columns; how many columns are needed, by the timesteps that follow. Then the first block of words of an
orthogonal set, and of the signs of full perturbations; and the places of groups of rows, those of inputs first."""
N_FIELDS = 11
SIGN_ROWS = 32
"""Rows of a group of full orthogonal perturbations, whose signs come from one word."""

Lists = NDArray[np.int32]


@dataclass(frozen=True)
class Structure:
    """The blocks of a network under a mask."""

    blocks: Lists
    """(n_blocks, N_FIELDS)."""
    lists: Lists
    """Rows, columns, needed columns, and groups: the first row of each, then its rows, -1 where the block has none."""
    n_rows: int
    """Of all blocks: the numbers of a left vector, and the place of the first column."""
    n_columns: int
    """Of all blocks with rows: the numbers of a right vector."""
    widest: int
    """Columns of the largest block."""
    owners: Lists
    """(n, 3): block, place of a column, place of a group: what one thread adds up for full perturbations."""

    def tiles(self, size: int) -> Lists:
        """Return the parts of all blocks with at most so many rows and columns: place and number of each, (n, 4)."""
        found = [
            (row, min(size, block[ROW_END] - row), column, min(size, block[COLUMN_END] - column))
            for block in self.blocks
            for row in range(block[ROW], block[ROW_END], size)
            for column in range(block[COLUMN], block[COLUMN_END], size)
        ]
        return np.array(found, np.int32).reshape(-1, 4)

    def places(self) -> tuple[Lists, NDArray[np.float32]]:
        """Return for each number of a pair of orthogonal vectors its block, and that of the transform there."""
        block = np.zeros(self.n_rows + self.n_columns, np.int32)
        table = np.zeros(self.n_rows + self.n_columns, np.float32)
        for q, fields in enumerate(self.blocks):
            if fields[ROW] == fields[ROW_END]:
                continue
            for first, end in ((fields[ROW], fields[ROW_END]), (fields[COLUMN], fields[COLUMN_END])):
                block[first:end] = q
                table[first:end] = hartley(int(end - first))
        return block, table


def make_structure(
    network: FreeNetwork, mask: NDArray[np.bool_] | None, timesteps: int, rows_of_a_group: int, *, orthogonal: bool
) -> Structure:
    """Return the blocks of a network.

    Parameters
    ----------
    timesteps
        The most that a trial takes.
    rows_of_a_group
        Numbers that a thread draws at a time; 0 leaves groups out, which perturbations of low rank do not need.
    orthogonal
        Whether groups begin at a block's own rows instead of those of the matrix.
    """
    blocks = blocks_of(network, mask)
    dead = np.setdiff1d(np.arange(network.n_to), [column for block in blocks for column in block.columns])
    every = (*blocks, Block(np.zeros(0, np.intp), dead)) if len(dead) else blocks
    lists: list[NDArray[np.integer]] = [*(block.rows for block in every), *(block.columns for block in every)]
    fields = np.zeros((len(every), N_FIELDS), np.int32)
    n_inputs = np.array([np.count_nonzero(block.rows <= network.n_input) for block in every])
    fields[:, ROW_END] = np.cumsum([len(block.rows) for block in every])
    fields[1:, ROW] = fields[:-1, ROW_END]
    fields[:, INPUT_END] = fields[:, ROW] + n_inputs
    n_rows = int(fields[-1, ROW_END])
    fields[:, COLUMN_END] = n_rows + np.cumsum([len(block.columns) for block in every])
    fields[:, COLUMN] = fields[:, COLUMN_END] - [len(block.columns) for block in every]
    n_columns = sum(len(block.columns) for block in blocks)
    shapes = [block.shape for block in blocks]
    before = np.cumsum([0, *(words_of_block(*shape) for shape in shapes)])
    fields[: len(blocks), WORDS] = before[:-1]
    fields[: len(blocks), FULL_SIGNS] = before[1:] - [m * sign_blocks(n) for n, m in shapes]

    needed = _needed_columns(network, every, timesteps)
    fields[:, NEEDED] = n_rows + network.n_to + timesteps * np.arange(len(every))
    lists.append(needed.reshape(-1))
    owners: list[NDArray[np.int32]] = []
    place = sum(map(len, lists))
    for q, block in enumerate(every) if rows_of_a_group else ():
        groups = _groups(block.rows, rows_of_a_group, orthogonal=orthogonal)
        lists.append(groups.reshape(-1))
        places = place + groups.shape[1] * np.arange(len(groups) + 1)
        of_inputs = np.count_nonzero((groups[:, 1:] >= 0) & (groups[:, 1:] <= network.n_input), axis=1)
        fields[q, [GROUP, INPUT_GROUP_END, GROUP_END]] = places[[0, np.count_nonzero(of_inputs), -1]]
        place = int(places[-1])
        group, column = np.meshgrid(places[:-1], np.arange(*fields[q, [COLUMN, COLUMN_END]]), indexing="ij")
        owners.append(np.stack([np.full(group.size, q), column.reshape(-1), group.reshape(-1)], axis=1))
    return Structure(
        fields,
        np.concatenate(lists).astype(np.int32),
        n_rows,
        n_columns,
        max(len(block.columns) for block in every),
        np.concatenate(owners).astype(np.int32) if owners else np.zeros((0, 3), np.int32),
    )


def _needed_columns(network: FreeNetwork, blocks: tuple[Block, ...], timesteps: int) -> Lists:
    """Return how many columns of each block are needed where 0, 1, ... timesteps follow, (n_blocks, timesteps)."""
    outputs = np.array([np.count_nonzero(block.columns < network.n_output) for block in blocks])
    needed = np.zeros((len(blocks), timesteps), np.int32)
    needed[:, 0] = outputs
    for remaining in range(1, timesteps):
        rows = [block.rows for block, n in zip(blocks, needed[:, remaining - 1], strict=True) if n]
        feeding = np.concatenate([*rows, []]) - network.n_input - 1
        feeds = np.array([np.isin(block.columns, feeding).any() for block in blocks])
        if network.leak != 1:  # hidden neurons feed themselves
            feeds |= needed[:, remaining - 1] > outputs
        read = outputs if network.sequence_output else 0
        needed[:, remaining] = np.where(feeds, [len(block.columns) for block in blocks], read)
    return needed


def _groups(rows: NDArray[np.intp], size: int, *, orthogonal: bool) -> Lists:
    """Return the groups of a block's rows that are drawn together: the first, then each, (n, 1 + size)."""
    where = np.arange(len(rows)) if orthogonal else rows
    firsts = np.unique(where // size) * size
    groups = np.full((len(firsts), 1 + size), -1, np.int32)
    groups[:, 0] = firsts
    groups[np.searchsorted(firsts, where // size * size), 1 + where % size] = rows
    return groups
