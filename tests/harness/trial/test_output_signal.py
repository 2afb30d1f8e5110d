"""The training signal at the outputs: closed forms, and a derivative that is measured."""

import math
from typing import Any

import numpy as np
import pytest

from freewalk.harness.methods.problem import resolve_problem
from freewalk.harness.trial.measures import heldout_signal, output_signal
from freewalk.kernels.model.network import FreeNetwork
from freewalk.kernels.model.noise import Stream, philox, uniform_from_words
from freewalk.kernels.reference import reference

RNG = np.random.default_rng(0)


def one_neuron(bias: float) -> tuple[FreeNetwork, Any]:
    """Return a neuron that hears its bias alone."""
    network = FreeNetwork(1, 1, 0)
    weights = np.zeros((3, 1))
    weights[1] = bias
    return network, weights


@pytest.mark.parametrize("bias", [0.0, 2.0, -2.0, 10.0, -30.0])
def test_for_squared_errors_it_is_twice_the_slope_whatever_the_target(bias: float) -> None:
    network, weights = one_neuron(bias)
    o = 1 / (1 + math.exp(-bias))
    for target in (0.0, 1.0, 0.3):
        found = output_signal(network, weights, np.zeros((4, 1)), np.full((4, 1), target), 1)
        assert found == pytest.approx(2 * o * (1 - o), rel=1e-9)


def test_outputs_at_0_or_1_let_nothing_through() -> None:
    for bias in (800.0, 1e300):
        network, weights = one_neuron(bias)
        assert output_signal(network, weights, np.zeros((4, 1)), np.zeros((4, 1)), 1) == 0.0


def test_cross_entropy_lets_a_confident_mistake_through() -> None:
    network = FreeNetwork(1, 1, 0, loss="categorical_crossentropy")
    _, weights = one_neuron(-20.0)
    assert output_signal(network, weights, np.zeros((4, 1)), np.ones((4, 1)), 1) == pytest.approx(1.0)


@pytest.mark.parametrize(
    "options",
    [{}, {"softmax": True}, {"softmax": True, "loss": "categorical_crossentropy"}, {"sequence_output": True}],
)
def test_it_is_the_derivative_by_the_output_neurons_sums(options: dict[str, Any]) -> None:
    """Shifts of the bias of one output at the last timestep alone, done with the reference's own formulas."""
    network = FreeNetwork(2, 3, 4, **options)
    weights, timesteps = RNG.normal(size=(network.n_from, network.n_to)), 3
    x = RNG.normal(size=(1, 2))
    y = RNG.random((1, 3, 3) if network.sequence_output else (1, 3))
    entering, after = reference.run(network, weights, x, timesteps)
    moments = range(timesteps) if network.sequence_output else [timesteps - 1]
    total = 0.0
    for t in moments:
        for k in range(network.n_output):
            moved = []
            for shift in (1e-6, -1e-6):
                shifted = after.copy()
                shifted[0, t, k] = 1 / (1 + np.exp(-(entering[t][0] @ weights[:, k] + shift)))
                outputs = reference.read_outputs(network, shifted)
                moved.append(float(reference.losses(network, outputs, y)[0]))
            total += abs(moved[0] - moved[1]) / 2e-6
    error = np.abs(reference.read_outputs(network, after) - y).sum()
    assert output_signal(network, weights, x, y, timesteps) == pytest.approx(total / error, rel=1e-6)


def test_it_is_measured_on_held_out_data() -> None:
    problem = resolve_problem("sign", "backprop", {"hidden": 3, "batch_size": 4})
    weights = problem.initial_weights(0)
    words = np.array([philox([0, k, 0, Stream.EVALUATION_DATA], 0)[0] for k in range(64)])
    x = (2 * uniform_from_words(words) - 1)[:, None]
    expected = output_signal(problem.network, weights, x, (x > 0) * 1.0, problem.timesteps)
    assert heldout_signal(problem, weights) == pytest.approx(expected, rel=1e-6)


def test_what_is_not_defined_is_not_a_number() -> None:
    network, weights = one_neuron(0.0)
    assert math.isnan(output_signal(network, weights, np.zeros((2, 1)), np.full((2, 1), 0.5), 1)), "no error"
    for bad in (np.nan, np.inf):
        assert math.isnan(output_signal(network, np.full((3, 1), bad), np.zeros((2, 1)), np.ones((2, 1)), 1))
