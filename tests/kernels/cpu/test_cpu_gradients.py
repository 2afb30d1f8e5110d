"""Backpropagation and central differences on the CPU: the gradients, the steps, the bits whatever the threads."""

from __future__ import annotations

import math
import threading
import time
from typing import Any, NamedTuple

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from tolerance import EPS, assert_close, largest_difference

from freewalk.kernels.cpu import backprop, numerical
from freewalk.kernels.cpu.descent import CpuBackprop, CpuDescent, CpuNumerical
from freewalk.kernels.cpu.layout import shape_of
from freewalk.kernels.model.descent import DescentConfiguration
from freewalk.kernels.model.network import FreeNetwork
from freewalk.kernels.model.walk import Data
from freewalk.kernels.reference import reference
from freewalk.kernels.reference.gradient import loss_gradient
from freewalk.kernels.trainers.backprop import ReferenceBackprop
from freewalk.kernels.trainers.numerical import ReferenceNumerical
from freewalk.tasks.registry import TASKS

SHIFTED_SUMS = TASKS["shifted-sums"].problem({})
XOR = TASKS["xor"].problem({})
METHODS: dict[str, type[CpuDescent]] = {"backprop": CpuBackprop, "numerical": CpuNumerical}
JUDGES = {"backprop": ReferenceBackprop, "numerical": ReferenceNumerical}


class Arrays(NamedTuple):
    weights: NDArray[np.float64]
    x: NDArray[np.float32]
    y: NDArray[np.float32]
    mask: NDArray[np.bool_] | None


def _arrays(network: FreeNetwork, timesteps: int, batch: int, seed: int, masked: bool, scale: float = 1.0) -> Arrays:
    random = np.random.default_rng(seed)
    x_rows = (timesteps,) if network.sequence_input else ()
    y_rows = (timesteps,) if network.sequence_output else ()
    weights = random.uniform(-scale, scale, (network.n_from, network.n_to))
    mask = random.random(weights.shape) < 0.7 if masked else None
    return Arrays(
        (weights if mask is None else weights * mask).astype(np.float32).astype(np.float64),
        random.uniform(-1, 1, (batch, *x_rows, network.n_input)).astype(np.float32),
        random.uniform(0, 1, (batch, *y_rows, network.n_output)).astype(np.float32),
        mask,
    )


free_networks = st.builds(
    FreeNetwork,
    st.integers(1, 9),
    st.integers(1, 9),
    st.integers(0, 20),
    sequence_input=st.booleans(),
    sequence_output=st.booleans(),
    softmax=st.booleans(),
    loss=st.sampled_from(["mean_squared_error", "categorical_crossentropy"]),
    hidden_activation=st.sampled_from(["sigmoid", "tanh"]),
)


def _check_backprop(network: FreeNetwork, timesteps: int, batch: int, arrays: Arrays, threads: int) -> None:
    """Outputs, and so their distances from the targets, are off by some eps of 1 after up to 40 timesteps."""
    weights, x, y, mask = arrays
    wanted_loss, wanted = loss_gradient(network, weights, x, y, timesteps, mask)
    loss, gradient = CpuBackprop.gradient_on_arrays(network, weights, x, y, timesteps, threads=threads, mask=mask)
    assert loss == pytest.approx(wanted_loss, rel=10 * EPS, abs=10 * EPS)
    assert_close(gradient, wanted, atol=10 * EPS * (wanted_loss + 1), what="gradient")


@settings(max_examples=80, deadline=None, derandomize=True, database=None)
@given(free_networks, st.integers(1, 7), st.integers(1, 290), st.booleans(), st.integers(1, 3), st.integers(0, 999))
def test_backprop_is_the_exact_gradient(
    network: FreeNetwork, timesteps: int, batch: int, masked: bool, threads: int, seed: int
) -> None:
    _check_backprop(network, timesteps, batch, _arrays(network, timesteps, batch, seed, masked), threads)


@pytest.mark.parametrize(
    ("network", "timesteps", "batch"),
    [
        (FreeNetwork(3, 2, 30, sequence_input=True), 4, 1000),
        (FreeNetwork(3, 2, 130, sequence_output=True), 3, 200),
        (FreeNetwork(2, 1, 8, sequence_input=True, sequence_output=True, hidden_activation="tanh"), 40, 200),
    ],
    ids=["the example", "130 hidden", "40 timesteps"],
)
def test_backprop_of_large_problems(network: FreeNetwork, timesteps: int, batch: int) -> None:
    arrays = _arrays(network, timesteps, batch, 1, False, scale=0.4)
    _check_backprop(network, timesteps, batch, arrays, 2)
    assert backprop.tiling_of(shape_of(network, timesteps), batch).n_chunks > 1


