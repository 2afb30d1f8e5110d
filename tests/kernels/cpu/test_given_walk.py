"""Walks on batches that are handed over: the same steps as walks that draw their own, with the same noise."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from freewalk.kernels.cpu.given import GivenWalk
from freewalk.kernels.cpu.trial import CpuWalk
from freewalk.kernels.data.datapoints import draw
from freewalk.kernels.model.network import FreeNetwork
from freewalk.kernels.model.noise import Stream, unit_perturbations
from freewalk.kernels.model.walk import WalkConfiguration
from freewalk.kernels.trainers.reference_walk import ReferenceGivenWalk, ReferenceWalk
from freewalk.tasks.registry import TASKS

SEED, STEPS = 5, 4
RAW = WalkConfiguration(stddev=0.1, batch_size=150, timesteps=4)
ADAM = replace(RAW, update="normalised", optimizer="adam", learning_rate=0.01, schedule="cosine", schedule_steps=9)
TWO_SIDED = replace(RAW, sides="two", noise="rademacher")
PROBLEM = TASKS["shifted-sums"].problem({})
NETWORK = PROBLEM.network(5)
MASK = np.random.default_rng(1).random((NETWORK.n_from, NETWORK.n_to)) < 0.6


def batch(step: int, n: int = RAW.batch_size) -> tuple[Any, Any]:
    x, y = draw(NETWORK, PROBLEM.data(), 4, seed=SEED, stream=Stream.DATA, step=step, n_datapoints=n)
    return x.reshape(n, -1), y.reshape(n, -1)


@pytest.mark.parametrize("configuration", [RAW, ADAM, TWO_SIDED], ids=["raw", "adam", "two sides"])
@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("mask", [None, MASK], ids=["all", "mask"])
def test_it_is_the_walk_that_draws_its_own_data_to_the_last_bit(
    configuration: WalkConfiguration, threads: int, mask: Any
) -> None:
    own = CpuWalk(NETWORK, configuration, PROBLEM.data(), seed=SEED, evaluation_points=1, mask=mask)
    given = GivenWalk(NETWORK, configuration, seed=SEED, threads=threads, mask=mask)
    for step in range(STEPS):
        loss = given.take_step(*batch(step))
        assert loss == own.train(1).loss
        assert np.array_equal(given.weights, own.weights)
    assert given.step == STEPS
    assert not np.array_equal(given.weights, GivenWalk(NETWORK, configuration, seed=SEED, mask=mask).weights)


@pytest.mark.parametrize("configuration", [RAW, ADAM, TWO_SIDED], ids=["raw", "adam", "two sides"])
@pytest.mark.parametrize("mask", [None, MASK], ids=["all", "mask"])
def test_the_reference_is_the_reference_walk(configuration: WalkConfiguration, mask: Any) -> None:
    own = ReferenceWalk(NETWORK, configuration, PROBLEM.data(), seed=SEED, evaluation_points=1, mask=mask)
    given = ReferenceGivenWalk(NETWORK, configuration, seed=SEED, mask=mask)
    for step in range(2):
        assert given.take_step(*batch(step)) == pytest.approx(own.train(1).loss, rel=1e-12)
    np.testing.assert_allclose(given.weights, own.weights, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("kind", [GivenWalk, ReferenceGivenWalk])
def test_given_noise_counts_for_one_step(kind: Any) -> None:
    def noise(step: int) -> Any:
        return unit_perturbations(
            NETWORK.n_from, NETWORK.n_to, seed=SEED, step=step, datapoints=np.arange(RAW.batch_size)
        )

    drawn, given = kind(NETWORK, RAW, seed=SEED), kind(NETWORK, RAW, seed=SEED)
    drawn.take_step(*batch(0))
    given.take_step(*batch(0), unit_noise=noise(0))
    start = kind(NETWORK, RAW, seed=SEED).weights
    assert np.linalg.norm(given.weights - drawn.weights) < 1e-3 * np.linalg.norm(drawn.weights - start)
    before_drawn, before_given = drawn.weights, given.weights
    drawn.take_step(*batch(1))
    given.take_step(*batch(1))
    difference = (given.weights - before_given) - (drawn.weights - before_drawn)
    assert np.linalg.norm(difference) < 1e-3 * np.linalg.norm(drawn.weights - before_drawn)


@pytest.mark.parametrize("kind", [GivenWalk, ReferenceGivenWalk])
def test_a_learning_rate_counts_from_its_step_on(kind: Any) -> None:
    sgd = replace(RAW, update="normalised", learning_rate=0.1)
    constant, changed = kind(NETWORK, sgd, seed=SEED), kind(NETWORK, sgd, seed=SEED)
    start = constant.weights
    constant.take_step(*batch(0))
    changed.take_step(*batch(0), learning_rate=0.05)
    np.testing.assert_allclose(changed.weights - start, (constant.weights - start) / 2, rtol=1e-9, atol=1e-15)


def test_the_number_of_threads_may_change_between_steps() -> None:
    steady, changing = GivenWalk(NETWORK, RAW, seed=SEED), GivenWalk(NETWORK, RAW, seed=SEED, threads=2)
    for step in range(STEPS):
        changing.use_threads(1 + step % 2)
        assert changing.take_step(*batch(step)) == steady.take_step(*batch(step))
    assert np.array_equal(changing.weights, steady.weights)


def test_wrong_shapes_are_refused() -> None:
    walk = GivenWalk(NETWORK, RAW, seed=SEED)
    x, y = batch(0)
    with pytest.raises(ValueError, match=r"x must have shape \(150, 12\), got \(149, 12\)"):
        walk.take_step(x[:-1], y)
    with pytest.raises(ValueError, match=r"y must have shape \(150, 2\), got \(150, 1\)"):
        walk.take_step(x, y[:, :1])
    with pytest.raises(ValueError, match=r"unit_noise must have shape \(150, 11, 7\)"):
        walk.take_step(x, y, unit_noise=np.zeros((150, 7, 11)))
    assert walk.step == 0


def test_a_loss_that_is_not_finite_moves_nothing() -> None:
    for kind in (GivenWalk, ReferenceGivenWalk):
        walk = kind(FreeNetwork(1, 1, 1), replace(RAW, batch_size=3, timesteps=1), seed=0)
        before = walk.weights
        assert not np.isfinite(walk.take_step(np.array([[1.0], [np.nan], [0.0]]), np.zeros((3, 1))))
        assert np.array_equal(walk.weights, before)
