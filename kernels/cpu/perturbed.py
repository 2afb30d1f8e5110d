"""The walk's step in its two halves, for rules of one's own: losses under perturbations, and the mean that one weighs.

Between them the perturbations are kept where that takes less time than to draw them again.
"""

from __future__ import annotations

from typing import Any

import numba
import numpy as np
from numpy.typing import ArrayLike, NDArray

from freewalk.kernels.cpu.directions import full
from freewalk.kernels.cpu.forward import forward
from freewalk.kernels.cpu.lane_group import load_group
from freewalk.kernels.cpu.layout import (
    MAX_GROUPS,
    NO_ARRAY,
    NoiseSource,
    Shape,
    Source,
    Sums,
    Tiling,
    Workspace,
    aligned,
    make_sums,
    make_workspace,
    noise_source,
    shape_of,
    tiling_of,
    to_padded,
)
from freewalk.kernels.cpu.noise import draw
from freewalk.kernels.cpu.optimizers import Rule
from freewalk.kernels.cpu.trainer import array_source, by_position
from freewalk.kernels.cpu.trial import rule_of
from freewalk.kernels.cpu.walk import accumulate, add_chunks, rows_of
from freewalk.kernels.machine.jit import entry_of, helper_function, inline_function, kernel, parallel_kernel
from freewalk.kernels.machine.lanes import LANES, store
from freewalk.kernels.machine.threads import are_lost, taking_turns
from freewalk.kernels.model.directions import Block
from freewalk.kernels.model.network import FreeNetwork
from freewalk.kernels.model.noise import DEFAULT_GENERATOR, DEFAULT_NOISE, Generator, Noise, Stream
from freewalk.kernels.model.own_network import ModelNetwork
from freewalk.kernels.model.walk import Data, Sides, WalkConfiguration

_ZERO, _HALF = np.float32(0.0), np.float32(0.5)
_NO_DATA = Source(0, 0, int(Stream.DATA), NO_ARRAY, NO_ARRAY)
_KEPT_BYTES = 1 << 26
"""What may be kept of normal numbers; more would be read from main memory, which takes as long as to draw them."""
_KEPT_BYTES_OF_SIGNS = 1 << 19
"""What may be kept of signs, which are drawn in less time than a second level of caches takes to be read past."""


@helper_function
def _compare_group(
    shape: Shape,
    rule: Rule,
    source: Source,
    drawn: NoiseSource,
    weights: NDArray[np.float32],  # IN (n_padded,)
    scratch: Workspace,
    noise: NDArray[np.float32],  # OUT from `at`: (n_padded, LANES)
    at: int,
    step: int,
    first: int,  # datapoint
    plus: NDArray[np.float32],  # OUT from `first`
    other: NDArray[np.float32],  # OUT from `first`
) -> None:
    """Write the losses of sixteen datapoints at W + D, and at W or W - D."""
    x, y, state, outputs = scratch.x, scratch.y, scratch.state, scratch.outputs
    scale = np.float32(rule.stddev)
    load_group(shape, source, drawn.seed, step, first, x, y)
    draw(shape, drawn, first, step, noise, at)
    store(plus, first, forward(shape, weights, noise, at, scale, x, y, state, outputs))
    if rule.two_sided:
        store(other, first, forward(shape, weights, noise, at, -scale, x, y, state, outputs))
    else:
        store(other, first, forward(shape, weights, None, 0, _ZERO, x, y, state, outputs))


