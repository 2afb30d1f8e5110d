"""The original program's own numbers, computed by it in float32."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
from numpy.typing import NDArray
from on_arrays import raw_step, step_on_arrays
from tolerance import assert_close

from freewalk.kernels.cpu.trial import run_on_arrays
from freewalk.kernels.model.network import FreeNetwork
from freewalk.kernels.model.walk import WalkConfiguration
from freewalk.kernels.reference import reference

FILES = sorted((Path(__file__).parents[2] / "golden").glob("free_network_*.npz"))


class Golden(NamedTuple):
    network: FreeNetwork
    configuration: WalkConfiguration
    x: NDArray[Any]
    y: NDArray[Any]
    weights: NDArray[np.float64]
    unit_noise: NDArray[np.float64]
    outputs: NDArray[np.float32]
    loss: float
    weights_after: NDArray[np.float64]


def _load(path: Path) -> Golden:
    with np.load(path) as arrays:
        case = dict(arrays)
    config = json.loads(str(case["config"]))
    network = FreeNetwork(
        config["num_input"],
        config["num_output"],
        config["num_hidden"],
        sequence_input=config["sequence_input"],
        sequence_output=config["sequence_output"],
        softmax=config["net_add_softmax"],
        loss=config["loss"],
    )
    stddev = config["test_stddev"]
    return Golden(
        network,
        WalkConfiguration(stddev=stddev, batch_size=config["batch_size"], timesteps=config["timesteps"]),
        case["x"],
        case["y"],
        case["weights"].astype(np.float64),
        case["noise"].astype(np.float64) / stddev,
        case["outputs"],
        float(case["loss"]),
        case["weights_after"].astype(np.float64),
    )


@pytest.fixture(params=FILES, ids=[path.stem.removeprefix("free_network_") for path in FILES])
def golden(request: pytest.FixtureRequest) -> Golden:
    return _load(request.param)


def test_there_are_nine_cases() -> None:
    assert len(FILES) == 9


def test_reference_gives_the_original_numbers(golden: Golden) -> None:
    """Float64 against float32: what is left is the original's own rounding, a few eps (1.2e-7) of numbers up to 1."""
    timesteps = golden.configuration.timesteps
    outputs = reference.forward(golden.network, golden.weights, golden.x, timesteps)
    assert_close(outputs, golden.outputs, atol=5e-7, what="outputs")
    loss = reference.losses(golden.network, outputs, golden.y).mean()
    assert_close(loss, golden.loss, atol=5e-7 * golden.loss, what="mean loss")
    after = raw_step(
        golden.network,
        golden.weights,
        golden.x,
        golden.y,
        timesteps,
        golden.unit_noise,
        golden.configuration.stddev,
    )
    assert_close(after, golden.weights_after, atol=1e-7, what="weights after one step")


def test_cpu_outputs_and_losses_are_the_original_ones(golden: Golden) -> None:
    """Two float32 programs that add in different orders: up to 36 terms and 10 timesteps, so some ten eps."""
    outputs, losses = run_on_arrays(golden.network, golden.weights, golden.x, golden.y, golden.configuration.timesteps)
    assert_close(outputs, golden.outputs, atol=5e-6, what="outputs")
    assert_close(losses.mean(dtype=np.float64), golden.loss, atol=5e-6 * golden.loss, what="mean loss")


@pytest.mark.parametrize("threads", [1, 2])
def test_cpu_step_is_the_original_one(golden: Golden, threads: int) -> None:
    """The weights alone would hide a wrong update of 1e-6, so the update is compared too, by its norm.

    The original rounds weights of about 1 to float32 (6e-8), which limits how well its update can be known: updates of
    1e-5 carry errors of 0.1 %. The reference has its exact counterpart, and to that one the bound is 0.02 %: what
    float32 losses (6e-8) do to loss differences of 1e-3.
    """
    after = step_on_arrays(
        golden.network,
        golden.configuration,
        golden.weights,
        golden.x,
        golden.y,
        unit_noise=golden.unit_noise,
        threads=threads,
    )
    assert_close(after, golden.weights_after, atol=2e-6, what="weights after one step")
    update, original = after - golden.weights, golden.weights_after - golden.weights
    assert np.linalg.norm(update - original) <= 0.01 * np.linalg.norm(original)
    exact = (
        raw_step(
            golden.network,
            golden.weights,
            golden.x,
            golden.y,
            golden.configuration.timesteps,
            golden.unit_noise,
            golden.configuration.stddev,
        )
        - golden.weights
    )
    assert np.linalg.norm(update - exact) <= 2e-4 * np.linalg.norm(exact)
