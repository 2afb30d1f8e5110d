"""`harness reproduce`: what runs, what it comes to, what it writes, and how it goes on."""

from __future__ import annotations

import json
import signal
import subprocess
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from disturbed import wait_for_complete
from own_reproduction import write
from page_check import Page, check_page

import freewalk
from freewalk.harness.reproducing import document
from freewalk.harness.reproducing.run import Run
from freewalk.results.store.store import Store

Harness = Callable[..., Any]
TASK = """
from freewalk.tasks import Problem, Task

def datapoint(seed, stream, step, index, timesteps, argument, x, y):
    x[0, 0] = index & 1
    y[0, 0] = argument if index & 1 else 0

def problem(one):
    return Problem(1, 1, datapoint, argument=one, domain_size=2)

OWN = Task("copied", "copies a bit", "max_error", 0.4, problem, {"one": 1})
"""
METHOD = """
from freewalk.methods import ArrayTrainer, OwnMethod

class Failing(ArrayTrainer):
    def take_step(self):
        if self.start.seed in %s:
            raise ValueError("bad luck")
        return 0.0

OWN = OwnMethod("failing", "fails", Failing, lambda parameters, batch_size, n_weights: 1)
"""


def verdict(folder: Path, run: str = "own-quick") -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / run / "verdict.json").read_text(encoding="utf-8"))
    return found


def sweeps(folder: Path, run: str = "own-quick") -> list[Path]:
    return sorted((folder / run).glob("sweep-*"))


def page(folder: Path) -> Page:
    return check_page((folder / "reproductions.html").read_text(encoding="utf-8"))


# What a run leaves ---------------------------------------------------------------------------------------------------


def test_a_sweep_its_verdict_and_its_files(harness: Harness, tmp_path: Path) -> None:
    write(tmp_path, notes="As we read it.", address="https://example.org/a?b=1&c=2")
    result = harness("reproduce", "own.toml", "--out", "out")
    assert result.code == 0, result.err
    assert "own, quick: reproduced" in result.err
    assert "1 reproduced." in result.out
    assert "page in out/reproductions.html" in result.out

    (folder,) = sweeps(tmp_path / "out")
    trials = freewalk.read_table(folder / "trials.csv", "trials")
    assert len(trials) == 4
    found = verdict(tmp_path / "out")
    (check,) = found["checks"]
    assert check["estimate"] == pytest.approx(trials["loss_final"].mean())
    assert check["low"] <= 0.25 <= check["high"]
    assert (check["n"], check["holds"], check["known"]) == (4, True, "derived")
    assert (found["verdict"], found["seeds"], found["n_failed"]) == ("reproduced", "0:4", 0)
    assert found["command"] == "harness reproduce own.toml --scale quick"
    assert json.loads((tmp_path / "out/reproductions.json").read_text()) == [found]

    (row,) = freewalk.read_table(tmp_path / "out/reproductions.csv", "reproductions").to_dict("records")
    assert (row["reproduction"], row["scale"], row["verdict"]) == ("own", "quick", "reproduced")
    assert (row["estimate"], row["low"], row["published"]) == (check["estimate"], check["low"], 0.25)
    assert (row["holds"], row["n"], row["seconds"]) == (True, 4, found["seconds"])

    text = page(tmp_path / "out").text
    for words in ("XOR in a moment", "An untrained network loses 1/4.", "A. Author", "As we read it.", "b=1&c=2"):
        assert words in text
    assert found["command"] in text


