"""Mistakes in a reproduction or on the command line: one line that names the file, the place and the remedy."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from own_reproduction import write

Harness = Callable[..., Any]
Refused = Callable[..., str]
GRID = {"task": "xor", "method": "backprop", "architecture": "2-3-1"}
CHECK = {"claim": "loss", "value": "loss_final", "published": 0.25}


def check(**changed: Any) -> list[dict[str, Any]]:
    whole = {key: value for key, value in (CHECK | changed).items() if value is not None}
    return [whole]


def grid(**changed: Any) -> list[dict[str, Any]]:
    return [GRID | changed]


IN_THE_FILE: list[tuple[dict[str, Any], str]] = [
    # keys
    ({"sorce": "me", "source": None}, "unknown key 'sorce' (did you mean 'source'?); known: title, source"),
    ({"epoks": 3}, "unknown key 'epoks' (did you mean 'epochs'?)"),
    ({"quick": {"epoks": 3}}, "quick: unknown key 'epoks' (did you mean 'epochs'?); known: changed, seconds"),
    ({"check": check(vaule="x")}, "check 'loss': unknown key 'vaule' (did you mean 'value'?); known: claim, value"),
    ({"check": check(vaule="x", value=None)}, "check 'loss': unknown key 'vaule'"),
    ({"check": [*check(), *check(n=3)]}, "check 'loss': unknown key 'n'"),
    ({"command": [{"rn": ["info"]}]}, "command 1: unknown key 'rn' (did you mean 'run'?); known: run"),
    ({"quick": {"command": [{"rn": []}]}}, "quick: command 1: unknown key 'rn'"),
    ({"name": "a"}, "name is the file's own; leave it out"),
    # what is missing
    ({"title": None}, "there is no title; add it"),
    ({"known": None}, "there is no known; add it"),
    ({"check": None}, "there is no check; add it"),
    ({"check": []}, "check: give at least one"),
    ({"check": check(claim=None)}, "check 1: there is no claim; add it"),
    ({"check": check(value=None)}, "check 'loss': give value, what is calculated of each row"),
    (
        {"check": check(published=None)},
        "check 'loss': give what was published, or a bound: published, above or below",
    ),
    ({"check": check(published=None, published_low=1)}, "check 'loss': give what was published, or a bound"),
    ({"quick": None}, "there is no scale to run it at; add [paper], [quick], or both"),
    ({"grid": None}, "[quick] runs nothing; give a [[grid]] or a [[command]]"),
    ({"check": check(scale="paper")}, "[quick] has no [[check]]; add one without scale, or with scale = 'quick'"),
    ({"command": [{"run": []}]}, "command 1: run: give at least one"),
    ({"title": ""}, "title: is empty; say something"),
    # types and words
    ({"title": 3}, "title: give a text, in quotes"),
    ({"plugins": "own.py"}, "plugins: give a list, in [ ]"),
    ({"check": check(published="a")}, "check 'loss': published: give a number, not 'a'"),
    ({"check": check(published=True)}, "check 'loss': published: give a number"),
    ({"check": check(published=float("nan"))}, "check 'loss': published: give a finite number"),
    ({"check": check(above=float("inf"))}, "check 'loss': above: give a finite number"),
    ({"check": check(margin=0)}, "check 'loss': margin: give a number above 0"),
    ({"check": CHECK}, "check: there may be several; write [[check]], with two brackets, or a list of tables"),
    ({"grid": GRID}, "grid: there may be several; write [[grid]], with two brackets"),
    ({"quick": {"grid": GRID}}, "quick: grid: there may be several; write [[quick.grid]], with two brackets"),
    ({"quick": [{"seeds": "0:4"}]}, "quick: there is one; write [quick]"),
    ({"quick": 3}, "quick: there is one; write [quick]"),
    ({"command": [{"run": "info"}]}, "command 1: run: give a list, in [ ]"),
    ({"known": "abstrct"}, "known: unknown word 'abstrct' (did you mean 'abstract'?); known: source, abstract"),
    (
        {"check": check(statistic="avg")},
        "check 'loss': statistic: unknown word 'avg'; known: mean, median, share, ert",
    ),
    ({"check": check(compare="rate")}, "check 'loss': compare: unknown word 'rate' (did you mean 'ratio'?)"),
    ({"check": check(scale="big")}, "check 'loss': scale: unknown word 'big'; known: quick, paper"),
    # numbers that contradict each other
    (
        {"check": check(published_low=0.3)},
        "check 'loss': published must lie between published_low and published_high",
    ),
    ({"check": check(published_low=0.2, published_high=0.1)}, "check 'loss': published must lie between"),
    ({"check": check(above=3, below=2)}, "check 'loss': nothing is above 3 and below 2; correct one of them"),
    # what runs
    ({"grid": grid(hiden=4)}, "unknown parameter 'hiden' (did you mean 'hidden'?)"),
    ({"grid": [*grid(), *grid(hiden=4)]}, "grid: unknown parameter 'hiden' (did you mean 'hidden'?)"),
    ({"grid": grid(batch_size=-4)}, "batch_size=-4: must be a whole number of at least 1"),
    ({"grid": grid(task="xro")}, "unknown task 'xro' (did you mean 'xor'?)"),
    ({"grid": grid(method="backprp")}, "unknown method 'backprp' (did you mean 'backprop'?)"),
    ({"grid": [{"method": "walk"}]}, "no task given"),
    ({"grid": grid(stddev=0.1)}, "stddev has no effect with method backprop"),
    ({"grid": grid(batch_size={"a": 1})}, "grid: batch_size: must be a value or a list of values"),
    ({"grid": grid(batch_size=[[1]])}, "grid: batch_size: must hold numbers or texts"),
    ({"grid": ["quickstart"]}, "grid 1: give a table"),
    ({"epochs": -5}, "epochs = -5: must be a whole number of at least 1"),
    ({"steps_per_epoch": "a"}, "steps_per_epoch = a: must be a whole number"),
    ({"looks": "always"}, "looks = always: must be"),
    ({"quick": {"seeds": "4:0"}}, "seeds = '4:0': '4:0' is empty"),
    ({"quick": {"seeds": 1.5}}, "seeds = 1.5: give whole numbers, or a range such as '0:10'"),
    ({"quick": {"seeds": ["a"]}}, "seeds = ['a']: give whole numbers, or a range such as '0:10'"),
    ({"quick": {"seeds": "a"}, "grid": None, "command": [{"run": ["info"]}]}, "seeds = 'a': 'a' is no seed"),
    ({"plugins": ["own.py"]}, "own.py: cannot be read (No such file or directory); give a Python file"),
    # checks
    ({"check": check(value="loss_final +")}, "check 'loss': 'loss_final +' cannot be read (invalid syntax)"),
    (
        {"check": check(value="loss_finale")},
        "check 'loss': there is no column 'loss_finale' (did you mean 'loss_final'?)",
    ),
    ({"check": check(value="__import__('os')")}, "check 'loss': \"__import__('os')\" is no number"),
    ({"check": check(value="task")}, "check 'loss': 'task' holds words; calculate with a column of numbers"),
    ({"check": check(value="steps_to_goal")}, "no column 'steps_to_goal' (did you mean 'steps_to_target'?); known:"),
    (
        {"check": check(resolution="1", statistic="share")},
        "check 'loss': resolution is for a mean or a median, not for statistic = 'share'; leave it out",
    ),
    ({"check": check(resolution="lost")}, "check 'loss': there is no column 'lost'"),
    ({"check": check(transform="y")}, "check 'loss': there is no column 'y'; known: x"),
    ({"check": check(table="trails")}, "check 'loss': there is no table 'trails'; there are: trials, curves"),
    ({"check": check(table="curves")}, "check 'loss': there is no column 'loss_final'"),
    ({"check": check(table="curves", statistic="ert")}, "check 'loss': there is no column 'reached'"),
    ({"check": check(where="method = 'walk'")}, "cannot be read (invalid syntax); write such as: task == 'xor'"),
    ({"check": check(where="mehtod == 'walk'")}, "check 'loss': there is no column 'mehtod'"),
    ({"check": check(where="method == 'walk'")}, "check 'loss': no planned trial is one where method == 'walk'"),
    ({"check": check(against="seed > 9")}, "check 'loss': no planned trial is one where seed > 9; correct that"),
]


@pytest.mark.parametrize(("changed", "words"), IN_THE_FILE, ids=[words[:50] for _, words in IN_THE_FILE])
def test_a_mistake_in_the_file_runs_nothing(
    refused: Refused, tmp_path: Path, changed: dict[str, Any], words: str
) -> None:
    write(tmp_path, **changed)
    line = refused("reproduce", "own.toml", "--out", "out")
    assert line.startswith("own.toml: ")
    assert words in line


def test_every_reproduction_is_read_before_one_runs(refused: Refused, tmp_path: Path) -> None:
    write(tmp_path)
    write(tmp_path, "wrong", grid=grid(hiden=4))
    assert refused("reproduce", "own.toml", "wrong.toml", "--out", "out").startswith("wrong.toml: ")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (b"title = \n", "own.toml: not valid TOML: Invalid value (at line 1, column 9); correct that line"),
        (b"title = 'a'\ntitle = 'b'", "own.toml: not valid TOML: Cannot overwrite a value"),
        (b"[quick", "own.toml: not valid TOML"),
        (b"", "own.toml: there is no title; add it"),
        (b"title = '\xff'", "own.toml: not UTF-8 at byte 9; save the file as UTF-8"),
        (b"a = " + b"[" * 5000, "own.toml: not valid TOML"),
    ],
)
def test_a_file_that_is_no_toml(refused: Refused, tmp_path: Path, text: bytes, words: str) -> None:
    (tmp_path / "own.toml").write_bytes(text)
    assert refused("reproduce", "own.toml").startswith(words)


def test_names(refused: Refused, tmp_path: Path) -> None:
    assert refused("reproduce", "xor-bakprop") == (
        "no reproduction 'xor-bakprop' (did you mean 'xor-backprop'?); see harness reproduce --list, or give a .toml"
        " file"
    )
    assert refused("reproduce", "own.toml").startswith("own.toml: no such file; give an existing TOML file, or a name")
    (tmp_path / "folder.toml").mkdir()
    assert refused("reproduce", "folder.toml").startswith("folder.toml: no such file")
    assert refused("reproduce").startswith("nothing to reproduce; give a name, a .toml file or --all; see")
    assert refused("reproduce", "--all", "xor-backprop") == "--all runs all, xor-backprop too; leave one of them out"
    write(tmp_path, "xor-backprop")
    assert refused("reproduce", "xor-backprop", "xor-backprop.toml") == (
        "two reproductions have one name, that of their files: xor-backprop; rename one"
    )


def test_a_scale_that_there_is_not(refused: Refused, tmp_path: Path) -> None:
    write(tmp_path)
    assert refused("reproduce", "own.toml", "--scale", "paper") == "own.toml: there is no [paper]; give --scale quick"
    assert "'huge' is not one of 'quick', 'paper'" in refused("reproduce", "own.toml", "--scale", "huge")


def test_nothing_has_the_scale(refused: Refused, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path / "published")
    monkeypatch.setattr("freewalk.harness.reproducing.document.FOLDER", tmp_path / "published")
    assert "has a paper scale; give the other --scale" in refused("reproduce", "--all", "--scale", "paper")


def test_places_that_cannot_be_written(refused: Refused, tmp_path: Path) -> None:
    write(tmp_path)
    assert refused("reproduce", "own.toml", "--out", "") == (
        "--out '': the name is empty; name a folder, or leave --out away for runs/reproduce"
    )
    (tmp_path / "file").write_text("mine")
    assert "file" in refused("reproduce", "own.toml", "--out", "file")
    for name in ("reproductions.html", "reproductions.json", "reproductions.csv"):
        folder = tmp_path / name.replace(".", "-")
        folder.mkdir()
        (folder / name).write_text("mine")
        line = refused("reproduce", "own.toml", "--out", folder.name)
        assert line.startswith(f"--out: {folder.name}/{name} is there and was not written by a report: move it away")


def test_options_that_go_nowhere(refused: Refused, tmp_path: Path) -> None:
    write(tmp_path)
    assert "has no effect with --workers" in refused("reproduce", "own.toml", "--threads", 1, "--workers", 2)
    assert "plugin none.py: cannot be read" in refused("reproduce", "own.toml", "--plugin", "none.py")


def test_verdicts_that_cannot_be_read_are_left_out(harness: Harness, tmp_path: Path) -> None:
    write(tmp_path)
    for name, text in (("a", "{"), ("b", "[]"), ("c", '{"checks": []}'), ("d", '{"name": 1}')):
        (tmp_path / "out" / name).mkdir(parents=True)
        (tmp_path / "out" / name / "verdict.json").write_text(text)
    assert harness("reproduce", "own.toml", "--out", "out", "--quiet").code == 0
    assert len(json.loads((tmp_path / "out/reproductions.json").read_text())) == 1
