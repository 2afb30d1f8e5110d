"""The CUDA kernels on a real GPU: what the simulator cannot show, larger networks and the same bits twice."""

from __future__ import annotations

import os
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from cuda_simulation import CASES, POINTS, Case, configuration_of, mask_of, network_of
from device_noise import lost_near_zero
from drawing import EXAMPLE, draw_many

from freewalk.kernels.cpu.trial import CpuWalk
from freewalk.kernels.cuda.device import why_unusable
from freewalk.kernels.model.network import FreeNetwork
from freewalk.kernels.model.noise import NOISES, unit_perturbations
from freewalk.kernels.model.pack import PackTrial
from freewalk.kernels.model.walk import WalkConfiguration
from freewalk.tasks.registry import TASKS

REASON = why_unusable()
pytestmark = [pytest.mark.gpu, pytest.mark.skipif(REASON is not None, reason=REASON or "")]

EMULATED = "FREEWALK_CUDA_EMULATOR" in os.environ
# the emulator, which takes many seconds for each, runs the others as trials side by side
SHAPES = [4, 45, 126] if EMULATED else [4, 30, 45, 62, 126, 254]
WALK: dict[str, Any] = {"stddev": 0.1, "update": "normalised", "optimizer": "momentum"}


def _batch_size(hidden: int, size: int) -> int:
    """Return a batch's size, smaller where the emulator would need minutes for a large network."""
    return size // 8 if EMULATED and hidden > 45 else size


def _case(hidden: int, **more: Any) -> Case:
    walk = {**WALK, **more, "batch_size": _batch_size(hidden, 500), "timesteps": 4, "learning_rate": 0.05}
    return Case("shifted-sums", {}, hidden, walk, steps=3)


def _cuda_walk(case: Case) -> Any:
    from freewalk.kernels.cuda.walk import CudaWalk

    data = TASKS[case.task].problem(case.parameters).data()
    options: dict[str, Any] = {"seed": case.seed, "evaluation_points": POINTS, "mask": mask_of(case)}
    return CudaWalk(network_of(case), configuration_of(case), data, **options)


def _cpu_walk(case: Case) -> CpuWalk:
    data = TASKS[case.task].problem(case.parameters).data()
    options: dict[str, Any] = {"seed": case.seed, "evaluation_points": POINTS, "mask": mask_of(case)}
    return CpuWalk(network_of(case), configuration_of(case), data, **options)


RUNS_OF = {"xoshiro, two runs in registers": 62, "xoshiro, three runs": 150}
RUNS = [_case(hidden, generator="xoshiro") for hidden in RUNS_OF.values()]


@pytest.mark.parametrize(
    "case", [*CASES.values(), *map(_case, SHAPES), *RUNS], ids=[*CASES, *map(str, SHAPES), *map(str, RUNS_OF)]
)
def test_a_trial_across_the_gpu_moves_as_on_the_cpu(case: Case) -> None:
    gpu, cpu = _cuda_walk(case), _cpu_walk(case)
    before = cpu.weights
    np.testing.assert_array_equal(gpu.weights, before)
    progress, wanted = gpu.train(case.steps), cpu.train(case.steps)
    assert progress.steps == wanted.steps
    assert progress.loss == pytest.approx(wanted.loss, rel=1e-5)
    change = cpu.weights - before
    np.testing.assert_allclose(gpu.weights - before, change, rtol=0, atol=1e-3 * np.abs(change).max())
    np.testing.assert_allclose(gpu.evaluate(), cpu.evaluate(), rtol=0, atol=1e-4)


@pytest.mark.parametrize("hidden", [30, 62, 254])
def test_trials_side_by_side_move_as_on_the_cpu(hidden: int) -> None:
    from freewalk.kernels.cuda.walk import CudaPack

    case = _case(hidden)
    data, network = TASKS[case.task].problem({}).data(), network_of(case)
    sizes = (7, _batch_size(hidden, 300))
    configurations = [replace(configuration_of(case), stddev=s, batch_size=b) for s in (0.05, 0.2) for b in sizes]
    trials = [PackTrial(c, seed) for seed, c in enumerate(configurations)]
    batch = CudaPack(network, data, trials, evaluation_points=POINTS)
    batch.train(3)
    for seed, configuration in enumerate(configurations):
        walk = CpuWalk(network, configuration, data, seed=seed, evaluation_points=POINTS)
        before = walk.weights
        walk.train(3)
        change = walk.weights - before
        found = batch.weights(seed) - before
        np.testing.assert_allclose(found, change, rtol=0, atol=1e-3 * np.abs(change).max())


@pytest.mark.parametrize("hidden", SHAPES)
def test_the_same_bits_twice_and_in_pieces(hidden: int) -> None:
    first, second = _cuda_walk(_case(hidden)), _cuda_walk(_case(hidden))
    first.train(7)
    second.train(3)
    second.train(4)
    np.testing.assert_array_equal(first.weights, second.weights)
    assert first.evaluate() == second.evaluate() == second.evaluate()


@pytest.mark.parametrize("noise", NOISES)
def test_the_device_draws_the_addressed_noise(noise: Any) -> None:
    from freewalk.kernels.cuda.checks import unit_noise_on_device

    network, where = FreeNetwork(3, 2, 200), {"seed": 2**64 - 9, "step": 2**32 - 1}
    datapoints = np.array([0, 1, 12_345, 2**32 - 1])
    found = unit_noise_on_device(network, datapoints=datapoints, noise=noise, **where)  # type: ignore[arg-type]
    wanted = unit_perturbations(network.n_from, network.n_to, datapoints=datapoints, noise=noise, **where)  # type: ignore[arg-type]
    assert found.shape == wanted.shape
    assert (np.abs(found - wanted) <= 3e-6 + lost_near_zero(wanted)).all()


def test_the_normals_are_those_of_the_cpu_bit_for_bit() -> None:
    from freewalk.kernels.cuda.checks import unit_noise_on_device

    found = unit_noise_on_device(EXAMPLE, seed=5, step=2, datapoints=np.arange(64))
    np.testing.assert_array_equal(found, draw_many(EXAMPLE, 4, seed=5, step=2))


@pytest.mark.skipif(EMULATED, reason="a million datapoints take the emulator an hour")
def test_a_step_leaves_no_array_of_batch_times_weights_on_the_device() -> None:
    from freewalk.kernels.cuda.jit import cuda

    configuration = WalkConfiguration(stddev=0.01, batch_size=1_000_000, timesteps=4)
    case = _case(30)
    _cuda_walk(case).train(1)  # the driver gives a first launch its threads' own memory, and keeps it
    walk = _cuda_walk(replace(case, walk={**case.walk, "batch_size": 1_000_000}))
    before = cuda.current_context().get_memory_info().free
    walk.train(1)
    used = before - cuda.current_context().get_memory_info().free
    assert used < 0.01 * configuration.batch_size * network_of(case).n_weights * 4
