"""Estimates of the gradient of a loss that users write themselves, in NumPy, PyTorch or JAX."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from freewalk.harness.estimates.arrays import Space, as_numpy
from freewalk.harness.estimates.measures import group_row
from freewalk.harness.estimates.sampling import WHOLE, Group, Sampled, is_precise_enough, mean_alignment
from freewalk.harness.estimates.stddev_costs import UNKNOWN
from freewalk.harness.frameworks.population import blocks_of_arrays
from freewalk.harness.gradcheck.own import Weights
from freewalk.harness.methods.method import Seen
from freewalk.harness.methods.walk import WALK, expected_of, numbers_of
from freewalk.kernels.model.directions import unit_directions
from freewalk.kernels.model.noise import Noise
from freewalk.kernels.model.walk import Directions, Shaping, Sides, WalkConfiguration
from freewalk.kernels.reference.reference import shaped
from freewalk.results.schema.estimates_schema import ESTIMATES
from freewalk.results.tables.frames import frame_of

Array = NDArray[np.float64]

_STEPS_AT_ONCE = 16
_LEAST_STEPS = 32


@dataclass(frozen=True, eq=False)
class Estimates:
    """What `estimate` found."""

    table: pd.DataFrame
    """A row for all weights, then one for each array; columns as in estimates.csv, see docs/tables.md."""

    def __getattr__(self, name: str) -> Any:
        """Return a column of the row for all weights: `slope`, `second_moment_expected`, ..."""
        if name.startswith("_") or name == "table" or name not in self.table:
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")
        return self.table[name].iloc[0]

    def __dir__(self) -> list[str]:
        return [*super().__dir__(), *map(str, self.table)]

    def __str__(self) -> str:
        return pd.DataFrame(self._figures()).to_string(index=False)

    def _repr_html_(self) -> str:
        from freewalk.results.report.snippet import Part, snippet

        header, *_ = rows = self._figures()
        return snippet([Part(header=[*header], rows=[[*row.values()] for row in rows])])

    def _figures(self) -> list[dict[str, str]]:
        """Return what people are shown of each row, by heading; the time is that of a single step."""
        from freewalk.results.report.estimates_view import figures_of  # it loads Matplotlib
        from freewalk.results.report.subject import records

        rows = [{"weights": str(row["weights"]), **figures_of(row)} for row in records(self.table)]
        return [{name: text for name, text in row.items() if name != "time"} for row in rows]


def estimate(
    loss: Callable[..., Any],
    gradient: Callable[..., Weights],
    weights: Weights,
    *,
    data: tuple[ArrayLike, ArrayLike] | None = None,
    stddev: float = 1e-3,
    perturbations: int = 16,
    datapoints: int = 1,
    share_data: bool = False,
    sides: Sides = "two",
    noise: Noise = "gaussian",
    rank: int | None = None,
    directions: Directions = "independent",
    shaping: Shaping = "none",
    precision: float = 0.02,
    steps: int = 1000,
    seed: int = 0,
) -> Estimates:
    """Measure the walk's estimates of the gradient of any loss: bias, variance beside theory, what they cost.

    Parameters
    ----------
    loss
        `loss(weights)` returns a number; with data `loss(weights, x, y)` is the mean loss of some rows of them. It is
        given weights as they are here: arranged alike, of the same library and type.
    gradient
        `gradient(weights)`, or `gradient(weights, x, y)`: the exact gradient of that, arranged as the weights.
    weights
        Where: one array, a sequence of arrays, or a mapping of names to arrays, of NumPy, PyTorch or JAX. Perturbations
        of low rank are products within each array: of an array of one axis (n, 1), of more than two (first, rest).
    data
        x and y, arrays with a row for each datapoint. Steps draw rows with replacement.
    stddev, sides, noise, rank, directions, shaping
        As for the walk, see `WalkConfiguration`; rank None: every weight's own number.
    perturbations
        Of a step, K.
    datapoints, share_data
        How many rows a perturbation sees, and whether all of a step see the same ones; with data only.
    precision
        Relative half-width of the 95 % interval of the second moment at which to stop, of the slope five times that.
    steps
        Most steps; the table says in `is_precise` whether they were enough.
    seed
        Of noise and data.

    Returns
    -------
    Estimates
        Its attributes are the columns of estimates.csv for all weights, such as `slope`, `second_moment`,
        `second_moment_expected` and `evaluations_needed`; `table` has the arrays too; `str` of it is for people.

    Raises
    ------
    ValueError
        If a value is out of range, data are not of one length, or a gradient or loss does not fit or is not finite.

    Examples
    --------
    >>> import numpy as np
    >>> found = estimate(lambda w: float((w**2).sum()), lambda w: 2 * w, np.ones((4, 3)), perturbations=8)
    >>> bool(found.slope_low < 1 < found.slope_high), bool(abs(found.of_expected - 1) < 0.05)
    (True, True)
    """
    walk = WalkConfiguration(
        stddev=stddev,
        batch_size=perturbations * (datapoints if data is not None else 1),
        timesteps=1,
        update="normalised",
        sides=sides,
        noise=noise,
        rank=rank,
        directions=directions,
        datapoints=datapoints if data is not None else 1,
        share_data=share_data or data is None,
        shaping=shaping,
    )
    if data is None and (datapoints != 1 or share_data):
        raise ValueError("datapoints and share_data need data=(x, y)")
    if steps < 2 or not 0 < precision < 1:
        raise ValueError(f"steps must be at least 2 and precision between 0 and 1, got {steps} and {precision}")
    model, rows = _Model(loss, gradient, weights, data), _Rows(walk, data, seed)
    groups = list(_groups(model))
    n_steps, precise, alignments = 0, False, list[float]()
    while n_steps < steps and not precise:
        n = min(_STEPS_AT_ONCE, steps - n_steps)
        drawn = np.stack([rows.of_step(step) for step in range(n_steps, n_steps + n)])
        seen = model.seen(drawn)
        taken = np.stack([model.estimate(walk, one, seed, n_steps + k) for k, one in enumerate(drawn)]).reshape(n, -1)
        expected = expected_of(walk, model.blocks, seen)
        for group in groups:
            group.add(taken, seen.means.reshape(n, -1), expected)
        alignments.append(mean_alignment(seen, walk.datapoints, model.gradient))
        n_steps += n
        precise = n_steps >= _LEAST_STEPS and is_precise_enough(groups[0], precision)
    sampled = Sampled(n_steps, perturbations, tuple(groups), {}, float(np.mean(alignments)), precise)
    return Estimates(_table(model, walk, sampled, seed))


class _Rows:
    """Which rows of the data a step sees: of a loss without data one that there is not."""

    def __init__(self, walk: WalkConfiguration, data: Any, seed: int) -> None:
        self._n, self._seed = walk.data_per_step, seed
        self._n_rows = None if data is None else len(data[0])

    def of_step(self, step: int) -> NDArray[np.intp]:
        """Return the rows of a step, drawn with replacement."""
        if self._n_rows is None:
            return np.zeros(1, dtype=np.intp)
        return np.random.default_rng((self._seed, step)).integers(0, self._n_rows, self._n)


class _Model:
    """A user's loss at fixed weights, which lie as blocks in one matrix."""

    def __init__(self, loss: Callable[..., Any], gradient: Callable[..., Weights], weights: Weights, data: Any) -> None:
        self._loss, self._gradient = loss, gradient
        self.space = Space(weights)
        self.dtype = str(getattr(self.space.leaves(weights)[0], "dtype", "float64")).removeprefix("torch.")
        self._at = self.space.flatten(weights, "weights")
        if not np.isfinite(self._at).all():
            raise ValueError("weights must be finite")
        self.blocks = blocks_of_arrays(self.space.shapes)
        rows, columns = (sum(sizes) for sizes in zip(*(block.shape for block in self.blocks), strict=True))
        self.shape = (rows, columns)
        self.places = [(block.rows[:, None] * columns + block.columns).ravel() for block in self.blocks]
        self._flat = np.concatenate(self.places)
        self.data = None if data is None else _checked(data)
        self._gradients: dict[int, Array] = {}
        self.gradient = self._embedded(self._own_gradient(None))
        self.loss = self._loss_at(self._at, None)

    def _rows(self, rows: NDArray[np.intp] | None) -> tuple[Any, ...]:
        if self.data is None:
            return ()
        return self.data if rows is None else tuple(part[rows] for part in self.data)

    def _loss_at(self, flat: Array, rows: NDArray[np.intp] | None) -> float:
        value = as_numpy(self._loss(self.space.restore(flat), *self._rows(rows)))
        if value.size != 1:
            raise ValueError(f"the loss must be one number, got an array of shape {value.shape}")
        return float(value.reshape(()))

    def _own_gradient(self, rows: NDArray[np.intp] | None) -> Array:
        found = self.space.flatten(self._gradient(self.space.restore(self._at), *self._rows(rows)), "gradient")
        if not np.isfinite(found).all():
            raise ValueError("the gradient is not finite at these weights; estimate where it is")
        return found

    def _embedded(self, flat: Array) -> Array:
        matrix = np.zeros(self.shape[0] * self.shape[1])
        matrix[self._flat] = flat
        return matrix

    def seen(self, rows: NDArray[np.intp]) -> Seen:
        """Return what steps with these rows see, (n_steps, rows of a step)."""
        different, which = np.unique(rows, return_inverse=True)
        for row in different:
            if int(row) not in self._gradients:
                self._gradients[int(row)] = self._embedded(self._own_gradient(np.array([row])))
        each = np.stack([self._gradients[int(row)] for row in different]).reshape(-1, *self.shape)
        return Seen(None, each, which.reshape(rows.shape))

    def estimate(self, walk: WalkConfiguration, rows: NDArray[np.intp], seed: int, step: int) -> Array:
        """Return what a step takes for the gradient, as the matrix."""
        k = walk.n_perturbations
        kind: dict[str, Any] = {"noise": walk.kind, "rank": walk.rank, "directions": walk.directions}
        units = unit_directions(self.blocks, self.shape, seed=seed, step=step, indices=np.arange(k), **kind)
        own = units.reshape(k, -1)[:, self._flat]
        groups = np.broadcast_to(rows, (k, len(rows))) if walk.share_data else rows.reshape(k, -1)
        plus = np.array([self._loss_at(self._at + walk.stddev * d, seen) for d, seen in zip(own, groups, strict=True)])
        if walk.sides == "two":
            other = [self._loss_at(self._at - walk.stddev * d, seen) for d, seen in zip(own, groups, strict=True)]
        elif walk.share_data:
            other = [self._loss_at(self._at, rows)] * k
        else:
            other = [self._loss_at(self._at, seen) for seen in groups]
        weighing = shaped(plus, np.array(other), walk.stddev, walk.sides, walk.share_data, walk.shaping) / walk.stddev
        return self._embedded(weighing @ own / k)