@pytest.mark.parametrize(
    ("check", "changed", "words"),
    [
        ({"published": 0.25}, "", "reproduced"),
        ({"published": 0.25}, "four seeds", "at another scale"),
        ({"above": 0.1}, "", "reproduced"),
        ({"published": 9}, "", "not reproduced"),
        ({"published": 9}, "four seeds", "not reproduced"),
        ({"below": 0.1}, "four seeds", "not reproduced"),
        ({"published": 0.25, "margin": 1e-9}, "", "undecided"),
        ({"above": 0.1, "where": "reached"}, "", "undecided"),
    ],
)
def test_verdicts(harness: Harness, tmp_path: Path, check: dict[str, Any], changed: str, words: str) -> None:
    write(
        tmp_path, check=[{"claim": "loss", "value": "loss_final"} | check], quick={"seeds": "0:4", "changed": changed}
    )
    result = harness("reproduce", "own.toml", "--out", "out", "--json", "--quiet")
    assert result.code == 0, result.err
    (found,) = json.loads(result.out)
    assert found["verdict"] == words
    assert found == verdict(tmp_path / "out")
    shown = page(tmp_path / "out").text
    assert f"quick scale: {words}" in shown
    assert (f"Not as published: {changed}" in shown) == bool(changed)


def test_several_checks_and_grids_and_curves(harness: Harness, tmp_path: Path) -> None:
    grid = {"task": "xor", "architecture": "2-3-1", "batch_size": 4}
    write(
        tmp_path,
        grid=[{**grid, "method": "backprop"}, {**grid, "method": "walk", "stddev": [0.1, 0.2]}],
        check=[
            {
                "claim": "as good",
                "value": "loss_final",
                "where": "method == 'walk' and stddev == 0.1",
                "against": "method == 'backprop'",
                "above": 0.5,
            },
            {
                "claim": "at the start",
                "value": "value",
                "table": "curves",
                "where": "step == 0 and metric == 'loss' and split == 'heldout' and method == 'walk'",
                "above": 0.2,
            },
            {"claim": "only on paper", "value": "loss_final", "scale": "paper", "above": 100},
        ],
    )
    result = harness("reproduce", "own.toml", "--out", "out", "--json", "--quiet")
    assert result.code == 0, result.err
    ratio, start = json.loads(result.out)[0]["checks"]
    assert (ratio["claim"], ratio["n"], ratio["holds"]) == ("as good", 8, True)
    assert 0.5 < ratio["low"] < ratio["estimate"] < ratio["high"] < 2
    assert (start["claim"], start["n"], start["holds"]) == ("at the start", 8, True)


def test_scales_and_reproductions_share_a_page(harness: Harness, tmp_path: Path) -> None:
    write(tmp_path, paper={"seeds": "0:2", "grid": [{"task": "and", "method": "backprop", "architecture": "2-1"}]})
    write(tmp_path, "other", check=[{"claim": "loss", "value": "loss_final", "below": 0.01}])
    assert harness("reproduce", "own.toml", "--scale", "paper", "--out", "out", "--quiet").code == 0
    result = harness("reproduce", "other.toml", "own.toml", "--out", "out")
    assert result.code == 0, result.err
    assert "1 reproduced, 1 not reproduced." in result.out, "what was asked for"
    rows = freewalk.read_table(tmp_path / "out/reproductions.csv", "reproductions")
    assert [*zip(rows["reproduction"], rows["scale"], strict=True)] == [
        ("other", "quick"),
        ("own", "quick"),
        ("own", "paper"),
    ]
    shown = page(tmp_path / "out")
    assert "2 published results, 3 runs" in shown.text
    assert {"own-quick", "own-paper", "other-quick"} <= {*shown.ids}
    tasks = {freewalk.read_table(folder / "trials.csv")["task"][0] for folder in sweeps(tmp_path / "out", "own-paper")}
    assert tasks == {"and"}, "the scale's grid takes the file's place"


def test_quiet_is_quiet(harness: Harness, tmp_path: Path) -> None:
    write(tmp_path)
    result = harness("reproduce", "own.toml", "--out", "out", "--quiet")
    assert (result.code, result.out, result.err) == (0, "", "")
    assert (tmp_path / "out/reproductions.html").is_file()


# Going on ------------------------------------------------------------------------------------------------------------


def started(folder: Path) -> list[str]:
    return freewalk.read_table(folder / "trials.csv")["started_at"].tolist()


