"""The walk on any model: a loss compiled by Numba, trained with the noise, the rules and the optimisers of the walk.

Weights, perturbations and losses are in the precision of the weights that the loss is given, sums in float64.
Datapoints are dealt out to threads in pieces of a fixed size, whose sums are added in their order: the bits of the
result depend on the number of threads as little as on the machine's load.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from itertools import islice
from typing import Any, NamedTuple, cast

import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray

from freewalk.kernels.data.task_functions import data_words
from freewalk.kernels.machine.jit import choice, helper_function, inline_function
from freewalk.kernels.model.noise import (
    DEFAULT_NOISE,
    NOISE_CODES,
    NOISES,
    Noise,
    Stream,
    counters,
    initial_weights,
    philox,
    seed_words,
)
from freewalk.kernels.model.optimizers import make_optimizer
from freewalk.kernels.model.walk import Optimizer, Progress, Schedule, Sides, Update, WalkConfiguration
from freewalk.kernels.trainers.bounds import check_indices

Array = NDArray[np.float64]
Loss = Callable[[Any, Any, Any], float]
Batch = tuple[NDArray[Any], NDArray[Any]]

_DATAPOINTS_OF_A_PIECE = 64
_PERTURBATIONS = int(Stream.PERTURBATIONS)


class _Step(NamedTuple):
    """What the kernel is told of a step."""

    seed: int
    step: int
    n_from: int
    n_to: int
    noise: int  # one of NOISE_CODES
    rows_of_a_block: int
    stddev: float
    two_sided: bool


_write_block = choice([inline_function(kind.write) for kind in NOISES.values()])


@inline_function
def _perturb(step: Any, datapoint: int, out: Any) -> None:
    """Write a datapoint's perturbation divided by stddev; weights lie row after row of an (n_from, n_to) matrix."""
    per_column = (step.n_from + step.rows_of_a_block - 1) // step.rows_of_a_block
    for column in range(step.n_to):
        for block in range(per_column):
            words = data_words(step.seed, _PERTURBATIONS, step.step, datapoint, column * per_column + block)
            row = block * step.rows_of_a_block
            n = min(step.rows_of_a_block, step.n_from - row)
            _write_block(step.noise, words, out, row * step.n_to + column, step.n_to, n)


@cache
def _make_kernels(plain_or_compiled: Any) -> tuple[Any, Any, Any]:
    """Compile what walks on a loss: (the loss, a piece of a step, the losses of datapoints)."""
    loss = plain_or_compiled if hasattr(plain_or_compiled, "py_func") else helper_function(plain_or_compiled)

    @helper_function
    def piece(step: Any, weights: Any, xs: Any, ys: Any, first: int, last: int, total: Any) -> float:
        n = len(weights)
        noise = np.empty(n, np.float64)
        tried = np.empty_like(weights)
        seen = 0.0
        for b in range(first, last):
            _perturb(step, b, noise)
            for k in range(n):
                tried[k] = weights[k] + step.stddev * noise[k]
            plus = float(loss(tried, xs[b], ys[b]))
            if step.two_sided:
                for k in range(n):
                    tried[k] = weights[k] - step.stddev * noise[k]
                minus = float(loss(tried, xs[b], ys[b]))
                difference = (plus - minus) / 2
                seen += (plus + minus) / 2
            else:
                own = float(loss(weights, xs[b], ys[b]))
                difference = plus - own
                seen += own
            for k in range(n):
                total[k] += step.stddev * noise[k] * difference
        return seen

    @helper_function
    def losses(weights: Any, xs: Any, ys: Any, out: Any) -> None:
        for b in range(len(out)):
            out[b] = loss(weights, xs[b], ys[b])

    return loss, piece, losses


