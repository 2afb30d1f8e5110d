"""The table of implementations on the processor: each makes the right step, and its check sees a wrong one."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, ClassVar

import numpy as np
import pytest

from freewalk.harness.bench.cpu import own, table
from freewalk.harness.bench.cpu.floors import Generator, Inference, NumpyNormals
from freewalk.harness.bench.cpu.own import Alone, OnCpu, OnReference, SharedNoise
from freewalk.harness.bench.cpu.plan import full, label, quick, steps_a_round, taking_part
from freewalk.harness.bench.cpu.table import IMPLEMENTATIONS, OURS, YARDSTICK, Entry, why_left_out
from freewalk.harness.bench.peers.peer import Unavailable
from freewalk.harness.bench.peers.table import PEERS
from freewalk.harness.bench.workloads import DEFAULT, Workload

SMALL = Workload("default", hidden=5, timesteps=3, batch_size=37)
TOGETHER = Workload("together", hidden=4, timesteps=3, batch_size=33, n_trials=5)
OWN = [name for name, entry in IMPLEMENTATIONS.items() if entry.kind != "peer"]


def made(name: str) -> Any:
    try:
        return table.make(name)
    except Unavailable as reason:
        pytest.skip(f"{name}: {reason}")


@pytest.mark.parametrize("name", OWN)
def test_our_own_are_right_and_go_on(name: str) -> None:
    implementation = made(name)
    workload = TOGETHER if IMPLEMENTATIONS[name].together else SMALL
    assert implementation.wants(workload)
    assert 0 <= implementation.check(workload) <= implementation.largest_error
    loop = implementation.start(workload)
    seen = [loop.weights()]
    for _ in range(2):
        assert loop.measure(loop.steps_at_once) > 0
        seen.append(loop.weights())
    loop.close()
    assert all(np.isfinite(some).all() for some in seen)
    if name != "inference" and name != "inference-1":  # shows losses: those of a seed's next steps differ too
        assert len({some.tobytes() for some in seen}) == 3


def test_all_threads_noises_and_sides_are_there() -> None:
    made = [entry.make() for name, entry in IMPLEMENTATIONS.items() if name.startswith(OURS) and not entry.together]
    found = {(walk.threads, walk.noise, walk.sides) for walk in made if isinstance(walk, OnCpu)}
    threads = {walk.threads for walk in made if isinstance(walk, OnCpu)}
    assert 1 in threads
    assert len(found) == len(made) == 4 * len(threads)
    assert {name for name in IMPLEMENTATIONS if name in PEERS} == set(PEERS) - {"cupy", "torch-graph"}


@pytest.mark.parametrize("noise", ["gaussian", "rademacher"])
@pytest.mark.parametrize("threads", [1, 2])
def test_the_check_of_a_generator_sees_other_noise(noise: Any, threads: int, monkeypatch: pytest.MonkeyPatch) -> None:
    from freewalk.harness.bench.cpu import floors

    assert Generator(threads, noise).check(SMALL) < 1e-6
    monkeypatch.setattr(floors, "_SEED", 101)  # drawn for one seed, judged for another by what it closed over
    real = floors.unit_perturbations
    monkeypatch.setattr(floors, "unit_perturbations", lambda *a, seed, **k: real(*a, seed=seed + 1, **k))
    assert Generator(threads, noise).check(SMALL) > 0.5


def test_both_ways_to_draw_draw_the_same() -> None:
    """Of three tiles of 64 datapoints, the first thread has the first and the last, the second the one between."""
    three, two, both = (
        Generator(threads).start(replace(SMALL, batch_size=size)) for threads, size in ((1, 192), (1, 128), (2, 192))
    )
    for loop in (three, two, both):
        loop.measure(2)
    np.testing.assert_array_equal(both.weights(), [three.weights()[0], two.weights()[0]])


def test_inference_is_the_reference_s_and_its_check_sees_a_wrong_pass(monkeypatch: pytest.MonkeyPatch) -> None:
    from freewalk.harness.bench.cpu import floors

    assert Inference(1).check(SMALL) < 1e-6
    real = floors.initial_weights
    monkeypatch.setattr(floors.reference, "losses", lambda *a, f=floors.reference.losses: 1.001 * f(*a))
    assert Inference(1).check(SMALL) == pytest.approx(1e-3, rel=0.01)
    assert real is floors.initial_weights


def test_numpy_s_normals_are_normal() -> None:
    assert 0 < NumpyNormals().check(DEFAULT) < 0.01


@pytest.mark.parametrize("implementation", [OnCpu(1), OnCpu(2, "rademacher", "two"), OnReference()])
def test_the_check_sees_a_wrong_step(implementation: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    real = own._reference

    def other(workload: Workload, configuration: Any) -> Any:
        return real(workload, replace(configuration, stddev=configuration.stddev * 1.001))

    assert implementation.check(SMALL) < 1e-4
    monkeypatch.setattr(own, "_reference", other)
    assert implementation.check(SMALL) == pytest.approx(2e-3, rel=0.2)


def test_shared_noise_is_taken_from_the_backend(monkeypatch: pytest.MonkeyPatch) -> None:
    """With a backend that makes batches of at most two, five trials become three batches, told apart by stddev."""

    class Backend:
        most_sharing_noise = 2
        asked: ClassVar[list[int]] = []

        def make_pack(self, network: Any, data: Any, trials: Any, evaluation_points: int) -> Any:
            self.asked.append(len(trials))
            walks = [own._walk_of(TOGETHER, trial) for trial in trials]

            class Batch:
                def train(self, n_steps: int) -> None:
                    for walk in walks:
                        walk.train(n_steps)

                def weights(self, k: int) -> Any:
                    return walks[k].weights

            return Batch()

    monkeypatch.setattr(own, "resolve_backend", lambda name: Backend())
    monkeypatch.setattr(own, "usable_threads", lambda: 2)
    assert SharedNoise().check(TOGETHER) == 0
    assert sorted(Backend.asked) == [1, 2, 2]
    Backend.most_sharing_noise = 0
    with pytest.raises(Unavailable, match="share noise"):
        SharedNoise()


def test_trials_that_share_noise_differ_in_stddev_alone() -> None:
    trials = own.shared_trials(TOGETHER)
    assert {trial.seed for trial in trials} == {100}
    assert [trial.configuration.stddev for trial in trials] == pytest.approx([0.005, 0.007, 0.009, 0.011, 0.013])
    loop = Alone().start(TOGETHER)
    before = loop.weights()
    loop.measure(1)
    sizes = np.abs(loop.weights() - before).max(axis=(1, 2))
    assert np.all(np.diff(sizes) > 0)


def test_who_takes_part() -> None:
    extent = full()
    assert extent.workloads[0] == DEFAULT
    assert taking_part(DEFAULT, extent.names)[0] == OURS
    assert set(taking_part(DEFAULT, extent.names)) == {n for n, e in IMPLEMENTATIONS.items() if not e.together}
    many = next(workload for workload in extent.workloads if workload.n_trials > 1)
    assert taking_part(many, extent.names) == ["freewalk-alone", "freewalk-shared"]
    for workload in extent.workloads:
        if workload.n_trials == 1:
            there = taking_part(workload, extent.names)
            assert {OURS, "freewalk-1", "freewalk-rademacher", "generator", "inference", YARDSTICK} <= set(there)
            assert {"jax", "torch", "torch-func", "evosax", "tensorflow"} <= set(there)
    assert {(w.hidden, w.timesteps, w.batch_size) for w in extent.workloads} == {
        *((hidden, 4, 1000) for hidden in (30, 126, 254)),
        *((30, timesteps, 1000) for timesteps in (20, 100)),
        *((30, 4, batch_size) for batch_size in (10_000, 100_000)),
    }
    assert set(quick().names) <= set(IMPLEMENTATIONS)
    assert quick().workloads == (DEFAULT,)


def test_labels_and_steps_a_round() -> None:
    assert [label(workload) for workload in full().workloads[:5]] == [
        "default",
        "hidden 254",
        "T 100",
        "trials 16",
        "B 100,000",
    ]
    assert [steps_a_round(w) for w in (DEFAULT, Workload("hidden", hidden=254), Workload("b", batch_size=20_000))] == [
        10,
        1,
        4,
    ]


def test_what_needs_too_much_memory_is_left_out() -> None:
    large = Workload("batch", batch_size=100_000)
    assert IMPLEMENTATIONS["numpy"].bytes_needed(large) == 1.5 * 100_000 * 1152 * 4
    assert why_left_out("numpy", large, 1e9) is None
    assert why_left_out("numpy", large, 0.5e9) == "left out: needs about 0.7 GB, 0.5 GB are free"
    assert why_left_out(OURS, large, 0) is None
    assert why_left_out("reference", large, 1e12) == "left out: too slow"
    assert why_left_out("reference", DEFAULT, 1e12) is None


def test_entries_say_where_they_take_part() -> None:
    one = Entry(lambda: OnCpu(1), "own", "")
    assert one.wants(DEFAULT)
    assert not one.wants(Workload("hidden", hidden=254))
    assert not one.wants(TOGETHER)
    assert replace(one, everywhere=True).wants(Workload("hidden", hidden=254))