@settings(max_examples=25, deadline=None, derandomize=True, database=None)
@given(free_networks, st.integers(1, 4), st.integers(1, 40), st.booleans(), st.integers(1, 3), st.integers(0, 999))
def test_central_differences_are_near_the_gradient(
    network: FreeNetwork, timesteps: int, batch: int, masked: bool, threads: int, seed: int
) -> None:
    """Off by an eps of the loss over h from rounding, and by h² of it from curvature."""
    weights, x, y, mask = _arrays(network, timesteps, batch, seed, masked)
    wanted_loss, wanted = loss_gradient(network, weights, x, y, timesteps, mask)
    options: dict[str, Any] = {"threads": threads, "mask": mask}
    loss, gradient = CpuNumerical.gradient_on_arrays(network, weights, x, y, timesteps, **options)
    assert loss == pytest.approx(wanted_loss, rel=10 * EPS, abs=10 * EPS)
    h = numerical.STEP
    assert_close(gradient, wanted, atol=(3 * EPS / h + h**2) * (wanted_loss + 1), what="gradient")


def test_central_differences_are_those_of_float64() -> None:
    """The reference with the same h: only the rounding of float32 is left."""
    network = FreeNetwork(3, 2, 5)
    weights, x, y, _ = _arrays(network, 3, 200, 4, False)

    def mean_loss(w: NDArray[np.float64]) -> float:
        return float(reference.losses(network, reference.forward(network, w, x, 3), y).mean())

    wanted = reference.numerical_gradient(mean_loss, weights, h=numerical.STEP)
    _, gradient = CpuNumerical.gradient_on_arrays(network, weights, x, y, 3)
    assert_close(gradient, wanted, atol=0.3 * EPS / numerical.STEP)


@pytest.mark.parametrize("method", METHODS)
def test_a_masked_weight_has_no_gradient(method: str) -> None:
    network = FreeNetwork(2, 3, 7)
    weights, x, y, mask = _arrays(network, 3, 50, 1, True)
    assert mask is not None
    _, gradient = METHODS[method].gradient_on_arrays(network, weights, x, y, 3, mask=mask)
    assert (gradient[~mask] == 0).all()
    assert (gradient[mask] != 0).all()


@pytest.mark.parametrize("method", METHODS)
def test_what_does_not_fit_is_refused(method: str) -> None:
    network = FreeNetwork(2, 1, 3)
    weights, x, y, _ = _arrays(network, 3, 4, 1, False)
    with pytest.raises(ValueError, match=r"x must have shape \(B, 2\)"):
        METHODS[method].gradient_on_arrays(network, weights, x[:, :1], y, 3)
    with pytest.raises(ValueError, match="mask must be boolean"):
        METHODS[method].gradient_on_arrays(network, weights, x, y, 3, mask=np.ones((2, 2), dtype=bool))
    with pytest.raises(ValueError, match="initial weights must have shape"):
        METHODS[method].gradient_on_arrays(network, weights.T, x, y, 3)
    with pytest.raises(ValueError, match="initial weights must be finite"):
        METHODS[method].gradient_on_arrays(network, weights * np.nan, x, y, 3)


# Trials -------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def data() -> Data:
    return SHIFTED_SUMS.data()


def _configuration(method: str, **changes: Any) -> DescentConfiguration:
    return METHODS[method].configured_by(**{"batch_size": 100, "timesteps": 3} | changes)


def _trainer(configuration: DescentConfiguration, data: Data, hidden: int = 5, **options: Any) -> CpuDescent:
    options = {"seed": 3, "evaluation_points": 50} | options
    return METHODS[configuration.method](SHIFTED_SUMS.network(hidden), configuration, data, **options)


