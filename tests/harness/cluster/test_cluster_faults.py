"""Kills and signals while a sweep runs on worker processes: nothing is lost, nothing doubled, nobody left behind."""

import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from disturbed import (
    N_SLOW,
    SLOW,
    assert_same_tables,
    progress,
    states,
    wait_for_complete,
    wait_until,
)

from freewalk.results.store.store import Store

pytest.importorskip("distributed", reason="needs Dask: pip install dask distributed")
import psutil  # Dask stands on it

from freewalk.harness.cluster.local import LocalWorkers

Harness = Callable[..., Any]
Start = Callable[..., Any]

# Slices of a twentieth of a second: a trial takes several, so that kills find it between two.
ON_TWO = ("sweep", *SLOW, "--workers", 2, "--checkpoint", 0.05, "--out", "out")


def workers_of(driver: Any) -> list[psutil.Process]:
    """Return the worker processes of a driver, the first to be started first."""
    return psutil.Process(driver.pid).children()


def scratch_folders(workers: list[psutil.Process]) -> set[Path]:
    return {Path(worker.cmdline()[-1]).parent for worker in workers}


def wait_for_workers(driver: Any, n: int) -> list[psutil.Process]:
    wait_until(lambda: len(workers_of(driver)) == n, driver)
    return workers_of(driver)


def all_gone(workers: list[psutil.Process]) -> bool:
    return all(not worker.is_running() or worker.status() == psutil.STATUS_ZOMBIE for worker in workers)


@pytest.mark.parametrize("n_kills", [2, pytest.param(16, marks=pytest.mark.slow)])
def test_killed_workers_change_nothing(process: Start, tmp_path: Path, undisturbed: Path, n_kills: int) -> None:
    draw = random.Random(30)
    running = process(*ON_TWO)
    running.wait_for_line()
    wait_until((tmp_path / "out" / "sweep.sqlite").exists, running)
    n_killed, before = 0, (0, 0.0)
    while n_killed < n_kills:
        wait_until(lambda: progress(tmp_path / "out") > before, running)  # noqa: B023 - called at once
        time.sleep(draw.uniform(0, 0.1))
        before = progress(tmp_path / "out")
        for worker in workers_of(running):
            worker.send_signal(signal.SIGKILL)
            n_killed += 1
    assert before[0] < N_SLOW, "the kills came too late"
    result = running.finish(timeout=300)
    assert result.code == 0, result.err
    assert "2 workers died and are replaced" in result.err
    assert " lost with a worker and made again" in result.err
    assert states(tmp_path / "out") == {"complete": N_SLOW}
    assert_same_tables(tmp_path / "out", undisturbed)


def test_a_worker_that_dies_before_it_is_told_its_keys_is_replaced() -> None:
    address = "tls://127.0.0.1:1"

    def told_too_late() -> bytes:
        own = [child for child in psutil.Process().children() if not all_gone([child]) and address in child.cmdline()]
        for worker in own:
            worker.kill()
        wait_until(lambda: all_gone(own))
        return b"keys\n"

    workers = LocalWorkers(2, address, SimpleNamespace(to_line=told_too_late))  # type: ignore[arg-type]
    for _ in range(3):
        assert len(workers.tend()) == 2
    workers.close()


@pytest.mark.parametrize("n_kills", [1, pytest.param(4, marks=pytest.mark.slow)])
def test_killed_drivers_leave_no_workers_and_a_sweep_to_resume(
    harness: Harness, process: Start, tmp_path: Path, undisturbed: Path, n_kills: int
) -> None:
    draw = random.Random(6)
    folder = tmp_path / "out"
    before = (0, 0.0)
    for _ in range(n_kills):
        running = process(*ON_TWO)
        assert "cluster of 2 workers" in running.wait_for_line()
        workers = wait_for_workers(running, 2)
        scratch = scratch_folders(workers)
        assert all(path.exists() for path in scratch)
        wait_until(lambda: progress(folder) > before, running)  # noqa: B023 - called at once
        time.sleep(draw.uniform(0, 0.1))
        running.send(signal.SIGKILL)
        assert running.finish().code == -signal.SIGKILL
        wait_until(lambda: all_gone(workers), seconds=10)  # noqa: B023 - called at once
        wait_until(lambda: not any(path.exists() for path in scratch), seconds=10)  # noqa: B023 - called at once
        found = progress(folder)
        assert found[0] >= before[0], "what was complete stays complete"
        before = found
        with Store.open(folder, read_only=True) as store:
            done = store.trials().query("state == 'complete'")
            assert set(store.curves()["trial_id"]) == set(done["trial_id"]), "a row and its curve, or neither"
    assert before[0] < N_SLOW, "the kills came too late"
    result = harness("sweep", *SLOW, "--quiet", "--out", "out")  # on threads, what was begun on workers
    assert result.code == 0, result.err
    assert_same_tables(folder, undisturbed)


