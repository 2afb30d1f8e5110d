"""Sparse parity, and the tasks of linear networks: their data made again in NumPy, with the figures that they state."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import freewalk
from freewalk.harness.methods.problem import resolve_problem
from freewalk.kernels.data.datapoints import draw_rows
from freewalk.kernels.model.noise import Stream, counters, normal_from_words, philox, uniform_from_words
from freewalk.tasks import reservoir
from freewalk.tasks.linear_perceptron import basis
from freewalk.tasks.registry import TASKS
from freewalk.tasks.task import Problem

ADDRESSES = [(0, 0), (12_345, 7), (2**64 - 1, 2**32 - 1)]  # seed, step


def draw(
    problem: Problem, n: int, *, seed: int = 0, step: int = 0, stream: Stream = Stream.DATA, timesteps: int = 0
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return x and y as `draw_rows`, in float64."""
    timesteps = timesteps or problem.default_timesteps
    x, y = draw_rows(problem.network(0), problem.data(), timesteps, seed=seed, stream=stream, step=step, n_datapoints=n)
    return x.astype(np.float64), y.astype(np.float64)


def words(seed: int, step: int, datapoint: int, block: Any) -> NDArray[np.uint32]:
    return philox(counters(block, datapoint, step, Stream.DATA), seed)


# Sparse parity ---------------------------------------------------------------------------------


@pytest.mark.parametrize(("bits", "relevant"), [(20, 3), (5, 5), (200, 1)])
def test_sparse_parity_is_the_product_of_the_first_signs(bits: int, relevant: int) -> None:
    problem = TASKS["sparse-parity"].problem({"bits": bits, "relevant": relevant})
    x, y = draw(problem, 1000, seed=3)
    assert set(np.unique(x)) == {-1, 1}
    np.testing.assert_array_equal(y[:, 0, 0], x[:, 0, :relevant].prod(axis=1) == 1)
    for share in ((x > 0).mean(), y.mean()):
        assert abs(share - 0.5) < 4 * 0.5 / math.sqrt(1000)
    assert np.abs(x[:, 0].mean(axis=0)).max() < 5 / math.sqrt(1000)


@pytest.mark.parametrize("sequences", [1, 10, 501])
def test_fixed_patterns_come_in_turn(sequences: int) -> None:
    problem = TASKS["sparse-parity"].problem({"bits": 30, "relevant": 5, "sequences": sequences})
    (x, y), (later, _) = (draw(problem, 2 * sequences, step=step)[:2] for step in (0, 8))
    np.testing.assert_array_equal(x[sequences:], x[:sequences])
    np.testing.assert_array_equal(y[:, 0, 0], x[:, 0, :5].prod(axis=1) == 1)
    rows = [{tuple(row) for row in some[:sequences, 0]} for some in (x, later)]
    assert rows[0] == rows[1]
    assert len(rows[0]) == sequences
    assert sequences == 1 or (later != x).any(), "each step begins at a place of its own"
    assert abs(y[:sequences].sum() - sequences / 2) <= 0.5
    held_out, _ = draw(problem, 100, stream=Stream.EVALUATION_DATA)
    assert not {tuple(row) for row in held_out[:, 0]} & rows[0]


def test_a_small_batch_meets_every_fixed_pattern_in_time() -> None:
    problem = TASKS["sparse-parity"].problem({"sequences": 100})
    seen = np.concatenate([draw(problem, 8, step=step)[0][:, 0] for step in range(150)])
    assert len(np.unique(seen, axis=0)) == 100


@pytest.mark.parametrize("relevant", [0, 21])
def test_more_relevant_bits_than_there_are(relevant: int) -> None:
    with pytest.raises(ValueError, match=f"relevant={relevant} does not fit task sparse-parity: from 1 to bits=20"):
        TASKS["sparse-parity"].problem({"relevant": relevant})


# The linear teacher ----------------------------------------------------------------------------


