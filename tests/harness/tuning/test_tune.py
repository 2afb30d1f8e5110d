"""`harness tune` from end to end: races, fresh seeds, files, and what it refuses."""

from __future__ import annotations

import json
import random
import re
import signal
import time
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import freewalk
from freewalk import UsageError
from freewalk.harness.methods.registered import METHODS
from freewalk.harness.terminal import tuning_progress
from freewalk.harness.trial.chosen import Chosen
from freewalk.harness.tuning.tune import Asked, Tuning
from freewalk.methods import Range

Harness = Callable[..., Any]
BARE = ("--evaluations", "20000", "--race-seeds", "1000:1006", "--seeds", "0:4", "--quiet")
FAST = (*BARE, "--settings", "8")
AND = ("tune", "--task", "and", "--method", "backprop")
FILES = ("tuned.csv", "rounds.csv", "tuned.toml", "tuning.json")


def files_in(folder: Path) -> dict[str, str]:
    return {name: (folder / name).read_text() for name in FILES}


def untimed(folder: Path) -> Any:
    trials = freewalk.read_table(folder / "fresh" / "trials.csv", "trials")
    timed = ("seconds", "memory", "_at")
    return trials[[name for name in trials if not any(word in name for word in timed)]]


def test_winners_are_a_grid_and_files_agree(harness: Harness, tmp_path: Path) -> None:
    result = harness(*AND, "--method", "walk", *FAST, "--out", "out")
    assert (result.code, result.err, result.out) == (0, "", "")
    tuned = freewalk.read_table("out/tuned.csv", "tuned")
    assert tuned["task"].tolist() == ["and", "and"]
    assert sorted(tuned["method"]) == ["backprop", "walk"]
    assert (tuned["n_settings"] == 9).all()  # eight drawn, and the defaults
    assert (tuned["tuned_cost"] <= tuned["untuned_cost"]).all()
    document = tomllib.loads(Path("out/tuned.toml").read_text())
    assert document["seeds"] == "0:4"
    row = tuned.set_index("method").loc["walk"]
    (grid,) = (one for one in document["grid"] if one["method"] == ["walk"])
    assert grid["stddev"] == [row["param_stddev"]]
    said = json.loads(Path("out/tuning.json").read_text())
    assert said["tuned"][0]["tuned_cost"] == pytest.approx(tuned["tuned_cost"][0])
    assert "<html" in Path("out/tuning.html").read_text()
    swept = harness("sweep", "--grid", "out/tuned.toml", "--quiet", "--out", "again")
    assert swept.code == 0
    again = freewalk.read_table("again/trials.csv", "trials")
    fresh = freewalk.read_table("out/fresh/trials.csv", "trials")
    both = fresh.merge(again, on="trial_id", suffixes=("", "_again"))
    assert len(both) == len(again) == 8
    assert both["evaluations_to_target"].equals(both["evaluations_to_target_again"])


