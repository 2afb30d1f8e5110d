"""Exact gradients in float64 against central differences of the reference's loss.

The differences themselves are off by some 1e-10 with h = 1e-5: rounding of the loss, 1e-16 / 1e-5, and curvature,
h**2 / 6. Beyond that floor every single weight must agree to 1e-6 relative.
"""

from __future__ import annotations

from typing import Any, get_args

import numpy as np
import pytest
from numpy.typing import NDArray

from freewalk.kernels.model.layered import LayeredNetwork
from freewalk.kernels.model.network import Activation, FreeNetwork, Loss, OutputActivation
from freewalk.kernels.reference import reference
from freewalk.kernels.reference.gradient import loss_gradient

FLOOR = 3e-10
BOUNDED = ("sigmoid", "tanh")
"""Others grow with every timestep, and with them the rounding of the loss."""


def _problem(
    network: FreeNetwork, timesteps: int, batch: int = 5, seed: int = 0
) -> tuple[NDArray[np.float64], NDArray[Any], NDArray[Any]]:
    random = np.random.default_rng(seed)
    x_rows = (timesteps,) if network.sequence_input else ()
    y_rows = (timesteps,) if network.sequence_output else ()
    return (
        random.uniform(-1, 1, (network.n_from, network.n_to)) * (1.5 if network.hidden_activation in BOUNDED else 0.6),
        random.uniform(-1, 1, (batch, *x_rows, network.n_input)),
        random.uniform(0, 1, (batch, *y_rows, network.n_output)),
    )


def _check(
    network: FreeNetwork,
    weights: NDArray[np.float64],
    x: NDArray[Any],
    y: NDArray[Any],
    timesteps: int,
    mask: NDArray[np.bool_] | None = None,
) -> None:
    def mean_loss(w: NDArray[np.float64]) -> float:
        return float(reference.losses(network, reference.forward(network, w, x, timesteps), y).mean())

    loss, gradient = loss_gradient(network, weights, x, y, timesteps, mask)
    wanted = reference.numerical_gradient(mean_loss, weights, mask=mask)
    assert loss == pytest.approx(mean_loss(weights), rel=1e-14)
    excess = np.abs(gradient - wanted) - FLOOR
    assert (excess / np.maximum(1e-8, np.abs(gradient) + np.abs(wanted))).max() <= 1e-6
    assert np.abs(gradient).max() > 1e5 * FLOOR, "a gradient this small would compare nothing"


@pytest.mark.parametrize("timesteps", [1, 2, 4, 10])
@pytest.mark.parametrize("activation", get_args(Activation))
@pytest.mark.parametrize("loss", get_args(Loss))
@pytest.mark.parametrize("softmax", [False, True])
@pytest.mark.parametrize("sequence_output", [False, True])
@pytest.mark.parametrize("sequence_input", [False, True])
def test_free_networks(
    sequence_input: bool, sequence_output: bool, softmax: bool, loss: Loss, activation: Activation, timesteps: int
) -> None:
    network = FreeNetwork(
        2,
        2,
        2,
        sequence_input=sequence_input,
        sequence_output=sequence_output,
        softmax=softmax,
        loss=loss,
        hidden_activation=activation,
    )
    _check(network, *_problem(network, timesteps, batch=3), timesteps)


@pytest.mark.parametrize(
    ("softmax", "loss"), [(False, "mean_squared_error"), *((True, loss) for loss in get_args(Loss))]
)
@pytest.mark.parametrize("sequence_output", [False, True])
@pytest.mark.parametrize("activation", get_args(Activation))
def test_linear_outputs(activation: Activation, sequence_output: bool, softmax: bool, loss: Loss) -> None:
    network = FreeNetwork(
        2, 3, 2, sequence_output=sequence_output, softmax=softmax, loss=loss,
        hidden_activation=activation, output_activation="linear",
    )  # fmt: skip
    _check(network, *_problem(network, 4), 4)


