"""Descent along local traces and fed back errors: random-feedback local online learning, or e-prop."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pydantic import Field

from freewalk.harness.methods.gradient import OptimizerParameters
from freewalk.harness.methods.method import Card
from freewalk.harness.methods.online import OnlineMethod, recipes

if TYPE_CHECKING:
    from freewalk.kernels.trainers.descent import Descent


class RfloParameters(OptimizerParameters):
    """What local online learning uses besides."""

    feedback: Literal["random", "symmetric"] = Field(
        "random",
        description="how errors reach neurons: random: by fixed random numbers; symmetric: by the weights to the "
        "outputs, as e-prop's",
    )


class Rflo(OnlineMethod):
    """Random-feedback local online learning."""

    name = "rflo"
    summary = "random-feedback local online learning: a trace for each weight, errors fed back at random; or e-prop"
    parameters = RfloParameters
    also_called = ("e-prop", "eprop", "e_prop")
    gradient = "unknown"
    recipes = recipes(2)
    card = Card(
        equation="p_{t+1}[ij] = k p_t[ij] + s_t[j] u_t[i], 0 at first; the gradient of W[ij] is taken for the mean "
        "over the batch of sum_t (u_t[i] d_t[j] + p_t[ij] (d_t F')[j]), F random and fixed, or the columns of W_a "
        "that lead to outputs (feedback=symmetric)",
        reference="Murray, Local online learning in recurrent networks with random feedback, eLife 8:e43299, 2019, "
        "doi:10.7554/eLife.43299; e-prop: Bellec et al., Nature Communications 11:3625, 2020, "
        "doi:10.1038/s41467-020-17236-y",
        unbiased="nothing: it is RTRL without what reaches a neuron through others or through its own weight; with "
        "symmetric feedback the gradient over at most two timesteps, and over any number where only outputs hear "
        "neurons and nobody hears outputs",
        variance="that of the batch alone",
        cost="B (2 + 2 r): a pass, a multiply-add for each trace, and where outputs are read one for its credit, and "
        "no more than a pass for the rest",
        deviations="outputs are neurons of the layer, one timestep behind those they read, so errors meet the traces "
        "of the timestep before; weights move at the end of a sequence; random feedback is uniform, with the paper's "
        "variance; output neurons learn from their own error, with symmetric feedback from what they send on as well",
        held_by="tests/kernels/cpu/test_cpu_online.py",
    )

    def descent(self) -> Descent:
        """Import and return its kernels."""
        from freewalk.kernels.trainers.online import RFLO

        return RFLO


RFLO = Rflo()
