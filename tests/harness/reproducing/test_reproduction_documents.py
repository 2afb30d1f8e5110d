"""Every reproduction that comes with the program: it is read, says what it has to, and can be planned and judged."""

from __future__ import annotations

import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from freewalk.harness.reproducing.document import FOLDER, KNOWN, SCALES, find, known_reproductions, read_reproduction
from freewalk.harness.reproducing.run import Run

Harness = Callable[..., Any]
NAMES = known_reproductions()
RUNS = [(name, scale) for name in NAMES for scale in read_reproduction(find(name)).scales]


def test_there_are_some() -> None:
    assert len(NAMES) >= 20
    assert {path.stem for path in FOLDER.glob("*.toml")} == {*NAMES}


@pytest.mark.parametrize("name", NAMES)
def test_it_says_what_was_published_and_how_that_is_known(name: str) -> None:
    one = read_reproduction(find(name))
    assert (one.name, one.called) == (name, name)
    for text in (one.title, one.source, one.claim, one.notes):
        assert text.strip() == text
        assert len(text) > 10
    assert one.known in KNOWN
    assert one.address == "" or one.address.startswith("https://")
    assert {check.scale for check in one.check} <= {None, *SCALES}
    for check in one.check:
        assert len(check.claim) > 3
        assert (check.published_low is None) == (check.published_high is None), "an interval has two ends"
    assert "quick" in one.scales
    for plugin in one.plugins:
        assert (one.path.parent / plugin).is_file()


@pytest.mark.parametrize(("name", "scale"), RUNS)
def test_it_says_how_long_it_takes(name: str, scale: str) -> None:
    seconds = read_reproduction(find(name)).scale(scale).seconds  # type: ignore[arg-type]
    assert seconds is not None, "measure it"
    assert seconds > 0


def test_no_two_have_one_title() -> None:
    titles = [read_reproduction(find(name)).title for name in NAMES]
    assert len(titles) == len(set(titles))


@pytest.mark.parametrize("name", NAMES)
def test_no_line_is_idle(name: str) -> None:
    """A grid or a command above the scales that every scale replaces would run nowhere."""
    document = tomllib.loads(find(name).read_text(encoding="utf-8"))
    one = read_reproduction(find(name))
    for key in ("grid", "command"):
        replaced = [scale for scale in one.scales if getattr(one.scale(scale), key)]
        assert key not in document or len(replaced) < len(one.scales), key


@pytest.mark.parametrize(("name", "scale"), RUNS)
def test_it_can_be_planned_and_its_checks_name_columns_that_there_are(name: str, scale: str, tmp_path: Path) -> None:
    run = Run(read_reproduction(find(name)), scale, tmp_path / "run")  # type: ignore[arg-type]
    assert run.sweep is not None or run.commands
    assert run.sweep is None or len(run.sweep.plan.trials) > 0
    assert [*tmp_path.iterdir()] == [], "nothing is written before it runs"


def test_one_runs(harness: Harness) -> None:
    result = harness("reproduce", "xor-backprop", "--out", "out")
    assert result.code == 0, result.err
    assert "not reproduced" not in result.out
    assert "reproduced" in result.out
