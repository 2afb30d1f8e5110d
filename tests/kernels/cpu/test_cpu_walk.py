"""CpuWalk: the update rules, the bits whatever the threads, and where a walk stops."""

from __future__ import annotations

import dataclasses
import math
import threading
import time
from typing import Any

import numba
import numpy as np
import pytest
from numpy.typing import NDArray
from tolerance import assert_close, largest_difference

from freewalk.kernels.cpu.evaluate import evaluate
from freewalk.kernels.cpu.trial import CpuWalk
from freewalk.kernels.cpu.walk import train, train_parallel
from freewalk.kernels.data.task_functions import fill_arrays
from freewalk.kernels.model.layered import LayeredNetwork
from freewalk.kernels.model.noise import Stream, initial_weights, unit_perturbations
from freewalk.kernels.model.walk import Data, Schedule, Sides, WalkConfiguration
from freewalk.kernels.reference import reference
from freewalk.kernels.trainers.reference_walk import ReferenceWalk
from freewalk.tasks.registry import TASKS

SHIFTED_SUMS = TASKS["shifted-sums"].problem({})
XOR = TASKS["xor"].problem({})


@pytest.fixture(scope="module")
def data() -> Data:
    return SHIFTED_SUMS.data()


def _configuration(**changes: Any) -> WalkConfiguration:
    return dataclasses.replace(WalkConfiguration(stddev=0.1, batch_size=100, timesteps=3), **changes)


def _cpu_walk(
    configuration: WalkConfiguration, data: Data, *, hidden: int = 5, threads: int = 1, **options: Any
) -> CpuWalk:
    options = {"seed": 3, "evaluation_points": 50, "threads": threads} | options
    return CpuWalk(SHIFTED_SUMS.network(hidden), configuration, data, **options)


RULES: list[dict[str, Any]] = [
    {"update": "raw"},
    {"update": "normalised", "optimizer": "sgd", "learning_rate": 0.5},
    {"update": "normalised", "optimizer": "momentum", "learning_rate": 0.2, "momentum": 0.8},
    {"update": "normalised", "optimizer": "adam", "learning_rate": 0.05},
]
KINDS: tuple[dict[str, Any], ...] = ({"noise": "gaussian"}, {"noise": "rademacher"}, {"generator": "xoshiro"})


@pytest.mark.parametrize("rule", RULES, ids=["raw", "sgd", "momentum", "adam"])
@pytest.mark.parametrize("schedule", ["constant", "cosine"])
@pytest.mark.parametrize("sides", ["one", "two"])
@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: "".join(*kind.values()))
def test_ten_steps_are_those_of_the_reference(
    data: Data, rule: dict[str, Any], schedule: Schedule, sides: Sides, kind: dict[str, Any]
) -> None:
    """Updates agree to some 1e-6 of their size (float32 losses); Adam divides by small estimates, hence 1e-4."""
    configuration = _configuration(schedule=schedule, schedule_steps=8, sides=sides, **kind, **rule)
    cpu = _cpu_walk(configuration, data)
    judge = ReferenceWalk(cpu.network, configuration, data, seed=3, evaluation_points=50)
    start = judge.weights
    np.testing.assert_array_equal(cpu.weights, start)

    found, wanted = cpu.train(10), judge.train(10)

    moved = largest_difference(judge.weights, start)
    assert_close(cpu.weights, judge.weights, atol=1e-4 * moved, what="weights")
    assert found.steps == wanted.steps == cpu.step == judge.step == 10
    assert found.loss == pytest.approx(wanted.loss, rel=1e-5)


def _draw(data: Data, *, stream: Stream, step: int, n: int, timesteps: int) -> tuple[NDArray[Any], NDArray[Any]]:
    x, y = fill_arrays(
        data.address,
        data.argument,
        seed=3,
        stream=stream,
        step=step,
        n_datapoints=n,
        timesteps=timesteps,
        x_shape=(timesteps, 3),
        y_shape=(1, 2),
    )
    return x.astype(np.float64), y[:, 0].astype(np.float64)


