"""How far sweeps are, told beside their writers and without a trace."""

import os
import shutil
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from freewalk.results.files.export import export_tables
from freewalk.results.schema.configuration import DOCUMENT
from freewalk.results.store.listing import SweepState, state_of, sweeps_in
from freewalk.results.store.lock import is_being_written
from freewalk.results.store.store import Store, TrialRecord

Records = Callable[..., TrialRecord]

DONE = {"outcome": "reached", "reached": True, "train_seconds": 1.5}


def files_in(folder: Path) -> dict[str, tuple[int, bytes]]:
    return {
        str(path.relative_to(folder)): (path.stat().st_mtime_ns, b"" if path.is_dir() else path.read_bytes())
        for path in [folder, *folder.rglob("*")]
    }


def fill(store: Store, record: Records, n: int = 4) -> None:
    """Plan so many trials: the first reaches its target, the second fails, the third runs."""
    store.add_pending(
        [record(f"t{place}", seed=place, task="xor" if place else "and", method="walk") for place in range(n)]
    )
    store.mark_running(["t0", "t1", "t2"])
    store.finish("t0", DONE)
    store.fail("t1", "no luck", {"train_seconds": 0.25})


@pytest.fixture
def stopped(tmp_path: Path, record: Records) -> Path:
    folder = tmp_path / "runs" / "stopped"
    with Store.create(folder, {DOCUMENT: 'name = "mine"\n'}) as store:
        fill(store, record)
        store.mark_interrupted(["t2"])
    return folder


def test_a_stopped_sweep(stopped: Path) -> None:
    before = files_in(stopped)
    found = state_of(stopped)
    assert (found.state, found.name, found.problem) == ("stopped", "mine", "")
    assert (found.tasks, found.methods) == (("and", "xor"), ("walk",))
    counts = (found.n_planned, found.n_done, found.n_failed, found.n_running, found.n_reached)
    assert counts == (4, 2, 1, 0, 1)
    assert found.n_seconds == 1.75
    assert found.progress == "2 of 4 trials, 1 failed"
    assert found.started is not None
    assert found.last_written is not None
    assert abs((found.last_written - found.started).total_seconds()) < 60, "a file system has a clock of its own"
    assert files_in(stopped) == before


def test_a_sweep_that_is_being_written_goes_on_beside_the_look(tmp_path: Path, record: Records) -> None:
    folder = tmp_path / "sweep"
    with Store.create(folder, {}) as store:
        fill(store, record)
        names = set(os.listdir(folder))
        found = state_of(folder)
        assert (found.state, found.name, found.n_done, found.n_running) == ("running", "sweep", 2, 1)
        assert set(os.listdir(folder)) == names
        store.finish("t2", DONE)
        assert state_of(folder).n_done == 3
        store.mark_running(["t3"])
        store.finish("t3", DONE)
    assert state_of(folder).state == "finished"
    assert set(os.listdir(folder)) == {"sweep.sqlite", "sweep.lock"}


def test_a_look_never_keeps_a_writer_out(tmp_path: Path) -> None:
    folder = tmp_path / "sweep"
    Store.create(folder, {}).close()
    over = threading.Event()
    seen = []

    def look() -> None:
        while not over.is_set():
            seen.append(is_being_written(folder))

    threads = [threading.Thread(target=look) for _ in range(2)]
    for thread in threads:
        thread.start()
    try:
        for _ in range(200):
            Store.open(folder).close()
    finally:
        over.set()
        for thread in threads:
            thread.join()
    assert len(seen) > 100


@pytest.mark.parametrize("index", [True, False])
def test_a_killed_sweep_has_its_log_read_and_left_as_it_is(tmp_path: Path, index: bool) -> None:
    script = """
        import os, sys
        from pathlib import Path
        from freewalk.results.store.store import Store, TrialRecord
        store = Store.create(Path(sys.argv[1]), {})
        store.add_pending(
            TrialRecord(trial_id=f"t{n}", task="xor", method="walk", seed=n, parameters={}) for n in range(3)
        )
        store.mark_running(["t0"])
        os.kill(os.getpid(), 9)
    """
    folder = tmp_path / "sweep"
    code = "\n".join(line.removeprefix("        ") for line in script.splitlines())
    subprocess.run([sys.executable, "-c", code, str(folder)], check=False)
    if not index:
        (folder / "sweep.sqlite-shm").unlink()
    before = files_in(folder)
    found = state_of(folder)
    assert (found.state, found.n_planned, found.n_running) == ("stopped", 3, 0)
    assert files_in(folder) == before


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_read_only_archive(stopped: Path) -> None:
    stopped.chmod(0o500)
    try:
        assert state_of(stopped).n_done == 2
    finally:
        stopped.chmod(0o700)