class RandomWalk:
    """A walk on a loss of one's own.

    Parameters
    ----------
    loss
        ``loss(weights, x, y) -> float``: a Numba-compiled function, or a plain one that Numba can compile. `weights` is
        1-D, x and y are one datapoint's: ``xs[b]`` and ``ys[b]`` of what `train` is given. It must not write to them.
    n_weights
        Number of weights, or (n_from, n_to) for weights that lie row after row of a matrix. The shape decides the
        initial weights and which random number each weight gets: those of a free network of the same shape.
    stddev, update, optimizer, learning_rate, momentum, schedule, schedule_steps, sides, noise
        As for every walk, see `WalkConfiguration`; schedule_steps is where a cosine ends.
    seed
        Key of all random numbers.
    initial
        The weights to start from, 1-D or of the shape n_weights. None draws a matrix's by Glorot's rule, as for the
        free network, and n_weights single ones as one column.
    dtype
        float64 or float32: what the loss is given. The weights themselves are float64 always.
    threads
        Threads of a step; None for all that this process may use. The result does not depend on it.

    Raises
    ------
    ValueError
        If a value is out of range or `initial` does not fit.
    """

    def __init__(
        self,
        loss: Loss,
        n_weights: int | tuple[int, int],
        *,
        stddev: float,
        update: Update = "raw",
        optimizer: Optimizer = "sgd",
        learning_rate: float = 0.1,
        momentum: float = 0.9,
        schedule: Schedule = "constant",
        schedule_steps: int = 1,
        sides: Sides = "one",
        noise: Noise = DEFAULT_NOISE,
        seed: int = 0,
        initial: ArrayLike | None = None,
        dtype: DTypeLike = np.float64,
        threads: int | None = None,
    ) -> None:
        self.shape = (n_weights, 1) if isinstance(n_weights, int) else n_weights
        if min(self.shape) < 1:
            raise ValueError(f"n_weights must be at least 1, got {n_weights}")
        if np.dtype(dtype) not in (np.dtype(np.float32), np.dtype(np.float64)):
            raise ValueError(f"dtype must be float32 or float64, got {np.dtype(dtype)}")
        if threads is not None and threads < 1:
            raise ValueError(f"threads must be at least 1, got {threads}")
        seed_words(seed)
        self.configuration = WalkConfiguration(
            stddev=stddev,
            batch_size=1,  # a batch is what `train` is given
            timesteps=1,
            update=update,
            optimizer=optimizer,
            learning_rate=learning_rate,
            momentum=momentum,
            schedule=schedule,
            schedule_steps=schedule_steps,
            sides=sides,
            noise=noise,
        )
        self.step = 0
        self._seed = seed
        self._dtype = np.dtype(dtype)
        self._threads = threads or _usable_threads()
        self._loss, self._piece, self._losses = _make_kernels(loss)
        self._seen: set[tuple[Any, ...]] = set()
        self._optimizer = make_optimizer(self.configuration)
        self._weights = self._start(initial)

    @property
    def weights(self) -> Array:
        """A copy of the weights, 1-D float64."""
        return self._weights.copy()

    def train(
        self,
        x: ArrayLike | Iterable[Batch],
        y: ArrayLike | None = None,
        *,
        steps: int,
        batch_size: int | None = None,
    ) -> Progress:
        """Take steps; stop early after a loss that is not finite, which moves nothing.

        Parameters
        ----------
        x, y
            Arrays of n datapoints along the first axis; or, as x alone, an iterable of such batches (x, y), one a step.
        steps
            How many to take; fewer if the iterable ends.
        batch_size
            Datapoints a step, drawn from the arrays with replacement; None takes all of them at every step.

        Returns
        -------
        Progress
            The steps taken, and the mean loss of the last before its update (NaN for no step).

        Raises
        ------
        ValueError
            If x and y do not have as many datapoints, or none; if the loss writes to what it is given.
        IndexError
            If the loss reads or writes beyond an array on one of the first datapoints.
        """
        first, loss = self.step, math.nan
        with ThreadPoolExecutor(self._threads) as pool:
            for xs, ys in self._batches(x, y, steps, batch_size):
                self._check(xs, ys)
                estimate, loss = self._estimate(pool, xs, ys)
                if math.isfinite(loss):
                    self._weights = self._weights - self._change(estimate)
                self.step += 1
                if not math.isfinite(loss):
                    break
        return Progress(self.step - first, loss)

    def losses(self, x: ArrayLike, y: ArrayLike) -> Array:
        """Return the loss of each datapoint, (n,) float64, under the present weights."""
        xs, ys = _checked(x, y)
        self._check(xs, ys)
        out = np.empty(len(xs))
        self._losses(self._weights.astype(self._dtype), xs, ys, out)
        return out

    def state(self) -> dict[str, NDArray[Any]]:
        """Return a copy of everything that it needs to go on to the same bits."""
        moments = {name: np.array(value, dtype=np.float64) for name, value in self._optimizer.moments.items()}
        return {"step": np.array(self.step, dtype=np.int64), "weights": self.weights, **moments}

    def restore(self, state: Mapping[str, NDArray[Any]]) -> None:
        """Go on from a `state`.

        Raises
        ------
        ValueError
            If it is of other weights or another optimiser.
        """
        wanted = {"step", "weights", *self._optimizer.moments}
        if set(state) != wanted:
            raise ValueError(f"the state must hold {', '.join(sorted(wanted))}, got {', '.join(sorted(state))}")
        self._weights = self._fitting(state["weights"])
        self.step = int(state["step"])
        for name in self._optimizer.moments:
            self._optimizer.moments[name] = np.array(state[name], dtype=np.float64)

    def _check(self, xs: NDArray[Any], ys: NDArray[Any]) -> None:
        """Look for indices beyond arrays, once for each kind of datapoint."""
        kind = (xs.dtype, xs.shape[1:], ys.dtype, ys.shape[1:])
        if kind not in self._seen:
            check_indices(self._loss, self._weights.astype(self._dtype), xs, ys)
            self._seen.add(kind)

    def _start(self, initial: ArrayLike | None) -> Array:
        return self._fitting(initial_weights(*self.shape, self._seed) if initial is None else initial)

    def _fitting(self, values: ArrayLike) -> Array:
        array = np.array(values, dtype=np.float64)
        if array.shape not in (self.shape, (math.prod(self.shape),)):
            raise ValueError(f"weights must have shape {self.shape} or ({math.prod(self.shape)},), got {array.shape}")
        if not np.isfinite(array).all():
            raise ValueError("weights must be finite")
        return array.reshape(-1)

    def _batches(
        self, x: ArrayLike | Iterable[Batch], y: ArrayLike | None, steps: int, batch_size: int | None
    ) -> Iterator[Batch]:
        if y is None:
            if batch_size is not None:
                raise ValueError("batch_size goes with arrays; batches of an iterable have a size of their own")
            for one_x, one_y in islice(cast(Iterable[Batch], x), steps):
                yield _checked(one_x, one_y)
            return
        xs, ys = _checked(cast(ArrayLike, x), y)
        for _ in range(steps):
            if batch_size is None:
                yield xs, ys
            else:
                rows = _drawn_rows(self._seed, self.step, batch_size, len(xs))
                yield xs[rows], ys[rows]

    def _estimate(self, pool: ThreadPoolExecutor, xs: NDArray[Any], ys: NDArray[Any]) -> tuple[Array, float]:
        """Return stddev squared times the estimated gradient, and the mean loss."""
        configuration = self.configuration
        step = _Step(
            self._seed,
            self.step,
            *self.shape,
            NOISE_CODES[configuration.noise],
            NOISES[configuration.noise].rows,
            configuration.stddev,
            configuration.sides == "two",
        )
        weights = self._weights.astype(self._dtype)

        def run(first: int) -> tuple[Array, float]:
            total = np.zeros(len(weights))
            last = min(first + _DATAPOINTS_OF_A_PIECE, len(xs))
            return total, self._piece(step, weights, xs, ys, first, last, total)

        estimate, loss = np.zeros(len(weights)), 0.0
        for total, seen in pool.map(run, range(0, len(xs), _DATAPOINTS_OF_A_PIECE)):
            estimate += total
            loss += seen
        return estimate / len(xs), loss / len(xs)

    def _change(self, estimate: Array) -> Array:
        """Return what is subtracted from the weights."""
        if self.configuration.update == "raw":
            return estimate
        return self._optimizer.change(estimate / self.configuration.stddev**2, self.step)


def _checked(x: ArrayLike, y: ArrayLike) -> Batch:
    xs, ys = np.ascontiguousarray(x), np.ascontiguousarray(y)
    if not xs.ndim or not ys.ndim or len(xs) != len(ys) or not len(xs):
        raise ValueError(f"x and y must have as many datapoints, at least one, got shapes {xs.shape} and {ys.shape}")
    return xs, ys


def _drawn_rows(seed: int, step: int, n: int, n_rows: int) -> NDArray[np.int64]:
    """Return the rows of a batch, drawn with replacement: each word's share of 2**32, times n_rows."""
    if n < 1:
        raise ValueError(f"batch_size must be at least 1, got {n}")
    words = philox(counters(0, np.arange(n), step, Stream.DATA), seed)[:, 0].astype(np.uint64)
    return ((words * np.uint64(n_rows)) >> np.uint64(32)).astype(np.int64)


def _usable_threads() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
