"""Trials of the perturbation family that share launches, a slot each."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from freewalk.kernels.cuda.family import THREADS, FamilyPlan, family_kernels
from freewalk.kernels.cuda.launching import OFFSET, Launch, prepare, take_steps
from freewalk.kernels.cuda.layout import BATCH_SIZE, DATAPOINTS, SHAPING, SHAPING_CODES
from freewalk.kernels.cuda.room import Room
from freewalk.kernels.cuda.scratch import Scratch
from freewalk.kernels.cuda.shaping import JUDGES

_MOST_BYTES = 1 << 30  # of trials that share launches, unless one needs more


def shared_launches(
    plan: FamilyPlan, order: Sequence[int], sizes: NDArray[np.int64], trials: tuple[Any, ...], scratch: Scratch
) -> Iterator[Slots]:
    """Yield trials in the order given, as many together as memory has room for.

    Parameters
    ----------
    sizes
        (n_trials, N_SIZES).
    trials
        sizes, numbers, state, single and mask on the device.
    scratch
        Where memory comes from.
    """
    pairs = sizes[list(order), BATCH_SIZE]
    counts = pairs // sizes[list(order), DATAPOINTS]
    of_each = max(plan.bytes_of(*map(int, given)) for given in zip(pairs, counts, strict=True))
    at_once = max(1, min(_MOST_BYTES // of_each, plan.blocks_wanted))
    for first in range(0, len(order), at_once):
        yield Slots(plan, order[first : first + at_once], sizes, trials, scratch)


class Slots:
    """Trials that share launches: memory and grids, for the largest of them."""

    def __init__(
        self,
        plan: FamilyPlan,
        order: Sequence[int],
        sizes: NDArray[np.int64],
        trials: tuple[Any, ...],
        scratch: Scratch,
    ) -> None:
        self._plan, self._n_slots, self._trials = plan, len(order), trials
        self._kernels = {name: given for name, *given in family_kernels(plan.spec, plan.widest)}
        of_these, array = sizes[list(order)], scratch.array
        pairs, self._datapoints = (int(of_these[:, column].max()) for column in (BATCH_SIZE, DATAPOINTS))
        self._n = n = int((of_these[:, BATCH_SIZE] // of_these[:, DATAPOINTS]).max())
        self._ranks = bool((of_these[:, SHAPING] == SHAPING_CODES["ranks"]).any())
        slots = self._n_slots
        self._order = scratch.sent("order of slots", np.asarray(order, np.int32))
        self._vectors = array("vectors", (slots, plan.items(n), plan.width), zeroed=True)
        self._found = array("found", (slots, 2, pairs))
        self._values = array("values", (slots, 2, n), np.float64)
        self._coefficients = array("coefficients", (slots, n))
        self._partial = array("partial", (slots, plan.chunks(n), plan.network.n_weights), np.float64)
        network, room, timesteps = plan.network, plan.room, plan.timesteps
        self._blocks = -(-plan.blocks_wanted // slots)
        blocks = self._blocks * slots
        self._x = array("x", (blocks, room.pairs, network.input_rows(timesteps), network.n_input), zeroed=True)
        self._y = array("y", (blocks, room.pairs, network.output_rows(timesteps), network.n_output), zeroed=True)
        size = max(0 if given.is_shared else given.size for given in (room, plan.clean_room))
        self._room = array("room", (blocks, size) if size else (1, 1))

    def take_steps(self, n_steps: int, results: Any) -> None:
        """Queue the launches of some steps; those after a loss that is not finite do nothing."""
        take_steps(list(self._launches(results)), n_steps)

    def _launches(self, results: Any) -> Iterator[Launch]:
        """Yield the launches of a step."""
        plan, n = self._plan, self._n
        sizes, numbers, state, single, mask = self._trials
        rounds = [(begin, min(begin + plan.most, n)) for begin in range(0, n, plan.most)]
        weighed = (self._values, self._coefficients, results)
        if plan.family.clean_apart:
            yield self._run("clean", plan.clean_room, 0, 1, results)
        for begin, end in rounds:
            yield from self._draw(begin, end)
            yield self._run("losses", plan.room, begin, end, results)
        yield self._prepare("judge", self._n_slots, JUDGES, sizes, numbers, self._found, *weighed, OFFSET)
        if self._ranks:
            yield self._prepare("rank", self._grid(n), THREADS, sizes, numbers, *weighed)
        for begin, end in rounds:
            if len(rounds) > 1:
                yield from self._draw(begin, end)
            yield self._accumulate(begin, end, results)
        moved, cut = (state, single, mask, results, self._partial), (plan.most_chunks, plan.most)
        grid = self._grid(plan.network.n_weights)
        yield self._prepare("finish", grid, THREADS, sizes, numbers, *moved, OFFSET, plan.family.rank, *cut)

    def _prepare(self, name: str, grid: Any, threads: int, *arguments: Any) -> Launch:
        kernel, signature = self._kernels[name]
        return prepare(kernel, signature, grid, threads, (self._order, *arguments))

    def _grid(self, n: int) -> tuple[int, int]:
        return -(-n // THREADS), self._n_slots

    def _draw(self, begin: int, end: int) -> Iterator[Launch]:
        """Yield what draws the vectors of some perturbations, if they are made of vectors."""
        plan, rank, sizes = self._plan, max(1, self._plan.family.rank), self._trials[0]
        items = (end - begin) * rank
        if plan.family.orthogonal:
            grid = self._grid(items * (plan.n_rows + plan.n_columns))
            given = (plan.blocks, *plan.places, self._vectors)
            yield self._prepare("draw", grid, THREADS, sizes, *given, OFFSET, begin, end, rank)
        elif plan.family.rank:
            lengths = plan.n_rows, plan.n_columns
            grid = self._grid(items * plan.words)
            yield self._prepare("draw", grid, THREADS, sizes, self._vectors, OFFSET, begin, end, rank, *lengths)

    def _run(self, name: str, room: Room, begin: int, end: int, results: Any) -> Launch:
        """Return what runs the pairs of some perturbations, or without any the datapoints that all share."""
        n, tiles = end - begin, -(-self._datapoints // room.pairs)
        shares_weights = not room.perturbed or room.rank > 0
        wanted = -(-n * self._datapoints // room.pairs) if shares_weights else n * tiles
        sizes, numbers, _, single, _ = self._trials
        given = (sizes, numbers, single, self._plan.blocks, self._plan.lists, self._vectors)
        scratch = (self._x, self._y, self._room)
        grid = min(self._blocks, wanted), self._n_slots
        return self._prepare(name, grid, room.threads, *given, *scratch, self._found, results, OFFSET, begin, end)

    def _accumulate(self, begin: int, end: int, results: Any) -> Launch:
        """Return what adds up some perturbations, each times its coefficient."""
        plan, network = self._plan, self._plan.network
        added = (self._vectors, self._coefficients, results, self._partial)
        grid, cut = (plan.part_blocks, self._partial.shape[1], self._n_slots), (plan.most_chunks, plan.most)
        given: tuple[Any, ...] = (plan.blocks, plan.lists, plan.parts, *added, OFFSET, begin, end, network.n_from)
        if plan.family.rank:
            given = (plan.lists, plan.parts, *added, begin, end, plan.family.rank)
        return self._prepare("accumulate", grid, plan.part_threads, self._trials[0], *given, network.n_to, *cut)
