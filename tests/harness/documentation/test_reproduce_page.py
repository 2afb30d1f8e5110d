"""docs/reproduce.md: its examples run as they stand there, and its tables have every key."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

from freewalk.harness.plan.settings import RunSettings
from freewalk.harness.reproducing.document import KNOWN, CheckTable, CommandTable, Reproduction, Scale
from freewalk.results.analysis.reproduction import Verdict
from freewalk.results.tables.arithmetic import _FUNCTIONS

Harness = Callable[..., Any]
TEXT = (Path(__file__).parents[3] / "docs" / "reproduce.md").read_text(encoding="utf-8")
FILES = re.findall(r"`([\w-]+\.(?:toml|py))`[^`]*\n\n```(?:toml|python)\n(.*?)```", TEXT, re.DOTALL)
COMMANDS = re.findall(r"^harness (reproduce [\w-]+\.toml .*)$", TEXT, re.MULTILINE)


def keys_of(heading: str) -> list[str]:
    """Return what stands in the first column of a section's table of keys, without brackets."""
    section = re.split(r"^#+ ", TEXT.split(f"\n### {heading}\n")[1], maxsplit=1, flags=re.MULTILINE)[0]
    cells = re.findall(r"^\| (`.*?) \|", section, re.MULTILINE)
    return [name.strip("[]").removeprefix("quick.") for cell in cells for name in re.findall(r"`([^`]*)`", cell)]


@pytest.mark.parametrize(
    ("heading", "kind"),
    [
        ("The file", Reproduction),
        ("`[quick]` and `[paper]`", Scale),
        ("`[[command]]`", CommandTable),
        ("`[[check]]`", CheckTable),
    ],
)
def test_the_tables_have_every_key(heading: str, kind: type[BaseModel]) -> None:
    assert sorted(keys_of(heading)) == sorted({*kind.model_fields} - {"name", "path"})


def test_the_words_are_those_of_the_program() -> None:
    for word in (*KNOWN, *RunSettings.model_fields, *_FUNCTIONS):
        assert f"`{word}`" in TEXT
    for verdict in Verdict:
        assert f"| {verdict} |" in TEXT


def test_the_examples_run_as_they_stand_there(harness: Harness, tmp_path: Path) -> None:
    assert [name for name, _ in FILES] == ["guessing-and.toml", "majority.py", "majority.toml"]
    for name, text in FILES:
        (tmp_path / name).write_text(text, encoding="utf-8")
    assert len(COMMANDS) == 2
    found = {}
    for line in COMMANDS:
        result = harness(*line.split())
        assert result.code == 0, result.err
        (one,) = json.loads(result.out)
        assert one["verdict"] == "reproduced"
        found |= {check["claim"]: check for check in one["checks"]}
    shown = re.search(r"`reproduced`: ([\d.]+) guesses \(([\d.]+) to ([\d.]+)\)", TEXT)
    assert shown is not None
    guesses = found["guesses until one computes AND, mean"]
    wanted = [guesses["estimate"], guesses["low"], guesses["high"]]
    assert [float(part) for part in shown.groups()] == pytest.approx(wanted, rel=0.01)
    shown = re.search(r"the walk needs ([\d.]+) times the evaluations \(([\d.]+) to ([\d.]+)\)", TEXT)
    assert shown is not None
    ratio = found["evaluations of the walk over those of backpropagation"]
    wanted = [ratio["estimate"], ratio["low"], ratio["high"]]
    assert [float(part) for part in shown.groups()] == pytest.approx(wanted, rel=0.02)
