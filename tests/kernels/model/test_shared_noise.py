"""Walks that draw their noise together take the steps that each takes alone, bit by bit."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, get_args

import numpy as np
import pytest
from numpy.typing import NDArray

from freewalk.kernels.backend import resolve_backend
from freewalk.kernels.cpu.layout import shape_of, tiling_of
from freewalk.kernels.cpu.pack import CpuPack
from freewalk.kernels.cpu.together import train_together
from freewalk.kernels.cpu.trial import CpuWalk
from freewalk.kernels.model.network import FreeNetwork
from freewalk.kernels.model.pack import PackTrial
from freewalk.kernels.model.walk import Data, Optimizer, Schedule, Sides, Update, WalkConfiguration
from freewalk.tasks.registry import TASKS

SUMS = TASKS["shifted-sums"].problem({})
XOR = TASKS["xor"].problem({})
ADDITION = TASKS["addition"].problem({"bits": 3})
POINTS, SEED = 37, 5
BASE = WalkConfiguration(stddev=0.1, batch_size=100, timesteps=3)
MIXED = (
    BASE,
    replace(BASE, stddev=0.3, batch_size=257, sides="two"),
    replace(BASE, batch_size=1, timesteps=1, update="normalised", optimizer="adam", learning_rate=0.02),
    replace(BASE, batch_size=64, timesteps=5, update="normalised", optimizer="momentum", learning_rate=0.05),
    replace(BASE, batch_size=63, update="normalised", schedule="cosine", schedule_steps=7, sides="two"),
    replace(BASE, batch_size=129, timesteps=1),
)
"""Timesteps 3, 3, 1, 5, 3, 1: the kernel takes them in another order."""


def alone(network: FreeNetwork, data: Data, trial: PackTrial, mask: NDArray[np.bool_] | None = None) -> CpuWalk:
    options: dict[str, Any] = {"seed": trial.seed, "evaluation_points": POINTS, "initial": trial.initial, "mask": mask}
    return CpuWalk(network, trial.configuration, data, **options)


def together(
    network: FreeNetwork, data: Data, trials: Sequence[PackTrial], mask: NDArray[np.bool_] | None = None
) -> CpuPack:
    batch = resolve_backend("cpu").make_pack(network, data, trials, evaluation_points=POINTS, mask=mask)
    assert isinstance(batch, CpuPack)
    return batch


def assert_same(batch: CpuPack, place: int, walk: CpuWalk) -> None:
    assert batch.steps[place] == walk.step
    np.testing.assert_array_equal(batch.weights(place), walk.weights)
    assert batch.evaluate([place]) == [walk.evaluate()]
    found, wanted = batch.state(place), walk.state()
    assert found.keys() == wanted.keys()
    for name in found:
        np.testing.assert_array_equal(found[name], wanted[name], err_msg=name)


def assert_as_alone(
    network: FreeNetwork,
    data: Data,
    configurations: Sequence[WalkConfiguration],
    steps: Sequence[int] = (3, 5),
    mask: NDArray[np.bool_] | None = None,
) -> None:
    trials = [PackTrial(configuration, SEED) for configuration in configurations]
    batch = together(network, data, trials, mask)
    walks = [alone(network, data, trial, mask) for trial in trials]
    starts = [walk.weights for walk in walks]
    for n_steps in steps:
        found, wanted = batch.train(n_steps), [walk.train(n_steps) for walk in walks]
        assert list(map(repr, found)) == list(map(repr, wanted)), "no steps have the loss NaN, which equals nothing"
    for place, walk in enumerate(walks):
        assert_same(batch, place, walk)
        assert (walk.weights != starts[place]).any()


KINDS = ({"noise": "gaussian"}, {"noise": "rademacher"}, {"generator": "xoshiro"})


@pytest.mark.parametrize("kind", KINDS, ids=str)
def test_trials_that_differ_in_everything_else(kind: dict[str, Any]) -> None:
    assert_as_alone(SUMS.network(5), SUMS.data(), [replace(c, **kind) for c in MIXED])


@pytest.mark.parametrize("kind", KINDS, ids=str)
def test_masked_trials(kind: dict[str, Any]) -> None:
    network = SUMS.network(5)
    mask = np.random.default_rng(1).random((network.n_from, network.n_to)) < 0.6
    assert_as_alone(network, SUMS.data(), [replace(c, **kind) for c in MIXED], mask=mask)


def test_sequences_in_and_out() -> None:
    """Inputs, targets and outputs have a row for each timestep, so trials of other timesteps have other shapes."""
    network = replace(ADDITION.network(6), hidden_activation="tanh")
    assert network.sequence_input
    assert network.sequence_output
    timesteps = ADDITION.default_timesteps
    configurations = [replace(c, timesteps=c.timesteps + timesteps - 1) for c in MIXED]
    assert_as_alone(network, ADDITION.data(), configurations)


def test_softmax_and_cross_entropy() -> None:
    network = replace(SUMS.network(6), softmax=True, loss="categorical_crossentropy")
    assert_as_alone(network, SUMS.data(), MIXED)


def _random_configuration(random: np.random.Generator) -> WalkConfiguration:
    def one_of(choices: Any) -> Any:
        return choices[random.integers(len(choices))]

    return WalkConfiguration(
        stddev=float(random.uniform(0.01, 0.4)),
        batch_size=int(2 ** random.uniform(0, 8.5)),
        timesteps=int(random.integers(1, 6)),
        update=one_of(get_args(Update)),
        optimizer=one_of(get_args(Optimizer)),
        learning_rate=float(random.uniform(0.01, 0.2)),
        momentum=float(random.uniform(0, 0.95)),
        schedule=one_of(get_args(Schedule)),
        schedule_steps=int(random.integers(1, 12)),
        sides=one_of(get_args(Sides)),
    )


@pytest.mark.parametrize("seed", range(8))
def test_random_batches(seed: int) -> None:
    random = np.random.default_rng(seed)
    configurations = [_random_configuration(random) for _ in range(random.integers(1, 20))]
    network = SUMS.network(int(random.integers(0, 20)))
    assert_as_alone(network, SUMS.data(), configurations, steps=(1, 0, 4))


def test_batches_of_more_tiles_than_chunks() -> None:
    """Above 64 tiles a chunk holds several, and how many depends on the trial's own batch size."""
    network = XOR.network(1)
    sizes = (64 * 64, 64 * 64 + 1, 9_999, 30_000, 100)
    for size, wanted in zip(sizes, ((64, 64), (65, 64), (157, 64), (469, 64), (2, 2)), strict=True):
        tiling = tiling_of(shape_of(network, 2), size)
        assert (tiling.n_tiles, tiling.n_chunks) == wanted
    configurations = [replace(BASE, batch_size=size, timesteps=2) for size in sizes]
    assert_as_alone(network, XOR.data(), configurations, steps=(2,))


