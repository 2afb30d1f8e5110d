"""`harness train`: refusals, what it prints, what it saves."""

import json
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import freewalk
from freewalk.harness.commands import train
from freewalk.harness.weights.weights_file import load_weights
from freewalk.kernels.cpu.trial import compile_kernels
from freewalk.kernels.model.noise import initial_weights

Harness = Callable[..., Any]
Refused = Callable[..., str]

SHORT = ("--task", "xor", "--hidden", "4", "--batch-size", "16", "--epochs", "4", "--steps-per-epoch", "5")
LEARNS = ("--stddev", "0.1", "--update", "normalised", "--optimizer", "momentum")


@pytest.mark.parametrize(
    ("arguments", "culprit", "remedy"),
    [
        ([], "'--task', or --weights", "harness train --help"),
        (["--task", "xro"], "unknown task 'xro'", "did you mean 'xor'?"),
        (["--task", "xor", "--method", "wlak"], "unknown method 'wlak'", "did you mean 'walk'?"),
        (["--task", "xor", "--stdev", "1"], "no option --stdev", "did you mean '--stddev'?"),
        (["--task", "xor", "--stddev", "0.1,0.2"], "make 2", "use harness sweep"),
        (["--task", "xor", "--stddev", "linspace(1,2,3)"], "make 3", "use harness sweep"),
        (["--task", "xor", "--seed", "0:3"], "one whole number", "harness sweep --seeds 0:3"),
        (["--task", "xor", "--seed", "x"], "--seed x", "one whole number"),
        (["--task", "xor", "--seed", ""], "--seed", "one whole number"),
        (["--task", "xor", "--stddev", "abc"], "--stddev 'abc'", "must be a finite number"),
        (["--task", "xor", "--stddev", ""], "--stddev ''", "a value is empty"),
        (["--task", "xor", "--stddev", "-1"], "--stddev '-1'", "at least 0"),
        (["--task", "xor", "--batch-size", "0"], "--batch-size '0'", "at least 1"),
        (["--task", "xor", "--update", "normalized"], "--update 'normalized'", "did you mean 'normalised'?"),
        (
            ["--task", "xor", "--learning-rate", "1", "--update", "raw"],
            "learning_rate has no effect",
            "update=normalised",
        ),
        (["--task", "xor", "--bits", "3"], "bits has no effect on xor", "parity"),
        (["--task", "addition", "--bits", "1"], "bits=1", "from 2 to 32"),
        (["--task", "parity", "--form", "sequence", "--timesteps", "2"], "timesteps=2", "at least 3"),
        (["--task", "xor", "--epochs", "0"], "--epochs 0", "at least 1"),
        (["--task", "xor", "--backend", "gpu"], "--backend gpu", "one of auto, cuda, cpu, reference"),
        (["--task", "xor", "--save", ""], "--save", "give a file's name"),
        (["--task", "xor", "--save", "."], "--save", "give a file's name"),
        (["--task", "xor", "--save", "/proc/x.npz"], "--save /proc/x.npz", "give another name"),
    ],
)
def test_mistakes_are_one_line_with_the_remedy(
    refused: Refused, arguments: list[str], culprit: str, remedy: str
) -> None:
    line = refused("train", *arguments)
    assert culprit in line
    assert remedy in line


@pytest.mark.parametrize("name", ["w.npz", "w", "link.npz", "w.npz/below.npz"])
def test_nothing_is_overwritten_and_no_time_is_spent_before(refused: Refused, tmp_path: Path, name: str) -> None:
    (tmp_path / "w.npz").write_text("mine")
    (tmp_path / "link.npz").symlink_to("nowhere")
    start = time.perf_counter()
    line = refused("train", "--task", "shifted-sums", "--epochs", "10000", "--save", name)
    assert time.perf_counter() - start < 5, "the 250,000 steps were not taken"
    assert "--save" in line
    assert "give another name" in line


def test_weights_and_record_are_saved(harness: Harness, tmp_path: Path) -> None:
    result = harness("train", *SHORT, *LEARNS, "--seed", "3", "--save", "deep/w")
    assert result.code == 0, result.err
    assert result.out.splitlines()[-1] == "weights in deep/w.npz"
    assert "held-out loss" in result.err
    assert "\x1b" not in result.out + result.err
    assert [path.name for path in (tmp_path / "deep").iterdir()] == ["w.npz"]
    saved = load_weights(tmp_path / "deep" / "w.npz")
    assert saved.task == "xor"
    assert saved.network.n_hidden == 4
    assert saved.parameters["stddev"] == 0.1
    assert saved.record["seed"] == 3
    assert not np.array_equal(saved.weights, initial_weights(saved.network.n_from, saved.network.n_to, 3))


