"""Feedback alignment and its relatives on layered networks: exact gradients but for the way that errors come back."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, get_args

import numpy as np

from freewalk.kernels.model.descent import BackpropConfiguration
from freewalk.kernels.model.layered import LayeredNetwork, Network
from freewalk.kernels.model.walk import Data, check_positive, check_shares, check_words
from freewalk.kernels.reference.feedback import direct_deltas, draw_feedback, feedback_deltas
from freewalk.kernels.reference.layered_pass import Array, forward_layers, last_deltas, make_parameters, write_gradient
from freewalk.kernels.trainers.descent import Descent
from freewalk.kernels.trainers.layered_descent import LayeredDescent

Magnitudes = Literal["uniform", "fixed", "batchwise"]


@dataclass(frozen=True)
class FeedbackConfiguration(BackpropConfiguration):
    """Feedback by matrices of its own, which cost what the transposed weights cost.

    Raises
    ------
    ValueError
        If a value is out of range.
    """

    method: ClassVar = "feedback-alignment"
    feedback_scale: float = 1.0
    """Of the feedback matrices: times that of Glorot-uniform weights."""

    def __post_init__(self) -> None:
        super().__post_init__()
        check_positive(self, "feedback_scale")


class FeedbackAlignment(LayeredDescent):
    """One trial of feedback alignment: B_i is random and fixed. Parameters as for `LayeredDescent`."""

    _configuration: Any

    def __init__(self, layers: LayeredNetwork, configuration: Any, data: Data, **options: Any) -> None:
        super().__init__(layers, configuration, data, **options)
        self._feedback = self._drawn()

    def _drawn(self, *, direct: bool = False, step: int = 0) -> list[Array]:
        """Return random matrices (of the layer above, or the outputs; of the layer) for each hidden layer."""
        scale = self._configuration.feedback_scale
        drawn = draw_feedback(self._layers, self._seed, scale, direct=direct, step=step)
        return [matrix.astype(self._dtype) for matrix in drawn]

    def _deltas(self, activations: list[Array], last: Array, targets: Array) -> list[Array]:
        """Return what is taken for the derivative of the loss by the sums of every layer."""
        return feedback_deltas(self._layers, self._feedback, activations, last)

    def _find_gradient(self, x: Array, y: Array) -> float:
        activations = forward_layers(self._layers, self._used, x)
        deltas = self._deltas(activations, last_deltas(self._layers, activations[-1], y), y)
        write_gradient(self._gradient, activations, deltas)
        return self._mean_loss(activations[-1], y)


FEEDBACK_ALIGNMENT = Descent(FeedbackConfiguration, FeedbackAlignment)


@dataclass(frozen=True)
class DirectConfiguration(FeedbackConfiguration):
    """Feedback straight from the outputs."""

    method: ClassVar = "direct-feedback-alignment"

    def evaluations_per_datapoint(self, network: Network) -> float:
        """Return 1 + c/2 + c/2 S/P with c of `backward_cost` and S feedback weights, each used once."""
        assert isinstance(network, LayeredNetwork)
        sent = network.widths[-1] * sum(network.widths[1:-1]) / network.n_weights
        return 1.0 + self.backward_cost / 2 * (1.0 + sent)


class DirectFeedbackAlignment(FeedbackAlignment):
    """One trial of direct feedback alignment. Parameters as for `LayeredDescent`."""

    def _drawn(self, *, direct: bool = True, step: int = 0) -> list[Array]:
        return super()._drawn(direct=direct, step=step)

    def _deltas(self, activations: list[Array], last: Array, targets: Array) -> list[Array]:
        return direct_deltas(self._layers, self._feedback, activations, last)


DIRECT_FEEDBACK_ALIGNMENT = Descent(DirectConfiguration, DirectFeedbackAlignment)


@dataclass(frozen=True)
class TargetProjectionConfiguration(DirectConfiguration):
    """Targets straight to every layer."""

    method: ClassVar = "direct-random-target-projection"


class DirectRandomTargetProjection(DirectFeedbackAlignment):
    """One trial of direct random target projection. Parameters as for `LayeredDescent`."""

    def _deltas(self, activations: list[Array], last: Array, targets: Array) -> list[Array]:
        *hidden, _ = super()._deltas(activations, targets, targets)
        return [*hidden, last]


DIRECT_RANDOM_TARGET_PROJECTION = Descent(TargetProjectionConfiguration, DirectRandomTargetProjection)


@dataclass(frozen=True)
class SignConfiguration(FeedbackConfiguration):
    """Feedback with the signs of the weights.

    Raises
    ------
    ValueError
        If a value is out of range.
    """

    method: ClassVar = "sign-symmetry"
    magnitudes: Magnitudes = "uniform"
    """Of the feedback: all alike, random and fixed, or random for each step."""

    def __post_init__(self) -> None:
        super().__post_init__()
        check_words(self, magnitudes=get_args(Magnitudes))


class SignSymmetry(FeedbackAlignment):
    """One trial of sign symmetry: B_i = M_i sign(W_{i+1}'), element by element. Parameters as for `LayeredDescent`."""

    def _drawn(self, *, direct: bool = False, step: int = 0) -> list[Array]:
        if self._configuration.magnitudes != "uniform":
            return [np.abs(matrix) for matrix in super()._drawn(step=step)]
        scale = self._configuration.feedback_scale  # a Glorot-uniform matrix has this root mean square
        sizes = self._layers.layer_sizes[1:]
        return [np.full((1, 1), scale * math.sqrt(2.0 / (n_in + n_out)), dtype=self._dtype) for n_in, n_out in sizes]

    def _deltas(self, activations: list[Array], last: Array, targets: Array) -> list[Array]:
        if self._configuration.magnitudes == "batchwise":
            self._feedback = self._drawn(step=self.step)
        above = self._used.weights[1:]
        feedback = [m * np.sign(weights.T) for m, weights in zip(self._feedback, above, strict=True)]
        return feedback_deltas(self._layers, feedback, activations, last)


SIGN_SYMMETRY = Descent(SignConfiguration, SignSymmetry)


@dataclass(frozen=True)
class KolenPollackConfiguration(FeedbackConfiguration):
    """Feedback that learns.

    Raises
    ------
    ValueError
        If a value is out of range.
    """

    method: ClassVar = "kolen-pollack"
    weight_decay: float = 1e-4
    """Share of the weights that have feedback, and of the feedback, that is lost at each step."""

    def __post_init__(self) -> None:
        super().__post_init__()
        check_shares(self, "weight_decay")


class KolenPollack(FeedbackAlignment):
    """One trial of the rule of Kolen and Pollack. Parameters as for `LayeredDescent`.

    Whatever the optimiser makes of the gradient moves W_{i+1} and, transposed, B_i; both decay alike. So
    W_{i+1}' - B_i shrinks by 1 - weight_decay at every step.
    """

    def __init__(self, layers: LayeredNetwork, configuration: Any, data: Data, **options: Any) -> None:
        super().__init__(layers, configuration, data, **options)
        drawn = draw_feedback(layers, self._seed, configuration.feedback_scale)
        self._master_feedback = [np.ascontiguousarray(matrix) for matrix in drawn]

    @property
    def _learned(self) -> dict[str, Array]:
        return {f"feedback_{k}": matrix for k, matrix in enumerate(self._master_feedback)}

    def _deltas(self, activations: list[Array], last: Array, targets: Array) -> list[Array]:
        self._feedback = [matrix.astype(self._dtype) for matrix in self._master_feedback]
        return super()._deltas(activations, last, targets)

    def _move(self, change: Array) -> None:
        kept, moved = 1.0 - self._configuration.weight_decay, make_parameters(self._layers)
        moved.flat[:] = change
        for k, feedback in enumerate(self._master_feedback, start=1):
            self._master.weights[k] *= kept
            feedback *= kept
            feedback -= moved.weights[k].T
        super()._move(change)


KOLEN_POLLACK = Descent(KolenPollackConfiguration, KolenPollack)