@pytest.mark.parametrize("rule", RULES, ids=["raw", "sgd", "momentum", "adam"])
@pytest.mark.parametrize("schedule", ["constant", "cosine"])
def test_the_judge_takes_the_steps_of_the_textbooks(data: Data, rule: dict[str, Any], schedule: Schedule) -> None:
    """Six steps written out here, each optimiser as a sum over all gradients so far; float64, so 1e-9."""
    configuration = _configuration(schedule=schedule, schedule_steps=4, **rule)
    network, c = SHIFTED_SUMS.network(5), configuration
    walk = ReferenceWalk(network, configuration, data, seed=3, evaluation_points=1)
    weights = initial_weights(network.n_from, network.n_to, 3)
    gradients: list[NDArray[np.float64]] = []
    for t in range(6):
        x, y = _draw(data, stream=Stream.DATA, step=t, n=c.batch_size, timesteps=c.timesteps)
        noise = unit_perturbations(
            network.n_from, network.n_to, seed=3, step=t, datapoints=np.arange(c.batch_size), noise=c.noise
        )
        estimate = reference.gradient_estimate(network, weights, x, y, c.timesteps, noise, c.stddev)
        gradients.append(estimate / c.stddev**2)
        ages = range(t, -1, -1)
        rate = c.learning_rate * ((1 + math.cos(math.pi * min(t, 4) / 4)) / 2 if schedule == "cosine" else 1)
        if c.update == "raw":
            weights = weights - estimate
        elif c.optimizer == "sgd":
            weights = weights - rate * gradients[-1]
        elif c.optimizer == "momentum":
            weights = weights - rate * sum(c.momentum**age * g for age, g in zip(ages, gradients, strict=True))
        else:
            mean = 0.1 * sum(0.9**age * g for age, g in zip(ages, gradients, strict=True)) / (1 - 0.9 ** (t + 1))
            square = 0.001 * sum(0.999**age * g**2 for age, g in zip(ages, gradients, strict=True))
            weights = weights - rate * mean / (np.sqrt(square / (1 - 0.999 ** (t + 1))) + 1e-8)
        walk.train(1)
        np.testing.assert_allclose(walk.weights, weights, rtol=1e-9, atol=1e-12)


LARGE = {"batch_size": 1000, "stddev": 0.05, "timesteps": 4}


def _bits(data: Data, calls: tuple[int, ...] = (30,), threads: int = 1, **changes: Any) -> NDArray[np.float64]:
    walk = _cpu_walk(_configuration(**LARGE, **changes), data, hidden=12, threads=threads)
    for steps in calls:
        assert walk.train(steps).steps == steps
    return walk.weights


@pytest.mark.parametrize(
    "rule", [RULES[0], RULES[2], RULES[3], {"generator": "xoshiro"}], ids=["raw", "momentum", "adam", "xoshiro"]
)
@pytest.mark.parametrize("threads", [2, 3, 64])
def test_the_bits_do_not_depend_on_the_threads(data: Data, rule: dict[str, Any], threads: int) -> None:
    before = numba.get_num_threads()
    np.testing.assert_array_equal(_bits(data, threads=threads, **rule), _bits(data, **rule))
    assert numba.get_num_threads() == before


@pytest.mark.parametrize("rule", RULES, ids=["raw", "sgd", "momentum", "adam"])
@pytest.mark.parametrize("threads", [1, 2])
def test_the_bits_do_not_depend_on_how_steps_are_shared_among_calls(
    data: Data, rule: dict[str, Any], threads: int
) -> None:
    rule = rule | {"schedule": "cosine", "schedule_steps": 25}
    np.testing.assert_array_equal(_bits(data, (7, 1, 22), threads, **rule), _bits(data, (30,), threads, **rule))


def test_the_bits_do_not_depend_on_evaluations(data: Data) -> None:
    walk = _cpu_walk(_configuration(**LARGE), data, hidden=12)
    for _ in range(30):
        walk.train(1)
        walk.evaluate()
    np.testing.assert_array_equal(walk.weights, _bits(data))


def test_threads_may_change_on_the_way(data: Data) -> None:
    walk = _cpu_walk(_configuration(**LARGE), data, hidden=12)
    for threads, steps in ((1, 5), (2, 10), (3, 6), (1, 9)):
        walk.use_threads(threads)
        assert walk.threads == threads
        walk.train(steps)
    np.testing.assert_array_equal(walk.weights, _bits(data))


def test_a_walk_uses_no_more_threads_than_have_work(data: Data) -> None:
    assert _cpu_walk(_configuration(batch_size=20), data, threads=8).threads == 1
    assert _cpu_walk(_configuration(batch_size=129), data, threads=8).threads == 3


