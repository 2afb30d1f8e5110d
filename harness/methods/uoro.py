"""Descent along an unbiased estimate that is carried forward in time: unbiased online recurrent optimization."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from freewalk.harness.methods.method import Card
from freewalk.harness.methods.online import OnlineMethod, recipes
from freewalk.harness.methods.space import descents

if TYPE_CHECKING:
    from freewalk.harness.methods.problem import ResolvedProblem
    from freewalk.kernels.trainers.descent import Descent


class Uoro(OnlineMethod):
    """Unbiased online recurrent optimization."""

    name = "uoro"
    summary = "unbiased online recurrent optimization: RTRL by a product of two vectors that is right on average"
    # Noise that grows with the sequence wants shorter steps than exact gradients.
    learning_rates: Mapping[str, float] = {"sgd": 0.3, "momentum": 0.03, "adam": 0.01}
    spaces = descents(learning_rates)
    also_called = ("unbiased_online_recurrent_optimization",)
    gradient = "estimated"
    recipes = recipes(2)
    card = Card(
        equation="with signs nu_t, q_t = k v_t + s_t (v_t W_a) and G_t[ij] = nu_t[j] s_t[j] u_t[i]: v_{t+1} = rho_0 "
        "q_t + rho_1 nu_t, w_{t+1} = w_t / rho_0 + G_t / rho_1, rho_0 = sqrt(|w_t| / |q_t|), rho_1 = sqrt(|G_t| / "
        "|nu_t|), 1e-7 added against a division by 0; v and w are 0 at first; the gradient of W[ij] is taken for the "
        "mean over the batch of sum_t (u_t[i] d_t[j] + w_t[ij] sum_n v_t[n] l_t[n])",
        reference="Tallec and Ollivier, Unbiased online recurrent optimization, 2017, arXiv:1702.05043",
        unbiased="the gradient of the mean loss over the batch, on average over the signs",
        variance="that of the batch, and that of the signs, which grows with neurons and timesteps; both rho keep it "
        "small, and B datapoints, each with its own signs, divide it by B",
        cost="B (4 + 2 r): a pass, one of v, a factor for each weight and its norm, and where outputs are read its "
        "credit, and no more than a pass for the rest",
        deviations="weights move at the end of a sequence; norms are of each datapoint, over all weights",
        held_by="tests/kernels/reference/test_online_gradients.py",
    )

    def numbers_per_step(self, problem: ResolvedProblem) -> float:
        """Return a sign for each neuron, timestep and datapoint."""
        return float(problem.configuration.batch_size * problem.timesteps * problem.network.n_to)

    def descent(self) -> Descent:
        """Import and return its kernels."""
        from freewalk.kernels.trainers.online import UORO

        return UORO


UORO = Uoro()
