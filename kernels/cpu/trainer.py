"""What every trial on the CPU shares: its weights, its threads, its measures."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from freewalk.kernels.cpu.blocks import Blocks, Places, layers_in_order, make_blocks, to_single
from freewalk.kernels.cpu.evaluate import evaluate
from freewalk.kernels.cpu.layout import (
    NO_ARRAY,
    NO_MASK,
    Shape,
    Source,
    from_padded,
    shape_of,
    to_padded,
)
from freewalk.kernels.cpu.optimizers import Weights
from freewalk.kernels.cpu.shared_pass import make_passes
from freewalk.kernels.machine.threads import are_lost as threads_are_lost
from freewalk.kernels.model.network import FreeNetwork, check_initial, check_mask
from freewalk.kernels.model.noise import Stream, initial_weights, seed_words
from freewalk.kernels.model.state import TrainerConfiguration, check_state, make_state, moment_names
from freewalk.kernels.model.walk import Data, Evaluation, Progress, State, check_data_shapes
from freewalk.kernels.reference.reference import dense_inputs, dense_targets


class CpuTrainer(ABC):
    """One trial on the CPU: float64 master weights, float32 network arithmetic; what a step is, subclasses say.

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
        Threads of one step. 1 releases the GIL and may run beside other trials; more than 1 uses Numba's thread pool,
        and then only one trial may train at a time. The bits of the result do not depend on it.
    mask
        (n_from, n_to), False where no weight is trained.
    initial
        (n_from, n_to) weights to start from, which stay where none is trained; None draws them, 0 there.
    """

    def __init__(
        self,
        network: FreeNetwork,
        configuration: TrainerConfiguration,
        data: Data,
        *,
        seed: int,
        evaluation_points: int,
        threads: int = 1,
        mask: NDArray[np.bool_] | None = None,
        initial: NDArray[np.float64] | None = None,
    ) -> None:
        check_mask(network, mask)
        check_initial(network, initial)
        seed_words(seed)
        self.network = network
        self.step = 0
        self._configuration = configuration
        self._allowed = mask
        self._seed = np.uint64(seed)
        self._evaluation_points = evaluation_points
        self._shape = self._make_shape()
        self._training = Source(data.address, data.argument, int(Stream.DATA), NO_ARRAY, NO_ARRAY)
        self._held_out = self._training._replace(stream=int(Stream.EVALUATION_DATA))
        start = initial_weights(network.n_from, network.n_to, seed) if initial is None else initial.astype(np.float64)
        self._blocks, self._places = self._arrange()
        master = self._values_of(start if mask is None or initial is not None else start * mask)
        self._weights = Weights(master, np.zeros_like(master, np.float32), np.zeros_like(master), np.zeros_like(master))
        self._copy_to_single()
        n_outputs = self._shape.output_rows * network.n_output
        self._lowest, self._highest = np.empty(n_outputs, np.float32), np.empty(n_outputs, np.float32)
        self._evaluating = make_passes(self._shape, self._blocks, 2, 2, 0, 1)
        self._stop = np.zeros(1, dtype=np.uint8)
        self._n_parts = self._prepare()
        self.use_threads(threads)

    def _make_shape(self) -> Shape:
        return shape_of(self.network, self._configuration.timesteps)

    def _arrange(self) -> tuple[Blocks, Places]:
        """Return how the network is measured: a layered one layer by layer, any other with all weights."""
        network, timesteps = self.network, self._configuration.timesteps
        layered = layers_in_order(network, self._allowed, timesteps) is not None
        return make_blocks(network, self._allowed if layered else None, timesteps)

    @abstractmethod
    def _prepare(self) -> int:
        """Make what a step needs besides scratch memory; return its parts: more threads have nothing to do."""

    @property
    def threads(self) -> int:
        """Threads of one step."""
        return self._threads

    def most_threads(self, threads: int) -> int:
        """Return how many of `threads` have work in one step; 1 in a process that a fork has left without them."""
        return 1 if threads_are_lost() else min(threads, self._n_parts)

    def use_threads(self, threads: int) -> None:
        """Take the following steps with so many threads, or as many as have work.

        Raises
        ------
        ValueError
            If `threads` is below 1.
        """
        if threads < 1:
            raise ValueError(f"threads must be at least 1, got {threads}")
        self._threads = self.most_threads(threads)
        self._allocate(self._threads)

    @abstractmethod
    def compile_for_threads(self) -> None:
        """Compile, or load from the cache, what steps with several threads need."""

    @abstractmethod
    def _allocate(self, threads: int) -> None:
        """Make the scratch memory of so many threads."""

    def train(self, n_steps: int) -> Progress:
        """Take `n_steps` steps; stop early after a loss that is not finite."""
        if self._threads > 1 and threads_are_lost():
            self.use_threads(1)
        steps, loss = self._run_steps(n_steps)
        self.step += steps
        return Progress(steps, loss)

    @abstractmethod
    def _run_steps(self, n_steps: int) -> tuple[int, float]:
        """Return the steps taken and the mean training loss of the last."""

    def request_stop(self) -> None:
        """Let a `train` that runs in another thread return soon; a step it leaves unfinished does not count."""
        self._stop[0] = 1

    def state(self) -> State:
        """Return a copy of everything that the trial needs to go on; not while it trains."""
        n_moments = len(moment_names(self._configuration))
        arrays = (self._weights.master, self._weights.first, self._weights.second)[: n_moments + 1]
        weights, *moments = (self._matrix_of(values) for values in arrays)
        return make_state(self._configuration, self.step, weights, moments)

    def restore(self, state: Mapping[str, NDArray[Any]]) -> None:
        """Go on from a state of a trial like this one; raise ValueError, naming what does not fit, otherwise."""
        shape, weights, names = self._shape, self._weights, moment_names(self._configuration)
        check_state(state, self._configuration, (shape.n_from, shape.n_to), mask=self._allowed, fixed=self.weights)
        for name, values in zip(("weights", *names), (weights.master, weights.first, weights.second), strict=False):
            values[:] = self._values_of(state[name].astype(np.float64))
        self._copy_to_single()
        self.step = int(state["step"])

    def evaluate(self) -> Evaluation:
        """Measure the weights on held-out data, the same at every call."""
        *measures, accuracy = evaluate(
            self._shape,
            self._blocks,
            self._held_out,
            self._seed,
            self._passes_read(),
            self._evaluating,
            self._evaluation_points,
            self._lowest,
            self._highest,
        )
        spread = float((self._highest - self._lowest).max())
        loss, bits, rows, largest = measures
        return Evaluation(loss, bits, rows, largest, spread, accuracy)

    @property
    def weights(self) -> NDArray[np.float64]:
        """A copy of the weights, (n_from, n_to) float64."""
        return self._matrix_of(self._weights.master)

    def _matrix_of(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return master weights, or moments, as a matrix (n_from, n_to)."""
        return from_padded(values, self._shape)

    def _values_of(self, matrix: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return a matrix (n_from, n_to) in the order of master weights and moments."""
        return to_padded(matrix, self._shape)

    def _copy_to_single(self) -> None:
        """Let the network compute with the master weights."""
        self._weights.single[:] = self._weights.master

    def _passes_read(self) -> NDArray[np.float32]:
        """Return the weights in the order in which passes with shared weights read them."""
        return to_single(self.weights, self._places)


def by_position(mask: NDArray[np.bool_] | None, shape: Shape) -> NDArray[np.bool_]:
    """Return a mask as the kernels hold it; a layered network has no weights that need one."""
    return NO_MASK if mask is None or len(shape.layers) else to_padded(mask, shape)


def exercise(trainer: CpuTrainer) -> None:
    """Run every kernel of a trial without data, one step, so that they are compiled or loaded from the cache."""
    shape = trainer._shape
    x = np.zeros((1, shape.input_rows * shape.n_input), dtype=np.float32)
    y = np.zeros((1, shape.output_rows * shape.n_output), dtype=np.float32)
    trainer._training = trainer._held_out = trainer._training._replace(address=0, x=x, y=y)
    trainer.train(1)
    trainer.evaluate()


def array_source(network: FreeNetwork, x: NDArray[Any], y: NDArray[Any], timesteps: int) -> Source:
    """Return given datapoints, shapes as in freewalk.kernels.reference, as a source.

    Raises
    ------
    ValueError
        If x or y does not fit the network.
    """
    dense_x, dense_y = dense_inputs(network, x), dense_targets(network, y)
    check_data_shapes(network, dense_x, dense_y, timesteps)
    n = len(dense_x)
    # order "C": a transposed array kept in its own order would be another type, and compile everything again
    x_rows = dense_x.reshape(n, -1).astype(np.float32, order="C")
    return Source(0, 0, int(Stream.DATA), x_rows, dense_y.reshape(n, -1).astype(np.float32, order="C"))
