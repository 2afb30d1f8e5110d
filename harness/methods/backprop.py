"""Descent along the exact gradient, by backpropagation (through time)."""

from pydantic import Field

from freewalk.harness.methods.gradient import GradientMethod, OptimizerParameters, exact_recipes


class BackpropParameters(OptimizerParameters):
    """What descent along the exact gradient uses besides."""

    backward_cost: float = Field(
        2.0, ge=0, allow_inf_nan=False, description="evaluations that the backward pass of one datapoint counts for"
    )


class Backprop(GradientMethod):
    """Backpropagation."""

    name = "backprop"
    summary = "backpropagation: descent along the exact gradient"
    parameters = BackpropParameters
    also_called = ("bp", "bptt", "gradient_descent")
    multiplies_matrices = True
    keeps_timesteps = True
    recipes = exact_recipes(4000)


BACKPROP = Backprop()
