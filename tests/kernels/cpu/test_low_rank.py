"""The walk of low rank on the CPU: the reference's steps over every choice of the family, and the same bits anyhow."""

from __future__ import annotations

from itertools import product
from typing import Any, get_args

import numpy as np
import pytest
from tolerance import assert_close, largest_difference

from freewalk.kernels.cpu import low_rank_trial
from freewalk.kernels.cpu.low_rank_trial import CpuLowRankPack, CpuLowRankWalk
from freewalk.kernels.machine.lanes import LANES
from freewalk.kernels.model.layered import LayeredNetwork
from freewalk.kernels.model.network import FreeNetwork
from freewalk.kernels.model.noise import Noise
from freewalk.kernels.model.pack import PackTrial
from freewalk.kernels.model.walk import WalkConfiguration
from freewalk.kernels.trainers.reference_walk import ReferenceWalk
from freewalk.tasks.registry import TASKS

SUMS = TASKS["shifted-sums"].problem({"timesteps": 3})
PARITY = TASKS["parity"].problem({"bits": 3})
LAYERS = LayeredNetwork((3, 5, 4, PARITY.n_output))


def _configuration(**changes: Any) -> WalkConfiguration:
    settings: dict[str, Any] = {
        "stddev": 0.05,
        "batch_size": 48,
        "timesteps": 3,
        "rank": 1,
        "update": "normalised",
    } | changes
    return WalkConfiguration(**settings)


def _pair(configuration: WalkConfiguration, *, layered: bool = False, **options: Any) -> tuple[Any, Any]:
    """Return the compiled walk and the reference's."""
    problem = PARITY if layered else SUMS
    network = LAYERS.free_network if layered else SUMS.network(5)
    if layered:
        options |= {"mask": LAYERS.mask, "initial": LAYERS.initial_weights(3)}
    given = {"seed": 3, "evaluation_points": 40, **options}
    judge = {name: value for name, value in given.items() if name != "threads"}
    return (
        CpuLowRankWalk(network, configuration, problem.data(), **given),
        ReferenceWalk(network, configuration, problem.data(), **judge),
    )


def _check(configuration: WalkConfiguration, steps: int = 3, **options: Any) -> None:
    walk, judge = _pair(configuration, **options)
    start = judge.weights
    np.testing.assert_array_equal(walk.weights, start)
    found, wanted = walk.train(steps), judge.train(steps)
    moved = largest_difference(judge.weights, start)
    assert moved > 0
    assert_close(walk.weights, judge.weights, atol=2e-4 * moved, what="weights")
    assert found.loss == pytest.approx(wanted.loss, rel=1e-5)
    assert walk.evaluate().loss == pytest.approx(judge.evaluate().loss, rel=1e-4)


KINDS: list[dict[str, Any]] = [
    *({"noise": noise} for noise in get_args(Noise)),
    {"directions": "orthogonal"},
]


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: "-".join(kind.values()))
@pytest.mark.parametrize("layered", [False, True])
@pytest.mark.parametrize("rank", [1, 3])
def test_steps_are_those_of_the_reference(kind: dict[str, Any], layered: bool, rank: int) -> None:
    for datapoints, share_data, sides in product([1, 3, 16, 48], [False, True], ["one", "two"]):
        choice = {"datapoints": datapoints, "share_data": share_data, "sides": sides}
        _check(_configuration(rank=rank, learning_rate=0.3, optimizer="momentum", **kind, **choice), layered=layered)


@pytest.mark.parametrize("shaping", ["std", "ranks"])
@pytest.mark.parametrize("share_data", [False, True])
@pytest.mark.parametrize("sides", ["one", "two"])
def test_shaped_steps_are_those_of_the_reference(shaping: str, share_data: bool, sides: str) -> None:
    """A step each: a rank jumps where float32 tells two losses apart in another order, from then on for good."""
    for datapoints in (1, 4):
        choice = {"datapoints": datapoints, "share_data": share_data, "sides": sides, "batch_size": 32}
        _check(_configuration(shaping=shaping, optimizer="sgd", **choice), steps=1)


RULES: list[dict[str, Any]] = [
    {"update": "raw"},
    {"optimizer": "sgd"},
    {"optimizer": "momentum", "schedule": "cosine", "schedule_steps": 5},
    {"optimizer": "adam", "learning_rate": 0.01},
]


@pytest.mark.parametrize("rule", RULES, ids=["raw", "sgd", "momentum", "adam"])
@pytest.mark.parametrize("batch_size", [1, 17, 100])
def test_rules_and_batches(rule: dict[str, Any], batch_size: int) -> None:
    _check(_configuration(batch_size=batch_size, **rule))


@pytest.mark.parametrize("network", [
    FreeNetwork(3, 2, 0, sequence_input=True),
    FreeNetwork(3, 2, 14, sequence_input=True, softmax=True, loss="categorical_crossentropy"),
    FreeNetwork(3, 2, 21, sequence_input=True, hidden_activation="tanh"),
])  # fmt: skip
@pytest.mark.parametrize("timesteps", [1, 2, 5])
def test_networks(network: FreeNetwork, timesteps: int) -> None:
    data = TASKS["shifted-sums"].problem({"timesteps": timesteps}).data()
    configuration = _configuration(timesteps=timesteps, batch_size=33)
    walk, judge = (
        kind(network, configuration, data, seed=1, evaluation_points=8) for kind in (CpuLowRankWalk, ReferenceWalk)
    )
    start = judge.weights
    walk.train(2), judge.train(2)
    assert_close(walk.weights, judge.weights, atol=2e-4 * largest_difference(judge.weights, start))