def _checked(data: Any) -> tuple[Any, Any]:
    x, y = data
    if len(x) != len(y) or not len(x):
        raise ValueError(f"x and y must have as many rows, at least one, got {len(x)} and {len(y)}")
    return x, y


def _groups(model: _Model) -> Iterator[Group]:
    """Yield all weights, then each array where there are several."""
    yield Group.of(WHOLE, np.concatenate(model.places), model.gradient)
    if len(model.places) > 1:
        for name, indices in zip(model.space.names, model.places, strict=True):
            yield Group.of(name, indices, model.gradient)


def _table(model: _Model, walk: WalkConfiguration, sampled: Sampled, seed: int) -> pd.DataFrame:
    start = time.perf_counter()
    rows = _Rows(walk, model.data, seed).of_step(0)
    model.estimate(walk, rows, seed, 0)
    costs = {
        "evaluations_per_step": walk.evaluations_per_step(),
        "seconds_per_step": time.perf_counter() - start,
        "numbers_per_step": float(numbers_of(walk, [block.shape for block in model.blocks])),
    }
    about = {
        "task": "own",
        "method": WALK.name,
        "at": "file",
        "seed": seed,
        "kind": "estimated",
        "backend": model.space.library,
        "dtype": model.dtype,
        "trained_steps": None,
        "trained_reached": None,
        "loss": model.loss,
        "gradient_length": math.sqrt(sampled.whole.square),
        "n_steps": sampled.n_steps,
        "is_precise": sampled.is_precise,
        **costs,
        **UNKNOWN,
    }
    return frame_of(
        ESTIMATES,
        [{**about, **group_row(group, sampled, costs, unbiased=walk.shaping == "none")} for group in sampled.groups],
    )