@pytest.mark.parametrize("number", [signal.SIGTERM, pytest.param(signal.SIGINT, marks=pytest.mark.slow)])
def test_a_signal_stops_in_order_and_keeps_what_is_done(
    harness: Harness, process: Start, tmp_path: Path, undisturbed: Path, number: signal.Signals
) -> None:
    running = process("sweep", *SLOW, "--workers", 2, "--out", "out")
    running.wait_for_line()
    workers = wait_for_workers(running, 2)
    scratch = scratch_folders(workers)
    wait_until((tmp_path / "out" / "sweep.sqlite").exists, running)
    wait_for_complete(running, tmp_path / "out", 3)
    start = time.perf_counter()
    running.send(number)
    result = running.finish()
    assert time.perf_counter() - start < 8
    assert result.code == 130, result.err
    assert "Traceback" not in result.err
    assert "interrupted; the same command resumes, finished trials are in out" in result.err.splitlines()[-1]
    assert all_gone(workers)
    assert not any(path.exists() for path in scratch)
    found = states(tmp_path / "out")
    assert 0 < found["complete"] < N_SLOW
    assert set(found) <= {"complete", "interrupted", "pending"}
    assert harness("sweep", *SLOW, "--quiet", "--workers", 1, "--out", "out").code == 0
    assert_same_tables(tmp_path / "out", undisturbed)


def test_a_second_driver_is_refused_before_it_starts_a_worker(process: Start, harness: Harness, tmp_path: Path) -> None:
    long = ("--grid", "update=raw", "--steps-per-epoch", 100_000, "--epochs", 2)
    arguments = ("sweep", "--task", "shifted-sums", *long, "--out", "out")
    first = process(*arguments, "--workers", 1)
    first.wait_for_line()
    wait_until((tmp_path / "out" / "sweep.sqlite").exists, first)
    wait_until(lambda: states(tmp_path / "out").get("running"), first)
    second = harness(*arguments, "--workers", 2)
    assert (second.code, second.out, second.err.count("\n")) == (2, "", 1)
    assert f"out is being written by process {first.pid}: wait until it ends, or pick another --out" in second.err
    assert first.is_alive
    first.send(signal.SIGINT)
    assert first.finish().code == 130
    assert states(tmp_path / "out")["interrupted"] >= 1


def test_a_lost_scheduler_ends_the_sweep_in_one_line_and_the_store_goes_on(
    harness: Harness, process: Start, tmp_path: Path, undisturbed: Path, remote_cluster: Callable[..., Any]
) -> None:
    cluster = remote_cluster(n_workers=2)
    arguments = ("sweep", *SLOW, "--cluster", cluster.address, "--out", "out")
    running = process(*arguments)
    assert "cluster of 2 workers, 2 threads" in running.wait_for_line()
    wait_until((tmp_path / "out" / "sweep.sqlite").exists, running)
    wait_for_complete(running, tmp_path / "out", 3)
    cluster.scheduler.kill()
    result = running.finish()
    assert result.code == 2, result.err
    said = f"harness: error: --cluster {cluster.address}: the scheduler no longer answers"
    assert result.err.splitlines()[-1] == f"{said}; start it again: the same command resumes"
    assert "Traceback" not in result.err
    assert states(tmp_path / "out")["complete"] >= 3
    assert harness("sweep", *SLOW, "--quiet", "--out", "out").code == 0
    assert_same_tables(tmp_path / "out", undisturbed)


def test_workers_elsewhere_come_and_go(
    process: Start, tmp_path: Path, undisturbed: Path, remote_cluster: Callable[..., Any]
) -> None:
    cluster = remote_cluster(n_workers=1, n_threads=2)
    running = process("sweep", *SLOW, "--cluster", cluster.address, "--checkpoint", 0.05, "--out", "out")
    assert "cluster of 1 worker, 2 threads" in running.wait_for_line()
    wait_until((tmp_path / "out" / "sweep.sqlite").exists, running)
    wait_for_complete(running, tmp_path / "out", 3)
    cluster.workers[0].kill()
    cluster.add_worker()  # comes later than the sweep began, and finishes it
    result = running.finish(timeout=300)
    assert result.code == 0, result.err
    assert cluster.workers[1].poll() is None, "a cluster of somebody else stays"
    assert_same_tables(tmp_path / "out", undisturbed)


def test_a_worker_ends_with_the_pipe_to_its_driver(tmp_path: Path) -> None:
    (tmp_path / "scratch").mkdir()
    command = [
        sys.executable,
        "-m",
        "freewalk.harness.cluster.process",
        "tcp://127.0.0.1:1",
        "w",
        str(tmp_path / "scratch"),
    ]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stderr=subprocess.DEVNULL) as worker:
        assert worker.stdin is not None
        worker.stdin.close()
        assert worker.wait(timeout=20) == 1
    assert not (tmp_path / "scratch").exists()
