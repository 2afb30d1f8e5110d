"""All options of all commands: one spelling for one thing, one meaning for one spelling, and the page that says so."""

from __future__ import annotations

import importlib
import itertools
import json
import re
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from commanded import Harness
from options_page import Taken, options, options_page

from freewalk.harness.cli import COMMANDS
from freewalk.harness.commands.spellings import OLD
from freewalk.harness.parameters.parameters import PARAMETERS
from freewalk.harness.plan.settings import BACKENDS

TAKEN = list(options())
PAGE = Path(__file__).parents[3] / "docs" / "reference" / "options.md"
OTHERWISE = {
    "--steps": "only maximize has it; estimate has it as a former spelling",
    "--scale": "of reproduce, which takes no parameters; the word of its pages, files and recorded commands",
}
"""Spellings that mean something else as a former spelling or as a parameter, each with its reason."""
BOUNDS = {"--samples": "an estimate needs more steps than a check does"}
"""Options whose numbers have other limits, each with its reason."""
NO_THREADS = {
    "report": "statistics of a table",
    "watch": "the same, again and again",
    "list": "reads stores",
    "status": "reads stores",
    "show": "reads stores",
    "compare": "statistics of a table",
    "merge": "reads stores",
    "export": "reads stores",
    "tasks": "prints what is known",
    "methods": "prints what is known",
    "presets": "prints what is known",
    "info": "prints what is known",
}
"""Commands that neither train nor evaluate a network, each with what it does instead."""


def pairs() -> Iterator[tuple[Taken, Taken]]:
    for one, other in itertools.combinations(TAKEN, 2):
        if one.spelling == other.spelling:
            yield one, other


def test_the_page_is_what_the_commands_say() -> None:
    assert PAGE.read_text(encoding="utf-8") == options_page(), (
        "python docs/make/options_page.py > docs/reference/options.md"
    )


def test_one_spelling_has_one_meaning() -> None:
    for one, other in pairs():
        who = f"{one.spelling} of {one.command} and {other.command}"
        assert one.meaning == other.meaning, who
        assert one.metavar == other.metavar, who
        assert one.option.is_flag == other.option.is_flag, who
        if one.spelling not in BOUNDS:
            same = (type(one.option.type), str(one.option.type).partition(" object at")[0])
            assert same == (type(other.option.type), str(other.option.type).partition(" object at")[0]), who


def test_one_thing_has_one_spelling() -> None:
    for one, other in itertools.combinations(TAKEN, 2):
        if one.option.name == other.option.name:
            assert one.spelling == other.spelling, f"{one.option.name} of {one.command} and {other.command}"
    for one in TAKEN:
        assert len(one.option.opts) == 1, f"{one.command}: {one.option.opts}"


def test_no_option_is_spelled_as_a_parameter_or_as_something_former() -> None:
    former = {old for spellings in OLD.values() for old in spellings}
    parameters = {f"--{name.replace('_', '-')}" for name in PARAMETERS}
    shared = {one.spelling for one in TAKEN} & (former | parameters)
    at_home = {"--weights", "--method", "--target"}  # which are what they mean elsewhere
    assert shared - at_home == set(OTHERWISE)


@pytest.mark.parametrize("name", COMMANDS)
def test_each_command_has_what_all_need(name: str) -> None:
    spelled = {one.spelling for one in TAKEN if one.command == name}
    assert "--json" in spelled
    assert ("--threads" in spelled) != (name in NO_THREADS)
    assert ("--plugin" in spelled) == ("--traceback" in spelled)


@pytest.mark.parametrize("one", TAKEN, ids=lambda one: f"{one.command} {one.spelling}")
def test_each_help_fits(one: Taken) -> None:
    text = one.option.help or ""
    command = one.option_command
    assert re.match(r"[A-Z]", text), text
    assert text.rstrip().endswith((".", "]", "docs/methods.md.")), text
    own = {spelling for each in command.params for spelling in each.opts}
    own |= {f"--{name.replace('_', '-')}" for name in PARAMETERS}
    for named in re.findall(r"(?<![\w-])--[a-z][a-z-]*", text):
        assert named in own, f"{named} is no option of {one.command}"
    variable = f"HARNESS_{one.spelling[2:].replace('-', '_').upper()}"
    assert one.option.envvar == variable, "every option can be set in the environment"


@pytest.mark.parametrize(("command", "old"), [(command, old) for command, names in OLD.items() for old in names])
def test_what_is_former_goes_on_and_names_what_is_now(command: str, old: str) -> None:
    found: click.Command = importlib.import_module(f"freewalk.harness.commands.{command}").command
    new = OLD[command][old]
    value = {"--ascent": "walk", "--samples": "100"}.get(new, "1")
    weights = [] if new == "FILE" or command == "estimate" else ["w.npz"]
    taken = [
        found.make_context(command, [*weights, *words], parent=click.Context(click.Group("harness"))).params
        for words in ([old, value], [f"{old}={value}"], [value] if new == "FILE" else [new, value])
    ]
    assert taken[0] == taken[1] == taken[2]


def test_former_and_present_together_are_refused(harness: Harness) -> None:
    result = harness("evaluate", "w.npz", "--points", 1, "--evaluation-points", 2)
    assert (result.code, result.err) == (
        2,
        "harness: error: --points 1 and --evaluation-points 2 are the same; give one of them\n",
    )


def test_former_variables_go_on(harness: Harness, monkeypatch: pytest.MonkeyPatch) -> None:
    assert harness("train", "--task", "parity", "--hidden", 2, "--epochs", 1, "--quiet", "--save", "w.npz").code == 0
    monkeypatch.setenv("HARNESS_POINTS", "7")
    result = harness("evaluate", "w.npz", "--json")
    assert json.loads(result.out)["n_datapoints"] == 7
    assert "--points is now --evaluation-points" in result.err
    monkeypatch.setenv("HARNESS_EVALUATION_POINTS", "5")
    assert json.loads(harness("evaluate", "w.npz", "--json").out)["n_datapoints"] == 5


def test_backends_are_checked_alike(harness: Harness) -> None:
    for name in dict.fromkeys(one.command for one in TAKEN if one.spelling == "--backend"):
        result = harness(name, "--backend", "gpu")
        assert (result.code, result.out) == (2, "")
        assert result.err.startswith(
            f"harness: error: --backend gpu (did you mean 'cuda'?): must be one of {BACKENDS[0]}"
        )
