"""What a step cannot do without, timed in the same rounds: its noise, and two forward passes without noise."""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from freewalk.harness.bench.cpu.floor_kernels import (
    draw_steps,
    draw_steps_parallel,
    infer_steps,
    infer_steps_parallel,
)
from freewalk.harness.bench.own import relative_error
from freewalk.harness.bench.peers.peer import Device
from freewalk.harness.bench.workloads import TASK, Workload
from freewalk.kernels.cpu.layout import (
    NO_ARRAY,
    Source,
    make_workspace,
    noise_source,
    shape_of,
    tiling_of,
    to_padded,
)
from freewalk.kernels.data.task_functions import fill_arrays
from freewalk.kernels.machine.lanes import LANES
from freewalk.kernels.model.noise import Noise, Stream, initial_weights, unit_perturbations
from freewalk.kernels.reference import reference
from freewalk.tasks.registry import TASKS

_SEED = 100


class FloorLoop:
    """A part of the step in progress; in place of weights it shows what it made last."""

    steps_at_once = 1

    def __init__(self, run: Callable[[int, int], object], made: Callable[[], NDArray[np.float32]]) -> None:
        self._run, self._made = run, made
        self._step = 0

    def measure(self, n_steps: int) -> float:
        """Run the part of some steps; return the seconds."""
        start = time.perf_counter()
        self._run(self._step, n_steps)
        seconds = time.perf_counter() - start
        self._step += n_steps
        return seconds

    def weights(self) -> NDArray[np.float32]:
        """Return a copy of what was made last."""
        return self._made().copy()

    def close(self) -> None:
        """Give the memory back."""
        del self._run, self._made


class Generator:
    """The walk's noise alone, drawn into the same scratch memory by the same tiles."""

    device: Device = "cpu"
    largest_error = 1e-4

    def __init__(self, threads: int, noise: Noise = "gaussian") -> None:
        self._threads, self._noise = threads, noise

    def wants(self, workload: Workload) -> bool:
        """Tell whether it takes part."""
        return workload.n_trials == 1

    def check(self, workload: Workload) -> float:
        """Return the relative error of the first datapoints' noise at a later step."""
        network = workload.network
        shape = shape_of(network, workload.timesteps)
        loop = Generator(1, self._noise).start(Workload("default", workload.hidden, batch_size=LANES))
        loop.measure(3)
        drawn = loop.weights()[0, : shape.n_to * shape.n_rows * LANES].reshape(shape.n_to, shape.n_rows, LANES)
        wanted = unit_perturbations(
            network.n_from, network.n_to, seed=_SEED, step=2, datapoints=np.arange(LANES), noise=self._noise
        )
        return relative_error(drawn.transpose(2, 1, 0)[:, : network.n_from], wanted)

    def start(self, workload: Workload) -> FloorLoop:
        """Return the loop that is timed."""
        shape = shape_of(workload.network, workload.timesteps)
        tiling = tiling_of(shape, workload.batch_size)
        workspace = make_workspace(shape, tiling.groups, self._threads)
        source = noise_source(self._noise, _SEED)
        run = draw_steps if self._threads == 1 else draw_steps_parallel
        return FloorLoop(
            lambda first, n: run(shape, source, tiling, workspace, first, n),
            lambda: workspace.noise,
        )


class Inference:
    """Two forward passes of every datapoint with the same weights: what a step would cost if noise were free."""

    device: Device = "cpu"
    largest_error = 1e-4

    def __init__(self, threads: int) -> None:
        self._threads = threads

    def wants(self, workload: Workload) -> bool:
        """Tell whether it takes part."""
        return workload.n_trials == 1

    def check(self, workload: Workload) -> float:
        """Return the relative error of sixteen datapoints' losses."""
        network, timesteps = workload.network, workload.timesteps
        loop = Inference(1).start(Workload("default", workload.hidden, timesteps, LANES))
        loop.measure(2)
        data = TASKS[TASK].problem({}).data()
        x, y = fill_arrays(
            data.address,
            data.argument,
            seed=_SEED,
            stream=Stream.DATA,
            step=1,
            n_datapoints=LANES,
            timesteps=timesteps,
            x_shape=(timesteps, network.n_input),
            y_shape=(1, network.n_output),
        )
        outputs = reference.forward(network, initial_weights(network.n_from, network.n_to, _SEED), x, timesteps)
        wanted = reference.losses(network, outputs, y[:, 0])
        found = loop.weights()[0, : 2 * LANES].reshape(2, LANES)
        return max(relative_error(losses, wanted) for losses in found)

    def start(self, workload: Workload) -> FloorLoop:
        """Return the loop that is timed."""
        network = workload.network
        shape = shape_of(network, workload.timesteps)
        data = TASKS[TASK].problem({}).data()
        source = Source(data.address, data.argument, int(Stream.DATA), NO_ARRAY, NO_ARRAY)
        weights = to_padded(initial_weights(network.n_from, network.n_to, _SEED).astype(np.float32), shape)
        tiling = tiling_of(shape, workload.batch_size)
        workspace = make_workspace(shape, 1, self._threads)
        run = infer_steps if self._threads == 1 else infer_steps_parallel
        return FloorLoop(
            lambda first, n: run(shape, source, np.uint64(_SEED), weights, tiling, workspace, first, n),
            lambda: workspace.coefficients,
        )


class NumpyNormals:
    """As many float32 normals as a step has, by NumPy's fastest generator, in memory that stays in the cache."""

    device: Device = "cpu"
    largest_error = 1e-2
    """Of mean, variance and fourth moment of a million: chance leaves 4e-3."""
    _AT_ONCE = 1 << 14

    def wants(self, workload: Workload) -> bool:
        """Tell whether it takes part."""
        return workload.n_trials == 1

    def check(self, workload: Workload) -> float:
        """Return the largest distance of three moments from those of a normal distribution."""
        z = np.random.Generator(np.random.SFC64(1)).standard_normal(1_000_000, dtype=np.float32).astype(np.float64)
        return float(max(abs(z.mean()), abs((z**2).mean() - 1), abs((z**4).mean() / 3 - 1)))

    def start(self, workload: Workload) -> FloorLoop:
        """Return the loop that is timed."""
        random, n = np.random.Generator(np.random.SFC64(1)), workload.batch_size * workload.network.n_weights
        memory = np.zeros(self._AT_ONCE, dtype=np.float32)

        def run(first: int, n_steps: int) -> None:
            for _ in range(n_steps):
                for at in range(0, n, self._AT_ONCE):
                    random.standard_normal(dtype=np.float32, out=memory[: n - at])

        return FloorLoop(run, lambda: memory)