def test_a_network_whose_tiles_are_single_groups() -> None:
    network = SUMS.network(254)
    assert tiling_of(shape_of(network, 2), 100).groups == 1
    configurations = [replace(BASE, batch_size=size, timesteps=2) for size in (40, 16, 33)]
    assert_as_alone(network, SUMS.data(), configurations, steps=(2,))


def test_trials_leave_without_stopping_the_others() -> None:
    """One is dropped, one meets a loss that is not finite; what they were stays, and the others notice nothing."""
    network, data = SUMS.network(5), SUMS.data()
    configurations = list(MIXED)
    configurations[1] = replace(MIXED[1], update="normalised", optimizer="sgd", learning_rate=1e306)
    trials = [PackTrial(configuration, SEED) for configuration in configurations]
    batch = together(network, data, trials)
    walks = [alone(network, data, trial) for trial in trials]
    wanted = [walk.train(20) for walk in walks]
    found = batch.train(20)
    assert list(map(repr, found)) == list(map(repr, wanted))
    assert 1 < found[1].steps < 20
    assert not math.isfinite(found[1].loss)

    batch.drop(3)
    assert list(batch.active) == [0, 1, 2, 4, 5]
    found = batch.train(4)
    assert len(found) == 5
    assert found[1].steps == 0, "stopped for good"
    assert math.isnan(found[1].loss)
    for place in (0, 2, 4, 5):
        walks[place].train(4)
    for place in (0, 2, 3, 4, 5):
        assert_same(batch, place, walks[place])
    np.testing.assert_array_equal(batch.weights(1), walks[1].weights)
    assert batch.steps[1] == walks[1].step


def test_the_last_trial_may_stop_early() -> None:
    broken = replace(BASE, update="normalised", learning_rate=1e306)
    batch = together(SUMS.network(3), SUMS.data(), [PackTrial(broken, SEED)])
    (progress,) = batch.train(50)
    assert progress.steps < 50
    assert [p.steps for p in batch.train(50)] == [0]
    batch.drop(0)
    assert batch.train(3) == []
    assert batch.evaluate() == []


