"""Data functions of the published problems, compiled for a GPU: the CPU's datapoints."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from freewalk.harness.methods.problem import resolve_problem
from freewalk.kernels.backend import resolve_backend
from freewalk.kernels.cuda.device import why_unusable
from freewalk.kernels.data.datapoints import draw_rows
from freewalk.kernels.model.noise import Stream
from freewalk.tasks.registry import TASKS

REASON = why_unusable()
pytestmark = [pytest.mark.gpu, pytest.mark.skipif(REASON is not None, reason=REASON or "")]

TIMED = {"length": 30, "sequences": 5}
PERCEPTRON = {"dimensions": 6, "trial_dimensions": 3, "unreachable": 1.0, "timesteps": 20}


@pytest.mark.parametrize("stream", [Stream.DATA, Stream.EVALUATION_DATA])
@pytest.mark.parametrize(
    ("name", "parameters"),
    [
        ("long-parity", {**TIMED, "input_noise": 0.2}),
        ("long-parity", {**TIMED, "wiring": "a1"}),
        *((name, TIMED) for name in ("two-sequence", "latch-1", "latch-2")),
        *(("tomita", {"length": 30, "grammar": grammar}) for grammar in (1, 2, 7)),
        ("sparse-parity", {"sequences": 9}),
        ("linear-teacher", {"inputs": 7, "outputs": 3}),
        ("linear-perceptron", PERCEPTRON),
        ("reservoir", {}),
    ],
)
def test_datapoints_are_the_cpu_s(name: str, parameters: dict[str, Any], stream: Stream) -> None:
    """Within two units in the last place of float32, as logarithms, sines and cosines are the device's own."""
    from freewalk.kernels.cuda.checks import datapoints_on_device

    problem = TASKS[name].problem(parameters)
    network, data, timesteps = problem.network(0), problem.data(), parameters.get("timesteps")
    which: dict[str, Any] = {"seed": 2**64 - 1, "stream": stream, "step": 3}
    which["n_datapoints"] = problem.evaluation_points(20)
    found = datapoints_on_device(network, data, timesteps or problem.default_timesteps, **which)
    wanted = draw_rows(network, data, timesteps or problem.default_timesteps, **which)
    for ours, theirs in zip(found, wanted, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=2.5e-7, atol=1e-6)


@pytest.mark.parametrize("method", ["walk", "node"])
@pytest.mark.parametrize("task", ["latch-1", "latch-2"])
def test_what_a_wiring_fixes_stays_on_a_gpu(task: str, method: str) -> None:
    """Two steps are the CPU's; noise that enters by a weight of 1 still does, also in a trial that goes on."""
    parameters: dict[str, Any] = {"hidden": 0, "batch_size": 40, "length": 12, "optimizer": "sgd"}
    more = {"update": "normalised", "sides": "two"} if method == "walk" else {}
    problem = resolve_problem(task, method, {**parameters, **more, "learning_rate": 0.5, "stddev": 0.1})
    gpu, cpu = (problem.start(resolve_backend(name), seed=4, evaluation_points=20) for name in ("cuda", "cpu"))
    fixed, start = ~problem.mask, cpu.weights  # type: ignore[operator]
    np.testing.assert_array_equal(gpu.weights, start)
    assert start[fixed].sum() == (1 if task == "latch-1" else 0)
    assert gpu.train(2).loss == pytest.approx(cpu.train(2).loss, rel=1e-4)
    np.testing.assert_array_equal(gpu.weights[fixed], start[fixed])
    np.testing.assert_allclose(gpu.weights, cpu.weights, atol=2e-3 * np.abs(cpu.weights - start).max())
    again = problem.start(resolve_backend("cuda"), seed=4, evaluation_points=20)
    again.restore(gpu.state())
    np.testing.assert_array_equal(again.weights, gpu.weights)
