"""What the README says of parameters, tasks, commands and options is what the code has."""

import importlib
import re
from pathlib import Path

import pytest

from freewalk.harness import cli
from freewalk.harness.commands import sweep
from rows_of_keys import parameter_rows, task_rows
from freewalk.harness.parameters.parameters import PARAMETERS
from freewalk.harness.parameters.presets import preset_names

README = (Path(__file__).parents[3] / "README.md").read_text(encoding="utf-8")
COMMANDS = {name: importlib.import_module(f"freewalk.harness.commands.{name}").command for name in cli.COMMANDS}


@pytest.mark.parametrize("row", [*parameter_rows(), *task_rows()])
def test_rows_of_the_tables(row: str) -> None:
    assert row in README.splitlines(), "print the rows with: python docs/make/rows_of_keys.py"


def test_options_in_examples_exist() -> None:
    examples = re.findall(rf"harness ({'|'.join(COMMANDS)})((?:[^`\n]|\\\n)*)", README)
    assert examples
    for name, rest in examples:
        known = {option for parameter in COMMANDS[name].params for option in parameter.opts}
        assert set(re.findall(r"--[a-z][a-z-]*", rest)) <= known | {"--help"}, name


def test_presets_and_keys_are_named() -> None:
    for preset in preset_names():
        assert f"`{preset}`" in README
    assert sweep.EPILOG.replace("\n", " ").count(", ") >= len(PARAMETERS)
    for key in PARAMETERS:
        assert re.search(rf"\b{key}\b", sweep.EPILOG), f"{key} is missing in harness sweep --help"
