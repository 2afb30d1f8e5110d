"""The rule of Kolen and Pollack: feedback that learns to be the transposed weights."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from pydantic import Field

from freewalk.harness.methods.feedback_alignment import FeedbackAlignment, FeedbackParameters
from freewalk.harness.methods.method import Card, Scalar

if TYPE_CHECKING:
    from freewalk.kernels.trainers.descent import Descent


class KolenPollackParameters(FeedbackParameters):
    """What the rule of Kolen and Pollack uses besides."""

    weight_decay: float = Field(
        1e-4, ge=0, lt=1, description="share that weights with feedback, and their feedback, lose at each step"
    )


class KolenPollack(FeedbackAlignment):
    """Feedback alignment whose matrices take the transposed steps of the weights, while both decay.

    Their difference from the transposed weights shrinks by 1 - weight_decay at every step, so that the rule becomes
    backpropagation with weight decay, and no weight is ever looked at from the other side.
    """

    name = "kolen-pollack"
    summary = "Kolen-Pollack: errors come back through weights that learn to mirror the forward weights"
    parameters = KolenPollackParameters
    also_called = ("kp", "akrout")
    plain: Mapping[str, Scalar] = {**FeedbackAlignment.plain, "weight_decay": 0.0}
    card = Card(
        equation="delta_i = dL/dz_i for the last layer and (delta_{i+1} F_i) f'(z_i) below; the gradient of W_i is "
        "taken for the mean over the batch of h_{i-1}' delta_i; with U_i what the optimizer takes from W_i, W_i <- (1 "
        "- weight_decay) W_i - U_i and F_{i-1} <- (1 - weight_decay) F_{i-1} - U_i' for every layer above the first; "
        "F_i starts as in feedback-alignment",
        reference="Kolen and Pollack, Backpropagation without weight transport, ICNN 1994, "
        "doi:10.1109/ICNN.1994.374486; Akrout et al., Deep learning without weight transport, 2019, arXiv:1904.05391",
        unbiased="the gradient of the last layer; nothing below, until F_i is W_{i+1}': their difference is (1 - "
        "weight_decay)^steps of what it was, and with it gone the gradient of all layers is right",
        variance="that of the batch alone",
        cost="B (1 + backward_cost): as backprop; the steps of the feedback are those of the weights, computed already",
        deviations="the first layer and biases, which have no feedback, do not decay; any optimizer's change is "
        "mirrored, not only that of plain gradient descent",
        held_by="tests/kernels/trainers/test_feedback.py",
    )

    def descent(self) -> Descent:
        """Import and return its kernels."""
        from freewalk.kernels.trainers.feedback import KOLEN_POLLACK

        return KOLEN_POLLACK


KOLEN_POLLACK = KolenPollack()