@pytest.mark.parametrize("leak", [0.05, 0.7])
@pytest.mark.parametrize("sequence_output", [False, True])
@pytest.mark.parametrize("activation", get_args(Activation))
def test_leaky_neurons(activation: Activation, sequence_output: bool, leak: float) -> None:
    network = FreeNetwork(
        2, 1, 3, sequence_input=True, sequence_output=sequence_output, hidden_activation=activation, leak=leak
    )
    _check(network, *_problem(network, 6), 6)


@pytest.mark.parametrize("output", get_args(OutputActivation))
@pytest.mark.parametrize(
    ("softmax", "loss"), [(False, "mean_squared_error"), *((True, loss) for loss in get_args(Loss))]
)
def test_targets_that_do_not_count(softmax: bool, loss: Loss, output: OutputActivation) -> None:
    network = FreeNetwork(2, 3, 2, sequence_output=True, softmax=softmax, loss=loss, output_activation=output)
    weights, x, y = _problem(network, 4)
    y[:, :2] = np.nan
    y[0, 2, 1] = np.nan
    _check(network, weights, x, y, 4)


def test_a_mean_over_what_counts() -> None:
    """One error of 0.5 in the only output that counts."""
    network = FreeNetwork(1, 2, 0, sequence_output=True, output_activation="linear")
    outputs, y = np.zeros((1, 2, 2)), np.array([[[np.nan, np.nan], [np.nan, 0.5]]])
    assert reference.losses(network, outputs, y).tolist() == [0.25]


@pytest.mark.parametrize("softmax", [False, True])
def test_one_hot_integers(softmax: bool) -> None:
    network = FreeNetwork(
        3, 4, 2, sequence_input=True, sequence_output=True, softmax=softmax, loss="categorical_crossentropy"
    )
    weights, _, _ = _problem(network, 3)
    random = np.random.default_rng(1)
    _check(network, weights, random.integers(0, 3, (5, 3)), random.integers(0, 4, (5, 3)), 3)


@pytest.mark.parametrize("widths", [(3, 2), (2, 4, 1), (3, 4, 3, 2)])
@pytest.mark.parametrize("activation", get_args(Activation))
def test_layered_networks(widths: tuple[int, ...], activation: Activation) -> None:
    network = LayeredNetwork(widths, hidden_activation=activation)
    weights, x, y = _problem(network.free_network, 1)
    _check(network.free_network, weights * network.mask, x, y, network.depth, network.mask)


def test_a_masked_weight_has_no_gradient() -> None:
    network = FreeNetwork(2, 1, 3)
    weights, x, y = _problem(network, 3)
    mask = np.random.default_rng(0).random(weights.shape) < 0.5
    _, gradient = loss_gradient(network, weights * mask, x, y, 3, mask)
    _, unmasked = loss_gradient(network, weights * mask, x, y, 3)
    assert (gradient[~mask] == 0).all()
    np.testing.assert_array_equal(gradient[mask], unmasked[mask])
    assert np.abs(unmasked[~mask]).max() > 1e-3


def test_the_gradient_is_of_the_mean() -> None:
    """Twice the same datapoints, the same loss and gradient."""
    network = FreeNetwork(2, 1, 3)
    weights, x, y = _problem(network, 2)
    loss, gradient = loss_gradient(network, weights, x, y, 2)
    twice, doubled = loss_gradient(network, weights, np.concatenate([x, x]), np.concatenate([y, y]), 2)
    assert twice == pytest.approx(loss, rel=1e-14)
    np.testing.assert_allclose(doubled, gradient, rtol=1e-12)


def test_a_mask_that_does_not_fit_is_refused() -> None:
    network = FreeNetwork(2, 1, 3)
    with pytest.raises(ValueError, match="mask must be boolean of shape"):
        loss_gradient(network, *_problem(network, 2), 2, np.ones((3, 3), dtype=bool))


def test_numerical_gradients_leave_masked_weights_alone() -> None:
    weights = np.array([1.0, 2.0, 3.0])
    tried = []

    def function(w: NDArray[np.float64]) -> float:
        tried.append(tuple(w != weights))
        return float((w**2).sum())

    mask = np.array([True, False, True])
    np.testing.assert_allclose(reference.numerical_gradient(function, weights, mask=mask), [2, 0, 6], atol=1e-9)
    assert set(tried) == {(True, False, False), (False, False, True)}
