"""A trainer of one's own in NumPy: give it a step, and it is a trial."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from freewalk.harness.methods.method import Start
from freewalk.kernels.cpu.perturbed import Comparison, Perturbations
from freewalk.kernels.data.datapoints import draw
from freewalk.kernels.model.noise import DEFAULT_GENERATOR, DEFAULT_NOISE, Generator, Noise, Stream
from freewalk.kernels.model.optimizers import Sgd, make_optimizer
from freewalk.kernels.model.walk import Evaluation, Progress, Sides
from freewalk.kernels.trainers.reference_trainer import measure
from freewalk.kernels.trainers.running import run_on_arrays

Array = NDArray[np.float64]


class ArrayTrainer(ABC):
    """One trial of a method of one's own; `take_step` says what a step is.

    Attributes
    ----------
    start : Start
        What the trial was given: network, mask, batch size, the method's parameters.
    network : FreeNetwork
        What is trained.
    step : int
        Steps taken so far.
    values : ndarray
        (n_from, n_to) float64, the weights; `take_step` moves them, in place or by a new array.
    evaluations : int
        Forward passes of one datapoint that `losses` has taken so far.
    """

    calls_perturb = False
    """Whether a method of the class calls `perturb`, whose kernels are then compiled before the clock runs."""

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        code = (getattr(one, "__code__", None) for one in vars(cls).values())
        cls.calls_perturb |= any("perturb" in one.co_names for one in code if one is not None)

    def __init__(self, start: Start) -> None:
        self.start = start
        self.network = start.network
        self.step = 0
        self.values: Array = start.initial.astype(np.float64)
        self.evaluations = 0
        self._stop = False
        self._perturbations: dict[tuple[float, str, str, str], Perturbations] = {}
        self._optimizer = _optimizer_of(start)

    @abstractmethod
    def take_step(self) -> float:
        """Move `values` by one step, and return the mean training loss before it."""

    def batch(self) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Return the training data of the present step: x and y, `batch_size` datapoints, as `losses` takes them."""
        return self._draw(Stream.DATA, self.step, self.start.batch_size)

    def losses(self, weights: Array, x: NDArray[Any], y: NDArray[Any]) -> NDArray[np.float32]:
        """Return the loss of each datapoint under weights (n_from, n_to): one evaluation each, in float32."""
        self.evaluations += len(x)
        return run_on_arrays(self.network, weights, x, y, self.start.timesteps)[1]

    def perturb(
        self,
        stddev: float,
        *,
        sides: Sides = "one",
        noise: Noise = DEFAULT_NOISE,
        generator: Generator = DEFAULT_GENERATOR,
    ) -> Comparison:
        """Run the present step's training data, each datapoint under a perturbation of its own and without one.

        Perturbations and kernels are those of the built-in walk, and so is the time that they take. It costs 2 B
        evaluations.

        Parameters
        ----------
        stddev, sides, noise, generator
            As for the walk, see `freewalk.WalkConfiguration`.
        """
        key = (stddev, sides, noise, generator)
        known = self._perturbations.get(key)
        if known is None:
            start = self.start
            walk: dict[str, Any] = {"stddev": stddev, "sides": sides, "noise": noise, "generator": generator}
            known = self._perturbations[key] = Perturbations(
                self.network, start.timesteps, batch_size=start.batch_size, seed=start.seed, data=start.data,
                mask=start.mask, **walk,
            )  # fmt: skip
        self.evaluations += 2 * self.start.batch_size
        return known.losses(self.values, self.step)

    def descend(self, gradient: Array) -> None:
        """Move `values` down a gradient, (n_from, n_to), as the method's parameters say.

        Those are `learning_rate`, which it has to have, and `optimizer` (sgd where it has none), `momentum` and
        `schedule`. What an optimizer keeps from step to step is part of the state.

        Raises
        ------
        ValueError
            If the method has no parameter `learning_rate`.
        """
        if self._optimizer is None:
            raise ValueError("descend needs a parameter learning_rate; give the method's model one")
        self.values -= self._optimizer.change(gradient, self.step)

    def random(self) -> np.random.Generator:
        """Return the present step's random numbers, the same for the same seed and step."""
        return np.random.default_rng((self.start.seed, self.step))

    def unmasked(self, noise: Array) -> Array:
        """Return (n_from, n_to) numbers with zeros where there is no weight."""
        return noise if self.start.mask is None else noise * self.start.mask

    def train(self, n_steps: int) -> Progress:
        """Take up to `n_steps` steps; stop early when asked to, or after a loss that is not finite."""
        first, loss = self.step, math.nan
        with np.errstate(all="ignore"):
            for _ in range(n_steps):
                if self._stop:
                    break
                loss = float(self.take_step())
                self.step += 1
                if not math.isfinite(loss):
                    break
        return Progress(self.step - first, loss)

    def request_stop(self) -> None:
        """Let a `train` that runs in another thread return after its present step."""
        self._stop = True

    def evaluate(self) -> Evaluation:
        """Measure the weights on held-out data."""
        x, y = self._draw(Stream.EVALUATION_DATA, 0, self.start.evaluation_points)
        with np.errstate(all="ignore"):
            outputs, _ = run_on_arrays(self.network, self.values, x, y, self.start.timesteps)
            return measure(self.network, outputs, y)

    @property
    def weights(self) -> Array:
        """A copy of the weights, (n_from, n_to)."""
        return self.values.copy()

    def state(self) -> dict[str, NDArray[Any]]:
        """Return what the trial needs to go on to the same bits; a subclass with arrays of its own adds them."""
        kept = {"step": np.array(self.step, dtype=np.int64), "values": self.values.copy()}
        return kept | {name: np.array(value, dtype=np.float64) for name, value in self._moments.items()}

    def restore(self, state: Mapping[str, NDArray[Any]]) -> None:
        """Go on from a `state`.

        Raises
        ------
        ValueError
            If it is of another network.
        """
        values = state.get("values")
        if values is None or values.shape != self.values.shape or "step" not in state:
            raise ValueError(f"the state must hold step and values of shape {self.values.shape}")
        self.step, self.values = int(state["step"]), values.astype(np.float64)
        self._moments.update({name: np.array(state[name]) for name in self._moments if name in state})

    @property
    def _moments(self) -> dict[str, Any]:
        return {} if self._optimizer is None else self._optimizer.moments

    def _draw(self, stream: Stream, step: int, n: int) -> tuple[NDArray[Any], NDArray[Any]]:
        start = self.start
        options: dict[str, Any] = {"seed": start.seed, "stream": stream, "step": step, "n_datapoints": n}
        return draw(self.network, start.data, start.timesteps, **options)


def _optimizer_of(start: Start) -> Sgd | None:
    """Return the optimizer that a method's parameters name, at its start; None without a learning rate."""
    given = start.parameters
    if getattr(given, "learning_rate", None) is None:
        return None
    names = {"optimizer": "sgd", "learning_rate": None, "momentum": 0.9, "schedule": "constant"}
    settings = {name: getattr(given, name, default) for name, default in names.items()}
    return make_optimizer(cast(Any, SimpleNamespace(**settings, schedule_steps=start.steps)))
