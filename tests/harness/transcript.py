"""Pages with commands and what they print: read, run, compare, rewrite.

`python tests/harness/transcript.py docs/tutorial.md` runs a page's commands in an empty folder and rewrites what
they print.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

_FENCED = re.compile(
    r"(?:<!-- (?P<file>\S+) -->\n)?^```(?P<language>\w+)\n(?P<text>.*?)^```$"
    r"(?P<output>\n\n^```text\n(?P<printed>.*?)^```$)?",
    re.MULTILINE | re.DOTALL,
)
_DURATION = re.compile(r"\d[\d.,]* (?:µs|ms|s|min|h)\b")

_OF_THE_READER = re.compile(r"HARNESS_.*|COLUMNS|LINES|NO_COLOR|FORCE_COLOR")
"""Variables of the environment that change what commands do or print."""


class Block(NamedTuple):
    """A fenced block that is a file, or a program with what it prints."""

    language: str
    text: str
    file: str | None
    printed: str | None
    """None for a program that is not run."""


def blocks(page: str) -> list[Block]:
    """Return a page's files and programs in their order."""
    return [Block(m["language"], m["text"], m["file"], m["printed"]) for m in _FENCED.finditer(page)]


def outputs(page: list[Block], folder: Path) -> Iterator[tuple[Block, str]]:
    """Write a page's files and run its programs in a folder; yield each program with what it prints to stdout."""
    environment = {name: value for name, value in os.environ.items() if not _OF_THE_READER.fullmatch(name)}
    environment["HARNESS_NO_DEFAULTS"] = "1"
    environment["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    for block in page:
        if block.file is not None:
            (folder / block.file).write_text(block.text, encoding="utf-8")
        if block.printed is None:
            continue
        command = [sys.executable, "-c", block.text] if block.language == "python" else ["bash", "-ec", block.text]
        done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
        if done.returncode:
            raise RuntimeError(f"exit code {done.returncode} of:\n{block.text}{done.stderr}")
        yield block, _tidy(done.stdout)


def _tidy(text: str) -> str:
    return "".join(f"{line.rstrip()}\n" for line in text.strip("\n").splitlines())


def timeless(text: str) -> list[list[str]]:
    """Return the words of each line, durations replaced, so that pages from two machines can be compared."""
    lines = (_DURATION.sub("TIME", line).replace("─", " ").split() for line in text.splitlines())
    return [line for line in lines if line]


def rewritten(page: str, folder: Path) -> str:
    """Return the page with what its programs print now."""
    printed = iter([text for _, text in outputs(blocks(page), folder)])

    def replace(match: re.Match[str]) -> str:
        if match["output"] is None:
            return match[0]
        start = match.start("printed") - match.start()
        return f"{match[0][:start]}{next(printed)}```"

    return _FENCED.sub(replace, page)


def main() -> None:
    """Rewrite the pages named on the command line."""
    for name in sys.argv[1:]:
        path = Path(name)
        with tempfile.TemporaryDirectory() as folder:
            path.write_text(rewritten(path.read_text(encoding="utf-8"), Path(folder)), encoding="utf-8")


if __name__ == "__main__":
    main()