def take_losses(
    shape: Shape,
    rule: Rule,
    drawn: NoiseSource,
    indices: NDArray[np.int64],  # IN (n_padded,), of each position in `matrix`, -1 of padding
    matrix: NDArray[np.float64],  # IN (n_from * n_to,)
    weights: NDArray[np.float32],  # OUT (n_padded,)
    workspace: Workspace,
    kept: NDArray[np.float32],  # OUT (lane groups * n_padded * LANES,) the perturbations, or (0,)
    plus: NDArray[np.float32],  # OUT (lane groups * LANES,)
    other: NDArray[np.float32],  # OUT (lane groups * LANES,)
    batch_size: int,
    source: Source,
    step: int,
) -> float:
    """Write each datapoint's losses under its own perturbation, on a thread for each row of the workspace.

    Return the mean loss before the step.
    """
    for q in range(len(weights)):
        weights[q] = np.float32(matrix[indices[q]]) if indices[q] >= 0 else _ZERO
    workers, n_groups, size = len(workspace.noise), len(plus) // LANES, len(weights) * LANES
    for worker in numba.prange(workers):
        scratch = rows_of(workspace, worker)
        for group in range(worker, n_groups, workers):
            noise, at = (kept, group * size) if len(kept) else (scratch.noise, 0)
            _compare_group(shape, rule, source, drawn, weights, scratch, noise, at, step, group * LANES, plus, other)
    total = 0.0
    for b in range(batch_size):
        total += _HALF * (plus[b] + other[b]) if rule.two_sided else other[b]
    return total / batch_size