OPTIMIZERS: list[dict[str, Any]] = [
    {"optimizer": "sgd", "learning_rate": 0.5},
    {"optimizer": "momentum", "learning_rate": 0.2, "momentum": 0.8},
    {"optimizer": "adam", "learning_rate": 0.05},
]


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("optimizer", OPTIMIZERS, ids=["sgd", "momentum", "adam"])
@pytest.mark.parametrize("schedule", ["constant", "cosine"])
def test_ten_steps_are_those_of_the_reference(
    data: Data, method: str, optimizer: dict[str, Any], schedule: str
) -> None:
    """Updates agree to some 1e-6 of their size, by central differences to 1e-3 of it; Adam divides by small ones."""
    configuration = _configuration(method, schedule=schedule, schedule_steps=8, **optimizer)
    cpu = _trainer(configuration, data)
    judge = JUDGES[method](cpu.network, configuration, data, seed=3, evaluation_points=50)
    start = judge.weights
    np.testing.assert_array_equal(cpu.weights, start)
    found, wanted = cpu.train(10), judge.train(10)
    moved = largest_difference(judge.weights, start)
    bound = (1e-4 if method == "backprop" else 1e-2) * moved
    assert_close(cpu.weights, judge.weights, atol=bound, what="weights")
    assert moved > 0.05
    assert found.steps == wanted.steps == cpu.step == judge.step == 10
    assert found.loss == pytest.approx(wanted.loss, rel=1e-5 if method == "backprop" else 1e-3)


@pytest.mark.parametrize(("task", "hidden"), [("addition", 6), ("parity", 3), ("xor", 5)])
def test_steps_with_tiles_of_two_sizes(task: str, hidden: int) -> None:
    """Ten groups are a tile of eight and one of two, which leave their numbers in the same memory step after step."""
    problem = TASKS[task].problem({})
    timesteps = problem.default_timesteps
    configuration = _configuration("backprop", batch_size=150, timesteps=timesteps, learning_rate=1.0)
    options: dict[str, Any] = {"seed": 5, "evaluation_points": 8}
    cpu = CpuBackprop(problem.network(hidden), configuration, problem.data(), **options)
    judge = ReferenceBackprop(problem.network(hidden), configuration, problem.data(), **options)
    start = judge.weights
    assert cpu.train(4).loss == pytest.approx(judge.train(4).loss, rel=1e-5)
    assert_close(cpu.weights, judge.weights, atol=1e-5 * largest_difference(judge.weights, start), what="weights")


def _bits(data: Data, method: str, calls: tuple[int, ...] = (6,), threads: int = 1, **changes: Any) -> Any:
    batch = 1000 if method == "backprop" else 50
    trainer = _trainer(_configuration(method, batch_size=batch, **changes), data, hidden=12, threads=threads)
    for steps in calls:
        assert trainer.train(steps).steps == steps
    return trainer.weights


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("threads", [2, 3, 64])
def test_the_bits_do_not_depend_on_the_threads(data: Data, method: str, threads: int) -> None:
    np.testing.assert_array_equal(_bits(data, method, threads=threads), _bits(data, method))


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("optimizer", OPTIMIZERS, ids=["sgd", "momentum", "adam"])
def test_the_bits_do_not_depend_on_how_steps_are_shared_among_calls(
    data: Data, method: str, optimizer: dict[str, Any]
) -> None:
    rule = optimizer | {"schedule": "cosine", "schedule_steps": 5}
    np.testing.assert_array_equal(_bits(data, method, (2, 1, 3), **rule), _bits(data, method, (6,), **rule))


@pytest.mark.parametrize("method", METHODS)
def test_threads_and_evaluations_on_the_way_change_nothing(data: Data, method: str) -> None:
    batch = 1000 if method == "backprop" else 50
    trainer = _trainer(_configuration(method, batch_size=batch), data, hidden=12)
    for threads, steps in ((1, 1), (2, 3), (1, 2)):
        trainer.use_threads(threads)
        assert trainer.threads == threads
        trainer.train(steps)
        trainer.evaluate()
    np.testing.assert_array_equal(trainer.weights, _bits(data, method))


def test_no_more_threads_than_have_work(data: Data) -> None:
    assert _trainer(_configuration("backprop", batch_size=20), data, threads=8).threads == 1
    assert _trainer(_configuration("backprop", batch_size=300), data, threads=8).threads == 3
    one_weight = np.zeros((11, 7), dtype=bool)
    one_weight[3, :2] = True
    assert _trainer(_configuration("numerical"), data, threads=8, mask=one_weight).threads == 2
    with pytest.raises(ValueError, match="threads must be at least 1, got 0"):
        _trainer(_configuration("backprop"), data, threads=0)


