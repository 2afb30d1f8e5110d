"""The CUDA kernels in Numba's simulator against the float64 reference: tiny networks, several blocks, no GPU.

Device arithmetic is float32 in another order: 1 eps of the weights in sums, as for the CPU kernels.
"""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from cuda_simulation import (
    ACROSS,
    BATCH,
    CASES,
    FAMILY,
    NOISE_AT,
    NOISE_OF,
    NOISES_DRAWN,
    POINTS,
    RESUMED,
    WAYS,
    configuration_of,
    mask_of,
    network_of,
)
from tolerance import assert_close

from freewalk.kernels.model.noise import unit_perturbations
from freewalk.kernels.model.walk import Evaluation, Progress, WalkConfiguration
from freewalk.kernels.trainers.reference_walk import ReferenceWalk
from freewalk.tasks.registry import TASKS

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        importlib.util.find_spec("numba_cuda") is None, reason="numba-cuda is not installed (extra cuda13 or cuda12)"
    ),
]
PAIRS = [
    (name, way)
    for name in CASES
    for way in WAYS
    if not (way == "across the GPU" and name not in ACROSS) and not (way == "in turn" and name == "two warps")
]


@pytest.fixture(scope="module")
def simulated(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Any]:
    path = tmp_path_factory.mktemp("cuda") / "simulated.npz"
    switches = {"NUMBA_ENABLE_CUDASIM": "1", "NUMBA_DISABLE_JIT": "1"}
    # a place of a batch that holds no datapoint is computed from what lies in memory, and thrown away
    command = [sys.executable, "-W", "ignore::RuntimeWarning", Path(__file__).parents[1] / "cuda_simulation.py", path]
    done = subprocess.run(
        list(map(str, command)), env=os.environ | switches, capture_output=True, text=True, timeout=600
    )
    assert done.returncode == 0, done.stderr
    with np.load(path) as arrays:
        return dict(arrays)


def _reference(name: str) -> ReferenceWalk:
    case = (CASES | {f"family/{name}": case for name, case in FAMILY.items()})[name]
    data = TASKS[case.task].problem(case.parameters).data()
    return ReferenceWalk(
        network_of(case), configuration_of(case), data, seed=case.seed, evaluation_points=POINTS, mask=mask_of(case)
    )


def _assert_same_step(found: Any, walk: ReferenceWalk, before: Any) -> None:
    """The change of the weights agrees within 1e-5 of the largest change."""
    change = walk.weights - before
    assert np.abs(change).max() > 0
    np.testing.assert_allclose(found - before, change, rtol=0, atol=1e-5 * np.abs(change).max())


@pytest.mark.parametrize(("name", "way"), PAIRS)
def test_steps_agree_with_the_reference(simulated: Mapping[str, Any], name: str, way: str) -> None:
    walk = _reference(name)
    before = walk.weights
    wanted = walk.train(CASES[name].steps)
    found = Progress(*simulated[f"{name}/{way}/progress"])
    assert found.steps == wanted.steps == CASES[name].steps
    assert_close(found.loss, wanted.loss, atol=1e-6)
    _assert_same_step(simulated[f"{name}/{way}/weights"], walk, before)


@pytest.mark.parametrize("name", [f"family/{name}" for name in FAMILY])
def test_other_perturbations_agree_with_the_reference(simulated: Mapping[str, Any], name: str) -> None:
    walk = _reference(name)
    before = walk.weights
    wanted = walk.train(2)
    found = Progress(*simulated[f"{name}/progress"])
    assert found.steps == wanted.steps
    assert_close(found.loss, wanted.loss, atol=1e-6)
    change = walk.weights - before
    assert np.abs(change).max() > 0
    np.testing.assert_allclose(simulated[f"{name}/weights"] - before, change, rtol=0, atol=1e-4 * np.abs(change).max())
    np.testing.assert_allclose(simulated[f"{name}/evaluation"], walk.evaluate(), rtol=0, atol=1e-6)


@pytest.mark.parametrize("name", list(CASES))
def test_evaluations_agree_with_the_reference(simulated: Mapping[str, Any], name: str) -> None:
    walk = _reference(name)
    walk.train(CASES[name].steps)
    found, wanted = Evaluation(*simulated[f"{name}/evaluation"]), walk.evaluate()
    np.testing.assert_allclose(found, wanted, rtol=0, atol=1e-6)


