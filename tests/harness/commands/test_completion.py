"""Completion as a shell asks for it: bash, zsh and fish, by either name of the program."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

import freewalk

PROGRAM = "import sys; sys.argv[0] = {name!r}; from freewalk.harness.cli import main; main()"


def ask(folder: Path, name: str = "harness", **environment: str) -> subprocess.CompletedProcess[str]:
    """Run the program as a shell does that completes."""
    source = str(Path(freewalk.__file__).parents[1])
    return subprocess.run(
        [sys.executable, "-c", PROGRAM.format(name=name)],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": source, **environment},
        capture_output=True,
        text=True,
        check=False,
    )


def completed(folder: Path, line: str, shell: str = "bash") -> list[str]:
    """Return what the shell is offered for the last word of a line."""
    words = line.split(" ")
    place = {"fish": words[-1]}.get(shell, str(len(words) - 1))
    done = ask(folder, COMP_WORDS=line, COMP_CWORD=place, _HARNESS_COMPLETE=f"{shell}_complete")
    assert done.stderr == ""
    lines = done.stdout.splitlines()
    if shell == "zsh":  # three lines each: kind, text, help
        return lines[1::3]
    return [one.partition(",")[2].partition("\t")[0] for one in lines]


@pytest.mark.parametrize(
    ("line", "among"),
    [
        ("harness sw", "sweep"),
        ("harness sweep --fail", "--fail-fast"),
        ("harness sweep --std", "--stddev"),
        ("harness train --batch", "--batch-size"),
        ("harness sweep --task x", "xor"),
        ("harness sweep --method wa", "walk"),
        ("harness sweep --grid st", "stddev="),
        ("harness sweep --grid quick", "quickstart"),
        ("harness sweep --grid me", "mezo"),
        ("harness train --preset me", "mezo"),
        ("harness train --noise r", "rademacher"),
        ("harness sweep --backend cu", "cuda"),
        ("harness show o --table cu", "curves"),
        ("harness methods wa", "walk"),
        ("harness reproduce xor", "xor-backprop"),
        ("harness report ", "o"),
        ("harness compare o ru", "runs/"),
        ("harness status runs/", "runs/x"),
    ],
)
def test_what_is_completed(tmp_path: Path, line: str, among: str) -> None:
    for folder in ("o", "runs/x", "none"):
        (tmp_path / folder).mkdir(parents=True)
    for folder in ("o", "runs/x"):
        (tmp_path / folder / "trials.csv").touch()
    assert among in completed(tmp_path, line)
    assert "none" not in completed(tmp_path, line)


@pytest.mark.parametrize("shell", ["zsh", "fish"])
def test_other_shells(tmp_path: Path, shell: str) -> None:
    assert completed(tmp_path, "harness sweep --grid noise=r", shell) == ["noise=rademacher"]
    assert "xor" in completed(tmp_path, "harness tasks x", shell)


def test_bash_takes_a_key_and_its_value_for_three_words(tmp_path: Path) -> None:
    assert completed(tmp_path, "harness sweep --grid noise = ") == ["gaussian", "rademacher"]
    assert completed(tmp_path, "harness sweep --grid noise = r") == ["rademacher"]
    assert completed(tmp_path, "harness sweep --grid noise = gaussian,r") == ["gaussian,rademacher"]


@pytest.mark.parametrize("name", ["harness", "freewalk"])
@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_either_name_of_the_program(tmp_path: Path, name: str, shell: str) -> None:
    done = ask(tmp_path, name, **{f"_{name.upper()}_COMPLETE": f"{shell}_source"})
    assert (done.returncode, done.stderr) == (0, "")
    assert f"_{name.upper()}_COMPLETE={shell}_complete" in done.stdout


def test_it_loads_no_kernels(tmp_path: Path) -> None:
    code = (
        "import sys, os, atexit\n"
        "atexit.register(lambda: print('HEAVY', sorted({'numba', 'pandas', 'scipy', 'rich'} & set(sys.modules))))\n"
    )
    environment = {"COMP_WORDS": "harness sweep --grid st", "COMP_CWORD": "3", "_HARNESS_COMPLETE": "bash_complete"}
    done = subprocess.run(
        [sys.executable, "-c", code + PROGRAM.format(name="harness")],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(Path(freewalk.__file__).parents[1]), **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    assert "plain,stddev=" in done.stdout
    assert "HEAVY []" in done.stdout
