"""The losses of weight sets on the same datapoints: compiled against the reference, whatever the threads."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from tolerance import assert_close

from freewalk.kernels.cpu import population as cpu
from freewalk.kernels.data.datapoints import draw
from freewalk.kernels.model.layered import LayeredNetwork
from freewalk.kernels.model.noise import Stream
from freewalk.kernels.model.population import (
    Array,
    Origin,
    PopulationConfiguration,
    Strategy,
    Tried,
    default_members,
    matrices,
    member_normals,
    member_uniforms,
)
from freewalk.kernels.reference.population import try_members
from freewalk.kernels.trainers.population_trainer import CpuPopulation, ReferencePopulation
from freewalk.tasks.registry import TASKS

STEP = 3


class Still(Strategy):
    """Draws members around the start and stays there."""

    def ask(self, step: int) -> Array:
        o = self.origin
        return 2.0 * member_normals(o.seed, step, np.arange(o.members), 0, len(o.weights))

    def tell(self, step: int, members: Array, tried: Tried) -> None:
        pass

    @property
    def answer(self) -> Array:
        return self.origin.weights


CASES = {
    "free": ("shifted-sums", {}, None, 5),
    "sequence": ("addition", {}, None, 4),
    "softmax": ("copy", {"length": 2, "delay": 2}, None, 3),
    "counted": ("copy", {"length": 2, "delay": 2, "counted": "answer"}, None, 3),
    "masked": ("shifted-sums", {}, "every third", 5),
    "layered": ("xor", {}, (2, 5, 1), 0),
    "fixed": ("shifted-sums", {}, "others at 1/2", 5),
    "hidden first": ("addition", {}, "hidden first", 4),
}


def trainer(case: str, kind: Any = CpuPopulation, tolerance: float = math.inf, **options: Any) -> Any:
    task, parameters, mask, hidden = CASES[case]
    problem = TASKS[task].problem(parameters)
    network, timesteps = problem.network(hidden), problem.default_timesteps
    if isinstance(mask, tuple):
        layers = LayeredNetwork(mask)
        network, timesteps, options["mask"] = layers.free_network, layers.depth, layers.mask
        options["initial"] = layers.initial_weights(1)
    elif mask == "hidden first":
        network = replace(network, hidden_first=True)
    elif mask:
        options["mask"] = np.arange(network.n_weights).reshape(network.n_from, -1) % 3 > 0
        if mask == "others at 1/2":
            options["initial"] = np.where(options["mask"], 1.0, 0.5)
    made = PopulationConfiguration("still", Still, 37, timesteps, population=7, tolerance=tolerance)
    return kind(network, made, problem.data(), seed=5, evaluation_points=16, **options)


def data_of(case: str, one: Any) -> tuple[NDArray[Any], NDArray[Any]]:
    task, parameters, _, _ = CASES[case]
    data, timesteps = TASKS[task].problem(parameters).data(), one._configuration.timesteps
    return draw(one.network, data, timesteps, seed=5, stream=Stream.DATA, step=STEP, n_datapoints=37)


@pytest.mark.parametrize("tolerance", [math.inf, 0.6])
@pytest.mark.parametrize("case", CASES)
def test_the_kernel_agrees_with_the_reference(case: str, tolerance: float) -> None:
    one = trainer(case, tolerance=tolerance)
    members = one.strategy.ask(STEP)
    members[0] *= 1e-3  # outputs near 1/2, within 0.6 of any target
    found = one._try(STEP, members)
    weights = matrices(members, one._allowed, (one.network.n_from, one.network.n_to), one.weights)
    assert (weights[:, ~one._allowed] == 0.5).all() if case == "fixed" else True
    wanted = try_members(one.network, weights, *data_of(case, one), one._configuration.timesteps, tolerance)
    assert_close(found.losses, wanted.losses, atol=1e-5, k=64)
    assert np.array_equal(found.seen, wanted.seen)
    if tolerance < math.inf:
        assert np.array_equal(found.right, wanted.right)
        assert case in ("softmax", "counted", "fixed") or found.right[0], "the first is right"
        assert {*found.seen.tolist()} <= {16, 32, 37}
        assert (found.seen < 37).any(), "some are left early"
    else:
        assert (found.seen == 37).all()


@pytest.mark.parametrize("tolerance", [math.inf, 0.6])
@pytest.mark.parametrize("case", ["free", "layered"])
def test_threads_and_tiles_do_not_change_a_bit(case: str, tolerance: float, monkeypatch: pytest.MonkeyPatch) -> None:
    alone = trainer(case, tolerance=tolerance)
    members = alone.strategy.ask(STEP)
    wanted = alone._try(STEP, members)
    monkeypatch.setattr(cpu, "_DATA_BYTES", 1)  # lane groups one by one
    for threads in (1, 2, 3):
        again = trainer(case, tolerance=tolerance, threads=threads)
        assert len(again._memory.x) == threads
        assert again._memory.x.shape[1] == alone._memory.x.shape[1] // 3
        for a, b in zip(again._try(STEP, members), wanted, strict=True):
            assert np.array_equal(a, b)


def test_a_step_left_by_a_request_to_stop_does_not_count() -> None:
    one = trainer("free")
    one.request_stop()
    assert one.train(3).steps == 0
    assert one.evaluations == 0


@pytest.mark.parametrize("kind", [CpuPopulation, ReferencePopulation])
def test_evaluations_are_members_times_datapoints(kind: Any) -> None:
    one = trainer("free", kind)
    one.train(3)
    assert one.evaluations == 3 * 7 * 37 == 3 * one._configuration.evaluations_per_step(one.network)


@pytest.mark.parametrize("kind", [CpuPopulation, ReferencePopulation])
def test_losses_that_are_no_numbers_end_a_trial(kind: Any) -> None:
    class Lost(Still):
        def ask(self, step: int) -> Array:
            return super().ask(step) * (np.nan if step == 2 else 1)

    one = trainer("free", kind)
    made = replace(one._configuration, strategy=Lost)
    lost = kind(one.network, made, TASKS["shifted-sums"].problem({}).data(), seed=5, evaluation_points=16)
    progress = lost.train(9)
    assert (progress.steps, progress.loss) == (3, math.inf)
    assert np.isfinite(lost.weights).all()


def test_draws_depend_on_seed_step_and_member_alone() -> None:
    some = member_normals(1, 2, np.arange(5), 0, 7)
    assert np.array_equal(member_normals(1, 2, np.array([3]), 0, 7), some[3:4])
    others = [member_normals(2, 2, np.arange(5), 0, 7), member_normals(1, 3, np.arange(5), 0, 7)]
    assert not any((some == other).any() for other in [*others, member_normals(1, 2, np.arange(5), 2, 7)])
    many = member_uniforms(1, 0, np.arange(2000), 0, 9)
    assert many.mean() == pytest.approx(0.5, abs=0.01)
    assert 0 <= many.min() <= many.max() < 1


@pytest.mark.parametrize(("n_weights", "members"), [(1, 4), (3, 7), (100, 17), (10**6, 45)])
def test_the_population_of_cma_and_nes(n_weights: int, members: int) -> None:
    assert default_members(n_weights) == members


def test_what_does_not_fit_is_refused() -> None:
    one = trainer("free")
    state = one.state()
    with pytest.raises(ValueError, match="'mean', which this trial has not"):
        one.restore({**state, "mean": np.zeros(3)})
    with pytest.raises(ValueError, match="the state has no 'evaluations'"):
        one.restore({name: value for name, value in state.items() if name != "evaluations"})
    with pytest.raises(ValueError, match="population must be at least 1, got 0"):
        replace(one._configuration, population=0)
    limited = replace(one._configuration, refusal=lambda _, weights, members: f"no {weights} and {members}; do so")
    with pytest.raises(ValueError, match=f"^no {one.network.n_weights} and {limited.population}; do so$"):
        limited.evaluations_per_step(one.network)


def test_an_origin_has_the_weights_that_exist() -> None:
    origin: Origin = trainer("layered").strategy.origin
    layers = LayeredNetwork((2, 5, 1))
    assert np.array_equal(origin.weights, layers.initial_weights(1)[layers.mask])
    assert np.bincount(origin.neurons).tolist() == [6, 3, 3, 3, 3, 3]