@pytest.mark.parametrize(("noise", "hidden"), NOISES_DRAWN)
def test_the_noise_is_the_addressed_one(simulated: Mapping[str, Any], noise: Any, hidden: int) -> None:
    wanted = unit_perturbations(4 + 1 + hidden, 1 + hidden, datapoints=NOISE_OF, noise=noise, **NOISE_AT)
    np.testing.assert_allclose(simulated[f"noise/{noise}/{hidden}"], wanted, rtol=0, atol=2e-6)


def test_trials_of_one_launch_do_not_mix(simulated: Mapping[str, Any]) -> None:
    """Each of three trials takes the steps that it would take alone, and one that is dropped stays as it is."""
    case = CASES["default"]
    data = TASKS[case.task].problem(case.parameters).data()
    for seed, steps in ((0, 3), (1, 1)):
        configuration = WalkConfiguration(**BATCH[seed])
        walk = ReferenceWalk(network_of(case), configuration, data, seed=seed, evaluation_points=POINTS)
        before = walk.weights
        walk.train(steps)
        _assert_same_step(simulated[f"batch/weights {seed}"], walk, before)
        if seed == 0:
            np.testing.assert_allclose(simulated["batch/evaluations"][0], walk.evaluate(), rtol=0, atol=1e-6)
    assert list(simulated["batch/active"]) == [0, 2]
    assert list(simulated["batch/steps"]) == [3, 1, 1], "a NaN stopped the third for good"
    assert [int(steps) for steps, _ in simulated["batch/first"]] == [1, 1, 1]
    assert [int(steps) for steps, _ in simulated["batch/second"]] == [2, 0]
    assert np.isfinite(simulated["batch/first"][:2]).all()
    assert np.isnan(simulated["batch/first"][2, 1])


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("name", RESUMED)
def test_a_restored_trial_comes_to_the_same_bits(simulated: Mapping[str, Any], name: str, way: str) -> None:
    keys = [key.split("/")[-1] for key in simulated if key.startswith(f"whole/{name}/{way}/")]
    moments = {"momentum": ["velocity"], "adam, cosine": ["first_moment", "second_moment"]}.get(name, [])
    assert sorted(keys) == sorted(["method", "optimizer", "step", "weights", *moments])
    for key in keys:
        found, wanted = (simulated[f"{kind}/{name}/{way}/{key}"] for kind in ("resumed", "whole"))
        np.testing.assert_array_equal(found, wanted, err_msg=key)
    assert simulated[f"whole/{name}/{way}/step"] == 2
    np.testing.assert_array_equal(simulated[f"resumed/{name}/places"], simulated[f"whole/{name}/places"])


@pytest.mark.parametrize("name", RESUMED)
def test_a_state_holds_what_the_reference_holds(simulated: Mapping[str, Any], name: str) -> None:
    walk = _reference(name)
    walk.train(2)
    for key, wanted in walk.state().items():
        found = simulated[f"resumed/{name}/across the GPU/{key}"]
        if wanted.dtype.kind == "f":
            np.testing.assert_allclose(found, wanted, rtol=0, atol=1e-4 * np.abs(wanted).max(), err_msg=key)
        else:
            assert found == wanted, key


def test_a_batch_stops_and_refuses_what_does_not_fit(simulated: Mapping[str, Any]) -> None:
    (progress,) = simulated["stop/progress"]
    assert progress[0] == 0
    assert np.isnan(progress[1])
    assert list(simulated["stop/steps"]) == [1]
    assert "optimizer momentum, this one has optimizer adam" in str(simulated["stop/refused"])


@pytest.mark.parametrize("way", WAYS)
def test_a_loss_that_is_not_finite_moves_nothing(simulated: Mapping[str, Any], way: str) -> None:
    progress = Progress(*simulated[f"nan/{way}/progress"])
    assert progress.steps == 1
    assert np.isnan(progress.loss)
    weights = simulated[f"nan/{way}/weights"]
    assert np.isnan(weights[0, 0])
    assert (weights.reshape(-1)[1:] == 0.1).all()
    evaluation = Evaluation(*simulated[f"nan/{way}/evaluation"])
    assert np.isnan(evaluation.loss)
    assert np.isnan(evaluation.max_error)
    assert np.isnan(evaluation.output_spread)
    assert evaluation.row_accuracy == 0


@pytest.mark.parametrize("way", WAYS)
def test_memory_is_allocated_once_however_shapes_alternate(simulated: Mapping[str, Any], way: str) -> None:
    assert simulated[f"allocations/{way}/first"] > 5
    assert simulated[f"allocations/{way}/later"] == 0