def teacher(seed: int, inputs: int, outputs: int) -> NDArray[np.float64]:
    blocks = -(-inputs // 4)
    drawn = words(seed, 0, 0, 2**31 + np.arange(outputs * blocks).reshape(outputs, blocks))
    return 2 * uniform_from_words(drawn.reshape(outputs, -1)[:, :inputs]) - 1


@pytest.mark.parametrize(("seed", "step"), ADDRESSES)
@pytest.mark.parametrize(("inputs", "outputs"), [(30, 10), (1, 1), (5, 3)])
def test_linear_teacher(seed: int, step: int, inputs: int, outputs: int) -> None:
    problem = TASKS["linear-teacher"].problem({"inputs": inputs, "outputs": outputs})
    x, y = draw(problem, 37, seed=seed, step=step)
    for b in range(37):
        normals = normal_from_words(words(seed, step, b, np.arange(-(-inputs // 4)))).reshape(-1)[:inputs]
        np.testing.assert_allclose(x[b, 0], normals, atol=1e-6)
    np.testing.assert_allclose(y[:, 0], x[:, 0] @ teacher(seed, inputs, outputs).T, atol=1e-5)
    held_out = draw(problem, 37, seed=seed, step=step, stream=Stream.EVALUATION_DATA)
    np.testing.assert_allclose(held_out[1][:, 0], held_out[0][:, 0] @ teacher(seed, inputs, outputs).T, atol=1e-5)
    assert (held_out[0] != x).any()


def test_what_no_input_says_of_linear_teachers_is_a_hundred() -> None:
    task = TASKS["linear-teacher"]
    each = [(draw(task.problem({}), 50, seed=seed)[1] ** 2).sum(axis=(1, 2)).mean() for seed in range(200)]
    assert task.baseline is not None
    assert abs(np.mean(each) - task.baseline) < 4 * np.std(each) / math.sqrt(200)


# The linear perceptron -------------------------------------------------------------------------


@pytest.mark.parametrize(("i_most", "timesteps"), [(50, 100), (50, 51), (6, 7), (99, 101)])
def test_functions_of_time_are_orthonormal(i_most: int, timesteps: int) -> None:
    functions = np.array([[basis(i, t, timesteps) for t in range(timesteps)] for i in range(i_most + 1)])
    np.testing.assert_allclose(functions @ functions.T, np.eye(i_most + 1), atol=1e-12)


@pytest.mark.parametrize(
    ("dimensions", "active", "unreachable", "timesteps"),
    [(50, 10, 0.0, 100), (50, 10, 2.0, 100), (50, 50, 0.5, 60), (7, 1, 0.0, 30), (100, 3, 1.0, 101)],
)
def test_linear_perceptron(dimensions: int, active: int, unreachable: float, timesteps: int) -> None:
    parameters = {"dimensions": dimensions, "trial_dimensions": active, "unreachable": unreachable}
    problem = TASKS["linear-perceptron"].problem({**parameters, "timesteps": timesteps})
    n = 50
    x, y = draw(problem, n, seed=4, timesteps=timesteps)
    functions = np.array([[basis(i, t, timesteps) for t in range(timesteps)] for i in range(dimensions + 1)])
    on = x.any(axis=1)
    assert (on.sum(axis=1) == active).all()
    assert not on[:, dimensions:].any()
    shown = np.zeros((n, timesteps, 100))
    shown[:, :, :dimensions] = math.sqrt(timesteps * 100 / active) * functions[:dimensions].T
    np.testing.assert_allclose(x, shown * on[:, None], atol=1e-5)
    beyond = math.sqrt(2 * unreachable / 10 * timesteps) * functions[dimensions]
    wanted = 0.1 * x.sum(axis=2) + beyond
    np.testing.assert_allclose(y, np.repeat(wanted[:, :, None], 10, axis=2), atol=1e-5)
    errors = (y**2).sum(axis=(1, 2)) / (2 * timesteps)
    np.testing.assert_allclose(errors, 5 + unreachable, rtol=1e-5, err_msg="the paper's error of weights of 0")
    least = ((y - 0.1 * x.sum(axis=2, keepdims=True)) ** 2).sum(axis=(1, 2)) / (2 * timesteps)
    np.testing.assert_allclose(least, unreachable, atol=1e-5)


def test_active_inputs_are_drawn_alike() -> None:
    problem = TASKS["linear-perceptron"].problem({"dimensions": 6, "trial_dimensions": 2})
    on = draw(problem, 6000, timesteps=7)[0].any(axis=1)[:, :6]
    counts = np.unique(on, axis=0, return_counts=True)[1]
    assert len(counts) == 15
    assert np.abs(counts / 6000 - 1 / 15).max() < 5 * math.sqrt(1 / 15 * 14 / 15 / 6000)


def test_the_mean_target_of_the_perceptron_scores_its_baseline() -> None:
    task = TASKS["linear-perceptron"]
    _, y = draw(task.problem({}), 4000)
    each = ((y - y.mean()) ** 2).sum(axis=(1, 2))
    assert each.mean() == pytest.approx(task.baseline, abs=1)


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"dimensions": 101}, "dimensions=101 does not fit task linear-perceptron: from 1 to 100"),
        ({"trial_dimensions": 51}, "trial_dimensions=51 does not fit task linear-perceptron: from 1 to dimensions=50"),
        ({"unreachable": 1e6}, "unreachable=1000000.0 does not fit task linear-perceptron: from 0 to 65536"),
        ({"timesteps": 50}, "timesteps=50 is too few for task linear-perceptron .* at least 51"),
    ],
)
def test_what_does_not_fit_the_perceptron(parameters: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        TASKS["linear-perceptron"].problem(parameters)


# The reservoir ---------------------------------------------------------------------------------


def test_the_reservoir_is_one_datapoint_for_all() -> None:
    task = TASKS["reservoir"]
    problem = task.problem({})
    assert not problem.is_held_out
    x, y = draw(problem, 3, seed=1, step=5)
    for seed, stream in ((2, Stream.DATA), (1, Stream.EVALUATION_DATA)):
        other = draw(problem, 3, seed=seed, stream=stream)
        np.testing.assert_array_equal(other[0], x)
        np.testing.assert_array_equal(other[1], y)
    rows = problem.test_rows(500)
    assert rows is not None
    np.testing.assert_array_equal(rows[0], x[:1])
    np.testing.assert_allclose(x[0], reservoir.states(), atol=0.5e-4 + 1e-7)
    assert ((y[0] - y[0].mean(axis=0)) ** 2).sum() == pytest.approx(task.baseline, abs=1e-3)
    assert (y[0] ** 2).sum() == pytest.approx(462.575, abs=1e-3)


def test_the_reservoir_is_driven_by_orthonormal_inputs_and_has_few_dimensions() -> None:
    u = reservoir.driving_inputs()
    np.testing.assert_allclose(u.T @ u / 500, np.eye(5), atol=1e-12)
    states, y = reservoir.states(), reservoir.butterfly()
    left, sizes, _ = np.linalg.svd(states, full_matrices=False)
    assert (sizes[:5] ** 2).sum() / (sizes**2).sum() == pytest.approx(0.96, abs=0.005)
    for k, loss in ((5, 36.7), (10, 10.5), (20, 0.016)):
        rest = y - left[:, :k] @ (left[:, :k].T @ y)
        assert (rest**2).sum() == pytest.approx(loss, rel=0.03)


def test_the_butterfly_is_closed_and_of_the_paper_s_size() -> None:
    y = reservoir.butterfly()
    np.testing.assert_allclose(y[0], y[-1], atol=1e-12)
    np.testing.assert_allclose(y[0], [1.0, 0.0], atol=1e-12)  # a = 0: r = 0.9 + 0.3 - 0.2


# As free networks ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("task", "n_weights", "timesteps"),
    [("linear-teacher", 300, 1), ("linear-perceptron", 1000, 100), ("reservoir", 1000, 500)],
)
def test_a_free_network_is_a_perceptron_with_linear_outputs(task: str, n_weights: int, timesteps: int) -> None:
    parameters = {**TASKS[task].parameters, "hidden": 2, "batch_size": 1, "stddev": 0.1, "init_scale": 0.0}
    problem = resolve_problem(task, "node", parameters)
    assert (problem.n_weights, problem.timesteps) == (n_weights, timesteps)
    assert problem.network.output_activation == "linear"
    assert not problem.initial_weights(3).any()


def test_a_trial_on_the_reservoir_is_no_collapse() -> None:
    """One datapoint's answer has no other to differ from."""
    grid = {"hidden": 0, "init_scale": 0.0, "batch_size": 1, "optimizer": "sgd", "learning_rate": 1e-6, "stddev": 0.005}
    found = freewalk.sweep(
        grid, task="reservoir", method="node", seeds="0:1", epochs=1, steps_per_epoch=2, target=1e-3
    ).trials
    assert found["outcome"].tolist() == ["exhausted"]
    assert 100 < found["loss_final"].item() < 462