def test_two_seeds_and_two_steps_differ(data: Data) -> None:
    walks = [_cpu_walk(_configuration(), data, seed=seed) for seed in (3, 4)]
    starts = [walk.weights for walk in walks]
    assert largest_difference(*starts) > 0.1
    for walk in walks:
        walk.train(1)
    first = [walk.weights - start for walk, start in zip(walks, starts, strict=True)]
    assert largest_difference(*first) > 0.1 * np.abs(first[0]).max()
    before = walks[0].weights
    walks[0].train(1)
    assert largest_difference(walks[0].weights - before, first[0]) > 0.1 * np.abs(first[0]).max()


def test_different_walks_share_the_compiled_kernels(data: Data) -> None:
    mask = np.ones((6 + 5, 2 + 5), dtype=bool)
    for options in ({}, {"mask": mask}, {"threads": 2}, {"seed": 2**64 - 1}):
        walk = _cpu_walk(_configuration(batch_size=200), data, **options)  # type: ignore[arg-type]
        walk.train(1)
        walk.evaluate()
    for dispatcher in (train, train_parallel, evaluate):
        assert len(dispatcher.signatures) == 1, dispatcher


@pytest.mark.parametrize("threads", [1, 2])
def test_a_loss_that_is_not_finite_stops_the_walk(data: Data, threads: int) -> None:
    """A learning rate of 1e306 makes weights infinite in float32; inf - inf is NaN in the next forward pass."""
    rule = {"update": "normalised", "learning_rate": 1e306, "batch_size": 200}
    walk = _cpu_walk(_configuration(**rule), data, threads=threads)
    progress = walk.train(50)
    assert not math.isfinite(progress.loss)
    assert 1 < progress.steps < 50
    assert walk.step == progress.steps
    weights = walk.weights
    again = walk.train(10)
    assert again.steps == 1
    assert not math.isfinite(again.loss)
    np.testing.assert_array_equal(walk.weights, weights)
    assert not math.isfinite(walk.evaluate().loss)


def test_the_reference_stops_too(data: Data) -> None:
    walk = ReferenceWalk(SHIFTED_SUMS.network(5), _configuration(), data, seed=3, evaluation_points=5)
    assert walk.train(2).steps == 2
    walk._weights[:] = np.inf  # inf - inf, where inputs have both signs
    with np.errstate(all="ignore"):
        progress = walk.train(50)
    assert not math.isfinite(progress.loss)
    assert progress.steps == 1
    assert walk.step == 3
    assert (walk.weights == np.inf).all()


def test_no_steps_are_no_loss(data: Data) -> None:
    walk = _cpu_walk(_configuration(), data)
    progress = walk.train(0)
    assert progress.steps == walk.step == 0
    assert math.isnan(progress.loss)


def test_zero_stddev_moves_nothing(data: Data) -> None:
    walk = _cpu_walk(_configuration(stddev=0.0), data)
    start = walk.weights
    assert walk.train(5).steps == 5
    np.testing.assert_array_equal(walk.weights, start)


@pytest.mark.parametrize("rule", RULES, ids=["raw", "sgd", "momentum", "adam"])
@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: "".join(*kind.values()))
def test_masked_weights_stay_zero(data: Data, rule: dict[str, Any], kind: dict[str, Any]) -> None:
    network = SHIFTED_SUMS.network(5)
    mask = np.random.default_rng(0).random((network.n_from, network.n_to)) < 0.6
    configuration = _configuration(**kind, **rule)
    walk = _cpu_walk(configuration, data, mask=mask)
    judge = ReferenceWalk(network, configuration, data, seed=3, evaluation_points=50, mask=mask)
    start = walk.weights
    walk.train(10)
    judge.train(10)
    assert (start[~mask] == 0).all()
    assert (walk.weights[~mask] == 0).all()
    assert (walk.weights[mask] != start[mask]).any()
    moved = largest_difference(judge.weights, start)
    assert_close(walk.weights, judge.weights, atol=1e-4 * moved)


