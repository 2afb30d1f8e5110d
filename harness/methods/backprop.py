"""Descent along the exact gradient, by backpropagation (through time)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import Field

from freewalk.harness.methods.gradient import GradientMethod, OptimizerParameters, exact_recipes
from freewalk.harness.methods.method import Card

if TYPE_CHECKING:
    from freewalk.kernels.trainers.descent import Descent


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
    takes_wiring = True
    keeps_timesteps = True
    recipes = exact_recipes(4000)
    card = Card(
        equation="e_t = delta_t W_a' + k e_{t+1} + what the loss reads of a_t, delta_t = s_t e_{t+1}; dL/dW = mean "
        "over the batch of sum_t u_t' delta_t; in layers delta_i = (delta_{i+1} W_{i+1}') f'(z_i), dL/dW_i = mean of "
        "h_{i-1}' delta_i",
        reference="Rumelhart, Hinton and Williams, Learning representations by back-propagating errors, Nature 323, "
        "1986, doi:10.1038/323533a0; through time: Werbos, Proceedings of the IEEE 78(10), 1990, doi:10.1109/5.58337",
        unbiased="the gradient of the mean loss over the batch, exactly; on average that of the task",
        variance="that of the batch alone",
        cost="B (1 + backward_cost): a pass forward and one backward, which takes twice as many multiply-adds",
        deviations="none",
        held_by="tests/kernels/cpu/test_cpu_gradients.py",
    )

    def descent(self) -> Descent:
        """Import and return its kernels."""
        from freewalk.kernels.trainers.backprop import BACKPROP

        return BACKPROP


BACKPROP = Backprop()