def test_a_folder_of_tables_alone(stopped: Path, tmp_path: Path) -> None:
    with Store.open(stopped, read_only=True) as store:
        export_tables(store, stopped)
    folder = tmp_path / "tables"
    folder.mkdir()
    shutil.copy(stopped / "trials.csv", folder)
    (folder / "sweep.toml").write_text('name = "copied"\n')
    found, original = state_of(folder), state_of(stopped)
    assert (found.name, found.state, found.n_reached) == ("copied", "stopped", 1)
    assert (found.progress, found.started, found.n_seconds) == (original.progress, original.started, 1.75)


def spoil(folder: Path, how: str) -> None:
    path = folder / "sweep.sqlite"
    if how == "rubbish":
        path.write_bytes(b"rubbish" * 100)
    elif how == "cut":
        path.write_bytes(path.read_bytes()[:5000])
    elif how == "folder":
        path.unlink()
        path.mkdir()
    elif how == "table":
        path.unlink()
        (folder / "trials.csv").write_bytes(b"task,state\n\xff\xfe,\n")
    else:
        with sqlite3.connect(path) as connection:
            connection.execute(how)
        connection.close()


@pytest.mark.parametrize(
    ("how", "said"),
    [
        ("rubbish", "not a database"),
        ("cut", "damaged"),
        ("folder", "Is a directory"),
        ("table", "cannot be read"),
        ("PRAGMA user_version = 99", "layout 99"),
        ("PRAGMA application_id = 1", "another program"),
        ("UPDATE sweep SET configuration = 'no JSON'", "cannot be read"),
        ("DROP TABLE trials", "no such table"),
    ],
)
def test_what_cannot_be_read_says_why_in_one_line(stopped: Path, how: str, said: str) -> None:
    spoil(stopped, how)
    before = files_in(stopped)
    found = state_of(stopped)
    assert found.state == "unreadable"
    assert said in found.problem
    assert str(stopped) in found.problem
    assert "\n" not in found.problem
    assert found.progress == "cannot be read"
    assert files_in(stopped) == before


def test_what_is_not_there_yet_is_waited_for(tmp_path: Path) -> None:
    assert state_of(tmp_path / "soon") == SweepState(tmp_path / "soon", "soon", "waiting")
    (tmp_path / "soon").mkdir()
    assert state_of(tmp_path / "soon").state == "waiting"


def test_sweeps_lie_one_or_two_levels_deep_and_inside(tmp_path: Path, stopped: Path) -> None:
    runs = stopped.parent
    for place in ("a/b", "a/b/c", ".hidden", "own"):
        shutil.copytree(stopped, runs / place, ignore=shutil.ignore_patterns("c"))
    shutil.copytree(stopped, tmp_path / "outside")
    (runs / "away").symlink_to(tmp_path / "outside")
    (runs / "latest").symlink_to("own")
    (runs / "loop").symlink_to(".")
    (runs / "borrowed").mkdir()
    (runs / "borrowed" / "sweep.sqlite").symlink_to(tmp_path / "outside" / "sweep.sqlite")
    (runs / "notes.txt").write_text("none")
    assert [str(one.directory.relative_to(runs)) for one in sweeps_in(runs)] == ["a/b", "own", "stopped"]
    (tmp_path / "link").symlink_to(runs)
    assert len(sweeps_in(tmp_path / "link")) == 3
    assert sweeps_in(tmp_path / "nowhere") == []


def test_telling_takes_no_heavy_package_and_milliseconds(tmp_path: Path, record: Records) -> None:
    with Store.create(tmp_path / "sweep", {}) as store:
        store.add_pending(record(f"t{place}", seed=place) for place in range(2000))
    code = (
        "import sys, freewalk.results.store.listing as _;"
        "print(sorted({'pandas', 'scipy', 'matplotlib', 'numba'} & {*sys.modules}))"
    )
    result: Any = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"
    times = []
    for _ in range(5):
        start = time.perf_counter()
        state_of(tmp_path / "sweep")
        times.append(time.perf_counter() - start)
    assert min(times) < 0.1
