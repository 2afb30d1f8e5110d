"""Feedback alignment, and what its relatives share with it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import Field

from freewalk.harness.methods.backprop import BackpropParameters
from freewalk.harness.methods.gradient import GradientMethod, exact_recipes
from freewalk.harness.methods.method import Card

if TYPE_CHECKING:
    from freewalk.kernels.trainers.descent import Descent


class FeedbackParameters(BackpropParameters):
    """What descent uses besides whose errors come back by matrices of their own."""

    feedback_scale: float = Field(
        1.0,
        gt=0,
        allow_inf_nan=False,
        description="size of the weights that errors come back through, as a multiple of Glorot's",
    )


class FeedbackAlignment(GradientMethod):
    """Backpropagation whose errors come back through fixed random matrices in the place of the transposed weights.

    The last layer's gradient is exact. What the layers below take for theirs is not, but the forward weights come to
    lie so that it leads downhill: the angle to the gradient falls below 90 degrees while the network learns.
    """

    name = "feedback-alignment"
    summary = "feedback alignment: errors come back through fixed random weights"
    parameters = FeedbackParameters
    also_called: tuple[str, ...] = ("fa",)
    networks = "layered"
    multiplies_matrices = True
    gradient = "predicted"
    recipes = exact_recipes(4000)
    card = Card(
        equation="delta_i = dL/dz_i for the last layer and (delta_{i+1} F_i) f'(z_i) below; the gradient of W_i is "
        "taken for the mean over the batch of h_{i-1}' delta_i; F_i is fixed and has the shape of W_{i+1}', uniform "
        "within ±feedback_scale sqrt(6 / (n_i + n_{i+1}))",
        reference="Lillicrap, Cownden, Tweed and Akerman, Random synaptic feedback weights support error "
        "backpropagation for deep learning, Nature Communications 7:13276, 2016, doi:10.1038/ncomms13276",
        unbiased="the gradient of the last layer; nothing below, where the angle to it starts near 90 degrees",
        variance="that of the batch alone",
        cost="B (1 + backward_cost): as backprop, for feedback has the shapes of the weights that it replaces",
        deviations="feedback is Glorot-uniform where the paper chose its range by hand, such as ±0.5 for 30-20-10; "
        "any optimizer may follow",
        held_by="tests/kernels/trainers/test_feedback.py",
    )

    def descent(self) -> Descent:
        """Import and return its kernels."""
        from freewalk.kernels.trainers.feedback import FEEDBACK_ALIGNMENT

        return FEEDBACK_ALIGNMENT


FEEDBACK_ALIGNMENT = FeedbackAlignment()
