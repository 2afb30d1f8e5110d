"""The walk on a loss of one's own takes the same steps as the walk on the free network, in float64."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from freewalk import RandomWalk
from freewalk.kernels.cpu.directions import factors, full
from freewalk.kernels.model.directions import blocks_of, unit_directions
from freewalk.kernels.model.network import FreeNetwork
from freewalk.kernels.model.noise import initial_weights, unit_perturbations
from freewalk.kernels.model.optimizers import make_optimizer
from freewalk.kernels.model.walk import WalkConfiguration
from freewalk.kernels.reference import reference

NETWORK = FreeNetwork(3, 2, 4)
N_IN, N_FROM, N_TO, TIMESTEPS = 3, NETWORK.n_from, NETWORK.n_to, 3
SHAPE = (N_FROM, N_TO)
TOLERANCE = 1e-12  # of weights near 1: sums in another order
BLOCKS = blocks_of(NETWORK, None)
DRAWN: dict[str, Any] = {"noise": "gaussian", "rank": None, "directions": "independent"}


def free_network_loss(weights: Any, x: Any, y: Any) -> float:
    """The free network written out, as a user might."""
    a = np.zeros(N_TO)
    for _ in range(TIMESTEPS):
        after = np.empty(N_TO)
        for j in range(N_TO):
            z = weights[N_IN * N_TO + j]
            for i in range(N_IN):
                z += x[i] * weights[i * N_TO + j]
            for i in range(N_TO):
                z += a[i] * weights[(N_IN + 1 + i) * N_TO + j]
            after[j] = 1.0 / (1.0 + math.exp(-z))
        a = after
    return float((a[0] - y[0]) ** 2 + (a[1] - y[1]) ** 2)


def squares(weights: Any, x: Any, y: Any) -> float:
    total = 0.0
    for k in range(len(weights)):
        total += (weights[k] - x[k]) ** 2
    return total


def batch(n: int, seed: int = 0) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    rng = np.random.default_rng(seed)
    return rng.normal(size=(n, 3)), rng.random((n, 2))


def drawn_for(k: int, step: int, *, noise: Any, rank: int | None, directions: Any) -> NDArray[np.float64]:
    """Return the perturbations of a step in the numbers that the kernels draw, whose products are float32's."""
    of: dict[str, Any] = {"noise": noise, "directions": directions, "seed": 7, "step": step, "first": 0, "last": k}
    if rank is None:
        return full(BLOCKS, 0, **of).astype(np.float64)
    a, b = factors(BLOCKS, rank=rank, **of)
    product: NDArray[np.float64] = (np.einsum("kin,kim->knm", a, b) / np.float32(math.sqrt(rank))).astype(np.float64)
    return product


@pytest.mark.parametrize(
    "kind",
    [{"noise": "gaussian"}, {"noise": "rademacher"}, {"generator": "xoshiro"}],
    ids=lambda kind: "".join(*kind.values()),
)
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"sides": "two"},
        {"update": "normalised", "optimizer": "momentum", "learning_rate": 0.3, "momentum": 0.8},
        {"update": "normalised", "optimizer": "adam", "schedule": "cosine", "schedule_steps": 3},
    ],
    ids=["raw", "two sides", "momentum", "adam cosine"],
)
def test_it_takes_the_steps_of_the_free_network(kind: dict[str, Any], options: dict[str, Any]) -> None:
    x, y = batch(100)  # more than one piece
    options = options | kind
    walk = RandomWalk(free_network_loss, SHAPE, stddev=0.05, seed=7, threads=2, **options)
    weights = initial_weights(*SHAPE, 7)
    configuration = WalkConfiguration(stddev=0.05, batch_size=100, timesteps=TIMESTEPS, **options)
    optimizer = make_optimizer(configuration)
    for step in range(3):
        drawn = np.arange(100)
        unit = drawn_for(100, step, noise=configuration.kind, rank=None, directions="independent")
        by_the_book = unit_perturbations(*SHAPE, seed=7, step=step, datapoints=drawn, noise=configuration.kind)
        np.testing.assert_allclose(unit, by_the_book, rtol=0, atol=4e-6)
        estimate = reference.gradient_estimate(NETWORK, weights, x, y, TIMESTEPS, unit, 0.05, sides=configuration.sides)
        raw = configuration.update == "raw"
        weights = weights - (estimate if raw else optimizer.change(estimate / 0.05**2, step))
        walk.train(x, y, steps=1)
        np.testing.assert_allclose(walk.weights.reshape(SHAPE), weights, rtol=0, atol=TOLERANCE)
    assert np.abs(weights - initial_weights(*SHAPE, 7)).max() > 1e6 * TOLERANCE, "nothing moved"


