"""What the README and two pages say of parameters, tasks, commands and options is what the code has."""

import importlib
import re
from pathlib import Path

import click
import pytest
from rows_of_keys import parameter_rows, task_rows

from freewalk.harness import cli
from freewalk.harness.methods.registered import METHODS
from freewalk.harness.parameters.parameters import PARAMETERS
from freewalk.harness.parameters.presets import preset_names

ROOT = Path(__file__).parents[3]
README = (ROOT / "README.md").read_text(encoding="utf-8")
SWEEPS, TASKS = ((ROOT / "docs" / page).read_text(encoding="utf-8") for page in ("sweeps.md", "tasks.md"))
COMMANDS = {name: importlib.import_module(f"freewalk.harness.commands.{name}").command for name in cli.COMMANDS}


@pytest.mark.parametrize(
    ("page", "row"), [*((SWEEPS, row) for row in parameter_rows()), *((TASKS, row) for row in task_rows())]
)
def test_rows_of_the_tables(page: str, row: str) -> None:
    assert row in page.splitlines(), "print the rows with: python docs/make/rows_of_keys.py"


def test_the_readme_is_short_and_its_links_lead_somewhere() -> None:
    assert len(README.splitlines()) <= 200
    for path in re.findall(r"\]\((?!http|#)([^)#]+)", README):
        assert (ROOT / path).exists(), path


def test_options_in_examples_exist() -> None:
    examples = re.findall(rf"harness ({'|'.join(COMMANDS)})((?:[^`\n]|\\\n)*)", README)
    assert examples
    for name, rest in examples:
        known = {option for parameter in COMMANDS[name].params for option in parameter.opts}
        assert set(re.findall(r"--[a-z][a-z-]*", rest)) <= known | {"--help"}, name


def test_presets_and_keys_are_named() -> None:
    for preset in preset_names():
        assert f"`{preset}`" in README
        assert f"`{preset}`" in SWEEPS
    shown = COMMANDS["sweep"].get_help(click.Context(COMMANDS["sweep"]))
    for key in (*PARAMETERS, *METHODS):
        assert re.search(rf"\b{key}\b", shown), f"{key} is missing in harness sweep --help"
