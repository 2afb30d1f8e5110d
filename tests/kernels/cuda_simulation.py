"""Run walks in Numba's CUDA simulator and write down what came out; a program of its own.

The simulator takes the place of the compiler in a whole process, so tests/kernels/cuda/test_cuda_simulation.py starts
this file, and compares what it wrote with the other backends in a process where those are compiled.

usage: cuda_simulation.py OUT.npz
"""

from __future__ import annotations

import importlib.util
import sys
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any
from unittest import mock

import numpy as np

from freewalk.kernels.model.network import FreeNetwork
from freewalk.kernels.model.noise import Kind
from freewalk.kernels.model.walk import Data, WalkConfiguration
from freewalk.tasks.registry import TASKS

POINTS = 9


@dataclass(frozen=True)
class Case:
    """One trial on a tiny network."""

    task: str
    parameters: dict[str, Any]
    hidden: int
    walk: dict[str, Any]
    network: dict[str, Any] = field(default_factory=dict)
    seed: int = 7
    masked: bool = False
    steps: int = 2


RAW = {"stddev": 0.3, "batch_size": 5}
NORMALISED = {"stddev": 0.1, "batch_size": 4, "update": "normalised", "learning_rate": 0.2}
CASES: dict[str, Case] = {
    "default": Case("shifted-sums", {}, 2, {**RAW, "timesteps": 3}),
    "no hidden neuron": Case("and", {}, 0, {**RAW, "timesteps": 2}),
    "rademacher, two sides": Case("xor", {}, 2, {**RAW, "timesteps": 2, "noise": "rademacher", "sides": "two"}),
    "xoshiro": Case("xor", {}, 2, {**RAW, "timesteps": 2, "generator": "xoshiro"}),
    "sequence output": Case("addition", {"bits": 2}, 2, {**RAW, "timesteps": 3}),
    "one timestep, softmax": Case(
        "addition", {"bits": 3, "form": "static"}, 1, {**RAW, "timesteps": 1}, {"softmax": True}
    ),
    "cross entropy of logits": Case(
        "shifted-sums",
        {},
        1,
        {**RAW, "timesteps": 2},
        {"softmax": True, "loss": "categorical_crossentropy", "output_activation": "linear"},
    ),
    "relu, a leak, linear outputs": Case(
        "xor", {}, 3, {**RAW, "timesteps": 4}, {"hidden_activation": "relu", "leak": 0.3, "output_activation": "linear"}
    ),
    "tangent": Case("addition", {"bits": 2}, 3, {**NORMALISED, "timesteps": 3, "tangent": "exact"}, {"leak": 0.6}),
    "mask, tanh": Case("xor", {}, 3, {**RAW, "timesteps": 2}, {"hidden_activation": "tanh"}, masked=True),
    "sgd": Case("xor", {}, 2, {**NORMALISED, "timesteps": 2}, seed=2**64 - 3),
    "momentum": Case("xor", {}, 2, {**NORMALISED, "timesteps": 2, "optimizer": "momentum"}, steps=3),
    "adam, cosine": Case(
        "xor", {}, 2, {**NORMALISED, "timesteps": 2, "optimizer": "adam", "schedule": "cosine", "schedule_steps": 4}
    ),
    "more datapoints than a round": Case("and", {}, 0, {"stddev": 0.3, "batch_size": 70, "timesteps": 1}, steps=1),
    "two warps": Case("and", {}, 33, {"stddev": 0.1, "batch_size": 1, "timesteps": 2}, steps=1),
    "windows of a text": Case("characters", {}, 0, {**RAW, "timesteps": 2}),
}
if importlib.util.find_spec("sklearn") is not None:
    CASES["rows of a table"] = Case("digits", {}, 0, {**RAW, "timesteps": 1}, steps=1)
