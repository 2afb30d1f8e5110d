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
        equation="dL/dW[ij] = (L(W + h e) - L(W - h e)) / (2 h), e being 1 at [ij] and 0 elsewhere: one weight after "
        "another, on the same batch",
        reference="textbook: central differences, as in Press et al., Numerical Recipes, 3rd edition, section 5.7, "
        "Cambridge University Press, 2007",
        unbiased="the gradient of the mean loss over the batch, exactly but for h^2 / 6 times a third derivative, and "
        "rounding",
        variance="that of the batch alone, and rounding over h",
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