def test_what_has_run_runs_no_more(harness: Harness, tmp_path: Path) -> None:
    write(tmp_path)
    assert harness("reproduce", "own.toml", "--out", "out", "--quiet").code == 0
    (folder,) = sweeps(tmp_path / "out")
    first, then = verdict(tmp_path / "out"), started(folder)
    assert harness("reproduce", "own.toml", "--out", "out", "--quiet").code == 0
    assert sweeps(tmp_path / "out") == [folder]
    assert started(folder) == then
    assert verdict(tmp_path / "out")["checks"] == first["checks"]


def test_one_that_is_interrupted_goes_on_to_the_same_verdict(
    harness: Harness, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path)
    assert harness("reproduce", "own.toml", "--out", "whole", "--quiet").code == 0
    before = Store.finish
    done: list[str] = []

    def interrupted(self: Store, trial_id: str, *arguments: Any, **more: Any) -> None:
        if len(done) == 2:
            raise KeyboardInterrupt
        done.append(trial_id)
        before(self, trial_id, *arguments, **more)

    with monkeypatch.context() as patch:
        patch.setattr(Store, "finish", interrupted)
        result = harness("reproduce", "own.toml", "--out", "out")
    assert result.code == 130
    assert result.err.splitlines()[-1] == ("harness: interrupted; the same command goes on, what is known is in out")
    assert not (tmp_path / "out/reproductions.html").exists()
    assert harness("reproduce", "own.toml", "--out", "out", "--quiet").code == 0
    assert verdict(tmp_path / "out")["checks"] == verdict(tmp_path / "whole")["checks"]


def test_one_that_is_killed_goes_on_to_the_same_verdict(
    harness: Harness, process: Callable[..., Any], tmp_path: Path
) -> None:
    grid = [{"task": "shifted-sums", "method": "walk", "hidden": 30, "batch_size": 1000}]
    write(tmp_path, grid=grid, epochs=8, steps_per_epoch=50, evaluation_points=256)
    running = process("reproduce", "own.toml", "--out", "out")
    running.wait_for_line()
    (folder,) = sweeps(tmp_path / "out")
    wait_for_complete(running, folder, 1)
    running.send(signal.SIGKILL)
    assert running.finish().code == -signal.SIGKILL
    assert not (tmp_path / "out/own-quick/verdict.json").exists()
    assert harness("reproduce", "own.toml", "--out", "out", "--quiet").code == 0
    assert harness("reproduce", "own.toml", "--out", "whole", "--quiet").code == 0
    assert verdict(tmp_path / "out")["checks"] == verdict(tmp_path / "whole")["checks"]


def test_a_file_that_has_changed_runs_beside_what_ran(
    harness: Harness, tmp_path: Path, snapshot: Callable[[Path], Any]
) -> None:
    write(tmp_path)
    assert harness("reproduce", "own.toml", "--out", "out", "--quiet").code == 0
    (folder,) = sweeps(tmp_path / "out")
    before = snapshot(folder)
    write(tmp_path, quick={"seeds": "0:3"})
    assert harness("reproduce", "own.toml", "--out", "out", "--quiet").code == 0
    assert len(sweeps(tmp_path / "out")) == 2
    assert snapshot(folder) == before
    assert verdict(tmp_path / "out")["checks"][0]["n"] == 3
    write(tmp_path, title="Another title", check=[{"claim": "loss", "value": "loss_final", "above": 0}])
    assert harness("reproduce", "own.toml", "--out", "out", "--quiet").code == 0
    assert len(sweeps(tmp_path / "out")) == 2, "words and checks run nothing"
    assert verdict(tmp_path / "out")["title"] == "Another title"


# Commands ------------------------------------------------------------------------------------------------------------

TRAIN = ["train", "--task", "and", "--method", "backprop", "--architecture", "2-1", "--epochs", "2", "--seed", "{seed}"]
TRAINED = [*TRAIN, "--quiet", "--save", "{folder}/weights.npz"]
MEASURED = ["evaluate", "{folder}/weights.npz"]