@pytest.mark.parametrize(
    ("options", "n"),
    [
        ({"datapoints": 5}, 100),
        ({"datapoints": "all", "noise": "rademacher"}, 90),
        ({"datapoints": 10, "shaping": "std", "sides": "two"}, 100),
        ({"population": 9, "shaping": "ranks", "sides": "two"}, 20),
        ({"population": 70, "shaping": "std"}, 3),
        ({"rank": 1}, 100),
        ({"rank": 2, "noise": "rademacher", "datapoints": 4, "sides": "two"}, 80),
        ({"directions": "orthogonal", "population": 20}, 4),
        ({"directions": "orthogonal", "rank": 1, "datapoints": 2, "shaping": "ranks"}, 100),
    ],
    ids=str,
)
def test_it_takes_the_steps_of_the_family(options: dict[str, Any], n: int) -> None:
    x, y = batch(n)
    rule: dict[str, Any] = {"update": "normalised", "optimizer": "sgd", "learning_rate": 0.3}
    walk = RandomWalk(free_network_loss, SHAPE, stddev=0.05, seed=7, threads=2, **rule, **options)
    weights, before = initial_weights(*SHAPE, 7), initial_weights(*SHAPE, 7)
    shared, shaping, sides = "population" in options, options.get("shaping", "none"), options.get("sides", "one")
    each = {"all": n}.get(options.get("datapoints", 1), options.get("datapoints", 1))
    k = options["population"] if shared else n // each
    for step in range(2):
        drawn = {name: options.get(name, default) for name, default in DRAWN.items()}
        by_the_book = unit_directions(BLOCKS, SHAPE, seed=7, step=step, indices=np.arange(k), **drawn)
        unit = drawn_for(k, step, **drawn)
        np.testing.assert_allclose(unit, by_the_book, rtol=0, atol=2e-5)
        ways: dict[str, Any] = {"sides": sides, "share_data": shared, "shaping": shaping}
        estimate = reference.gradient_estimate(NETWORK, weights, x, y, TIMESTEPS, unit, 0.05, **ways)
        weights = weights - 0.3 * estimate / 0.05**2
        walk.train(x, y, steps=1)
        np.testing.assert_allclose(walk.weights.reshape(SHAPE), weights, rtol=0, atol=1e-11)
    assert np.abs(weights - before).max() > 1e-3, "nothing moved"


def test_a_population_sees_the_whole_batch_and_no_more() -> None:
    """Its steps are those on the same data as often as it has members, each with a perturbation of its own."""
    x, y = batch(1)
    options: dict[str, Any] = {"stddev": 0.1, "seed": 3}
    together = RandomWalk(squares, 3, population=8, **options)
    apart = RandomWalk(squares, 3, **options)
    together.train(x, y, steps=2)
    apart.train(np.repeat(x, 8, axis=0), np.repeat(y, 8, axis=0), steps=2)
    np.testing.assert_allclose(together.weights, apart.weights, rtol=0, atol=1e-14)


def test_the_bits_do_not_depend_on_threads_or_calls() -> None:
    x, y = batch(200)
    one, many = (RandomWalk(squares, 3, stddev=0.1, seed=1, threads=n) for n in (1, 5))
    one.train(x, y, steps=6)
    for steps in (1, 2, 3):
        many.train(x, y, steps=steps)
    np.testing.assert_array_equal(one.weights, many.weights)
    other = RandomWalk(squares, 3, stddev=0.1, seed=2, initial=RandomWalk(squares, 3, stddev=0.1, seed=1).weights)
    other.train(x, y, steps=6)
    assert not np.array_equal(one.weights, other.weights)


