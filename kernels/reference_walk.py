"""The walk in NumPy float64 on the same noise and data as the fast backends; slow, for checking."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from freewalk.kernels import reference
from freewalk.kernels.data import fill_arrays
from freewalk.kernels.network import FreeNetwork, check_mask
from freewalk.kernels.noise import Stream, initial_weights, unit_perturbations
from freewalk.kernels.walk import Data, Evaluation, Progress, WalkConfiguration

_ADAM_BETAS = (0.9, 0.999)
_ADAM_EPSILON = 1e-8


class ReferenceWalk:
    """One trial in NumPy. Parameters as for `freewalk.kernels.cpu.trial.CpuWalk`; it knows no threads."""

    def __init__(
        self,
        network: FreeNetwork,
        configuration: WalkConfiguration,
        data: Data,
        *,
        seed: int,
        evaluation_points: int,
        mask: NDArray[np.bool_] | None = None,
    ) -> None:
        check_mask(network, mask)
        self.network = network
        self.step = 0
        self._configuration = configuration
        self._data = data
        self._seed = seed
        self._evaluation_points = evaluation_points
        self._mask = mask
        start = initial_weights(network.n_from, network.n_to, seed)
        self._weights = start if mask is None else start * mask
        self._optimizer = _make_optimizer(configuration)
        self._stop = False

    @property
    def weights(self) -> NDArray[np.float64]:
        """A copy of the weights, (n_from, n_to)."""
        return self._weights.copy()

    def _draw(self, stream: Stream, step: int, n_datapoints: int) -> tuple[NDArray[Any], NDArray[Any]]:
        network, timesteps = self.network, self._configuration.timesteps
        x, y = fill_arrays(
            self._data.address,
            self._data.argument,
            seed=self._seed,
            stream=stream,
            step=step,
            n_datapoints=n_datapoints,
            timesteps=timesteps,
            x_shape=(network.input_rows(timesteps), network.n_input),
            y_shape=(network.output_rows(timesteps), network.n_output),
        )
        return (x if network.sequence_input else x[:, 0]), (y if network.sequence_output else y[:, 0])

    def train(self, n_steps: int) -> Progress:
        """Take `n_steps` steps; stop early after a loss that is not finite."""
        first_step, loss = self.step, math.nan
        for _ in range(n_steps):
            if self._stop:
                break
            loss = self._take_step()
            self.step += 1
            if not math.isfinite(loss):
                break
        return Progress(self.step - first_step, loss)

    def _take_step(self) -> float:
        network, configuration = self.network, self._configuration
        x, y = self._draw(Stream.DATA, self.step, configuration.batch_size)
        noise = unit_perturbations(
            network.n_from,
            network.n_to,
            seed=self._seed,
            step=self.step,
            datapoints=np.arange(configuration.batch_size),
            noise=configuration.noise,
        )
        timesteps = configuration.timesteps
        loss = self._training_loss(x, y, noise)
        estimate = reference.gradient_estimate(
            network,
            self._weights,
            x,
            y,
            timesteps,
            noise,
            configuration.stddev,
            sides=configuration.sides,
            mask=self._mask,
        )
        if math.isfinite(loss):
            self._weights = self._weights - self._optimizer.change(estimate, self.step)
        return loss

    def request_stop(self) -> None:
        """Let a `train` that runs in another thread return after its present step."""
        self._stop = True

    def _training_loss(self, x: NDArray[Any], y: NDArray[Any], noise: NDArray[np.float64]) -> float:
        """Return the mean loss that a step sees: unperturbed, or two-sided over both perturbations."""
        perturbations = self._configuration.stddev * noise * (1.0 if self._mask is None else self._mask)
        offsets = (0.0,) if self._configuration.sides == "one" else (perturbations, -perturbations)
        seen = [
            reference.forward(self.network, self._weights + offset, x, self._configuration.timesteps)
            for offset in offsets
        ]
        return float(np.mean([reference.losses(self.network, outputs, y) for outputs in seen]))

    def evaluate(self) -> Evaluation:
        """Measure the weights on held-out data, the same at every call."""
        x, y = self._draw(Stream.EVALUATION_DATA, 0, self._evaluation_points)
        outputs = reference.forward(self.network, self._weights, x, self._configuration.timesteps)
        right = (outputs > 0.5) == (y > 0.5)
        spread = (outputs.max(axis=0) - outputs.min(axis=0)).max()
        return Evaluation(
            loss=float(reference.losses(self.network, outputs, y).mean()),
            bit_accuracy=float(right.mean()),
            row_accuracy=float(right.reshape(len(right), -1).all(axis=1).mean()),
            max_error=float(np.abs(outputs - y).max()),
            output_spread=float(spread),
        )


class _Sgd:
    """W -= rate * g; the raw rule is this with rate stddev squared."""

    def __init__(self, configuration: WalkConfiguration) -> None:
        self._configuration = configuration

    def _rate(self, step: int) -> float:
        c = self._configuration
        if c.update == "raw" or c.schedule == "constant":
            return c.effective_learning_rate
        return c.learning_rate * 0.5 * (1 + math.cos(math.pi * min(1.0, step / c.schedule_steps)))

    def direction(self, gradient: NDArray[np.float64], step: int) -> NDArray[np.float64]:
        """Return what the learning rate multiplies."""
        return gradient

    def change(self, estimate: NDArray[np.float64], step: int) -> NDArray[np.float64]:
        """Return what is subtracted from the weights; `estimate` is stddev squared times the gradient."""
        if self._configuration.update == "raw":
            return estimate
        return self._rate(step) * self.direction(estimate / self._configuration.stddev**2, step)


class _Momentum(_Sgd):
    """v = momentum * v + g; W -= rate * v."""

    _velocity: float | NDArray[np.float64] = 0.0

    def direction(self, gradient: NDArray[np.float64], step: int) -> NDArray[np.float64]:
        self._velocity = self._configuration.momentum * self._velocity + gradient
        return self._velocity


class _Adam(_Sgd):
    """Adam with bias correction (Kingma and Ba, 2015)."""

    _first: float | NDArray[np.float64] = 0.0
    _second: float | NDArray[np.float64] = 0.0

    def direction(self, gradient: NDArray[np.float64], step: int) -> NDArray[np.float64]:
        beta_1, beta_2 = _ADAM_BETAS
        self._first = beta_1 * self._first + (1 - beta_1) * gradient
        self._second = beta_2 * self._second + (1 - beta_2) * gradient**2
        first = self._first / (1 - beta_1 ** (step + 1))
        second = self._second / (1 - beta_2 ** (step + 1))
        result: NDArray[np.float64] = first / (np.sqrt(second) + _ADAM_EPSILON)
        return result


def _make_optimizer(configuration: WalkConfiguration) -> _Sgd:
    if configuration.update == "raw":
        return _Sgd(configuration)
    return {"sgd": _Sgd, "momentum": _Momentum, "adam": _Adam}[configuration.optimizer](configuration)
