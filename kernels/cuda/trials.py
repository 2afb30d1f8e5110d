"""Trials on a GPU: arrays made, handed to the kernels and read back."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from freewalk.kernels.cuda import evaluate as measuring
from freewalk.kernels.cuda import general, resident
from freewalk.kernels.cuda.clock import device_seconds
from freewalk.kernels.cuda.device import gpu
from freewalk.kernels.cuda.evaluate import make_evaluate
from freewalk.kernels.cuda.family import FamilyPlan, family_kernels
from freewalk.kernels.cuda.general import JUDGES, make_general
from freewalk.kernels.cuda.jit import SIMULATED, cuda
from freewalk.kernels.cuda.launching import OFFSET, prepare, take_steps
from freewalk.kernels.cuda.layout import (
    BATCH_SIZE,
    DEFAULT_SHAPE,
    FIRST,
    LOSS,
    MASTER,
    N_RESULTS,
    N_STATES,
    SECOND,
    STEP,
    STEPS_DONE,
    TIMESTEPS,
    WARP,
    LaunchShape,
    common_spec,
    numbers_of,
    sizes_of,
)
from freewalk.kernels.cuda.resident import make_resident
from freewalk.kernels.cuda.scratch import Scratch
from freewalk.kernels.cuda.slots import shared_launches
from freewalk.kernels.cuda.tables import on_device
from freewalk.kernels.model.network import FreeNetwork, check_mask
from freewalk.kernels.model.noise import initial_weights
from freewalk.kernels.model.pack import PackTrial
from freewalk.kernels.model.state import check_state, make_state, moment_names
from freewalk.kernels.model.walk import Data, Evaluation, Progress, State

_MOMENTS = (FIRST, SECOND)
_GENERAL_THREADS = 64 if SIMULATED else 256
_EVALUATION_BLOCKS = 64  # of one trial, at most


class DeviceTrials:
    """Trials of one network on the GPU, with everything that their kernels need.

    Raises
    ------
    ValueError
        If the trials differ in what is compiled in.
    """

    def __init__(
        self,
        network: FreeNetwork,
        data: Data,
        trials: Sequence[PackTrial],
        *,
        evaluation_points: int,
        mask: NDArray[np.bool_] | None = None,
        shape: LaunchShape = DEFAULT_SHAPE,
    ) -> None:
        check_mask(network, mask)
        self.network = network
        self._configurations = [trial.configuration for trial in trials]
        self.spec = common_spec(network, self._configurations, data, masked=mask is not None)
        self.shape = shape
        self.evaluation_points = evaluation_points
        self.kernel_seconds = 0.0
        self.compile_seconds = 0.0
        self._table = None if data.table is None else on_device(data.table)
        if self._table is not None:
            data = replace(data, argument=self._table.address)
        self._sizes = np.stack([sizes_of(trial.configuration, data, trial.seed) for trial in trials])
        start = np.stack([_start(network, trial, mask) for trial in trials])
        state = np.zeros((len(trials), N_STATES, network.n_weights))
        state[:, MASTER] = start
        self._numbers = cuda.to_device(np.stack([numbers_of(trial.configuration) for trial in trials]))
        self._state = cuda.to_device(state)
        self._single = cuda.to_device(start.astype(np.float32))
        flat = np.zeros(0, np.float32) if mask is None else mask.astype(np.float32).reshape(-1)
        self._mask = cuda.to_device(flat)
        self._scratch = Scratch()
        self._stopped: set[int] = set()  # by a loss that is not finite
        self._allowed = mask
        timesteps = int(self._sizes[:, TIMESTEPS].max())
        self._family = FamilyPlan(network, self.spec, mask, timesteps) if self.spec.family is not None else None
        for place, trial in enumerate(trials):
            if trial.state is not None:
                self.restore(place, trial.state)

    @property
    def steps(self) -> NDArray[np.int64]:
        """Steps taken so far, (n_trials,)."""
        return self._sizes[:, STEP].copy()

    def weights(self, trial: int) -> NDArray[np.float64]:
        """Return a copy of a trial's weights, (n_from, n_to)."""
        matrix: NDArray[np.float64] = self._state[trial].copy_to_host()[MASTER]
        return matrix.reshape(self.network.n_from, self.network.n_to)

    def state(self, trial: int) -> State:
        """Return a copy of everything that a trial needs to go on."""
        configuration = self._configurations[trial]
        shape = self.network.n_from, self.network.n_to
        arrays = [array.reshape(shape) for array in self._state[trial].copy_to_host()]
        moments = [arrays[k] for k in _MOMENTS[: len(moment_names(configuration))]]
        return make_state(configuration, int(self._sizes[trial, STEP]), arrays[MASTER], moments)

    def restore(self, trial: int, state: Mapping[str, NDArray[Any]]) -> None:
        """Let a trial go on from a state.

        Raises
        ------
        ValueError
            If the state is not one of such a trial.
        """
        configuration = self._configurations[trial]
        shape = self.network.n_from, self.network.n_to
        check_state(state, configuration, shape, mask=self._allowed, fixed=self.weights(trial))
        arrays = np.zeros((N_STATES, self.network.n_weights))
        arrays[MASTER] = state["weights"].reshape(-1)
        for k, name in zip(_MOMENTS, moment_names(configuration), strict=False):
            arrays[k] = state[name].reshape(-1)
        self._state[trial].copy_to_device(arrays)
        self._single[trial].copy_to_device(arrays[MASTER].astype(np.float32))
        self._sizes[trial, STEP] = int(state["step"])

    def compile(self, *, side_by_side: bool) -> None:
        """Compile what training and evaluation need, so that it counts as compilation and not as training."""
        if SIMULATED:
            return
        start = time.perf_counter()
        self._evaluate_kernel.compile(measuring.SIGNATURE.args)
        for kernel, signature in self._training_kernels(side_by_side=side_by_side):
            kernel.compile(signature.args)
        self.compile_seconds += time.perf_counter() - start

    def _training_kernels(self, *, side_by_side: bool) -> Iterator[tuple[Any, Any]]:
        """Yield the kernels that training needs, and their signatures."""
        if self._family is not None:
            ranks = any(given.shaping == "ranks" for given in self._configurations)
            for _, kernel, signature in family_kernels(self.spec, self._family.widest, ranks=ranks):
                yield kernel, signature
        elif self.spec.is_resident:
            across = ("train_one",) if _grids_can_meet() else ("sum_step", "move_step")
            for name in ("train_trials",) if side_by_side else across:
                yield getattr(make_resident(self.spec, self.shape), name), resident.SIGNATURES[name]
        else:
            for name, signature in general.SIGNATURES.items():
                yield getattr(make_general(self.spec, self._threads), name), signature

    def train_side_by_side(self, order: Sequence[int], n_steps: int) -> list[Progress]:
        """Train trials of a small network, a block each, in one launch."""
        kernels = make_resident(self.spec, self.shape)
        blocks = len(order)
        x, y = self._datapoints(blocks, kernels.teams * WARP)
        total = self._scratch.array("total", (blocks, self.network.n_weights), np.float64)
        results = self._scratch.sent("results", np.zeros((len(self._sizes), N_RESULTS)))
        sent = self._scratch.sent("order", np.asarray(order, np.int32))
        arguments = (sent, *self._trials(), x, y, total, results, n_steps)
        self.kernel_seconds = device_seconds(lambda: kernels.train_trials[blocks, kernels.threads](*arguments))
        return self._progress(order, results.copy_to_host())

    def train_across_the_gpu(self, n_steps: int) -> list[Progress]:
        """Train the only trial of a small network with the whole GPU, in one launch."""
        kernels = make_resident(self.spec, self.shape)
        meets = _grids_can_meet()
        wanted = -(-int(self._sizes[0, BATCH_SIZE]) // kernels.teams)
        blocks = min(wanted, gpu().multiprocessors)  # one fills a multiprocessor, so that all run at once
        x, y = self._datapoints(blocks, kernels.teams * WARP)
        total = self._scratch.array("total", (blocks, self.network.n_weights), np.float64)
        losses = self._scratch.array("block losses", (blocks,), np.float64)
        results = self._scratch.sent("results", np.zeros((1, N_RESULTS)))
        sizes, numbers, state, single, mask = self._trials()
        grid = (blocks, kernels.threads)

        def launch() -> None:
            if meets:
                kernels.train_one[grid](sizes, numbers, state, single, mask, x, y, total, losses, results, n_steps)
                return
            for k in range(n_steps):
                kernels.sum_step[grid](sizes, numbers, single, mask, x, y, total, losses, results, k)
                kernels.move_step[grid](sizes, numbers, state, single, total, losses, results, k)

        self.kernel_seconds = device_seconds(launch)
        return self._progress([0], results.copy_to_host())

    def train_in_turn(self, order: Sequence[int], n_steps: int) -> list[Progress]:
        """Train trials of a network of any size, each with the whole GPU, one after another.

        Those whose perturbations are not plain share it instead, as many as memory has room for.
        """
        results = self._scratch.sent("results", np.zeros((len(self._sizes), N_RESULTS)))

        def launch() -> None:
            if self._family is not None:
                for slots in shared_launches(self._family, order, self._sizes, self._trials(), self._scratch):
                    slots.take_steps(n_steps, results)
                return
            for trial in order:
                self._launch_steps(trial, n_steps, results)

        self.kernel_seconds = device_seconds(launch)
        return self._progress(order, results.copy_to_host())

    def _launch_steps(self, trial: int, n_steps: int, results: Any) -> None:
        """Queue the four launches of each step; after a loss that is not finite they do nothing."""
        network, batch_size, threads = self.network, int(self._sizes[trial, BATCH_SIZE]), self._threads
        kernels = make_general(self.spec, threads)
        blocks = min(batch_size, 8 * gpu().multiprocessors)
        owners = -(-network.n_from // kernels.rows) * network.n_to
        owner_blocks = -(-owners // _GENERAL_THREADS)
        chunks = max(1, min(-(-batch_size // WARP), 8 * gpu().multiprocessors // owner_blocks))
        x, y = self._datapoints(blocks, 1)
        activations = self._scratch.array("activations", (blocks, 2, 2, network.n_to))
        lowered = self._scratch.array("lowered", (batch_size,))
        losses = self._scratch.array("losses", (batch_size,))
        partial = self._scratch.array("partial", (chunks, network.n_weights), np.float64)
        sizes, numbers, state, single, mask = self._trials()
        mover_blocks = -(-network.n_weights // _GENERAL_THREADS)
        losing = (sizes, numbers, single, mask, x, y, activations, lowered, losses, results, trial, OFFSET)
        moving = (sizes, numbers, state, single, mask, results, partial, trial, OFFSET)
        given: tuple[tuple[str, Any, int, tuple[Any, ...]], ...] = (
            ("differences", blocks, threads, losing),
            ("judge", 1, JUDGES, (sizes, losses, results, trial, OFFSET)),
            ("accumulate", (owner_blocks, chunks), _GENERAL_THREADS, (sizes, lowered, results, partial, trial, OFFSET)),
            ("finish", mover_blocks, _GENERAL_THREADS, moving),
        )
        launches = [prepare(getattr(kernels, name), general.SIGNATURES[name], *rest) for name, *rest in given]
        take_steps(launches, n_steps)

    def evaluate(self, order: Sequence[int]) -> list[Evaluation]:
        """Measure trials on held-out data."""
        network, trials, threads = self.network, len(order), self._threads
        blocks = min(self.evaluation_points, _EVALUATION_BLOCKS)
        x, y = self._datapoints(blocks * trials, 1)
        activations = self._scratch.array("evaluation", (blocks * trials, 2, 2, network.n_to))
        measures = self._scratch.array("measures", (trials, blocks, measuring.N_MEASURES), np.float64)
        n_outputs = y.shape[2] * network.n_output
        extremes = self._scratch.array("extremes", (trials, blocks, 2, n_outputs))
        kernel = self._evaluate_kernel
        sizes, _, _, single, mask = self._trials()
        sent = self._scratch.sent("order", np.asarray(order, np.int32))
        kernel[(blocks, trials), threads](
            sent, sizes, single, mask, x, y, activations, measures, extremes, self.evaluation_points
        )
        found, limits, n = measures.copy_to_host(), extremes.copy_to_host(), self.evaluation_points
        rows = [network.output_rows(int(self._sizes[trial, TIMESTEPS])) for trial in order]
        return [
            measuring.evaluation_of(found[k], limits[k, :, :, : rows[k] * network.n_output], n) for k in range(trials)
        ]

    @property
    def _evaluate_kernel(self) -> Any:
        return make_evaluate(replace(self.spec, family=None), self._threads)

    @property
    def _threads(self) -> int:
        """Threads of a block that runs one datapoint."""
        return min(_GENERAL_THREADS, -(-self.network.n_to // WARP) * WARP)

    def _trials(self) -> tuple[Any, ...]:
        return self._scratch.sent("sizes", self._sizes), self._numbers, self._state, self._single, self._mask

    def _progress(self, order: Sequence[int], results: NDArray[np.float64]) -> list[Progress]:
        progress = [Progress(int(results[k, STEPS_DONE]), float(results[k, LOSS])) for k in order]
        for trial, done in zip(order, progress, strict=True):
            self._sizes[trial, STEP] += done.steps
            if not math.isfinite(done.loss):
                self._stopped.add(trial)
        return progress

    def going_on(self, order: Sequence[int]) -> list[int]:
        """Return those of `order` whose loss was finite so far."""
        return [trial for trial in order if trial not in self._stopped]

    def _datapoints(self, blocks: int, places: int) -> tuple[Any, Any]:
        """Return room for the inputs and targets of `places` datapoints a block.

        It starts with zeros: a place that holds no datapoint is computed too, and thrown away.
        """
        network, timesteps = self.network, int(self._sizes[:, TIMESTEPS].max())
        x = self._scratch.array("x", (blocks, places, network.input_rows(timesteps), network.n_input), zeroed=True)
        y = self._scratch.array("y", (blocks, places, network.output_rows(timesteps), network.n_output), zeroed=True)
        return x, y


def _start(network: FreeNetwork, trial: PackTrial, mask: NDArray[np.bool_] | None) -> NDArray[np.float64]:
    weights = initial_weights(network.n_from, network.n_to, trial.seed) if trial.initial is None else trial.initial
    if weights.shape != (network.n_from, network.n_to):
        raise ValueError(f"initial weights must have shape {(network.n_from, network.n_to)}, got {weights.shape}")
    return (weights if mask is None or trial.initial is not None else weights * mask).reshape(-1)


def _grids_can_meet() -> bool:
    """Return whether the blocks of one launch can wait for each other; the simulator runs one after another."""
    return not SIMULATED and bool(cuda.get_current_device().COOPERATIVE_LAUNCH)