def test_it_goes_on_from_a_state() -> None:
    x, y = batch(20)
    options: dict[str, Any] = {"stddev": 0.1, "update": "normalised", "optimizer": "adam", "seed": 4}
    whole, half = RandomWalk(squares, 3, **options), RandomWalk(squares, 3, **options)
    whole.train(x, y, steps=5, batch_size=8)
    half.train(x, y, steps=2, batch_size=8)
    resumed = RandomWalk(squares, 3, **options)
    resumed.restore(half.state())
    resumed.train(x, y, steps=3, batch_size=8)
    assert resumed.step == 5
    np.testing.assert_array_equal(resumed.weights, whole.weights)
    with pytest.raises(ValueError, match="the state must hold"):
        RandomWalk(squares, 3, stddev=0.1).restore(half.state())
    with pytest.raises(ValueError, match=r"weights must have shape \(4, 1\) or \(4,\)"):
        RandomWalk(squares, 4, **options).restore(half.state())


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_it_finds_the_mean(dtype: Any) -> None:
    """The least sum of squares lies at the mean of x."""
    x, y = batch(64)
    walk = RandomWalk(
        squares, 3, stddev=0.05, dtype=dtype, update="normalised", optimizer="adam", learning_rate=0.05,
        schedule="cosine", schedule_steps=300,
    )  # fmt: skip
    done = walk.train(x, y, steps=300)
    assert done.steps == walk.step == 300
    np.testing.assert_allclose(walk.weights, x.mean(axis=0), atol=0.05)
    assert walk.losses(x, y).mean() < squares(np.zeros(3), x[0] * 0 + 1, None) * 10
    np.testing.assert_allclose(walk.losses(x, y)[0], squares(walk.weights, x[0], y[0]), rtol=1e-6)


def test_batches_of_an_iterable_are_taken_one_a_step() -> None:
    batches = [batch(5, seed) for seed in range(3)]
    walk = RandomWalk(squares, 3, stddev=0.1)
    assert walk.train(iter(batches), steps=10).steps == 3
    by_hand = RandomWalk(squares, 3, stddev=0.1)
    for x, y in batches:
        by_hand.train(x, y, steps=1)
    np.testing.assert_array_equal(walk.weights, by_hand.weights)


def test_drawn_rows_change_with_the_step_and_cover_the_data() -> None:
    seen: list[Any] = []

    def spy(weights: Any, x: Any, y: Any) -> Any:
        seen.append(x[:, 0, 0])
        return squares_of_many(weights, x, y)

    x = np.arange(10.0)[:, None].repeat(3, axis=1)
    RandomWalk(spy, 3, stddev=0.1, run="batched").train(x, x, steps=20, batch_size=16)
    batches = [one for one in seen if len(one) == 16][::2]  # each is asked of at W + D and at W
    counts = np.bincount(np.concatenate(batches).astype(int), minlength=10)
    assert counts.sum() == 320
    assert counts.min() > 10, "32 are expected of each, with a deviation of 5.4"


def test_a_loss_that_is_not_finite_moves_nothing_and_ends_training() -> None:
    x, y = batch(4)
    x[2, 1] = np.inf
    walk = RandomWalk(squares, 3, stddev=0.1)
    before = walk.weights
    done = walk.train(x, y, steps=5)
    assert done.steps == 1
    assert not math.isfinite(done.loss)
    np.testing.assert_array_equal(walk.weights, before)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"n_weights": 0}, "n_weights must be at least 1"),
        ({"stddev": -1.0}, "stddev must be"),
        ({"dtype": np.int64}, "dtype must be float32 or float64"),
        ({"threads": 0}, "threads must be at least 1"),
        ({"seed": -1}, "seed must be between"),
        ({"initial": np.zeros(4)}, r"weights must have shape \(3, 1\) or \(3,\), got \(4,\)"),
        ({"initial": [0, np.nan, 0]}, "weights must be finite"),
        ({"rank": 0}, "rank must be full or at least 1"),
        ({"directions": "any"}, "directions must be one of independent, orthogonal"),
        ({"shaping": "std"}, "shaping=std needs update=normalised"),
        ({"shaping": "std", "update": "normalised", "population": 1}, "needs at least 2 a step"),
        ({"population": 0}, "population must be at least 1"),
        ({"population": 4, "datapoints": 2}, "datapoints has no effect with a population"),
    ],
)
def test_what_does_not_fit_is_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        RandomWalk(squares, **{"n_weights": 3, "stddev": 0.1, **options})