FAMILY: dict[str, Case] = {
    "rank 1": Case("xor", {}, 3, {**NORMALISED, "timesteps": 2, "rank": 1, "optimizer": "adam"}),
    "rank 2, signs, two sides, shared data": Case(
        "shifted-sums",
        {},
        2,
        {**NORMALISED, "rank": 2, "noise": "rademacher", "sides": "two", "datapoints": 2, "share_data": True}
        | {"timesteps": 3, "batch_size": 18, "shaping": "ranks"},
    ),
    "rank 1, mask, std": Case(
        "xor",
        {},
        3,
        {**NORMALISED, "timesteps": 2, "rank": 1, "shaping": "std", "share_data": True, "batch_size": 5},
        masked=True,
    ),
    "3 datapoints": Case("addition", {"bits": 2}, 2, {**RAW, "timesteps": 2, "datapoints": 3, "batch_size": 15}),
    "orthogonal, mask": Case(
        "xor", {}, 3, {**NORMALISED, "timesteps": 2, "directions": "orthogonal", "batch_size": 20}, masked=True
    ),
}
"""Trials whose perturbations are not plain; they have ways of their own."""
WAYS = ("side by side", "across the GPU", "in turn")
ACROSS = ("default", "no hidden neuron", "momentum", "more datapoints than a round", "mask, tanh")
BATCH = (
    {"stddev": 0.3, "batch_size": 5, "timesteps": 3},
    {"stddev": 0.1, "batch_size": 3, "timesteps": 1, "update": "normalised"},
    {"stddev": 0.2, "batch_size": 9, "timesteps": 2, "update": "normalised", "optimizer": "adam"},
)
"""Trials that share launches: the second is dropped after its first step, the third starts with a NaN."""
RESUMED = ("no hidden neuron", "momentum", "adam, cosine")
"""Cases that are also stored after their first step and go on in a batch of two, in turn and across the GPU."""
NOISE_AT = {"seed": 2**63 + 5, "step": 2**31 + 3}
NOISE_OF = np.array([0, 7, 2**32 - 1])
NOISES_DRAWN: tuple[tuple[Kind, int], ...] = (
    ("gaussian", 4),
    ("rademacher", 4),
    ("rademacher", 150),
    ("gaussian-xoshiro", 4),
    ("gaussian-xoshiro", 150),
)
"""Kinds of noise and hidden neurons."""


def network_of(case: Case) -> FreeNetwork:
    """Return the case's network."""
    problem = TASKS[case.task].problem(case.parameters)
    return FreeNetwork(
        problem.n_input,
        problem.n_output,
        case.hidden,
        **{"sequence_input": problem.sequence_input, "sequence_output": problem.sequence_output, **case.network},
    )


def uncompiled_data_of(case: Case) -> Data:
    """Return the task's data with its plain function alone: the simulator compiles nothing."""
    problem = TASKS[case.task].problem(case.parameters)
    if problem.load_stored is None:
        return Data(0, problem.argument, problem.datapoint)
    stored = problem.load_stored()
    return Data(0, stored.address, problem.datapoint, stored.memory)


def mask_of(case: Case) -> Any:
    """Return every third weight masked, or None."""
    network = network_of(case)
    return np.arange(network.n_weights).reshape(network.n_from, network.n_to) % 3 > 0 if case.masked else None


def configuration_of(case: Case) -> WalkConfiguration:
    """Return the case's configuration."""
    return WalkConfiguration(**case.walk)


class _FirstComes(dict[Any, Any]):
    """The simulator's shared arrays of a block: between looking for one and adding it, no other thread may look."""

    def __init__(self) -> None:
        super().__init__()
        self._adding = threading.Lock()

    def get(self, key: Any, default: Any = None) -> Any:
        self._adding.acquire()
        if key in self:
            self._adding.release()
            return self[key]
        return default

    def __setitem__(self, key: Any, value: Any) -> None:
        super().__setitem__(key, value)
        self._adding.release()


def _share_each_array_once() -> None:
    """Keep two threads of a block from making the same shared array twice, which the simulator lets happen."""
    from freewalk.kernels.cuda.jit import cuda

    shared = cuda.simulator.kernelapi.FakeCUDAShared
    begin = shared.__init__

    def begin_with_lock(self: Any, size: int) -> None:
        begin(self, size)
        self._allocations = _FirstComes()

    shared.__init__ = begin_with_lock


def _simulate(name: str, way: str, out: dict[str, Any]) -> None:
    from freewalk.kernels.cuda.trials import DeviceTrials
    from freewalk.kernels.model.pack import PackTrial

    case = CASES[name]
    data = uncompiled_data_of(case)
    trial = PackTrial(configuration_of(case), case.seed)
    trials = DeviceTrials(network_of(case), data, [trial], evaluation_points=POINTS, mask=mask_of(case))
    progress = _train(trials, way, case.steps)
    out[f"{name}/{way}/weights"] = trials.weights(0)
    out[f"{name}/{way}/progress"] = np.array(progress[0])
    if way == "side by side":
        out[f"{name}/evaluation"] = np.array(trials.evaluate([0])[0])


