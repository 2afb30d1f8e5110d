"""The pages of docs/ say what happens: their commands run, and print what stands there."""

from __future__ import annotations

import contextlib
import io
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import freewalk
from freewalk.harness import cli
from freewalk.harness.drop_in.keys import LATER, ORIGINAL, rows

ROOT = Path(__file__).parents[3]
PAGES = [ROOT / "docs" / name for name in ("drop-in.md", "weights.md", "maximize.md")]
NUMBER = re.compile(r"-?\d[\d,]*(?:\.\d*)?(?:e-?\d+)?")


def blocks(page: Path) -> Iterator[tuple[str, str]]:
    yield from re.findall(r"```(\w+)\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL)


def run_commands(text: str, folder: Path) -> str:
    """Run the lines of a sh block; those that run other tests are left to themselves."""
    said = ""
    for line in text.replace("\\\n", " ").splitlines():
        program, *arguments = shlex.split(line, comments=True)
        if arguments[:2] == ["-m", "pytest"]:
            assert (ROOT / arguments[2]).exists()
            continue
        if program == "harness":
            out, err = io.StringIO(), io.StringIO()
            with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
                assert cli.run(arguments) == 0, err.getvalue()
            said += out.getvalue()
            continue
        assert program == "python"
        arguments[0] = str(ROOT / arguments[0])
        environment = {**os.environ, "PYTHONPATH": str(Path(freewalk.__file__).parents[1])}
        command = [sys.executable, *arguments]
        said += subprocess.run(command, cwd=folder, env=environment, text=True, capture_output=True, check=True).stdout
    return said


def run_python(text: str) -> str:
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        exec(compile(text, "block", "exec"), {"__name__": "block"})
    return out.getvalue()


def shape_of(text: str) -> list[str]:
    """Return the words, numbers as # and times left out: they depend on the machine."""
    return NUMBER.sub("#", re.sub(r"\d[\d,.]* (m?s|min)\b", "TIME", text)).split()


def numbers_of(text: str) -> list[float]:
    without_times = re.sub(r"\d[\d,.]* (m?s|min)\b", "TIME", text)
    return [float(number.replace(",", "")) for number in NUMBER.findall(without_times)]


@pytest.mark.parametrize(
    "page",
    [pytest.param(page, id=page.stem, marks=[pytest.mark.slow] if page.stem == "drop-in" else []) for page in PAGES],
)
def test_what_a_page_shows_is_what_happens(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    said, shown = "", 0
    for kind, content in blocks(page):
        if kind == "sh":
            said += run_commands(content, tmp_path)
        elif kind == "python":
            said += run_python(content)
        else:
            assert kind == "text"
            assert shape_of(said) == shape_of(content), said
            assert numbers_of(said) == pytest.approx(numbers_of(content), rel=0.02, abs=1e-3), said
            said, shown = "", shown + 1
    assert not said, "everything that is printed is shown"
    assert shown


def test_the_tables_of_keys() -> None:
    page = PAGES[0].read_text(encoding="utf-8")
    assert rows(ORIGINAL) in page
    assert rows(LATER) in page


def test_the_code_of_the_methods_page_runs_from_top_to_bottom() -> None:
    blocks_of_python = [content for kind, content in blocks(ROOT / "docs" / "methods.md") if kind == "python"]
    known: dict[str, Any] = {"__name__": "page"}
    for content in blocks_of_python:
        exec(compile(content, "methods.md", "exec"), known)
    assert {"CLIMB", "CLIPPED", "perturbations", "walk"} <= {*known}
    assert known["walk"].losses(known["x"], known["y"]).mean() < 0.2, "the walk on a model of one's own learns"
