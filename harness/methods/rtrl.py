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
        equation="J_t[ij, n] = da_t[n]/dW[ij], 0 at first; J_{t+1}[ij, n] = k J_t[ij, n] + s_t[n] (sum_q J_t[ij, q] "
        "W_a[q, n] + (j = n) u_t[i]); dL/dW[ij] = mean over the batch of sum_t (u_t[i] d_t[j] + sum_n J_t[ij, n] "
        "l_t[n])",
        reference="Williams and Zipser, A learning algorithm for continually running fully recurrent neural networks, "
        "Neural Computation 1(2), 1989, doi:10.1162/neco.1989.1.2.270",
        unbiased="the gradient of the mean loss over the batch, exactly, as backpropagation through time finds it",
        variance="that of the batch alone",
        cost="B (1 + N^2 + (N + 1) r): a pass; each of P weights has N answers, each a sum over N neurons, N^2 times "
        "the multiply-adds of a pass; where outputs are read, a sum over the answers, and no more than a pass for the "
        "rest",
        deviations="weights move at the end of a sequence, not at every timestep; no teacher forcing",
        held_by="tests/kernels/cpu/test_cpu_online.py",
    )

    def descent(self) -> Descent:
        """Import and return its kernels."""
        from freewalk.kernels.trainers.online import RTRL

        return RTRL


RTRL = Rtrl()
