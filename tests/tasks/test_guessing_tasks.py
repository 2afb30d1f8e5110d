"""The tasks of random weight guessing: their wirings, and sequences made again in NumPy from words of Philox."""

from __future__ import annotations

import itertools
import math
import pickle
import re
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from freewalk.kernels.data.datapoints import draw_rows
from freewalk.kernels.model.network import FreeNetwork
from freewalk.kernels.model.noise import Stream, counters, normal_from_words, philox, uniform_from_words
from freewalk.kernels.reference.reference import forward
from freewalk.tasks.registry import TASKS
from freewalk.tasks.task import Problem
from freewalk.tasks.tomita import AUTOMATA, reachable
from freewalk.tasks.wiring import WIRINGS, inputs_only

ADDRESSES = [(0, 0), (12_345, 7), (2**64 - 1, 2**32 - 1)]  # seed, step
LENGTH_BLOCK, NOISE_BLOCK = 2**31, 2**30


def draw(
    problem: Problem, n: int, *, seed: int = 0, step: int = 0, stream: Stream = Stream.DATA, more: int = 0
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return x (n, T, n_input) and y (n, T or 1, n_output) at the default timesteps and `more`."""
    timesteps = problem.default_timesteps + more
    return draw_rows(problem.network(0), problem.data(), timesteps, seed=seed, stream=stream, step=step, n_datapoints=n)


def words(seed: int, step: int, datapoint: int, block: Any) -> NDArray[np.uint32]:
    return philox(counters(block, datapoint, step, Stream.DATA), seed)


def answers(y: NDArray[np.float32]) -> tuple[NDArray[np.intp], NDArray[np.float32]]:
    """Return at which timestep each datapoint has its one target, and what it is."""
    there = ~np.isnan(y[:, :, 0])
    assert (there.sum(axis=1) == 1).all()
    at = there.argmax(axis=1)
    return at, y[np.arange(len(y)), at, 0]


def length_and_class(seed: int, step: int, b: int, shortest: int, longest: int) -> tuple[int, int]:
    length, kind, _, _ = words(seed, step, b, LENGTH_BLOCK)
    return shortest + int(length) * (longest - shortest + 1) // 2**32, int(kind) & 1


# Wirings ---------------------------------------------------------------------------------------


def heard(network: FreeNetwork, name: str) -> NDArray[np.int64]:
    """Return which weights a wiring trains, (n_from, n_to); the others are 0."""
    wiring = WIRINGS[name]
    assert wiring is not None
    weights = wiring(network)
    assert (np.isnan(weights) | (weights == 0)).all()
    return np.isnan(weights).astype(int)


def test_a1_trains_all_but_the_output_s_bias() -> None:
    assert heard(FreeNetwork(1, 1, 1), "a1").tolist() == [[1, 1], [0, 1], [1, 1], [1, 1]]  # 7, as Bengio's network
    wanted = np.ones((6, 4))
    wanted[1, 0] = 0
    np.testing.assert_array_equal(heard(FreeNetwork(1, 1, 3), "a1"), wanted)


@pytest.mark.parametrize(("name", "own", "n"), [("a2", 1, 52), ("a2-no-self", 0, 42)])
def test_a2_s_hidden_neurons_hear_themselves_at_most(name: str, own: int, n: int) -> None:
    found = heard(FreeNetwork(1, 1, 2), name)
    # rows: input, bias, output, two hidden neurons; columns: output, two hidden neurons
    assert found.tolist() == [[1, 1, 1], [1, 1, 1], [0, 1, 1], [1, own, 0], [1, 0, own]]
    assert heard(FreeNetwork(1, 1, 10), name).sum() == n


def test_a_perceptron_has_no_bias_and_no_hidden_neuron() -> None:
    weights = inputs_only(FreeNetwork(2, 2, 1))
    np.testing.assert_array_equal(np.isnan(weights), [[1, 1, 0], [1, 1, 0], *[[0, 0, 0]] * 4])
    assert np.nansum(np.abs(weights)) == 0


@pytest.mark.parametrize("task", ["long-parity", "two-sequence", "tomita"])
def test_outputs_hear_hidden_neurons_at_once_in_the_paper_s_wirings(task: str) -> None:
    plain = TASKS[task].problem({})
    assert (plain.wiring, plain.hidden_first) == (None, False)
    for name in ("a1", "a2", "a2-no-self"):
        problem = TASKS[task].problem({"wiring": name})
        assert (problem.wiring, problem.hidden_first) == (WIRINGS[name], True)
        assert problem == TASKS[task].problem({"wiring": name})
        assert pickle.loads(pickle.dumps(problem)) == problem
        assert problem.network(3).hidden_first
    with pytest.raises(ValueError, match=f"wiring=b2 does not fit task {task}: one of full, a1, a2, a2-no-self"):
        TASKS[task].problem({"wiring": "b2"})


# Sequences -------------------------------------------------------------------------------------


@pytest.mark.parametrize(("seed", "step"), ADDRESSES)
@pytest.mark.parametrize(("length", "delay", "noise"), [(13, 0, 0.0), (13, 2, 0.2), (600, 0, 0.2)])
def test_long_parity_of_the_paper_begins_at_once(seed: int, step: int, length: int, delay: int, noise: float) -> None:
    parameters = {"length": length, "delay": delay, "wiring": "a2", "input_noise": noise}
    problem = TASKS["long-parity"].problem(parameters)
    assert problem.default_timesteps == length + delay
    x, y = draw(problem, 8, seed=seed, step=step, more=2)
    at, kinds = answers(y)
    for b in range(8):
        n, _ = length_and_class(seed, step, b, math.ceil(length * 5 / 6), length)
        bits = [int(words(seed, step, b, k // 128)[k % 128 // 32]) >> k % 32 & 1 for k in range(n)]
        shaken = noise * (2 * uniform_from_words(words(seed, step, b, NOISE_BLOCK + np.arange(150)).reshape(-1)) - 1)
        np.testing.assert_allclose(x[b, :n, 0], 2 * np.array(bits) - 1 + shaken[:n], atol=1e-6)
        assert not x[b, n:].any()
        assert (at[b], kinds[b]) == (n - 1 + delay, sum(bits) % 2)


def test_noise_is_added_to_the_bits_of_long_parity_and_to_nothing_else() -> None:
    plain, noisy = (
        TASKS["long-parity"].problem({"length": 60, "delay": 1, "sequences": 7, "input_noise": r}) for r in (0.0, 0.25)
    )
    for stream in (Stream.DATA, Stream.EVALUATION_DATA):
        (x, y), (shaken, same) = draw(plain, 40, stream=stream), draw(noisy, 40, stream=stream)
        np.testing.assert_array_equal(y, same)
        added = shaken - x
        assert not added[x == 0].any()
        of_bits = added[x != 0]
        assert -0.25 <= of_bits.min() < -0.245
        assert 0.245 < of_bits.max() <= 0.25
        if stream == Stream.DATA:
            np.testing.assert_array_equal(shaken[7:14], shaken[:7])
        else:
            assert abs(of_bits.var() * 12 - 0.25) < 0.02
            assert len(np.unique(of_bits)) > 0.99 * len(of_bits)


@pytest.mark.parametrize(("seed", "step"), ADDRESSES)
@pytest.mark.parametrize(("length", "delay"), [(2, 0), (13, 3), (600, 0)])
def test_two_sequence(seed: int, step: int, length: int, delay: int) -> None:
    problem = TASKS["two-sequence"].problem({"length": length, "delay": delay})
    x, y = draw(problem, 8, seed=seed, step=step, more=1)
    at, kinds = answers(y)
    for b in range(8):
        n, kind = length_and_class(seed, step, b, math.ceil(length * 5 / 6), length)
        normals = normal_from_words(words(seed, step, b, np.arange(150))).reshape(-1)
        wanted = np.concatenate([[2 * kind - 1], math.sqrt(0.2) * normals[1:n], np.zeros(length + delay + 1 - n)])
        np.testing.assert_allclose(x[b, :, 0], wanted, atol=1e-6)
        assert (at[b], kinds[b]) == (n - 1 + delay, kind)


def test_latch_2_is_the_2_sequence_problem_with_other_targets() -> None:
    (x, y), (same, other) = (draw(TASKS[name].problem({"length": 40}), 50) for name in ("two-sequence", "latch-2"))
    np.testing.assert_array_equal(x, same)
    np.testing.assert_array_equal(2 * y - 1, other)


def test_latch_1_says_the_class_by_where_a_one_is() -> None:
    (x, y), (same, other) = (draw(TASKS[name].problem({"length": 40}), 50) for name in ("latch-1", "latch-2"))
    np.testing.assert_array_equal(x[:, 0, 0], same[:, 0, 0] == 1)
    np.testing.assert_array_equal(x[:, 0, 1], same[:, 0, 0] == -1)
    assert not x[:, 1:, :2].any()
    assert not x[:, 0, 2].any()
    np.testing.assert_array_equal(x[:, 1:, 2], same[:, 1:, 0])
    np.testing.assert_array_equal(y, np.float32(0.8) * other)


def test_a_latch_is_one_neuron_with_three_weights() -> None:
    rng = np.random.default_rng(0)
    for name, fixed in (("latch-1", 1), ("latch-2", 0)):
        problem = TASKS[name].problem({"length": 30})
        network = problem.network(2)
        assert problem.wiring is not None
        weights = problem.wiring(network)
        assert np.isnan(weights).sum() == 3
        assert np.nansum(weights) == fixed, "the noise of latch-1 is heard as it is"
        weights[np.isnan(weights)] = a, b, w = rng.normal(size=3)
        x, _ = draw(problem, 20)
        outputs = forward(network, weights, x, 30)
        y = np.zeros(20)
        for t in range(30):
            own = a * x[:, t, 0] + b * x[:, t, 1] + x[:, t, 2] if name == "latch-1" else a * x[:, t, 0] + b
            y = np.tanh(own + w * y)
            np.testing.assert_allclose(outputs[:, t, 0], y, atol=1e-12)


@pytest.mark.parametrize("task", ["two-sequence", "latch-1", "latch-2", "tomita"])
def test_fixed_sequences_come_in_turn_half_of_each_class(task: str) -> None:
    problem = TASKS[task].problem({"length": 30, "sequences": 6})
    x, y = draw(problem, 14, seed=3, step=0)
    for a, b in ((x, y), draw(problem, 14, seed=3, step=9)):
        np.testing.assert_array_equal(a, x)
        np.testing.assert_array_equal(b, y)
    np.testing.assert_array_equal(x[6:12], x[:6])
    assert len(np.unique(x[:6].reshape(6, -1), axis=0)) == 6
    assert (answers(y)[1] > 0).tolist() == [False, True] * 7
    for other in ({"seed": 4}, {"seed": 3, "stream": Stream.EVALUATION_DATA}):
        assert (draw(problem, 6, **other)[0] != x[:6]).any()  # type: ignore[arg-type]


@pytest.mark.parametrize("task", ["two-sequence", "latch-1", "latch-2", "tomita"])
def test_lengths_and_classes_are_drawn_alike(task: str) -> None:
    at, kinds = answers(draw(TASKS[task].problem({}), 2000)[1])
    assert set(at + 1) == set(range(500, 601)), "2,000 draws miss one of 101 once in 10**7"
    assert abs((kinds > 0).mean() - 0.5) < 4 * 0.5 / math.sqrt(2000)
    assert abs(np.corrcoef(at, kinds)[0, 1]) < 4 / math.sqrt(2000)


def test_the_noise_of_the_2_sequence_problem_has_the_variance_of_the_paper() -> None:
    x, y = draw(TASKS["two-sequence"].problem({}), 200)
    noise = np.concatenate([x[b, 1 : end + 1, 0] for b, end in enumerate(answers(y)[0])]).astype(np.float64)
    assert abs(noise.mean()) < 4 * math.sqrt(0.2 / len(noise))
    assert abs(noise.var() - 0.2) < 4 * 0.2 * math.sqrt(2 / len(noise))


# Tomita's languages ----------------------------------------------------------------------------


def belongs(grammar: int, string: str) -> bool:
    """Return whether a string is in a language, by its description in words."""
    if grammar == 3:
        runs = [(symbol, len(list(run))) for symbol, run in itertools.groupby(string)]
        return not any(one[0] == "1" and one[1] % 2 and zero[1] % 2 for one, zero in itertools.pairwise(runs))
    zeros, ones = string.count("0"), string.count("1")
    return {
        1: zeros == 0,
        2: re.fullmatch("(10)*", string) is not None,
        4: "000" not in string,
        5: zeros % 2 == ones % 2 == 0,
        6: (zeros - ones) % 3 == 0,
        7: re.fullmatch("0*1*0*1*", string) is not None,
    }[grammar]


def strings_of(n: int) -> list[str]:
    return ["".join(symbols) for symbols in itertools.product("01", repeat=n)]


@pytest.mark.parametrize("grammar", AUTOMATA)
def test_automata_are_the_languages(grammar: int) -> None:
    steps, accepting = AUTOMATA[grammar]
    for string in itertools.chain.from_iterable(map(strings_of, range(12))):
        state = 0
        for symbol in string:
            state = steps[state][int(symbol)]
        assert (state in accepting) == belongs(grammar, string), string


@pytest.mark.parametrize("kind", [0, 1])
@pytest.mark.parametrize("grammar", AUTOMATA)
def test_what_is_reachable_repeats_itself(grammar: int, kind: int) -> None:
    for remaining in range(8, 60):
        assert reachable(grammar, kind, remaining) == reachable(grammar, kind, 6 + remaining % 2)


def strings(x: NDArray[np.float32], at: NDArray[np.intp]) -> list[str]:
    """Return what is shown up to the answer as text."""
    for b, last in enumerate(at):
        assert set(np.unique(x[b, : last + 1])) <= {-1, 1}
        assert not x[b, last + 1 :].any()
    return ["".join("01"[int(value > 0)] for value in x[b, : last + 1, 0]) for b, last in enumerate(at)]


@pytest.mark.parametrize("grammar", AUTOMATA)
@pytest.mark.parametrize(("length", "delay"), [(4, 0), (20, 0), (21, 2), (600, 0)])
def test_strings_are_of_the_class_that_is_said(grammar: int, length: int, delay: int) -> None:
    problem = TASKS["tomita"].problem({"grammar": grammar, "length": length, "delay": delay})
    x, y = draw(problem, 400, seed=5)
    at, kinds = answers(y)
    shown = strings(x, at - delay)
    assert [belongs(grammar, string) for string in shown] == kinds.astype(bool).tolist()
    assert abs(kinds.mean() - 0.5) < 4 * 0.5 / math.sqrt(400)
    shortest = 1 if length <= 20 else math.ceil(length * 5 / 6)
    for b, string in enumerate(shown):
        n, kind = length_and_class(5, 0, b, shortest, length)
        possible = [
            k for k in range(1, length + 1) if k > 12 or any(belongs(grammar, s) == kind for s in strings_of(k))
        ]
        if n <= 12:
            longer = [k for k in possible if k >= n]
            n = longer[0] if longer else possible[-1]
        elif kind and (grammar == 2 or grammar == 5) and n % 2:
            n += 1 if n < length else -1
        assert len(string) == n


@pytest.mark.parametrize("grammar", AUTOMATA)
def test_symbols_are_drawn_alike_where_both_can_come(grammar: int) -> None:
    """Every string of a class has the chance 1/2 for each symbol that was not the only one possible."""
    n, many = 6, 6000
    problem = TASKS["tomita"].problem({"grammar": grammar, "length": n})
    x, y = draw(problem, many)
    at, kinds = answers(y)
    shown = strings(x, at)
    for kind in (0, 1):
        chances = {"": 1.0}
        of_class = [string for string in strings_of(n) if belongs(grammar, string) == bool(kind)]
        for k in range(1, n + 1):
            begun = {string[:k] for string in of_class}
            free = {s: sum(s[:-1] + symbol in begun for symbol in "01") for s in begun}
            chances = {s: chances[s[:-1]] / free[s] for s in begun}
        of_kind = [s for s, found in zip(shown, kinds, strict=True) if found == kind and len(s) == n]
        assert set(of_kind) <= set(of_class)
        for string, chance in chances.items():
            error = math.sqrt(chance * (1 - chance) / len(of_kind))
            assert abs(of_kind.count(string) / len(of_kind) - chance) <= 5 * error, string


# What does not fit -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "parameters", "message"),
    [
        ("two-sequence", {"length": 1}, "length=1 does not fit task two-sequence: at least 2, at most 1048575"),
        ("two-sequence", {"delay": 256}, "delay=256 does not fit task two-sequence: at least 0, at most 255"),
        ("two-sequence", {"sequences": 2**19}, "sequences=524288 does not fit task two-sequence"),
        ("two-sequence", {"length": 9, "delay": 1, "timesteps": 9}, "timesteps=9 is too few for task two-sequence"),
        ("latch-1", {"length": 1}, "length=1 does not fit task latch-1"),
        ("latch-2", {"sequences": -1}, "sequences=-1 does not fit task latch-2"),
        ("tomita", {"length": 3}, "length=3 does not fit task tomita: at least 4"),
        ("tomita", {"grammar": 8}, "grammar=8 does not fit task tomita: from 1 to 7"),
        ("long-parity", {"input_noise": 0.00001}, "input_noise=1e-05 does not fit task long-parity: a multiple of"),
        ("long-parity", {"input_noise": 7.0}, "input_noise=7.0 does not fit task long-parity: .*, at most 6.5535"),
        ("long-parity", {"input_noise": 0.1, "length": 2**20}, "length=1048576 does not fit task long-parity"),
    ],
)
def test_what_does_not_fit(name: str, parameters: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        TASKS[name].problem(parameters)
