"""Direct random target projection."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from freewalk.harness.methods.feedback_alignment import FeedbackAlignment
from freewalk.harness.methods.method import Card, Recipe

if TYPE_CHECKING:
    from freewalk.kernels.trainers.descent import Descent


class DirectRandomTargetProjection(FeedbackAlignment):
    """Direct feedback alignment that sends the targets to the hidden layers in the place of the output's error.

    A layer can learn as soon as it has its own output, before those above it have theirs. It is made for classes, where
    the target of each tells the sign of its error. A lone output pushes hidden neurons one way for 1 and not at all for
    0, until they saturate: AND and XOR are not learned, and there is no way up the ladder.
    """

    name = "direct-random-target-projection"
    summary = "direct random target projection: the target goes to every layer through fixed random weights"
    also_called = ("drtp",)
    recipes: Mapping[str, Recipe] = {}
    card = Card(
        equation="delta_i = dL/dz_i for the last layer and (y F_i) f'(z_i) below, with y the targets; the gradient of "
        "W_i is taken for the mean over the batch of h_{i-1}' delta_i; F_i (n, n_i) is fixed, with n outputs, uniform "
        "within ±feedback_scale sqrt(6 / (n + n_i))",
        reference="Frenkel, Lefebvre and Bol, Learning without feedback: fixed random learning signals allow for "
        "feedforward training of deep neural networks, Frontiers in Neuroscience 15, 2021, "
        "doi:10.3389/fnins.2021.629892, arXiv:1909.01311",
        unbiased="the gradient of the last layer; nothing below. It is made for classes: with a lone output, 0 or 1, "
        "hidden layers are pushed one way, and neither AND nor XOR is learned",
        variance="that of the batch alone",
        cost="B (1 + backward_cost (1 + S / P) / 2): a pass forward, half a backward pass for the gradients of P "
        "weights, and as much for each of S feedback weights, which send targets down",
        deviations="feedback is Glorot-uniform where the authors' program draws it within ±sqrt(6 / n_i); any "
        "optimizer may follow",
        held_by="tests/kernels/trainers/test_feedback.py",
    )

    def descent(self) -> Descent:
        """Import and return its kernels."""
        from freewalk.kernels.trainers.feedback import DIRECT_RANDOM_TARGET_PROJECTION

        return DIRECT_RANDOM_TARGET_PROJECTION


DIRECT_RANDOM_TARGET_PROJECTION = DirectRandomTargetProjection()
