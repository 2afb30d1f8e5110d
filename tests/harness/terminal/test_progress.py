"""What a person sees: lines without a terminal, a live display on one, and nothing left behind."""

import fcntl
import io
import os
import pty
import re
import select
import signal
import struct
import sys
import termios
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest
from rich.console import Console

from freewalk.harness.plan.configuration import resolve
from freewalk.harness.plan.plan import Trial
from freewalk.harness.plan.registry import BuiltInRegistry
from freewalk.harness.sweep import Opened, Sweep
from freewalk.harness.terminal import progress as progress_module
from freewalk.harness.terminal.progress import make_progress
from freewalk.harness.terminal.tally import Tally
from freewalk.harness.trial.events import Advanced, Failed, Finished, Standing, Started
from freewalk.harness.trial.watch import TrialResult

ESCAPE = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
COMMAND = "import sys; from freewalk.harness.cli import main; main()"
HIDE, SHOW = "\x1b[?25l", "\x1b[?25h"

# Long enough for the display to be drawn a few times.
VISIBLE = (
    *("--task", "sign", "--seeds", "0:8", "--epochs", "10", "--steps-per-epoch", "10", "--target", "0.9"),
    *("--grid", "stddev=0.01,1", "--grid", "batch_size=10_000", "--grid", "hidden=30", "--grid", "optimizer=sgd"),
)


def sweep_of(folder: Path, *specs: str, seeds: str = "0:4") -> Sweep:
    made = resolve(specs, registry=BuiltInRegistry(), tasks=["xor"], seeds=seeds, epochs=10, steps_per_epoch=100)
    return Sweep(made, folder)


def opened_for(sweep: Sweep, n_before: int = 0) -> Opened:
    return Opened(sweep.plan.trials[n_before:], len(sweep.plan.trials), 0)


def result(*, reached: bool = False, evaluations: int = 100, steps: int = 2000, seconds: float = 1.0) -> TrialResult:
    fields = {"reached": reached, "evaluations": evaluations, "steps": steps}
    return TrialResult({**fields, "train_seconds": seconds, "evaluation_seconds": 0.0}, [])


def advanced(trials: Sequence[Trial], step: int, seconds: float, loss: float | None = 0.25) -> Advanced:
    return Advanced(tuple(Standing(trial, step, loss, seconds) for trial in trials))


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    now = [0.0]
    monkeypatch.setattr(progress_module.time, "perf_counter", lambda: now[0])
    return now


def test_time_left_weighs_trials_by_what_they_take(tmp_path: Path, clock: list[float]) -> None:
    sweep = sweep_of(tmp_path, "batch_size=1000,10000", seeds="0:2")
    small, _, large, _ = sweep.plan.trials
    tally = Tally(sweep, opened_for(sweep))
    assert tally.seconds_left is None
    assert tally.line() == "0/4 trials, 0 reached"
    clock[0] = 100.0
    tally.add(Started(small))
    assert tally.seconds_left is None, "the clock starts here, when compilation lies behind"
    clock[0] = 101.0
    tally.add(Finished(small, result()))
    # One small trial took a second: another and two of ten times the work are left.
    assert tally.seconds_left == pytest.approx(21.0, rel=0.01)
    clock[0] = 111.0
    tally.add(Finished(large, result(reached=True, seconds=10.0)))
    assert tally.seconds_left == pytest.approx(11.0, rel=0.01)
    assert tally.line() == "2/4 trials, 1 reached, at most 11 s left, 0.18 trials/s"


def test_with_a_budget_of_evaluations_trials_of_all_batches_weigh_the_same(tmp_path: Path, clock: list[float]) -> None:
    specs, options = ["batch_size=1000,10000"], {"tasks": ["xor"], "seeds": "0:1", "evaluations": 10**6}
    sweep = Sweep(resolve(specs, registry=BuiltInRegistry(), **options), tmp_path)  # type: ignore[arg-type]
    tally = Tally(sweep, opened_for(sweep))
    tally.add(Started(sweep.plan.trials[0]))
    clock[0] = 7.0
    tally.add(Finished(sweep.plan.trials[0], result(steps=333)))
    assert tally.seconds_left == pytest.approx(7.0, rel=0.03)


