"""docs/tables.md is what the schemas say."""

import io
import subprocess
import sys
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from tables_page import BY_HAND_EXAMPLE, tables_page

from freewalk.harness.parameters.parameters import PARAMETERS
from freewalk.results.schema.schema import TABLES, Outcome, TableName

DOCS = Path(__file__).parents[3] / "docs"


def test_the_page_is_current() -> None:
    command = "python docs/make/tables_page.py > docs/tables.md"
    assert (DOCS / "tables.md").read_text(encoding="utf-8") == tables_page(), f"make it again: {command}"


def test_the_command_prints_the_page() -> None:
    command = [sys.executable, str(DOCS / "make" / "tables_page.py")]
    found = subprocess.run(command, capture_output=True, text=True, check=True)
    assert found.stdout == tables_page()


@pytest.mark.parametrize("table", TABLES)
def test_every_column_of_every_table_is_described(table: TableName) -> None:
    section = tables_page().split(f"\n## {table}\n")[1].split("\n## ")[0]
    for column in TABLES[table]:
        assert f"| `{column.name}` | {column.dtype} | {column.unit} | " in section
        assert len(column.description) > 4, column.name


def test_every_word_and_parameter_is_described() -> None:
    page = tables_page()
    for outcome in Outcome:
        assert f"- `{outcome}`: " in page
    for name in PARAMETERS:
        assert f"| `param_{name}` | " in page


def test_the_table_made_by_hand_is_reported(harness: Any, tmp_path: Path) -> None:
    assert f"```text\n{BY_HAND_EXAMPLE}```" in tables_page()
    (tmp_path / "trials.csv").write_text(BY_HAND_EXAMPLE)
    said = harness("report", "trials.csv")
    assert (said.code, said.err) == (0, "")
    assert "ours reached the target in 3 of 3 trials" in said.out
    assert "theirs reached it in 2 of 3 trials" in said.out
    assert harness("show", "trials.csv", "--table", "trials").code == 0
    assert "B / A" in harness("compare", "trials.csv", ".").out


@pytest.mark.parametrize("column", [name for line in BY_HAND_EXAMPLE.splitlines()[:1] for name in line.split(",")])
def test_what_is_said_to_be_needed_is(harness: Any, tmp_path: Path, column: str) -> None:
    frame = pd.read_csv(io.StringIO(BY_HAND_EXAMPLE)).drop(columns=column)
    frame.to_csv(tmp_path / "trials.csv", index=False)
    result = harness("report", "trials.csv")
    is_needed = not column.startswith("param_")
    assert result.code == (2 if is_needed else 0)
    assert (f"it has no column {column!r}" in result.err) == is_needed
    assert f"`{column}`" in tables_page().partition("## A table made by hand")[2].partition("```")[0] or not is_needed
