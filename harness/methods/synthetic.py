"""Descent along predicted gradients: decoupled neural interfaces."""

from collections.abc import Mapping
from typing import Literal

from pydantic import Field

from freewalk.harness.methods.backprop import BackpropParameters
from freewalk.harness.methods.gradient import BITS, CLASSES, GradientMethod
from freewalk.harness.methods.method import Recipe


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
    layered_only = True
    multiplies_matrices = True
    gradient = "predicted"
    recipes: Mapping[str, Recipe] = {
        "and": Recipe(2000, _BITS),
        "xor": Recipe(4000, _BITS),
        "sign": Recipe(4000, _BITS),
        "segments": Recipe(4000, _CLASSES),
        "digits": Recipe(4000, {**_CLASSES, "learning_rate": "0.005"}),
    }


SYNTHETIC = Synthetic()
