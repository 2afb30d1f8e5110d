"""The data of every task, computed again in plain Python from the words of its own Philox.

Everything is exact but the sigmoids of shifted-sums, which float32 rounds once: 1 eps of at most 1.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from freewalk.kernels.data.datapoints import draw_rows
from freewalk.kernels.model.noise import Stream
from freewalk.tasks.registry import TASKS
from freewalk.tasks.task import Problem

Datapoint = tuple[NDArray[Any], NDArray[Any]]
ADDRESSES = [(0, 0), (12_345, 7), (2**64 - 1, 2**32 - 1)]  # seed, step
TABLES = {"and": [0, 0, 0, 1], "or": [0, 1, 1, 1], "xor": [0, 1, 1, 0]}
N = 37  # not a multiple of the 16 datapoints of a group


def words(seed: int, stream: int, step: int, datapoint: int, block: int = 0) -> tuple[int, int, int, int]:
    """Philox4x32-10 as in the paper, in Python integers."""
    c0, c1, c2, c3 = block, datapoint, step, stream
    k0, k1 = seed % 2**32, seed >> 32
    for _ in range(10):
        p0, p1 = c0 * 0xD2511F53, c2 * 0xCD9E8D57
        c0, c1, c2, c3 = (p1 >> 32) ^ c1 ^ k0, p1 % 2**32, (p0 >> 32) ^ c3 ^ k1, p0 % 2**32
        k0, k1 = (k0 + 0x9E3779B9) % 2**32, (k1 + 0xBB67AE85) % 2**32
    return c0, c1, c2, c3


def test_the_words_of_this_file_are_philox() -> None:
    seed = 0xA4093822 | 0x299F31D0 << 32
    found = words(seed, stream=0x03707344, step=0x13198A2E, datapoint=0x85A308D3, block=0x243F6A88)
    assert found == (0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1)


def _uniform(word: int) -> float:
    return 2 * ((word >> 8) / 2**24) - 1


def _sigmoid(z: float) -> float:
    return 1 / (1 + math.exp(-z))


def draw(
    problem: Problem, timesteps: int, *, seed: int = 0, stream: Stream = Stream.DATA, step: int = 0, n: int = N
) -> Datapoint:
    """Return what the compiled data function writes: x (n, rows, n_input), y (n, rows, n_output)."""
    network = problem.network(1)
    data = problem.data()
    return draw_rows(network, data, timesteps, seed=seed, stream=stream, step=step, n_datapoints=n)


def _bits_msb_first(value: int, bits: int) -> list[int]:
    return [int(digit) for digit in f"{value:0{bits}b}"]


def _bits_lsb_first(value: int, bits: int) -> list[int]:
    return _bits_msb_first(value, bits)[::-1]


def _shifted_sums(w: Callable[[int], tuple[int, ...]], timesteps: int) -> tuple[Any, Any]:
    a, b, c, _ = (_uniform(word) for word in w(0))
    return [[a + t, b + t, c + t] for t in range(timesteps)], [[_sigmoid(a + b), _sigmoid(a + c)]]


def _sign(w: Callable[[int], tuple[int, ...]], timesteps: int) -> tuple[Any, Any]:
    value = _uniform(w(0)[0])
    return [[value]], [[float(value > 0)]]


def _summands(w: Callable[[int], tuple[int, ...]], bits: int) -> tuple[int, int]:
    return w(0)[0] % 2 ** (bits - 1), w(0)[1] % 2 ** (bits - 1)


def _addition_static(bits: int) -> Callable[..., tuple[Any, Any]]:
    def make(w: Callable[[int], tuple[int, ...]], timesteps: int) -> tuple[Any, Any]:
        a, b = _summands(w, bits)
        return [_bits_msb_first(a, bits) + _bits_msb_first(b, bits)], [_bits_msb_first(a + b, bits)]

    return make


def _addition_sequence(bits: int) -> Callable[..., tuple[Any, Any]]:
    def make(w: Callable[[int], tuple[int, ...]], timesteps: int) -> tuple[Any, Any]:
        a, b = _summands(w, bits)
        delay = timesteps - bits
        x = list(zip(_bits_lsb_first(a, bits), _bits_lsb_first(b, bits), strict=True)) + [(0, 0)] * delay
        return x, [[bit] for bit in [0] * delay + _bits_lsb_first(a + b, bits)]

    return make


def _random_bits(w: Callable[[int], tuple[int, ...]], bits: int) -> list[int]:
    """128 bits a block, lowest first."""
    return [w(k // 128)[k % 128 // 32] >> k % 32 & 1 for k in range(bits)]


def _parity_static(bits: int) -> Callable[..., tuple[Any, Any]]:
    def make(w: Callable[[int], tuple[int, ...]], timesteps: int) -> tuple[Any, Any]:
        drawn = _random_bits(w, bits)
        return [drawn], [[sum(drawn) % 2]]

    return make


def _parity_sequence(bits: int) -> Callable[..., tuple[Any, Any]]:
    def make(w: Callable[[int], tuple[int, ...]], timesteps: int) -> tuple[Any, Any]:
        drawn = _random_bits(w, bits)
        return [[bit] for bit in drawn + [0] * (timesteps - bits)], [[sum(drawn) % 2]]

    return make


RANDOM_TASKS: list[tuple[str, dict[str, Any], int, Callable[..., tuple[Any, Any]]]] = [
    # name, parameters, timesteps, the same in plain Python
    ("shifted-sums", {}, 4, _shifted_sums),
    ("shifted-sums", {}, 1, _shifted_sums),
    ("sign", {}, 3, _sign),
    ("addition", {"bits": 2, "form": "static"}, 2, _addition_static(2)),
    ("addition", {"bits": 12, "form": "static"}, 2, _addition_static(12)),
    ("addition", {"bits": 32, "form": "static"}, 2, _addition_static(32)),
    ("addition", {"bits": 4}, 4, _addition_sequence(4)),
    ("addition", {"bits": 4, "form": "sequence"}, 7, _addition_sequence(4)),
    ("addition", {"bits": 32, "form": "sequence"}, 70, _addition_sequence(32)),
    ("parity", {"bits": 3}, 2, _parity_static(3)),
    ("parity", {"bits": 130, "form": "static"}, 2, _parity_static(130)),
    ("parity", {"bits": 5, "form": "sequence"}, 5, _parity_sequence(5)),
    ("parity", {"bits": 11, "form": "sequence"}, 20, _parity_sequence(11)),
]


@pytest.mark.parametrize(
    ("name", "parameters", "timesteps", "make"),
    RANDOM_TASKS,
    ids=[f"{name} {' '.join(map(str, p.values()))} T{t}" for name, p, t, _ in RANDOM_TASKS],
)
@pytest.mark.parametrize(("seed", "step"), ADDRESSES)
def test_data_is_a_function_of_seed_step_and_datapoint(
    name: str, parameters: dict[str, Any], timesteps: int, make: Any, seed: int, step: int
) -> None:
    problem = TASKS[name].problem(parameters | {"timesteps": timesteps})
    x, y = draw(problem, timesteps, seed=seed, step=step)
    assert x.dtype == y.dtype == np.float32
    for b in range(N):
        wanted_x, wanted_y = make(lambda block, b=b: words(seed, 2, step, b, block), timesteps)
        np.testing.assert_allclose(x[b], wanted_x, rtol=0, atol=2e-7 * timesteps if name == "shifted-sums" else 0)
        np.testing.assert_allclose(y[b], wanted_y, rtol=0, atol=1.2e-7 if name == "shifted-sums" else 0)


def test_both_targets_occur() -> None:
    for name in ("sign", "parity"):
        _, y = draw(TASKS[name].problem({}), 4, n=1000)
        assert abs(y.mean() - 0.5) < 4 * 0.5 / np.sqrt(1000)


@pytest.mark.parametrize("name", list(TASKS))
def test_steps_and_seeds_bring_other_datapoints(name: str) -> None:
    problem = TASKS[name].problem({})
    first = draw(problem, problem.default_timesteps, seed=1, step=0)
    for other in ({"seed": 1, "step": 1}, {"seed": 2, "step": 0}):
        same = np.array_equal(first[0], draw(problem, problem.default_timesteps, **other)[0])  # type: ignore[arg-type]
        gate_with_another_seed = name in TABLES and other["step"] == 0
        assert same == (gate_with_another_seed or problem.domain_size == 1), other


@pytest.mark.parametrize(
    ("name", "parameters"),
    [("shifted-sums", {}), ("sign", {}), ("addition", {"bits": 8}), ("parity", {"bits": 3}), ("parity", {"bits": 11})],
)
def test_held_out_datapoints_are_others(name: str, parameters: dict[str, Any]) -> None:
    problem = TASKS[name].problem(parameters)
    timesteps = problem.default_timesteps if problem.sequence_input else 1
    training = draw(problem, max(timesteps, problem.least_timesteps), stream=Stream.DATA)[0]
    held_out = draw(problem, max(timesteps, problem.least_timesteps), stream=Stream.EVALUATION_DATA)[0]
    assert not np.array_equal(training, held_out)


# Truth -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("gate", list(TABLES))
def test_truth_tables(gate: str) -> None:
    x, y = draw(TASKS[gate].problem({}), 1, stream=Stream.EVALUATION_DATA, n=4)
    rows = {tuple(map(int, inputs)): int(output) for inputs, output in zip(x[:, 0], y[:, 0, 0], strict=True)}
    assert rows == dict(zip([(0, 0), (0, 1), (1, 0), (1, 1)], TABLES[gate], strict=True))


@pytest.mark.parametrize("batch", [1, 2, 3, 4, 5, 17])
def test_a_batch_of_any_size_meets_every_row_of_a_gate(batch: int) -> None:
    problem = TASKS["xor"].problem({})
    steps = [draw(problem, 1, seed=5, step=step, n=batch)[0][:, 0] for step in range(4)]
    assert len(np.unique(np.concatenate(steps), axis=0)) == 4
    if batch >= 4:
        assert all(len(np.unique(rows, axis=0)) == 4 for rows in steps)


@pytest.mark.parametrize("form", ["static", "sequence"])
@pytest.mark.parametrize("bits", [1, 3, 10])
def test_an_evaluation_of_parity_visits_every_pattern_once(form: str, bits: int) -> None:
    problem = TASKS["parity"].problem({"bits": bits, "form": form})
    assert problem.domain_size == 2**bits
    n = problem.evaluation_points(10_000)
    assert n == 2**bits
    x, y = draw(problem, bits, stream=Stream.EVALUATION_DATA, n=n)
    patterns = x.reshape(n, bits)
    assert len(np.unique(patterns, axis=0)) == n
    np.testing.assert_array_equal(y[:, 0, 0], patterns.sum(axis=1) % 2)


def test_few_of_many_parity_patterns_are_balanced() -> None:
    """The first 64 of 1,024 are no block of neighbours: every bit takes both values."""
    problem = TASKS["parity"].problem({"bits": 10})
    x, y = draw(problem, 1, stream=Stream.EVALUATION_DATA, n=problem.evaluation_points(64))
    assert ((x.mean(axis=(0, 1)) > 0.25) & (x.mean(axis=(0, 1)) < 0.75)).all()
    assert 0.25 < y.mean() < 0.75


def test_long_parity_has_no_enumeration() -> None:
    problem = TASKS["parity"].problem({"bits": 11})
    assert problem.domain_size is None
    assert problem.evaluation_points(500) == 500


@pytest.mark.parametrize("form", ["static", "sequence"])
@pytest.mark.parametrize("pairs", [1, 7, 20])
def test_fixed_pairs_are_all_that_training_and_evaluation_show(form: str, pairs: int) -> None:
    problem = TASKS["addition"].problem({"bits": 8, "form": form, "pairs": pairs})
    n = problem.evaluation_points(1000)
    assert n == pairs
    shown = draw(problem, 8, seed=3, stream=Stream.EVALUATION_DATA, n=n)
    drawn = draw(problem, 8, seed=3, step=5, n=400)
    fixed = {x.tobytes(): y.tobytes() for x, y in zip(*shown, strict=True)}
    assert {x.tobytes(): y.tobytes() for x, y in zip(*drawn, strict=True)} == fixed
    assert len(fixed) == pairs, "two of so few pairs would be equal once in hundreds of seeds"


@pytest.mark.parametrize("seed", [0, 12_345])
def test_a_fixed_pair_is_a_function_of_the_seed_and_its_number(seed: int) -> None:
    bits, pairs = 12, 5
    problem = TASKS["addition"].problem({"bits": bits, "form": "static", "pairs": pairs})
    x, y = draw(problem, 2, seed=seed, step=9)
    for b in range(N):
        number = words(seed, 2, 9, b, 1)[0] % pairs
        first, second = (word % 2 ** (bits - 1) for word in words(seed, 2, 0, number, 2)[:2])
        assert list(x[b, 0]) == _bits_msb_first(first, bits) + _bits_msb_first(second, bits)
        assert list(y[b, 0]) == _bits_msb_first(first + second, bits)


def test_a_constant_half_scores_what_the_documents_say() -> None:
    """0.0663 on shifted-sums; the standard error over 100,000 points is about 2e-4."""
    _, y = draw(TASKS["shifted-sums"].problem({}), 4, n=100_000)
    each = ((y[:, 0].astype(np.float64) - 0.5) ** 2).sum(axis=1)
    assert abs(each.mean() - 0.0663) < 4 * each.std() / np.sqrt(len(each)) + 5e-5
