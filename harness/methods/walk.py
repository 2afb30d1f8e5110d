"""The walk: weight perturbation, a gradient estimated from random changes of the weights."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from freewalk.harness.base.errors import UsageError
from freewalk.harness.methods.gradient import OptimizerParameters
from freewalk.harness.methods.method import (
    Card,
    Configuration,
    Expected,
    Method,
    Parameters,
    Recipe,
    Scalar,
    Seen,
    made,
)
from freewalk.harness.methods.own_networks import SIZES, is_own
from freewalk.harness.methods.space import Range, descents
from freewalk.kernels.model.noise import DEFAULT_GENERATOR, DEFAULT_NOISE, NOISES, Generator, Noise
from freewalk.kernels.model.own_network import ModelNetwork

if TYPE_CHECKING:
    from freewalk.harness.methods.problem import ResolvedProblem
    from freewalk.kernels.backend import Backend
    from freewalk.kernels.model.directions import Block
    from freewalk.kernels.model.walk import Trainer, WalkConfiguration


Count = Annotated[int, Field(ge=1, le=2**31 - 1)]


# Fields that node perturbation has too.
STDDEV: float = Field(
    0.01, ge=0, allow_inf_nan=False, description="standard deviation of the perturbations: of weights, or of sums"
)
SIDES: Literal["one", "two"] = Field(
    "one", description="one: compare with the unperturbed network; two: antithetic pairs, +D with -D"
)
STDDEVS = Range(0.001, 1)
"""Which of them tune searches."""
NOISE: Noise = Field(
    DEFAULT_NOISE,
    description=f"distribution of the perturbations: {', or '.join(NOISES[k].summary for k in get_args(Noise))}",
)


class PerturbationParameters(Parameters):
    """What decides the walk's estimate of the gradient."""

    tangent: Literal["difference", "exact"] = Field(
        "difference",
        description="difference: of losses, over stddev; exact: the loss's derivative along the perturbation, which "
        "passes forward beside the activations (forward gradient)",
    )
    stddev: float = STDDEV
    update: Literal["raw", "normalised"] = Field(
        "normalised",
        description="raw: the original rule, without a learning rate (it acts as stddev squared); "
        "normalised: divide by stddev squared and let an optimizer take the step",
    )


# Fields come in the order of the bases from last to first: an optimizer applies where `update` lets it.
class WalkParameters(OptimizerParameters, PerturbationParameters):
    """What the walk (weight perturbation) uses besides."""

    sides: Literal["one", "two"] = SIDES
    rank: Literal["full"] | Count = Field(
        "full",
        description="full: every weight has random numbers of its own; a number: a perturbation is the sum of so many "
        "products of two random vectors",
        json_schema_extra={"values": "full or a whole number of at least 1"},
    )
    directions: Literal["independent", "orthogonal"] = Field(
        "independent", description="independent, or perturbations of a step that are orthogonal to each other"
    )
    noise: Noise = NOISE
    generator: Generator = Field(
        DEFAULT_GENERATOR,
        description="of Gaussian numbers: philox, or xoshiro: other numbers in less time on a CPU",
    )
    datapoints: Literal["all"] | Count = Field(
        1,
        description="datapoints that see one perturbation, a divisor of batch_size; all: one perturbation a step",
        json_schema_extra={"values": "all or a whole number of at least 1"},
    )
    share_data: Literal["no", "yes"] = Field(
        "no", description="yes: all perturbations of a step see the same datapoints, as in evolution strategies"
    )
    shaping: Literal["none", "std", "ranks"] = Field(
        "none",
        description="what loss differences become before they weigh perturbations: none: slopes; std: differences over "
        "their standard deviation; ranks: centred ranks",
    )


_BITS = {"update": "normalised", "optimizer": "adam", "learning_rate": "0.05", "stddev": "0.05", "batch_size": "64"}
_CLASSES = {**_BITS, "learning_rate": "0.02", "batch_size": "128"}


