"""Whatever becomes of the terminal, the log or the pipe: results are whole, and no traceback is shown."""

import errno
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import pytest
from commanded import TINY
from disturbed import SLOW, states, wait_until

from freewalk.harness import cli
from freewalk.results.base.text import cell_text, printable

MAIN = f"{sys.executable} -c 'from freewalk.harness.cli import main; main()'"
Shell = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def shell(tmp_path: Path) -> Shell:
    """Run a line of bash in which HARNESS is the command; files go to the test's folder."""

    def run(line: str, **environment: str) -> subprocess.CompletedProcess[str]:
        line = line.replace("TINY", " ".join(f"'{word}'" for word in TINY)).replace("HARNESS", MAIN)
        return subprocess.run(
            ["bash", "-c", line],
            cwd=tmp_path,
            env={**os.environ, **environment},
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )

    return run


@pytest.mark.parametrize(
    "streams",
    [
        *("2>/dev/full >/dev/null", ">&- 2>&- <&-", "2>&1 | head -c 1"),
        *(
            pytest.param(streams, marks=pytest.mark.slow)
            for streams in ("2>&- >/dev/null", ">&-", "2> >(exit 0) >/dev/null", "> >(exit 0)", "2>&1 | true")
        ),
    ],
)
def test_a_sweep_runs_to_its_end_whatever_becomes_of_its_display(shell: Shell, tmp_path: Path, streams: str) -> None:
    done = shell(f"HARNESS sweep TINY --out out {streams}; exit ${{PIPESTATUS[0]}}")
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stdout + done.stderr
    assert states(tmp_path / "out") == {"complete": 8}
    assert (tmp_path / "out" / "summary.csv").exists()


@pytest.mark.parametrize("command", ["tasks", "sweep TINY --out out", "--help"])
def test_output_that_is_lost_is_one_line_and_exit_code_2(shell: Shell, command: str) -> None:
    done = shell(f"HARNESS {command} >/dev/full")
    assert done.returncode == 2
    last = done.stderr.splitlines()[-1]
    assert last == f"harness: error: cannot write to standard output: {os.strerror(errno.ENOSPC)}; send it elsewhere"
    assert "Traceback" not in done.stderr


def test_a_reader_that_has_enough_is_no_error(shell: Shell) -> None:
    done = shell(
        "HARNESS sweep TINY --out out --quiet && HARNESS show out --table curves --csv | head -1; exit $PIPESTATUS"
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.count("\n") == 1


def test_a_full_pipe_that_does_not_block_is_waited_for(tmp_path: Path, process: Any) -> None:
    """As a terminal that another program has made non-blocking."""
    read, write = os.pipe()
    os.set_blocking(write, False)
    command = [
        sys.executable,
        "-c",
        "from freewalk.harness.base.streams import guard_streams as g; g(); print('x' * 300_000)",
    ]
    with subprocess.Popen(command, stdout=write, stderr=subprocess.PIPE) as child:
        os.close(write)
        with os.fdopen(read, "rb") as reader:
            assert len(reader.read()) == 300_001
        assert child.stderr is not None
        assert child.stderr.read() == b""


def test_a_character_that_the_terminal_lacks_is_escaped(shell: Shell) -> None:
    done = shell(r"HARNESS show $'caf\xe9 \u2713'", PYTHONIOENCODING="ascii", PYTHONUTF8="0", LC_ALL="C")
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    assert done.stderr.count("\n") == 1
    assert "\\u2713" in done.stderr


def test_closed_streams_do_not_lend_their_descriptors_to_files(shell: Shell, tmp_path: Path) -> None:
    script = "from freewalk.harness.base.streams import guard_streams as g; g(); import os; file = open('file', 'w')"
    check = "assert file.fileno() > 2; os.write(2, b'from a library')"
    done = shell(f'{sys.executable} -c "{script}; {check}" <&- >&- 2>&-')
    assert done.returncode == 0
    assert (tmp_path / "file").read_bytes() == b""


@pytest.mark.parametrize("options", [(), pytest.param(("--quiet",), marks=pytest.mark.slow)], ids=["lines", "quiet"])
def test_a_hang_up_ends_a_sweep_like_ctrl_c(
    process: Any, harness: Any, tmp_path: Path, options: tuple[str, ...]
) -> None:
    running = process("sweep", *SLOW, "--out", "out", *options)
    wait_until((tmp_path / "out" / "sweep.sqlite").exists, running)
    wait_until(lambda: states(tmp_path / "out").get("complete", 0) > 0, running)
    running.send(signal.SIGHUP)
    result = running.finish()
    assert result.code == 130, result.err
    assert result.err.splitlines()[-1].startswith("harness: interrupted; the same command resumes")
    assert (tmp_path / "out" / "trials.csv").exists()


def test_a_hang_up_that_the_caller_ignores_is_ignored(shell: Shell, tmp_path: Path) -> None:
    done = shell("trap '' HUP; HARNESS sweep TINY --epochs 400 --out out & sleep 1; kill -HUP $!; wait $!")
    assert done.returncode == 0, done.stderr
    assert states(tmp_path / "out") == {"complete": 8}


def test_an_error_of_the_machine_is_one_line_wherever_it_is_met(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(**_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "disk/fi\nle\x1b[2J")

    monkeypatch.setattr(cli.harness, "main", fail)
    assert cli.run(["tasks"]) == 2
    line = r"harness: error: disk/fi\nle\x1b[2J: No space left on device; mend that, then give the same command again"
    assert capsys.readouterr().err == line + "\n"


def test_a_broken_pipe_that_is_no_standard_stream_is_one_line_too(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(*_: object) -> None:
        raise BrokenPipeError(errno.EPIPE, os.strerror(errno.EPIPE))

    monkeypatch.setattr(click.Group, "invoke", fail)
    assert cli.run(["tasks"]) == 2
    assert capsys.readouterr().err == "harness: error: Broken pipe; mend that, then give the same command again\n"


def test_the_end_of_a_file_is_not_taken_for_ctrl_c(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise EOFError("Ran out of input")

    monkeypatch.setattr(cli.harness, "invoke", fail)
    with pytest.raises(EOFError):
        cli.run(["tasks"])


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain ünïcode ✓", "plain ünïcode ✓"),
        ("\x1b[2J\x1b]0;title\x07", r"\x1b[2J\x1b]0;title\x07"),
        ("\x9b31m", r"\x9b31m"),
        ("a\rb\x08\x7f", r"a\rb\x08\x7f"),
        ("exe.\u202etxt", r"exe.\u202etxt"),
        ("two\nlines\tand a tab", "two\nlines\tand a tab"),
    ],
)
def test_what_a_terminal_would_obey_is_shown(text: str, shown: str) -> None:
    assert printable(text) == shown


@pytest.mark.parametrize("formula", ["=1+1", "@SUM(A1)", "+cmd|' /C calc'!A0", "-1+cmd", "\t=1"])
def test_a_formula_is_text(formula: str) -> None:
    assert cell_text(formula) == f"'{formula}"


@pytest.mark.parametrize("text", ["2-5-1", "-5", "+1e-3", "-0.5", "ValueError: =1", ""])
def test_other_texts_stay_as_they_are(text: str) -> None:
    assert cell_text(text) == text
