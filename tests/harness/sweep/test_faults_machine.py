"""What a machine does to a sweep: kills between checkpoints, a full disk, a disk for reading only, a clock that jumps,
bits that flip."""

import os
import random
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from disturbed import (
    N_SLOW,
    SLOW,
    assert_same_tables,
    progress,
    states,
    wait_until,
)

from freewalk.results.store.database import check_database
from freewalk.results.store.store import Store, StoreError

Harness = Callable[..., Any]
Start = Callable[..., Any]


@pytest.mark.parametrize("n_kills", [1, pytest.param(8, marks=pytest.mark.slow)])
def test_kills_between_checkpoints_change_nothing(
    harness: Harness, process: Start, tmp_path: Path, undisturbed: Path, n_kills: int
) -> None:
    draw = random.Random(14)
    folder = tmp_path / "out"
    before = (0, 0.0)
    for _ in range(n_kills):
        running = process("sweep", *SLOW, "--checkpoint", 0.03, "--out", "out")
        assert f"{N_SLOW} trials into out" in running.wait_for_line()
        wait_until(lambda: progress(folder) > before, running)  # noqa: B023 - called at once
        time.sleep(draw.uniform(0, 0.05))
        running.send(signal.SIGKILL)
        assert running.finish().code == -signal.SIGKILL
        found = progress(folder)
        assert found[0] >= before[0], "what was complete stays complete"
        before = found
    assert before[0] < N_SLOW, "the kills came too late"
    result = harness("sweep", *SLOW, "--out", "out")
    assert result.code == 0, result.err
    assert "from a checkpoint" in result.err, "the last kill left a trial half done"
    assert_same_tables(folder, undisturbed)