def test_different_trials_share_the_compiled_kernels(data: Data) -> None:
    mask = np.ones((11, 7), dtype=bool)
    for method in METHODS:
        for options in ({}, {"mask": mask}, {"threads": 2}, {"seed": 2**64 - 1}):
            _trainer(_configuration(method, batch_size=200), data, **options).train(1)  # type: ignore[arg-type]
    for dispatcher in (backprop.train, backprop.train_parallel, numerical.train, numerical.train_parallel):
        assert len(dispatcher.signatures) == 1, dispatcher


@pytest.mark.parametrize("method", METHODS)
def test_initial_weights_are_where_it_starts(data: Data, method: str) -> None:
    initial = np.random.default_rng(0).uniform(-1, 1, (11, 7))
    mask = np.random.default_rng(1).random((11, 7)) < 0.5
    np.testing.assert_array_equal(_trainer(_configuration(method), data, initial=initial).weights, initial)
    masked = _trainer(_configuration(method), data, initial=initial, mask=mask)
    np.testing.assert_array_equal(masked.weights, initial)
    masked.train(3)
    assert (masked.weights[~mask] == initial[~mask]).all(), "what is not trained stays"
    assert (masked.weights[mask] != initial[mask]).mean() > 0.5, "some lead nowhere under this mask"


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("threads", [1, 2])
def test_a_loss_that_is_not_finite_stops_the_trial(data: Data, method: str, threads: int) -> None:
    """A learning rate of 1e306 makes weights infinite in float32; inf - inf is NaN in the next forward pass."""
    batch = 400 if method == "backprop" else 20
    trainer = _trainer(_configuration(method, learning_rate=1e306, batch_size=batch), data, threads=threads)
    progress = trainer.train(50)
    assert not math.isfinite(progress.loss)
    assert 1 < progress.steps < 50
    weights = trainer.weights
    again = trainer.train(10)
    assert again.steps == 1
    assert not math.isfinite(again.loss)
    np.testing.assert_array_equal(trainer.weights, weights)


@pytest.mark.parametrize("method", METHODS)
def test_no_steps_are_no_loss(data: Data, method: str) -> None:
    progress = _trainer(_configuration(method), data).train(0)
    assert progress.steps == 0
    assert math.isnan(progress.loss)


@pytest.mark.parametrize(("method", "batch"), [("backprop", 400_000_000), ("numerical", 4_000_000)])
@pytest.mark.parametrize("threads", [1, 2])
def test_a_stop_leaves_the_weights_of_the_last_whole_step(method: str, batch: int, threads: int) -> None:
    """A step that is cut short moves nothing and does not count; asked from another thread, as an engine does."""
    configuration = _configuration(method, batch_size=batch, timesteps=1)
    options: dict[str, Any] = {"seed": 0, "evaluation_points": 4, "threads": threads}
    trainer = METHODS[configuration.method](XOR.network(4), configuration, XOR.data(), **options)
    tiny = _configuration(method, batch_size=600, timesteps=1)
    METHODS[method](XOR.network(4), tiny, XOR.data(), **options).train(1)  # compiled: that cannot be cut short
    before = trainer.weights
    timer = threading.Timer(0.2, trainer.request_stop)
    timer.start()
    start = time.perf_counter()
    progress = trainer.train(5)
    seconds = time.perf_counter() - start
    timer.join()
    assert seconds < 6, "a step of this batch takes many seconds"
    assert progress.steps == trainer.step == 0
    np.testing.assert_array_equal(trainer.weights, before)


def test_backprop_learns_the_original_task(data: Data) -> None:
    """From 0.16 to a hundredth of the target of 1e-3."""
    configuration = _configuration("backprop", batch_size=200, timesteps=4, optimizer="adam", learning_rate=0.01)
    trainer = _trainer(configuration, data, hidden=30, evaluation_points=1000)
    assert trainer.evaluate().loss > 0.05
    trainer.train(1500)
    assert trainer.evaluate().loss < 1e-4


def test_central_differences_learn_xor() -> None:
    configuration = _configuration("numerical", batch_size=4, timesteps=2, optimizer="adam", learning_rate=0.1)
    trainer = CpuNumerical(XOR.network(3), configuration, XOR.data(), seed=1, evaluation_points=4)
    trainer.train(400)
    assert trainer.evaluate().max_error < 0.1
