"""What every trial in NumPy shares: its data, its loop of steps, its measures."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from freewalk.kernels.data.datapoints import draw
from freewalk.kernels.model.network import FreeNetwork, check_initial, check_mask
from freewalk.kernels.model.noise import Stream, initial_weights
from freewalk.kernels.model.optimizers import make_optimizer
from freewalk.kernels.model.state import TrainerConfiguration, check_state, make_state, moment_names
from freewalk.kernels.model.walk import Data, Evaluation, Progress, State
from freewalk.kernels.reference import reference
from freewalk.kernels.reference.reference import Array


class ReferenceTrainer(ABC):
    """One trial in NumPy float64; what a step is, its subclasses say.

    Parameters
    ----------
    network
        What is trained.
    configuration
        How a step is taken.
    data
        Where datapoints come from.
    seed
        Key of all random numbers.
    evaluation_points
        Held-out datapoints of an evaluation.
    mask
        (n_from, n_to), False where no weight is trained.
    initial
        (n_from, n_to) weights to start from, which stay where none is trained; None draws them, 0 there.
    """

    def __init__(
        self,
        network: FreeNetwork,
        configuration: TrainerConfiguration,
        data: Data,
        *,
        seed: int,
        evaluation_points: int,
        mask: NDArray[np.bool_] | None = None,
        initial: NDArray[np.float64] | None = None,
    ) -> None:
        check_mask(network, mask)
        check_initial(network, initial)
        self.network = network
        self.step = 0
        self._configuration = configuration
        self._timesteps = configuration.timesteps
        self._optimizer = make_optimizer(cast(Any, configuration))
        self._data = data
        self._seed = seed
        self._evaluation_points = evaluation_points
        self._mask = mask
        start = initial_weights(network.n_from, network.n_to, seed) if initial is None else initial.astype(np.float64)
        self._weights: Array = start if mask is None or initial is not None else start * mask
        self._stop = False

    @property
    def weights(self) -> Array:
        """A copy of the weights, (n_from, n_to)."""
        return self._weights.copy()

    def state(self) -> State:
        """Return a copy of everything that the trial needs to go on."""
        moments = self._optimizer.moments
        matrices = [np.broadcast_to(moments[name], self._weights.shape) for name in moment_names(self._configuration)]
        return make_state(self._configuration, self.step, self._weights, matrices, **self._learned)

    def restore(self, state: Mapping[str, NDArray[Any]]) -> None:
        """Go on from a state of a trial like this one; raise ValueError, naming what does not fit, otherwise."""
        shapes = {name: array.shape for name, array in self._learned.items()}
        check_state(state, self._configuration, self._weights.shape, mask=self._mask, fixed=self._weights, **shapes)
        self.step = int(state["step"])
        self._weights = state["weights"].astype(np.float64)
        for name in moment_names(self._configuration):
            self._optimizer.moments[name] = state[name].astype(np.float64)
        for name, array in self._learned.items():
            array[:] = state[name]

    @property
    def _learned(self) -> dict[str, NDArray[Any]]:
        """What a step moves beside the weights, by its name in states; restored in place."""
        return {}

    @abstractmethod
    def _take_step(self) -> float:
        """Return the mean training loss of a step and, if it is finite, move the weights."""

    def _draw(self, stream: Stream, step: int, n_datapoints: int) -> tuple[NDArray[Any], NDArray[Any]]:
        return draw(
            self.network,
            self._data,
            self._timesteps,
            seed=self._seed,
            stream=stream,
            step=step,
            n_datapoints=n_datapoints,
        )

    def _batch(self) -> tuple[NDArray[Any], NDArray[Any]]:
        """Return the training data of the present step."""
        return self._draw(Stream.DATA, self.step, self._configuration.data_per_step)

    def train(self, n_steps: int) -> Progress:
        """Take `n_steps` steps; stop early after a loss that is not finite."""
        first_step, loss = self.step, math.nan
        with np.errstate(all="ignore"):  # a trial that diverges is a result, and the loss shows it
            for _ in range(n_steps):
                if self._stop:
                    break
                loss = self._take_step()
                self.step += 1
                if not math.isfinite(loss):
                    break
        return Progress(self.step - first_step, loss)

    def request_stop(self) -> None:
        """Let a `train` that runs in another thread return after its present step."""
        self._stop = True

    def _outputs(self, x: NDArray[Any]) -> NDArray[Any]:
        """Return the outputs of the present weights."""
        return reference.forward(self.network, self._weights, x, self._timesteps)

    def evaluate(self) -> Evaluation:
        """Measure the weights on held-out data, the same at every call."""
        x, y = self._draw(Stream.EVALUATION_DATA, 0, self._evaluation_points)
        with np.errstate(all="ignore"):
            return measure(self.network, self._outputs(x), y)


def measure(network: FreeNetwork, outputs: NDArray[Any], y: NDArray[Any]) -> Evaluation:
    """Return the measures of outputs, shapes as in freewalk.kernels.reference, without those whose target is NaN."""
    counts = ~np.isnan(y)
    right = (outputs > 0.5) == (y > 0.5)
    spread = (outputs.max(axis=0) - outputs.min(axis=0)).max()
    return Evaluation(
        loss=float(reference.losses(network, outputs, y).mean()),
        bit_accuracy=float(right[counts].mean()) if counts.any() else math.nan,
        row_accuracy=float((right | ~counts).reshape(len(right), -1).all(axis=1).mean()),
        max_error=float(np.abs(outputs - y)[counts].max(initial=0.0)),
        output_spread=float(spread),
        accuracy=class_accuracy(outputs, y),
    )


def class_accuracy(outputs: NDArray[Any], y: NDArray[Any]) -> float:
    """Return the share of classes found, as `Evaluation.accuracy` says; outputs and y (..., n_output)."""
    y = np.where(np.isnan(y), -np.inf, y)
    has_class = y.max(axis=-1) > 0.5
    found = (outputs.argmax(axis=-1) == y.argmax(axis=-1)) & ~np.isnan(outputs).any(axis=-1)
    return float(found[has_class].mean()) if has_class.any() else math.nan
