"""Descent along a gradient by central differences of the loss, weight by weight."""

from __future__ import annotations

from typing import TYPE_CHECKING

from freewalk.harness.methods.gradient import GradientMethod, exact_recipes
from freewalk.harness.methods.method import Card

if TYPE_CHECKING:
    from freewalk.harness.methods.problem import ResolvedProblem
    from freewalk.kernels.trainers.descent import Descent


class Numerical(GradientMethod):
    """Finite differences."""

    name = "numerical"
    summary = "finite differences: descent along central differences of the loss"
    also_called = ("fd", "finite_differences")
    tolerances = (100 * 1e-6, 2e-2)  # differences of a loss that is itself rounded
    recipes = exact_recipes(600)
    card = Card(
        equation="dL/dW_ij = (L(W + h e_ij) - L(W - h e_ij)) / (2 h), one weight after another, on the same batch",
        reference="textbook: central differences, as in Press et al., Numerical Recipes, section 5.7, 2007",
        unbiased="the gradient of the mean loss over the batch, up to h squared times a third derivative, and rounding",
        variance="that of the batch, and rounding over h",
        cost="2 P B: each of P weights up and down",
        deviations="none",
        held_by="tests/kernels/cpu/test_cpu_gradients.py",
    )

    def descent(self) -> Descent:
        """Import and return its kernels."""
        from freewalk.kernels.trainers.numerical import NUMERICAL

        return NUMERICAL

    def passes(self, problem: ResolvedProblem) -> float:
        """Return two for each weight, up and down."""
        return 2 * problem.n_weights


NUMERICAL = Numerical()
