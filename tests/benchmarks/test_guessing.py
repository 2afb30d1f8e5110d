"""What counts guesses: of trials of `guess`, and of the paper's network."""

from __future__ import annotations

import re

import pytest

from benchmarks.guessing import guess, guess_as_in_the_paper, main
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