def test_the_same_command_again_runs_nothing_and_says_the_same(
    harness: Harness, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert harness(*AND, *FAST, "--out", "out").code == 0
    first = files_in(tmp_path / "out")
    n_run: list[Any] = []
    before = Chosen.note
    monkeypatch.setattr(Chosen, "note", lambda self, event: (n_run.append(event), before(self, event)))
    assert harness(*AND, *FAST, "--out", "out").code == 0
    assert files_in(tmp_path / "out") == first
    assert not n_run


@pytest.mark.parametrize("after", [3, 17, 40])
def test_one_that_is_left_goes_on_to_the_same_end(
    harness: Harness, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, after: int
) -> None:
    command = (*AND, "--method", "walk", *FAST)
    assert harness(*command, "--out", "whole").code == 0
    n, before = 0, Chosen.note

    def interrupted(self: Chosen, event: Any) -> None:
        nonlocal n
        n += 1
        if n == after:
            raise KeyboardInterrupt
        before(self, event)

    monkeypatch.setattr(Chosen, "note", interrupted)
    result = harness(*command, "--out", "parts")
    assert result.code == 130
    assert "the same command goes on" in result.err
    assert not (tmp_path / "parts/tuned.csv").exists()
    assert harness(*command, "--out", "parts").code == 0
    assert files_in(tmp_path / "parts") == files_in(tmp_path / "whole")
    assert untimed(tmp_path / "parts").equals(untimed(tmp_path / "whole"))


@pytest.mark.parametrize("n_kills", [1, pytest.param(20, marks=pytest.mark.slow)])
def test_kills_change_nothing(harness: Harness, process: Harness, tmp_path: Path, n_kills: int) -> None:
    # long enough that twenty processes do not come to its end
    of = ("--settings", "16", "--evaluations", "100000", "--race-seeds", "1000:1012", "--seeds", "0:6")
    command = ("tune", "--task", "xor", "--method", "backprop", "--method", "walk", *of, "--checkpoint", "0.1")
    assert harness(*command, "--quiet", "--out", "whole").code == 0
    draw = random.Random(19)
    for _ in range(n_kills):
        running = process(*command, "--out", "killed")
        assert "races into killed" in running.wait_for_line()
        time.sleep(draw.uniform(0, 0.6))
        running.send(signal.SIGKILL)
        assert running.finish().code == -signal.SIGKILL
    assert not (tmp_path / "killed/tuned.csv").exists()
    assert harness(*command, "--quiet", "--out", "killed").code == 0
    assert files_in(tmp_path / "killed") == files_in(tmp_path / "whole")
    assert untimed(tmp_path / "killed").equals(untimed(tmp_path / "whole"))


def test_a_grid_races_its_cells(harness: Harness) -> None:
    grid = ("--grid", "learning_rate=0.001,3", "--grid", "batch_size=8,32", "--grid", "optimizer=momentum")
    assert harness(*AND, *grid, *FAST, "--out", "out").code == 0
    (row,) = freewalk.read_table("out/tuned.csv", "tuned").to_dict("records")
    assert (row["n_settings"], row["param_learning_rate"]) == (4, 3)
    assert "learning_rate at its upper edge" in row["edges"]


def test_ranges_are_drawn_from(harness: Harness) -> None:
    grid = ("--grid", "learning_rate=log(0.01,10)", "--grid", "batch_size=uniform(4,9)")
    assert harness(*AND, *grid, *FAST, "--out", "out").code == 0
    trials = freewalk.read_table("out/race/trials.csv", "trials")
    cells = trials[["param_learning_rate", "param_batch_size"]].drop_duplicates()
    assert len(cells) == 8
    assert cells["param_learning_rate"].between(0.01, 10).all()
    assert cells["param_batch_size"].between(4, 9).all()


def test_an_edge_is_passed_where_that_is_asked(harness: Harness) -> None:
    grid = ("--grid", "learning_rate=0.001,0.01", "--grid", "optimizer=momentum", "--grid", "batch_size=8")
    command = (*AND, *grid, *FAST, "--out", "out")
    assert harness(*command).code == 0
    (before,) = freewalk.read_table("out/tuned.csv", "tuned").to_dict("records")
    assert harness(*command, "--extend").code == 0  # the same folder: it goes on from what is known
    (after,) = freewalk.read_table("out/tuned.csv", "tuned").to_dict("records")
    assert before["param_learning_rate"] == 0.01
    assert after["param_learning_rate"] > 0.01
    assert after["n_settings"] > before["n_settings"]
    assert after["tuned_cost"] < before["tuned_cost"]


def test_other_tasks_and_layers_have_races_of_their_own(harness: Harness, tmp_path: Path) -> None:
    (tmp_path / "grid.toml").write_text(
        '[[grid]]\ntask = "parity"\nbits = [2, 3]\nmethod = "backprop"\n'
        '[[grid]]\ntask = "parity"\nbits = 2\narchitecture = "2-4-1"\nmethod = ["backprop", "feedback-alignment"]\n'
    )
    assert harness("tune", "--grid", "grid.toml", *BARE, "--settings", "2", "--out", "out").code == 0
    tuned = freewalk.read_table("out/tuned.csv", "tuned")
    found = set(zip(tuned["task"], tuned["method"], strict=True))
    assert found == {
        ("parity bits=2", "backprop"),
        ("parity", "backprop"),
        ("parity bits=2 2-4-1", "backprop"),
        ("parity bits=2 2-4-1", "feedback-alignment"),
    }


def test_without_a_method_all_race_that_learn_the_network(harness: Harness) -> None:
    tiny = (
        "--evaluations",
        "500",
        "--race-seeds",
        "9:10",
        "--seeds",
        "0:1",
        "--settings",
        "1",
        "--quiet",
        "--out",
        "out",
    )
    result = harness("tune", "--task", "and", *tiny)
    assert result.code == 0, result.err
    methods = set(freewalk.read_table("out/tuned.csv", "tuned")["method"])
    assert methods >= {"walk", "node", "backprop", "rtrl", "genetic"}
    assert not methods & {name for name, one in METHODS.items() if one.networks == "layered"}


@pytest.mark.parametrize(
    ("more", "words"),
    [
        (("--seeds", "5"), ("--seeds 5", "0:5")),
        (("--race-seeds", "5"), ("--race-seeds 5", "0:5")),
        (("--seeds", "0:1001"), ("seed 1000", "--race-seeds")),
        (("--steps-per-epoch", "5"), ("--steps-per-epoch", "--evaluations")),
        (("--grid", "learning_rate=log(3,1)"), ("log(a,b)",)),
        (("--grid", "learning_rate=log(1,2),3"), ("one range",)),
        (("--grid", "optimizer=log(1,2)"), ("optimizer", "words")),
        (("--grid", "stddev=log(0.1,1)"), ("stddev",)),
        (("--settings", "0"), ("settings",)),
        (("--budget", "0"), ("budget",)),
        (("--method", "bakprop"), ("backprop",)),
        (("--out", ""), ("--out",)),
    ],
)
def test_what_is_wrong_is_one_line(harness: Harness, tmp_path: Path, more: tuple[str, ...], words: Any) -> None:
    result = harness(*AND, *more)
    assert (result.code, result.out) == (2, "")
    assert len(result.err.splitlines()) == 1
    for word in words:
        assert word in result.err
    assert not list(tmp_path.iterdir())


def test_a_method_of_ones_own_says_what_is_searched(harness: Harness) -> None:
    plugin = Path(__file__).parents[3] / "examples" / "own_method.py"
    result = harness("tune", "--plugin", plugin, "--task", "and", "--method", "climb", *FAST, "--out", "out")
    assert result.code == 0, result.err
    (row,) = freewalk.read_table("out/tuned.csv", "tuned").to_dict("records")
    assert row["n_settings"] == 9
    assert 0.03 <= row["param_reach"] <= 3
    assert row["tuned_reached"] > 0


def test_a_range_is_refused_by_a_sweep(harness: Harness) -> None:
    result = harness("sweep", "--task", "and", "--grid", "stddev=log(0.1,1)")
    assert result.code == 2
    assert "harness tune" in result.err
    assert "geomspace(0.1,1,5)" in result.err


def test_files_of_another_tuning_stay(harness: Harness, tmp_path: Path) -> None:
    assert harness(*AND, *FAST, "--out", "out").code == 0
    before = files_in(tmp_path / "out")
    result = harness(*AND, *BARE, "--settings", "4", "--out", "out")
    assert result.code == 2
    assert "--out" in result.err
    assert files_in(tmp_path / "out") == before


def test_from_python(harness: Harness, tmp_path: Path) -> None:
    given = {"task": "and", "method": "backprop", "evaluations": 20000, "n_settings": 8}
    found = freewalk.tune(**given, race_seeds="1000:1006", seeds="0:4")  # type: ignore[arg-type]
    assert harness(*AND, *FAST, "--out", "out").code == 0
    assert found.directory is None
    assert found.tuned.equals(freewalk.read_table("out/tuned.csv", "tuned"))
    assert found.rounds.equals(freewalk.read_table("out/rounds.csv", "rounds"))
    assert tomllib.loads(found.grid) == tomllib.loads(Path("out/tuned.toml").read_text())
    one = Range(0.01, 1)
    own = freewalk.tune({"learning_rate": one}, **given, race_seeds=[9], seeds=[0])  # type: ignore[arg-type]
    assert own.tuned["param_learning_rate"].between(0.01, 1).all()
    with pytest.raises(UsageError, match="at least 1"):
        freewalk.tune(task="and", budget=0)


def test_a_line_says_how_far_it_is(harness: Harness, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tuning_progress, "_SECONDS_BETWEEN_LINES", 0.0)
    loud = [one for one in FAST if one != "--quiet"]
    lines = harness(*AND, *loud, "--out", "out").err.splitlines()
    races = [
        re.search(r"^0 of 1 race over; \d of 9 settings .* left; now (\d+) of (\d+) trials?$", one) for one in lines
    ]
    assert {"1 of 9", "9 of 9"} <= {f"{one[1]} of {one[2]}" for one in races if one}  # the first round has one seed
    assert all(int(one[1]) <= int(one[2]) for one in races if one)
    fresh = [one.rpartition(": ")[2] for one in lines if one.startswith("winners and defaults on fresh seeds: ")]
    assert fresh[-1] == "8 of 8 trials"


GRIDS: dict[str, tuple[list[dict[str, Any]], str]] = {
    "layers": (
        [
            {"task": "xor", "hidden": 3},
            {"task": "xor", "architecture": ["2-4-1", "2-3-1"]},
            {"task": "xor", "hidden": 5, "timesteps": 3},
        ],
        "walk",
    ),
    "another generator": ([{"task": "and"}, {"task": "and", "generator": "xoshiro", "optimizer": "sgd"}], "walk"),
    "listed values": (
        [{"task": "and", "stddev": [0.1, 0.2]}, {"task": "and", "stddev": 0.1, "rank": 1, "learning_rate": [0.1, 1.0]}],
        "walk",
    ),
    "methods": ([{"task": "and", "batch_size": 3}, {"task": "and", "learning_rate": [1.0, 2.0]}], "backprop"),
}


@pytest.mark.parametrize("kind", GRIDS)
def test_whoever_wins_runs_on_fresh_seeds_as_it_raced(tmp_path: Path, kind: str) -> None:
    """Of a cell, a table names only a part: of tables side by side it is of one."""
    grid, method = GRIDS[kind]
    path = tmp_path / "grid.toml"
    path.write_text("\n".join("\n".join(["[[grid]]", *(f"{k} = {json.dumps(one[k])}" for k in one)]) for one in grid))
    asked = Asked([str(path)], (), (method,), (), {"evaluations": 300}, [0], [9], 4, None, extend=False)
    tuning = Tuning(asked, tmp_path / "out")
    assert list(tuning.run())
    for entry, race in tuning.races.items():
        default = tuning.default_table(entry)
        assert default is not None
        (plain,) = tuning._plan([default]).cells
        assert all(plain.parameters[key] == value for key, value in entry.problem[1])
        for race.winner, cell in enumerate(tuning.cells[entry]):
            assert tuning._plan([tuning.winner_table(entry)]).cells == (cell,)
    assert any(len(cells) > 1 for cells in tuning.cells.values())
