"""Perturbations other than the plain ones on a GPU: the kernels of a step, and how its work is cut up.

Vectors are drawn where perturbations are made of them (vectors.py), every pair of a perturbation and a datapoint is run
(tile.py), the losses are judged and become coefficients (shaping.py), the perturbations are added up, each times its
own (low_rank.py, full_rank.py), and the weights move. Every kernel's grid has an axis of slots, for trials that share
launches (slots.py); what a slot computes depends on its trial alone.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from freewalk.kernels.cuda import full_rank, low_rank, shaping, tile, vectors
from freewalk.kernels.cuda.device import gpu
from freewalk.kernels.cuda.jit import SIMULATED, cuda, cuda_kernel, types
from freewalk.kernels.cuda.layout import BATCH_SIZE, DATAPOINTS, LOSS, STEP, Spec, family_in
from freewalk.kernels.cuda.optimizers import move
from freewalk.kernels.cuda.room import Room
from freewalk.kernels.cuda.rounds import chunks_of, chunks_of_plain
from freewalk.kernels.cuda.structure import make_structure
from freewalk.kernels.model.network import FreeNetwork
from freewalk.kernels.model.noise import NOISES

THREADS = 64 if SIMULATED else 256
"""Of a block, where it is not the kernel's own choice."""
_TILE, _SMALL_TILE = 64, 8 if SIMULATED else 32  # rows and columns of a block of `accumulate`
_BLOCKS_OF_A_MULTIPROCESSOR = 8
_MOST_VECTORS = 1 << 28  # bytes of the vectors of a trial, unless one perturbation has more
_ALL = 1 << 62


@cache
def make_finish() -> Any:
    """Return the kernel that adds what the chunks have summed, in their order, and moves the weights."""

    @cuda_kernel
    def finish(
        order: NDArray[np.int32],  # IN (slots,), the trial of each slot
        sizes: NDArray[np.int64],  # IN (n_trials, N_SIZES)
        numbers: NDArray[np.float64],  # IN (n_trials, N_NUMBERS)
        state: NDArray[np.float64],  # INOUT (n_trials, N_STATES, n_weights)
        single: NDArray[np.float32],  # OUT (n_trials, n_weights)
        mask: NDArray[np.float32],  # IN (n_weights,), or (0,)
        results: NDArray[np.float64],  # IN (n_trials, N_RESULTS)
        partial: NDArray[np.float64],  # IN (slots, chunks, n_weights)
        offset: int,
        rank: int,
        most_chunks: int,
        most: int,
    ) -> None:
        position, slot = cuda.blockIdx.x * cuda.blockDim.x + cuda.threadIdx.x, cuda.blockIdx.y
        trial = order[slot]
        if position >= single.shape[1] or not math.isfinite(results[trial, LOSS]):
            return
        summed = 0.0
        if mask.shape[0] == 0 or mask[position] != 0:
            n = sizes[trial, BATCH_SIZE] // sizes[trial, DATAPOINTS]
            for chunk in range(chunks_of(n, most_chunks, most)):
                summed += partial[slot, chunk, position]
        summed /= math.sqrt(np.float64(max(rank, 1)))
        move(sizes, numbers, state, single, trial, sizes[trial, STEP] + offset, position, summed)

    return finish


FINISH = types.void(
    *(types.int32[::1], types.int64[:, ::1], types.float64[:, ::1], types.float64[:, :, ::1], types.float32[:, ::1]),
    *(types.float32[::1], types.float64[:, ::1], types.float64[:, :, ::1]),
    *[types.int64] * 4,
)
"""Signature of the kernel."""