class Walk(Method):
    """The walk, on every backend."""

    name = "walk"
    summary = "smart random walk (weight perturbation): steps along a gradient estimated from random changes"
    parameters = WalkParameters
    learning_rates: Mapping[str, float] = {"sgd": 0.1, "momentum": 0.3, "adam": 0.01}
    spaces = descents(learning_rates, stddev=STDDEVS)
    also_called = ("random_walk", "es", "weight_perturbation", "wp")
    runs_on_gpus = True
    draws_noise = True
    takes_wiring = True
    takes_own_networks = True
    gradient = "estimated"
    plain: Mapping[str, Scalar] = {**Method.plain, "update": "normalised"}
    checked_with: Mapping[str, Scalar] = {"stddev": 0.01, "update": "raw", "sides": "two"}
    recipes: Mapping[str, Recipe] = {
        "and": Recipe(2000, _BITS),
        "xor": Recipe(4000, _BITS),
        "sign": Recipe(4000, _BITS),
        "segments": Recipe(4000, _CLASSES),
        "digits": Recipe(4000, {**_CLASSES, "batch_size": "256"}),
    }
    card = Card(
        equation="g = mean over K perturbations of D (L(W + D) - L(W)) / stddev^2, or two-sided of D (L(W + D) - L(W "
        "- D)) / (2 stddev^2), where D has mean 0 and variance stddev^2 in each weight and L is the loss of the m "
        "datapoints that see it; an optimizer steps along g; update=raw: W -= stddev^2 g; tangent=exact: g = mean of "
        "D (D . grad L(W)) with D of variance 1",
        reference="weight perturbation: Jabri and Flower, IEEE Transactions on Neural Networks 3(1), 1992, "
        "doi:10.1109/72.105429; of all weights at once: Spall, IEEE Transactions on Automatic Control 37(3), 1992, "
        "doi:10.1109/9.119632; tangent=exact: Baydin et al., 2022, arXiv:2202.08587",
        unbiased="the gradient of the loss averaged over perturbed weights, if these are independent normal numbers; "
        "the gradient up to terms of the order of stddev^2, whatever they are; with tangent=exact the gradient itself; "
        "with shaping none of these",
        variance="c = P + 2 of normal numbers, P of signs; the mean of K perturbations that see one gradient has "
        "variance (c - 1) |gradient|^2 / K. Other ranks and directions: docs/method.md",
        cost="2 B: an unperturbed and a perturbed pass for each pair of a perturbation and a datapoint, or two "
        "perturbed ones; one-sided with share_data=yes B + m, as all perturbations compare with the same m passes",
        deviations="every datapoint has a perturbation of its own, as in the original program, unless `datapoints` "
        "says otherwise",
        held_by="tests/kernels/reference/test_estimator.py",
    )

    def configure(self, parameters: Mapping[str, Scalar | None], *, timesteps: int, steps: int) -> Configuration:
        """Return the walk's configuration."""
        from freewalk.kernels.model.walk import WalkConfiguration

        words: dict[str, dict[Any, Any]] = {
            "rank": {"full": None},
            "datapoints": {"all": parameters.get("batch_size")},
            "share_data": {"no": False, "yes": True},
        }
        if parameters.get("tangent") == "exact":
            words["stddev"] = {None: 1.0}  # which scales nothing
        meant = {name: meanings.get(parameters.get(name), parameters.get(name)) for name, meanings in words.items()}
        return made(WalkConfiguration, {**parameters, **meant}, timesteps=timesteps, schedule_steps=steps)

    def start(self, problem: ResolvedProblem, backend: Backend, **given: Any) -> Trainer:
        """Return a trial at step 0."""
        configuration: Any = problem.configuration
        if isinstance(problem.network, ModelNetwork):
            from freewalk.kernels.trainers.own_model import ModelWalk

            is_float64 = backend.name == "reference"
            return ModelWalk(problem.network, configuration, problem.data(), float64=is_float64, **given)
        return backend.make_walk(problem.network, configuration, problem.data(), mask=problem.mask, **given)

    def expected(self, problem: ResolvedProblem, seen: Seen) -> Expected | None:
        """Return the mean and the squares of the family; see `expected_of`."""
        from freewalk.kernels.model.directions import blocks_of

        walk: Any = problem.configuration
        return expected_of(walk, blocks_of(problem.network, problem.mask), seen)

    def numbers_per_step(self, problem: ResolvedProblem) -> float:
        """Return those of all perturbations: of weights, of factors, or the signs of orthogonal sets."""
        from freewalk.kernels.model.directions import blocks_of

        walk: Any = problem.configuration
        return numbers_of(walk, [block.shape for block in blocks_of(problem.network, problem.mask)])

    def kernels(self, parameters: Mapping[str, Scalar | None]) -> Hashable:
        """Return the name, and whether perturbations are full."""
        architecture = parameters.get("architecture")
        own = [architecture, *(parameters.get(name) for name in SIZES)] if is_own(architecture) else []
        return self.name, parameters.get("rank") in (None, "full"), *own

    def warm_up(self, problem: ResolvedProblem, backend: Backend) -> None:
        """Compile the walk's kernels of one thread, or load them from the cache."""
        configuration: Any = problem.configuration
        if not isinstance(problem.network, ModelNetwork):
            backend.warm_up(configuration)
            return
        try:
            self.start(problem, backend, seed=0, evaluation_points=2, initial=problem.initial_weights(0)).train(1)
        except (ValueError, IndexError) as error:  # no trial of it would do better
            raise UsageError(str(error)) from None

    def passes(self, problem: ResolvedProblem) -> float:
        """Return those of an unperturbed and a perturbed network, or fewer where perturbations share the former."""
        return problem.evaluations_per_step / problem.configuration.batch_size

    def alike(self, configuration: Any, backend: Backend) -> Hashable:
        """Return what perturbations are drawn and who sees which, and how estimates are taken unless they may differ.

        Plain walks that share their noise may: both kinds of estimate are taken from it.
        """
        c = configuration
        family = (c.kind, c.rank, c.directions, c.datapoints, c.share_data, c.shaping, c.tangent)
        if c.is_plain:
            return *family, None if backend.most_sharing_noise else c.sides
        rows = c.timesteps if c.share_data else 0  # shared data are loaded once for all
        return *family, c.sides, rows, c.batch_size if c.rank is None else 0  # which decides how a full step is cut


