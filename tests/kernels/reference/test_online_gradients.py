"""Gradients carried forward in time: RTRL is exact, RFLO where nothing that it drops is there, UORO in its mean."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from freewalk.kernels.model.network import FreeNetwork
from freewalk.kernels.reference.gradient import loss_gradient
from freewalk.kernels.reference.online import Rflo, Rtrl, Uoro, online_gradient, random_feedback, uoro_signs

BATCH = 3
NETWORKS = {
    "plain": FreeNetwork(2, 2, 3),
    "leaky": FreeNetwork(2, 1, 4, sequence_input=True, leak=0.3, hidden_activation="tanh"),
    "sequences": FreeNetwork(2, 2, 3, sequence_input=True, sequence_output=True, leak=0.6, hidden_activation="relu"),
    "logits": FreeNetwork(
        1, 3, 2, sequence_output=True, softmax=True, loss="categorical_crossentropy", output_activation="linear",
        hidden_activation="linear",
    ),
    "entropy": FreeNetwork(2, 2, 2, loss="categorical_crossentropy", hidden_activation="tanh"),
    "outputs alone": FreeNetwork(2, 2, 0, sequence_output=True),
}  # fmt: skip


def _problem(network: FreeNetwork, timesteps: int, batch: int = BATCH) -> tuple[NDArray[np.float64], Any, Any]:
    random = np.random.default_rng(0)
    x_rows = (timesteps,) if network.sequence_input else ()
    y_rows = (timesteps,) if network.sequence_output else ()
    y = random.uniform(0, 1, (batch, *y_rows, network.n_output))
    y[0, ..., 0] = np.nan
    return (
        random.uniform(-1, 1, (network.n_from, network.n_to)),
        random.uniform(-1, 1, (batch, *x_rows, network.n_input)),
        y,
    )


@pytest.mark.parametrize("timesteps", [1, 2, 7])
@pytest.mark.parametrize("name", NETWORKS)
def test_rtrl_is_exact(name: str, timesteps: int) -> None:
    network = NETWORKS[name]
    weights, x, y = _problem(network, timesteps)
    loss, gradient = online_gradient(network, weights, x, y, timesteps, Rtrl(network, weights, BATCH))
    wanted_loss, wanted = loss_gradient(network, weights, x, y, timesteps)
    assert loss == pytest.approx(wanted_loss, rel=1e-14)
    np.testing.assert_allclose(gradient, wanted, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("name", NETWORKS)
def test_symmetric_rflo_is_exact_over_two_timesteps_and_no_more(name: str) -> None:
    network = NETWORKS[name]
    for timesteps in (1, 2, 3):
        weights, x, y = _problem(network, timesteps)
        _, gradient = online_gradient(network, weights, x, y, timesteps, Rflo(network, weights, BATCH))
        _, wanted = loss_gradient(network, weights, x, y, timesteps)
        assert np.allclose(gradient, wanted, rtol=1e-12, atol=1e-14) == (timesteps < 3)


def test_symmetric_rflo_is_exact_where_only_outputs_hear_neurons() -> None:
    network = FreeNetwork(2, 2, 3, sequence_input=True, sequence_output=True, leak=0.3, hidden_activation="tanh")
    weights, x, y = _problem(network, 9)
    weights[network.n_input + 1 :, network.n_output :] = 0  # hidden neurons hear the input alone
    weights[network.n_input + 1 : network.n_input + 1 + network.n_output] = 0  # and nobody hears outputs
    _, gradient = online_gradient(network, weights, x, y, 9, Rflo(network, weights, BATCH))
    _, wanted = loss_gradient(network, weights, x, y, 9)
    learned = np.s_[: network.n_input + 1, network.n_output :]
    np.testing.assert_allclose(gradient[learned], wanted[learned], rtol=1e-12)
    np.testing.assert_allclose(gradient[:, : network.n_output], wanted[:, : network.n_output], rtol=1e-12)


def test_rflo_with_random_feedback() -> None:
    """Its output neurons learn as RTRL's do from their own error; hidden neurons through F in the weights' place."""
    network = NETWORKS["leaky"]
    weights, x, y = _problem(network, 5)
    feedback = random_feedback(network, seed=3)
    _, gradient = online_gradient(network, weights, x, y, 5, Rflo(network, weights, BATCH, feedback))
    _, other = online_gradient(network, weights, x, y, 5, Rflo(network, weights, BATCH, 2 * feedback))
    n = network.n_output
    np.testing.assert_allclose(other[:, n:], 2 * gradient[:, n:], rtol=1e-12)
    np.testing.assert_array_equal(other[:, :n], gradient[:, :n])
    assert np.abs(gradient).min() > 0


def test_random_feedback_is_of_the_seed_and_has_its_variance() -> None:
    network = FreeNetwork(1, 4, 2000)
    feedback = random_feedback(network, seed=1)
    np.testing.assert_array_equal(feedback, random_feedback(network, seed=1))
    assert not np.array_equal(feedback, random_feedback(network, seed=2))
    assert (feedback[:4] == 0).all()
    hidden = feedback[4:]
    assert abs(hidden.mean()) < 4 * 0.5 / np.sqrt(hidden.size)
    assert hidden.var() == pytest.approx(1 / 4, rel=0.05)


@pytest.mark.parametrize("name", ["leaky", "sequences", "logits"])
def test_uoro_is_the_gradient_in_its_mean(name: str) -> None:
    """Each weight's mean within 5 standard errors, of 60 means of 30 draws."""
    network, timesteps, copies, means = NETWORKS[name], 5, 30, 60
    weights, x, y = _problem(network, timesteps)
    _, wanted = loss_gradient(network, weights, x, y, timesteps)
    x, y = np.concatenate([x] * copies), np.concatenate([y] * copies)
    estimates = []
    for step in range(means):
        signs = uoro_signs(network, timesteps, seed=5, step=step, datapoints=np.arange(len(x)))
        estimates.append(online_gradient(network, weights, x, y, timesteps, Uoro(network, weights, len(x), signs))[1])
    mean, error = np.mean(estimates, axis=0), np.std(estimates, axis=0, ddof=1) / np.sqrt(means)
    assert (np.abs(mean - wanted) <= 5 * error + 1e-12).all()
    assert error.max() < 0.1 * np.abs(wanted).max(), "an error this large would let anything pass"
    assert np.linalg.norm(estimates[0] - wanted) > 0.02 * np.linalg.norm(wanted), "30 draws are no exact gradient"


def test_signs_are_those_of_their_address() -> None:
    network = FreeNetwork(1, 1, 139)
    signs = uoro_signs(network, 4, seed=2, step=6, datapoints=np.arange(5))
    assert signs.shape == (4, 5, 140)
    assert set(np.unique(signs)) == {-1.0, 1.0}
    np.testing.assert_array_equal(signs[:, 3:], uoro_signs(network, 4, seed=2, step=6, datapoints=np.array([3, 4])))
    for other in ({"seed": 3, "step": 6}, {"seed": 2, "step": 7}):
        assert abs((signs * uoro_signs(network, 4, datapoints=np.arange(5), **other)).mean()) < 0.1
