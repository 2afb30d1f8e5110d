"""Sign symmetry: feedback with the signs of the forward weights."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pydantic import Field

from freewalk.harness.methods.feedback_alignment import FeedbackAlignment, FeedbackParameters
from freewalk.harness.methods.method import Card

if TYPE_CHECKING:
    from freewalk.kernels.trainers.descent import Descent


class SignParameters(FeedbackParameters):
    """What sign symmetry uses besides."""

    magnitudes: Literal["uniform", "fixed", "batchwise"] = Field(
        "uniform",
        description="size of feedback weights, whose signs are those of the forward weights: uniform: all alike; "
        "fixed: random numbers that stay; batchwise: new ones at every step",
    )


class SignSymmetry(FeedbackAlignment):
    """Backpropagation through weights that have the signs of the forward weights, and magnitudes of their own.

    The three `magnitudes` are the paper's sign-concordant feedbacks uSF (`uniform`), frSF (`fixed`) and brSF
    (`batchwise`).
    """

    name = "sign-symmetry"
    summary = "sign symmetry: errors come back through the signs of the weights"
    parameters = SignParameters
    also_called = ("ss", "usf", "frsf", "brsf")
    card = Card(
        equation="delta_i = dL/dz_i for the last layer and (delta_{i+1} F_i) f'(z_i) below; the gradient of W_i is "
        "taken for the mean over the batch of h_{i-1}' delta_i; F_i = M_i sign(W_{i+1}') element by element, sign(0) "
        "= 0; M_i = feedback_scale sqrt(2 / (n_i + n_{i+1})) (magnitudes=uniform), or the absolute values of numbers "
        "uniform within ±feedback_scale sqrt(6 / (n_i + n_{i+1})), drawn once (fixed) or at every step (batchwise)",
        reference="Liao, Leibo and Poggio, How important is weight symmetry in backpropagation?, AAAI 2016, "
        "arXiv:1510.05067",
        unbiased="the gradient of the last layer; nothing below, but with one hidden layer each output's share of "
        "what arrives there has the right sign",
        variance="that of the batch; with magnitudes=batchwise that of the magnitudes as well",
        cost="B (1 + backward_cost): as backprop; signs are taken once a step and not counted",
        deviations="magnitudes are scaled as Glorot's where the paper's are 1 or uniform in (0, 1); without its batch "
        "normalisation and its batch Manhattan update, which takes the sign of the whole gradient",
        held_by="tests/kernels/trainers/test_feedback.py",
    )

    def descent(self) -> Descent:
        """Import and return its kernels."""
        from freewalk.kernels.trainers.feedback import SIGN_SYMMETRY

        return SIGN_SYMMETRY


SIGN_SYMMETRY = SignSymmetry()