def test_a_layered_network_is_a_mask(data: Data) -> None:
    """Inputs reach hidden neurons, these the outputs, and nothing else: two timesteps are a two-layer perceptron."""
    network = SHIFTED_SUMS.network(4)
    mask = np.zeros((network.n_from, network.n_to), dtype=bool)
    mask[:4, 2:] = mask[3, :2] = mask[6:, :2] = True
    walk = _cpu_walk(_configuration(timesteps=2), data, hidden=4, mask=mask)
    w = walk.weights
    x, y = _draw(data, stream=Stream.EVALUATION_DATA, step=0, n=50, timesteps=2)

    def sigmoid(z: NDArray[np.float64]) -> NDArray[np.float64]:
        return 1 / (1 + np.exp(-z))

    outputs = sigmoid(sigmoid(x[:, 0] @ w[:3, 2:] + w[3, 2:]) @ w[6:, :2] + w[3, :2])
    assert walk.evaluate().loss == pytest.approx(((outputs - y) ** 2).sum(axis=1).mean(), rel=1e-6)


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: "".join(*kind.values()))
def test_layers_draw_the_rows_that_they_have(kind: dict[str, Any]) -> None:
    """Layers begin in the middle of a block of signs and of a run of normals, and reach beyond both."""
    layered, data = LayeredNetwork((2, 9, 150, 70, 1)), TASKS["xor"].problem({}).data()
    network, mask = layered.free_network, layered.mask
    configuration = _configuration(batch_size=20, timesteps=4, **kind)
    options: dict[str, Any] = {"seed": 3, "evaluation_points": 50, "mask": mask}
    walk, judge = (made(network, configuration, data, **options) for made in (CpuWalk, ReferenceWalk))
    start = judge.weights
    walk.train(2)
    judge.train(2)
    assert_close(walk.weights, judge.weights, atol=1e-4 * largest_difference(judge.weights, start))


@pytest.mark.parametrize(
    ("task", "points", "hidden"), [("shifted-sums", 50, 5), ("xor", 4, 3), ("addition", 33, 6), ("parity", 8, 2)]
)
def test_evaluations_are_those_of_the_reference(task: str, points: int, hidden: int) -> None:
    """Shares of right answers are exact: no output lies within float32 rounding of 1/2."""
    problem = TASKS[task].problem({})
    timesteps = problem.default_timesteps
    configuration = _configuration(timesteps=timesteps)
    options: dict[str, Any] = {"seed": 6, "evaluation_points": points}
    walk = CpuWalk(problem.network(hidden), configuration, problem.data(), **options)
    judge = ReferenceWalk(problem.network(hidden), configuration, problem.data(), **options)
    found, wanted = walk.evaluate(), judge.evaluate()
    assert found.bit_accuracy == wanted.bit_accuracy
    assert found.row_accuracy == wanted.row_accuracy
    for name in ("loss", "max_error", "output_spread"):
        assert getattr(found, name) == pytest.approx(getattr(wanted, name), abs=1e-6), name
    assert walk.evaluate() == found


def test_a_collapsed_network_shows_no_spread() -> None:
    """Without weights every input gives 1/2, on nobody's side: the error is 1/2 and rows with target 0 are right."""
    network = XOR.network(2)
    mask = np.zeros((network.n_from, network.n_to), dtype=bool)
    walk = CpuWalk(network, _configuration(), XOR.data(), seed=0, evaluation_points=4, mask=mask)
    measured = walk.evaluate()
    assert measured.output_spread == 0
    assert measured.max_error == 0.5
    assert measured.loss == 0.25
    assert measured.bit_accuracy == measured.row_accuracy == 0.5


def test_a_nan_output_is_the_largest_error() -> None:
    """Infinite weights from both inputs of XOR: NaN for the rows 00, 01 and 10 (0 * inf), a number for the row 11."""
    network = XOR.network(0)
    walk = CpuWalk(network, _configuration(timesteps=1), XOR.data(), seed=0, evaluation_points=4)
    walk._weights.master[:2] = np.inf
    measured = walk.evaluate()
    assert math.isnan(measured.loss)
    assert math.isnan(measured.max_error)


def test_a_stop_leaves_the_weights_of_the_last_whole_step() -> None:
    """A step that is cut short moves nothing and does not count; asked from another thread, as an engine does."""
    configuration = _configuration(batch_size=400_000_000, timesteps=1)
    network = XOR.network(4)
    walk = CpuWalk(network, configuration, XOR.data(), seed=0, evaluation_points=4)
    before = walk.weights
    timer = threading.Timer(0.2, walk.request_stop)
    timer.start()
    start = time.perf_counter()
    progress = walk.train(5)
    seconds = time.perf_counter() - start
    timer.join()
    assert seconds < 6, "a step of this batch takes half a minute"
    assert progress.steps == walk.step == 0
    assert np.array_equal(walk.weights, before)


@pytest.mark.parametrize("threads", [1, 2])
def test_a_stop_asked_for_before_training(threads: int) -> None:
    walk = CpuWalk(XOR.network(4), _configuration(batch_size=256, timesteps=2), XOR.data(), seed=0, evaluation_points=4)
    walk.train(3)
    walk.request_stop()
    walk.use_threads(threads)
    assert walk.train(5).steps == 0
    assert walk.step == 3
