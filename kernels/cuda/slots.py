"""Trials of the perturbation family that share launches, a slot each."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from freewalk.kernels.cuda.family import THREADS, FamilyPlan, family_kernels
from freewalk.kernels.cuda.jit import cuda
from freewalk.kernels.cuda.layout import BATCH_SIZE, DATAPOINTS, SHAPING, SHAPING_CODES
from freewalk.kernels.cuda.room import Room
from freewalk.kernels.cuda.scratch import Scratch
from freewalk.kernels.cuda.shaping import JUDGES

_MOST_BYTES = 1 << 30  # of trials that share launches, unless one needs more
_STEPS_OF_A_LAUNCH = 1024  # queued before the host waits


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
        self._kernels = {name: kernel for name, kernel, _ in family_kernels(plan.spec, plan.widest)}
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
        for k in range(n_steps):
            self._step(k, results)
            if (k + 1) % _STEPS_OF_A_LAUNCH == 0:
                cuda.synchronize()

    def _step(self, offset: int, results: Any) -> None:
        plan, slots = self._plan, self._n_slots
        sizes, numbers, state, single, mask = self._trials
        rounds = [(begin, min(begin + plan.most, self._n)) for begin in range(0, self._n, plan.most)]
        if plan.family.clean_apart:
            self._run("clean", plan.clean_room, offset, 0, 1, results)
        for begin, end in rounds:
            self._draw(offset, begin, end)
            self._run("losses", plan.room, offset, begin, end, results)
        weighed = self._values, self._coefficients, results
        self._kernels["judge"][slots, JUDGES](self._order, sizes, numbers, self._found, *weighed, offset)
        if self._ranks:
            self._kernels["rank"][self._grid(self._n), THREADS](self._order, sizes, numbers, *weighed)
        for begin, end in rounds:
            if len(rounds) > 1:
                self._draw(offset, begin, end)
            self._accumulate(offset, begin, end, results)
        moved = (state, single, mask, results, self._partial)
        grid, cut = self._grid(plan.network.n_weights), (plan.most_chunks, plan.most)
        self._kernels["finish"][grid, THREADS](self._order, sizes, numbers, *moved, offset, plan.family.rank, *cut)

    def _grid(self, n: int) -> tuple[int, int]:
        return -(-n // THREADS), self._n_slots

    def _draw(self, offset: int, begin: int, end: int) -> None:
        plan, rank, given = self._plan, max(1, self._plan.family.rank), (self._order, self._trials[0])
        if "draw" not in self._kernels:
            return
        draw, n = self._kernels["draw"], end - begin
        if plan.family.orthogonal:
            grid = self._grid(n * rank * (plan.n_rows + plan.n_columns))
            draw[grid, THREADS](*given, plan.blocks, *plan.places, self._vectors, offset, begin, end, rank)
        else:
            grid = self._grid(n * rank * plan.words)
            draw[grid, THREADS](*given, self._vectors, offset, begin, end, rank, plan.n_rows, plan.n_columns)

    def _run(self, name: str, room: Room, offset: int, begin: int, end: int, results: Any) -> None:
        """Run the pairs of some perturbations, or without any the datapoints that all share."""
        own_tiles = room.perturbed and room.rank == 0
        n, tiles = end - begin, -(-self._datapoints // room.pairs)
        grid = min(self._blocks, n * tiles if own_tiles else -(-n * self._datapoints // room.pairs)), self._n_slots
        sizes, numbers, _, single, _ = self._trials
        plan, scratch = self._plan, (self._x, self._y, self._room)
        given = (self._order, sizes, numbers, single, plan.blocks, plan.lists, self._vectors)
        self._kernels[name][grid, room.threads](*given, *scratch, self._found, results, offset, begin, end)

    def _accumulate(self, offset: int, begin: int, end: int, results: Any) -> None:
        plan, network = self._plan, self._plan.network
        given, cut = (self._order, self._trials[0]), (plan.most_chunks, plan.most)
        to = self._vectors, self._coefficients, results, self._partial
        kernel = self._kernels["accumulate"][
            (plan.part_blocks, self._partial.shape[1], self._n_slots), plan.part_threads
        ]
        if plan.family.rank:
            kernel(*given, plan.lists, plan.parts, *to, begin, end, plan.family.rank, network.n_to, *cut)
        else:
            kernel(
                *given, plan.blocks, plan.lists, plan.parts, *to, offset, begin, end, network.n_from, network.n_to, *cut
            )
