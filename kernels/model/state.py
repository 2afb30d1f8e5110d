"""What a trial needs to go on to the same bits: named arrays, the same names and shapes on every backend.

    method       (), text: its name
    optimizer    (), text: raw, sgd, momentum or adam
    step         (), int64: steps taken so far
    weights      (n_from, n_to) float64
    velocity     (n_from, n_to) float64, of momentum
    first_moment, second_moment
                 (n_from, n_to) float64, of adam
    predictor_k  (features, width of hidden layer k), of synthetic; other methods have arrays of their own as well

Noise and data are functions of seed and step, so nothing else is left of the steps before. A state may go on with
another batch size or learning rate, but not with another network, method or optimiser.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from freewalk.kernels.model.optimizers import MOMENTS
from freewalk.kernels.model.walk import State

Shape = tuple[int, ...]


class Configuration(Protocol):
    """What a state tells of a method's configuration."""

    @property
    def method(self) -> str:
        """Its name."""

    @property
    def moved_by(self) -> str:
        """What moves the weights, a key of `freewalk.kernels.model.optimizers.MOMENTS`."""


class TrainerConfiguration(Configuration, Protocol):
    """What trainers of every method read."""

    @property
    def timesteps(self) -> int: ...  # noqa: D102
    @property
    def data_per_step(self) -> int:
        """Datapoints drawn for a step."""


def moment_names(configuration: Configuration) -> tuple[str, ...]:
    """Return the names of the optimiser's arrays, in the order in which the kernels hold them."""
    return MOMENTS[configuration.moved_by]


def make_state(
    configuration: Configuration,
    step: int,
    weights: NDArray[np.float64],
    moments: Sequence[NDArray[np.float64]],
    **more: NDArray[Any],
) -> State:
    """Return a state of copies.

    Parameters
    ----------
    configuration
        How the trial takes its steps.
    step
        Steps taken so far.
    weights
        (n_from, n_to).
    moments
        (n_from, n_to) each, in the order of `moment_names`.
    more
        Other arrays of the method.
    """
    arrays = dict(zip(moment_names(configuration), moments, strict=True)) | more
    return {
        "method": np.array(configuration.method),
        "optimizer": np.array(configuration.moved_by),
        "step": np.array(step, dtype=np.int64),
        "weights": weights.copy(),
        **{name: array.copy() for name, array in arrays.items()},
    }


def check_state(
    state: Mapping[str, NDArray[Any]],
    configuration: Configuration,
    shape: Shape,
    *,
    mask: NDArray[np.bool_] | None = None,
    fixed: NDArray[np.float64] | None = None,
    **more: Shape,
) -> None:
    """Raise ValueError, naming what does not fit, unless a state is one of such a trial.

    Parameters
    ----------
    state
        What shall be restored.
    configuration, shape, mask, fixed
        How the trial takes its steps, (n_from, n_to), where it trains weights, and what they are elsewhere: 0 if None.
    more
        Shapes of the other arrays of the method.
    """
    for name, wanted in (("method", configuration.method), ("optimizer", configuration.moved_by)):
        if name not in state:
            raise ValueError(f"the state has no {name!r}")
        if str(state[name]) != wanted:
            raise ValueError(f"the state is of a trial with {name} {state[name]}, this one has {name} {wanted}")
    matrices = ("weights", *moment_names(configuration))
    shapes: dict[str, Shape] = {"step": (), **dict.fromkeys(matrices, shape), **more}
    _check_arrays(state, shapes)
    if not np.issubdtype(state["step"].dtype, np.integer) or int(state["step"]) < 0:
        raise ValueError(f"the step of a state must be an integer of at least 0, got {state['step']}")
    if mask is None:
        return
    stays = 0.0 if fixed is None else fixed[~mask]
    if (state["weights"][~mask] != stays).any() or any(state[name][~mask].any() for name in matrices[1:]):
        raise ValueError("the state is of a trial with another mask: it has weights where this one has none")


def _check_arrays(state: Mapping[str, NDArray[Any]], shapes: Mapping[str, Shape]) -> None:
    for name, wanted in shapes.items():
        if name not in state:
            raise ValueError(f"the state has no {name!r}")
        if state[name].shape != wanted:
            raise ValueError(f"{name} of the state has shape {state[name].shape}, this trial's has shape {wanted}")
        if state[name].dtype.kind not in "fiu":
            raise ValueError(f"{name} of the state must hold numbers, got {state[name].dtype}")
    surplus = sorted(state.keys() - shapes.keys() - {"method", "optimizer"})
    if surplus:
        raise ValueError(f"the state has {', '.join(map(repr, surplus))}, which this trial has not")
