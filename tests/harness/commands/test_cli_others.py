"""The command line as a whole: help, speed, unknown names, `tasks`, `info`, signals before anything began."""

import json
import os
import re
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import pytest

import freewalk
from freewalk.harness import cli
from freewalk.tasks.registry import TASKS

Harness = Callable[..., Any]
Refused = Callable[..., str]

HEAVY = ("numba", "pandas", "pydantic", "numpy", "scipy", "matplotlib", "jinja2")


def imported_by(code: str) -> list[str]:
    """Run code in a fresh Python; give the heavy packages it imported."""
    script = f"import sys\n{code}\nprint('\\n' + ' '.join(n for n in {HEAVY!r} if n in sys.modules))"
    found = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    return found.stdout.splitlines()[-1].split()


def test_help_is_quick_and_imports_nothing_heavy() -> None:
    assert imported_by("from freewalk.harness.cli import run; run(['--help'])") == []
    seconds = []
    for _ in range(5):
        start = time.perf_counter()
        subprocess.run(
            [sys.executable, "-c", "from freewalk.harness.cli import main; main()", "--help"],
            check=True,
            capture_output=True,
        )
        seconds.append(time.perf_counter() - start)
    # Meant are 0.3 s; twice that leaves room for a busy machine.
    assert statistics.median(seconds) < 0.6


def test_importing_the_package_imports_nothing_heavy() -> None:
    assert imported_by("import freewalk; freewalk.__version__") == []
    assert "pandas" in imported_by("import freewalk; freewalk.sweep")


def test_public_names() -> None:
    assert callable(freewalk.sweep)
    assert freewalk.SweepResult.__name__ == "SweepResult"
    with pytest.raises(AttributeError, match="no attribute 'swep'"):
        _ = freewalk.swep
    assert set(freewalk.__all__) <= set(dir(freewalk))
    assert not {"Any", "TYPE_CHECKING"} & set(dir(freewalk))


@pytest.mark.parametrize("arguments", [["--help"], ["-h"], []])
def test_help_names_every_command(harness: Harness, arguments: list[str]) -> None:
    result = harness(*arguments)
    assert (result.code, result.err) == (0, "")
    for name, summary in cli.COMMANDS.items():
        assert f"\n  {name} " in result.out
        assert summary.split()[0] in result.out
    assert "\\b" not in result.out
    assert "\n  harness sweep --grid quickstart " in result.out, "examples stand on lines of their own"


@pytest.mark.parametrize("name", cli.COMMANDS)
def test_every_command_describes_every_option(harness: Harness, name: str) -> None:
    result = harness(name, "--help")
    assert (result.code, result.err) == (0, "")
    assert result.out.startswith(f"Usage: harness {name}")
    command = cli.harness.get_command(click.Context(cli.harness), name)
    assert command is not None
    for parameter in command.params:
        if isinstance(parameter, click.Option):
            shown = re.search(rf"(?<![-\w]){parameter.opts[0]}(?![-\w])", result.out) is not None
            assert shown or parameter.hidden
            assert parameter.help, f"{parameter.opts[0]} has no help"


@pytest.mark.parametrize("name", cli.COMMANDS)
def test_what_is_no_number_is_one_plain_line(harness: Harness, name: str) -> None:
    command = cli.harness.get_command(click.Context(cli.harness), name)
    assert command is not None
    for parameter in command.params:
        if isinstance(parameter.type, click.IntRange | click.FloatRange):
            result = harness(name, parameter.opts[0], "ten")
            assert result.code == 2
            assert f"'{parameter.opts[0]}'" in result.err
            assert f"'ten' is not a valid {parameter.type.name.split()[0]}; see harness {name} --help" in result.err


def test_the_epilog_of_sweep_knows_every_key(harness: Harness) -> None:
    from freewalk.harness.parameters.parameters import AXIS_KEYS
    from freewalk.harness.parameters.presets import preset_names
    from freewalk.harness.parameters.presets.relatives import RELATIVES

    text = harness("sweep", "--help").out
    for word in (*AXIS_KEYS, *preset_names(), *RELATIVES, "range(a,b,s)", "linspace(a,b,n)", "logspace(a,b,n)", "130"):
        assert word in text


@pytest.mark.parametrize(
    ("file", "name"),
    [
        ("/usr/local/bin/harness", "harness"),
        ("/usr/local/bin/freewalk", "freewalk"),
        ("/home/me/freewalk/src/freewalk/__main__.py", "python -m freewalk"),
        ("/usr/lib/pytest/__main__.py", "harness"),
        ("-c", "harness"),
    ],
)
def test_help_shows_the_name_that_was_called(
    harness: Harness, monkeypatch: pytest.MonkeyPatch, file: str, name: str
) -> None:
    monkeypatch.setattr(sys, "argv", [file])
    assert harness("--help").out.startswith(f"Usage: {name} [OPTIONS]")
    assert harness("sweep", "--help").out.startswith(f"Usage: {name} sweep [OPTIONS]")
    assert harness("tasks", "--grid").err.endswith(f"see {name} tasks --help\n")


