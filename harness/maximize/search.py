"""Searching for the input: from weights and bounds to the best input of several restarts."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from numbers import Integral, Real
from typing import Any, Literal, Protocol, get_args, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from freewalk.harness.base.errors import UsageError, unknown
from freewalk.harness.maximize.ascent import climb, walk
from freewalk.harness.maximize.box import Box, Place
from freewalk.harness.maximize.corners import Corner, best_corner
from freewalk.harness.maximize.given import box_of, fixed_of
from freewalk.harness.maximize.goal import Goal
from freewalk.harness.maximize.ranges import box_of_task
from freewalk.harness.methods.own_networks import refuse_own
from freewalk.harness.weights.weights_file import SavedWeights, load

Array = NDArray[np.float64]
Method = Literal["gradient", "walk"]

STEPS: Mapping[str, int] = {"gradient": 1000, "walk": 300}
"""Most steps of a restart, by method."""
_MOST_RESTARTS = 1_000_000
TOLERANCE = 1e-3
"""Restarts that end so near to the best output count as having found it."""


@dataclass(frozen=True)
class AtBound:
    """An entry of the input that lies on one of its bounds."""

    place: tuple[int, ...]
    """(input,), or (timestep, input)."""
    side: Literal["lower", "upper"]
    binds: bool
    """Whether the output would get better beyond it."""


@dataclass(frozen=True)
class Maximum:
    """What a search found."""

    x: Array
    """The input, (n_input,) or (T, n_input)."""
    value: float
    """The output there."""
    at_bounds: tuple[AtBound, ...]
    """Entries on a bound, fixed ones left out."""
    values: Array
    """The output that each restart ended at, the best first."""
    n_best: int
    """Restarts within TOLERANCE of the best."""
    box: Box
    target: float
    corner: Corner | None
    """The best corner of the box, where binary inputs were asked for."""

    @property
    def binds(self) -> bool:
        """Whether a bound keeps the output from getting better."""
        return any(entry.binds for entry in self.at_bounds)


@runtime_checkable
class _HasSaved(Protocol):
    @property
    def saved(self) -> SavedWeights: ...


def maximize(
    weights: SavedWeights | _HasSaved | str | os.PathLike[str],
    output: int = 0,
    *,
    target: float = 1.0,
    bounds: Any = None,
    fixed: Mapping[Place, float] | Sequence[Any] | None = None,
    method: Method = "gradient",
    restarts: int = 20,
    steps: int | None = None,
    binary: bool = False,
    timestep: int | None = None,
    seed: int = 0,
) -> Maximum:
    """Find the input that makes an output largest, smallest, or equal to a value, inside a box.

    Parameters
    ----------
    weights
        A weights file, what `freewalk.load` gave, or a training.
    output
        Which output, from 0.
    target
        1: as large as can be; 0: as small; between: as near to it as can be.
    bounds
        (lower, upper), each a number or an array that broadcasts to an input's shape, (n_input,) or (T, n_input); or
        as SciPy has them, a (low, high) for each input or `scipy.optimize.Bounds`, None for no bound. Two pairs for two
        inputs that could be read either way are refused, but in a tuple of two lists, which is (lower, upper).
        ``"none"`` for no bounds at all. None: the range of the task's own inputs.
    fixed
        Values of inputs that stay as they are, by number, or by (timestep, number) for a sequence; or a value for each
        input, None where it is free.
    method
        ``gradient``: ascent along the exact gradient. ``walk``: along estimates from random perturbations of the input.
    restarts
        Starting points: the middle of the box, then random ones.
    steps
        Of a restart, at most; None: 1,000 along the gradient, 300 of the walk.
    binary
        Whether to look for the best corner too, every input at one of its bounds.
    timestep
        Of a sequence of outputs, from 0, the one that counts; None: the last.
    seed
        Of the starting points and the perturbations.

    Returns
    -------
    Maximum
        The input, its output, the bounds it lies on, and where the other restarts ended.

    Raises
    ------
    UsageError
        If something does not fit the network, or no bounds are given and none are known.
    """
    saved = _weights_of(weights)
    refuse_own(
        "maximize", getattr(saved.network, "name", None), "RandomWalk can search the input of a loss of your own"
    )
    _check(method, output=output, target=target, timestep=timestep, restarts=restarts, steps=steps, seed=seed)
    goal = _goal(saved, output, target, timestep)
    box = _box(saved, bounds).fixed(fixed_of(input_shape(saved), fixed))
    if not box.free.any():
        raise UsageError("every input is fixed; leave one free")
    if binary and not box.is_bounded:
        raise UsageError("binary inputs need a lower and an upper bound; give bounds such as 0,1")
    starts = box.starts(restarts, seed)
    most = STEPS[method] if steps is None else steps
    ends = climb(goal, box, starts, most) if method == "gradient" else walk(goal, box, starts, most, seed)
    scores, outputs = goal.scores(ends), goal.outputs(ends)
    best = int(np.argmax(scores))
    return Maximum(
        x=ends[best],
        value=float(outputs[best]),
        at_bounds=_at_bounds(goal, box, ends[best]),
        values=outputs[np.argsort(-scores, kind="stable")],
        n_best=int((np.abs(outputs - outputs[best]) <= TOLERANCE).sum()),
        box=box,
        target=float(target),
        corner=best_corner(goal, box, np.concatenate([ends[[best]], starts])) if binary else None,
    )


def _weights_of(weights: Any) -> SavedWeights:
    if isinstance(weights, str | os.PathLike):
        return load(weights)
    saved = weights.saved if isinstance(weights, _HasSaved) else weights
    if not isinstance(saved, SavedWeights):
        raise UsageError(
            f"weights must be a file, what freewalk.load gave, or a training, got {type(weights).__name__}"
        )
    return saved


def _goal(saved: SavedWeights, output: int, target: float, timestep: int | None) -> Goal:
    network, timesteps = saved.network, saved.n_timesteps
    if network.hidden_first:
        raise UsageError("the outputs of these weights hear hidden neurons at once; no way back to the inputs is known")
    if saved.parameters.get("onehot_input"):
        raise UsageError("the inputs of these weights are one-hot symbols, between which there is nothing to search")
    if not 0 <= output < network.n_output:
        raise UsageError(f"there is no output {output}; they run from 0 to {network.n_output - 1}")
    if not 0 <= target <= 1:
        raise UsageError(f"the target is {target:g}, outputs lie between 0 and 1; give one from 0 to 1")
    if timestep is not None and not network.sequence_output:
        raise UsageError(f"timestep {timestep} has no effect: this network is read once, after its last timestep")
    read_at = timesteps - 1 if timestep is None else timestep
    if not 0 <= read_at < timesteps:
        raise UsageError(f"there is no timestep {read_at}; they run from 0 to {timesteps - 1}")
    return Goal(network, saved.weights, output, read_at + 1, float(target))


def _check(method: str, **numbers: Any) -> None:
    if method not in get_args(Method):
        raise unknown("method", str(method), get_args(Method))
    for name, number in numbers.items():
        kind = Real if name == "target" else Integral
        if number is not None and (isinstance(number, bool) or not isinstance(number, kind)):
            raise UsageError(f"{name} must be a {'' if kind is Real else 'whole '}number, got {number!r:.60}")
    for name, least in (("restarts", 1), ("steps", 1), ("seed", 0)):
        if numbers[name] is not None and numbers[name] < least:
            raise UsageError(f"{name} must be at least {least}, got {numbers[name]}")
    if numbers["restarts"] > _MOST_RESTARTS:
        raise UsageError(f"restarts={numbers['restarts']:,} are more than {_MOST_RESTARTS:,}, the limit; give fewer")


def input_shape(saved: SavedWeights) -> tuple[int, ...]:
    """Return the shape of one input: (n_input,), or (T, n_input) for a sequence."""
    n = saved.network.n_input
    return (saved.n_timesteps, n) if saved.network.sequence_input else (n,)


def _box(saved: SavedWeights, bounds: Any) -> Box:
    shape = input_shape(saved)
    if isinstance(bounds, Box):
        return bounds
    if isinstance(bounds, str):
        if bounds != "none":
            raise UsageError(f"bounds must be (lower, upper), 'none' or None, got {bounds!r}")
        return Box.unbounded(shape)
    if bounds is None:
        return box_of_task(saved, shape)
    return box_of(shape, bounds)


def _at_bounds(goal: Goal, box: Box, x: Array) -> tuple[AtBound, ...]:
    gradient = goal.scores_and_gradients(x[None])[1][0]
    if goal.target not in (0, 1) and abs(goal.outputs(x[None])[0] - goal.target) <= TOLERANCE:
        gradient = np.zeros_like(gradient)  # what is left of it is the search's own inaccuracy
    found = []
    for place in np.ndindex(x.shape):
        if box.free[place] and x[place] == box.lower[place]:
            found.append(AtBound(place, "lower", binds=bool(gradient[place] < 0)))
        elif box.free[place] and x[place] == box.upper[place]:
            found.append(AtBound(place, "upper", binds=bool(gradient[place] > 0)))
    return tuple(found)