def test_the_default_name_never_meets_an_older_file(harness: Harness, tmp_path: Path) -> None:
    for _ in range(3):
        assert harness("train", *SHORT).code == 0
    names = sorted(path.name for path in (tmp_path / "runs").iterdir())
    assert len(names) == 3
    stem = names[0].removesuffix("-2.npz")
    assert names == [f"{stem}-2.npz", f"{stem}-3.npz", f"{stem}.npz"]


def test_json_and_quiet(harness: Harness, tmp_path: Path) -> None:
    result = harness("train", *SHORT, *LEARNS, "--json", "--quiet", "--save", "w.npz")
    assert (result.code, result.err) == (0, "")
    found = json.loads(result.out)
    assert found["weights"] == "w.npz"
    assert found["outcome"] in ("reached", "exhausted")
    assert found["steps"] <= 20
    assert found["loss_final"] == load_weights(tmp_path / "w.npz").record["loss_final"]


def test_a_diverged_trial_ends_well(harness: Harness) -> None:
    result = harness("train", *SHORT, "--update", "normalised", "--learning-rate", "1e300", "--json", "--quiet")
    assert result.code == 0
    found = json.loads(result.out, parse_constant=lambda name: pytest.fail(f"{name} is no JSON"))
    assert (found["outcome"], found["loss_final"]) == ("diverged", "nan")
    result = harness("train", *SHORT, "--update", "normalised", "--learning-rate", "1e300")
    assert result.out.startswith("diverged after ")


def test_the_environment_sets_parameters(harness: Harness, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HARNESS_STDDEV", "0.25")
    monkeypatch.setenv("HARNESS_UPDATE", "raw")
    monkeypatch.setenv("HARNESS_EPOCHS", "1")
    found = json.loads(harness("train", "--task", "and", "--batch-size", 4, "--json", "--quiet").out)
    assert found["effective_learning_rate"] == 0.0625
    assert found["steps"] == 100
    found = json.loads(harness("train", "--task", "and", "--batch-size", 4, "--stddev", 0.5, "--json", "--quiet").out)
    assert found["effective_learning_rate"] == 0.25


def test_it_is_the_trial_of_a_sweep_to_the_last_bit(harness: Harness) -> None:
    found = json.loads(harness("train", *SHORT, *LEARNS, "--seed", 1, "--json", "--quiet").out)
    swept = freewalk.sweep(
        {"hidden": 4, "batch_size": 16, "stddev": [0.3, 0.1], "update": "normalised", "optimizer": "momentum"},
        task=["sign", "xor"],
        epochs=4,
        steps_per_epoch=5,
    ).trials
    (row,) = swept[(swept["task"] == "xor") & (swept["seed"] == 1) & (swept["param_stddev"] == 0.1)].to_dict("records")
    for name in ("outcome", "loss_final", "loss_best", "metric_final", "steps", "evaluations", "reached"):
        assert found[name] == row[name]


def test_ctrl_c_keeps_the_weights(process: Callable[..., Any], tmp_path: Path) -> None:
    long = ("--epochs", 2, "--steps-per-epoch", 10**8)
    for threads in (1, 2):
        compile_kernels(threads)  # into the cache: a compilation, unlike a step, is not cut short
    running = process(
        "train", "--task", "shifted-sums", "--update", "raw", *long, "--save", "w.npz", "--backend", "cpu"
    )
    assert running.wait_for_line().startswith("step 0/200,000,000")
    time.sleep(0.5)
    start = time.perf_counter()
    running.send(signal.SIGINT)
    result = running.finish()
    assert time.perf_counter() - start < 6
    assert result.code == 130
    assert result.out.startswith("interrupted after ")
    assert "Traceback" not in result.err
    saved = load_weights(tmp_path / "w.npz")
    assert saved.record["outcome"] == "interrupted"
    assert 0 < saved.record["steps"] < 10**8


class Terminal:
    """A stderr that says it is a terminal."""

    def __init__(self) -> None:
        self.text = ""

    def isatty(self) -> bool:
        return True

    def write(self, text: str) -> int:
        self.text += text
        return len(text)

    def flush(self) -> None:
        pass

    def fileno(self) -> int:
        return 2


def test_the_line_is_redrawn_in_place_and_never_wraps(harness: Harness, monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = Terminal()
    monkeypatch.setattr("sys.stderr", terminal)
    monkeypatch.setattr(os, "get_terminal_size", lambda *_: os.terminal_size((40, 24)))
    monkeypatch.setattr(train, "_SECONDS_BETWEEN_REDRAWS", 0.0)
    assert harness("train", *SHORT).code == 0
    *lines, rest = terminal.text.split("\r\x1b[K")[1:]
    assert len(lines) >= 4
    assert all(line.startswith("step ") and len(line) < 40 and "\n" not in line for line in lines)
    assert rest.endswith("\n")
    assert rest.count("\n") == 1