def _simulate_family(name: str, out: dict[str, Any]) -> None:
    """The second of two trials that share launches."""
    from freewalk.kernels.cuda.walk import CudaPack
    from freewalk.kernels.model.pack import PackTrial

    case = FAMILY[name]
    configuration = configuration_of(case)
    other = replace(configuration, batch_size=2 * configuration.datapoints, timesteps=1)
    trials = [PackTrial(other, case.seed + 1), PackTrial(configuration, case.seed)]
    pack = CudaPack(network_of(case), uncompiled_data_of(case), trials, evaluation_points=POINTS, mask=mask_of(case))
    out[f"family/{name}/progress"] = np.array(pack.train(case.steps)[1])
    out[f"family/{name}/weights"] = pack.weights(1)
    out[f"family/{name}/evaluation"] = np.array(pack.evaluate([1])[0])


def _simulate_batch(out: dict[str, Any]) -> None:
    from freewalk.kernels.cuda.walk import CudaPack
    from freewalk.kernels.model.pack import PackTrial

    case = CASES["default"]
    network = network_of(case)
    broken = np.full((network.n_from, network.n_to), 0.1)
    broken[0, 0] = np.nan
    trials = [PackTrial(WalkConfiguration(**walk), seed) for seed, walk in enumerate(BATCH)]
    trials[2] = PackTrial(trials[2].configuration, 2, broken)
    batch = CudaPack(network, uncompiled_data_of(case), trials, evaluation_points=POINTS)
    first = batch.train(1)
    batch.drop(1)
    second = batch.train(2)
    out["batch/first"], out["batch/second"] = np.array(first), np.array(second)
    out["batch/active"], out["batch/steps"] = np.array(batch.active), batch.steps
    out["batch/evaluations"] = np.array(batch.evaluate())
    for k in range(len(trials)):
        out[f"batch/weights {k}"] = batch.weights(k)


def _simulate_resumed(name: str, out: dict[str, Any]) -> None:
    """Two steps without a pause, and the same two with the state stored between them."""
    from freewalk.kernels.cuda.trials import DeviceTrials
    from freewalk.kernels.cuda.walk import CudaPack, CudaWalk
    from freewalk.kernels.model.pack import PackTrial

    case = CASES[name]
    data, network, configuration = uncompiled_data_of(case), network_of(case), configuration_of(case)
    options: dict[str, Any] = {"evaluation_points": POINTS, "mask": mask_of(case)}
    trial, other = PackTrial(configuration, case.seed), PackTrial(configuration, case.seed + 1)

    def keep(way: str, trainer: Any, whole: Any) -> None:
        for key, array in trainer.items():
            out[f"resumed/{name}/{way}/{key}"] = array
            out[f"whole/{name}/{way}/{key}"] = whole[key]

    whole, before = (CudaPack(network, data, [other, trial], **options) for _ in range(2))
    whole.train(2)
    before.train(1)
    alone = CudaPack(network, data, [PackTrial(configuration, case.seed, state=before.state(1))], **options)
    alone.train(1)
    keep("side by side", alone.state(0), whole.state(1))
    out[f"resumed/{name}/places"] = np.array(whole.evaluate([1]))
    out[f"whole/{name}/places"] = np.array(alone.evaluate([0]))

    walks = [CudaWalk(network, configuration, data, seed=case.seed, **options) for _ in range(3)]
    walks[0].train(2)
    walks[1].train(1)
    walks[2].train(2)
    walks[2].restore(walks[1].state())
    walks[2].train(1)
    assert walks[2].step == 2
    keep("across the GPU", walks[2].state(), walks[0].state())

    in_turn = [DeviceTrials(network, data, [trial], **options) for _ in range(2)]
    in_turn[0].train_in_turn([0], 1)
    in_turn[1].restore(0, in_turn[0].state(0))
    for trials in in_turn:
        trials.train_in_turn([0], 1)
    keep("in turn", in_turn[1].state(0), in_turn[0].state(0))