def commands(*words: Sequence[str], **more: Any) -> dict[str, Any]:
    check = [{"claim": "loss", "table": "command", "value": "loss", "where": "loss != None", "above": 0}]
    return {
        "grid": None,
        "epochs": None,
        "steps_per_epoch": None,
        "command": [{"run": list(run)} for run in words],
        "check": check,
        "quick": {"seeds": "3:5"},
        **more,
    }


def test_commands_run_for_each_seed_in_a_folder_of_their_own(
    harness: Harness, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path, **commands(TRAINED, MEASURED))
    result = harness("reproduce", "own.toml", "--out", "out", "--json")
    assert result.code == 0, result.err
    assert result.err.count("harness: harness train") == 2
    assert "--seed 3 --quiet --save out/own-quick/commands-" in result.err
    weights = sorted((tmp_path / "out").rglob("weights.npz"))
    assert [path.parent.name for path in weights] == ["files-3", "files-4"]
    losses = [json.loads(harness("evaluate", path, "--json").out)["loss"] for path in weights]
    (check,) = json.loads(result.out)[0]["checks"]
    assert check["n"] == 2
    assert check["estimate"] == pytest.approx(sum(losses) / 2)

    monkeypatch.setattr(Run, "_answered", lambda *_: pytest.fail("it has run"))
    again = harness("reproduce", "own.toml", "--out", tmp_path / "out", "--json")
    assert json.loads(again.out)[0]["checks"] == [check]
    assert json.loads(again.out)[0]["seconds"] == json.loads(result.out)[0]["seconds"]


@pytest.fixture
def answered(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, ...]]:
    """Answer commands without running them; return which."""
    ran: list[tuple[str, ...]] = []

    def answer(self: Run, words: tuple[str, ...], n_threads: int) -> Any:
        if len(ran) == 1 and "stop" in words:
            ran.append(words)
            raise KeyboardInterrupt
        ran.append(words)
        return {"loss": 0.5 + len(ran) / 100, "rows": [{"a": 1}, {"a": 3}], "in": {"side": 2, "words": "w"}}

    monkeypatch.setattr(Run, "_answered", answer)
    return ran


def test_interrupted_commands_go_on(harness: Harness, tmp_path: Path, answered: list[tuple[str, ...]]) -> None:
    write(tmp_path, **commands(["info", "stop"]))
    assert harness("reproduce", "own.toml", "--out", "out").code == 130
    assert harness("reproduce", "own.toml", "--out", "out", "--quiet").code == 0
    assert answered == [("info", "stop")] * 3, "the first is not repeated"
    assert verdict(tmp_path / "out")["checks"][0]["n"] == 2


def test_commands_or_plugins_that_have_changed_run_beside_what_ran(
    harness: Harness, tmp_path: Path, answered: list[tuple[str, ...]]
) -> None:
    (tmp_path / "task.py").write_text(TASK)
    for text, first in ((TASK, "info"), (TASK, "tasks"), (TASK + "\n", "tasks"), (TASK, "info")):
        (tmp_path / "task.py").write_text(text)
        write(tmp_path, **commands([first], ["evaluate", "{folder}/w.npz"], plugins=["task.py"]))
        assert harness("reproduce", "own.toml", "--out", "out", "--quiet").code == 0
    assert len(answered) == 3 * 2 * 2, "of all but the last, which ran before"
    assert len({words for words in answered if words[0] == "evaluate"}) == 6, "files are not overwritten either"


def test_tables_of_what_commands_print(harness: Harness, tmp_path: Path, answered: list[tuple[str, ...]]) -> None:
    check = [
        {"claim": "rows", "table": "rows", "value": "a", "where": "seed == 3", "published": 2},
        {"claim": "side", "table": "command", "value": "in_side", "where": "in_words == 'w'", "published": 2},
    ]
    write(tmp_path, **commands(["info"], check=check))
    assert harness("reproduce", "own.toml", "--out", "out", "--quiet").code == 0
    rows, side = verdict(tmp_path / "out")["checks"]
    assert (rows["estimate"], rows["n"]) == (2, 2)
    assert (side["estimate"], side["n"]) == (2, 2)
    assert len(answered) == 2


