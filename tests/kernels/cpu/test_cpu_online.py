"""RTRL, RFLO and UORO compiled: their gradients against the reference, the same bits whatever the threads."""

from __future__ import annotations

import threading
import time
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from tolerance import EPS, assert_close

from freewalk.kernels.cpu.layout import from_padded
from freewalk.kernels.cpu.trainer import array_source
from freewalk.kernels.model.layered import LayeredNetwork
from freewalk.kernels.model.network import FreeNetwork
from freewalk.kernels.model.walk import Data
from freewalk.kernels.reference.gradient import loss_gradient
from freewalk.kernels.reference.online import Carried, Rflo, Rtrl, Uoro, online_gradient, random_feedback, uoro_signs
from freewalk.kernels.trainers.online import (
    RFLO,
    RTRL,
    UORO,
    CpuOnline,
    CpuRflo,
    CpuRtrl,
    CpuUoro,
    RfloConfiguration,
    RtrlConfiguration,
    UoroConfiguration,
)
from freewalk.tasks.registry import TASKS

SEED = 3
RULES: dict[str, tuple[type[CpuOnline], dict[str, str]]] = {
    "rtrl": (CpuRtrl, {}),
    "random": (CpuRflo, {"feedback": "random"}),
    "symmetric": (CpuRflo, {"feedback": "symmetric"}),
    "uoro": (CpuUoro, {}),
}
Problem = tuple[NDArray[np.float64], NDArray[np.float32], NDArray[np.float32]]


def _problem(network: FreeNetwork, timesteps: int, batch: int, seed: int) -> Problem:
    random = np.random.default_rng(seed)
    x_rows = (timesteps,) if network.sequence_input else ()
    y_rows = (timesteps,) if network.sequence_output else ()
    weights = random.uniform(-1, 1, (network.n_from, network.n_to)) / np.sqrt(max(1, network.n_from / 6))
    y = random.uniform(0, 1, (batch, *y_rows, network.n_output)).astype(np.float32)
    y[random.random(y.shape) < 0.2] = np.nan
    return (
        weights.astype(np.float32).astype(np.float64),
        random.uniform(-1, 1, (batch, *x_rows, network.n_input)).astype(np.float32),
        y,
    )


def _compiled(rule: str, network: FreeNetwork, problem: Problem, timesteps: int, step: int, threads: int) -> Any:
    kind, options = RULES[rule]
    weights, x, y = problem
    configuration: Any = kind.configured_by(batch_size=len(x), timesteps=timesteps, **options)  # type: ignore[arg-type]
    trainer = kind(
        network, configuration, Data(0), seed=SEED, evaluation_points=1, threads=threads, initial=weights
    )  # fmt: skip
    trainer._training, trainer.step = array_source(network, x, y, timesteps), step
    loss = trainer.train(1).loss
    return loss, from_padded(trainer._gradient, trainer._shape) / len(x)


def _carried(
    rule: str, network: FreeNetwork, weights: NDArray[np.float64], n: int, timesteps: int, step: int
) -> Carried:
    if rule == "rtrl":
        return Rtrl(network, weights, n)
    if rule == "uoro":
        signs = uoro_signs(network, timesteps, seed=SEED, step=step, datapoints=np.arange(n))
        return Uoro(network, weights, n, signs)
    return Rflo(network, weights, n, random_feedback(network, SEED) if rule == "random" else None)


free_networks = st.builds(
    FreeNetwork,
    st.integers(1, 9),
    st.integers(1, 9),
    st.integers(0, 20),
    sequence_input=st.booleans(),
    sequence_output=st.booleans(),
    softmax=st.just(True),
    loss=st.sampled_from(["mean_squared_error", "categorical_crossentropy"]),
    hidden_activation=st.sampled_from(["sigmoid", "tanh", "relu", "linear"]),
    output_activation=st.sampled_from(["sigmoid", "linear"]),
    leak=st.sampled_from([1.0, 0.3]),
)


@settings(max_examples=120, deadline=None, derandomize=True, database=None)
@given(
    st.sampled_from(list(RULES)), free_networks, st.integers(1, 7), st.integers(1, 290), st.integers(1, 3),
    st.integers(0, 999),
)  # fmt: skip
def test_gradients_are_those_of_the_reference(
    rule: str, network: FreeNetwork, timesteps: int, batch: int, threads: int, seed: int
) -> None:
    problem = _problem(network, timesteps, batch, seed)
    weights, x, y = problem
    loss, gradient = _compiled(rule, network, problem, timesteps, seed, threads)
    carried = _carried(rule, network, weights, batch, timesteps, seed)
    wanted_loss, wanted = online_gradient(network, weights, x, y, timesteps, carried)
    assert loss == pytest.approx(wanted_loss, rel=30 * EPS, abs=30 * EPS)
    assert_close(gradient, wanted, atol=30 * EPS * (wanted_loss + 1 + np.abs(wanted).max()), what="gradient")


