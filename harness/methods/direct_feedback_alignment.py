"""Direct feedback alignment."""

from __future__ import annotations

from typing import TYPE_CHECKING

from freewalk.harness.methods.feedback_alignment import FeedbackAlignment
from freewalk.harness.methods.method import Card

if TYPE_CHECKING:
    from freewalk.kernels.trainers.descent import Descent


class DirectFeedbackAlignment(FeedbackAlignment):
    """Backpropagation whose output error goes straight to every hidden layer, each by a fixed random matrix.

    No layer waits for the one above it. With one hidden layer it is feedback alignment.
    """

    name = "direct-feedback-alignment"
    summary = "direct feedback alignment: the output error goes to every layer through fixed random weights"
    also_called = ("dfa",)
    card = Card(
        equation="delta_i = dL/dz_i for the last layer and (delta F_i) f'(z_i) below, with delta that of the last; "
        "the gradient of W_i is taken for the mean over the batch of h_{i-1}' delta_i; F_i (n, n_i) is fixed, with n "
        "outputs, uniform within ±feedback_scale sqrt(6 / (n + n_i))",
        reference="Nøkland, Direct feedback alignment provides learning in deep neural networks, NeurIPS 2016, "
        "arXiv:1609.01596",
        unbiased="the gradient of the last layer; nothing below",
        variance="that of the batch alone",
        cost="B (1 + backward_cost (1 + S / P) / 2): a pass forward, half a backward pass for the gradients of P "
        "weights, and as much for each of S feedback weights, which send errors down",
        deviations="weights start Glorot-uniform as those of every method, not at 0, and so does the feedback; the "
        "error is the derivative of the loss by the last sums, which for cross-entropy is the paper's output less "
        "target",
        held_by="tests/kernels/trainers/test_feedback.py",
    )

    def descent(self) -> Descent:
        """Import and return its kernels."""
        from freewalk.kernels.trainers.feedback import DIRECT_FEEDBACK_ALIGNMENT

        return DIRECT_FEEDBACK_ALIGNMENT


DIRECT_FEEDBACK_ALIGNMENT = DirectFeedbackAlignment()