def test_trials_under_way_set_the_pace_and_move_the_bar(tmp_path: Path, clock: list[float]) -> None:
    sweep = sweep_of(tmp_path, "batch_size=1000", seeds="0:4")
    first, second, _, _ = sweep.plan.trials
    tally = Tally(sweep, opened_for(sweep))
    tally.add(Started(first))
    tally.add(Started(second))
    clock[0] = 5.0  # loading, which is no pace
    tally.add(advanced([first, second], 100, 0.5))
    assert tally.seconds_left is None
    clock[0] = 7.0
    tally.add(advanced([first, second], 500, 2.5))
    # 2 x 400 steps in 2 s; 2 x 500 and 2 x 1,000 are left of the 1,000 each
    assert tally.seconds_left == pytest.approx(7.5, rel=0.02)
    assert tally.share == pytest.approx(0.25, rel=0.05)
    assert tally.line() == (
        "0/4 trials, 0 reached, at most 7.5 s left; step 500 of 1,000, loss 0.25 (median of 2 running)"
    )
    tally.add(advanced([second], 700, 3.5, loss=0.01))
    tally.add(Finished(first, result(steps=500, reached=True, seconds=2.5)))
    assert tally.under_way() == ["step 700 of 1,000", "loss 0.01"]
    assert "about" in tally.line(), "one has ended early, others may"


def test_a_step_without_a_look_or_a_finite_loss_shows_no_loss(tmp_path: Path) -> None:
    sweep = sweep_of(tmp_path)
    tally = Tally(sweep, opened_for(sweep))
    tally.add(advanced(sweep.plan.trials[:2], 10, 1.0, loss=None))
    assert tally.under_way() == ["step 10 of 1,000 (median of 2 running)"]
    tally.add(advanced(sweep.plan.trials[:1], 20, 1.0, loss=float("inf")))
    tally.add(Failed(sweep.plan.trials[1], "ValueError: no"))
    assert tally.under_way() == ["step 20 of 1,000"]
    tally.add(Failed(sweep.plan.trials[0], "ValueError: no"))
    assert tally.under_way() == []


def test_a_trial_that_goes_on_does_not_hurry_the_clock(tmp_path: Path, clock: list[float]) -> None:
    sweep = sweep_of(tmp_path, "batch_size=1000", seeds="0:1")
    (trial,) = sweep.plan.trials
    tally = Tally(sweep, Opened([trial], 1, 0, {trial.trial_id: 500}))
    tally.add(advanced([trial], 510, 51.0))
    clock[0] = 10.0
    tally.add(advanced([trial], 610, 61.0))
    assert tally.seconds_left == pytest.approx(39.0, rel=0.02)


def test_trials_of_earlier_runs_count_but_set_no_pace(tmp_path: Path) -> None:
    sweep = sweep_of(tmp_path)
    tally = Tally(sweep, Opened(sweep.plan.trials[3:], 4, 2))
    assert tally.line() == "3/4 trials, 2 reached"
    assert tally.share == pytest.approx(0.75)
    tally.add(Failed(sweep.plan.trials[3], ValueError("no")))
    assert tally.line().startswith("4/4 trials, 2 reached, 1 failed, ")
    assert tally.share == 1.0
    assert "left" not in tally.line()


