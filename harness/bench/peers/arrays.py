"""The step in vectorised NumPy, or in CuPy, whose functions have the same names."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, Protocol

import numpy as np

from freewalk.harness.bench.peers.peer import Device, Single, Unavailable, optional_import
from freewalk.harness.bench.workloads import LEARNING_RATE, MOMENTUM, Workload


def _lowered(xp: Any, workload: Workload, weights: Any, x: Any, y: Any, noise: Any) -> Any:
    """Return the (N, B) losses without perturbation less those with it; both passes share a product with W."""
    n_trials, batch_size, n_from, n_to = noise.shape
    n_output = y.shape[-1]
    a = xp.zeros((n_trials, 2, batch_size, n_to), dtype=np.float32)
    bias = xp.ones((n_trials, 2, batch_size, 1), dtype=np.float32)
    for t in range(workload.timesteps):
        fed = xp.broadcast_to(x[:, None, :, t], (n_trials, 2, batch_size, x.shape[-1]))
        inputs = xp.concatenate([fed, bias, a], axis=-1)
        z = xp.matmul(inputs.reshape(n_trials, 2 * batch_size, n_from), weights)
        z = z.reshape(n_trials, 2, batch_size, n_to)
        z[:, 1] += xp.matmul(inputs[:, 1, :, None, :], noise)[:, :, 0]
        a = 1 / (1 + xp.exp(-z))
    losses = ((a[..., :n_output] - y[:, None]) ** 2).sum(axis=-1)
    return losses[:, 0] - losses[:, 1]


def _update(xp: Any, workload: Workload, weights: Any, x: Any, y: Any, perturbations: Any) -> Any:
    """Return what is added to the weights."""
    n_trials, batch_size = perturbations.shape[:2]
    lowered = _lowered(xp, workload, weights, x, y, perturbations)
    product = xp.matmul(lowered[:, None, :], perturbations.reshape(n_trials, batch_size, -1))
    return product.reshape(weights.shape) / np.float32(batch_size)


class Library(Protocol):
    """What NumPy and CuPy do differently."""

    @property
    def xp(self) -> Any:
        """The module."""

    def random(self, seed: int) -> Any:
        """Return a generator."""

    def uniform(self, random: Any, shape: tuple[int, ...]) -> Any:
        """Draw float32 numbers in [0, 1)."""

    def normal(self, random: Any, stddev: float, shape: tuple[int, ...]) -> Any:
        """Draw float32 normals."""

    def seconds(self, work: Callable[[], None]) -> float:
        """Do the work; return the time that it took."""

    def to_numpy(self, array: Any) -> Single:
        """Return the array in the processor's memory."""

    def release(self) -> None:
        """Give unused memory back."""


class ArrayPeer:
    """The step in a library of NumPy's functions."""

    def __init__(self, library: Library) -> None:
        self._library = library

    def update(self, workload: Workload, weights: Single, x: Single, y: Single, noise: Single) -> Single:
        """Return what a step with given unit noise adds to the weights, (N, n_from, n_to)."""
        xp = self._library.xp
        w, x_, y_, unit = (xp.asarray(array, dtype=np.float32) for array in (weights, x, y, noise))
        update = _update(xp, workload, w, x_, y_, unit * np.float32(workload.stddev))
        return self._library.to_numpy(update)

    def start(self, workload: Workload, weights: Single, seed: int) -> _ArrayLoop:
        """Return the loop that is timed."""
        return _ArrayLoop(self._library, workload, weights, seed)


class _ArrayLoop:
    steps_at_once = 1

    def __init__(self, library: Library, workload: Workload, weights: Single, seed: int) -> None:
        self._library = library
        self._workload = workload
        self._random = library.random(seed)
        self._weights = library.xp.array(weights, dtype=np.float32)
        self._velocity = library.xp.zeros(weights.shape, dtype=np.float32)
        self._times = library.xp.arange(workload.timesteps, dtype=np.float32)[:, None]

    def measure(self, n_steps: int) -> float:
        return self._library.seconds(lambda: self._run(n_steps))

    def _run(self, n_steps: int) -> None:
        library, workload = self._library, self._workload
        n_trials, n_from, n_to = self._weights.shape
        batch = (n_trials, workload.batch_size)
        for _ in range(n_steps):
            first = library.uniform(self._random, (*batch, 1, 3)) * 2 - 1
            y = 1 / (1 + library.xp.exp(-(first[:, :, 0, :1] + first[:, :, 0, 1:])))
            perturbations = library.normal(self._random, workload.stddev, (*batch, n_from, n_to))
            self._move(_update(library.xp, workload, self._weights, first + self._times, y, perturbations))

    def _move(self, update: Any) -> None:
        if self._workload.update == "raw":
            self._weights += update
        else:
            self._velocity = MOMENTUM * self._velocity + update / self._workload.stddev**2
            self._weights += LEARNING_RATE * self._velocity

    def weights(self) -> Single:
        return self._library.to_numpy(self._weights).copy()

    def close(self) -> None:
        del self._weights, self._velocity
        self._library.release()


class _NumPy:
    xp = np

    def random(self, seed: int) -> np.random.Generator:
        return np.random.default_rng(seed)

    def uniform(self, random: np.random.Generator, shape: tuple[int, ...]) -> Single:
        return random.random(shape, dtype=np.float32)

    def normal(self, random: np.random.Generator, stddev: float, shape: tuple[int, ...]) -> Single:
        normals = random.standard_normal(shape, dtype=np.float32)
        normals *= np.float32(stddev)
        return normals

    def seconds(self, work: Callable[[], None]) -> float:
        start = time.perf_counter()
        work()
        return time.perf_counter() - start

    def to_numpy(self, array: Single) -> Single:
        return array

    def release(self) -> None:
        pass


class _CuPy:
    def __init__(self, cupy: Any) -> None:
        self.xp = cupy

    def random(self, seed: int) -> Any:
        return self.xp.random.RandomState(seed, method=self.xp.cuda.curand.CURAND_RNG_PSEUDO_PHILOX4_32_10)

    def uniform(self, random: Any, shape: tuple[int, ...]) -> Any:
        return random.random_sample(shape, dtype=np.float32)

    def normal(self, random: Any, stddev: float, shape: tuple[int, ...]) -> Any:
        return random.normal(0.0, stddev, shape, dtype=np.float32)

    def seconds(self, work: Callable[[], None]) -> float:
        start, end = self.xp.cuda.Event(), self.xp.cuda.Event()
        start.record()
        work()
        end.record()
        end.synchronize()
        return float(self.xp.cuda.get_elapsed_time(start, end)) / 1000

    def to_numpy(self, array: Any) -> Single:
        result: Single = self.xp.asnumpy(array)
        return result

    def release(self) -> None:
        self.xp.get_default_memory_pool().free_all_blocks()


def make_numpy(device: Device) -> ArrayPeer:
    """Return the step in NumPy, for the processor."""
    if device != "cpu":
        raise Unavailable("runs on the processor alone")
    return ArrayPeer(_NumPy())


def make_cupy(device: Device) -> ArrayPeer:
    """Return the step in CuPy: products by cuBLAS, normals by cuRAND's Philox."""
    if device != "cuda":
        raise Unavailable("runs on a GPU alone")
    cupy = optional_import("cupy")
    cupy.zeros(1).sum().get()
    return ArrayPeer(_CuPy(cupy))