def family_kernels(spec: Spec, widest: int, *, ranks: bool = True) -> Iterator[tuple[str, Any, Any]]:
    """Yield the kernels of a step: name, kernel, signature.

    Parameters
    ----------
    widest
        Columns of the largest block of weights.
    ranks
        Whether losses are ranked.
    """
    family = family_in(spec)
    if family.orthogonal:
        yield "draw", vectors.make_draw_orthogonal(), vectors.ORTHOGONAL
    elif family.rank:
        yield "draw", vectors.make_draw_independent(spec.noise), vectors.INDEPENDENT
    if family.clean_apart:
        yield "clean", tile.make_losses(Room(spec, widest, perturbed=False)), tile.LOSSES
    yield "losses", tile.make_losses(Room(spec, widest)), tile.LOSSES
    of_shaping = shaping.make_shaping(two_sided=spec.two_sided, clean_apart=family.clean_apart)
    yield "judge", of_shaping.judge, shaping.JUDGE
    if ranks:
        yield "rank", of_shaping.rank, shaping.RANK
    if family.rank:
        yield "accumulate", low_rank.make_accumulate_vectors(_tile_of(widest)), low_rank.ACCUMULATE
    else:
        accumulate = full_rank.make_accumulate_full(spec.noise, orthogonal=family.orthogonal)
        yield "accumulate", accumulate, full_rank.ACCUMULATE
    yield "finish", make_finish(), FINISH


def _tile_of(widest: int) -> int:
    return _TILE if widest >= _TILE else _SMALL_TILE


class FamilyPlan:
    """How a network's steps are taken.

    Parameters
    ----------
    timesteps
        The most that a trial takes.
    """

    def __init__(self, network: FreeNetwork, spec: Spec, mask: NDArray[np.bool_] | None, timesteps: int) -> None:
        self.network, self.spec, self.family, self.timesteps = network, spec, family_in(spec), timesteps
        is_full, orthogonal = self.family.rank == 0, self.family.orthogonal
        rows = full_rank.rows_of_a_group(spec.noise, orthogonal=orthogonal) if is_full else 0
        made = make_structure(network, mask, timesteps, rows, orthogonal=orthogonal)
        self.blocks, self.lists = cuda.to_device(made.blocks), cuda.to_device(made.lists)
        self.n_rows, self.n_columns = made.n_rows, made.n_columns
        of_a_block = NOISES[spec.noise].rows
        self.words = -(-made.n_rows // of_a_block) + -(-made.n_columns // of_a_block)
        """Blocks of words for the two independent vectors of a product."""
        self.places = tuple(map(cuda.to_device, made.places())) if orthogonal else ()
        self.widest, size = made.widest, _tile_of(made.widest)
        self.room, self.clean_room = Room(spec, made.widest), Room(spec, made.widest, perturbed=False)
        self.parts = cuda.to_device(made.owners if is_full else made.tiles(size))
        """What the threads, or blocks, of `accumulate` own."""
        self.part_blocks = -(-len(made.owners) // THREADS) if is_full else self.parts.shape[0]
        self.part_threads = THREADS if is_full else low_rank.threads_of(size)
        self.width = made.n_rows + network.n_to if self.family.has_vectors else 1
        """Numbers of the two vectors of a product; those of columns that no weight reaches stay 0."""
        self.blocks_wanted = _BLOCKS_OF_A_MULTIPROCESSOR * gpu().multiprocessors
        self.most_chunks = max(1, self.blocks_wanted // max(1, self.part_blocks))
        bytes_of_one = 4 * max(1, self.family.rank) * self.width
        self.most = max(1, _MOST_VECTORS // bytes_of_one) if self.family.has_vectors else _ALL
        """Perturbations whose vectors memory holds at once."""

    def items(self, n: int) -> int:
        """Return how many products of vectors are kept for n perturbations."""
        return min(n, self.most) * max(1, self.family.rank) if self.family.has_vectors else 1

    def chunks(self, n: int) -> int:
        """Return how many sums n perturbations are added up in."""
        return chunks_of_plain(n, self.most_chunks, self.most)

    def bytes_of(self, pairs: int, n: int) -> int:
        """Return about how much memory a trial needs beside its weights and what blocks need."""
        return 8 * pairs + 20 * n + 4 * self.items(n) * self.width + 8 * self.chunks(n) * self.network.n_weights
