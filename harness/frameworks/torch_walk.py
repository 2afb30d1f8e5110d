"""The walk on a PyTorch module."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Iterable, Mapping
from contextlib import nullcontext
from itertools import islice
from typing import Any

import numpy as np
import torch
from torch.utils import _pytree as pytree

from freewalk.harness.base.errors import one_line
from freewalk.harness.frameworks.population import Arrays, Descent, Found, State, estimate, first_difference, length_of
from freewalk.harness.frameworks.settings import settings_of
from freewalk.harness.frameworks.torch_passes import Model, TorchPasses
from freewalk.kernels.model.noise import DEFAULT_GENERATOR, Generator, Noise
from freewalk.kernels.model.walk import (
    Directions,
    Optimizer,
    Progress,
    Schedule,
    Shaping,
    Sides,
    Update,
    WalkConfiguration,
)

Tensor = Any
Module = Any

_TRIED = 2
"""Perturbations of the first step that are run one by one as well."""
_LARGER = (1.0, 16.0, 256.0)
_VISIBLE = 1e-3
"""They are made larger until they change the loss by such a part of it, for rounding not to hide a difference."""


class Walk:
    """A PyTorch module, trained by losses at perturbed weights; made by `walk`."""

    def __init__(self, model: Any, batched: bool | None, **options: Any) -> None:
        self._model: Model = model
        self._wanted = batched
        self._settings = settings_of(**options)
        self._arrays = Arrays({name: tuple(one.shape) for name, one in model.parameters.items()})
        self._descent = Descent(self._settings.walk, list(model.parameters))
        self._batched: bool | None = None
        self.steps = 0
        """Steps taken so far, which decide the noise of the next."""

    @property
    def module(self) -> Module:
        """The module, whose parameters it moves."""
        return self._model.module

    @property
    def batched(self) -> bool | None:
        """Whether perturbations run together; None before the first step that decides."""
        return self._batched

    def step(self, x: Any, y: Any = None) -> float:
        """Take one step: move the parameters in place, those with ``requires_grad``.

        Parameters
        ----------
        x, y
            A batch, datapoints along the first axis: tensors, or dicts, lists or tuples of them. The module is called
            as ``module(x)``, with a tuple as ``module(*x)``, with a dict as ``module(**x)``. y may be None.

        Returns
        -------
        float
            The mean loss before the step: with two sides the mean of all 2 K losses. If it is not finite, nothing was
            moved.

        Raises
        ------
        ValueError
            If x and y do not fit each other or `datapoints`; on the first step also if the module or the loss fails,
            or its value is not finite or not one number for each datapoint.
        """
        gradient, loss = self._found(x, y)
        if math.isfinite(loss):
            with torch.no_grad():
                for name, change in self._descent.changes(gradient, self.steps).items():
                    parameter = self._model.parameters[name]
                    parameter.sub_(change.to(parameter.dtype))
        self.steps += 1
        return loss

    def backward(self, x: Any, y: Any = None) -> float:
        """Add an estimate of the gradient to ``.grad`` of the parameters, for any optimiser, scheduler or clipping.

        Takes the place of ``loss.backward()``: parameters are as ``torch.optim`` and clipping want them. The next call
        draws other noise. Returns and raises as `step`.
        """
        gradient, loss = self._found(x, y)
        for name, parameter in self._model.parameters.items():
            own = gradient[name].to(parameter.dtype)
            parameter.grad = own if parameter.grad is None else parameter.grad + own
        self.steps += 1
        return loss

    def estimate(self, x: Any, y: Any = None) -> dict[str, Tensor]:
        """Return the estimate of the gradient that a step on this batch would take now, by name of the parameter.

        Nothing is moved, and the same call gives the same again.
        """
        return self._found(x, y).gradient

    def train(self, batches: Iterable[tuple[Any, Any]], *, steps: int | None = None) -> Progress:
        """Take a step on each of some batches (x, y), such as those of a DataLoader.

        Parameters
        ----------
        batches
            An iterable of pairs.
        steps
            The most steps to take; None: as many as there are batches.

        Returns
        -------
        Progress
            The steps taken, and the mean loss of the last before its update (NaN for no step). It ends early at a loss
            that is not finite, which moves nothing.
        """
        first, loss = self.steps, math.nan
        for x, y in islice(batches, steps):
            loss = self.step(x, y)
            if not math.isfinite(loss):
                break
        return Progress(self.steps - first, loss)

    def state_dict(self) -> State:
        """Return what it needs, besides the module's ``state_dict``, to go on to the same bits; for ``torch.save``."""
        moments = {
            kind: {name: value.clone() if hasattr(value, "clone") else value for name, value in of.items()}
            for kind, of in self._descent.moments.items()
        }
        return {"steps": self.steps, "seed": self._settings.seed, "moments": moments}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from a `state_dict`.

        Raises
        ------
        ValueError
            If it is of another seed, optimiser or module.
        """
        if set(state) != {"steps", "seed", "moments"}:
            raise ValueError(
                f"the state must hold steps, seed and moments, got {', '.join(map(str, state)) or 'nothing'}"
            )
        if state["seed"] != self._settings.seed:
            raise ValueError(f"the state is of seed {state['seed']}, this walk has seed {self._settings.seed}")
        like = self._model.parameters
        moments = {
            kind: {
                name: value.to(like[name].device, copy=True) if name in like and hasattr(value, "to") else value
                for name, value in of.items()
            }
            for kind, of in state["moments"].items()
        }
        self._descent.restore(moments)
        self.steps = int(state["steps"])

    def _found(self, x: Any, y: Any) -> Found:
        n = length_of(pytree.tree_leaves(x), "tensors")
        if y is not None and n != (len_y := length_of(pytree.tree_leaves(y), "tensors")):
            raise ValueError(f"x and y must have as many datapoints, got {n} and {len_y}")
        walk = self._settings.for_batch(n)
        if self._batched is None:
            self._batched = self._decide(walk, x, y)
        passes = TorchPasses(self._model, walk, x, y, self._seed_of_step, self._batched)
        return estimate(self._settings, self._arrays, walk, passes, self.steps)

    @property
    def _seed_of_step(self) -> int:
        """What the module's own random numbers follow from."""
        return (self._settings.seed * 0x9E3779B97F4A7C15 + self.steps) % 2**63

    def _decide(self, walk: WalkConfiguration, x: Any, y: Any) -> bool:
        """Check module and loss; return whether perturbations have the same losses together as alone."""
        losses = []
        for seed in (1, 2):
            with self._model.undisturbed(seed):
                losses.append(self._model.check(x, y, length_of(pytree.tree_leaves(x), "tensors")))
        if self._wanted is False:
            return False
        # masks of dropout differ between the two: then they are compared without
        with self._model.evaluating() if losses[0] != losses[1] else nullcontext():
            why = self._disagreement(walk, x, y)
        if not why:
            return True
        text = f"running perturbations together {why}"
        if self._wanted:
            raise ValueError(f"{text}; batched=False runs them one at a time")
        warnings.warn(f"{text}; they run one at a time, which batched=False says without trying", stacklevel=5)
        return False

    def _disagreement(self, walk: WalkConfiguration, x: Any, y: Any) -> str:
        rows = slice(0, min(_TRIED, walk.n_perturbations))
        noise = self._arrays.draw(self._settings, self.steps, rows.start, rows.stop)
        together, alone = (TorchPasses(self._model, walk, x, y, 0, batched) for batched in (True, False))
        larger, wanted, spread = _LARGER[0], np.array([]), 0.0
        for by in _LARGER:
            losses = alone.losses(noise, (by, -by), rows)
            if not np.isfinite(losses).all():
                break
            larger, wanted, spread = by, losses, float(np.abs(losses[0] - losses[1]).max())
            if spread > _VISIBLE * float(np.abs(losses).max()):
                break
        try:
            found = together.losses(noise, (larger, -larger), rows)
        except Exception as error:
            return f"failed: {one_line(error)}"
        if not wanted.size:  # no loss is finite: there is nothing to compare
            return ""
        resolution = max(2.0**-53 if one.dtype.itemsize > 4 else 2.0**-24 for one in self._model.parameters.values())
        difference = first_difference(found, wanted, spread, resolution)
        return difference and f"gave other losses ({difference})"


