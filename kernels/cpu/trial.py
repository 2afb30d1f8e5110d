"""The walk on the CPU: arrays made and handed to the compiled kernels."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from freewalk.kernels.cpu.evaluate import measure_each, run_network
from freewalk.kernels.cpu.layout import (
    GAUSSIAN,
    GIVEN,
    MAX_GROUPS,
    NO_ARRAY,
    RADEMACHER,
    NoiseSource,
    Shape,
    Source,
    Sums,
    Tiling,
    Workspace,
    from_padded,
    make_sums,
    make_workspace,
    shape_of,
    tiling_of,
    to_padded,
)
from freewalk.kernels.cpu.optimizers import OPTIMIZERS, RAW, SCHEDULES, Rule, Weights
from freewalk.kernels.cpu.trainer import NO_MASK, CpuTrainer, array_source, exercise, weights_of
from freewalk.kernels.cpu.walk import train, train_parallel
from freewalk.kernels.machine.lanes import LANES
from freewalk.kernels.model.network import FreeNetwork, check_mask
from freewalk.kernels.model.noise import Stream, key_schedule
from freewalk.kernels.model.walk import Data, WalkConfiguration

MEASURES = ("loss", "bit_accuracy", "row_accuracy", "max_error", "accuracy")
_NO_NOISE = np.zeros((0, 0, 0), dtype=np.float32)
_NOISE_KINDS = {"gaussian": GAUSSIAN, "rademacher": RADEMACHER}


class CpuWalk(CpuTrainer):
    """One walk on the CPU. Parameters as for `CpuTrainer`, and the walk's configuration."""

    def __init__(
        self,
        network: FreeNetwork,
        configuration: WalkConfiguration,
        data: Data,
        *,
        seed: int,
        evaluation_points: int,
        threads: int = 1,
        mask: NDArray[np.bool_] | None = None,
        initial: NDArray[np.float64] | None = None,
    ) -> None:
        shape = shape_of(network, configuration.timesteps)
        self._rule = rule_of(configuration)
        self._noise = _noise_source(configuration, seed, shape, mask)
        self._tiling = tiling_of(shape, configuration.batch_size)
        self._sums = make_sums(shape, self._tiling)
        super().__init__(
            network,
            configuration,
            data,
            seed=seed,
            evaluation_points=evaluation_points,
            n_parts=self._tiling.n_chunks,
            threads=threads,
            mask=mask,
            initial=initial,
        )

    def compile_for_threads(self) -> None:
        """Compile, or load from the cache, what steps with several threads need."""
        compile_kernels(threads=2)

    def _allocate(self, threads: int) -> None:
        workspace = make_workspace(self._shape, self._tiling.groups, threads)
        self._workspace = workspace._replace(stop=self._stop)

    def _run_steps(self, n_steps: int) -> tuple[int, float]:
        return _run_steps(
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


def _run_steps(
    shape: Shape,
    rule: Rule,
    source: Source,
    noise: NoiseSource,
    tiling: Tiling,
    weights: Weights,
    workspace: Workspace,
    sums: Sums,
    first_step: int,
    n_steps: int,
) -> tuple[int, float]:
    """Train with as many threads as the workspace has rows."""
    run = train if len(workspace.noise) == 1 else train_parallel
    done: tuple[int, float] = run(shape, rule, source, noise, tiling, weights, workspace, sums, first_step, n_steps)
    return done


def rule_of(configuration: WalkConfiguration) -> Rule:
    """Return the update rule as runtime values."""
    raw = configuration.update == "raw"
    return Rule(
        kind=RAW if raw else OPTIMIZERS[configuration.optimizer],
        stddev=float(configuration.stddev),
        two_sided=int(configuration.sides == "two"),
        learning_rate=float(configuration.learning_rate),
        momentum=float(configuration.momentum),
        schedule=SCHEDULES[configuration.schedule],
        schedule_steps=configuration.schedule_steps,
    )


def _noise_source(
    configuration: WalkConfiguration, seed: int, shape: Shape, mask: NDArray[np.bool_] | None
) -> NoiseSource:
    kind = _NOISE_KINDS[configuration.noise]
    by_position = NO_MASK if mask is None else to_padded(mask, shape)
    round_keys = key_schedule(seed)
    return NoiseSource(kind, np.uint64(seed), round_keys, _NO_NOISE, by_position)


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
    single = to_padded(np.asarray(weights, dtype=np.float32), shape)
    run_network(shape, source, np.uint64(0), single, make_workspace(shape, 1, 1), outputs, losses)
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
    single = to_padded(np.asarray(weights, dtype=np.float32), shape)
    measure_each(shape, source, np.uint64(seed), step, first, single, make_workspace(shape, 0, 1), measures)
    return measures


def step_on_arrays(
    network: FreeNetwork,
    configuration: WalkConfiguration,
    weights: NDArray[np.floating],
    x: NDArray[Any],
    y: NDArray[Any],
    *,
    unit_noise: NDArray[np.floating] | None = None,
    seed: int = 0,
    step: int = 0,
    threads: int = 1,
    mask: NDArray[np.bool_] | None = None,
) -> NDArray[np.float64]:
    """Return the weights (n_from, n_to) after one step on given datapoints, with given or addressed noise.

    Parameters
    ----------
    configuration
        Its batch size does not count: the batch is what is given.
    unit_noise
        (B, n_from, n_to) perturbations divided by stddev; None draws them for (seed, step).

    Raises
    ------
    ValueError
        If a shape does not fit the network.
    """
    check_mask(network, mask)
    shape = shape_of(network, configuration.timesteps)
    source = array_source(network, x, y, configuration.timesteps)
    noise = _noise_source(configuration, seed, shape, mask)
    if unit_noise is not None:
        wanted = (len(source.x), network.n_from, network.n_to)
        if unit_noise.shape != wanted:
            raise ValueError(f"unit_noise must have shape {wanted}, got {unit_noise.shape}")
        noise = noise._replace(kind=GIVEN, given=np.ascontiguousarray(unit_noise, dtype=np.float32))
    tiling = tiling_of(shape, len(source.x))
    state = weights_of(np.asarray(weights, dtype=np.float64), shape)
    workspace = make_workspace(shape, tiling.groups, min(threads, tiling.n_chunks))
    _run_steps(
        shape,
        rule_of(configuration),
        source,
        noise,
        tiling,
        state,
        workspace,
        make_sums(shape, tiling),
        step,
        1,
    )
    return from_padded(state.master, shape)


def compile_kernels(threads: int) -> None:
    """Run every kernel of a walk on a tiny problem, so that it is compiled or loaded from the cache."""
    configuration = WalkConfiguration(stddev=0.1, batch_size=MAX_GROUPS * LANES * threads, timesteps=1)
    exercise(CpuWalk(FreeNetwork(1, 1, 0), configuration, Data(0), seed=0, evaluation_points=1, threads=threads))


def compile_measures() -> None:
    """Measure a tiny problem's datapoint, so that the kernel is compiled or loaded from the cache."""
    network = FreeNetwork(1, 1, 0)
    shape, zeros = shape_of(network, 1), np.zeros((1, 1))
    source = array_source(network, zeros, zeros, 1)
    weights = to_padded(np.zeros((network.n_from, network.n_to), np.float32), shape)
    measure_each(shape, source, np.uint64(0), 0, 0, weights, make_workspace(shape, 0, 1), np.empty((1, len(MEASURES))))
