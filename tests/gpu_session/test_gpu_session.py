"""The first run on a GPU stays ready: its smoke test passes in the simulator, its scripts name what there is."""

from __future__ import annotations

import importlib.util
import inspect
import json
import os
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import launches
import perturbations
import pytest
import smoke
import summary

from freewalk.harness import cli
from freewalk.results.schema.schema import TRIAL_COLUMNS

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
SCRIPTS = ("setup.sh", "check.sh", "time.sh")
OWN = ("smoke.py", "launches.py", "perturbations.py", "summary.py")
SIMULATOR = {"NUMBA_ENABLE_CUDASIM": "1", "NUMBA_DISABLE_JIT": "1"}
needs_numba_cuda = pytest.mark.skipif(
    importlib.util.find_spec("numba_cuda") is None, reason="numba-cuda is not installed (extra cuda13 or cuda12)"
)


def _simulated(folder: Path, *command: str) -> subprocess.CompletedProcess[str]:
    # a place that holds no datapoint is computed from what lies in memory, and thrown away
    arguments = [sys.executable, "-W", "ignore::RuntimeWarning", *command]
    environment = os.environ | SIMULATOR | {"OUT": str(folder)}
    return subprocess.run(arguments, env=environment, capture_output=True, text=True, cwd=ROOT, timeout=900)


@pytest.mark.slow
@needs_numba_cuda
def test_the_smoke_test_passes_in_the_simulator(tmp_path: Path) -> None:
    done = _simulated(tmp_path, "tests/gpu_session/smoke.py")
    rows = json.loads((tmp_path / "smoke.json").read_text(encoding="utf-8"))
    assert done.returncode == 0, done.stdout + done.stderr
    assert [row["name"] for row in rows] == ["environment", "noise", *smoke.SMALL]
    assert all(row["ok"] for row in rows)


@needs_numba_cuda
def test_a_case_that_is_wrong_is_named(tmp_path: Path) -> None:
    """A tolerance that nothing keeps makes every error a fault, and the exit code says so."""
    code = "import smoke; smoke.TOLERANCE = -1.0; sys.exit(smoke.main())"
    path = f"import sys; sys.path.insert(0, {str(HERE)!r})"
    done = _simulated(tmp_path, "-c", f"{path}; {code}", "--case", "one timestep, softmax, in turn")
    assert done.returncode == 1, done.stderr
    assert json.loads(done.stdout.removeprefix("RESULT "))["detail"].startswith("WRONG update, loss, evaluation: ")


@needs_numba_cuda
@pytest.mark.parametrize("trials", ["2", pytest.param("1", marks=pytest.mark.slow)])
def test_a_launch_shape_is_timed(tmp_path: Path, trials: str) -> None:
    done = _simulated(tmp_path, "tests/gpu_session/launches.py", "--shape", "0", "--trials", trials)
    assert done.returncode == 0, done.stderr
    row = json.loads(done.stdout)
    assert row["shape"] == "8 warps a block, any registers"
    assert row["trials"] == int(trials)
    assert row["us"] > 0


@needs_numba_cuda
def test_every_kind_of_perturbation_is_timed(tmp_path: Path) -> None:
    rows = ["hidden 254: orthogonal", "hidden 254: one perturbation a step", "hidden 30, 132 trials: rank 1, signs"]
    chosen = [word for name in rows for word in ("--row", name)]
    done = _simulated(tmp_path, "tests/gpu_session/perturbations.py", *chosen)
    assert done.returncode == 0, done.stderr
    found = json.loads((tmp_path / "perturbations.json").read_text(encoding="utf-8"))
    assert [row["row"] for row in found] == rows
    assert all(0 < row["us"] <= row["us_here"] for row in found)


def _commands(script: str) -> Iterator[list[str]]:
    """Yield the words of each command, with a loop's variable as its first value."""
    text = (HERE / script).read_text(encoding="utf-8").replace("\\\n", " ").replace("$here", "tests/gpu_session")
    text = text.replace(" 2>", " >")
    lines = [line.split("  # ")[0] for line in text.splitlines() if not line.lstrip().startswith("#")]
    words = shlex.shlex(";".join(lines), posix=True, punctuation_chars=";|&<>()")
    words.whitespace_split, words.commenters = True, ""
    command: list[str] = []
    for word in words:
        if set(word) <= set(";|&<>()"):
            yield command
            command = []
        else:
            command.append(word)
    yield command


