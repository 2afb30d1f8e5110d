"""The original program's class."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import Any, Protocol, Self

import click
import numpy as np
from numpy.typing import ArrayLike, NDArray

from freewalk.harness.base.errors import UsageError
from freewalk.harness.drop_in.batches import batch_of, inputs_of, unpack, why_not_finite
from freewalk.harness.drop_in.debugging import line_of, tensors_of
from freewalk.harness.drop_in.settings import Settings, settings_of
from freewalk.harness.drop_in.steps import make_stepper
from freewalk.harness.methods.walk import WALK
from freewalk.harness.weights.outputs import Measures, measure
from freewalk.harness.weights.weights_file import SavedWeights, save

Array = NDArray[np.float64]


class SupportsNext(Protocol):
    """What `next` can be called on."""

    def __next__(self) -> Any: ...


class NNRndTraining:
    """Train a free network by the smart random walk, on batches that any Python iterator gives.

    Parameters
    ----------
    config
        The original program's keys; see docs/drop-in.md for those and the ones that came later.
    echo
        Where lines go; `None` for nowhere.
    more
        Keys given by name.

    Raises
    ------
    UsageError
        If a key is unknown or missing, or a value does not fit: it names the key, what is expected and what was found.

    Examples
    --------
    >>> import numpy as np
    >>> def batches():
    ...     while True:
    ...         x = np.random.default_rng(0).uniform(-1, 1, (8, 1))
    ...         yield x, x > 0
    >>> config = {"num_input": 1, "num_hidden": 2, "num_output": 1, "timesteps": 1, "batch_size": 8}
    >>> training = NNRndTraining(config, epochs=1, epoch_steps=5, echo=None)
    >>> training.train(batches())
    >>> training.run(np.array([[0.5]])).shape
    (1, 1)
    """

    def __init__(
        self, config: Mapping[str, Any], *, echo: Callable[[str], object] | None = click.echo, **more: Any
    ) -> None:
        self._settings: Settings = settings_of(config, more)
        self._echo: Callable[[str], object] = echo or (lambda line: None)
        self._stepper, self.backend = make_stepper(self._settings)
        self.loss = math.nan
        """Mean loss of the last step, before its update."""

    @classmethod
    def load(
        cls, path: str | os.PathLike[str], *, echo: Callable[[str], object] | None = click.echo, **more: Any
    ) -> Self:
        """Return a training that starts from a weights file, at step 0 and with the next seed, for fresh noise.

        Parameters
        ----------
        path
            As `save` and `harness train` write it.
        echo
            Where lines go; `None` for nowhere.
        more
            Keys that differ from those it was trained with; sizes cannot.

        Raises
        ------
        UsageError
            If the file cannot be read, or a key does not fit its network.
        """
        from freewalk.harness.drop_in.loading import config_of

        return cls(config_of(Path(path), more), echo=echo)

    @property
    def step(self) -> int:
        """Steps taken so far."""
        return self._stepper.step

    @property
    def weights(self) -> Array:
        """A copy of the weights, (n_from, n_to) float64: rows input, bias, output, hidden; columns output, hidden."""
        return self._stepper.weights

    @property
    def n_weights(self) -> int:
        """Number of weights that are trained."""
        return self._settings.n_weights

    @property
    def saved(self) -> SavedWeights:
        """What `save` writes: the network, its weights and how they were trained."""
        settings = self._settings
        record = {"seed": settings.keys.seed, "steps": self.step, "backend": self.backend}
        if math.isfinite(self.loss):
            record["train_loss"] = self.loss
        mask = settings.mask if settings.widths is None else None
        described = settings.network, None, settings.parameters, record, WALK.name, settings.widths
        return SavedWeights(self.weights, *described, settings.configuration.timesteps, mask)

    def train(self, iterator: Iterable[Any] | SupportsNext) -> None:
        """Take the configuration's epochs times epoch_steps steps, each on one `next(iterator)`.

        Prints the number of weights and the test coverage, then each epoch's number, mean loss of its last step and
        seconds. As many batches are taken as steps, one at a time, none ahead; training ends early, after a line that
        says so, when the iterator does. Another call goes on from there.

        Parameters
        ----------
        iterator
            Gives pairs (x, target) of batch_size datapoints; `__next__` is all that it needs.

        Raises
        ------
        UsageError
            If a batch does not fit: it names what was expected and what was found. The weights stay those before it.
        ArithmeticError
            If a loss is not finite; the weights stay those before that step.
        """
        batches = _iterator(iterator, "train")
        settings = self._settings
        coverage = 100 * settings.configuration.batch_size / self.n_weights / 2
        self._echo(f"Number of weights: {self.n_weights}")
        self._echo(f"Test coverage: {coverage:.1f} %")
        for epoch in range(1, settings.keys.epochs + 1):
            start = time.perf_counter()
            for done in range(settings.keys.epoch_steps):
                try:
                    item = next(batches)
                except StopIteration:
                    self._echo(f"The iterator ended after {done} of {settings.keys.epoch_steps} steps of epoch {epoch}")
                    return
                self.train_step(*unpack(item))
            self._echo(f"Epoch {epoch}: loss {self.loss:.6g}, {time.perf_counter() - start:.2f} s")

    def train_step(self, x: Any, target: Any, *, noise: ArrayLike | None = None) -> float:
        """Take one step; return the mean loss before it.

        Parameters
        ----------
        x, target
            batch_size datapoints, shapes as the configuration says.
        noise
            (batch_size, n_from, n_to) perturbations, of standard deviation test_stddev; None draws those of the seed
            and the step.

        Raises
        ------
        UsageError, ArithmeticError
            As `train`.
        """
        settings, step = self._settings, self.step
        xs, ys = batch_of(settings, x, target, settings.configuration.batch_size)
        unit_noise = None if noise is None else self._unit(noise)
        before = self._show(xs, ys, unit_noise) if settings.keys.debug else None
        rate = settings.rate_at(step)
        loss = self._stepper.take_step(xs, ys, learning_rate=rate, unit_noise=unit_noise)
        if not math.isfinite(loss):
            raise ArithmeticError(f"the loss of step {step} is {loss}, nothing was moved: {why_not_finite(xs, ys)}")
        self.loss = loss
        if before is not None:
            self._echo(line_of("update", self.weights - before))
        return loss

    def run(self, x: ArrayLike) -> Array:
        """Return the outputs of any number of datapoints, computed in float64.

        Parameters
        ----------
        x
            Shaped as the configuration says.

        Returns
        -------
        (B, num_output), or (B, T, num_output) with sequence_output
        """
        rows = inputs_of(self._settings, x, None)
        network, timesteps = self._settings.network, self._settings.configuration.timesteps
        shape = (-1, timesteps, network.n_input) if network.sequence_input else (-1, network.n_input)
        return self.saved.predict(rows.reshape(shape))

    def evaluate(self, data: Any, target: Any = None, *, steps: int = 1) -> Measures:
        """Return loss and errors on datapoints, without moving a weight.

        Parameters
        ----------
        data, target
            Inputs and targets of any number of datapoints; or an iterator alone, which is asked for `steps` batches.

        Raises
        ------
        UsageError
            If a batch does not fit, or the iterator gives none.
        """
        if target is not None:
            return self._measured([(data, target)])
        if steps < 1:
            raise UsageError(f"steps must be at least 1, got {steps}")
        batches = _iterator(data, "evaluate")
        return self._measured([unpack(item) for item in islice(batches, steps)])

    def save(self, path: str | os.PathLike[str], *, replace: bool = False) -> None:
        """Write the weights and all that is needed to run them, whole or not at all; `freewalk.load` reads them.

        Parameters
        ----------
        path
            A .npz.
        replace
            Whether a file of that name may be replaced.

        Raises
        ------
        UsageError
            If there is such a file and it may not be replaced, or it cannot be written.
        """
        save(path, self.saved, replace=replace)

    def _measured(self, batches: list[tuple[Any, Any]]) -> Measures:
        if not batches:
            raise UsageError("the iterator gave no batch to evaluate")
        settings, saved = self._settings, self.saved
        network, timesteps = settings.network, settings.configuration.timesteps
        rows = [batch_of(settings, x, target, None) for x, target in batches]
        xs, ys = (np.concatenate(part) for part in zip(*rows, strict=True))
        x = xs.reshape(len(xs), timesteps, -1) if network.sequence_input else xs
        y = ys.reshape(len(ys), timesteps, -1) if network.sequence_output else ys
        return measure(network, saved.predict(x), y.astype(np.float64))

    def _unit(self, noise: ArrayLike) -> Array:
        """Return noise divided by its standard deviation, as the kernels want it."""
        stddev, network = self._settings.configuration.stddev, self._settings.network
        array = np.asarray(noise, dtype=np.float64)
        wanted = (self._settings.configuration.batch_size, network.n_from, network.n_to)
        if array.shape != wanted:
            raise UsageError(f"noise must have shape (batch_size, n_from, n_to) = {wanted}, got {array.shape}")
        if stddev == 0:
            raise UsageError("configuration key 'test_stddev' is 0, which leaves no room for noise; give one above 0")
        return array / stddev

    def _show(self, xs: Any, ys: Any, unit_noise: Array | None) -> Array:
        """Print the first values of the tensors of a step that is about to be taken; return the weights."""
        weights = self.weights
        self._echo(f"Step {self.step}")
        for name, tensor in tensors_of(self._settings, weights, xs, ys, self.step, unit_noise).items():
            self._echo(line_of(name, tensor))
        return weights


def _iterator(batches: Any, function: str) -> Iterator[Any]:
    """Return an iterator; of an object that has `__next__` alone too, which is all that the original program needs."""
    try:
        return iter(batches)
    except TypeError:
        if hasattr(type(batches), "__next__"):
            return _each(batches)
    name = getattr(batches, "__name__", "") if callable(batches) else ""
    got = f"{name} itself; hand over {name}()" if name else type(batches).__name__
    raise UsageError(f"{function} needs an iterator of (x, target), got {got}")


def _each(batches: SupportsNext) -> Iterator[Any]:
    while True:
        try:
            item = next(batches)
        except StopIteration:
            return
        yield item
