"""docs/benchmarks/reproductions.md and .csv: every published result at both scales; what no longer holds is named."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import reproductions_page as maker

from freewalk import read_table
from freewalk.harness.reproducing.document import FOLDER, read_reproduction
from freewalk.harness.reproducing.files import JSON, write_files
from freewalk.results.base.numbers import between

PUBLISHED = sorted(FOLDER.glob("*.toml"))


def _verdict(**more: Any) -> dict[str, Any]:
    words = dict.fromkeys(("title", "source", "address", "claim", "notes", "changed", "command", "machine"), "words")
    check = dict.fromkeys(("published_low", "published_high", "above", "below"), None)
    check |= {"claim": "its number", "published": 2.0, "known": "source", "estimate": 2.1, "low": 1.9, "high": 2.3}
    found = {"name": "one", "scale": "quick", "verdict": "reproduced", "seconds": 3.0, "n_failed": 0}
    return {**words, **found, "date": "2026-11-30", "checks": [{**check, "n": 9, "holds": True}], **more}


def test_the_committed_table_has_every_published_result_at_both_scales() -> None:
    table = read_table(maker.TABLE, "reproductions")
    rows = set(zip(table["reproduction"], table["scale"], table["claim"], strict=True))
    wanted = set()
    for path in PUBLISHED:
        one = read_reproduction(path)
        wanted |= {(one.name, scale, check.claim) for scale in one.scales for check in one.checks(scale)}
    assert rows == wanted


@pytest.mark.parametrize("path", PUBLISHED, ids=lambda path: path.stem)
def test_the_committed_page_has_a_section_for_each(path: Path) -> None:
    one, page = read_reproduction(path), maker.PAGE.read_text(encoding="utf-8")
    assert f"## {one.title}\n" in page
    assert f"(#{maker._anchor(one.title)})" in page
    assert one.claim in page


def test_a_page_is_made_of_verdicts(tmp_path: Path) -> None:
    both = [_verdict(), _verdict(scale="paper", verdict="not reproduced", seconds=600.0)]
    write_files(tmp_path, both)
    page = "".join(maker.reproductions_page(json.loads((tmp_path / JSON).read_text(encoding="utf-8"))))
    assert "| [words](#words) | reproduced, 3 s | not reproduced, 10 min |" in page
    here = f"2.1 ({between('1.9', '2.3')})"
    assert f"| its number | 2 | {here} | {here} |" in page


def test_what_no_longer_holds_is_named(tmp_path: Path) -> None:
    before, after = tmp_path / "before", tmp_path / "after"
    for folder, holds in ((before, True), (after, False)):
        folder.mkdir()
        write_files(folder, [_verdict(checks=[{**_verdict()["checks"][0], "holds": holds}])])
    assert maker.lost_checks(before / maker.TABLE.name, after) == ["one, quick: its number: 2.1"]
    assert maker.lost_checks(after / maker.TABLE.name, before) == []
    assert maker.lost_checks(before / maker.TABLE.name, before) == []