def _python_commands() -> list[tuple[str, list[str]]]:
    values = {"$backend": "cuda", "$trials": "132"}
    found = []
    for script in SCRIPTS:
        for command in _commands(script):
            if "python3" in command:
                words = [values.get(word, word) for word in command[command.index("python3") + 1 :]]
                found.append((script, [word for word in words if word != "$parallel"]))
    return found


def test_the_scripts_are_bash() -> None:
    for script in SCRIPTS:
        subprocess.run(["bash", "-n", HERE / script], check=True)


def test_the_commands_of_the_scripts_are_found() -> None:
    firsts = {" ".join(command[: 2 if command[0] == "-m" else 1]) for _, command in _python_commands()}
    assert firsts >= {"-m pip", "-m pytest", "-m freewalk", *(f"tests/gpu_session/{name}" for name in OWN)}


@pytest.mark.parametrize(
    ("script", "command"), [pytest.param(*found, id=" ".join(found[1])[:70]) for found in _python_commands()]
)
def test_every_command_of_the_scripts_exists(script: str, command: list[str], tmp_path: Path) -> None:
    program, *rest = command[1:] if command[0] == "-m" else command
    match program:
        case "freewalk":
            name, *options = rest
            found = cli.harness.get_command(click.Context(cli.harness), name)
            assert found is not None
            found.make_context(name, options)
        case "tests/gpu_session/smoke.py":
            smoke.make_parser().parse_args(rest)
        case "tests/gpu_session/launches.py":
            launches.make_parser().parse_args(rest)
        case "tests/gpu_session/perturbations.py":
            perturbations.make_parser().parse_args(rest)
        case "tests/gpu_session/summary.py":
            inspect.signature(summary.sweeps).bind(*rest)
        case "pytest":
            assert all((ROOT / word).exists() for word in rest if word.startswith(("tests/", "benchmarks/")))
        case "benchmarks.documentation":
            assert Path(rest[0]).name == "timings.json"
        case "-c":
            compile(rest[0], script, "exec")
        case _:
            assert program == "pip"


def test_the_columns_that_the_scripts_read_exist() -> None:
    columns = {column.name for column in TRIAL_COLUMNS}
    assert columns >= {"trial_id", "outcome", "backend", "train_seconds", "compile_seconds"}


def test_the_timings_that_are_chosen_exist() -> None:
    """The words behind -k choose workloads of the GPU, and none of the peers that compile for minutes."""
    command = next(words for script, words in _python_commands() if "benchmarks/test_step.py" in words)
    command = ["-m", "pytest", command[2], "--benchmark-only", "-q", "-k", command[command.index("-k") + 1]]
    done = subprocess.run([sys.executable, *command, "--collect-only"], capture_output=True, text=True, cwd=ROOT)
    listed = done.stdout
    assert done.returncode == 0, listed
    for name in ("default: freewalk-cuda]", "trials 132: torch-cuda]", "hidden 254: jax-cuda]", "T 20: cupy-cuda]"):
        assert f"cuda: {name}" in listed
    assert "compile" not in listed


def test_the_summary(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name, outcome in (("gpu", "reached"), ("cpu", "plateau")):
        (tmp_path / name).mkdir()
        head = "trial_id,outcome,backend,train_seconds,compile_seconds\n"
        (tmp_path / name / "trials.csv").write_text(f"{head}x,reached,{name},1,0.5\ny,{outcome},{name},2,\n")
    summary.sweeps(str(tmp_path / "gpu"), str(tmp_path / "cpu"))
    said = capsys.readouterr().out.splitlines()
    assert said[0] == "2 trials on both, 1 with one outcome"
    assert said[1] == "GPU: 2 trials, backends {'gpu': 2}, train_seconds 3.00, compile_seconds 0.50"
