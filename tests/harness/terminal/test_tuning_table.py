"""What `harness tune` prints."""

from __future__ import annotations

import pytest
from rich.console import Console
from tuning_facts import raced

from freewalk.harness.terminal import tuning_table
from freewalk.results.analysis.tuning import tuned_table
from freewalk.results.base.numbers import MISSING
from freewalk.results.report.tuning_view import tuning_views


def test_a_table_for_each_task(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tuning_table, "make_console", lambda: Console(width=100))
    facts, trials = raced(
        {"and": {"walk": [900, -1000], "node": [200, 100]}, "xor": {"walk": [-7, -7]}},
        settings={"learning_rate": 0.3, "stddev": 0.1, "batch_size": 32, "optimizer": "momentum"},
        edges=("learning_rate at its upper edge",),
        tuning_evaluations=31e6,
    )
    tuning_table.print_tuning(tuning_views(facts, tuned_table(facts, trials)))
    lines = capsys.readouterr().out.splitlines()
    assert lines.index("and: undecided") < lines.index("xor: not learned")
    rows = [line.split() for line in lines]
    (walk,) = [row for row in rows if row[:1] == ["walk"] and "1/2" in row]
    assert {"1,900", MISSING, "31,000,000"} <= set(walk)
    (never,) = [row for row in rows if row[:1] == ["walk"] and "0/2" in row]
    assert "never" in never
    assert all(len(line) <= 100 for line in lines if "─" in line or "/2 " in line)
    assert any(line.startswith("  node learns and at the least cost: 150 evaluations") for line in lines)
    assert any("--extend searches on there." in line for line in lines)
