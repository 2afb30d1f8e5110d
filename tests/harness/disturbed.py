"""A sweep to disturb, what it leaves when nobody does, and how to look at one that runs."""

import sqlite3
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pandas as pd

import freewalk
from freewalk.results.files.export import read_csv
from freewalk.results.store.store import Store

VOLATILE = [
    *("started_at", "finished_at", "train_seconds", "evaluation_seconds", "compile_seconds"),
    *("seconds_to_target", "peak_memory_mb", "seconds_to_target_median", "ert_seconds"),
]
# 18 trials of a few tenths of a second: kills find some done, some running, some to come.
SLOW = (
    *("--task", "shifted-sums", "--task", "xor", "--seeds", "0:3", "--epochs", "8", "--steps-per-epoch", "50"),
    *("--grid", "stddev=0.01,0.1,1", "--grid", "batch_size=1000", "--grid", "update=normalised"),
    *("--grid", "hidden=30", "--grid", "optimizer=sgd", "--evaluation-points", "256"),
)
N_SLOW = 18


def run_undisturbed(folder: Path) -> None:
    """Run the slow sweep from Python."""
    freewalk.sweep(
        ["stddev=0.01,0.1,1", "batch_size=1000", "update=normalised", "hidden=30", "optimizer=sgd"],
        task=["shifted-sums", "xor"],
        seeds=range(3),
        epochs=8,
        steps_per_epoch=50,
        evaluation_points=256,
        out=folder,
    )


def tables(folder: Path) -> dict[str, pd.DataFrame]:
    found = {name: read_csv(folder / f"{name}.csv", name) for name in ("trials", "curves", "summary")}  # type: ignore[arg-type]
    return {
        name: frame.drop(columns=[column for column in VOLATILE if column in frame.columns])
        for name, frame in found.items()
    }


def assert_same_tables(one: Path, other: Path) -> None:
    left, right = tables(one), tables(other)
    for name in left:
        pd.testing.assert_frame_equal(left[name], right[name], check_exact=True)


def states(folder: Path) -> dict[str, int]:
    with Store.open(folder, read_only=True) as store:
        return {str(state): n for state, n in store.counts().items() if n}


def progress(folder: Path) -> tuple[int, float]:
    """Return the complete trials, and the steps of those that have a checkpoint."""
    query = "SELECT (SELECT count(*) FROM trials WHERE state = 'complete'), (SELECT total(step) FROM checkpoints)"
    with closing(sqlite3.connect(f"file:{folder / 'sweep.sqlite'}?mode=ro", uri=True, timeout=30)) as connection:
        n_complete, steps = connection.execute(query).fetchone()
    return int(n_complete), float(steps)


def wait_until(true: Callable[[], Any], running: Any = None, seconds: float = 60.0) -> None:
    """Return when something is true; fail if it takes too long, or the process that works on it ends."""
    deadline = time.monotonic() + seconds
    while not true():
        assert running is None or running.is_alive, running.finish()
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.04)  # to look costs the processor something, too


def wait_for_complete(running: Any, folder: Path, n: int) -> None:
    """Return when the sweep that another process writes has n complete trials."""
    wait_until(lambda: states(folder).get("complete", 0) >= n, running)
