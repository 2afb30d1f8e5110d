"""Sizes and limits of the frozen values that decide a walk, and the choice of a backend."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest

from freewalk.kernels import backend
from freewalk.kernels.cpu.layout import from_padded, make_workspace, shape_of, to_padded
from freewalk.kernels.cpu.trial import CpuWalk
from freewalk.kernels.model.network import FreeNetwork
from freewalk.kernels.model.walk import WalkConfiguration
from freewalk.kernels.reference.reference import numerical_gradient
from freewalk.kernels.trainers.reference_walk import ReferenceWalk
from freewalk.tasks.registry import TASKS

CONFIGURATION = WalkConfiguration(stddev=0.1, batch_size=200, timesteps=2)


def test_sizes_of_the_example() -> None:
    network = FreeNetwork(3, 2, 30, sequence_input=True)
    assert (network.n_from, network.n_to, network.n_weights) == (36, 32, 1152)
    assert (network.input_rows(4), network.output_rows(4)) == (4, 1)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"n_input": 0}, "n_input must be at least 1, got 0"),
        ({"n_output": 0}, "n_output must be at least 1, got 0"),
        ({"n_hidden": -1}, "n_hidden must be at least 0, got -1"),
        ({"loss": "hinge"}, "unknown loss 'hinge'"),
    ],
)
def test_a_network_that_cannot_be(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        dataclasses.replace(FreeNetwork(1, 1, 0), **change)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"stddev": -0.1}, "stddev must be a finite number of at least 0"),
        ({"stddev": float("nan")}, "stddev must be a finite number"),
        ({"stddev": float("inf")}, "stddev must be a finite number"),
        ({"stddev": 0.0, "update": "normalised"}, "stddev must be above 0"),
        ({"batch_size": 0}, "batch_size must be at least 1, got 0"),
        ({"batch_size": 2**32}, r"batch_size must be below 2\*\*32"),
        ({"timesteps": 0}, "timesteps must be at least 1, got 0"),
        ({"schedule_steps": 0}, "schedule_steps must be at least 1, got 0"),
        ({"generator": "dice"}, "generator must be one of philox, xoshiro, got 'dice'"),
        (
            {"generator": "xoshiro", "noise": "rademacher"},
            "generator=xoshiro needs noise=gaussian, got noise=rademacher",
        ),
    ],
)
def test_a_configuration_that_cannot_be(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        dataclasses.replace(CONFIGURATION, **change)


def test_effective_learning_rate() -> None:
    assert CONFIGURATION.effective_learning_rate == pytest.approx(0.01)
    normalised = dataclasses.replace(CONFIGURATION, update="normalised", learning_rate=0.3)
    assert normalised.effective_learning_rate == 0.3


@pytest.mark.parametrize("network", [FreeNetwork(1, 1, 0), FreeNetwork(3, 2, 30), FreeNetwork(2, 1, 4)])
def test_padding_is_undone(network: FreeNetwork) -> None:
    shape = shape_of(network, 1)
    matrix = np.arange(1.0, network.n_weights + 1).reshape(network.n_from, network.n_to)
    padded = to_padded(matrix, shape)
    assert padded.shape == (shape.n_to * shape.n_rows,)
    assert shape.n_rows % 4 == 0
    assert np.count_nonzero(padded) == network.n_weights
    np.testing.assert_array_equal(from_padded(padded, shape), matrix)
    assert padded[1 * shape.n_rows if shape.n_to > 1 else 0] == matrix[0, min(1, shape.n_to - 1)]


def test_workspace_rows_are_aligned_to_cache_lines() -> None:
    workspace = make_workspace(shape_of(FreeNetwork(3, 2, 5), 3), 4, 3)
    for array in (array for array in workspace if array.dtype == np.float32):
        assert array.ctypes.data % 64 == 0
        assert array.strides[0] % 64 == 0


def test_numerical_gradient_of_a_known_function() -> None:
    """Central differences of a cubic are off by h² = 1e-10, and by rounding, 1e-16 / 1e-5."""
    weights = np.array([[1.0, -2.0], [0.5, 3.0]])
    found = numerical_gradient(lambda w: float((w**3).sum()), weights)
    np.testing.assert_allclose(found, 3 * weights**2, atol=1e-8)


# Backends -----------------------------------------------------------------------------------------


def test_backends_by_name() -> None:
    cpu, judge = backend.resolve_backend("cpu"), backend.resolve_backend("reference")
    assert (cpu.name, cpu.dtype, judge.name, judge.dtype, judge.workers) == (
        "cpu",
        "float32",
        "reference",
        "float64",
        1,
    )
    assert cpu.workers >= 1
    assert cpu.device == judge.device != ""
    with pytest.raises(ValueError, match="unknown backend 'abacus'"):
        backend.resolve_backend("abacus")


@pytest.mark.parametrize(("name", "kind"), [("cpu", CpuWalk), ("reference", ReferenceWalk)])
def test_a_backend_makes_its_walk(name: str, kind: type) -> None:
    problem = TASKS["shifted-sums"].problem({})
    chosen = backend.resolve_backend(name)
    walk = chosen.make_walk(problem.network(3), CONFIGURATION, problem.data(), seed=1, evaluation_points=20)
    assert isinstance(walk, kind)
    assert walk.train(2).steps == walk.step == 2
    assert 0 < walk.evaluate().loss < 2
    assert walk.weights.shape == (9, 5)
    copy = walk.weights
    copy[:] = 0
    assert walk.weights.any()


def test_spreading_a_walk_keeps_its_bits() -> None:
    problem = TASKS["shifted-sums"].problem({})
    cpu = dataclasses.replace(backend.resolve_backend("cpu"), workers=2)
    assert cpu.warm_up() >= 0
    options: dict[str, Any] = {"seed": 1, "evaluation_points": 20}
    spread, alone = (cpu.make_walk(problem.network(3), CONFIGURATION, problem.data(), **options) for _ in range(2))
    assert isinstance(spread, CpuWalk)
    spread.train(3)
    assert cpu.spread(spread) > 0
    assert spread.threads == 2
    assert cpu.spread(spread) == 0
    spread.train(3)
    alone.train(6)
    np.testing.assert_array_equal(spread.weights, alone.weights)


def test_the_reference_has_nothing_to_warm_up_or_spread() -> None:
    problem = TASKS["shifted-sums"].problem({})
    judge = backend.resolve_backend("reference")
    walk = judge.make_walk(problem.network(3), CONFIGURATION, problem.data(), seed=1, evaluation_points=20)
    assert judge.spread(walk) == 0