def test_version(harness: Harness) -> None:
    result = harness("--version")
    assert result.code == 0
    assert freewalk.__version__ in result.out


@pytest.mark.parametrize(
    ("arguments", "culprit", "remedy"),
    [
        (["swep"], "no command 'swep'", "did you mean 'sweep'?"),
        (["zzz"], "no command 'zzz'", f"there are: {', '.join(cli.COMMANDS)}"),
        (["--jsn"], "no option --jsn", "harness --help"),
        (["presets", "--nam"], "no option --nam;", "see harness presets --help"),
        (["tasks", "--jsno"], "no option --jsno", "did you mean '--json'?"),
        (["info", "extra"], "extra", "harness info --help"),
        (["sweep", "--grid"], "'--grid' requires an argument", "--help"),
    ],
)
def test_unknown_names_are_one_line(refused: Refused, arguments: list[str], culprit: str, remedy: str) -> None:
    line = refused(*arguments)
    assert culprit in line
    assert remedy in line


def test_tasks_lists_every_task(harness: Harness) -> None:
    result = harness("tasks")
    assert (result.code, result.err) == (0, "")
    for task in TASKS.values():
        assert task.name in result.out
        assert f"{task.metric} {task.comparison} {task.target:g}" in result.out
    assert "bits=4, form=sequence," in result.out
    rows = {row["task"]: row for row in json.loads(harness("tasks", "--json").out)}
    assert list(rows) == list(TASKS)
    assert (rows["xor"]["n_input"], rows["xor"]["n_output"], rows["xor"]["comparison"]) == (2, 1, "<")
    assert rows["shifted-sums"]["target"] == 1e-3
    assert rows["xor"]["guesses"]["median"] == 1_254
    assert rows["copy"]["guesses"] is None
    assert "343,338" in result.out
    assert ">300,000" in result.out, "none was found"
    assert rows["addition"]["parameters"] == {"bits": 4, "form": "sequence", "pairs": 0}


def test_tasks_shows_one_task_with_what_is_known_of_it(harness: Harness, refused: Refused) -> None:
    result = harness("tasks", "copy")
    assert (result.code, result.err) == (0, "")
    text = " ".join(result.out.split())
    assert "0.125 (chance: any symbol always, at any length and delay)" in text
    assert "accuracy >= 0.99: share of classes found" in text
    assert "arXiv:1511.06464" in text
    assert max(map(len, result.out.splitlines())) <= 100
    one = json.loads(harness("tasks", "copy", "--json").out)
    assert (one["task"], one["baseline"]) == ("copy", 0.125)
    assert "unknown task 'cpy' (did you mean 'copy'?)" in refused("tasks", "cpy")
    assert "guesses not counted" in text
    known = " ".join(harness("tasks", "xor").out.split())
    command = "python -m benchmarks.guessing xor architecture=2-2-1 batch_size=100 --seeds 30 --most 1000000"
    assert f"1,254, the median of 30 seeds (from 82 to 6,013): {command}" in known
    assert "more than 300,000 with every one of 10 seeds" in " ".join(harness("tasks", "addition").out.split())


def test_info(harness: Harness) -> None:
    result = harness("info")
    assert (result.code, result.err) == (0, "")
    for word in (f"freewalk   {freewalk.__version__}", "python", "processor", "threads", "cpu (what auto takes)"):
        assert word in result.out
    facts = json.loads(harness("info", "--json").out)
    assert facts["packages"]["freewalk"] == freewalk.__version__
    assert facts["backend"] == "cpu"
    assert facts["cpu"]["logical_processors"] == os.cpu_count()


def test_ctrl_c_before_there_is_a_store(
    harness: Harness, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, tiny: tuple[str, ...]
) -> None:
    from freewalk.results.store.store import Store

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Store, "open_or_create", interrupt)
    result = harness("sweep", *tiny, "--backend", "cpu", "--out", "out")
    assert (result.code, result.out, result.err.strip()) == (130, "", "harness: interrupted")
    assert not list(tmp_path.iterdir())


def test_a_reader_that_leaves_early_is_no_error() -> None:
    command = f"{sys.executable} -c 'from freewalk.harness.cli import main; main()' sweep --help | head -n 1"
    found = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=False)
    assert found.stdout.startswith("Usage: harness sweep")
    assert found.stderr == ""


def test_the_package_runs_as_a_module_without_installation(tmp_path: Path) -> None:
    source = Path(__file__).parents[3] / "src"
    done = subprocess.run(
        [sys.executable, "-m", "freewalk", "sweep", "--task", "xro"],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(source)},
    )
    assert done.returncode == 2
    assert "did you mean 'xor'?" in done.stderr
