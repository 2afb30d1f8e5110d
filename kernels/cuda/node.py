"""Node perturbation on a GPU: a block runs a datapoint clean and with noise on its sums, and keeps what entered.

A step takes four launches, as that of a walk on a network of any size (general.py), of which `judge` and `finish` are
the same. `differences` leaves for every datapoint what its sums' noise was, or how far they moved, and the activations
that entered the layer; `accumulate` adds up their products over datapoints and timesteps, a thread for each weight.
What is kept takes batch x timesteps x neurons, twice.
"""

from __future__ import annotations

import math
from functools import cache
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from freewalk.kernels.cuda import general
from freewalk.kernels.cuda.device import gpu
from freewalk.kernels.cuda.forward import make_activation, make_loss, make_read
from freewalk.kernels.cuda.general import JUDGES, make_general
from freewalk.kernels.cuda.jit import cuda, cuda_kernel, device_function, types
from freewalk.kernels.cuda.launching import OFFSET, prepare, take_steps
from freewalk.kernels.cuda.layout import ARGUMENT, BATCH_SIZE, LOSS, SEED, STDDEV, STEP, TIMESTEPS, WARP, Spec
from freewalk.kernels.cuda.noise import keys, make_values
from freewalk.kernels.cuda.trials import DeviceTrials
from freewalk.kernels.cuda.walk import CudaWalk
from freewalk.kernels.model.layered import LayeredNetwork, Network
from freewalk.kernels.model.network import FreeNetwork
from freewalk.kernels.model.noise import Stream
from freewalk.kernels.model.pack import PackTrial
from freewalk.kernels.model.walk import Data, Progress, WalkConfiguration
from freewalk.kernels.trainers.node import NodeConfiguration

_ZERO, _ONE, _HALF = np.float32(0.0), np.float32(1.0), np.float32(0.5)
_DATA = np.uint32(Stream.DATA)
_FLUSH = 32  # datapoints that are summed in float32 before they go into a float64
_ANY = -1  # sums that have noise at every timestep


class NodeKernels(NamedTuple):
    """Compiled on first use."""

    differences: Any
    accumulate: Any


