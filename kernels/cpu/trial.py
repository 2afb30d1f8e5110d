"""The walk on the CPU: arrays made and handed to the compiled kernels."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from freewalk.kernels.cpu.evaluate import evaluate, run_network
from freewalk.kernels.cpu.lanes import LANES
from freewalk.kernels.cpu.layout import (
    GAUSSIAN,
    GIVEN,
    MAX_GROUPS,
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
from freewalk.kernels.cpu.optimizers import ADAM, CONSTANT, COSINE, MOMENTUM, RAW, SGD, Rule, Weights
from freewalk.kernels.cpu.walk import train, train_parallel
from freewalk.kernels.network import FreeNetwork, check_mask
from freewalk.kernels.noise import Stream, initial_weights, key_schedule
from freewalk.kernels.reference import dense_inputs, dense_targets
from freewalk.kernels.walk import Data, Evaluation, Progress, WalkConfiguration, check_data_shapes

_NO_ARRAY = np.zeros((0, 0), dtype=np.float32)
_NO_NOISE = np.zeros((0, 0, 0), dtype=np.float32)
_NO_MASK = np.zeros(0, dtype=np.bool_)
_NOISE_KINDS = {"gaussian": GAUSSIAN, "rademacher": RADEMACHER}
_OPTIMIZERS = {"sgd": SGD, "momentum": MOMENTUM, "adam": ADAM}
_SCHEDULES = {"constant": CONSTANT, "cosine": COSINE}


class CpuWalk:
    """One trial on the CPU: float64 master weights, float32 network arithmetic.

    Parameters
    ----------
    network, configuration
        What is trained and how.
    data
        Where datapoints come from.
    seed
        Key of all random numbers.
    evaluation_points
        Held-out datapoints of an evaluation.
    threads
        Threads of one step. 1 releases the GIL and may run beside other walks; more than 1 uses Numba's thread pool,
        and then only one walk may train at a time. The bits of the result do not depend on it.
    mask
        (n_from, n_to), False where there is no weight.
    """

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
    ) -> None:
        check_mask(network, mask)
        self.network = network
        self.step = 0
        self._evaluation_points = evaluation_points
        self._shape = shape_of(network, configuration.timesteps)
        self._rule = rule_of(configuration)
        self._training = Source(data.address, data.argument, int(Stream.DATA), _NO_ARRAY, _NO_ARRAY)
        self._held_out = self._training._replace(stream=int(Stream.EVALUATION_DATA))
        self._noise = _noise_source(configuration, seed, self._shape, mask)
        self._tiling = tiling_of(self._shape, configuration.batch_size)
        start = initial_weights(network.n_from, network.n_to, seed)
        self._weights = _weights_of(start if mask is None else start * mask, self._shape)
        self._sums = make_sums(self._shape, self._tiling)
        n_outputs = self._shape.output_rows * network.n_output
        self._lowest, self._highest = np.empty(n_outputs, np.float32), np.empty(n_outputs, np.float32)
        self._stop = np.zeros(1, dtype=np.uint8)
        self.use_threads(threads)

    @property
    def threads(self) -> int:
        """Threads of one step."""
        return len(self._workspace.noise)

    def most_threads(self, threads: int) -> int:
        """Return how many of `threads` have work in one step: a batch has only so many chunks."""
        return min(threads, self._tiling.n_chunks)

    def use_threads(self, threads: int) -> None:
        """Take the following steps with so many threads, or as many as have work.

        Raises
        ------
        ValueError
            If `threads` is below 1.
        """
        if threads < 1:
            raise ValueError(f"threads must be at least 1, got {threads}")
        workspace = make_workspace(self._shape, self._tiling.groups, self.most_threads(threads))
        self._workspace = workspace._replace(stop=self._stop)

    def train(self, n_steps: int) -> Progress:
        """Take `n_steps` steps; stop early after a loss that is not finite."""
        steps, loss = _run_steps(
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
        self.step += steps
        return Progress(steps, loss)

    def request_stop(self) -> None:
        """Let a `train` that runs in another thread return soon; a step it leaves unfinished does not count."""
        self._stop[0] = 1

    def evaluate(self) -> Evaluation:
        """Measure the weights on held-out data, the same at every call."""
        measures = evaluate(
            self._shape,
            self._held_out,
            self._noise.seed,
            self._weights.single,
            self._workspace,
            self._evaluation_points,
            self._lowest,
            self._highest,
        )
        return Evaluation(*measures, output_spread=float((self._highest - self._lowest).max()))

    @property
    def weights(self) -> NDArray[np.float64]:
        """A copy of the weights, (n_from, n_to) float64."""
        return from_padded(self._weights.master, self._shape)


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
        kind=RAW if raw else _OPTIMIZERS[configuration.optimizer],
        stddev=float(configuration.stddev),
        two_sided=int(configuration.sides == "two"),
        learning_rate=float(configuration.learning_rate),
        momentum=float(configuration.momentum),
        schedule=_SCHEDULES[configuration.schedule],
        schedule_steps=configuration.schedule_steps,
    )


def _noise_source(
    configuration: WalkConfiguration, seed: int, shape: Shape, mask: NDArray[np.bool_] | None
) -> NoiseSource:
    kind = _NOISE_KINDS[configuration.noise]
    by_position = _NO_MASK if mask is None else to_padded(mask, shape)
    round_keys = key_schedule(seed)
    return NoiseSource(kind, np.uint64(seed), round_keys, _NO_NOISE, by_position)


def _weights_of(matrix: NDArray[np.float64], shape: Shape) -> Weights:
    master = to_padded(matrix, shape)
    return Weights(master, master.astype(np.float32), np.zeros_like(master), np.zeros_like(master))


def _array_source(network: FreeNetwork, x: NDArray[Any], y: NDArray[Any], timesteps: int) -> Source:
    dense_x, dense_y = dense_inputs(network, x), dense_targets(network, y)
    check_data_shapes(network, dense_x, dense_y, timesteps)
    n = len(dense_x)
    flat_x = dense_x.reshape(n, -1).astype(np.float32)
    return Source(0, 0, int(Stream.DATA), flat_x, dense_y.reshape(n, -1).astype(np.float32))


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
    source = _array_source(network, x, y, timesteps)
    n_datapoints = len(source.x)
    outputs = np.empty((n_datapoints, shape.output_rows * network.n_output), dtype=np.float32)
    losses = np.empty(n_datapoints, dtype=np.float32)
    single = to_padded(np.asarray(weights, dtype=np.float32), shape)
    run_network(shape, source, np.uint64(0), single, make_workspace(shape, 1, 1), outputs, losses)
    rows = (shape.output_rows,) if network.sequence_output else ()
    return outputs.reshape(n_datapoints, *rows, network.n_output), losses


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
    source = _array_source(network, x, y, configuration.timesteps)
    noise = _noise_source(configuration, seed, shape, mask)
    if unit_noise is not None:
        wanted = (len(source.x), network.n_from, network.n_to)
        if unit_noise.shape != wanted:
            raise ValueError(f"unit_noise must have shape {wanted}, got {unit_noise.shape}")
        noise = noise._replace(kind=GIVEN, given=np.ascontiguousarray(unit_noise, dtype=np.float32))
    tiling = tiling_of(shape, len(source.x))
    state = _weights_of(np.asarray(weights, dtype=np.float64), shape)
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
    walk = CpuWalk(
        FreeNetwork(1, 1, 0),
        WalkConfiguration(stddev=0.1, batch_size=MAX_GROUPS * LANES * threads, timesteps=1),
        Data(address=0),
        seed=0,
        evaluation_points=1,
        threads=threads,
    )
    nothing = np.zeros((1, 1), dtype=np.float32)
    walk._training = walk._held_out = walk._training._replace(x=nothing, y=nothing)
    walk.train(1)
    walk.evaluate()
