"""The walk's step in two halves: the same losses, perturbations and estimate as the walk that does both at once."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from freewalk.kernels.cpu import perturbed
from freewalk.kernels.cpu.perturbed import Perturbations
from freewalk.kernels.cpu.trial import CpuWalk
from freewalk.kernels.data.datapoints import draw
from freewalk.kernels.model.layered import LayeredNetwork
from freewalk.kernels.model.network import FreeNetwork
from freewalk.kernels.model.noise import Stream, initial_weights, unit_perturbations
from freewalk.kernels.model.walk import WalkConfiguration
from freewalk.kernels.reference import reference
from freewalk.tasks.registry import TASKS

SEED, STDDEV = 5, 0.1
PROBLEM = TASKS["shifted-sums"].problem({})
NETWORK = PROBLEM.network(5)
RANDOM = np.random.default_rng(1)
MASK = RANDOM.random((NETWORK.n_from, NETWORK.n_to)) < 0.6
LAYERS = LayeredNetwork((2, 5, 3, 1))
KINDS: list[dict[str, Any]] = [{}, {"sides": "two"}, {"noise": "rademacher"}, {"generator": "xoshiro", "sides": "two"}]


def walk_and_parts(batch_size: int, mask: Any = None, threads: int = 1, **kind: Any) -> tuple[CpuWalk, Perturbations]:
    rule = {"update": "normalised", "optimizer": "sgd", "learning_rate": 0.5}
    configuration = replace(WalkConfiguration(stddev=STDDEV, batch_size=batch_size, timesteps=4), **rule, **kind)
    walk = CpuWalk(NETWORK, configuration, PROBLEM.data(), seed=SEED, evaluation_points=1, mask=mask)
    parts = Perturbations(
        NETWORK, 4, batch_size=batch_size, stddev=STDDEV, seed=SEED, data=PROBLEM.data(), mask=mask, threads=threads,
        **kind,
    )  # fmt: skip
    return walk, parts


@pytest.mark.parametrize("kind", KINDS, ids=str)
@pytest.mark.parametrize("mask", [None, MASK], ids=["all", "mask"])
@pytest.mark.parametrize("batch_size", [7, 150])
@pytest.mark.parametrize("kept", [True, False], ids=["kept", "drawn again"])
def test_slopes_and_mean_are_the_step_of_the_walk(
    kind: dict[str, Any], mask: Any, batch_size: int, kept: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not kept:
        monkeypatch.setattr(perturbed, "_KEPT_BYTES", 0)
        monkeypatch.setattr(perturbed, "_KEPT_BYTES_OF_SIGNS", 0)
    walk, parts = walk_and_parts(batch_size, mask, **kind)
    weights = walk.weights
    for step in range(3):
        seen = parts.losses(weights, step)
        weights = weights - 0.5 * seen.weighed_mean(seen.slopes)
        assert seen.loss == pytest.approx(walk.train(1).loss, rel=1e-6)
        # slopes are rounded to float32 once more than differences
        np.testing.assert_allclose(weights, walk.weights, rtol=0, atol=1e-6)
    assert np.abs(weights - parts_start(mask)).max() > 1e-3, "nothing moved"


def parts_start(mask: Any) -> Any:
    start = initial_weights(NETWORK.n_from, NETWORK.n_to, SEED)
    return start if mask is None else start * mask


@pytest.mark.parametrize("kind", KINDS, ids=str)
def test_losses_and_units_are_those_of_the_reference(kind: dict[str, Any]) -> None:
    _, parts = walk_and_parts(40, **kind)
    noise = "gaussian-xoshiro" if "generator" in kind else kind.get("noise", "gaussian")
    units = unit_perturbations(NETWORK.n_from, NETWORK.n_to, seed=SEED, step=3, datapoints=np.arange(40), noise=noise)
    np.testing.assert_allclose(parts.units(3), units, rtol=0, atol=2e-6)
    np.testing.assert_array_equal(parts.units(3, first=16, n=5), parts.units(3)[16:21])
    weights = initial_weights(NETWORK.n_from, NETWORK.n_to, 1)
    x, y = draw(NETWORK, PROBLEM.data(), 4, seed=SEED, stream=Stream.DATA, step=3, n_datapoints=40)
    seen, given = parts.losses(weights, 3), parts.losses(weights, 3, x, y)
    np.testing.assert_array_equal(seen.plus, given.plus)
    np.testing.assert_array_equal(seen.other, given.other)
    sides = {"plus": STDDEV, "other": -STDDEV if kind.get("sides") == "two" else 0.0}
    for name, scale in sides.items():
        outputs = [reference.forward(NETWORK, weights + scale * units[k], x[k : k + 1], 4) for k in range(40)]
        losses = [reference.losses(NETWORK, out, y[k : k + 1])[0] for k, out in enumerate(outputs)]
        np.testing.assert_allclose(getattr(seen, name), losses, rtol=2e-5, atol=1e-6)


def test_any_numbers_weigh_and_threads_change_no_bit() -> None:
    numbers = RANDOM.standard_normal(150)
    means = []
    for threads in (1, 2, 3):
        _, parts = walk_and_parts(150, threads=threads)
        seen = parts.losses(initial_weights(NETWORK.n_from, NETWORK.n_to, SEED), 2)
        means.append((seen.plus, seen.weighed_mean(numbers)))
    for plus, mean in means[1:]:
        np.testing.assert_array_equal(plus, means[0][0])
        np.testing.assert_array_equal(mean, means[0][1])
    expected = np.einsum("b,bnm->nm", numbers, parts.units(2)) / 150
    np.testing.assert_allclose(means[0][1], expected, rtol=0, atol=1e-6)


def test_a_layered_network_has_perturbations_of_its_own_weights_alone() -> None:
    network, mask = LAYERS.free_network, LAYERS.mask
    parts = Perturbations(network, LAYERS.depth, batch_size=20, stddev=STDDEV, seed=SEED, mask=mask)
    x, y = RANDOM.random((20, 2)), RANDOM.random((20, 1))
    weights = LAYERS.initial_weights(3)
    seen, units = parts.losses(weights, 0, x, y), parts.units(0)
    assert not units[:, ~mask].any()
    assert units[:, mask].std() == pytest.approx(1, abs=0.1)
    outputs = [reference.forward(network, weights + STDDEV * units[k], x[k : k + 1], 3) for k in range(20)]
    losses = [reference.losses(network, out, y[k : k + 1])[0] for k, out in enumerate(outputs)]
    np.testing.assert_allclose(seen.plus, losses, rtol=1e-5)
    mean = seen.weighed_mean(np.ones(20))
    np.testing.assert_allclose(mean, units.mean(axis=0), rtol=0, atol=1e-6)


def test_what_does_not_fit_is_refused() -> None:
    _, parts = walk_and_parts(20)
    weights = np.zeros((NETWORK.n_from, NETWORK.n_to))
    seen = parts.losses(weights, 0)
    with pytest.raises(ValueError, match="a number for each of 20 datapoints"):
        seen.weighed_mean(np.ones(19))
    parts.losses(weights, 1)
    with pytest.raises(ValueError, match="of a later call"):
        seen.weighed_mean(np.ones(20))
    with pytest.raises(ValueError, match="weights must have shape"):
        parts.losses(weights.T, 0)
    with pytest.raises(ValueError, match="x and y must have 20 datapoints, got 3"):
        parts.losses(weights, 0, np.zeros((3, 4, 3)), np.zeros((3, 2)))
    with pytest.raises(ValueError, match="stddev must be above 0"):
        Perturbations(NETWORK, 1, batch_size=2, stddev=0, seed=0)
    without = Perturbations(FreeNetwork(1, 1, 0), 1, batch_size=2, stddev=1, seed=0)
    with pytest.raises(ValueError, match="needs x and y"):
        without.losses(np.zeros((3, 1)), 0)
