"""`harness report`: on a real sweep, on one that runs, on files alone; refusals; what it imports."""

import importlib.util
import json
import shlex
import subprocess
import sys
import webbrowser
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from freewalk.results.analysis.summary import summarise
from freewalk.results.files.export import read_csv
from freewalk.results.schema.report_schema import RANKING, SENSITIVITY
from freewalk.results.store.store import CurvePoint, Store, TrialRecord

Harness = Callable[..., Any]
Refused = Callable[..., str]
Snapshot = Callable[[Path], dict[str, tuple[int, bytes]]]

REPORT = {"report.html", "summary.csv", "ranking.csv", "sensitivity.csv", "methods.csv"}


@pytest.fixture
def sweep(harness: Harness, tiny: tuple[str, ...], tmp_path: Path) -> Path:
    """Run a sweep of 8 trials on two tasks."""
    assert harness("sweep", *tiny, "--out", "swept", "--quiet").code == 0
    return tmp_path / "swept"


def test_answers_page_and_tables(
    harness: Harness, sweep: Path, snapshot: Snapshot, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BROWSER", "mine")
    monkeypatch.setattr("webbrowser.open", lambda address: pytest.fail("only where it is asked for"))
    before = snapshot(sweep)
    result = harness("report", "swept")
    assert (result.code, result.err) == (0, "")
    lines = result.out.splitlines()
    assert [line.partition(":")[0] for line in lines if line[:1].strip() and ":" in line][:2] == ["xor", "sign"]
    assert lines[-1] == "report in swept/report.html"
    assert "hidden" not in result.out, "only what varies is named"
    after = snapshot(sweep)
    assert set(after) - set(before) == REPORT - {"summary.csv"}
    assert all(after[name] == before[name] for name in before if name != "summary.csv"), "the sweep is only read"
    assert after["summary.csv"][1] == before["summary.csv"][1]
    trials = read_csv(sweep / "trials.csv")
    pd.testing.assert_frame_equal(read_csv(sweep / "summary.csv", "summary"), summarise(trials))
    assert len(read_csv(sweep / "ranking.csv", RANKING)) == 4
    read_csv(sweep / "sensitivity.csv", SENSITIVITY)
    page = (sweep / "report.html").read_text()
    assert "stddev = [\n    0.1,\n    0.5,\n]" in page, "the configuration"
    assert "numba" in page, "the environment"
    assert "XOR of two inputs" in page, "what is learned"
    assert "max_error &lt; 0.4" in page
    for setting in ("learning_rate", "optimizer", "hidden", "timesteps", "batch_size", "epochs", "steps_per_epoch"):
        assert f"<span>{setting} <b>" in page, "what does not vary, defaults too"
    assert harness("report", "swept", "--quiet").out == ""


def test_json_names_files_and_answers(harness: Harness, sweep: Path) -> None:
    result = harness("report", "swept", "--json", "--out", "elsewhere", "--png", "--svg")
    facts = json.loads(result.out)
    assert facts["report"] == "elsewhere/report.html"
    assert facts["share_done"] == 1.0
    assert [task["task"] for task in facts["tasks"]] == ["xor", "sign"]
    assert set(facts["tasks"][0]["best"]) == {"stddev"}
    assert facts["tasks"][0]["sentences"]
    files = {Path(name) for name in facts["files"]}
    assert {path for path in (sweep.parent / "elsewhere").rglob("*") if path.is_file()} == {
        sweep.parent / path for path in files
    }
    assert {path.suffix for path in files} == {".html", ".csv", ".png", ".svg"}
    assert not (sweep / "report.html").exists()


def test_options_from_the_environment(harness: Harness, sweep: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in (("OUT", "there"), ("SVG", "1"), ("THEME", "dark"), ("QUIET", "1")):
        monkeypatch.setenv(f"HARNESS_{name}", value)
    assert harness("report", "swept").out == ""
    svg = next((sweep.parent / "there" / "plots").glob("*.svg")).read_text()
    assert "#15181c" in svg, "the dark surface"


def test_a_sweep_that_runs(harness: Harness, tmp_path: Path, snapshot: Snapshot) -> None:
    def record(seed: int) -> TrialRecord:
        named = {"trial_id": f"t{seed}", "task": "xor", "method": "walk", "seed": seed, "parameters": {"stddev": 0.1}}
        return TrialRecord(**named, metric_name="max_error", target=0.4)  # type: ignore[arg-type]

    fields = {"outcome": "reached", "reached": True, "evaluations": 90, "steps": 9, "evaluations_to_target": 90}
    curve = [CurvePoint(step, 10 * step, 0.1, "heldout", "loss", 0.3 / (1 + step)) for step in range(1, 10)]
    with Store.create(tmp_path / "running", {"task": "xor"}) as store:
        store.add_pending(record(seed) for seed in range(4))
        assert "No trial has ended yet." in harness("report", "running").out
        store.mark_running(["t0", "t1"])
        assert "No trial has ended yet; 2 trials are under way." in harness("report", "running").out
        assert "so far" not in (tmp_path / "running" / "report.html").read_text()
        store.add_points({"t0": curve[:5], "t1": curve[:3]})
        assert harness("report", "running").code == 0
        assert "Loss on held-out data, so far" in (tmp_path / "running" / "report.html").read_text()
        store.finish("t0", fields | {"steps_to_target": 9, "loss_final": 0.03, "metric_final": 0.2}, curve)
        before = snapshot(tmp_path / "running")
        result = harness("report", "running")
        assert (result.code, result.err) == (0, "")
        assert result.out.startswith(
            "This sweep has not ended: 1 of 4 trials (25 %) are done, 1 running and 2 still to run."
        )
        assert "reached max_error < 0.4 in 1 of 1 trial " in result.out
        after = snapshot(tmp_path / "running")
        assert all(after[name] == before[name] for name in before if name not in REPORT)
        store.finish("t1", fields, curve)  # the writer goes on undisturbed
    assert "This sweep has not ended: 2 of 4" in (harness("report", "running").out)
    assert "has not ended" in (tmp_path / "running" / "report.html").read_text()


def test_files_without_a_store(harness: Harness, sweep: Path) -> None:
    for path in sweep.iterdir():
        if path.name.startswith("sweep.") and path.suffix != ".toml":
            path.unlink()
    assert harness("report", "swept").code == 0
    assert "Loss on held-out data" in (sweep / "report.html").read_text()
    (sweep / "curves.csv").unlink()
    assert harness("report", "swept/trials.csv").code == 0
    assert "There are no learning curves" in (sweep / "report.html").read_text()


def test_ranking_for_a_paper(harness: Harness, sweep: Path) -> None:
    result = harness("report", "swept", "--latex", "--markdown", "--json")
    files = {Path(name).name for name in json.loads(result.out)["files"]}
    assert {"ranking.tex", "ranking.md"} <= files
    tex = (sweep / "ranking.tex").read_text()
    assert tex.count("\\toprule") == 2, "a table a task"
    assert "max\\_error $<$ 0.4" in tex
    assert (sweep / "ranking.md").read_text().count("| 1 |") == 2
    assert harness("report", "swept", "--latex").code == 0, "its own file may be replaced"


def test_a_folder_of_sweeps_lists_them(harness: Harness, sweep: Path, tmp_path: Path) -> None:
    runs = tmp_path / "runs"
    (runs / "group").mkdir(parents=True)
    (runs / "notes").mkdir()
    sweep.rename(runs / "group" / "first")
    with Store.create(runs / "second", {"task": "xor"}):
        pass
    (runs / "tables").mkdir()
    (runs / "group" / "first" / "trials.csv").rename(runs / "tables" / "trials.csv")
    (runs / "broken").mkdir()
    (runs / "broken" / "sweep.sqlite").write_bytes(b"rubbish" * 100)
    result = harness("report", "runs")
    assert result.code == 2
    lines = [line.split("  ") for line in result.out.splitlines()]
    assert [(line[0], line[-1]) for line in lines] == [
        ("runs/broken", "cannot be read"),
        ("runs/group/first", "8 of 8 trials"),
        ("runs/second", "0 of 0 trials"),
        ("runs/tables", "8 of 8 trials"),
    ]
    assert result.err == (
        "harness: error: runs holds no sweep itself, but 4 sweeps lie below it; give its folder, such as runs/broken\n"
    )
    quiet = harness("report", "runs", "--json")
    assert (quiet.code, quiet.out) == (2, "")
    assert "one sweep lies below it" in harness("report", "runs/group").err
    assert not list(tmp_path.rglob("report.html")), "nothing was written"


@pytest.mark.parametrize(
    ("screen", "answer", "opened"),
    [
        ({"BROWSER": "mine"}, True, True),
        ({"DISPLAY": ":0"}, False, False),
        ({"DISPLAY": ":0"}, webbrowser.Error("none"), False),
        ({}, True, False),
    ],
)
def test_open(
    harness: Harness, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, screen: dict[str, str], answer: Any, opened: bool
) -> None:
    with Store.create(tmp_path / "begun", {"task": "xor"}) as store:  # a page without plots
        store.add_pending([TrialRecord(trial_id="t", task="xor", method="walk", seed=0, parameters={"stddev": 0.1})])
    asked = []

    def browse(address: str) -> bool:
        asked.append(address)
        if isinstance(answer, Exception):
            raise answer
        return bool(answer)

    for name in ("DISPLAY", "WAYLAND_DISPLAY", "BROWSER"):
        monkeypatch.delenv(name, raising=False)
    for name, value in screen.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr("sys.platform", "linux")
    monkeypatch.setattr("webbrowser.open", browse)
    result = harness("report", "begun", "--open")
    address = (tmp_path / "begun" / "report.html").resolve().as_uri()
    assert result.code == 0
    assert asked == ([address] if screen else [])
    assert result.err == ("" if opened else f"harness: no browser could be opened here; the page is {address}\n")


def test_refusals(refused: Refused, sweep: Path, tmp_path: Path, harness: Harness) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").write_text("text")
    with Store.create(tmp_path / "other", {"task": "xor"}):
        pass
    assert "nowhere: no such folder; give the folder of a sweep" in refused("report", "nowhere")
    assert "holds no sweep: check the path" in refused("report", "empty")
    assert "has no trials; run the sweep first" in refused("report", "other")
    assert "--out other: this folder holds another sweep" in refused("report", "swept", "--out", "other")
    assert "pick another --out" in refused("report", "swept", "--out", "file")
    assert "report --help" in refused("report")
    assert "'light', 'dark'" in refused("report", "swept", "--theme", "grey")
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "report.html").write_text("my own")
    assert "was not written by a report" in refused("report", "swept", "--out", "mine")
    (sweep / "sweep.sqlite").write_bytes(b"rubbish" * 100)
    assert "is damaged or not a database" in refused("report", "swept")


@pytest.mark.skipif(importlib.util.find_spec("pyarrow") is not None, reason="pyarrow is installed: nothing is missing")
def test_a_missing_extra_is_named_with_its_install_line(refused: Refused, sweep: Path) -> None:
    assert "pip install pyarrow" in refused("report", "swept", "--parquet")


@pytest.mark.skipif(importlib.util.find_spec("pyarrow") is None, reason="pyarrow is not installed")
def test_parquet(harness: Harness, sweep: Path) -> None:
    assert harness("report", "swept", "--parquet").code == 0
    names = {path.stem for path in sweep.glob("*.parquet")}
    assert names == {"trials", "curves", "summary", "ranking", "methods", "sensitivity"}
    assert len(pd.read_parquet(sweep / "trials.parquet")) == 8


def test_a_resumed_sweep_keeps_its_report(harness: Harness, sweep: Path, tiny: tuple[str, ...]) -> None:
    assert harness("report", "swept").code == 0
    assert harness("sweep", *tiny, "--out", "swept", "--quiet").code == 0
    assert (sweep / "report.html").exists()
    assert harness("report", "swept").code == 0


@pytest.mark.parametrize(
    ("arguments", "drawing"),
    [
        (["report", "--help"], False),
        (["sweep", "--task", "xor", "--grid", "hidden=2", "--seeds", "0:1", "--epochs", "1", "--out", "new"], False),
        (["report", "swept"], True),
    ],
)
def test_only_a_report_imports_what_draws(sweep: Path, arguments: list[str], drawing: bool) -> None:
    script = f"""
import sys
from freewalk.harness.cli import run
assert run({arguments!r}) == 0
print(sorted({{"matplotlib", "jinja2", "PIL"}} & set(sys.modules)), "matplotlib.pyplot" in sys.modules)
"""
    command = [sys.executable, "-c", script]
    found = subprocess.run(command, capture_output=True, text=True, cwd=sweep.parent, check=True)
    assert found.stdout.splitlines()[-1] == f"{['PIL', 'jinja2', 'matplotlib'] if drawing else []} False"


def test_the_command_for_more_seeds_adds_them(harness: Harness, tmp_path: Path) -> None:
    arguments = ("--task", "xor", "--grid", "stddev=0.1,0.2", "--grid", "batch_size=64", "--epochs", 4)
    for seeds, name in (("0:3", "few"), ("4,7", "apart")):
        assert harness("sweep", *arguments, "--seeds", seeds, "--quiet", "--out", name).code == 0
        (line,) = [line for line in harness("report", name).out.splitlines() if line.startswith("more seeds, into")]
        command = shlex.split(line.partition(": ")[2])
        assert json.loads(harness("report", name, "--json").out)["more_seeds"] == shlex.join(command)
        again = harness(*command[1:], "--quiet")
        assert (again.code, again.out) == (0, "")
        trials = read_csv(tmp_path / name / "trials.csv")
        assert set(trials["state"]) == {"complete"}
        assert trials["seed"].nunique() == 6 if seeds == "0:3" else 4
        assert trials.groupby("seed").size().eq(2).all()
    assert trials["seed"].drop_duplicates().tolist()[:3] == [4, 7, 8]