def test_a_sweep_and_commands_together(harness: Harness, tmp_path: Path, answered: list[tuple[str, ...]]) -> None:
    check = [
        {"claim": "trials", "value": "loss_final", "above": 0.1},
        {"claim": "answers", "table": "command", "value": "loss", "above": 0.1},
    ]
    write(tmp_path, check=check, command=[{"run": ["info"]}], quick={"seeds": "0:2"})
    assert harness("reproduce", "own.toml", "--out", "out", "--quiet").code == 0
    assert [one["n"] for one in verdict(tmp_path / "out")["checks"]] == [2, 2]
    assert len(answered) == 2


# Failures ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("seeds", "n", "words"), [("(1, 2)", 2, "reproduced"), ("range(9)", 0, "undecided")])
def test_trials_that_fail_do_not_count_and_end_with_1(
    harness: Harness, tmp_path: Path, seeds: str, n: int, words: str
) -> None:
    (tmp_path / "method.py").write_text(METHOD % seeds)
    grid = [{"task": "xor", "method": "failing", "hidden": 2, "batch_size": 4}]
    check = [{"claim": "loss", "value": "loss_final", "above": 0, "statistic": "median"}]
    write(tmp_path, grid=grid, check=check, plugins=["method.py"])
    result = harness("reproduce", "own.toml", "--out", "out", "--json")
    assert result.code == 1
    (found,) = json.loads(result.out)
    assert (found["n_failed"], found["checks"][0]["n"], found["verdict"]) == (4 - n, n, words)
    assert f"{4 - n} trials failed and do not count" in page(tmp_path / "out").text


def test_a_command_that_fails_is_named_with_what_it_says(harness: Harness, tmp_path: Path) -> None:
    write(tmp_path, **commands(["tasks", "xro"]))
    result = harness("reproduce", "own.toml", "--out", "out", "--quiet")
    assert result.code == 2
    assert result.err.startswith(
        "harness: error: own.toml: harness tasks xro: unknown task 'xro' (did you mean 'xor'?)"
    )
    assert result.err.count("\n") == 1


@pytest.mark.parametrize(
    ("code", "out", "err", "words"),
    [
        (0, "no JSON", "harness: something was noted", "it prints no JSON; give a command that does with --json"),
        (0, "3", "", "it prints no JSON; give a command that does with --json"),
        (1, "", "", "it ends with exit code 1 and no word"),
        (-9, "{}", "", "it ends with exit code -9 and no word"),
        (2, "", "Traceback\nharness: error: a thing is wrong\n", "a thing is wrong"),
    ],
)
def test_whatever_a_command_does_is_one_line(
    harness: Harness, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int, out: str, err: str, words: str
) -> None:
    write(tmp_path, **commands(["info"]))
    done = subprocess.CompletedProcess([], code, out, err)
    monkeypatch.setattr("freewalk.harness.reproducing.run.subprocess.run", lambda *_, **__: done)
    result = harness("reproduce", "own.toml", "--out", "out", "--quiet")
    assert result.code == 2
    assert result.err == f"harness: error: own.toml: harness info: {words}\n"


