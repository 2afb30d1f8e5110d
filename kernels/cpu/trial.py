"""The walk on the CPU: arrays made and handed to the compiled kernels."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from freewalk.kernels.cpu.blocks import Blocks, make_blocks, to_single
from freewalk.kernels.cpu.evaluate import measure_each, run_network
from freewalk.kernels.cpu.layout import (
    MAX_GROUPS,
    NO_ARRAY,
    Shape,
    Source,
    make_sums,
    make_workspace,
    noise_source,
    shape_of,
    tiling_of,
)
from freewalk.kernels.cpu.optimizers import Rule, make_rule
from freewalk.kernels.cpu.shared_pass import Passes, make_passes
from freewalk.kernels.cpu.trainer import CpuTrainer, array_source, by_position, exercise
from freewalk.kernels.cpu.walk import train, train_parallel
from freewalk.kernels.machine.lanes import LANES
from freewalk.kernels.model.network import FreeNetwork
from freewalk.kernels.model.noise import Stream
from freewalk.kernels.model.walk import Data, WalkConfiguration

MEASURES = ("loss", "bit_accuracy", "row_accuracy", "max_error", "accuracy")


class CpuWalk(CpuTrainer):
    """One plain walk on the CPU. Parameters as for `CpuTrainer`.

    Raises
    ------
    ValueError
        If the configuration is not plain.
    """

    _configuration: WalkConfiguration

    def _make_shape(self) -> Shape:
        configuration = self._configuration
        tangent = configuration.tangent == "exact"
        return shape_of(self.network, configuration.timesteps, self._allowed, tangent=tangent)

    def _prepare(self) -> int:
        if not self._configuration.is_plain:
            raise ValueError(f"the plain walk has no kernels for {self._configuration}")
        self._rule = rule_of(self._configuration)
        self._noise = noise_source(self._configuration.kind, int(self._seed), by_position(self._allowed, self._shape))
        self._tiling = tiling_of(self._shape, self._configuration.batch_size)
        self._sums = make_sums(self._shape, self._tiling)
        return self._tiling.n_chunks

    def compile_for_threads(self) -> None:
        """Compile, or load from the cache, what steps with several threads need."""
        compile_kernels(threads=2)

    def _allocate(self, threads: int) -> None:
        workspace = make_workspace(self._shape, self._tiling.groups, threads)
        self._workspace = workspace._replace(stop=self._stop)

    def _run_steps(self, n_steps: int) -> tuple[int, float]:
        run = train if self.threads == 1 else train_parallel
        done: tuple[int, float] = run(
            self._shape,
            self._rule,
            self._training,
            self._noise,
            self._tiling,
            self._weights,
            self._workspace,
            self._sums,
            self.step,
            n_steps,
        )
        return done


def rule_of(configuration: WalkConfiguration) -> Rule:
    """Return a walk's update rule as runtime values."""
    raw, two_sided = configuration.update == "raw", configuration.sides == "two"
    return make_rule(configuration, raw=raw, stddev=configuration.stddev, two_sided=two_sided)


def _to_measure(
    network: FreeNetwork, weights: NDArray[np.floating], timesteps: int
) -> tuple[Blocks, NDArray[np.float32], Passes]:
    """Return a network, its weights and memory as passes of two lane groups take them."""
    if weights.shape != (network.n_from, network.n_to):
        raise ValueError(f"weights must have shape {(network.n_from, network.n_to)}, got {weights.shape}")
    blocks, places = make_blocks(network, None, timesteps)
    return blocks, to_single(weights, places), make_passes(shape_of(network, timesteps), blocks, 2, 2, 0, 1)


def run_on_arrays(
    network: FreeNetwork, weights: NDArray[np.floating], x: NDArray[Any], y: NDArray[Any], timesteps: int
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return the outputs and the losses (B,) of given datapoints; shapes as in freewalk.kernels.reference.

    Raises
    ------
    ValueError
        If x or y does not fit the network.
    """
    shape = shape_of(network, timesteps)
    source = array_source(network, x, y, timesteps)
    n_datapoints = len(source.x)
    outputs = np.empty((n_datapoints, shape.output_rows * network.n_output), dtype=np.float32)
    losses = np.empty(n_datapoints, dtype=np.float32)
    blocks, single, passes = _to_measure(network, weights, timesteps)
    run_network(shape, blocks, source, np.uint64(0), single, passes, outputs, losses)
    rows = (shape.output_rows,) if network.sequence_output else ()
    return outputs.reshape(n_datapoints, *rows, network.n_output), losses


def measure_datapoints(
    network: FreeNetwork,
    weights: NDArray[np.floating],
    data: Data,
    timesteps: int,
    *,
    seed: int,
    stream: Stream,
    step: int,
    first: int,
    n_datapoints: int,
) -> NDArray[np.float64]:
    """Return each datapoint's own `MEASURES`; their means, or the largest error, are those of `Evaluation`.

    Parameters
    ----------
    weights
        (n_from, n_to), zeros where the network has none.
    seed, stream, step
        Which random numbers make the datapoints.
    first, n_datapoints
        Which datapoints of the step; the first is a multiple of 16.

    Returns
    -------
    (n_datapoints, 5); the accuracy of one without a class is NaN
    """
    shape = shape_of(network, timesteps)
    source = Source(data.address, data.argument, int(stream), NO_ARRAY, NO_ARRAY)
    measures = np.empty((n_datapoints, len(MEASURES)))
    blocks, single, passes = _to_measure(network, weights, timesteps)
    measure_each(shape, blocks, source, np.uint64(seed), step, first, single, passes, measures)
    return measures


def compile_kernels(threads: int) -> None:
    """Run every kernel of a walk on a tiny problem, so that it is compiled or loaded from the cache."""
    configuration = WalkConfiguration(stddev=0.1, batch_size=MAX_GROUPS * LANES * threads, timesteps=1)
    exercise(CpuWalk(FreeNetwork(1, 1, 0), configuration, Data(0), seed=0, evaluation_points=1, threads=threads))


def compile_measures() -> None:
    """Measure a tiny problem's datapoint, so that the kernel is compiled or loaded from the cache."""
    network = FreeNetwork(1, 1, 0)
    shape, zeros = shape_of(network, 1), np.zeros((1, 1))
    source = array_source(network, zeros, zeros, 1)
    blocks, single, passes = _to_measure(network, np.zeros((network.n_from, network.n_to)), 1)
    measure_each(shape, blocks, source, np.uint64(0), 0, 0, single, passes, np.empty((1, len(MEASURES))))
