"""What counts guesses: of trials of `guess`, and of the paper's network."""

from __future__ import annotations

import re

import numpy as np
import pytest

from benchmarks.guessing import guess, guess_as_in_the_paper, main
from benchmarks.guessing_in_numpy import (
    Sequences,
    agreement,
    count,
    draw_sequences,
    first_in_numpy,
    lines_of_counts,
    many_in_numpy,
    one_in_numpy,
    problem_of,
    side_by_side,
    start,
)
from freewalk.tasks.registry import TASKS


def test_the_figures_of_harness_tasks_are_counted_again(capsys: pytest.CaptureFixture[str]) -> None:
    stored = TASKS["or"].guesses
    assert stored is not None
    main(["or", *stored.settings.split(), "--threads", "1", "--seeds", str(stored.seeds)])
    found = re.match(
        r"median (\d+), from (\d+) to (\d+), mean \d+ of 30 seeds; [\d,]+ guesses", capsys.readouterr().out
    )
    assert found is not None
    assert [int(n) for n in found.groups()] == [stored.median, stored.lowest, stored.highest]


def test_what_is_not_found_is_none() -> None:
    options = {"hidden": "0", "length": "4", "sequences": "20", "batch_size": "20", "population": "50"}
    assert guess("long-parity", options, 0, 120, 1) == (None, 150)


@pytest.mark.slow
def test_the_papers_network_is_guessed() -> None:
    found = [guess_as_in_the_paper(seed, 200_000)[0] for seed in range(5)]
    assert all(found)
    assert len({*found}) == 5


_RIGHT = np.array([30, 14, 13, 1, 30, 20, 30, 12, -9, -15, -8], dtype=np.float32)
"""Weights that `guess` found for parity of 500 symbols, rounded."""


@pytest.mark.parametrize("length", [1, 2, 7, 500])
def test_numpy_knows_weights_that_solve_parity(length: int) -> None:
    data = draw_sequences(length, 40, np.random.default_rng(0))
    late = Sequences(data.x, np.where(np.arange(40) == 30, -data.y, data.y))  # wrong, but not in the first sixteen
    wrong = _RIGHT * np.where(np.arange(11) == 0, -1, 1).astype(np.float32)
    for one in one_in_numpy, first_in_numpy:
        assert [one(_RIGHT, data), one(wrong, data), one(_RIGHT, late)] == [True, False, False]
    assert many_in_numpy(np.stack([_RIGHT, wrong]), data).tolist() == [True, False]
    assert many_in_numpy(np.stack([_RIGHT, wrong]), late).tolist() == [False, False]


@pytest.mark.parametrize("length", [2, 60])
def test_guess_and_numpy_call_the_same_weights_right(length: int) -> None:
    ours, theirs, alone = agreement(length, 2, 600, seed=1)
    assert (ours, alone) == (theirs, 0)
    assert 10 < ours < 300


def test_first_right_guesses_are_right_by_numpy_and_on_fresh_sequences() -> None:
    found = count(0, 30, 100, 10**5, threads=1)
    assert found.guesses is not None
    assert found.by_numpy
    assert found.held_out == 1
    assert count(0, 30, 100, 1000, threads=1).guesses is None
    assert "median inf, from inf to inf of 2 seeds" in lines_of_counts(30, 100, seeds=2, most=1000)[0]


def test_both_are_timed_block_by_block() -> None:
    rates = side_by_side(3, 32, blocks=2, seed=0)
    assert len(rates) == 7
    assert all(len(found) == 2 and (found > 0).all() for found in rates.values())


def test_with_all_sequences_no_guess_is_left_early() -> None:
    data = draw_sequences(3, 48, np.random.default_rng(0))
    trainer = start(problem_of(data, data, tolerance=2.0, population=10), 0, threads=1)
    trainer.train(1)
    assert trainer.evaluations == 480


@pytest.mark.parametrize("arguments", [[], ["or", "--beside-numpy"], ["--paper", "--beside-numpy"]])
def test_one_thing_is_guessed(arguments: list[str]) -> None:
    with pytest.raises(SystemExit):
        main(arguments)
