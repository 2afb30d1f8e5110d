"""Descent along predicted gradients: decoupled neural interfaces."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Literal

from pydantic import Field

from freewalk.harness.methods.backprop import BackpropParameters
from freewalk.harness.methods.gradient import BITS, CLASSES, GradientMethod
from freewalk.harness.methods.method import Card, Recipe

if TYPE_CHECKING:
    from freewalk.kernels.trainers.descent import Descent


class SyntheticParameters(BackpropParameters):
    """What descent along predicted gradients (decoupled neural interfaces) uses besides."""

    predictor: Literal["linear", "bias", "conditioned"] = Field(
        "linear",
        description="what predicts a hidden layer's gradient: linear: a linear map of its output; bias: with biases; "
        "conditioned: with biases, of its output and the target",
    )
    predictor_learning_rate: float = Field(
        0.1, gt=0, allow_inf_nan=False, description="length of a predictor's steps, plain gradient descent"
    )


_BITS = {**BITS, "predictor": "conditioned"}
_CLASSES = {**CLASSES, "predictor": "conditioned", "predictor_learning_rate": "0.01"}


class Synthetic(GradientMethod):
    """Synthetic gradients."""

    name = "synthetic"
    summary = "synthetic gradients: descent along gradients that each layer predicts for itself"
    parameters = SyntheticParameters
    # Layers that move faster than predictors follow run away.
    learning_rates: Mapping[str, float] = {"sgd": 0.1, "momentum": 0.01, "adam": 0.003}
    also_called = ("dni",)
    networks = "layered"
    multiplies_matrices = True
    gradient = "predicted"
    recipes: Mapping[str, Recipe] = {
        "and": Recipe(2000, _BITS),
        "xor": Recipe(4000, _BITS),
        "sign": Recipe(4000, _BITS),
        "segments": Recipe(4000, _CLASSES),
        "digits": Recipe(4000, {**_CLASSES, "learning_rate": "0.005"}),
    }
    card = Card(
        equation="delta_i = dL/dz_i for the last layer and s_i f'(z_i) below, where s_i = q_i A_i predicts dL/dh_i "
        "from q_i = h_i (predictor=linear), [h_i, 1] (bias) or [h_i, y, 1] (conditioned), y the target; the gradient "
        "of W_i is taken for the mean over the batch of h_{i-1}' delta_i; A_i -= predictor_learning_rate times the "
        "mean of q_i' (s_i - delta_{i+1} W_{i+1}')",
        reference="Jaderberg et al., Decoupled neural interfaces using synthetic gradients, 2017, arXiv:1608.05343",
        unbiased="the gradient of the last layer; nothing below, where it is as right as its predictor",
        variance="that of the batch, also through the predictors, which follow it",
        cost="B (1 + backward_cost + (1 + backward_cost / 2) S / P): as backprop, and predictors of S weights run "
        "forward once, learn, and send nothing down",
        deviations="predictors are linear and learn by plain gradient descent; layers move in turn within a step, and "
        "what a layer sends down passes the weights that it has just moved",
        held_by="tests/kernels/trainers/test_layered_descent.py",
    )

    def descent(self) -> Descent:
        """Import and return its kernels."""
        from freewalk.kernels.trainers.synthetic import SYNTHETIC

        return SYNTHETIC


SYNTHETIC = Synthetic()