def in_a_mount_of_its_own(script: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """Run a shell script that sees its own mounts; skip where this user may not mount."""
    command = ["unshare", "--mount", "sh", "-euc"]
    if shutil.which("unshare") is None:
        pytest.skip("there is no unshare")
    can = subprocess.run([*command, f"mount -t tmpfs tmpfs {folder}"], capture_output=True, text=True, check=False)
    if can.returncode:
        pytest.skip(f"this user may not mount: {can.stderr.strip()}")
    main = f"{sys.executable} -c 'from freewalk.harness.cli import main; main()'"
    script = script.replace("HARNESS", f"{main} sweep {' '.join(SLOW)}")
    return subprocess.run([*command, script], cwd=folder, capture_output=True, text=True, check=False, timeout=120)


@pytest.mark.parametrize("kilobytes", [140, *(pytest.param(size, marks=pytest.mark.slow) for size in (100, 180))])
def test_a_disk_that_fills_up_is_one_line_and_the_same_command_goes_on(
    harness: Harness, tmp_path: Path, undisturbed: Path, kilobytes: int
) -> None:
    """140 are too small for the database's log, 100 for the database itself, 180 for the tables."""
    (tmp_path / "disk").mkdir()
    script = f"""
        mount -t tmpfs -o size={kilobytes}k tmpfs disk
        HARNESS --out disk/out || echo $? > code
        cp -r disk/out saved
    """
    done = in_a_mount_of_its_own(script, tmp_path)
    assert (tmp_path / "code").exists(), f"it did not fill up: {done.stderr}"
    assert (tmp_path / "code").read_text() == "2\n", done.stderr
    last = done.stderr.splitlines()[-1]
    assert last.startswith("harness: error: --out: ")
    assert "full" in last or "No space left on device" in last
    assert "pick another --out" in last
    assert "Traceback" not in done.stderr
    before = states(tmp_path / "saved").get("complete", 0) if (tmp_path / "saved" / "sweep.sqlite").exists() else 0
    result = harness("sweep", *SLOW, "--out", "saved")
    assert result.code == 0, result.err
    assert before == 0 or f"{before} of them done before" in result.err
    assert_same_tables(tmp_path / "saved", undisturbed)


def test_a_disk_for_reading_only_is_one_line(tmp_path: Path, undisturbed: Path) -> None:
    shutil.copytree(undisturbed, tmp_path / "before")
    (tmp_path / "disk").mkdir()
    script = """
        mount -t tmpfs tmpfs disk
        cp -r before disk/out
        mount -o remount,ro disk
        HARNESS --out disk/out || echo $? > code
        HARNESS --out disk/new || echo $? > code_of_new
        diff -r before disk/out
    """
    done = in_a_mount_of_its_own(script, tmp_path)
    assert done.returncode == 0, done.stderr + done.stdout
    assert (tmp_path / "code").read_text() == (tmp_path / "code_of_new").read_text() == "2\n"
    for line, name in zip(done.stderr.splitlines(), ("disk/out", "disk/new"), strict=True):
        assert line.startswith("harness: error: --out: cannot ")
        assert name in line
        assert line.endswith("Read-only file system; pick another --out")


JUMPING = """
import datetime, time

true, start = time.time, time.monotonic()

def jumping():
    n_jumps = int((time.monotonic() - start) / {seconds})
    return true() + sum({jumps}[k % 4] for k in range(n_jumps))

class Jumping:
    def now(self, zone):
        return datetime.datetime.fromtimestamp(jumping(), zone)

time.time = jumping
import freewalk.results.store.rows
freewalk.results.store.rows.datetime = Jumping()
"""


# Dask's own deadlines go by the wall clock: it waits for as long as that is set back, and a connection takes no jumps.
@pytest.mark.parametrize(
    ("options", "seconds", "jumps"),
    [
        ((), 0.05, [-1e6, 86400.0, 1e6, -3600.0]),
        pytest.param(("--workers", 2), 1.0, [7200.0, -2.0, 86400.0, 1.0], marks=pytest.mark.slow),
    ],
    ids=["threads", "workers"],
)
def test_a_clock_that_jumps_changes_nothing_but_the_times(
    process: Start,
    tmp_path: Path,
    undisturbed: Path,
    options: tuple[object, ...],
    seconds: float,
    jumps: list[float],
) -> None:
    if options:
        pytest.importorskip("distributed", reason="needs Dask: pip install dask distributed")
    (tmp_path / "clock").mkdir()
    (tmp_path / "clock" / "sitecustomize.py").write_text(JUMPING.format(seconds=seconds, jumps=jumps))
    path = os.pathsep.join([str(tmp_path / "clock"), *filter(None, [os.environ.get("PYTHONPATH")])])
    arguments = ("sweep", *SLOW, "--checkpoint", 0.05, *options, "--out", "out")
    first = process(*arguments, environment={"PYTHONPATH": path})
    first.wait_for_line()
    wait_until((tmp_path / "out" / "sweep.sqlite").exists, first)
    wait_until(lambda: progress(tmp_path / "out")[0] > 3, first)
    first.send(signal.SIGKILL)
    first.finish()
    result = process(*arguments, environment={"PYTHONPATH": path}).finish(timeout=300)
    assert result.code == 0, result.err
    with Store.open(tmp_path / "out", read_only=True) as store:
        times = pd.to_datetime(store.trials()["finished_at"])
    assert times.max() - times.min() > pd.Timedelta(hours=1), "the clock did jump"
    assert_same_tables(tmp_path / "out", undisturbed)


def flip(path: Path, position: int, bit: int) -> None:
    data = bytearray(path.read_bytes())
    data[position] ^= 1 << bit
    path.write_bytes(data)


def pages_of_tables(path: Path) -> list[int]:
    """Return where the pages of a database begin that hold rows or keys."""
    with closing(sqlite3.connect(path)) as connection:
        (size,) = connection.execute("PRAGMA page_size").fetchone()
        (count,) = connection.execute("PRAGMA page_count").fetchone()
    data = path.read_bytes()
    return [page * size for page in range(1, count) if data[page * size] in (2, 5, 10, 13)]


@pytest.mark.parametrize("n_anywhere", [8, pytest.param(40, marks=pytest.mark.slow)])
def test_a_flipped_bit_is_refused_or_harmless_and_the_file_stays(
    harness: Harness, tmp_path: Path, undisturbed: Path, n_anywhere: int
) -> None:
    """Every bit that says anything is missed: the database's structure, the plan, results and curves."""
    draw = random.Random(24)
    whole = (undisturbed / "sweep.sqlite").read_bytes()
    structural = [0, 5, *(page + offset for page in pages_of_tables(undisturbed / "sweep.sqlite") for offset in (0, 5))]
    anywhere = [draw.randrange(100, len(whole)) for _ in range(n_anywhere)]
    found = []
    for number, position in enumerate([*draw.sample(structural, 8), *anywhere]):
        folder = tmp_path / f"flipped{number}"
        shutil.copytree(undisturbed, folder)
        flip(folder / "sweep.sqlite", position, draw.randrange(8))
        before = (folder / "sweep.sqlite").read_bytes()
        result = harness("sweep", *SLOW, "--out", folder)
        assert result.code in (0, 2), result.err
        found.append(result.code == 2)
        if result.code == 2:
            assert result.err.splitlines()[-1].startswith("harness: error: --out: ")
            assert "sweep.sqlite is damaged" in result.err or "holds another sweep" in result.err
            assert (folder / "sweep.sqlite").read_bytes() == before
        else:
            assert_same_tables(folder, undisturbed)
    assert all(found[:8])
    assert sum(found) > len(found) / 2, "most of a store is values"


def test_a_database_cut_anywhere_is_refused_and_stays(undisturbed: Path, tmp_path: Path) -> None:
    draw = random.Random(40)
    whole = (undisturbed / "sweep.sqlite").read_bytes()
    path = tmp_path / "sweep.sqlite"
    for length in (draw.randrange(1, len(whole)) for _ in range(40)):
        path.write_bytes(whole[:length])
        with pytest.raises(StoreError, match=r"sweep\.sqlite.*(damaged|not a database)"):
            check_database(path)
        assert path.read_bytes() == whole[:length]
