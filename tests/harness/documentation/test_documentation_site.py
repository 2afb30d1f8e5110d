"""The site names every command, option and public name, and its examples use what exists. `make docs` builds it."""

from __future__ import annotations

import ast
import importlib
import re
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import click
import pytest

import freewalk
from freewalk import methods, networks, statistics, tasks, testing
from freewalk.harness.cli import COMMANDS
from freewalk.harness.parameters.parameters import PARAMETERS
from freewalk.harness.plan.plugins import load_plugins

ROOT = Path(__file__).parents[3]
PAGES = {str(path.relative_to(ROOT)): path.read_text(encoding="utf-8") for path in (ROOT / "docs").rglob("*.md")}
MODULES: dict[str, Any] = {
    "freewalk": freewalk,
    "freewalk.statistics": statistics,
    "freewalk.tasks": tasks,
    "freewalk.methods": methods,
    "freewalk.networks": networks,
    "freewalk.testing": testing,
}
# of libraries that need not be here
for library in ("torch", "jax"):
    (names,) = re.findall(
        r"^__all__ = (\[.*\])$", (ROOT / "src" / "freewalk" / f"{library}.py").read_text(), re.MULTILINE
    )
    MODULES[f"freewalk.{library}"] = SimpleNamespace(__all__=ast.literal_eval(names))
READ = {**PAGES, "README.md": (ROOT / "README.md").read_text(encoding="utf-8")}
READ |= {f"examples/{path.name}": path.read_text(encoding="utf-8") for path in (ROOT / "examples").glob("*.py")}


def _options(command: str) -> list[click.Option]:
    found: click.Command = importlib.import_module(f"freewalk.harness.commands.{command}").command
    return [one for one in found.params if isinstance(one, click.Option) and not one.hidden]


def _all_options(command: str, rest: str) -> list[click.Parameter]:
    """Return a command's options and those of a grid's parameters, with those of plug-ins that an example names."""
    load_plugins(file for file in re.findall(r"--plugin (examples/\S+)", rest))
    found: click.Command = importlib.import_module(f"freewalk.harness.commands.{command}").command
    return [*_options(command), *(one for one in found.get_params(click.Context(found)) if one.name in PARAMETERS)]


@pytest.fixture
def section(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> str:
    """A command's section of the reference, as Markdown."""
    pytest.importorskip("sphinx", reason="the extra docs is not installed")
    monkeypatch.syspath_prepend(str(ROOT / "docs" / "extensions"))
    section = "\n".join(importlib.import_module("command_line").section_of(request.param))
    sys.modules.pop("command_line")
    return section


@pytest.mark.parametrize(("section", "command"), [(name, name) for name in COMMANDS], indirect=["section"])
def test_the_reference_has_every_option_of_a_command(section: str, command: str) -> None:
    assert section.startswith(f"## {command}\n")
    heads = re.findall(r"^::::\{option\} (.*)$", section, re.MULTILINE)
    assert len(heads) == len(_options(command)) + 1  # --help is not among the parameters
    for option in _options(command):
        (head,) = (one for one in heads if set(option.opts) <= set(re.findall(r"(?<!\S)--?[a-z][a-z0-9-]*", one)))
        assert (" " in head.replace(", ", ",")) != option.is_flag, head
        for variable in [option.envvar] if isinstance(option.envvar, str) else option.envvar or ():
            assert f"`{variable}`" in section


@pytest.mark.parametrize("module", MODULES)
def test_the_reference_has_every_public_name(module: str) -> None:
    for name in MODULES[module].__all__:
        if not name.startswith("__"):
            assert re.search(rf":: {re.escape(module)}\.{name}$", PAGES["docs/reference/python.md"], re.MULTILINE), name


@pytest.mark.parametrize("page", READ)
def test_documentation_and_examples_use_public_names_alone(page: str) -> None:
    text = re.sub(r"-m freewalk\S*|\bfreewalk\.toml", "", READ[page])
    imports = re.findall(r"^\s*from (freewalk\S*) import (\w+(?:, \w+)*)", text, re.MULTILINE)
    imported = [f"{module}.{name}" for module, names in imports for name in names.split(", ")]
    for name in {*imported, *re.findall(r"\bfreewalk(?:\.\w+)+(?![\w/-])", text)} - {*MODULES}:
        module, _, last = name.rpartition(".")
        assert last in getattr(MODULES.get(module), "__all__", ()), name


@pytest.mark.parametrize("page", PAGES)
def test_options_in_examples_exist(page: str) -> None:
    for name, rest in re.findall(rf"\bharness ({'|'.join(COMMANDS)})((?:[^`\n\\]|\\\n)*)", PAGES[page]):
        known = {one for option in _all_options(name, rest) for one in option.opts} | {"--help"}
        given = re.findall(r"(?<!\S)--[a-z][a-z-]*", re.sub(r"'[^']*'|\"[^\"]*\"", "", rest))
        assert set(given) <= known, name
        assert not re.findall(r"--(?:task|method) \S+,\S+", rest), "one name each; the option is repeated"


@pytest.mark.parametrize("page", PAGES)
def test_a_page_has_one_title_and_it_comes_first(page: str) -> None:
    text = re.sub(r"^```.*?^```$", "", PAGES[page], flags=re.MULTILINE | re.DOTALL)
    assert text.startswith("# ")
    assert len(re.findall(r"^# ", text, re.MULTILINE)) == 1