def numbers_of(walk: WalkConfiguration, shapes: Sequence[tuple[int, int]]) -> float:
    """Return how many random numbers a step draws for blocks of (n, m) weights."""
    k, total = walk.n_perturbations, 0
    for n, m in shapes:
        if walk.directions == "orthogonal":
            signs = n + m + n * m + (n * m if walk.rank is None else 0)
            total += signs * -(-k * (walk.rank or 1) // (n * m))  # of each set of n m products
        else:
            total += k * (n * m if walk.rank is None else walk.rank * (n + m))
    return float(total)


def expected_of(walk: WalkConfiguration, blocks: tuple[Block, ...], seen: Seen) -> Expected | None:
    """Return what theory says of the walk's estimates.

    Of shaped ones it knows those by full normal perturbations that all see the same datapoints of their step.
    """
    from freewalk.kernels.model.variance import expected_squares
    from freewalk.kernels.reference.shaped import shaped_moments

    n_steps, shape = len(seen.which), seen.gradients.shape[1:]
    if walk.shaping == "none":
        k = walk.n_perturbations
        of_each = seen.means[:, None] if walk.share_data else _means_of_groups(seen, k)
        of_each = np.broadcast_to(of_each, (n_steps, k, *shape))
        return Expected(np.ones(n_steps), expected_squares(walk, blocks, of_each))
    if not walk.share_data or (walk.rank, walk.directions, walk.noise) != (None, "independent", "gaussian"):
        return None
    mean = seen.means
    lengths = np.sqrt((mean**2).sum(axis=(1, 2)))
    slope, along, across = shaped_moments(walk.n_perturbations, walk.sides, walk.share_data, walk.shaping)
    squares = np.zeros_like(mean)
    with np.errstate(invalid="ignore", divide="ignore"):
        for rows, columns in blocks:
            at = (slice(None), rows[:, None], columns)
            shares = (mean[at] / lengths[:, None, None]) ** 2
            squares[at] = shares * along + (1 - shares) * across
        return Expected(slope / lengths, squares)


def _means_of_groups(seen: Seen, k: int) -> NDArray[np.float64]:
    """Return the gradient that each of a step's k perturbations sees, (n_steps, k, n_from, n_to)."""
    n_steps, n = seen.which.shape
    groups = Seen(seen.found, seen.gradients, seen.which.reshape(n_steps * k, n // k))
    means = seen.gradients[groups.which[:, 0]] if n == k else groups.means
    return means.reshape(n_steps, k, *means.shape[1:])


WALK = Walk()