def test_seeds_run_at_the_same_time_and_share_the_threads(
    harness: Harness, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("freewalk.harness.reproducing.run.usable_threads", lambda: 5)
    both = threading.Barrier(2, timeout=60)

    def answer(command: Sequence[str], *, env: Mapping[str, str], **_: Any) -> subprocess.CompletedProcess[str]:
        both.wait()  # breaks, and ends the test, where one seed runs after the other
        return subprocess.CompletedProcess([], 0, json.dumps({"loss": float(env["NUMBA_NUM_THREADS"])}), "")

    monkeypatch.setattr("freewalk.harness.reproducing.run.subprocess.run", answer)
    write(tmp_path, **commands(["info"]))
    assert harness("reproduce", "own.toml", "--out", "out", "--quiet").code == 0
    assert verdict(tmp_path / "out")["checks"][0]["estimate"] == 2


def test_a_check_that_is_missed_is_an_answer(harness: Harness, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path, **commands(["gradcheck"]))
    done = subprocess.CompletedProcess([], 3, '{"loss": 1.0}', "missed")
    monkeypatch.setattr("freewalk.harness.reproducing.run.subprocess.run", lambda *_, **__: done)
    assert harness("reproduce", "own.toml", "--out", "out", "--quiet").code == 0


# What there is -------------------------------------------------------------------------------------------------------


def test_the_list_says_what_there_is_and_runs_nothing(harness: Harness, tmp_path: Path) -> None:
    result = harness("reproduce", "--list")
    assert result.code == 0
    for name in document.known_reproductions():
        assert name in result.out
    rows = json.loads(harness("reproduce", "--list", "--json").out)
    assert [row["reproduction"] for row in rows] == document.known_reproductions()
    assert all(row["title"] and row["source"] and row["claim"] and row["published"] for row in rows)
    assert [*tmp_path.iterdir()] == []


def test_the_list_of_some(harness: Harness, tmp_path: Path) -> None:
    write(tmp_path, quick={"seeds": "0:4", "seconds": 3})
    (known, own) = json.loads(harness("reproduce", "xor-backprop", "own.toml", "--list", "--json").out)
    assert known["reproduction"] == "xor-backprop"
    assert own["published"] == ["0.25 [derived]"]
    assert own["takes"] == {"quick": 3}
    assert "0.25 [derived]" in harness("reproduce", "own.toml", "--list").out


def test_all_runs_those_that_come_with_the_program(
    harness: Harness, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    published = tmp_path / "published"
    write(published, "first")
    write(published, "second", paper={"seeds": "0:2"})
    monkeypatch.setattr(document, "FOLDER", published)
    result = harness("reproduce", "--all", "--out", "out", "--json", "--quiet")
    assert result.code == 0, result.err
    found = json.loads(result.out)
    assert [one["name"] for one in found] == ["first", "second"]
    assert found[0]["command"] == "harness reproduce first --scale quick", "by its name"
    paper = json.loads(harness("reproduce", "--all", "--scale", "paper", "--out", "out", "--json", "--quiet").out)
    assert [one["name"] for one in paper] == ["second"], "the other has no such scale"
    assert len(json.loads((tmp_path / "out/reproductions.json").read_text())) == 3


def test_one_given_twice_runs_once(harness: Harness, tmp_path: Path) -> None:
    write(tmp_path)
    result = harness("reproduce", "own.toml", "own.toml", "--out", "out", "--json", "--quiet")
    assert len(json.loads(result.out)) == 1


# Plug-ins ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("given", ["in the file", "as an option"])
def test_tasks_of_ones_own(harness: Harness, tmp_path: Path, given: str) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub/task.py").write_text(TASK)
    grid = [{"task": "copied", "method": "backprop", "architecture": "1-1", "batch_size": 2, "one": 1}]
    command = [{"run": ["tasks", "copied"]}]
    check = [
        {"claim": "loss", "value": "loss_final", "above": 0},
        {"claim": "target", "table": "command", "value": "target", "published": 0.4},
    ]
    in_file = {"plugins": ["task.py"]} if given == "in the file" else {}
    write(tmp_path / "sub", grid=grid, command=command, check=check, quick={"seeds": "0:2"}, **in_file)
    options = () if in_file else ("--plugin", "sub/task.py")
    result = harness("reproduce", "sub/own.toml", *options, "--out", "out", "--json", "--quiet")
    assert result.code == 0, result.err
    (found,) = json.loads(result.out)
    assert found["verdict"] == "reproduced"
    assert found["command"] == "harness reproduce sub/own.toml --scale quick"
