"""What packagers and newcomers meet first: one version, both commands, install lines that exist, what `make` can do.

`.ci/distributions` and `.ci/interpreter` build, install, run and uninstall what is released.
"""

import re
import tomllib
from pathlib import Path

import pytest

import freewalk

ROOT = Path(__file__).parents[3]
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
PROJECT = PYPROJECT["project"]
PAGES = {
    str(path.relative_to(ROOT)): path.read_text(encoding="utf-8")
    for path in [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")]
}
MAKEFILE = (ROOT / "Makefile").read_text(encoding="utf-8")
ORIGINAL = "https://github.com/csirmaz/nn_rnd_training"


def test_there_is_one_version_and_one_licence() -> None:
    citation = dict(
        re.findall(r"^([a-z-]+): (\S.*)$", (ROOT / "CITATION.cff").read_text(encoding="utf-8"), re.MULTILINE)
    )
    assert PROJECT["version"] == freewalk.__version__ == citation["version"]
    assert PROJECT["license"] == citation["license"] == "MIT"
    assert PROJECT["description"] in (ROOT / "CITATION.cff").read_text(encoding="utf-8")


def test_the_command_has_two_names() -> None:
    assert set(PROJECT["scripts"]) == {"freewalk", "harness"}
    assert len(set(PROJECT["scripts"].values())) == 1


@pytest.mark.parametrize("page", PAGES)
def test_extras_in_install_lines_exist(page: str) -> None:
    for names in re.findall(r"pip install (?:-e )?'(?:\.|freewalk)\[([a-z0-9,]+)\]'", PAGES[page]):
        assert set(names.split(",")) <= set(PROJECT["optional-dependencies"])


def test_every_extra_is_listed() -> None:
    (table,) = re.findall(r"## Extras\n\n(.*?)\n\n", PAGES["README.md"], re.DOTALL)
    first_column = " ".join(re.findall(r"^\| ([^|]*) \|", table, re.MULTILINE))
    assert set(re.findall(r"`(\w+)`", first_column)) == set(PROJECT["optional-dependencies"])


def test_every_dependency_has_its_reason() -> None:
    (table,) = re.findall(r"## Dependencies\n(.*)", PAGES["CONTRIBUTING.md"], re.DOTALL)
    named = set(re.findall(r"[\w-]+", " ".join(re.findall(r"^\| ([^|]*) \|", table, re.MULTILINE))))
    wanted = [*PROJECT["dependencies"], *(one for extra in PROJECT["optional-dependencies"].values() for one in extra)]
    assert {re.split(r"[^\w-]", one)[0] for one in wanted} - {"freewalk"} <= named


ROOMS = {
    contract["containers"][0].removeprefix("freewalk."): contract["layers"]
    for contract in PYPROJECT["tool"]["importlinter"]["contracts"]
    if "containers" in contract
}


@pytest.mark.parametrize("room", ROOMS)
def test_the_rooms_inside_a_room_are_listed_in_their_order(room: str) -> None:
    (table,) = re.findall(
        rf"^\| `{room}/` \| holds \|\n\|---\|---\|\n((?:\|.*\n)+)", PAGES["CONTRIBUTING.md"], re.MULTILINE
    )
    listed = [set(re.findall(r"`(\w+)(?:/|\.py)`", row.split(" | ")[0])) for row in table.splitlines()]
    assert listed == [set(layer.split(" | ")) for layer in ROOMS[room]]


@pytest.mark.parametrize("page", [page for page in PAGES if "original program" in PAGES[page]])
def test_the_original_program_is_linked_where_it_is_named(page: str) -> None:
    if page == "CHANGELOG.md" or page.startswith("docs/benchmarks"):  # a history, and tables of a run
        return
    assert ORIGINAL in PAGES[page]


def test_make_alone_lists_every_target() -> None:
    (phony,) = re.findall(r"^\.PHONY: (.*)$", MAKEFILE, re.MULTILINE)
    described = re.findall(r"^([a-z-]+):.*## \S", MAKEFILE, re.MULTILINE)
    assert set(described) == set(phony.split())
    assert described[0] == "help"