@inline_function
def _weigh_chunk(
    shape: Shape,
    drawn: NoiseSource,
    tiling: Tiling,
    coefficients: NDArray[np.float32],
    scratch: Workspace,
    kept: NDArray[np.float32],
    step: int,
    partial: NDArray[np.float64],
    chunk: int,
) -> None:
    """Leave the sum of a chunk's perturbations, tile by tile as the walk has it."""
    partial[:] = 0.0
    size, n_groups = len(partial) * LANES, (tiling.batch_size + LANES - 1) // LANES
    for tile in range(tiling.n_tiles * chunk // tiling.n_chunks, tiling.n_tiles * (chunk + 1) // tiling.n_chunks):
        first = tile * tiling.groups
        used = min(tiling.groups, n_groups - first)
        weighing = coefficients[first * LANES :]
        if len(kept):
            accumulate(kept[first * size :], weighing, used, partial)
        else:
            for group in range(used):
                draw(shape, drawn, (first + group) * LANES, step, scratch.noise, group * size)
            accumulate(scratch.noise, weighing, used, partial)


def take_sum(
    shape: Shape,
    drawn: NoiseSource,
    tiling: Tiling,
    indices: NDArray[np.int64],
    coefficients: NDArray[np.float32],  # IN (lane groups * LANES,), 0 past the end of the batch
    workspace: Workspace,
    kept: NDArray[np.float32],
    sums: Sums,
    factor: float,
    matrix: NDArray[np.float64],  # OUT (n_from * n_to,)
    step: int,
) -> None:
    """Write the sum of unit perturbations, each times its coefficient, times a factor."""
    workers = len(workspace.noise)
    for worker in numba.prange(workers):
        scratch = rows_of(workspace, worker)
        for k in range(worker, tiling.n_chunks, workers):
            chunk = tiling.n_chunks - 1 - k  # what was kept last is still in the caches
            _weigh_chunk(
                shape, drawn, tiling, coefficients, scratch, kept, step, sums.partial[chunk], chunk
            )  # fmt: skip
    add_chunks(sums, tiling.n_chunks)
    for q in range(len(indices)):
        if indices[q] >= 0:
            matrix[indices[q]] = factor * sums.total[q]


_losses, _losses_parallel = kernel(take_losses), parallel_kernel(take_losses)
_sum, _sum_parallel = kernel(take_sum), parallel_kernel(take_sum)
"""On the calling thread, or on all threads to the same bits."""


class Comparison:
    """What a batch's datapoints answered, each under a perturbation D of its own.

    Attributes
    ----------
    plus : ndarray
        (B,) float32, the loss of each datapoint at W + D.
    other : ndarray
        (B,) float32, the loss of each at W or, with sides="two", at W - D.
    loss : float
        The mean loss before the step, as the walk reports it: at W or, with sides="two", of both sides.
    """

    __slots__ = ("_call", "_walk", "loss", "other", "plus")

    def __init__(self, walk: Perturbations, call: int, loss: float, both: NDArray[np.float32]) -> None:
        self._walk, self._call = walk, call
        self.loss = loss
        self.plus, self.other = both

    @property
    def slopes(self) -> NDArray[np.float32]:
        """(B,) float32, how much the loss of each datapoint rises along D / stddev."""
        slopes: NDArray[np.float32] = (self.plus - self.other) * self._walk.per_difference
        return slopes

    def weighed_mean(self, numbers: ArrayLike) -> NDArray[np.float64]:
        """Return the mean over the batch of D / stddev, each times its number.

        With the slopes for numbers it is the walk's estimate of the gradient.

        Parameters
        ----------
        numbers
            (B,), rounded to float32.

        Returns
        -------
        (n_from, n_to) float64, 0 where there is no weight

        Raises
        ------
        ValueError
            If there is not one number for each datapoint, or the perturbations of a later call have taken the place.
        """
        return self._walk.mean_of(numbers, self._call)


class Perturbations:
    """The walk's perturbations of a network, one for each datapoint of a batch, and the losses under them.

    They are functions of the seed, the step and the datapoint, those that the built-in walk draws. Losses are in
    float32, from the walk's own kernels.

    Parameters
    ----------
    network, timesteps
        What is perturbed, and how often its layer is applied.
    batch_size
        Datapoints of a step, B.
    stddev, sides, noise, generator
        As for every walk, see `WalkConfiguration`.
    seed
        Key of all random numbers.
    data
        Where a step's datapoints come from; None if `losses` is given them.
    mask
        (n_from, n_to), False where there is no weight; None for all.
    threads
        Of a step, at most; the results do not depend on it.

    Raises
    ------
    ValueError
        If a value is out of range.
    """

    def __init__(
        self,
        network: FreeNetwork,
        timesteps: int,
        *,
        batch_size: int,
        stddev: float,
        seed: int,
        sides: Sides = "one",
        noise: Noise = DEFAULT_NOISE,
        generator: Generator = DEFAULT_GENERATOR,
        data: Data | None = None,
        mask: NDArray[np.bool_] | None = None,
        threads: int = 1,
    ) -> None:
        if isinstance(network, ModelNetwork):
            raise ValueError(
                f"the walk's kernels do not run architecture={network.name}; use `losses` and numbers of yours"
            )
        walk: dict[str, Any] = {"stddev": stddev, "sides": sides, "noise": noise, "generator": generator}
        configuration = WalkConfiguration(batch_size=batch_size, timesteps=timesteps, update="normalised", **walk)
        self._shape = shape_of(network, timesteps, mask)
        self._tiling = tiling_of(self._shape, batch_size)
        self._rule = rule_of(configuration)
        self._kind, self._seed, self._mask = configuration.kind, seed, mask
        self._noise = noise_source(configuration.kind, seed, by_position(mask, self._shape))
        self._source = None if data is None else _NO_DATA._replace(address=data.address, argument=data.argument)
        self.per_difference = np.float32((0.5 if sides == "two" else 1) / stddev)
        self.network, self.timesteps, self.batch_size = network, timesteps, batch_size
        self._indices = to_padded(np.arange(1, network.n_weights + 1).reshape(network.n_from, -1), self._shape) - 1
        n_padded, n_groups = len(self._indices), -(-batch_size // LANES)
        kept, most = n_groups * n_padded * LANES, _KEPT_BYTES_OF_SIGNS if noise == "rademacher" else _KEPT_BYTES
        self._kept = aligned(1, kept if kept * 4 <= most else 0)[0]
        self._single = aligned(1, n_padded)[0][:n_padded]
        self._losses = aligned(3, n_groups * LANES)
        self._sums = make_sums(self._shape, self._tiling)
        threads = 1 if are_lost() else min(threads, self._tiling.n_chunks)
        workspace = make_workspace(self._shape, self._tiling.groups, threads)
        # what stays the same from call to call, made once: a small step takes no longer than that
        self._matrix, self._mean = (np.zeros((network.n_from, network.n_to)) for _ in range(2))
        flat, (plus, other, weighing) = self._matrix.reshape(-1), self._losses
        before = (self._shape, self._rule, self._noise, self._indices, flat, self._single, workspace, self._kept)
        self._for_losses = (*before, plus, other, batch_size)
        before_sum = (self._shape, self._noise, self._tiling, self._indices, weighing, workspace, self._kept)
        self._for_sum = (*before_sum, self._sums, 1 / batch_size, self._mean.reshape(-1))
        run_losses, run_sum = (_losses, _sum) if threads == 1 else (_losses_parallel, _sum_parallel)
        self._alone = taking_turns(threads)
        self._take_losses = entry_of(run_losses, (*self._for_losses, _NO_DATA, 0))
        self._take_sum = entry_of(run_sum, (*self._for_sum, 0))
        self._step = self._call = 0

    def losses(
        self, weights: NDArray[np.float64], step: int, x: ArrayLike | None = None, y: ArrayLike | None = None
    ) -> Comparison:
        """Run every datapoint of a step under its perturbation, and without or, with sides="two", under the opposite.

        Parameters
        ----------
        weights
            (n_from, n_to).
        step
            Which step's perturbations, and data.
        x, y
            The batch, shapes as in freewalk.kernels.reference; None where `data` were given.

        Raises
        ------
        ValueError
            If a shape does not fit.
        """
        if weights.shape != self._matrix.shape:
            raise ValueError(f"weights must have shape {self._matrix.shape}, got {weights.shape}")
        source = self._source if x is None else self._source_of(x, y)
        if source is None:
            raise ValueError("losses needs x and y where Perturbations were given no data")
        self._step, self._call = step, self._call + 1
        self._matrix[:] = weights
        with self._alone:
            loss = self._take_losses(*self._for_losses, source, step)
        return Comparison(self, self._call, loss, self._losses[:2, : self.batch_size].copy())

    def _source_of(self, x: ArrayLike, y: ArrayLike | None) -> Source:
        source = array_source(self.network, np.asarray(x), np.asarray(y), self.timesteps)
        if len(source.x) != self.batch_size:
            raise ValueError(f"x and y must have {self.batch_size} datapoints, got {len(source.x)}")
        return source

    def mean_of(self, numbers: ArrayLike, call: int) -> NDArray[np.float64]:
        """Return what `Comparison.weighed_mean` does, of a call of `losses` that must be the last."""
        if call != self._call:
            raise ValueError("perturbations of a later call have taken the place of these; take the mean before it")
        given = np.asarray(numbers)
        if given.shape != (self.batch_size,):
            raise ValueError(
                f"there must be a number for each of {self.batch_size} datapoints, got shape {given.shape}"
            )
        self._losses[2, : self.batch_size] = given
        with self._alone:
            self._take_sum(*self._for_sum, self._step)
        return self._mean.copy()

    def units(self, step: int, first: int = 0, n: int | None = None) -> NDArray[np.float32]:
        """Return D / stddev of `n` datapoints of a step from one on, all by default.

        Returns
        -------
        (n, n_from, n_to) float32, 0 where there is no weight
        """
        last = self.batch_size if n is None else first + n
        every = (Block(*map(np.arange, self._matrix.shape)),)
        where: dict[str, Any] = {"directions": "independent", "seed": self._seed, "step": step}
        units = full(every, 0, noise=self._kind, first=first, last=last, **where)
        return np.ascontiguousarray(units if self._mask is None else units * self._mask)


def compile_kernels(threads: int = 1) -> None:
    """Run every kernel of `Perturbations` on a tiny problem, so that it is compiled or loaded from the cache."""
    network, batch_size = FreeNetwork(1, 1, 0), MAX_GROUPS * LANES * threads
    tiny = Perturbations(network, 1, batch_size=batch_size, stddev=0.1, seed=0, threads=threads)
    zeros = np.zeros((batch_size, 1))
    tiny.losses(np.zeros((network.n_from, network.n_to)), 0, zeros, zeros).weighed_mean(zeros[:, 0])
