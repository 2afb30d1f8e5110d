"""What a step cannot do without, timed in the same rounds: its noise, and two forward passes without noise."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from benchmarks.floor_kernels import (
    draw_low_rank_steps,
    draw_low_rank_steps_parallel,
    draw_steps,
    draw_steps_parallel,
    infer_steps,
    infer_steps_parallel,
)
from benchmarks.peers.peer import relative_error
from freewalk.harness.bench import PROBLEM, SEED, Steps, Workload
from freewalk.kernels.cpu.blocks import make_blocks, to_single
from freewalk.kernels.cpu.factors import factor_source
from freewalk.kernels.cpu.layout import NO_ARRAY, Source, make_workspace, noise_source, shape_of, tiling_of
from freewalk.kernels.cpu.low_rank_trial import family_of
from freewalk.kernels.cpu.shared_pass import make_passes
from freewalk.kernels.data.task_functions import fill_arrays
from freewalk.kernels.machine.lanes import LANES
from freewalk.kernels.model.directions import blocks_of, factors
from freewalk.kernels.model.noise import DEFAULT_NOISE, Kind, Stream, initial_weights, unit_perturbations
from freewalk.kernels.reference import reference


def _counted(run: Callable[[int, int], object], made: Callable[[], Any]) -> Steps:
    """Return a loop over run(first step, n); in place of weights it shows what was made last."""
    step = 0

    def take(n_steps: int) -> None:
        nonlocal step
        run(step, n_steps)
        step += n_steps

    return Steps(take, made)


@dataclass(frozen=True)
class Generator:
    """The walk's noise alone, drawn into the same scratch memory by the same tiles."""

    threads: int
    noise: Kind = DEFAULT_NOISE
    largest_error: float = 1e-4

    def check(self, workload: Workload) -> float:
        """Return the relative error of the first datapoints' noise at a later step."""
        network = workload.network
        loop = Generator(1, self.noise).start(replace(workload, batch_size=LANES))
        loop.measure(3)
        drawn = loop.weights().reshape(-1)
        if workload.rank is None:
            shape = shape_of(network, workload.timesteps)
            of_group = drawn[: shape.n_to * shape.n_rows * LANES].reshape(shape.n_to, shape.n_rows, LANES)
            wanted = unit_perturbations(
                network.n_from, network.n_to, seed=SEED, step=2, datapoints=np.arange(LANES), noise=self.noise
            )
            return relative_error(of_group.transpose(2, 1, 0)[:, : network.n_from], wanted)
        a, _ = factors(
            blocks_of(network, None),
            noise=self.noise,
            rank=workload.rank,
            seed=SEED,
            step=2,
            indices=np.arange(LANES),
        )
        found = drawn.reshape(-1, LANES)[: network.n_from]
        return relative_error(found.T, a[:, 0])

    def start(self, workload: Workload) -> Steps:
        """Return the loop that is timed."""
        shape = shape_of(workload.network, workload.timesteps)
        run: Callable[..., object]
        if workload.rank is not None:
            blocks, _ = make_blocks(workload.network, None, workload.timesteps)
            groups = family_of(workload.configuration).groups
            vectors = factor_source(blocks, self.noise, workload.rank, "independent", SEED)
            passes = make_passes(shape, blocks, groups, 0, workload.rank, self.threads)
            given = blocks, vectors, workload.batch_size, groups, passes, np.zeros((self.threads, LANES), np.uint64)
            run = draw_low_rank_steps if self.threads == 1 else draw_low_rank_steps_parallel
            return _counted(lambda first, n: run(*given, first, n), lambda: passes.a)
        tiling = tiling_of(shape, workload.batch_size)
        workspace = make_workspace(shape, tiling.groups, self.threads)
        source = noise_source(self.noise, SEED)
        run = draw_steps if self.threads == 1 else draw_steps_parallel
        return _counted(lambda first, n: run(shape, source, tiling, workspace, first, n), lambda: workspace.noise)


@dataclass(frozen=True)
class Inference:
    """Two forward passes of every datapoint with the same weights: what a step would cost if noise were free."""

    threads: int
    largest_error: float = 1e-4

    def check(self, workload: Workload) -> float:
        """Return the relative error of sixteen datapoints' losses."""
        network, timesteps, data = workload.network, workload.timesteps, PROBLEM.data()
        loop = Inference(1).start(replace(workload, batch_size=LANES))
        loop.measure(2)
        x, y = fill_arrays(
            data.address,
            data.argument,
            seed=SEED,
            stream=Stream.DATA,
            step=1,
            n_datapoints=LANES,
            timesteps=timesteps,
            x_shape=(timesteps, network.n_input),
            y_shape=(1, network.n_output),
        )
        outputs = reference.forward(network, initial_weights(network.n_from, network.n_to, SEED), x, timesteps)
        wanted = reference.losses(network, outputs, y[:, 0])
        found = loop.weights()[0, : 2 * LANES].reshape(2, LANES)
        return max(relative_error(losses, wanted) for losses in found)

    def start(self, workload: Workload) -> Steps:
        """Return the loop that is timed."""
        network, data = workload.network, PROBLEM.data()
        shape = shape_of(network, workload.timesteps)
        blocks, places = make_blocks(network, None, workload.timesteps)
        source = Source(data.address, data.argument, int(Stream.DATA), NO_ARRAY, NO_ARRAY)
        single = to_single(initial_weights(network.n_from, network.n_to, SEED), places)
        groups_of = np.repeat(np.arange(family_of(workload.configuration).groups), 2)
        scales = np.zeros(len(groups_of), dtype=np.float32)
        passes = make_passes(shape, blocks, len(groups_of) // 2, len(groups_of), 0, self.threads)
        run = infer_steps if self.threads == 1 else infer_steps_parallel
        given = shape, blocks, source, np.uint64(SEED), single, workload.batch_size, groups_of, scales, passes
        return _counted(lambda first, n: run(*given, first, n), lambda: passes.losses)


class NumpyNormals:
    """As many float32 normals as a step has, by NumPy's fastest generator, in memory that stays in the cache."""

    largest_error = 1e-2
    """Of mean, variance and fourth moment of a million: chance leaves 4e-3."""
    _AT_ONCE = 1 << 14

    def check(self, workload: Workload) -> float:
        """Return the largest distance of three moments from those of a normal distribution."""
        z = np.random.Generator(np.random.SFC64(1)).standard_normal(1_000_000, dtype=np.float32).astype(np.float64)
        return float(max(abs(z.mean()), abs((z**2).mean() - 1), abs((z**4).mean() / 3 - 1)))

    def start(self, workload: Workload) -> Steps:
        """Return the loop that is timed."""
        random, n = np.random.Generator(np.random.SFC64(1)), workload.batch_size * workload.network.n_weights
        memory = np.zeros(self._AT_ONCE, dtype=np.float32)

        def take(n_steps: int) -> None:
            for _ in range(n_steps):
                for at in range(0, n, self._AT_ONCE):
                    random.standard_normal(dtype=np.float32, out=memory[: n - at])

        return Steps(take, lambda: memory)