def test_states_go_from_batch_to_walk_and_back() -> None:
    network, data = SUMS.network(5), SUMS.data()
    trials = [PackTrial(configuration, SEED) for configuration in MIXED]
    first = together(network, data, trials)
    first.train(4)
    walks = [alone(network, data, trial) for trial in trials]
    for place, walk in enumerate(walks):
        walk.restore(first.state(place))
        walk.train(2)
    second = together(
        network,
        data,
        [PackTrial(t.configuration, SEED, state=w.state()) for t, w in zip(trials, walks, strict=True)],
    )
    second.train(3)
    for place, trial in enumerate(trials):
        walk = alone(network, data, trial)
        walk.train(9)
        assert_same(second, place, walk)


def test_initial_weights_and_places() -> None:
    network, data = SUMS.network(4), SUMS.data()
    random = np.random.default_rng(0)
    starts = [random.normal(size=(network.n_from, network.n_to)) for _ in range(3)]
    trials = [PackTrial(BASE, SEED, initial=start) for start in starts]
    batch = together(network, data, trials)
    for place, start in enumerate(starts):
        np.testing.assert_array_equal(batch.weights(place), start)
    batch.train(2)
    walks = [alone(network, data, trial) for trial in trials]
    for walk in walks:
        walk.train(2)
    assert batch.evaluate([2, 0]) == [walks[2].evaluate(), walks[0].evaluate()]
    batch.drop(0)
    assert batch.evaluate() == [walks[1].evaluate(), walks[2].evaluate()]
    assert batch.kernel_seconds > 0


def test_trials_that_cannot_share_their_noise_are_refused() -> None:
    network, data = SUMS.network(4), SUMS.data()
    later = alone(network, data, PackTrial(BASE, SEED))
    later.train(3)
    first = PackTrial(BASE, SEED)
    for other, message in (
        (PackTrial(BASE, SEED + 1), "must agree in seed, got 5 and 6"),
        (PackTrial(replace(BASE, noise="rademacher"), SEED), "in kind of noise, got gaussian and rademacher"),
        (PackTrial(replace(BASE, generator="xoshiro"), SEED), "in kind of noise, got gaussian and gaussian-xoshiro"),
        (PackTrial(BASE, SEED, state=later.state()), "in step, got 0 and 3"),
        (PackTrial(replace(BASE, update="normalised"), SEED, state=later.state()), "optimizer raw, this one has"),
    ):
        with pytest.raises(ValueError, match=message):
            together(network, data, [first, other])
    with pytest.raises(ValueError, match="at least one trial"):
        together(network, data, [])


def test_a_stop_leaves_the_weights_of_the_last_whole_step() -> None:
    """Asked for from another thread, which runs only if the kernel has released the GIL."""
    network = XOR.network(4)
    trials = [PackTrial(replace(BASE, batch_size=size, timesteps=1), 0) for size in (400_000_000, 16)]
    batch = together(network, XOR.data(), trials)
    before = [batch.weights(place) for place in range(2)]
    timer = threading.Timer(0.2, batch.request_stop)
    timer.start()
    start = time.perf_counter()
    progress = batch.train(5)
    seconds = time.perf_counter() - start
    timer.join()
    assert seconds < 6, "a step of this batch takes half a minute"
    assert [p.steps for p in progress] == [0, 0]
    assert list(batch.steps) == [0, 0]
    for place in range(2):
        np.testing.assert_array_equal(batch.weights(place), before[place])
    assert [p.steps for p in batch.train(1)] == [0, 0]


def test_two_batches_in_two_threads() -> None:
    network, data = SUMS.network(12), SUMS.data()
    trials = [PackTrial(replace(BASE, stddev=0.01 * (k + 1)), seed) for seed in (1, 2) for k in range(3)]
    batches = [together(network, data, trials[:3]), together(network, data, trials[3:])]
    threads = [threading.Thread(target=batch.train, args=(60,)) for batch in batches]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for k, trial in enumerate(trials):
        walk = alone(network, data, trial)
        walk.train(60)
        np.testing.assert_array_equal(batches[k // 3].weights(k % 3), walk.weights)


def test_different_batches_share_the_compiled_kernel() -> None:
    mask = np.ones((6 + 5, 2 + 5), dtype=bool)
    for configurations, extra in ((MIXED, None), (MIXED[:1], mask)):
        trials = [PackTrial(configuration, 2**64 - 1) for configuration in configurations]
        together(SUMS.network(5), SUMS.data(), trials, extra).train(1)
    assert len(train_together.signatures) == 1
