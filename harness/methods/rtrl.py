"""Descent along the exact gradient, carried forward in time: real-time recurrent learning."""

from __future__ import annotations

from typing import TYPE_CHECKING

from freewalk.harness.methods.method import Card
from freewalk.harness.methods.online import OnlineMethod, recipes

if TYPE_CHECKING:
    from freewalk.kernels.trainers.descent import Descent


class Rtrl(OnlineMethod):
    """Real-time recurrent learning."""

    name = "rtrl"
    summary = "real-time recurrent learning: descent along the exact gradient, carried forward in time"
    also_called = ("real_time_recurrent_learning", "forward_mode")
    carries_answers = True
    recipes = recipes(1)
    card = Card(
        equation="P_t[ij, m] = da_t[m]/dW[ij]; P_{t+1}[ij, m] = k_m P_t[ij, m] + s_t[m] (sum_n P_t[ij, n] W_a[n, m] + "
        "[j = m] u_t[i]); dL/dW[ij] = sum over t that are read of [j is an output] u_t[i] delta_t[j] + "
        "sum_n P_t[ij, n] (W_a delta_t)[n]",
        reference="Williams and Zipser, A learning algorithm for continually running fully recurrent neural networks, "
        "Neural Computation 1(2), 1989, doi:10.1162/neco.1989.1.2.270",
        unbiased="the gradient of the mean loss over the batch, exactly, as backpropagation through time finds it",
        variance="that of the batch alone",
        cost="B (1 + N^2 + (N + 1) r) for N neurons, r the share of timesteps at which outputs are read: each of P "
        "weights has N answers, each a sum over N neurons, N^2 times the multiply-adds of a pass",
        deviations="weights move at the end of a sequence, not at every timestep; no teacher forcing",
        held_by="tests/kernels/cpu/test_cpu_online.py",
    )

    def descent(self) -> Descent:
        """Import and return its kernels."""
        from freewalk.kernels.trainers.online import RTRL

        return RTRL


RTRL = Rtrl()
