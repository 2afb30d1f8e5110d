"""`harness list` and `harness status`: what a folder holds, how far it is, and the command that goes on."""

from __future__ import annotations

import json
import shlex
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from commanded import TINY, Harness, take_snapshot

from freewalk.harness import cli

Refused = Callable[..., str]
FAILS = """
from freewalk.methods import ArrayTrainer, OwnMethod


class Broken(ArrayTrainer):
    def take_step(self):
        return [][self.start.seed]


METHOD = OwnMethod("broken", "fails", Broken, lambda parameters, batch, n: 1)
"""
REPRODUCTION = """
title = "XOR in a moment"
source = "nobody"
known = "derived"
claim = "Something is lost."
epochs = 2
steps_per_epoch = 5
grid = [{ task = "xor", method = "backprop", architecture = "2-3-1" }]
check = [{ claim = "loss", value = "loss_final", above = 0 }]
quick = { seeds = "0:2" }
"""
TUNED = "tune --task and --method backprop --settings 2 --evaluations 2000 --race-seeds 5:8 --seeds 0:2 --quiet"


def facts(harness: Harness, folder: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(harness("status", folder, "--json").out)
    return found


def test_a_folder_of_all_kinds(harness: Harness, tmp_path: Path) -> None:
    (tmp_path / "own.toml").write_text(REPRODUCTION)
    assert harness("sweep", *TINY, "--quiet", "--out", "runs/first").code == 0
    assert harness(*TUNED.split(), "--out", "runs/tuned").code == 0
    assert harness("reproduce", "own.toml", "--quiet", "--out", "runs/reproduce").code == 0
    before = take_snapshot(tmp_path)
    listed = json.loads(harness("list", "--json").out)
    assert [(one["directory"], one["kind"], one["state"]) for one in listed] == [
        ("runs/first", "sweep", "finished"),
        ("runs/tuned", "tuning", "finished"),
        ("runs/reproduce/own-quick", "reproduction", "finished"),
    ]
    assert (listed[0]["tasks"], listed[0]["methods"]) == (["xor", "sign"], ["walk"])
    assert (listed[0]["n_done"], listed[0]["n_planned"], listed[0]["n_failed"]) == (8, 8, 0)
    assert listed[0]["bytes"] == sum(path.stat().st_size for path in (tmp_path / "runs" / "first").iterdir())
    out = harness("list", "runs").out
    assert [line.split()[0] for line in out.splitlines() if "runs/" in line] == [one["directory"] for one in listed]
    for one in listed:
        status = harness("status", one["directory"])
        assert status.out.startswith(f"{one['directory']}: {one['kind']}, finished\n"), status.err
        command = shlex.split(facts(harness, one["directory"])["next"])
        assert command[:2] in (["harness", "report"], ["harness", "sweep"], ["harness", "reproduce"])
    assert take_snapshot(tmp_path) == before


def test_what_failed_and_why(harness: Harness, tmp_path: Path) -> None:
    (tmp_path / "own.py").write_text(FAILS)
    options = ("--plugin", "own.py", "--method", "broken", "--task", "xor", "--epochs", "1", "--quiet", "--out", "o")
    assert harness("sweep", *options).code == 1
    out = harness("status", "o").out
    assert "3 trials, 3 of them: IndexError: list index out of range (own.py, line 7)" in " ".join(out.split())
    found = facts(harness, "o")
    assert found["failures"] == {"IndexError: list index out of range (own.py, line 7)": 3}
    assert found["next"] == "harness sweep --grid o/sweep.toml --out o --retry-failed"
    (tmp_path / "own.py").write_text(FAILS.replace("[][self.start.seed]", "1.0"))
    (tmp_path / "o" / "sweep.sqlite").unlink()
    assert facts(harness, "o")["failures"] == found["failures"], "of its table alone too"


def test_one_that_was_stopped_goes_on_by_what_is_said(
    harness: Harness, process: Callable[..., Any], tmp_path: Path
) -> None:
    long = ("--task", "xor", "--seeds", "0:40", "--grid", "hidden=2", "--grid", "batch_size=64", "--target", "-1")
    running = process("sweep", *long, "--epochs", "30", "--out", "o", "--threads", "1")
    running.wait_for_line()
    while (found := facts(harness, "o"))["state"] != "running" or not found["n_done"]:
        assert running.is_alive
    assert found["next"] == "harness watch o"
    running.send(signal.SIGINT)
    running.finish()
    found = facts(harness, "o")
    assert found["state"] == "stopped"
    assert 0 < found["n_done"] < found["n_planned"] == 40
    _, *words = shlex.split(found["next"])
    assert harness(*words, "--quiet").code == 0
    assert (facts(harness, "o")["state"], facts(harness, "o")["n_done"]) == ("finished", 40)


def test_nothing_to_list(harness: Harness, refused: Refused, tmp_path: Path) -> None:
    assert "runs: no such folder" in refused("list")
    (tmp_path / "empty").mkdir()
    assert harness("list", "empty").out == "empty holds no sweep, tuning or reproduction\n"
    assert harness("list", "empty", "--json").out == "[]\n"
    assert "harness list shows what" in refused("status", "none")
    assert "is no sweep, tuning or reproduction itself" in refused("status", "empty")
    assert harness("sweep", *TINY, "--quiet", "--out", "runs/x").code == 0
    assert "give one of those in it, such as runs/x" in refused("status", "runs")


@pytest.mark.parametrize("text", ["nothing of a database", ""])
def test_a_damaged_one_is_listed_with_its_problem(harness: Harness, tmp_path: Path, text: str) -> None:
    (tmp_path / "runs" / "x").mkdir(parents=True)
    (tmp_path / "runs" / "x" / "sweep.sqlite").write_text(text)
    (one,) = json.loads(harness("list", "--json").out)
    assert one["state"] == ("unreadable" if text else "waiting")
    assert bool(one["problem"]) == bool(text)
    assert harness("status", "runs/x").code == 0


def test_the_end_of_a_sweep_names_the_report(harness: Harness) -> None:
    assert harness("sweep", *TINY, "--out", "o").out.rstrip().endswith("as a page: harness report o")
    assert {"list", "status"} <= cli.COMMANDS.keys()