def test_data_that_does_not_fit_is_refused() -> None:
    walk = RandomWalk(squares, 3, stddev=0.1)
    x, y = batch(4)
    with pytest.raises(ValueError, match="as many datapoints"):
        walk.train(x, y[:3], steps=1)
    with pytest.raises(ValueError, match="batch_size must be at least 1"):
        walk.train(x, y, steps=1, batch_size=0)
    with pytest.raises(ValueError, match=r"multiple of datapoints \(3\), .* got 4, take 3"):
        RandomWalk(squares, 3, stddev=0.1, datapoints=3).train(x, y, steps=1)
    with pytest.raises(ValueError, match="batch_size goes with arrays"):
        walk.train([(x, y)], steps=1, batch_size=2)


def squares_of_many(weights: Any, x: Any, y: Any) -> Any:
    """`squares` of many weight sets, on the datapoints of each: (K, m)."""
    return ((weights[:, None] - x) ** 2).sum(axis=-1)


@pytest.mark.parametrize(
    ("options", "n"),
    [
        ({}, 70),
        ({"sides": "two", "rank": 1, "datapoints": 2}, 40),
        ({"population": 9, "shaping": "ranks"}, 20),
        ({"population": 70, "sides": "two"}, 3),
        ({"datapoints": "all", "noise": "rademacher"}, 30),
    ],
    ids=str,
)
def test_plain_and_batched_losses_take_the_same_steps(options: dict[str, Any], n: int) -> None:
    x, y = batch(n)
    rule: dict[str, Any] = {"stddev": 0.1, "update": "normalised", "optimizer": "adam", "seed": 5}
    compiled = RandomWalk(squares, 3, **rule, **options)
    others = [
        RandomWalk(squares, 3, run="python", **rule, **options),
        RandomWalk(squares_of_many, 3, run="batched", **rule, **options),
        RandomWalk(lambda w, a, b: squares_of_many(w, a, b).mean(axis=1), 3, run="batched", **rule, **options),
    ]
    loss = compiled.train(x, y, steps=5).loss
    for other in others:
        assert other.train(x, y, steps=5).loss == pytest.approx(loss, rel=1e-9)
        np.testing.assert_allclose(other.weights, compiled.weights, rtol=0, atol=1e-9)
        np.testing.assert_allclose(other.losses(x, y), compiled.losses(x, y), rtol=1e-6)


def test_a_batched_loss_gets_the_precision_and_the_datapoints_that_were_given() -> None:
    seen: list[tuple[Any, ...]] = []

    def loss(weights: Any, x: Any, y: Any) -> Any:
        seen.append((weights.dtype, weights.shape, x.shape, y.shape, x.dtype))
        return (weights**2).sum(axis=1) + 0 * y[:, 0]

    x, y = np.ones((40, 4, 5), np.float32), np.zeros(40)
    RandomWalk(loss, 3, stddev=0.1, run="batched", dtype=np.float32, datapoints=4).train(x, y, steps=1)
    single = np.dtype(np.float32)
    assert (single, (10, 3), (10, 4, 4, 5), (10, 4), single) in seen
    assert all(weights[0] == xs[0] == ys[0] for _, weights, xs, ys, _ in seen)


class NotNumbers:
    pass


@pytest.mark.parametrize(
    ("loss", "run", "message"),
    [
        (squares, "fast", "run must be one of compiled, python, batched, got 'fast'"),
        (lambda w, x, y: x[:2], "python", r"one number, got an array of shape \(2,\)"),
        (lambda w, x, y: None, "python", "one number, got NoneType"),
        (lambda w, x, y: NotNumbers(), "batched", "must return numbers, got NotNumbers"),
        (lambda w, x, y: w, "batched", r"must have shape \(2,\) or \(2, 1\), got \(2, 3\)"),
        (lambda w, x, y: 1.0, "batched", r"got \(\)"),
        (lambda w, x, y: NotNumbers(), "compiled", "does not compile: .*NotNumbers"),
        (lambda w, x, y: x, "compiled", r'does not compile.*; .* return one number, or give run="python"'),
    ],
)
def test_a_loss_that_cannot_be_used_is_refused_on_one_line(loss: Any, run: Any, message: str) -> None:
    x, y = batch(8)
    with pytest.raises(ValueError, match=message) as error:
        RandomWalk(loss, 3, stddev=0.1, run=run).train(x, y, steps=1)
    assert "\n" not in str(error.value)
    assert error.value.__suppress_context__ or error.value.__context__ is None, "no second traceback"