FAMILY: list[dict[str, Any]] = [
    {},
    {"datapoints": 5, "shaping": "std"},
    {"datapoints": 20, "share_data": True, "shaping": "ranks", "sides": "two", "rank": 2},
    {"share_data": True, "datapoints": 10, "directions": "orthogonal"},
    {"tangent": "exact", "noise": "rademacher"},
]
"""Here with the tangents too: on another worker they would compile the largest kernel a second time, for a minute."""


@pytest.mark.parametrize("choice", FAMILY)
def test_the_bits_do_not_depend_on_threads_calls_or_a_restart(choice: dict[str, Any]) -> None:
    configuration = _configuration(batch_size=200, optimizer="adam", learning_rate=0.01, **choice)
    whole, _ = _pair(configuration)
    whole.train(6)
    for threads in (1, 2, 3):
        cut, _ = _pair(configuration, threads=threads)
        cut.train(2)
        resumed, _ = _pair(configuration, threads=threads)
        resumed.restore(cut.state())
        resumed.train(4)
        np.testing.assert_array_equal(resumed.weights, whole.weights)
        for name, values in whole.state().items():
            np.testing.assert_array_equal(resumed.state()[name], values)


@pytest.mark.parametrize("choice", FAMILY)
def test_a_step_in_rounds_is_the_same_but_for_rounding(choice: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    configuration = _configuration(batch_size=800, **choice)
    whole, _ = _pair(configuration)
    monkeypatch.setattr(low_rank_trial, "_PANEL_BYTES", 1)
    monkeypatch.setattr(low_rank_trial, "SUMMED_AT_ONCE", 16)
    rounds, _ = _pair(configuration)
    assert rounds._machine.per_round == 16
    start = whole.weights
    found, wanted = rounds.train(2), whole.train(2)
    assert found.loss == pytest.approx(wanted.loss, rel=1e-6)
    moved = largest_difference(whole.weights, start)
    assert_close(rounds.weights, whole.weights, atol=1e-4 * moved)


def test_rounds_of_whole_sums_change_no_bit(monkeypatch: pytest.MonkeyPatch) -> None:
    configuration = _configuration(batch_size=1200, rank=2, shaping="std")
    whole, _ = _pair(configuration)
    monkeypatch.setattr(low_rank_trial, "_PANEL_BYTES", 1)
    rounds, _ = _pair(configuration)
    assert rounds._machine.per_round == 256
    rounds.train(3), whole.train(3)
    np.testing.assert_array_equal(rounds.weights, whole.weights)


def test_a_loss_that_is_not_finite_moves_nothing() -> None:
    walk, _ = _pair(_configuration())
    walk._weights.master[[0, LANES]] = np.inf, -np.inf  # two rows of a column, whose sum is NaN
    walk._copy_to_single()
    before = walk.weights
    assert walk.train(3).steps == 1
    np.testing.assert_array_equal(walk.weights, before)


def test_a_stop_leaves_a_step_undone() -> None:
    walk, _ = _pair(_configuration())
    walk.request_stop()
    assert walk.train(3).steps == 0


def test_a_mask_that_is_no_layered_network_is_refused() -> None:
    network = SUMS.network(5)
    mask = np.ones((network.n_from, network.n_to), dtype=np.bool_)
    mask[0, 0] = False
    with pytest.raises(ValueError, match="layered"):
        _pair(_configuration(), mask=mask)


@pytest.mark.parametrize("choice", FAMILY)
def test_a_trial_has_the_bits_in_a_pack_that_it_has_alone(choice: dict[str, Any]) -> None:
    """Trials of other batches, depths, rules and widths of perturbations; one is dropped, one restored half-way."""
    changes: list[dict[str, Any]] = [
        {},
        {"batch_size": 300, "stddev": 0.01},
        {"batch_size": 600, "optimizer": "adam", "learning_rate": 0.01},
        {"optimizer": "sgd"},
    ]
    if not choice.get("share_data"):
        changes[3]["timesteps"] = 2
    configurations = [_configuration(**{"batch_size": 100, **choice, **change}) for change in changes]
    network, data = SUMS.network(5), SUMS.data()
    pack = CpuLowRankPack(network, data, [PackTrial(c, 3) for c in configurations], evaluation_points=40)
    pack.train(2)
    pack.drop(1)
    pack.train(3)
    for place, steps in enumerate((5, 2, 5, 5)):
        alone = CpuLowRankWalk(network, configurations[place], data, seed=3, evaluation_points=40)
        alone.train(steps)
        np.testing.assert_array_equal(pack.weights(place), alone.weights)
    resumed = CpuLowRankPack(
        network, data, [PackTrial(configurations[k], 3, state=pack.state(k)) for k in (0, 2)], evaluation_points=40
    )
    resumed.train(2)
    alone = CpuLowRankWalk(network, configurations[2], data, seed=3, evaluation_points=40)
    alone.train(7)
    np.testing.assert_array_equal(resumed.weights(1), alone.weights)


def test_a_pack_refuses_trials_whose_perturbations_differ() -> None:
    trials = [PackTrial(_configuration(), 3), PackTrial(_configuration(rank=2), 3)]
    with pytest.raises(ValueError, match="agree"):
        CpuLowRankPack(SUMS.network(5), SUMS.data(), trials, evaluation_points=1)
