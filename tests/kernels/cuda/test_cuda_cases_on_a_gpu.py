"""The CUDA kernels on a real GPU, at sizes that no simulator takes: noise, trials of every kind, batches, learning."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from device_noise import ADDRESSES, HIDDEN, NORMAL_TOLERANCE, datapoints_from, noise_error

from freewalk.kernels.cpu.trial import CpuWalk
from freewalk.kernels.cuda.device import why_unusable
from freewalk.kernels.data.task_functions import compiled_fill, data_words, uniform
from freewalk.kernels.model.network import FreeNetwork
from freewalk.kernels.model.noise import NOISES
from freewalk.kernels.model.pack import PackTrial
from freewalk.kernels.model.walk import Data, Evaluation, WalkConfiguration
from freewalk.kernels.trainers.reference_walk import ReferenceWalk
from freewalk.results.ending.convergence import Convergence
from freewalk.tasks.registry import TASKS

REASON = why_unusable()
pytestmark = [pytest.mark.gpu, pytest.mark.skipif(REASON is not None, reason=REASON or "")]

POINTS = 500
_ONE, _TWO = np.float32(1.0), np.float32(2.0)
_FIRST_TARGET_BLOCK = 1 << 20
BASE = WalkConfiguration(stddev=0.1, batch_size=200, timesteps=4)
MOMENTUM = replace(BASE, update="normalised", optimizer="momentum", learning_rate=0.3)
SIGNS = replace(MOMENTUM, sides="two", noise="rademacher")
STATIC = FreeNetwork(4, 3, 9, softmax=True, loss="categorical_crossentropy")
SEQUENCES = replace(STATIC, sequence_input=True, sequence_output=True, n_hidden=17, hidden_activation="tanh")
EXAMPLE = TASKS["shifted-sums"].problem({})


def random_datapoint(
    seed: int, stream: int, step: int, index: int, timesteps: int, argument: int, x: Any, y: Any
) -> None:
    """Write inputs in [-1, 1) and targets in [0, 1), of whatever shape the network has."""
    for row in range(x.shape[0]):
        for column in range(x.shape[1]):
            words = data_words(seed, stream, step, index, row * x.shape[1] + column)
            x[row, column] = _TWO * uniform(words[0]) - _ONE
    for row in range(y.shape[0]):
        for column in range(y.shape[1]):
            words = data_words(seed, stream, step, index, _FIRST_TARGET_BLOCK + row * y.shape[1] + column)
            y[row, column] = uniform(words[0])


@pytest.mark.parametrize("noise", NOISES)
@pytest.mark.parametrize("hidden", HIDDEN)
@pytest.mark.parametrize("address", ADDRESSES)
def test_the_device_draws_the_addressed_noise(address: tuple[int, int, int], hidden: int, noise: str) -> None:
    seed, step, first = address
    error = noise_error(FreeNetwork(3, 2, hidden), seed, step, datapoints_from(first), noise)
    assert error <= (0 if noise == "rademacher" else NORMAL_TOLERANCE)


def test_a_million_normals_are_right_and_normal() -> None:
    """Some from far out, where a logarithm near 0 or 1 is hardest."""
    from freewalk.kernels.cuda.checks import unit_noise_on_device

    network = FreeNetwork(3, 2, 30)
    points = np.arange(1_000_000 // network.n_weights + 1, dtype=np.uint64)
    assert noise_error(network, 7, 3, points, "gaussian") <= NORMAL_TOLERANCE
    z = np.asarray(unit_noise_on_device(network, seed=7, step=3, datapoints=points), np.float64)
    assert abs(z.mean()) < 5e-3
    assert abs(z.var() - 1) < 7e-3
    assert abs((z**4).mean() / 3 - 1) < 2e-2
    assert 4.5 < np.abs(z).max() < 6.7


def case(
    configuration: WalkConfiguration, hidden: int = 30, task: str = "shifted-sums", steps: int = 4, **more: Any
) -> Any:
    """Return a trial of a task, or of a network of its own with random data; judged by the reference if it is small."""
    return configuration, hidden, task, steps, more


CASES = {
    "raw": case(BASE),
    "momentum, cosine": case(replace(MOMENTUM, schedule="cosine", schedule_steps=3)),
    "sgd": case(replace(MOMENTUM, optimizer="sgd")),
    "adam": case(replace(MOMENTUM, optimizer="adam", learning_rate=0.01), tolerance=0.05),
    "B 1": case(replace(BASE, batch_size=1)),
    "B 1,000": case(replace(BASE, batch_size=1000)),
    "B 100,003": case(replace(BASE, batch_size=100_003), steps=2, judge=CpuWalk),
    "T 100": case(replace(BASE, timesteps=100)),
    "two-sided, Rademacher": case(SIGNS),
    "mask": case(MOMENTUM, masked=True),
    "xoshiro": case(replace(MOMENTUM, generator="xoshiro")),
    "xoshiro, hidden 63, mask": case(replace(BASE, generator="xoshiro"), 63, masked=True),
    "xoshiro, hidden 150": case(replace(BASE, generator="xoshiro", sides="two", batch_size=60), 150, judge=CpuWalk),
    "hidden 254": case(replace(BASE, batch_size=60), 254, judge=CpuWalk),
    "xor, static": case(replace(MOMENTUM, timesteps=3), task="xor"),
    "softmax, cross-entropy, static": case(BASE, network=STATIC),
    "softmax, cross-entropy, tanh, sequences": case(SIGNS, network=SEQUENCES),
    "all of that, hidden 70, mask": case(
        replace(SIGNS, batch_size=60), network=replace(SEQUENCES, n_hidden=70), masked=True
    ),
    "hidden 62": case(BASE, 62, judge=CpuWalk),
    "hidden 63": case(BASE, 63, judge=CpuWalk),
    "hidden 1,024": case(replace(BASE, batch_size=40), 1024, steps=2, judge=CpuWalk),
    "no hidden neuron, T 1": case(replace(BASE, timesteps=1), network=FreeNetwork(5, 3, 0)),
    "hidden 4, two-sided": case(replace(BASE, sides="two"), 4),
    "parity, a sequence": case(replace(MOMENTUM, timesteps=6), task="parity", parameters={"form": "sequence"}),
    "addition, sequences": case(
        replace(MOMENTUM, timesteps=6), task="addition", parameters={"form": "sequence", "bits": 4}
    ),
    "rank 1, B 3,000, ranks": case(replace(MOMENTUM, rank=1, batch_size=3000, shaping="ranks"), tolerance=1e-3),
    "rank 1, signs, T 100": case(replace(MOMENTUM, rank=1, noise="rademacher", timesteps=100)),
    "rank 1, two sides, hidden 254": case(replace(SIGNS, rank=1, batch_size=60), 254),
    "rank 3, hidden 1,024": case(replace(MOMENTUM, rank=3, batch_size=20), 1024, steps=2),
    "8 datapoints, hidden 254": case(replace(MOMENTUM, datapoints=8, batch_size=160), 254),
    "a perturbation a step, two sides": case(replace(SIGNS, datapoints=2000, batch_size=2000)),
    "orthogonal, shared data, std": case(
        replace(MOMENTUM, directions="orthogonal", share_data=True, datapoints=5, batch_size=1500, shaping="std")
    ),
    "orthogonal, rank 2, mask": case(replace(MOMENTUM, directions="orthogonal", rank=2, batch_size=900), masked=True),
}
"""Between them they reach every branch of the kernels."""


def relative(found: Any, wanted: Any) -> float:
    return float(np.linalg.norm(found - wanted) / np.linalg.norm(wanted))


def assert_measured_alike(found: Evaluation, wanted: Evaluation, tolerance: float) -> None:
    """Shares may differ by two datapoints, whose outputs lie near 1/2; the spread of near outputs has few digits."""
    for name in ("loss", "max_error", "output_spread"):
        a, b = getattr(found, name), getattr(wanted, name)
        assert abs(a - b) <= tolerance * max(abs(b), 1e-2), name
    for name in ("bit_accuracy", "row_accuracy"):
        assert abs(getattr(found, name) - getattr(wanted, name)) <= 2 / POINTS, name


@pytest.mark.parametrize(("configuration", "hidden", "task", "steps", "more"), CASES.values(), ids=CASES)
def test_a_trial_is_the_reference_s(
    configuration: WalkConfiguration, hidden: int, task: str, steps: int, more: dict[str, Any]
) -> None:
    from freewalk.kernels.cuda.walk import CudaWalk

    problem, own, tolerance = (
        TASKS[task].problem(more.get("parameters", {})),
        more.get("network"),
        more.get("tolerance", 1e-4),
    )
    network, data = own or problem.network(hidden), problem.data()
    if own is not None:
        data = Data(int(compiled_fill(random_datapoint).address), 0, random_datapoint)
    mask = np.random.default_rng(5).random((network.n_from, network.n_to)) < 0.6 if "masked" in more else None
    options: dict[str, Any] = {"seed": 3, "evaluation_points": POINTS, "mask": mask}
    device = CudaWalk(network, configuration, data, **options)
    judge = more.get("judge", ReferenceWalk)(network, configuration, data, **options)
    start = judge.weights
    np.testing.assert_array_equal(device.weights, start)
    found, wanted = device.train(steps), judge.train(steps)
    assert found.steps == steps
    assert relative(device.weights - start, judge.weights - start) <= tolerance
    assert found.loss == pytest.approx(wanted.loss, rel=tolerance)
    assert_measured_alike(device.evaluate(), judge.evaluate(), tolerance)


TOGETHER = {
    # trials of one batch agree in noise and sides, and in nothing else
    "gaussian": (
        PackTrial(BASE, 0),
        PackTrial(replace(BASE, stddev=0.05, batch_size=77, timesteps=2), 1),
        PackTrial(replace(MOMENTUM, batch_size=1000), 2**40 + 7),
        PackTrial(replace(MOMENTUM, timesteps=7), 3),
        PackTrial(replace(MOMENTUM, optimizer="sgd", schedule="cosine", schedule_steps=3), 4),
    ),
    "rademacher": (
        PackTrial(SIGNS, 0),
        PackTrial(replace(SIGNS, batch_size=333, timesteps=3, update="raw"), 2**64 - 1),
    ),
}


def batch_of(*trials: PackTrial) -> Any:
    from freewalk.kernels.cuda.walk import CudaPack

    return CudaPack(EXAMPLE.network(30), EXAMPLE.data(), list(trials), evaluation_points=POINTS)


@pytest.mark.parametrize("kind", TOGETHER)
def test_trials_of_a_batch_are_the_cpu_s_and_the_same_alone_and_again(kind: str) -> None:
    trials = TOGETHER[kind]
    batch, again = batch_of(*trials), batch_of(*trials)
    progress, _ = batch.train(5), again.train(5)
    evaluations = batch.evaluate()
    for k, trial in enumerate(trials):
        network, data = EXAMPLE.network(30), EXAMPLE.data()
        walk = CpuWalk(network, trial.configuration, data, seed=trial.seed, evaluation_points=POINTS)
        start = walk.weights
        made = walk.train(5)
        assert relative(batch.weights(k) - start, walk.weights - start) <= 1e-4
        assert progress[k].loss == pytest.approx(made.loss, rel=1e-4)
        assert_measured_alike(evaluations[k], walk.evaluate(), 1e-4)
        alone = batch_of(trial)
        alone.train(5)
        np.testing.assert_array_equal(alone.weights(0), batch.weights(k))
        np.testing.assert_array_equal(again.weights(k), batch.weights(k))


LEARNING = replace(MOMENTUM, batch_size=256)
STEPS_OF_AN_EPOCH, EPOCHS, SEEDS = 5, 40, range(3)


@pytest.mark.parametrize(
    ("task", "configuration"),
    [
        ("shifted-sums", replace(LEARNING, stddev=0.01, batch_size=1000)),
        ("xor", LEARNING),
        ("xor", replace(LEARNING, timesteps=1)),
        ("xor", replace(LEARNING, optimizer="adam", learning_rate=0.1)),
        ("sign", replace(LEARNING, timesteps=2)),
    ],
)
def test_a_sweep_learns_as_on_the_cpu(task: str, configuration: WalkConfiguration) -> None:
    """The same outcomes, after as many steps within 5 % or one measurement."""
    problem = TASKS[task].problem({})
    network, data, points = problem.network(30), problem.data(), problem.evaluation_points(1000)
    from freewalk.kernels.cuda.walk import CudaPack

    batch = CudaPack(network, data, [PackTrial(configuration, seed) for seed in SEEDS], evaluation_points=points)
    walks = [CpuWalk(network, configuration, data, seed=seed, evaluation_points=points) for seed in SEEDS]
    definition = TASKS[task]
    ways = [
        Convergence(definition.target, definition.direction, strict=definition.strict) for _ in range(2 * len(SEEDS))
    ]
    for epoch in range(1, EPOCHS + 1):
        progress = [*batch.train(STEPS_OF_AN_EPOCH), *(walk.train(STEPS_OF_AN_EPOCH) for walk in walks)]
        evaluations = [*batch.evaluate(), *(walk.evaluate() for walk in walks)]
        for way, made, evaluation in zip(ways, progress, evaluations, strict=True):
            if way.outcome is None:
                way.observe(
                    step=epoch * STEPS_OF_AN_EPOCH,
                    evaluations=0,
                    train_seconds=0.0,
                    loss=evaluation.loss if math.isfinite(made.loss) else math.nan,
                    metric=definition.measure(evaluation),
                    output_spread=evaluation.output_spread,
                )
    for found, wanted in zip(ways[: len(SEEDS)], ways[len(SEEDS) :], strict=True):
        assert found.finish() == wanted.finish()
        if wanted.steps_to_target is not None:
            allowed = max(STEPS_OF_AN_EPOCH, 0.05 * wanted.steps_to_target)
            assert abs((found.steps_to_target or math.inf) - wanted.steps_to_target) <= allowed