def _simulate_stop(out: dict[str, Any]) -> None:
    """A batch that was asked to stop takes no more steps, and says what does not fit a trial's state."""
    from freewalk.kernels.cuda.walk import CudaPack
    from freewalk.kernels.model.pack import PackTrial

    case = CASES["momentum"]
    data, network, configuration = uncompiled_data_of(case), network_of(case), configuration_of(case)
    batch = CudaPack(network, data, [PackTrial(configuration, 0)], evaluation_points=POINTS)
    batch.train(1)
    batch.request_stop()
    out["stop/progress"], out["stop/steps"] = np.array(batch.train(2)), batch.steps
    adam = PackTrial(configuration_of(CASES["adam, cosine"]), 0, state=batch.state(0))
    try:
        CudaPack(network, data, [adam], evaluation_points=POINTS)
    except ValueError as error:
        out["stop/refused"] = np.array(str(error))


def _simulate_nan(out: dict[str, Any]) -> None:
    """Every way must stop after the step that met the NaN, and move nothing."""
    from freewalk.kernels.cuda.trials import DeviceTrials
    from freewalk.kernels.model.pack import PackTrial

    case = CASES["default"]
    network = network_of(case)
    broken = np.full((network.n_from, network.n_to), 0.1)
    broken[0, 0] = np.nan
    for way in WAYS:
        trial = PackTrial(configuration_of(case), 0, broken)
        trials = DeviceTrials(network, uncompiled_data_of(case), [trial], evaluation_points=POINTS)
        out[f"nan/{way}/progress"] = np.array(_train(trials, way, 3)[0])
        out[f"nan/{way}/weights"] = trials.weights(0)
        out[f"nan/{way}/evaluation"] = np.array(trials.evaluate([0])[0])


def _simulate_scratch(out: dict[str, Any]) -> None:
    """Note what is allocated while shapes alternate: batch sizes, trials measured, training and evaluation."""
    from freewalk.kernels.cuda.jit import cuda
    from freewalk.kernels.cuda.trials import DeviceTrials
    from freewalk.kernels.model.pack import PackTrial

    case = CASES["no hidden neuron"]
    data = uncompiled_data_of(case)
    for way in WAYS:
        trials = [
            PackTrial(WalkConfiguration(stddev=0.3, batch_size=size, timesteps=1), size)
            for size in ((3,) if way == "across the GPU" else (3, 1))
        ]
        made = DeviceTrials(network_of(case), data, trials, evaluation_points=2)
        places = range(len(trials))
        with mock.patch.object(cuda, "device_array", wraps=cuda.device_array) as allocate:
            for when in ("first", "later"):
                allocate.reset_mock()
                _train(made, way, 1, places)
                made.evaluate(places)
                made.evaluate(places[:1])
                out[f"allocations/{way}/{when}"] = np.array(allocate.call_count)


def _train(trials: Any, way: str, n_steps: int, places: Sequence[int] = (0,)) -> Any:
    if way == "side by side":
        return trials.train_side_by_side(places, n_steps)
    return trials.train_across_the_gpu(n_steps) if way == "across the GPU" else trials.train_in_turn(places, n_steps)


def _simulate_noise(out: dict[str, Any]) -> None:
    from freewalk.kernels.cuda.checks import unit_noise_on_device

    for noise, hidden in NOISES_DRAWN:
        network = FreeNetwork(3, 1, hidden)
        out[f"noise/{noise}/{hidden}"] = unit_noise_on_device(network, datapoints=NOISE_OF, noise=noise, **NOISE_AT)  # type: ignore[arg-type]


def main(path: str) -> None:
    """Simulate every case in every way."""
    sys.setswitchinterval(5e-4)  # the simulator polls its threads, and would do so for most of the time
    _share_each_array_once()
    out: dict[str, Any] = {}
    for name in CASES:
        for way in WAYS:
            left_out = (way == "across the GPU" and name not in ACROSS) or (way == "in turn" and name == "two warps")
            if not left_out:
                _simulate(name, way, out)
    for name in FAMILY:
        _simulate_family(name, out)
    _simulate_batch(out)
    for name in RESUMED:
        _simulate_resumed(name, out)
    _simulate_stop(out)
    _simulate_nan(out)
    _simulate_noise(out)
    _simulate_scratch(out)
    np.savez(path, **out)


if __name__ == "__main__":
    main(sys.argv[1])
