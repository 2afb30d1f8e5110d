"""Parameters as options wherever a grid is: what they become, what goes before what, plug-ins' parameters."""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable
from pathlib import Path

import click
import pytest
from commanded import Harness

from freewalk.harness import cli
from freewalk.harness.base.errors import UsageError
from freewalk.harness.commands.command import Command
from freewalk.harness.commands.options import same_again
from freewalk.harness.parameters.parameters import PARAMETERS, check_value

Refused = Callable[..., str]
OWN = """
from pydantic import BaseModel, Field
from freewalk.methods import ArrayTrainer, OwnMethod


class Parameters(BaseModel):
    top_rate: float = Field(0.5, gt=0, description="how fast")
    target: float = Field(0.5, gt=0, description="called as an option of sweeps is")


class Trainer(ArrayTrainer):
    def take_step(self):
        x, y = self.batch()
        return self.losses(self.values, x, y).mean()


METHOD = OwnMethod("own", "stays", Trainer, lambda parameters, batch, n: batch, Parameters)
"""


def grid_of(command: str, *arguments: str) -> tuple[str, ...]:
    """Return what a command takes for its grid."""
    found = cli.harness.get_command(click.Context(cli.harness), command)
    assert isinstance(found, Command)
    parent = click.Context(cli.harness, info_name="harness", **cli._SETTINGS)
    grid: tuple[str, ...] = found.make_context(command, list(arguments), parent=parent).params["grid"]
    return grid


def a_value(name: str) -> str:
    """Return a value that a parameter may have."""
    for value in (*PARAMETERS[name].choices, 7, 1, 0.5, "2-3-1", "CMA_ES"):
        try:
            return str(check_value(name, value))
        except UsageError:
            continue
    raise AssertionError(name)


@pytest.mark.parametrize("name", PARAMETERS)
@pytest.mark.parametrize("command", ["sweep", "tune", "estimate"])
def test_each_parameter_is_an_option_of_a_grid(command: str, name: str) -> None:
    value = a_value(name)
    for spelling in (f"--{name.replace('_', '-')}", f"--{name}"):
        assert grid_of(command, spelling, value) == (f"{name}={value}",)
        assert grid_of(command, f"{spelling}={value}", "--grid", "task=xor") == ("task=xor", f"{name}={value}")


def test_values_are_those_of_a_grid(harness: Harness, refused: Refused) -> None:
    counts = [
        json.loads(harness("sweep", "--task", "xor", *how, "--dry-run", "--json").out)["directory"]
        for how in (("--stddev", "logspace(-2,0,3)"), ("--grid", "stddev=logspace(-2,0,3)"))
    ]
    assert counts[0] == counts[1]
    assert harness("tune", "--task", "xor", "--method", "walk", "--stddev", "log(0.01,1)", "--dry-run").code == 0
    assert "which harness tune takes" in refused("sweep", "--task", "xor", "--stddev", "log(0.01,1)")
    assert "--stddev '-1': stddev=-1: must be" in refused("sweep", "--task", "xor", "--stddev", "-1")


def test_a_key_is_given_once(refused: Refused) -> None:
    both = ("--stddev", "0.1", "--grid", "stddev=0.2")
    assert "stddev is given twice; give one of them" in refused("sweep", "--task", "xor", *both)
    assert "write all its values in one list" in refused("sweep", "--task", "xor", "--stddev", "0.1", "--stddev", "0.2")


def test_the_line_goes_before_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HARNESS_GRID", "stddev=0.2;hidden=3")
    assert grid_of("sweep", "--stddev", "0.1") == ("hidden=3", "stddev=0.1")
    monkeypatch.setenv("HARNESS_STDDEV", "0.3")  # of train, which has such an option
    assert grid_of("sweep") == ("stddev=0.2", "hidden=3")


def test_no_help_lists_them(harness: Harness) -> None:
    for command in ("sweep", "tune", "estimate"):
        out = harness(command, "--help").out
        assert "--batch-size" not in out
        assert "--stddev 0.01,0.1 is --grid stddev=0.01,0.1" in " ".join(out.split())


def test_a_recorded_command_has_them_in_its_grid() -> None:
    found = cli.harness.get_command(click.Context(cli.harness), "estimate")
    assert found is not None
    line = ["--task", "xor", "--stddev", "0.1,0.2", "--batch_size", "8"]
    with found.make_context("estimate", list(line), parent=click.Context(cli.harness, **cli._SETTINGS)):
        words = shlex.split(same_again())
    assert words[:2] == ["harness", "estimate"]
    assert sorted(words[2:]) == sorted(["--task", "xor", "--grid", "batch_size=8", "--grid", "stddev=0.1,0.2"])


@pytest.mark.parametrize("how", ["option", "variable", "file"])
def test_a_plugins_parameters_are_options_too(
    harness: Harness, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    (tmp_path / "own.py").write_text(OWN)
    given: tuple[str, ...] = ("--task", "xor", "--method", "own")
    if how == "file":
        (tmp_path / "g.toml").write_text('plugins = ["own.py"]\n[[grid]]\ntask = "xor"\nmethod = "own"\n')
        given = ("--grid", "g.toml")
    elif how == "variable":
        monkeypatch.setenv("HARNESS_PLUGIN", "own.py")
    else:
        given += ("--plugin", "own.py")
    for spelling in ("--top-rate", "--top_rate"):
        result = harness("sweep", *given, spelling, "0.1,0.2", "--dry-run", "--json")
        assert json.loads(result.out)["n_cells"] == 2, result.err


def test_a_plugins_parameters_in_train_and_gradcheck(harness: Harness, refused: Refused, tmp_path: Path) -> None:
    (tmp_path / "own.py").write_text(OWN)
    of = ("--task", "xor", "--method", "own", "--plugin", "own.py", "--epochs", "1", "--quiet")
    result = harness("train", *of, "--top-rate", "0.1")
    assert (result.code, result.err) == (0, "")
    former = harness("train", *of, "--set", "top_rate=0.1")
    assert former.code == 0
    assert former.err == "harness: note: --set top_rate=0.1 is now --top-rate 0.1; the former spelling still works\n"
    assert "top_rate is given twice" in harness("train", *of, "--top-rate", "1", "--set", "top_rate=1").err
    assert "--top-rate '-1': top_rate=-1: must be" in refused("train", *of, "--top-rate", "-1")
    assert "no option --top-rat (did you mean '--top-rate'?)" in refused("train", *of, "--top-rat", "1")


def test_a_commands_own_option_goes_before_a_parameter_of_its_name(harness: Harness, tmp_path: Path) -> None:
    (tmp_path / "own.py").write_text(OWN)
    of = ("--task", "xor", "--method", "own", "--plugin", "own.py", "--epochs", "1", "--quiet", "--json")
    found = json.loads(harness("train", *of, "--target", "0.3", "--save", "a.npz").out)
    assert found["target"] == 0.3
