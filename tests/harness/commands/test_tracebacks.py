"""Errors of plug-ins: one line that names theirs, and with --traceback Python's whole traceback beside it."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from pathlib import Path

import pytest
from commanded import Harness

from freewalk.harness.trial.events import Failed

Refused = Callable[..., str]
TASK = """
from freewalk.tasks import Problem, Task
import json

def make_problem():
    {in_make}
    return Problem(n_input=1, n_output=1, datapoint=datapoint)

def datapoint(seed, stream, step, index, timesteps, argument, x, y):
    {in_data}
    x[0, 0] = y[0, 0] = 0.5

OWN = Task(name="owned", summary="of a test", metric="loss", target=0.1, make_problem=make_problem)
"""
METHOD = """
from freewalk.methods import ArrayTrainer, OwnMethod
import json
{at_load}

class Broken(ArrayTrainer):
    def take_step(self):
        {in_step}
        return 1.0

def make_trainer(start):
    {in_make}
    return Broken(start)

METHOD = OwnMethod("broken", "fails", make_trainer, lambda parameters, batch, n: 1)
"""
DEEP = 'json.loads("{")'
PLACES = ("at_load", "in_step", "in_make")
SHORT = ("--epochs", "1", "--seeds", "0:2", "--out", "o")


def plugin(folder: Path, text: str, **where: str) -> int:
    """Write a plug-in that fails somewhere; return the line."""
    blanks = dict.fromkeys(("at_load", "in_step", "in_make", "in_data"), "pass")
    (folder / "own.py").write_text(text.format(**blanks | where))
    (place,) = where.values()
    return next(n for n, line in enumerate((folder / "own.py").read_text().splitlines(), 1) if place in line)


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("more", [(), ("--quiet",), ("--workers", "1")])
def test_a_trial_of_a_sweep(harness: Harness, tmp_path: Path, place: str, more: tuple[str, ...]) -> None:
    line = plugin(tmp_path, METHOD, **{place: DEEP})
    options = ("--plugin", "own.py", "--task", "xor", "--method", "broken", *SHORT, *more)
    if place == "at_load":
        options = ("--plugin", "own.py", "--task", "xor", *SHORT, *more)
    plain = harness("sweep", *options)
    assert "Traceback" not in plain.err
    whole = harness("sweep", *options, "--traceback", "--retry-failed")
    assert whole.err.count("Traceback (most recent call last):") == 1, whole.err
    assert f'own.py", line {line}, in' in whole.err
    assert "json/decoder.py" in whole.err
    if place == "at_load":
        assert (plain.code, whole.code) == (2, 2)
        assert f"own.py: line {line}: JSONDecodeError: " in plain.err
    else:
        assert (plain.code, whole.code) == (1, 1)
        errors = harness("show", "o", "--table", "trials", "--columns", "error", "--csv").out
        assert errors.count(f"(own.py, line {line})") == 2


@pytest.mark.parametrize("command", ["train", "gradcheck", "ladder"])
@pytest.mark.parametrize("place", PLACES)
def test_other_commands(harness: Harness, refused: Refused, tmp_path: Path, command: str, place: str) -> None:
    line = plugin(tmp_path, METHOD, **{place: DEEP})
    of = {"train": ("--task", "xor", "--epochs", "1", "--quiet"), "gradcheck": ("--task", "xor")}.get(command, ())
    options = (command, "--plugin", "own.py", "--method", "broken", *of)
    said = harness(*options)
    last = said.err.splitlines()[-1]
    assert said.code == 2, said.err
    assert f"line {line}" in last
    assert "JSONDecodeError" in last
    assert "Traceback" not in said.err
    whole = harness(*options, "--traceback")
    assert whole.code == 2
    assert whole.err.splitlines()[-1].startswith("harness: error: ")
    assert f'own.py", line {line}, in' in whole.err


@pytest.mark.parametrize("where", [{"in_make": DEEP}, {"in_data": "x[0, 0] = nowhere"}])
def test_a_task(harness: Harness, tmp_path: Path, where: dict[str, str]) -> None:
    line = plugin(tmp_path, TASK, **where)
    line -= "in_data" in where  # of a function that does not compile, Numba tells the name alone
    said = harness("tasks", "--plugin", "own.py")
    assert (said.code, said.err.count("\n")) == (2, 1)
    assert f"line {line}: " in said.err
    whole = harness("tasks", "--plugin", "own.py", "--traceback")
    assert whole.err.endswith(said.err)
    assert "Traceback (most recent call last):" in whole.err


def test_the_variable_says_it_too(harness: Harness, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plugin(tmp_path, METHOD, at_load=DEEP)
    monkeypatch.setenv("HARNESS_TRACEBACK", "1")
    assert "Traceback" in harness("methods", "--plugin", "own.py").err
    monkeypatch.delenv("HARNESS_TRACEBACK")
    assert "Traceback" not in harness("methods", "--plugin", "own.py").err, "of that command alone"


def test_a_plugin_that_leaves_the_process_is_refused(refused: Refused, tmp_path: Path) -> None:
    line = plugin(tmp_path, METHOD, at_load="raise SystemExit(0)")
    assert f"line {line}: SystemExit" in refused("methods", "--plugin", "own.py")


def test_what_is_no_plugins_fault_keeps_its_traceback(harness: Harness, monkeypatch: pytest.MonkeyPatch) -> None:
    from freewalk.harness.parameters import identity

    monkeypatch.setattr(identity, "identity", {}.__getitem__)
    with pytest.raises(KeyError, match="walk"):
        harness("methods")


def test_a_failure_travels_with_its_traceback(plan: Callable[..., object]) -> None:
    (trial, *_) = plan("task=xor").trials  # type: ignore[attr-defined]
    try:
        raise ValueError("why")
    except ValueError as error:
        failed = Failed.of(trial, error)
    again = pickle.loads(pickle.dumps(failed))
    assert again.traceback.startswith("Traceback (most recent call last):\n")
    assert again.traceback.endswith("ValueError: why")