@cache
def make_node(spec: Spec, threads: int, *, activity: bool) -> NodeKernels:
    """Return the kernels of node perturbation, for blocks of so many threads."""
    n_input, n_output, n_to, n_from = spec.n_input, spec.n_output, spec.n_to, spec.n_from
    two_sided, sequence_input, sequence_output = spec.two_sided, spec.sequence_input, spec.sequence_output
    leaky, passes = spec.leak != 1, 3 if spec.two_sided else 2  # noisy, clean, and with the negative noise
    activation, read, loss_of = make_activation(spec), make_read(spec), make_loss(spec)
    rows, values = make_values(spec.noise, Stream.NODES)
    datapoint = device_function(spec.datapoint)

    @device_function
    def noise_of(unit: Any, column: int, t: int, when: int, k0: Any, k1: Any, index: int, step: int) -> Any:
        """Return the noise of a sum, 0 if it has none now; that of a layer is drawn as a first timestep's."""
        if when not in (_ANY, t):
            return _ZERO
        values(unit, k0, k1, n_to, column // rows * rows, 0 if when >= 0 else t, index, step)
        found = _ZERO
        for r in range(rows):
            if r == column % rows:
                found = unit[r]
        return found

    @device_function
    def value_at(x: NDArray[np.float32], x_row: int, activations: Any, here: int, which: int, row: int) -> Any:
        if row < n_input:
            return x[x_row, row]
        if row == n_input:
            return _ONE
        return activations[here, which, row - n_input - 1]

    @cuda_kernel
    def differences(
        sizes: NDArray[np.int64],  # IN (n_trials, N_SIZES)
        numbers: NDArray[np.float64],  # IN (n_trials, N_NUMBERS)
        single: NDArray[np.float32],  # IN (n_trials, n_weights)
        when: NDArray[np.int32],  # IN (n_to,), the only timestep at which a sum has noise, or below 0
        x: NDArray[np.float32],  # OUT (batch_size, 1, input_rows, n_input)
        y: NDArray[np.float32],  # SCRATCH (blocks, 1, output_rows, n_output)
        activations: NDArray[np.float32],  # SCRATCH (blocks, 2, passes, n_to)
        entered: NDArray[np.float32],  # OUT (batch_size, timesteps, n_to), activations of the clean pass
        moved: NDArray[np.float32],  # OUT (batch_size, timesteps, n_to), noise, or how far sums moved
        lowered: NDArray[np.float32],  # OUT (batch_size,), how much the noise lowered the loss
        losses: NDArray[np.float32],  # OUT (batch_size,)
        results: NDArray[np.float64],  # IN (n_trials, N_RESULTS)
        trial: int,
        offset: int,
    ) -> None:
        partial = cuda.shared.array((4, threads), np.float32)
        sums = cuda.local.array(3, np.float32)
        unit = cuda.local.array(rows, np.float32)
        block, thread = cuda.blockIdx.x, cuda.threadIdx.x
        if not math.isfinite(results[trial, LOSS]):
            return
        timesteps, step, stddev = sizes[trial, TIMESTEPS], sizes[trial, STEP] + offset, numbers[trial, STDDEV]
        sigma = np.float32(stddev)
        k0, k1 = keys(sizes[trial, SEED])
        for index in range(block, sizes[trial, BATCH_SIZE], cuda.gridDim.x):
            if thread == 0:
                datapoint(
                    np.uint64(sizes[trial, SEED]),
                    _DATA,
                    np.uint32(step),
                    index,
                    timesteps,
                    sizes[trial, ARGUMENT],
                    x[index, 0],
                    y[block, 0],
                )
            cuda.syncthreads()
            for k in range(4):
                partial[k, thread] = _ZERO
            n_noisy = 0
            for t in range(timesteps):
                here, is_last, x_row = t & 1, t + 1 == timesteps, t if sequence_input else 0
                used_rows = n_input + 1 if t == 0 else n_from  # at first, all activations are zero
                for column in range(thread, n_to, threads):
                    entered[index, t, column] = activations[block, here, 1, column] if t > 0 else _ZERO
                    if is_last and column >= n_output:  # which reaches no output
                        moved[index, t, column] = _ZERO
                        continue
                    for which in range(passes):
                        sums[which] = _ZERO
                    for row in range(used_rows):
                        weight = single[trial, row * n_to + column]
                        for which in range(passes):
                            sums[which] += weight * value_at(x[index, 0], x_row, activations[block], here, which, row)
                    noise = noise_of(unit, column, t, when[column], k0, k1, index, step)
                    sums[0] += sigma * noise
                    if two_sided:
                        sums[2] -= sigma * noise
                    change = noise
                    if activity:
                        change = sums[0] - sums[1] if when[column] in (_ANY, t) else _ZERO
                        partial[3, thread] += change * change
                    moved[index, t, column] = change
                    for which in range(passes):
                        kept = activations[block, here, which, column] if leaky and t > 0 else _ZERO
                        activations[block, 1 - here, which, column] = activation(sums[which], column, kept)
                cuda.syncthreads()
                if sequence_output or is_last:
                    for k in range(thread, n_output, threads):
                        target = y[block, 0, t if sequence_output else 0, k]
                        for which in range(passes):
                            partial[which, thread] += loss_of(read(activations[block], 1 - here, which, k), target)
                cuda.syncthreads()
            if thread == 0:
                for k in range(1, threads):
                    for which in range(4):
                        partial[which, 0] += partial[which, k]
                noisy, clean = partial[0, 0], partial[1, 0]
                losses[index] = clean
                if two_sided:
                    lowered[index] = _HALF * (partial[2, 0] - noisy)
                elif activity:
                    for column in range(n_to):
                        n_noisy += (timesteps - (column >= n_output)) if when[column] < 0 else 1
                    scale = sigma * np.float32(math.sqrt(np.float64(n_noisy)))
                    lowered[index] = scale * (clean - noisy) / partial[3, 0]
                else:
                    lowered[index] = clean - noisy
            cuda.syncthreads()

    @cuda_kernel
    def accumulate(
        sizes: NDArray[np.int64],  # IN (n_trials, N_SIZES)
        x: NDArray[np.float32],  # IN (batch_size, 1, input_rows, n_input)
        entered: NDArray[np.float32],  # IN (batch_size, timesteps, n_to)
        moved: NDArray[np.float32],  # IN (batch_size, timesteps, n_to)
        lowered: NDArray[np.float32],  # IN (batch_size,)
        results: NDArray[np.float64],  # IN (n_trials, N_RESULTS)
        partial: NDArray[np.float64],  # OUT (chunks, n_weights)
        trial: int,
    ) -> None:
        chunk, chunks = cuda.blockIdx.y, cuda.gridDim.y
        here = cuda.grid(1)
        if here >= n_from * n_to or not math.isfinite(results[trial, LOSS]):
            return
        row, column = here // n_to, here % n_to
        timesteps, batch_size = sizes[trial, TIMESTEPS], sizes[trial, BATCH_SIZE]
        begin, end = batch_size * chunk // chunks, batch_size * (chunk + 1) // chunks
        total = 0.0
        for first in range(begin, end, _FLUSH):
            summed = _ZERO
            for index in range(first, min(first + _FLUSH, end)):
                own = _ZERO
                for t in range(timesteps):
                    if row < n_input:
                        value = x[index, 0, t if sequence_input else 0, row]
                    elif row == n_input:
                        value = _ONE
                    else:
                        value = entered[index, t, row - n_input - 1]
                    own += value * moved[index, t, column]
                summed += lowered[index] * own
            total += np.float64(summed)
        partial[chunk, here] = total

    return NodeKernels(differences, accumulate)


_INT64, _FLOAT32, _FLOAT64 = types.int64, types.float32, types.float64
_SIZES, _EACH, _RESULTS = _INT64[:, ::1], _FLOAT32[::1], _FLOAT64[:, ::1]
_DATAPOINTS, _KEPT = _FLOAT32[:, :, :, ::1], _FLOAT32[:, :, ::1]
SIGNATURES = {
    "differences": types.void(
        *(_SIZES, _FLOAT64[:, ::1], _FLOAT32[:, ::1], types.int32[::1], _DATAPOINTS, _DATAPOINTS, _DATAPOINTS),
        *(_KEPT, _KEPT, _EACH, _EACH, _RESULTS, _INT64, _INT64),
    ),
    "accumulate": types.void(_SIZES, _DATAPOINTS, _KEPT, _KEPT, _EACH, _RESULTS, _FLOAT64[:, ::1], _INT64),
}
"""Of the kernels, by their names in NodeKernels; `judge` and `finish` are those of general.py."""


class _NodeTrial(DeviceTrials):
    """A trial of node perturbation on the device, which knows the walk whose sizes and numbers are its own."""

    def __init__(
        self,
        network: Network,
        configuration: NodeConfiguration,
        data: Data,
        *,
        seed: int,
        evaluation_points: int,
        initial: NDArray[np.float64] | None,
        mask: NDArray[np.bool_] | None,
    ) -> None:
        free = network if isinstance(network, FreeNetwork) else network.free_network
        mask = network.mask if isinstance(network, LayeredNetwork) else mask
        if initial is None and isinstance(network, LayeredNetwork):
            initial = network.initial_weights(seed)
        names = ("batch_size", "timesteps", "optimizer", "learning_rate", "momentum", "schedule", "schedule_steps")
        alike = {name: getattr(configuration, name) for name in (*names, "stddev", "sides", "noise")}
        walk = WalkConfiguration(update="normalised", **alike)
        trial = PackTrial(walk, seed, initial)
        super().__init__(free, data, [trial], evaluation_points=evaluation_points, mask=mask)
        self._configurations: Any = [configuration]
        self._activity = configuration.activity
        when = np.full(free.n_to, _ANY, np.int32)
        if isinstance(network, LayeredNetwork):
            for k, (_, columns) in enumerate(network.places):
                when[columns] = k
        self._when = cuda.to_device(when)

    def _training_kernels(self, *, side_by_side: bool) -> Any:
        for name, signature in SIGNATURES.items():
            yield getattr(self._kernels, name), signature
        for name in ("judge", "finish"):
            yield getattr(make_general(self.spec, self._threads), name), general.SIGNATURES[name]

    @property
    def _kernels(self) -> NodeKernels:
        return make_node(self.spec, self._threads, activity=bool(self._activity))

    def _launch_steps(self, trial: int, n_steps: int, results: Any) -> None:
        """Queue the four launches of each step; after a loss that is not finite they do nothing."""
        network, array = self.network, self._scratch.array
        batch_size, timesteps = int(self._sizes[trial, BATCH_SIZE]), int(self._sizes[trial, TIMESTEPS])
        shared, threads = make_general(self.spec, self._threads), self._threads
        blocks, passes = min(batch_size, 8 * gpu().multiprocessors), 3 if self.spec.two_sided else 2
        owner_blocks = -(-network.n_weights // threads)
        chunks = max(1, min(-(-batch_size // WARP), 8 * gpu().multiprocessors // owner_blocks))
        x = array("node x", (batch_size, 1, network.input_rows(timesteps), network.n_input), zeroed=True)
        y = array("node y", (blocks, 1, network.output_rows(timesteps), network.n_output), zeroed=True)
        activations = array("node activations", (blocks, 2, passes, network.n_to))
        entered, moved = (array(name, (batch_size, timesteps, network.n_to)) for name in ("entered", "moved"))
        lowered, losses = array("lowered", (batch_size,)), array("losses", (batch_size,))
        partial = array("partial", (chunks, network.n_weights), np.float64)
        sizes, numbers, state, single, mask = self._trials()
        kept = (x, y, activations, entered, moved, lowered, losses, results, trial, OFFSET)
        added = (sizes, x, entered, moved, lowered, results, partial, trial)
        moving = (sizes, numbers, state, single, mask, results, partial, trial, OFFSET)
        own, others = self._kernels, general.SIGNATURES
        losing = (sizes, numbers, single, self._when, *kept)
        take_steps(
            [
                prepare(own.differences, SIGNATURES["differences"], blocks, threads, losing),
                prepare(shared.judge, others["judge"], 1, JUDGES, (sizes, losses, results, trial, OFFSET)),
                prepare(own.accumulate, SIGNATURES["accumulate"], (owner_blocks, chunks), threads, added),
                prepare(shared.finish, others["finish"], owner_blocks, threads, moving),
            ],
            n_steps,
        )


class CudaNode(CudaWalk):
    """One trial of node perturbation on the whole GPU: float64 master weights, float32 network arithmetic.

    Parameters
    ----------
    network, configuration
        What is trained, free or layered, and how.
    data, seed, evaluation_points, initial, mask
        As for `CudaWalk`; the mask of a free network.
    """

    def __init__(
        self,
        network: Network,
        configuration: NodeConfiguration,
        data: Data,
        *,
        seed: int,
        evaluation_points: int,
        initial: NDArray[np.float64] | None = None,
        mask: NDArray[np.bool_] | None = None,
    ) -> None:
        given: dict[str, Any] = {"seed": seed, "evaluation_points": evaluation_points, "initial": initial}
        self._begin(_NodeTrial(network, configuration, data, mask=mask, **given))

    def _take_steps(self, n_steps: int) -> list[Progress]:
        return self._trials.train_in_turn([0], n_steps)
