"""docs/presets.md is what the presets say."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from presets_page import presets_page

from freewalk.harness.parameters.presets.relatives import RELATIVES

DOCS = Path(__file__).parents[3] / "docs"


def test_the_page_is_current() -> None:
    command = "python docs/make/presets_page.py > docs/presets.md"
    assert (DOCS / "presets.md").read_text(encoding="utf-8") == presets_page(), f"make it again: {command}"


def test_the_command_prints_the_page() -> None:
    command = [sys.executable, str(DOCS / "make" / "presets_page.py")]
    found = subprocess.run(command, capture_output=True, text=True, check=True)
    assert found.stdout == presets_page()


def test_every_preset_is_named_where_grids_are_explained() -> None:
    text = (DOCS / "sweeps.md").read_text(encoding="utf-8")
    for name in RELATIVES:
        assert f"`{name}`" in text
        assert f"\n## {name}\n" in presets_page()
