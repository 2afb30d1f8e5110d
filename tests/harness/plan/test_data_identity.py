"""One data set is one, wherever it lies and however its path is written; other data under the same name are noticed."""

from __future__ import annotations

import gzip
import json
import os
import re
import shutil
import sqlite3
import struct
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from freewalk.harness.plan.configuration import identity, resolve, sweep_id, to_toml
from freewalk.harness.plan.plan import Plan, expand
from freewalk.harness.plan.plugins import unload_all
from freewalk.harness.plan.registry import BuiltInRegistry
from freewalk.results.store.store import Store

TEXT = "the quick brown fox jumps over the lazy dog, and again. " * 8
OTHER = TEXT[::-1]
COMMON = ["sweep", "--task", "characters", "--grid", "hidden=3", "--grid", "batch_size=8", "--epochs", "1"]
COMMON += ["--steps-per-epoch", "2", "--quiet"]


@pytest.fixture
def text(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A text in a folder of its own, below the present folder."""
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "data" / "text.txt"
    path.parent.mkdir()
    path.write_text(TEXT)
    return path


def spellings(path: Path) -> dict[str, str]:
    """Return ways to name a file that lies in data/, and copies of it."""
    (path.parent.parent / "link").symlink_to(path.parent)
    (path.parent / "linked.txt").symlink_to(path)
    (path.parent.parent / "copy.txt").write_bytes(path.read_bytes())
    return {
        "relative": "data/text.txt",
        "absolute": str(path),
        "dot": "./data/text.txt",
        "dots": "data/../data//text.txt",
        "link to the folder": "link/text.txt",
        "link": "data/linked.txt",
        "copy": "copy.txt",
        "home": "~/data/text.txt",
    }


def plan_of(source: str, **options: Any) -> Plan:
    registry = BuiltInRegistry()
    configuration = resolve([f"source={source}", "hidden=3"], registry=registry, tasks=["characters"], **options)
    return expand(configuration, registry)


def test_every_spelling_and_a_copy_are_one_cell(text: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(text.parent.parent))
    named = spellings(text)
    ids = {name: [trial.trial_id for trial in plan_of(source).trials] for name, source in named.items()}
    assert len(set(map(tuple, ids.values()))) == 1, ids
    assert len(plan_of(",".join(named.values())).cells) == 1
    (text.parent / "other.txt").write_text(OTHER)
    assert len(plan_of("data/text.txt,data/other.txt").cells) == 2
    assert plan_of("data/text.txt").cells[0].parameters["source"] == str(text)


def test_a_sweep_with_files_and_without_goes_on(harness: Any, text: Path) -> None:
    command = [*COMMON, "--task", "xor", "--grid", "source=data/text.txt", "--seeds", "0:1", "--out", "out"]
    assert [harness(*command).code for _ in range(2)] == [0, 0]
    assert sorted(pd.read_csv("out/trials.csv")["task"]) == ["characters", "xor"]


def test_the_tasks_own_names_are_what_they_were() -> None:
    configuration = resolve(["hidden=3"], registry=BuiltInRegistry(), tasks=["characters"])
    ids = [[t.trial_id for t in expand(configuration, BuiltInRegistry(), as_spelled=s).trials] for s in (False, True)]
    assert ids[0] == ids[1]


@pytest.mark.parametrize("second", ["absolute", "link", "copy"])
def test_a_sweep_goes_on_under_another_spelling_and_from_another_folder(
    harness: Any, text: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, second: str
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    named = {name: os.path.abspath(source) for name, source in spellings(text).items()}
    assert harness(*COMMON, "--grid", "source=data/text.txt", "--seeds", "0:2", "--out", "out").code == 0
    before = pd.read_csv("out/trials.csv")
    monkeypatch.chdir(text.parent)
    again = [word for word in COMMON if word != "--quiet"]
    found = harness(*again, "--grid", f"source={named[second]}", "--seeds", "0:2", "--out", tmp_path / "out")
    assert found.code == 0, found.err
    assert "2 of them done before" in found.err
    pd.testing.assert_frame_equal(pd.read_csv(tmp_path / "out/trials.csv"), before)
    found = harness("sweep", "--grid", tmp_path / "out/sweep.toml", "--out", tmp_path / "out", "--json", "--quiet")
    assert found.code == 0, found.err


@pytest.mark.parametrize("second", ["absolute", "copy"])
def test_merge_and_compare_take_equal_data_for_one(
    harness: Any, text: Path, monkeypatch: pytest.MonkeyPatch, second: str
) -> None:
    named = spellings(text)
    assert harness(*COMMON, "--grid", "source=data/text.txt", "--seeds", "0:2", "--out", "a").code == 0
    assert harness(*COMMON, "--grid", f"source={named[second]}", "--seeds", "1:4", "--out", "b").code == 0
    assert harness("merge", "a", "b", "--out", "m").code == 0
    summary = pd.read_csv("m/summary.csv")
    assert list(summary["n_trials"]) == [4]
    assert list(summary["param_source"]) == [str(text)]
    assert harness("compare", "a", "b", "--csv").code == 0
    assert harness("merge", "b", "a", "m", "--out", "mm").code == 0
    assert list(pd.read_csv("mm/summary.csv")["n_trials"]) == [4]


def forget_the_environment(folder: str) -> None:
    Path(folder, "environment.json").unlink()


def break_the_environment(folder: str) -> None:
    Path(folder, "environment.json").write_text("[" * 100_000)


def spoil_the_environment(folder: str) -> None:
    Path(folder, "environment.json").write_text('{"data": {"characters": [7, {"path": 3}], "xor": 5}}')


def forget_the_store_s_own(folder: str) -> None:
    """Make the store one of a time before."""
    with closing(sqlite3.connect(Path(folder, "sweep.sqlite"))) as connection:
        connection.execute("DROP TABLE data")


def leave(folder: str) -> None:
    pass


@pytest.mark.parametrize(
    "harm", [leave, forget_the_environment, break_the_environment, spoil_the_environment, forget_the_store_s_own]
)
def test_changed_data_are_refused_whatever_lies_beside_the_store(
    harness: Any, refused: Any, text: Path, harm: Callable[[str], None]
) -> None:
    arguments = [*COMMON, "--grid", "source=data/text.txt"]
    assert harness(*arguments, "--seeds", "0:2", "--out", "a").code == 0
    text.write_text(OTHER)
    assert harness(*arguments, "--seeds", "2:4", "--out", "b").code == 0
    harm("a")
    line = refused(*arguments, "--seeds", "0:2", "--out", "a")
    assert f"the data of task 'characters' have changed since this sweep began: {text} has the SHA-256" in line
    line = refused("merge", "a", "b", "--out", "m")
    assert re.search(rf"the data of task 'characters'.*{text}.* have the SHA-256 \w+… in a and \w+… in b", line), line
    assert refused("compare", "a", "b").startswith("the data of task 'characters'")


def test_stores_named_by_the_path_as_written_go_on(harness: Any, text: Path) -> None:
    """Until data were told by their content, trials and sweeps had the names that the path as written gives."""
    grid = ["source=data/text.txt", "hidden=3", "batch_size=8"]
    registry = BuiltInRegistry()
    settings: dict[str, Any] = {"tasks": ["characters"], "seeds": "0:2", "epochs": 1, "steps_per_epoch": 2}
    configuration = resolve(grid, registry=registry, **settings)
    arguments = [*COMMON[:-1], "--grid", "source=data/text.txt", "--seeds", "0:2"]
    assert harness(*arguments, "--out", "new").code == 0
    old = Path("runs") / f"sweep-{sweep_id(configuration)}"
    spelled = {trial.seed: trial.trial_id for trial in expand(configuration, registry, as_spelled=True).trials}
    with Store.create(old, identity(configuration), sweep_id(configuration)):
        pass
    with closing(sqlite3.connect(old / "sweep.sqlite")) as older, closing(sqlite3.connect("new/sweep.sqlite")) as newer:
        columns = [row[1] for row in older.execute("PRAGMA table_info(trials)") if not row[1].endswith("checksum")]
        for row in newer.execute(f"SELECT {', '.join(columns)} FROM trials").fetchall():
            values = dict(zip(columns, row, strict=True))
            values["trial_id"] = spelled[values["seed"]]
            values["parameters"] = json.dumps({**json.loads(values["parameters"]), "source": "data/text.txt"})
            marks = ", ".join("?" * len(columns))
            older.execute(f"INSERT INTO trials ({', '.join(columns)}) VALUES ({marks})", tuple(values.values()))
        older.commit()
    (old / "sweep.toml").write_text(to_toml(configuration))
    for where in ([], ["--out", str(old)]):
        found = harness(*arguments, *where)
        assert found.code == 0, found.err
        assert "2 of them done before" in found.err
    assert [path.name for path in Path("runs").iterdir()] == [old.name]


PLUGIN = """
from pathlib import Path
import numpy as np
from freewalk.tasks import from_arrays
TASK = from_arrays("loaded", np.load(Path(__file__).with_name("x.npy")), np.arange(40) % 2)
"""


def test_own_arrays_that_change_without_their_plug_in(harness: Any, refused: Any, tmp_path: Path) -> None:
    (tmp_path / "own.py").write_text(PLUGIN)
    arguments = ["sweep", "--plugin", "own.py", "--task", "loaded", "--grid", "hidden=2", "--grid", "batch_size=8"]
    arguments += ["--epochs", "1", "--steps-per-epoch", "2", "--quiet"]
    for seed, out in ((0, "a"), (1, "b")):
        np.save(tmp_path / "x.npy", np.random.default_rng(seed).normal(size=(40, 2)))
        unload_all()  # another process would load it anew
        assert harness(*arguments, "--seeds", f"{seed}:{seed + 1}", "--out", out).code == 0
    wanted = "the data of task 'loaded' have the SHA-256"
    assert refused("merge", "a", "b", "--out", "m").startswith(wanted)
    forget_the_environment("a")
    line = refused(*arguments, "--seeds", "0", "--out", "a")
    assert "the data of task 'loaded' have changed since this sweep began: what they come from has the SHA-256" in line


def write_digits(folder: Path, *, squeeze: bool = False, dots: bool = False) -> Path:
    """Write MNIST's four files, small, under this or that name."""
    folder.mkdir()
    rng = np.random.default_rng(0)
    for part, n in (("train", 60), ("t10k", 20)):
        for what, values in (("images-idx3", rng.integers(0, 256, (n, 3, 2))), ("labels-idx1", np.arange(n) % 10)):
            content = (
                struct.pack(f">HBB{values.ndim}I", 0, 8, values.ndim, *values.shape) + values.astype("u1").tobytes()
            )
            name = f"{part}-{what}-ubyte"
            path = folder / (name.replace("-idx", ".idx") if dots else name)
            path.write_bytes(content)
            if squeeze:
                path.with_name(f"{path.name}.gz").write_bytes(gzip.compress(content))
                path.unlink()
    return folder


def test_digits_in_folders_are_told_by_what_they_hold(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    plain, dotted, packed = (
        write_digits(tmp_path / name, **options)  # type: ignore[arg-type]
        for name, options in (("plain", {}), ("dotted", {"dots": True}), ("packed", {"squeeze": True}))
    )
    shutil.copytree(plain, tmp_path / "copy")
    other = write_digits(tmp_path / "other")
    (other / "t10k-labels-idx1-ubyte").write_bytes(struct.pack(">HBBI", 0, 8, 1, 20) + bytes(20))
    registry = BuiltInRegistry()
    sources = f"source={plain},{dotted}/,{packed},copy,./plain,{other}"
    made = expand(resolve([sources, "hidden=2"], registry=registry, tasks=["mnist"]), registry)
    assert [cell.parameters["source"] for cell in made.cells] == [str(plain), str(other)]


def test_a_path_with_commas_is_one(harness: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "a, b(1,2)" / "1,2"
    path.parent.mkdir()
    path.write_text(TEXT)
    for source in ("a, b(1,2)/1,2", path):
        assert harness(*COMMON, "--grid", f"source={source}", "--seeds", "0", "--out", "out").code == 0
    assert harness("sweep", "--grid", "out/sweep.toml", "--out", "out", "--quiet").code == 0
    monkeypatch.chdir(path.parent)
    training = ["train", "--task", "characters", "--source", "1,2", "--hidden", "3", "--batch-size", "8"]
    assert harness(*training, "--epochs", "1", "--steps-per-epoch", "2", "--quiet").code == 0


def test_weights_know_where_their_data_lie(harness: Any, text: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    training = ["train", "--task", "characters", "--source", "data/text.txt", "--hidden", "3", "--batch-size", "8"]
    found = harness(*training, "--epochs", "1", "--steps-per-epoch", "2", "--quiet", "--save", "w.npz")
    assert found.code == 0, found.err
    weights = Path("w.npz").resolve()
    monkeypatch.chdir(text.parent)
    assert harness("evaluate", weights).code == 0


def test_a_text_that_is_written_anew_is_read_anew(text: Path) -> None:
    first = plan_of("data/text.txt").trials[0].trial_id
    text.write_text(OTHER + "and more.")
    assert plan_of("data/text.txt").trials[0].trial_id != first


def test_a_message_about_data_speaks_of_data_alone(refused: Any, tmp_path: Path) -> None:
    (write_digits(tmp_path / "digits") / "train-images-idx3-ubyte").write_text("<html>")
    for command in (["sweep", "--grid", "hidden=2", "--grid", "source=digits"], ["train", "--source", "digits"]):
        line = refused(*command, "--task", "mnist")
        assert line.startswith("task 'mnist': ")
        assert "is no IDX file of bytes (it looks like a web page); give MNIST's own files" in line
        assert "cell" not in line
        assert "[[grid]]" not in line
