"""docs/tables.md is what the schemas say."""

import subprocess
import sys
from pathlib import Path

import pytest
from tables_page import tables_page

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
