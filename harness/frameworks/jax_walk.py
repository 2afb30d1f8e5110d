"""The walk on a function of parameters in JAX."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from itertools import islice
from typing import Any

import jax
import numpy as np
from numpy.typing import NDArray

from freewalk.harness.base.errors import one_line
from freewalk.harness.frameworks import jax_functions
from freewalk.harness.frameworks.population import Arrays, Descent, Noise, State, estimate, length_of
from freewalk.harness.frameworks.settings import settings_of
from freewalk.kernels.model.noise import DEFAULT_GENERATOR, Generator
from freewalk.kernels.model.noise import Noise as Kind
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

Array = Any
Loss = Callable[..., Any]


class Walk:
    """The walk on a loss in JAX; made by `walk`. It holds no weights: states go in and come out."""

    def __init__(self, loss: Loss, **options: Any) -> None:
        self._loss, self._settings = loss, settings_of(**options)
        self._checked: set[Any] = set()
        self._losses = jax.jit(self._perturbed_losses, static_argnames=("sides", "dealt"))

    def init(self, params: Any) -> State:
        """Return the state before the first step: a dict of ``params``, ``step`` and ``moments``, a plain pytree.

        Raises
        ------
        ValueError
            If params hold no arrays of real numbers.
        """
        params = _arrays(params)
        zeros = jax.tree.map(jax.numpy.zeros_like, params)
        descent = self._descent(_named(params))
        return {"params": params, "step": 0, "moments": dict.fromkeys(descent.moments, zeros)}

    def step(self, state: Mapping[str, Any], x: Any, y: Any) -> tuple[State, float]:
        """Take one step.

        Parameters
        ----------
        state
            Of `init` or of the step before; it is left as it is.
        x, y
            A batch, datapoints along the first axis: arrays or pytrees of them.

        Returns
        -------
        state, loss
            The state after the step, and the mean loss before it: with two sides the mean of all 2 K losses. If it is
            not finite, nothing was moved.

        Raises
        ------
        ValueError
            If x and y do not fit each other or `datapoints`, the state is not of this walk, or the loss fails, or is
            not one number or one for each datapoint.
        """
        if set(state) != {"params", "step", "moments"}:
            raise ValueError(f"a state holds params, step and moments, got {', '.join(map(str, state)) or 'nothing'}")
        params, step, moments = _arrays(state["params"]), int(state["step"]), state["moments"]
        gradient, loss = self.gradient(params, x, y, step=step)
        if math.isfinite(loss):
            own, tree = _named(params), jax.tree.structure(params)
            descent = self._descent(own)
            descent.restore({kind: _named(of) for kind, of in moments.items()})
            changes = descent.changes(_named(gradient), step)
            moved = [(value - changes[name]).astype(value.dtype) for name, value in own.items()]
            params = jax.tree.unflatten(tree, moved)
            moments = {kind: jax.tree.unflatten(tree, list(of.values())) for kind, of in descent.moments.items()}
        return {"params": params, "step": step + 1, "moments": moments}, loss

    def gradient(self, params: Any, x: Any, y: Any, *, step: int) -> tuple[Any, float]:
        """Return the estimate of the gradient, arranged as the params, and the mean loss, for any optimiser.

        Another `step` draws other noise. Raises as `step`.
        """
        params = _arrays(params)
        named = _named(params)
        if (n := length_of(jax.tree.leaves(x), "arrays")) != (len_y := length_of(jax.tree.leaves(y), "arrays")):
            raise ValueError(f"x and y must have as many datapoints, got {n} and {len_y}")
        self._check(params, x, y, n)
        walk = self._settings.for_batch(n)
        arrays = Arrays({name: value.shape for name, value in named.items()})
        passes = _Passes(self._losses, named, params, walk, x, y)
        found = estimate(self._settings, arrays, walk, passes, step)
        return jax.tree.unflatten(jax.tree.structure(params), [found.gradient[name] for name in named]), found.loss

    def train(
        self, state: Mapping[str, Any], batches: Iterable[tuple[Any, Any]], *, steps: int | None = None
    ) -> tuple[State, Progress]:
        """Take a step on each of some batches (x, y), at most so many; end early at a loss that is not finite."""
        first, loss, now = state["step"], math.nan, dict(state)
        for x, y in islice(batches, steps):
            now, loss = self.step(now, x, y)
            if not math.isfinite(loss):
                break
        return now, Progress(now["step"] - first, loss)

    def _descent(self, named: Mapping[str, Array]) -> Descent:
        return Descent(self._settings.walk, list(named))

    def _check(self, params: Any, x: Any, y: Any, n: int) -> None:
        """Look at what the loss returns, once for each kind of arguments."""
        kind = (
            jax.tree.structure((params, x, y)),
            tuple((np.shape(one), str(jax.numpy.result_type(one))) for one in jax.tree.leaves((params, x, y))),
        )
        if kind in self._checked:
            return
        try:
            found = jax.eval_shape(self._loss, params, x, y)
        except Exception as error:
            raise ValueError(f"the loss failed: {one_line(error)}") from None
        shape = getattr(found, "shape", None)
        if shape not in ((), (1,), (n,)):
            got = type(found).__name__ if shape is None else f"shape {shape}"
            raise ValueError(f"loss must return one number, or one for each of {n} datapoints, got {got}")
        self._checked.add(kind)

    def _perturbed_losses(
        self, params: Any, noise: list[tuple[Array, ...]], x: Any, y: Any, *, sides: tuple[float, ...], dealt: bool
    ) -> Array:
        """Return the mean losses (sides, K)."""
        leaves, tree = jax.tree.flatten(params)

        def of(side: float, parts: list[tuple[Array, ...]], x: Any, y: Any) -> Array:
            scale = side * self._settings.walk.stddev
            moved = [_perturbed(leaf, scale, *own) for leaf, own in zip(leaves, parts, strict=True)]
            return jax.numpy.mean(jax_functions.run(self._loss, jax.tree.unflatten(tree, moved), x, y))

        rows = 0 if dealt else None
        batched = [jax.vmap(partial(of, side), (0, rows, rows))(noise, x, y) for side in sides]
        return jax.numpy.stack(batched)


class _Passes:
    """The passes of one step on a batch; see `Passes`."""

    def __init__(
        self, losses: Any, named: Mapping[str, Array], params: Any, walk: WalkConfiguration, x: Any, y: Any
    ) -> None:
        self._losses, self._named, self._params, self._walk = losses, named, params, walk
        self._x, self._y = (x, y) if walk.share_data else (self._dealt(x), self._dealt(y))

    def _dealt(self, data: Any) -> Any:
        k, each = self._walk.n_perturbations, self._walk.datapoints
        return jax.tree.map(lambda one: one.reshape(k, each, *one.shape[1:]), data)

    def losses(self, noise: Noise, sides: Sequence[float], rows: slice) -> NDArray[np.float64]:
        """Return the mean losses (sides, K)."""
        dealt = not self._walk.share_data
        x, y = (jax.tree.map(lambda one: one[rows], data) if dealt else data for data in (self._x, self._y))
        found = self._losses(self._params, list(noise.values()), x, y, sides=tuple(sides), dealt=dealt)
        return np.asarray(found, dtype=np.float64)

    def add(self, total: dict[str, Array] | None, noise: Noise, weighing: NDArray[np.float64]) -> dict[str, Array]:
        """Return a total plus the perturbations times numbers."""
        by = weighing.astype(np.float32)
        found = {name: _weighed(by, *noise[name]).reshape(value.shape) for name, value in self._named.items()}
        return found if total is None else {name: total[name] + found[name] for name in found}


def _weigh(by: Array, first: Array, second: Array | None = None) -> Array:
    """Return the sum of perturbations, (n, m), times numbers."""
    if second is None:
        return jax.numpy.tensordot(by, first, 1)
    weighed = first * by[:, None, None]
    return weighed.reshape(-1, first.shape[-1]).T @ second.reshape(-1, second.shape[-1])


_weighed = jax.jit(_weigh)


def _perturbed(leaf: Array, scale: float, first: Array, second: Array | None = None) -> Any:
    if second is None:
        return leaf + (scale * first).reshape(leaf.shape).astype(leaf.dtype)
    found = jax_functions.Perturbed(leaf, (scale * first).astype(leaf.dtype), second.astype(leaf.dtype))
    return found if leaf.ndim > 1 else found.value


def _arrays(params: Any) -> Any:
    """Return params as arrays of JAX; ValueError unless they are real numbers."""
    arrays = jax.tree.map(jax.numpy.asarray, params)
    for leaf in jax.tree.leaves(arrays):
        if not jax.numpy.issubdtype(leaf.dtype, np.floating):
            raise ValueError(f"params must be arrays of real numbers, got {leaf.dtype}")
    return arrays


def _named(params: Any) -> dict[str, Array]:
    return {jax.tree_util.keystr(path): leaf for path, leaf in jax.tree_util.tree_leaves_with_path(params)}


def walk(
    loss: Loss,
    *,
    stddev: float,
    rank: int | None = 1,
    noise: Kind = "rademacher",
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
) -> Walk:
    """Train parameters of a loss in JAX by its values where they are perturbed, without backpropagation.

    Parameters
    ----------
    loss
        ``loss(params, x, y)`` of a batch, pure and fit for ``jax.jit``: one number, its mean, or one for each
        datapoint. `params` is any pytree of arrays.
    stddev, rank, noise, perturbations, datapoints, sides, learning_rate, seed, at_once
        As for `freewalk.torch.walk`; so are the others.

    Returns
    -------
    Walk

    Raises
    ------
    ValueError
        If a value is out of range.

    Examples
    --------
    >>> import jax
    >>> import freewalk.jax
    >>> def loss(params, x, y):
    ...     return (x @ params["w"] + params["b"] - y) ** 2
    >>> walk = freewalk.jax.walk(loss, stddev=0.01, learning_rate=0.05)
    >>> state = walk.init({"w": jax.numpy.zeros(2), "b": jax.numpy.zeros(())})
    >>> x = jax.random.normal(jax.random.key(0), (32, 2))
    >>> state, progress = walk.train(state, [(x, x.sum(1))] * 200)
    >>> progress.loss < 0.01
    True
    """
    return Walk(**locals())
