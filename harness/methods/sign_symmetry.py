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
    also_called = ("ss", "sign_symmetry", "usf", "frsf", "brsf")
    card = Card(
        equation="delta_L = dL/dz_L; delta_i = (delta_{i+1} B_i) f'(z_i) with B_i = M_i sign(W_{i+1}') element by "
        "element; M_i = feedback_scale sqrt(2 / (n_i + n_{i+1})), or |U(±feedback_scale sqrt(6 / (n_i + n_{i+1})))|, "
        "drawn once or at every step; sign(0) = 0",
        reference="Liao, Leibo and Poggio, How important is weight symmetry in backpropagation?, AAAI 2016, "
        "arXiv:1510.05067",
        unbiased="the gradient of the last layer; nothing below, but with one hidden layer what arrives there has the "
        "right sign for each output",
        variance="that of the batch; with magnitudes=batchwise that of the magnitudes as well",
        cost="B (1 + backward_cost), as backprop; the signs are taken once a step and not counted",
        deviations="magnitudes are scaled as Glorot's where the paper's are 1 or U(0, 1); without its batch "
        "normalisation and its batch Manhattan update, which takes the sign of the whole gradient",
        held_by="tests/kernels/trainers/test_feedback.py",
    )

    def descent(self) -> Descent:
        """Import and return its kernels."""
        from freewalk.kernels.trainers.feedback import SIGN_SYMMETRY

        return SIGN_SYMMETRY


SIGN_SYMMETRY = SignSymmetry()
