"""Descent along predicted gradients: decoupled neural interfaces."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Literal

from pydantic import Field

from freewalk.harness.methods.backprop import BackpropParameters
from freewalk.harness.methods.gradient import BITS, CLASSES, GradientMethod
from freewalk.harness.methods.method import Card, Recipe
from freewalk.harness.methods.space import Range, descents

if TYPE_CHECKING:
    from freewalk.harness.methods.problem import ResolvedProblem
    from freewalk.kernels.trainers.descent import Descent


class SyntheticParameters(BackpropParameters):
    """What descent along predicted gradients (decoupled neural interfaces) uses besides."""

    predictor: Literal["linear", "bias", "input", "conditioned", "context"] = Field(
        "linear",
        description="what predicts the gradient by a layer's activations: linear: a linear map of them; bias: with "
        "biases; input: and of the network's input; conditioned: and of the target; context: and of both",
    )
    predictor_learning_rate: float = Field(
        0.1, gt=0, allow_inf_nan=False, description="length of a predictor's steps, plain gradient descent"
    )
    predictor_normalisation: Literal["none", "batch"] = Field(
        "none", description="batch: predictors see activations of mean 0 and variance 1 over the batch"
    )
    truncation: int = Field(
        1,
        ge=0,
        le=2**31 - 1,
        description="timesteps that gradients are sent back through before predicted ones take over; 0: all",
    )


_BITS = {**BITS, "predictor": "conditioned"}
_CLASSES = {**CLASSES, "predictor": "conditioned", "predictor_learning_rate": "0.01"}


class Synthetic(GradientMethod):
    """Synthetic gradients: of a layered network for every hidden layer, of a free one at the ends of segments in time.

    A free network sends gradients back through `truncation` timesteps; what would arrive from later ones is predicted
    from the activations there. Without a prediction this is truncated backpropagation through time, and with
    `truncation=0`, or one of at least all timesteps, backpropagation.
    """

    name = "synthetic"
    summary = "synthetic gradients: descent along gradients predicted for each layer, or for the timesteps to come"
    parameters = SyntheticParameters
    # Layers that move faster than predictors follow run away.
    learning_rates: Mapping[str, float] = {"sgd": 0.1, "momentum": 0.01, "adam": 0.003}
    spaces = descents(learning_rates, predictor_learning_rate=Range(0.003, 1))
    also_called = ("dni",)
    multiplies_matrices = True
    gradient = "predicted"
    recipes: Mapping[str, Recipe] = {
        "and": Recipe(2000, _BITS),
        "xor": Recipe(4000, _BITS),
        "sign": Recipe(4000, _BITS),
        "segments": Recipe(4000, _CLASSES),
        "digits": Recipe(4000, {**_CLASSES, "learning_rate": "0.005"}),
    }
    card = Card(
        equation="layers: delta_i = dL/dz_i for the last and s_i f'(z_i) below, where s_i = q_i A_i predicts dL/dh_i "
        "from q_i = h_i (predictor=linear), [h_i, 1] (bias) or [h_i, v, 1] with v the input, the target "
        "(conditioned) or both (context); the gradient of W_i is taken for the mean over the batch of h_{i-1}' "
        "delta_i; A_i -= predictor_learning_rate times the mean of q_i' (s_i - delta_{i+1} W_{i+1}'). Free networks: "
        "backpropagation through `truncation` timesteps; at their end q_t A, q_t from a_t as above, stands for the "
        "derivative by a_t of what is lost later, and learns from what the next segment sends back",
        reference="Jaderberg et al., Decoupled neural interfaces using synthetic gradients, 2017, arXiv:1608.05343",
        unbiased="the gradient of the last layer; nothing below, or through time, where it is as right as its "
        "predictor; on free networks with truncation=0 all of it",
        variance="that of the batch, also through the predictors, which follow it",
        cost="B (1 + backward_cost + (1 + backward_cost / 2) S / P): as backprop, and predictors of S weights run "
        "forward once, learn, and send nothing down; on free networks S counts by the segments that end early, over "
        "the timesteps",
        deviations="predictors are linear and learn by plain gradient descent; predictor_normalisation normalises what "
        "they see. Layers move in turn within a step, and what a layer sends down passes the weights that it has just "
        "moved. Through time, weights and predictor move after the whole sequence, not after each segment, and one "
        "predictor serves all segments",
        held_by="tests/kernels/trainers/test_recurrent_synthetic.py",
    )

    def bytes_carried(self, problem: ResolvedProblem, *, float64: bool) -> int:
        """Return the memory of what a batch on a free network computed at every timestep: what entered, and more."""
        network, batch_size = problem.network, problem.configuration.batch_size
        return batch_size * problem.timesteps * (network.n_from + 3 * network.n_to) * (8 if float64 else 4)

    def descent(self) -> Descent:
        """Import and return its kernels."""
        from freewalk.kernels.trainers.synthetic import SYNTHETIC

        return SYNTHETIC


SYNTHETIC = Synthetic()
