"""docs/method-cards.md is what the methods say."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from method_cards_page import method_cards_page

DOCS = Path(__file__).parents[3] / "docs"


def test_the_page_is_what_the_command_prints() -> None:
    command = [sys.executable, str(DOCS / "make" / "method_cards_page.py")]
    found = subprocess.run(command, capture_output=True, text=True, check=True)
    again = "make it again: python docs/make/method_cards_page.py > docs/method-cards.md"
    assert (DOCS / "method-cards.md").read_text(encoding="utf-8") == found.stdout, again


def test_formulas_are_escaped_but_not_in_code() -> None:
    page = method_cards_page()
    assert "\\|delta\\_t\\|^2" in page
    assert "| datapoints of a step, `batch_size` |" in page
    assert "`datapoints`" in page
