"""The walk on any model: a loss of one's own, trained with the noise, the rules and the optimisers of the walk.

Perturbations are drawn by the built-in walk's kernels, in float32. Weights and losses are in the precision of the
weights that the loss is given, sums in float64. Datapoints are dealt out to threads in pieces of a fixed size, whose
sums are added in their order: the bits of the result depend neither on the number of threads nor on the machine's load.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from itertools import islice
from typing import Any, Literal, cast

import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray

from freewalk.kernels.model.noise import (
    DEFAULT_GENERATOR,
    DEFAULT_NOISE,
    Generator,
    Noise,
    Stream,
    counters,
    initial_weights,
    philox,
    seed_words,
)
from freewalk.kernels.model.optimizers import make_optimizer
from freewalk.kernels.model.walk import (
    Directions,
    Optimizer,
    Progress,
    Schedule,
    Shaping,
    Sides,
    Update,
    WalkConfiguration,
)
from freewalk.kernels.trainers.any_estimate import AnyEstimate
from freewalk.kernels.trainers.any_kernels import Run, loss_of

Array = NDArray[np.float64]
Loss = Callable[[Any, Any, Any], Any]
Batch = tuple[NDArray[Any], NDArray[Any]]


class RandomWalk:
    """A walk on a loss of one's own.

    Parameters
    ----------
    loss
        ``loss(weights, x, y) -> float``: a Numba-compiled function, or a plain one that Numba can compile. `weights` is
        1-D, x and y are one datapoint's: ``xs[b]`` and ``ys[b]`` of what `train` is given. It must not write to them.
        `run` says what else it may be.
    n_weights
        Number of weights, or (n_from, n_to) for weights that lie row after row of a matrix. The shape decides the
        initial weights and which random number each weight gets: those of a free network of the same shape.
    stddev, update, optimizer, learning_rate, momentum, schedule, schedule_steps, sides, noise, generator
        As for every walk, see `WalkConfiguration`; schedule_steps is where a cosine ends.
    rank, directions, shaping
        As there; a perturbation of low rank or orthogonal to others is a matrix of the shape n_weights.
    datapoints
        Datapoints of a batch that see one perturbation, which divide it; "all": the whole batch, as SPSA has it.
    population
        Perturbations of a step that all see the whole batch, as in an evolution strategy; None: each has datapoints of
        its own.
    seed
        Key of all random numbers.
    initial
        The weights to start from, 1-D or of the shape n_weights. None draws a matrix's by Glorot's rule, as for the
        free network, and n_weights single ones as one column.
    dtype
        float64 or float32: what the loss is given. The weights themselves are float64 always.
    threads
        Threads of a step; None for all that this process may use. The result does not depend on it.
    run
        "compiled" by Numba; "python" calls the loss as it is, for each perturbation and datapoint, on one thread;
        "batched" hands it K weight sets at once, ``losses(weights, x, y)`` with weights (K, n) and the m datapoints of
        each, x (K, m, ...) and y (K, m, ...), of which it returns the losses (K, m) or their means (K,): NumPy,
        PyTorch, JAX or a simulator. It must not write to any of them.

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
        generator: Generator = DEFAULT_GENERATOR,
        rank: int | None = None,
        directions: Directions = "independent",
        datapoints: int | Literal["all"] = 1,
        population: int | None = None,
        shaping: Shaping = "none",
        seed: int = 0,
        initial: ArrayLike | None = None,
        dtype: DTypeLike = np.float64,
        threads: int | None = None,
        run: Run = "compiled",
    ) -> None:
        self.shape = (n_weights, 1) if isinstance(n_weights, int) else n_weights
        if min(self.shape) < 1:
            raise ValueError(f"n_weights must be at least 1, got {n_weights}")
        if np.dtype(dtype) not in (np.dtype(np.float32), np.dtype(np.float64)):
            raise ValueError(f"dtype must be float32 or float64, got {np.dtype(dtype)}")
        if threads is not None and threads < 1:
            raise ValueError(f"threads must be at least 1, got {threads}")
        seed_words(seed)
        if population is not None and datapoints != 1:
            raise ValueError("datapoints has no effect with a population, whose every member sees the whole batch")
        if population is not None and population < 1:
            raise ValueError(f"population must be at least 1, got {population}")
        self._datapoints, self._population = datapoints, population
        self.configuration = WalkConfiguration(
            stddev=stddev,
            batch_size=population or 2,  # a batch is what `train` is given
            timesteps=1,
            update=update,
            optimizer=optimizer,
            learning_rate=learning_rate,
            momentum=momentum,
            schedule=schedule,
            schedule_steps=schedule_steps,
            sides=sides,
            noise=noise,
            generator=generator,
            rank=rank,
            directions=directions,
            shaping=shaping,
        )
        self.step = 0
        self._seed = seed
        self._threads = (threads or _usable_threads()) if run == "compiled" else 1
        self._estimates = AnyEstimate(loss_of(loss, run), self.shape, seed, dtype)
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
            If x and y do not have as many datapoints, or none; if the loss does not compile, returns anything but
            numbers, or writes to what it is given.
        IndexError
            If the loss reads or writes beyond an array on one of the first datapoints.
        """
        first, loss = self.step, math.nan
        with ThreadPoolExecutor(self._threads) as pool:
            for xs, ys in self._batches(x, y, steps, batch_size):
                walk = self._configuration_for(len(xs))
                estimate, loss = self._estimates.estimate(walk, self._weights, self.step, xs, ys, pool.map)
                if math.isfinite(loss):
                    self._weights = self._weights - self._change(estimate)
                self.step += 1
                if not math.isfinite(loss):
                    break
        return Progress(self.step - first, loss)

    def losses(self, x: ArrayLike, y: ArrayLike) -> Array:
        """Return the loss of each datapoint, (n,) float64, under the present weights."""
        xs, ys = _checked(x, y)
        return self._estimates.losses(self._weights, xs, ys)

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

    def _configuration_for(self, n: int) -> WalkConfiguration:
        """Return the configuration of a step on a batch of n datapoints; ValueError if it does not fit."""
        k, whole = self._population, self._population is not None or self._datapoints == "all"
        each = n if whole else int(self._datapoints)
        return replace(self.configuration, batch_size=(k or 1) * n, datapoints=each, share_data=k is not None)

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
