"""Networks of one's own: what a plug-in says of one, and one made for a task's data, in the place of a free network."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from freewalk.kernels.model.network import FreeNetwork
from freewalk.kernels.model.noise import initial_weights


@dataclass(frozen=True)
class Sizes:
    """What a network of one's own is made for."""

    n_input: int
    """Numbers in a row of a datapoint's input."""
    n_output: int
    """Numbers in a row of its output."""
    hidden: int
    """The cell's `hidden`, for whatever the network calls its size."""
    timesteps: int
    """The cell's `timesteps`."""
    input_rows: int
    """Rows of a datapoint's input: one for each timestep of a sequence, one otherwise."""
    output_rows: int
    """Rows of its output."""


@dataclass(frozen=True)
class Model:
    """A network of one's own with its sizes filled in."""

    n_weights: int | tuple[int, int]
    """Number of weights, or (n_from, n_to) for weights that lie row after row of a matrix, of which perturbations of
    low rank are products."""
    outputs: Callable[..., None]
    """``outputs(weights, x, out)``, which Numba compiles: from weights, 1-D, and one datapoint's input, (input_rows,
    n_input), to `out`, (output_rows, n_output), which it fills. It must not write to the others. For a task with a
    softmax what it writes are logits; otherwise what is compared with the targets."""
    initial: Callable[[np.random.Generator], NDArray[np.floating]] | None = None
    """From a generator that depends on the seed alone to the weights to start from, 1-D or of the shape. None: of a
    matrix by Glorot's rule, as for the free network, and n_weights single ones as one column."""

    @property
    def shape(self) -> tuple[int, int]:
        """(n_from, n_to) of the weights."""
        return (self.n_weights, 1) if isinstance(self.n_weights, int) else self.n_weights


@dataclass(frozen=True)
class OwnNetwork:
    """A network of one's own: give it to a plug-in, see docs/methods.md; ``--grid architecture=NAME`` trains it.

    Parameters
    ----------
    name, summary
        What ``architecture`` takes, and one line for people.
    make
        From `Sizes` to a `Model`; raises ValueError if they do not fit.
    """

    name: str
    summary: str
    make: Callable[[Sizes], Model]


@dataclass(frozen=True)
class ModelNetwork(FreeNetwork):
    """A network of one's own on a task's data. Whoever runs it asks `freewalk.kernels.trainers.own_model`."""

    name: str = ""
    timesteps: int = 1
    shape: tuple[int, int] = (1, 1)
    model: Any = field(default=None, compare=False, repr=False)

    @property
    def n_from(self) -> int:
        """Rows of the weights."""
        return self.shape[0]

    @property
    def n_to(self) -> int:
        """Columns of the weights."""
        return self.shape[1]

    def initial_weights(self, seed: int) -> NDArray[np.float64]:
        """Return the weights to start from, (n_from, n_to).

        Raises
        ------
        ValueError
            If the model's own have another shape or are not finite.
        """
        if self.model.initial is None:
            return initial_weights(*self.shape, seed)
        given = np.array(self.model.initial(np.random.default_rng(seed)), dtype=np.float64)
        if given.shape not in (self.shape, (math.prod(self.shape),)) or not np.isfinite(given).all():
            raise ValueError(
                f"initial weights of architecture={self.name} must be {math.prod(self.shape)} finite numbers, got"
                f" {given.dtype} of shape {given.shape}"
            )
        return given.reshape(self.shape)


def network_of(own: OwnNetwork, free: FreeNetwork, timesteps: int) -> ModelNetwork:
    """Return a network of one's own on the data of a free one, whose hidden neurons are its size.

    Raises
    ------
    ValueError
        If it does not fit the sizes, or its model is none.
    """
    sizes = Sizes(
        free.n_input, free.n_output, free.n_hidden, timesteps, free.input_rows(timesteps), free.output_rows(timesteps)
    )
    model = _made(own, sizes)
    given = {name: getattr(free, name) for name in ("sequence_input", "sequence_output", "softmax", "loss")}
    return ModelNetwork(
        free.n_input,
        free.n_output,
        free.n_hidden,
        **given,
        name=own.name,
        timesteps=timesteps,
        shape=model.shape,
        model=model,
    )


@cache
def _made(own: OwnNetwork, sizes: Sizes) -> Model:
    """Make a model once, so that its function is compiled once."""
    model = own.make(sizes)
    if not isinstance(model, Model):
        raise ValueError(f"architecture={own.name} makes a {type(model).__name__}; return a freewalk.networks.Model")
    shape = model.shape
    if len(shape) != 2 or not all(isinstance(n, int | np.integer) and n >= 1 for n in shape):
        raise ValueError(
            f"architecture={own.name} has n_weights={model.n_weights!r}; give a whole number of at least 1"
        )
    return model
