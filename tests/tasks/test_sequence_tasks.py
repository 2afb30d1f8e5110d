"""The long sequences, made again in plain Python from words of Philox, with the figures that their views state."""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from freewalk.kernels.data.datapoints import draw_rows
from freewalk.kernels.model.noise import Stream, counters, philox
from freewalk.tasks.registry import TASKS
from freewalk.tasks.task import Problem

N = 37
ADDRESSES = [(0, 0), (12_345, 7), (2**64 - 1, 2**32 - 1)]  # seed, step


def draw(
    problem: Problem, timesteps: int, n: int = N, *, seed: int = 0, step: int = 0, stream: Stream = Stream.DATA
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    network, data = problem.network(0), problem.data()
    return draw_rows(network, data, timesteps, seed=seed, stream=stream, step=step, n_datapoints=n)


def words(seed: int, step: int, datapoint: int, block: int) -> list[int]:
    return [int(word) for word in philox(counters(block, datapoint, step, Stream.DATA), seed)]


def bit(seed: int, step: int, datapoint: int, k: int) -> int:
    """128 bits a block, lowest first."""
    return words(seed, step, datapoint, k // 128)[k % 128 // 32] >> k % 32 & 1


@pytest.mark.parametrize(("seed", "step"), ADDRESSES)
@pytest.mark.parametrize(("length", "timesteps"), [(2, 2), (7, 7), (20, 21)])
def test_adding(seed: int, step: int, length: int, timesteps: int) -> None:
    x, y = draw(TASKS["adding"].problem({"length": length, "timesteps": timesteps}), timesteps, seed=seed, step=step)
    for b in range(N):
        one, two, _, _ = words(seed, step, b, 0)
        half = length // 2
        marked = [one * half // 2**32, half + two * (length - half) // 2**32]
        values = [words(seed, step, b, 1 + t // 4)[t % 4] // 2**8 / 2**24 for t in range(length)]
        zeros = [0.0] * (timesteps - length)
        np.testing.assert_array_equal(x[b, :, 0], np.array(values + zeros, np.float32))
        np.testing.assert_array_equal(np.flatnonzero(x[b, :, 1]), marked)
        assert x[b, marked, 1].sum() == 2
        assert y[b, 0, 0] == pytest.approx((values[marked[0]] + values[marked[1]]) / 2, abs=1e-7)


def test_the_constant_answer_of_adding_scores_a_twenty_fourth() -> None:
    _, y = draw(TASKS["adding"].problem({"length": 5}), 5, 50_000)
    each = (y[:, 0, 0].astype(np.float64) - 0.5) ** 2
    baseline = TASKS["adding"].baseline
    assert baseline is not None
    assert abs(each.mean() - baseline) < 4 * each.std() / math.sqrt(len(each))


@pytest.mark.parametrize(("seed", "step"), ADDRESSES)
@pytest.mark.parametrize(("delay", "timesteps"), [(2, 2), (2, 6), (5, 9)])
def test_delayed_xor(seed: int, step: int, delay: int, timesteps: int) -> None:
    problem = TASKS["delayed-xor"].problem({"delay": delay, "timesteps": timesteps})
    x, y = draw(problem, timesteps, seed=seed, step=step)
    for b in range(N):
        drawn = np.array([bit(seed, step, b, k) for k in range(2 * timesteps)]).reshape(timesteps, 2)
        np.testing.assert_array_equal(x[b], drawn)
        shown = drawn[-delay]  # `delay` applications of the layer lie between it and the answer
        assert y[b, 0, 0] == shown[0] ^ shown[1]


@pytest.mark.parametrize(("seed", "step"), ADDRESSES)
@pytest.mark.parametrize(("length", "delay", "more"), [(10, 10, 0), (3, 1, 2), (1, 5, 0)])
def test_copy(seed: int, step: int, length: int, delay: int, more: int) -> None:
    """10 symbols, delay - 1 blanks, the delimiter, 10 blanks: delay + 20 timesteps, as in the paper."""
    timesteps = delay + 2 * length + more
    problem = TASKS["copy"].problem({"length": length, "delay": delay, "timesteps": timesteps})
    assert problem.default_timesteps == problem.least_timesteps == delay + 2 * length
    x, y = draw(problem, timesteps, seed=seed, step=step)
    for b in range(N):
        symbols = [sum(bit(seed, step, b, 3 * k + j) << j for j in range(3)) for k in range(length)]
        read = symbols + [8] * (delay - 1) + [9] + [8] * (length + more)
        np.testing.assert_array_equal(x[b], np.eye(10)[read])
        said = np.zeros((timesteps, 8))
        said[delay + length : delay + 2 * length] = np.eye(8)[symbols]
        np.testing.assert_array_equal(y[b], said)


@pytest.mark.parametrize(("seed", "step"), ADDRESSES)
@pytest.mark.parametrize(("length", "delay", "timesteps"), [(2, 0, 2), (13, 0, 16), (13, 3, 17), (600, 0, 600)])
def test_long_parity(seed: int, step: int, length: int, delay: int, timesteps: int) -> None:
    problem = TASKS["long-parity"].problem({"length": length, "delay": delay, "timesteps": timesteps})
    x, y = draw(problem, timesteps, 8, seed=seed, step=step)
    for b in range(8):
        shortest = math.ceil(length * 5 / 6)
        n = shortest + words(seed, step, b, 2**31)[0] * (length - shortest + 1) // 2**32
        end = timesteps - delay
        ones = [bit(seed, step, b, t) for t in range(end - n, end)]
        signs = [2 * one - 1 for one in ones]
        np.testing.assert_array_equal(x[b, :, 0], [0] * (end - n) + signs + [0] * delay)
        assert y[b, 0, 0] == sum(ones) % 2


@pytest.mark.parametrize("length", [2, 13, 600])
def test_fixed_sequences_of_long_parity_come_in_turn(length: int) -> None:
    problem = TASKS["long-parity"].problem({"length": length, "sequences": 6, "delay": 1})
    x, y = draw(problem, length + 1, 14, seed=3, step=0)
    for a, b in ((x, y), draw(problem, length + 1, 14, seed=3, step=9)):
        np.testing.assert_array_equal(a, x)
        np.testing.assert_array_equal(b, y)
    np.testing.assert_array_equal(x[6:12], x[:6])
    assert y[:, 0, 0].tolist() == [0, 1] * 7, "half of each class"
    assert ((x == 1).sum(axis=(1, 2)) % 2).tolist() == [0, 1] * 7
    fresh, _ = draw(TASKS["long-parity"].problem({"length": length, "delay": 1}), length + 1, 6, seed=3, step=0)
    same = fresh == x[:6]
    same[:, length - 1] = True
    assert same.all(), "only the last bit is chosen"
    other, _ = draw(problem, length + 1, 6, seed=4, step=0)
    assert length == 2 or (other != x[:6]).any()


def test_lengths_of_long_parity_reach_from_500_to_600() -> None:
    x, _ = draw(TASKS["long-parity"].problem({}), 600, 2000)
    lengths = np.abs(x[:, :, 0]).sum(axis=1)
    assert lengths.min() >= 500
    assert lengths.max() <= 600
    assert set(lengths) == set(range(500, 601)), "2,000 draws miss one of 101 once in 10**7"


@pytest.mark.parametrize(
    ("name", "parameters", "message"),
    [
        ("adding", {"length": 1}, "length=1 does not fit task adding"),
        ("delayed-xor", {"delay": 1}, "delay=1 does not fit task delayed-xor"),
        ("copy", {"length": 0}, "length=0 does not fit task copy"),
        ("copy", {"delay": 2**21}, "delay=2097152 does not fit task copy"),
        ("long-parity", {"length": 1}, "length=1 does not fit task long-parity"),
        ("long-parity", {"delay": 256}, "delay=256 does not fit task long-parity: at least 0, at most 255"),
        ("long-parity", {"sequences": 2**24}, "sequences=16777216 does not fit task long-parity"),
        ("long-parity", {"length": 9, "delay": 1, "timesteps": 9}, "timesteps=9 is too few for task long-parity"),
        ("adding", {"length": 9, "timesteps": 8}, "timesteps=8 is too few for task adding with length=9"),
        ("copy", {"timesteps": 29}, "timesteps=29 is too few for task copy with length=10, delay=10"),
    ],
)
def test_what_does_not_fit(name: str, parameters: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        TASKS[name].problem(parameters)


# What `harness tasks` states -------------------------------------------------------------------


def test_the_blind_answers_of_the_older_tasks() -> None:
    sums = [a + b for a, b in itertools.product(range(8), repeat=2)]
    ones = [sum(total >> k & 1 for total in sums) / 64 for k in range(4)]
    assert TASKS["addition"].baseline == pytest.approx((1 + sum(max(p, 1 - p) for p in ones)) / 5)
    z = np.linspace(-2, 2, 200_001)
    squares = (1 / (1 + np.exp(-z)) - 0.5) ** 2 * (2 - np.abs(z)) / 4
    assert TASKS["shifted-sums"].baseline == pytest.approx(2 * squares.sum() * (z[1] - z[0]), abs=5e-5)


@pytest.mark.parametrize("name", list(TASKS)[7:])
def test_newer_tasks_say_how_hard_they_are(name: str) -> None:
    task = TASKS[name]
    assert task.baseline is not None
    assert task.baseline_text
    assert task.difficulty