@pytest.mark.parametrize("rule", RULES)
def test_a_plain_network_and_more_neurons_than_a_block_of_signs(rule: str) -> None:
    """Without a softmax, and 139 neurons: 128 of them have signs in one block."""
    network = FreeNetwork(2, 1, 138 if rule == "uoro" else 20, sequence_output=True, sequence_input=True, leak=0.5)
    problem = _problem(network, 5, 18, 0)
    _, gradient = _compiled(rule, network, problem, 5, 4, 1)
    weights, x, y = problem
    _, wanted = online_gradient(network, weights, x, y, 5, _carried(rule, network, weights, 18, 5, 4))
    assert_close(gradient, wanted, atol=30 * EPS * (1 + np.abs(wanted).max()), what="gradient")


def test_rtrl_is_backpropagation_through_time() -> None:
    network = FreeNetwork(3, 2, 13, sequence_input=True, hidden_activation="tanh", leak=0.4)
    problem = _problem(network, 12, 40, 1)
    _, gradient = _compiled("rtrl", network, problem, 12, 0, 1)
    _, wanted = loss_gradient(network, *problem, 12)
    assert np.linalg.norm(gradient - wanted) < 1e-6 * np.linalg.norm(wanted)


@pytest.mark.parametrize("rule", RULES)
def test_the_number_of_threads_does_not_change_a_bit(rule: str) -> None:
    network = FreeNetwork(2, 2, 9, sequence_output=True, leak=0.7)
    problem = _problem(network, 4, 700, 2)
    loss, gradient = _compiled(rule, network, problem, 4, 0, 1)
    for threads in (2, 3):
        other_loss, other = _compiled(rule, network, problem, 4, 0, threads)
        assert loss == other_loss
        np.testing.assert_array_equal(gradient, other)


def test_a_trial_goes_on_to_the_same_bits() -> None:
    """UORO's signs are those of the step, so a state needs nothing of them."""

    def trial(threads: int = 1) -> CpuUoro:
        problem = TASKS["delayed-xor"].problem({})
        configuration = UoroConfiguration(batch_size=150, timesteps=4, optimizer="adam", learning_rate=0.01)
        return CpuUoro(
            problem.network(5), configuration, problem.data(), seed=1, evaluation_points=20, threads=threads
        )  # fmt: skip

    whole, first, second = trial(), trial(2), trial()
    whole.train(7)
    first.train(4)
    second.restore(first.state())
    second.train(3)
    np.testing.assert_array_equal(second.weights, whole.weights)


def test_the_reference_takes_the_same_steps() -> None:
    problem = TASKS["delayed-xor"].problem({})
    for descent in (RTRL, RFLO, UORO):
        configuration = descent.configuration(batch_size=40, timesteps=4, learning_rate=0.5)
        fast, slow = (
            descent.start(problem.network(5), configuration, problem.data(), float64=exact, seed=1, evaluation_points=9)
            for exact in (False, True)
        )
        assert fast.train(5).loss == pytest.approx(slow.train(5).loss, rel=1e-5)
        assert_close(fast.weights, slow.weights, atol=1e-5, what=configuration.method)


def test_what_a_step_costs() -> None:
    """N = 7 neurons; outputs are read after the last of four timesteps, or after each."""
    last, each = FreeNetwork(3, 2, 5), FreeNetwork(3, 2, 5, sequence_output=True)
    costs = {RTRL: (1 + 49 + 8 / 4, 1 + 49 + 8), RFLO: (2 + 2 / 4, 4), UORO: (4 + 2 / 4, 6)}
    for descent, (at_last, at_each) in costs.items():
        configuration = descent.configuration(batch_size=10, timesteps=4)
        assert configuration.evaluations_per_step(last) == 10 * at_last
        assert configuration.evaluations_per_step(each) == 10 * at_each
        with pytest.raises(ValueError, match="in free networks only"):
            configuration.evaluations_per_step(LayeredNetwork((3, 2)))


def test_unknown_feedback_is_refused() -> None:
    with pytest.raises(ValueError, match="feedback must be one of random, symmetric, got 'none'"):
        RfloConfiguration(1, 1, feedback="none")  # type: ignore[arg-type]


def test_a_stop_is_heard_within_a_sequence() -> None:
    """Sixteen datapoints of RTRL take tens of seconds here; a step that is cut short moves nothing."""
    CpuRtrl.compile_kernels()  # that cannot be cut short
    network = FreeNetwork(1, 1, 95)
    configuration = RtrlConfiguration(batch_size=16, timesteps=1000)
    trainer = CpuRtrl(network, configuration, Data(0), seed=0, evaluation_points=1)
    trainer._training = array_source(network, np.ones((16, 1)), np.ones((16, 1)), 1000)
    before = trainer.weights
    timer = threading.Timer(0.2, trainer.request_stop)
    timer.start()
    start = time.perf_counter()
    progress = trainer.train(1)
    assert time.perf_counter() - start < 8
    timer.join()
    assert progress.steps == 0
    np.testing.assert_array_equal(trainer.weights, before)