def test_plain_lines(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    sweep = sweep_of(tmp_path / "out", "stddev=0.1,0.5")
    monkeypatch.setattr(progress_module, "_SECONDS_BETWEEN_LINES", -1.0)
    with make_progress(sweep, quiet=False) as progress:
        progress.show(opened_for(sweep))
        for k, trial in enumerate(sweep.plan.trials):
            progress.show(Started(trial))
            if k < 7:
                progress.show(Failed(trial, f"ValueError: broken {k}"))
            else:
                progress.show(Finished(trial, result(reached=True)))
    out, err = capsys.readouterr()
    assert out == ""
    lines = err.splitlines()
    assert lines[0] == f"8 trials into {tmp_path / 'out'}"
    failures = [line for line in lines if line.startswith("failed: ")]
    assert failures[0] == "failed: xor stddev=0.1: ValueError: broken 0"
    assert len(failures) == 5, "a flood of failures is cut short"
    assert lines[-1].startswith("8/8 trials, 1 reached, 7 failed, ")
    assert lines[-1].endswith("; best xor stddev=0.5: 1/1 reached, 100 evaluations")
    assert "\x1b" not in err


def test_lines_are_rare(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    sweep = sweep_of(tmp_path, seeds="0:200")
    with make_progress(sweep, quiet=False) as progress:
        progress.show(opened_for(sweep))
        for trial in sweep.plan.trials:
            progress.show(Finished(trial, result()))
    lines = [line for line in capsys.readouterr().err.splitlines() if not line.startswith("harness: backend auto")]
    assert len(lines) == 3, "the beginning, the kernels and the end"


def test_quiet_is_silent(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    sweep = sweep_of(tmp_path)
    with make_progress(sweep, quiet=True) as progress:
        progress.show(opened_for(sweep))
        progress.show(Failed(sweep.plan.trials[0], ValueError()))
    assert capsys.readouterr() == ("", "")


class Terminal:
    """A `harness` on a pseudo-terminal."""

    def __init__(self, pid: int, descriptor: int) -> None:
        self.pid = pid
        self._descriptor = descriptor
        self.text = ""

    def read(self, until: str | None = None, seconds: float = 60.0) -> None:
        """Take in what it shows until its end, or until a text has come."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline and (until is None or until not in self.text):
            if not select.select([self._descriptor], [], [], 0.1)[0]:
                continue
            try:
                data = os.read(self._descriptor, 65536)
            except OSError:  # the other side has been closed
                return
            if not data:
                return
            self.text += data.decode()

    def press_ctrl_c(self) -> None:
        os.write(self._descriptor, b"\x03")

    def exit_code(self) -> int:
        self.read()
        pid, self.pid = self.pid, 0
        return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])

    def close(self) -> None:
        if self.pid:
            os.kill(self.pid, signal.SIGKILL)
            os.waitpid(self.pid, 0)
        os.close(self._descriptor)


@contextmanager
def on_terminal(
    folder: Path, columns: int, *arguments: object, code: str = COMMAND, **environment: str
) -> Iterator[Terminal]:
    main, side = pty.openpty()
    fcntl.ioctl(side, termios.TIOCSWINSZ, struct.pack("HHHH", 40, columns, 0, 0))
    # A shell's child in all that matters: a session of its own, whose terminal is the side we gave it.
    script = f"import fcntl, os, termios; os.setsid(); fcntl.ioctl(0, termios.TIOCSCTTY, 0); os.chdir({str(folder)!r})"
    command = [sys.executable, "-c", f"{script}\n{code}", *map(str, arguments)]
    pid = os.posix_spawn(
        sys.executable,
        command,
        {**os.environ, "TERM": "xterm-256color", **environment},
        file_actions=[(os.POSIX_SPAWN_DUP2, side, number) for number in (0, 1, 2)],
    )
    os.close(side)
    terminal = Terminal(pid, main)
    try:
        yield terminal
    finally:
        terminal.close()


def assert_in_order(text: str) -> None:
    """The cursor is back, colours are off, and no other screen was left on."""
    assert text.count(HIDE) == text.count(SHOW) == 1
    assert text.index(HIDE) < text.index(SHOW)
    assert "\x1b[?1049h" not in text
    styles = [code for code in ESCAPE.findall(text) if code.endswith("m")]
    assert not styles or styles[-1] == "\x1b[0m"


def test_a_terminal_shows_counts_rate_and_the_best_cell(tmp_path: Path) -> None:
    with on_terminal(tmp_path, 100, "sweep", *VISIBLE, "--out", "out") as terminal:
        assert terminal.exit_code() == 0
    text = terminal.text
    assert_in_order(text)
    live, after = text.split(SHOW)
    shown = ESCAPE.sub("", live)
    assert "16 trials into out" in shown
    assert "preparing the kernels" in shown
    assert re.search(r"\d+/16 trials, \d+ reached, (about|at most) [\d.]+ s left, [\d.]+ trials/s", shown)
    last = shown.split("\r")[-3:]
    assert any("16/16 trials" in line for line in last), last
    assert "best so far  sign stddev=" in shown
    assert "tables in out" in after
    assert after.endswith("as a page: harness report out\r\n")
    assert "compiling" not in after


def test_ctrl_c_on_a_terminal(tmp_path: Path) -> None:
    long = ("sweep", "--task", "shifted-sums", "--grid", "update=raw", "--steps-per-epoch", 100_000, "--out", "out")
    with on_terminal(tmp_path, 60, *long) as terminal:
        terminal.read(until="0/3 trials")
        assert "0/3 trials" in terminal.text
        start = time.perf_counter()
        terminal.press_ctrl_c()
        assert terminal.exit_code() == 130
    assert time.perf_counter() - start < 6
    assert_in_order(terminal.text)
    assert "Traceback" not in terminal.text
    assert "the same command resumes" in " ".join(ESCAPE.sub("", terminal.text).split())


CALL = (
    "import freewalk; r = freewalk.sweep({'stddev': [0.01, 1], 'batch_size': 10_000, 'hidden': 30, 'optimizer': 'sgd'},"
    " task='sign', seeds='0:8', epochs=10, steps_per_epoch=10, target=0.9, %s); print(len(r.trials), 'came back')"
)


@pytest.mark.parametrize(("options", "folder"), [("out='out'", " into out"), ("progress=True", "")])
def test_python_shows_the_same_on_a_terminal(tmp_path: Path, options: str, folder: str) -> None:
    with on_terminal(tmp_path, 100, code=CALL % options) as terminal:
        assert terminal.exit_code() == 0
    assert_in_order(terminal.text)
    shown = ESCAPE.sub("", terminal.text)
    assert f"16 trials{folder}\r\n" in shown
    assert "16/16 trials" in shown
    assert "best so far  sign stddev=" in shown
    assert shown.endswith("16 came back\r\n")


def test_python_shows_nothing_on_a_terminal_where_that_is_not_wanted(tmp_path: Path) -> None:
    with on_terminal(tmp_path, 100, code=CALL % "progress=False") as terminal:
        assert terminal.exit_code() == 0
    assert terminal.text == "16 came back\r\n"


def test_no_color_on_a_terminal(tmp_path: Path) -> None:
    with on_terminal(tmp_path, 100, "sweep", *VISIBLE, "--out", "out", NO_COLOR="1") as terminal:
        assert terminal.exit_code() == 0
    assert_in_order(terminal.text)
    codes = {number for code in ESCAPE.findall(terminal.text) if code.endswith("m") for number in code[2:-1].split(";")}
    assert not {n for n in codes if n.isdigit() and (30 <= int(n) <= 49 or 90 <= int(n) <= 107)}, "bold may stay"


@pytest.mark.parametrize("width", [40, 80, 120, 200])
def test_every_width_has_lines_of_its_own(tmp_path: Path, width: int) -> None:
    """Nothing is folded within a part, and nothing is cut; what is long stands below its heading."""
    sweep = sweep_of(tmp_path, "stddev=0.001,0.125", "learning_rate=0.015,0.25", "update=normalised")
    console = Console(file=io.StringIO(), width=width, height=40, force_terminal=True, color_system=None)
    display = progress_module._Display(sweep, console)
    display.show(opened_for(sweep))
    trials = sweep.plan.trials
    display.show(advanced(trials[:8], 250, 30.0))
    display.show(Finished(trials[0], result(reached=True, steps=500, evaluations=1_234_567)))
    display.show(Failed(trials[1], "ValueError: no"))
    time.sleep(0.6)
    display.show(advanced(trials[2:8], 1000, 90.0, loss=0.03125))
    with console.capture() as captured:
        console.print(display._draw())
    lines = [line.rstrip() for line in captured.get().splitlines()]
    assert max(map(len, lines)) <= width
    numbers = " ".join(line.lstrip("━╸╺ ") for line in lines)
    assert re.search(r"2/16 trials, 1 reached, 1 failed, about [^,]* left, [\d.]+ trials/s", numbers), numbers
    assert "step 1,000 of 1,000, loss 0.0312 (median of 6 running)" in numbers
    assert "1,234,567 evaluations" in re.sub(r"\s+", " ", numbers)
    assert len(lines) <= 4 or width == 40


def test_nothing_is_written_past_the_display(tmp_path: Path) -> None:
    """Not by the sweep, by warnings or by whoever writes to a standard stream meanwhile."""
    script = tmp_path / "shown.py"
    script.write_text(
        "import sys, time, warnings, click\n"
        "from pathlib import Path\n"
        "from freewalk.harness.plan.configuration import resolve\n"
        "from freewalk.harness.trial.events import Started\n"
        "from freewalk.harness.terminal.progress import make_progress\n"
        "from freewalk.harness.plan.registry import BuiltInRegistry\n"
        "from freewalk.harness.sweep import Opened, Sweep\n"
        "sweep = Sweep(resolve((), registry=BuiltInRegistry(), tasks=['xor'], seeds='0:4'), Path('out'))\n"
        "with make_progress(sweep, quiet=False) as progress:\n"
        "    progress.show(Opened(sweep.plan.trials, 4, 0, notes=('a note',)))\n"
        "    progress.show(Started(sweep.plan.trials[0]))\n"
        "    time.sleep(0.5)\n"
        "    click.echo('harness: a message', err=True)\n"
        "    warnings.warn('a warning')\n"
        "    print('printed')\n"
        "    time.sleep(0.5)\n"
    )
    code = f"exec(compile(open({str(script)!r}).read(), 'shown.py', 'exec'))"
    with on_terminal(tmp_path, 80, code=code) as terminal:
        assert terminal.exit_code() == 0
    screen = screen_of(terminal.text, 80)
    for said in ("harness: note: a note", "harness: a message", "UserWarning: a warning", "printed"):
        (line,) = (line for line in screen if said in line)
        assert "trials" not in line
    assert [line for line in screen if "0/4 trials" in line] == [screen[-1]]


def screen_of(text: str, columns: int) -> list[str]:
    """Return the lines that a terminal shows at the end, for the few codes that the display sends."""
    lines, row, column = [""], 0, 0
    for code in re.findall(r"\x1b\[[0-9;?]*[A-Za-z]|\r|\n|.", text):
        if code == "\r":
            column = 0
        elif code == "\n":
            row += 1
        elif code.endswith("A") and code.startswith("\x1b"):
            row -= int(code[2:-1] or 1)
        elif code == "\x1b[2K":
            lines[row] = ""
        elif not code.startswith("\x1b"):
            assert column < columns, f"a line that is folded: {lines[row]}"
            lines[row] = lines[row][:column].ljust(column) + code + lines[row][column + 1 :]
            column += 1
        lines += [""] * (row + 1 - len(lines))
    return [line for line in lines if line.strip()]


def test_train_on_a_narrow_terminal(tmp_path: Path) -> None:
    train = ("train", "--task", "sign", "--epochs", 20, "--batch-size", 2000, "--target", 1.1, "--save", "w.npz")
    with on_terminal(tmp_path, 50, *train) as terminal:
        assert terminal.exit_code() == 0
    drawn = terminal.text.split("\r\x1b[K")[1:]
    assert len(drawn) > 2
    assert all(len(line.split("\r")[0]) < 50 for line in drawn), "a line that wraps cannot be redrawn"
    assert "weights in w.npz" in terminal.text
