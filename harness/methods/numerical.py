"""Descent along a gradient by central differences of the loss, weight by weight."""

from __future__ import annotations

from typing import TYPE_CHECKING

from freewalk.harness.methods.gradient import GradientMethod, exact_recipes

if TYPE_CHECKING:
    from freewalk.harness.methods.problem import ResolvedProblem


class Numerical(GradientMethod):
    """Finite differences."""

    name = "numerical"
    summary = "finite differences: descent along central differences of the loss"
    also_called = ("fd", "finite_differences")
    tolerances = (100 * 1e-6, 2e-2)  # differences of a loss that is itself rounded
    recipes = exact_recipes(600)

    def passes(self, problem: ResolvedProblem) -> float:
        """Return two for each weight, up and down."""
        return 2 * problem.n_weights


NUMERICAL = Numerical()