def walk(
    module: Module,
    loss: Callable[[Any, Any], Any],
    *,
    stddev: float,
    rank: int | None = 1,
    noise: Noise = "rademacher",
    generator: Generator = DEFAULT_GENERATOR,
    perturbations: int | None = None,
    datapoints: int | None = None,
    sides: Sides = "two",
    directions: Directions = "independent",
    shaping: Shaping = "none",
    update: Update = "normalised",
    optimizer: Optimizer = "adam",
    learning_rate: float | None = None,
    momentum: float = 0.9,
    schedule: Schedule = "constant",
    schedule_steps: int = 1,
    seed: int = 0,
    at_once: int | None = None,
    batched: bool | None = None,
) -> Walk:
    """Train a PyTorch module by losses at perturbed weights, without backpropagation.

    Parameters
    ----------
    module
        Any ``torch.nn.Module``. Parameters with ``requires_grad`` are perturbed and moved; buffers stay as they are.
    loss
        ``loss(outputs, y)`` of a batch: one number, its mean, or one for each datapoint; such as
        ``torch.nn.functional.cross_entropy``.
    stddev, sides, noise, generator, directions, shaping, update, optimizer, momentum, schedule, schedule_steps
        As for every walk, see `WalkConfiguration`.
    rank
        Of a perturbation in each parameter: a matrix is perturbed by so many products of two vectors, and W + D is not
        formed. None: every weight's own number.
    perturbations
        K a step, which all see the whole batch; 64 if `datapoints` is not given.
    datapoints
        Datapoints that see one perturbation, in place of `perturbations`: a batch of B is dealt out to B / datapoints.
    learning_rate
        None: 0.1 with sgd, 0.3 with momentum, 0.01 with adam.
    seed
        Of the noise, and of what the module draws while it is perturbed, such as dropout.
    at_once
        Perturbations that run at a time; the memory of a step grows with it. None: as many as see 8,192 datapoints
        between them, 16 to 1,024, and of full perturbations no more than 32 MB hold.
    batched
        True, or ValueError; False runs perturbations one at a time, with the weights set. None: together if that gives
        the same losses, as the first step finds out; else one at a time, after a warning.

    Returns
    -------
    Walk

    Raises
    ------
    ValueError
        If a value is out of range, or the module has no parameters to train.

    Examples
    --------
    >>> import torch
    >>> import freewalk.torch
    >>> module = torch.nn.Linear(2, 1)
    >>> walk = freewalk.torch.walk(module, torch.nn.functional.mse_loss, stddev=0.01, learning_rate=0.05)
    >>> x = torch.randn(32, 2)
    >>> walk.train([(x, x.sum(1, keepdim=True))] * 200).loss < 0.01
    True
    """
    options = {name: value for name, value in locals().items() if name not in ("module", "loss", "batched")}
    return Walk(Model(module, loss), batched, **options)
