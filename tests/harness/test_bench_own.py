"""freewalk's own entries of the table: which kernels they run, and whether their check sees a wrong one."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from bench_standins import ProcessorAsGpu, Walks

from freewalk.harness.bench.own import OnGpu, OnProcessor, relative_error
from freewalk.harness.bench.workloads import DEFAULT, Workload
from freewalk.kernels.cpu.trial import CpuWalk

ONE = Workload("default", hidden=3, batch_size=50)
THREE = Workload("trials", hidden=3, batch_size=50, n_trials=3)


class _Watched(ProcessorAsGpu):
    """Notes what is asked of it; may be wrong about the trial of one seed."""

    def __init__(self, wrong_seed: int | None = None) -> None:
        self.asked: list[str] = []
        self._wrong_seed = wrong_seed

    def one(self, network: Any, configuration: Any, data: Any, **options: Any) -> CpuWalk:
        self.asked.append("one")
        if options["seed"] == self._wrong_seed:
            configuration = replace(configuration, stddev=configuration.stddev * 1.001)
        return CpuWalk(network, configuration, data, **options)

    def many(self, network: Any, data: Any, trials: Any, **options: Any) -> Walks:
        walks = [self.one(network, trial.configuration, data, seed=trial.seed, **options) for trial in trials]
        self.asked = ["many"]
        return Walks(walks)


@pytest.mark.parametrize(
    ("workload", "always_blocks", "asked"), [(ONE, False, "one"), (ONE, True, "many"), (THREE, False, "many")]
)
def test_which_kernels_run(workload: Workload, always_blocks: bool, asked: str) -> None:
    gpu = _Watched()
    loop = OnGpu(gpu, always_blocks=always_blocks).start(workload)
    assert gpu.asked == [asked]
    before = loop.weights()
    assert loop.measure(2) > 0
    after = loop.weights()
    assert before.shape == after.shape == (workload.n_trials, 9, 5)
    assert np.abs(after - before).max(axis=(1, 2)).min() > 0
    assert len({trial.tobytes() for trial in before}) == workload.n_trials


@pytest.mark.parametrize("workload", [ONE, THREE])
def test_a_wrong_trial_shows_before_it_is_timed(workload: Workload) -> None:
    first, last = 100, 100 + workload.n_trials - 1
    assert OnGpu(_Watched()).check(workload) == 0
    for seed in (first, last):
        assert OnGpu(_Watched(seed)).check(workload) == pytest.approx(2e-3, rel=0.2)


@pytest.mark.parametrize("workload", [ONE, THREE])
def test_the_processor_takes_part(workload: Workload) -> None:
    implementation = OnProcessor(everywhere=True)
    assert 0 < implementation.check(workload) < 1e-4
    loop = implementation.start(workload)
    before = loop.weights()
    assert len({trial.tobytes() for trial in before}) == workload.n_trials
    loop.measure(1)
    assert np.abs(loop.weights() - before).max(axis=(1, 2)).min() > 0


def test_who_takes_part_where() -> None:
    many, huge, wide = (
        Workload("trials", n_trials=132),
        Workload("trials", n_trials=2112),
        Workload("hidden", hidden=62),
    )
    gpu = _Watched()
    assert all(OnGpu(gpu).wants(workload) for workload in (DEFAULT, many, huge, wide))
    assert [OnGpu(gpu, always_blocks=True).wants(w) for w in (DEFAULT, many, wide)] == [True, False, False]
    assert [OnProcessor(everywhere=False).wants(w) for w in (DEFAULT, many, huge, wide)] == [True, True, False, False]
    assert OnProcessor(everywhere=True).wants(huge)


def test_relative_error() -> None:
    wanted = np.array([[3.0, 4.0]])
    assert relative_error(wanted, wanted) == 0
    assert relative_error(np.array([[3.0, 4.5]]), wanted) == pytest.approx(0.1)
    assert relative_error(np.zeros((1, 2)), np.zeros((1, 2))) == 0
    assert relative_error(wanted, np.zeros((1, 2))) == np.inf
    assert np.isnan(relative_error(np.array([[np.nan, 4.0]]), wanted))
