"""`harness export`: curves as files that other tools read."""

import json
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from freewalk.results.store.store import CurvePoint, Store, TrialRecord

Harness = Callable[..., Any]
Refused = Callable[..., str]


def make(folder: Path, seeds: range, states: tuple[str, ...] = ()) -> None:
    with Store.create(folder, {"name": folder.name}, folder.name) as store:
        for seed, state in zip(seeds, [*states, *["complete"] * len(seeds)], strict=False):
            name = f"t{seed}"
            goal = {"metric_name": "row_accuracy", "target": 1.0}
            known = {"task": "shifted-sums", "method": "walk", "seed": seed, "parameters": {"stddev": 0.1, "bits": 4}}
            store.add_pending([TrialRecord(trial_id=name, **known, **goal)])
            if state == "failed":
                store.fail(name, "out of memory")
            elif state == "complete":
                points = [CurvePoint(at, 2 * at, 0.1, "heldout", "row_accuracy", at / 8) for at in range(3)]
                store.finish(name, {"outcome": "exhausted", "evaluations": 10, "n_weights": 7}, points)


@pytest.fixture(autouse=True)
def _sweeps(tmp_path: Path) -> None:
    make(tmp_path / "a", range(2))
    make(tmp_path / "b", range(2, 6), ("failed", "pending"))
    (tmp_path / "empty").mkdir()
    (tmp_path / "used").mkdir()
    (tmp_path / "used" / "notes.txt").write_text("mine")


@pytest.mark.parametrize(
    ("layout", "file"), [("ioh", "IOHprofiler_f1_shifted-sums_bits=4.json"), ("coco", "bbobexp_f1.info")]
)
def test_sweeps_become_files(harness: Harness, tmp_path: Path, layout: str, file: str) -> None:
    result = harness("export", "a", "b", "--format", layout, "--out", "out")
    assert result.code == 0
    assert result.out == "5 runs of 1 algorithm on 1 problem in out\n"
    assert result.err.splitlines() == [
        "harness: note: left out, since not ended: 1 trial",
        "harness: note: among the runs, with what was met until the failure: 1 failed trial",
    ]
    assert (tmp_path / "out" / "walk" / file).exists()


def test_shares_are_to_be_high_and_the_tasks_parameters_make_the_problem(harness: Harness, tmp_path: Path) -> None:
    assert harness("export", "a", "--format", "ioh", "--out", "ioh").code == 0
    facts = json.loads((tmp_path / "ioh" / "walk" / "IOHprofiler_f1_shifted-sums_bits=4.json").read_text())
    assert (facts["maximization"], facts["function_name"]) == (True, "shifted-sums bits=4")
    assert facts["algorithm"] == {"name": "walk", "info": "stddev=0.1"}
    data = (tmp_path / "ioh" / "walk" / facts["scenarios"][0]["path"]).read_text()
    assert data == "evaluations raw_y\n1 0.0\n2 0.125\n4 0.25\n10 0.25\n" * 2
    assert harness("export", "a", "--format", "coco", "--out", "coco").code == 0
    index = (tmp_path / "coco" / "walk" / "bbobexp_f1.info").read_text()
    assert "% shifted-sums bits=4: 1 - row_accuracy on held-out data; stddev=0.1\n" in index
    assert index.endswith("data_f1/bbobexp_f1_DIM7.dat, 0:10|0.75, 1:10|0.75\n")


def test_json_and_quiet(harness: Harness) -> None:
    found = json.loads(harness("export", "a", "b", "--format", "ioh", "--out", "out", "--json").out)
    counts = {"n_runs": 5, "n_algorithms": 1, "n_problems": 1, "n_open": 1, "n_unknown": 0, "n_failed": 1}
    assert found == {"directory": "out", "format": "ioh", **counts}
    result = harness("export", "a", "b", "--format", "ioh", "--out", "again", "--quiet")
    assert (result.code, result.out, result.err) == (0, "", "")


def test_a_real_sweep_whole_and_half(harness: Harness, tmp_path: Path, tiny: tuple[str, ...]) -> None:
    assert harness("sweep", *tiny, "--out", "swept", "--quiet").code == 0
    assert "8 runs of 2 algorithms on 2 problems" in harness("export", "swept", "--format", "ioh", "--out", "x").out
    data = (tmp_path / "x" / "walk_stddev=0.1" / "data_f1_xor").iterdir()
    starts = [line for path in data for line in path.read_text().splitlines() if line.startswith("1 ")]
    assert len(starts) == 2, "a run is told by its first evaluation"
    with Store.open(tmp_path / "swept") as store:
        store.add_pending([TrialRecord(trial_id="more", task="xor", method="walk", seed=9, parameters={})])
        store.mark_running(["more"])
    result = harness("export", "swept", "--format", "coco", "--out", "y")
    assert "8 runs of 2 algorithms" in result.out
    assert "left out, since not ended: 1 trial" in result.err


@pytest.mark.parametrize(
    ("arguments", "culprit", "remedy"),
    [
        (["--format", "ioh", "--out", "c"], "'DIR ...'", "harness export --help"),
        (["a", "--format", "ioh"], "'--out'", "harness export --help"),
        (["a", "--out", "c"], "'--format'", "ioh"),
        (["a", "--format", "csv", "--out", "c"], "'csv'", "'ioh', 'coco'"),
        (["a", "--format", "ioh", "--out", ""], "--out ''", "name a folder"),
        (["a", "./a/", "--format", "ioh", "--out", "c"], "given twice", "each once"),
        (["nowhere", "--format", "ioh", "--out", "c"], "nowhere", "check the path"),
        (["empty", "--format", "ioh", "--out", "c"], "empty holds no sweep", "check the path"),
        (["used/notes.txt", "--format", "ioh", "--out", "c"], "notes.txt is not a", "check the path"),
        (["a", "--format", "ioh", "--out", "used"], "used already holds something", "pick another --out"),
        (["a", "--format", "ioh", "--out", "used/notes.txt"], "already holds something", "pick another --out"),
        (["a", "--format", "coco", "--out", "a"], "a already holds something", "pick another --out"),
        (["a", "--format", "coco", "--out", "/proc/x"], "/proc/x", "--out"),
    ],
)
def test_mistakes_are_one_line_with_the_remedy(
    refused: Refused, arguments: list[str], culprit: str, remedy: str
) -> None:
    line = refused("export", *arguments)
    assert culprit in line
    assert remedy in line


def test_a_sweep_that_nothing_has_come_of_is_refused(refused: Refused, tmp_path: Path) -> None:
    make(tmp_path / "new", range(2), ("pending", "pending"))
    assert "new has no trial that has ended" in refused("export", "new", "--format", "ioh", "--out", "c")


def test_a_killed_export_leaves_nothing_that_looks_whole(harness: Harness, tmp_path: Path) -> None:
    script = (
        "import os, signal\nfrom freewalk.harness.cli import run\nfrom freewalk.results.files import ioh\n"
        "write = ioh.write_json\n"
        "def write_and_die(*arguments):\n    write(*arguments)\n    os.kill(os.getpid(), signal.SIGKILL)\n"
        "ioh.write_json = write_and_die\nrun(['export', 'a', '--format', 'ioh', '--out', 'out'])\n"
    )
    assert subprocess.run([sys.executable, "-c", script], cwd=tmp_path).returncode == -signal.SIGKILL
    assert not (tmp_path / "out").exists()
    assert [path for path in tmp_path.iterdir() if path.name.startswith(".out.")], "what it had begun"
    assert harness("export", "a", "--format", "ioh", "--out", "out").code == 0
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".out.")]
