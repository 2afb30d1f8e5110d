"""What goes wrong while a sweep runs: kills, signals, second drivers, failing and diverging trials."""

import json
import random
import re
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from disturbed import N_SLOW, SLOW, assert_same_tables, states, tables, wait_for_complete, wait_until

from freewalk.harness.terminal.progress import make_progress
from freewalk.kernels.backend import Backend
from freewalk.results.files.export import read_csv
from freewalk.results.store.store import Store

Harness = Callable[..., Any]


# Anywhere on the way to the store, right after it is there, then among the trials.
@pytest.mark.parametrize("kills", [(None, 1), pytest.param((None, 0, 1, 0, 0, 1, 0), marks=pytest.mark.slow)])
def test_kills_lose_and_double_nothing(
    harness: Harness,
    process: Callable[..., Any],
    tmp_path: Path,
    undisturbed: Path,
    kills: tuple[int | None, ...],
) -> None:
    draw = random.Random(20)
    folder = tmp_path / "killed"
    complete = [0]
    for more in kills:
        running = process("sweep", *SLOW, "--out", "killed")
        if more is None:
            time.sleep(draw.uniform(0.3, 0.9))
        else:
            assert f"{N_SLOW} trials into killed" in running.wait_for_line()
            wait_for_complete(running, folder, complete[-1] + more)
            time.sleep(draw.uniform(0, 0.03))
        running.send(signal.SIGKILL)
        assert running.finish().code == -signal.SIGKILL
        if (folder / "sweep.sqlite").exists():
            found = states(folder)
            assert sum(found.values()) in (0, N_SLOW)
            complete.append(found.get("complete", 0))
            with Store.open(folder, read_only=True) as store:
                done = store.trials().query("state == 'complete'")
                assert set(store.curves()["trial_id"]) == set(done["trial_id"]), "a row and its curve, or neither"
    assert complete == sorted(complete), "what was complete stays complete"
    assert sum(filter(None, kills)) <= complete[-1] < N_SLOW, "the kills came among the trials"
    result = harness("sweep", *SLOW, "--out", "killed")
    assert result.code == 0, result.err
    assert f"{complete[-1]} of them done before" in result.err
    assert_same_tables(tmp_path / "killed", undisturbed)


@pytest.mark.parametrize("number", [signal.SIGINT, pytest.param(signal.SIGTERM, marks=pytest.mark.slow)])
def test_a_signal_stops_in_order_and_the_same_command_resumes(
    harness: Harness, process: Callable[..., Any], tmp_path: Path, undisturbed: Path, number: signal.Signals
) -> None:
    running = process("sweep", *SLOW, "--out", "out")
    assert running.wait_for_line().startswith(f"{N_SLOW} trials into out")
    wait_for_complete(running, tmp_path / "out", 3)
    start = time.perf_counter()
    running.send(number)
    result = running.finish()
    assert time.perf_counter() - start < 6
    assert result.code == 130, result.err
    assert "Traceback" not in result.err
    assert "interrupted; the same command resumes, finished trials are in out" in result.err.splitlines()[-1]
    assert "tables in out" in result.out
    found = states(tmp_path / "out")
    assert 0 < found["complete"] < N_SLOW
    assert set(found) <= {"complete", "interrupted", "pending"}
    assert len(read_csv(tmp_path / "out" / "trials.csv")) == N_SLOW, "the tables are there too"
    again = harness("sweep", *SLOW, "--out", "out")
    assert again.code == 0
    assert f"{found['complete']} of them done before" in again.err
    assert_same_tables(tmp_path / "out", undisturbed)


def test_a_signal_in_a_long_epoch_is_heard_and_a_second_driver_is_not(
    process: Callable[..., Any], refused: Callable[..., str], tmp_path: Path
) -> None:
    arguments = (
        "sweep",
        "--task",
        "shifted-sums",
        "--steps-per-epoch",
        100_000,
        "--epochs",
        2,
        "--grid",
        "update=raw",
        "--threads",
        1,
        "--out",
        "out",
    )
    running = process(*arguments)
    assert "3 trials into out" in running.wait_for_line()
    # on one thread no second trial begins: nothing is written from here on
    wait_until(lambda: states(tmp_path / "out").get("running"), running)
    with Store.open(tmp_path / "out", read_only=True) as store:
        before = store.trials()
    line = refused(*arguments)
    assert f"out is being written by process {running.pid}: wait until it ends, or pick another --out" in line
    with Store.open(tmp_path / "out", read_only=True) as store:
        pd.testing.assert_frame_equal(store.trials(), before)
    start = time.perf_counter()
    running.send(signal.SIGINT)
    result = running.finish()
    assert time.perf_counter() - start < 6
    assert result.code == 130
    assert "shifted-sums: no trial has finished" in result.out
    assert "Best first" not in result.out, "how to read a table that is not there"
    assert states(tmp_path / "out")["interrupted"] >= 1


def test_a_signal_while_something_is_shown(
    harness: Harness, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, tiny: tuple[str, ...]
) -> None:
    shown: list[object] = []

    def interrupting(*arguments: Any, **options: Any) -> Any:
        progress = make_progress(*arguments, **options)
        show = progress.show

        def interrupt(event: Any) -> None:
            show(event)
            shown.append(event)
            if len(shown) == 4:
                raise KeyboardInterrupt

        monkeypatch.setattr(progress, "show", interrupt)
        return progress

    monkeypatch.setattr("freewalk.harness.terminal.progress.make_progress", interrupting)
    result = harness("sweep", *tiny, "--json", "--out", "out")
    monkeypatch.undo()
    assert result.code == 130
    assert json.loads(result.out)["n_trials"] == 8
    assert "running" not in json.loads(result.out)["states"]
    monkeypatch.chdir(tmp_path)
    assert harness("sweep", *tiny, "--out", "out").code == 0
    assert states(tmp_path / "out") == {"complete": 8}


def test_a_signal_that_takes_a_result_with_it_leaves_no_trial_running(
    harness: Harness, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, tiny: tuple[str, ...]
) -> None:
    finish = Store.finish
    calls: list[str] = []

    def interrupted(self: Store, trial_id: str, *arguments: Any) -> None:
        calls.append(trial_id)
        if len(calls) == 3:
            raise KeyboardInterrupt
        finish(self, trial_id, *arguments)

    monkeypatch.setattr(Store, "finish", interrupted)
    assert harness("sweep", *tiny, "--quiet", "--out", "out").code == 130
    found = states(tmp_path / "out")
    assert found["interrupted"] >= 1
    assert set(found) <= {"complete", "interrupted", "pending"}
    assert harness("sweep", *tiny, "--quiet", "--out", "out").code == 0
    assert states(tmp_path / "out") == {"complete": 8}
    assert calls.count(calls[2]) == 2, "it was run again"


def break_trials(monkeypatch: pytest.MonkeyPatch, is_broken: Callable[[Any, Any, int], bool], error: Exception) -> None:
    """Let trials fail where they are made, alone or in a batch; `is_broken` sees network, configuration and seed."""
    make_walk, make_pack = Backend.make_walk, Backend.make_pack

    def walk(self: Backend, network: Any, configuration: Any, data: Any, **options: Any) -> Any:
        if is_broken(network, configuration, options["seed"]):
            raise error
        return make_walk(self, network, configuration, data, **options)

    def batch(self: Backend, network: Any, data: Any, trials: Any, **options: Any) -> Any:
        if any(is_broken(network, trial.configuration, trial.seed) for trial in trials):
            raise error
        return make_pack(self, network, data, trials, **options)

    monkeypatch.setattr(Backend, "make_walk", walk)
    monkeypatch.setattr(Backend, "make_pack", batch)


@pytest.fixture
def break_one(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """Let one trial of the tiny sweep fail; the function that is given mends it again."""
    whole = Backend.make_walk, Backend.make_pack

    def is_broken(network: Any, configuration: Any, seed: int) -> bool:
        return (network.n_input, configuration.stddev, seed) == (2, 0.5, 1)

    def mend() -> None:
        monkeypatch.setattr(Backend, "make_walk", whole[0])
        monkeypatch.setattr(Backend, "make_pack", whole[1])

    break_trials(monkeypatch, is_broken, MemoryError("no room\nfor this one"))
    return mend


def test_a_failed_trial_is_a_row_and_the_others_go_on(
    harness: Harness, tmp_path: Path, tiny: tuple[str, ...], break_one: Callable[[], None]
) -> None:
    result = harness("sweep", *tiny, "--out", "out")
    assert result.code == 1
    assert "failed: xor" in result.err
    assert "MemoryError: no room for this one" in result.err
    assert "1 failed" in result.out
    trials = read_csv(tmp_path / "out" / "trials.csv")
    (row,) = trials[trials["state"] == "failed"].to_dict("records")
    assert (row["task"], row["param_stddev"], row["seed"]) == ("xor", 0.5, 1)
    assert re.fullmatch(r"MemoryError: no room for this one \(test_faults\.py, line \d+\)", row["error"])
    assert pd.isna(row["outcome"])
    assert (trials["state"] == "complete").sum() == 7
    summary = read_csv(tmp_path / "out" / "summary.csv", "summary")
    assert summary["n_failed"].tolist() == [0, 1, 0, 0]
    assert summary["n_complete"].tolist() == [2, 1, 2, 2]

    break_one()
    again = harness("sweep", *tiny, "--out", "out")
    assert again.code == 1, "without being asked, a failed trial stays failed"
    assert states(tmp_path / "out") == {"complete": 7, "failed": 1}
    kept = read_csv(tmp_path / "out" / "trials.csv")
    retried = harness("sweep", *tiny, "--retry-failed", "--out", "out")
    assert retried.code == 0
    assert "7 of them done before" in retried.err
    after = read_csv(tmp_path / "out" / "trials.csv")
    assert after["error"].isna().all()
    whole = kept["state"] == "complete"
    pd.testing.assert_frame_equal(after[whole], kept[whole], check_exact=True)
    assert harness("sweep", *tiny, "--quiet", "--out", "fresh").code == 0
    assert_same_tables(tmp_path / "out", tmp_path / "fresh")


def test_a_trial_that_fails_again_is_failed_again(
    harness: Harness, tmp_path: Path, tiny: tuple[str, ...], break_one: Callable[[], None]
) -> None:
    for _ in range(2):
        assert harness("sweep", *tiny, "--retry-failed", "--quiet", "--out", "out").code == 1
        assert states(tmp_path / "out") == {"complete": 7, "failed": 1}
    assert json.loads(harness("sweep", *tiny, "--json", "--out", "out").out)["states"]["failed"] == 1


def test_fail_fast_stops_at_the_first_failure(
    harness: Harness, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    break_trials(monkeypatch, lambda network, configuration, seed: seed == 0, ValueError("seed 0 is broken"))
    arguments = ("sweep", *SLOW, "--fail-fast", "--out", "out")
    assert harness(*arguments).code == 1
    found = states(tmp_path / "out")
    assert found["failed"] >= 1
    assert found["pending"] > N_SLOW // 3
    assert sum(found.values()) == N_SLOW
    monkeypatch.undo()
    monkeypatch.chdir(tmp_path)
    assert harness("sweep", *SLOW, "--retry-failed", "--quiet", "--out", "out").code == 0
    assert states(tmp_path / "out") == {"complete": N_SLOW}


def test_divergence_harms_no_other_trial(harness: Harness, tmp_path: Path) -> None:
    common = ("--task", "xor", "--seeds", "0:2", "--epochs", 4, "--steps-per-epoch", 5, "--grid", "batch_size=16")
    update = ("--grid", "update=normalised")
    wild = ("--grid", "learning_rate=0.1,1e300")
    assert harness("sweep", *common, *update, *wild, "--out", "wild").code == 0
    assert harness("sweep", *common, *update, "--grid", "learning_rate=0.1", "--out", "tame").code == 0
    found, tame = tables(tmp_path / "wild"), tables(tmp_path / "tame")
    diverged = found["trials"]["param_learning_rate"] == 1e300
    assert set(found["trials"][diverged]["outcome"]) == {"diverged"}
    assert found["trials"][diverged]["loss_final"].isna().all()
    assert not found["trials"][diverged]["reached"].any()
    others = found["trials"][~diverged].drop(columns="sweep_id").reset_index(drop=True)
    pd.testing.assert_frame_equal(others, tame["trials"].drop(columns="sweep_id"), check_exact=True)
    # In the summary a diverged trial counts as the worst there is.
    assert found["summary"]["loss_final_median"].tolist()[1] == float("inf")


def test_a_full_disk_is_one_line(
    harness: Harness, monkeypatch: pytest.MonkeyPatch, tiny: tuple[str, ...], tmp_path: Path
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    result = harness("sweep", *tiny, "--quiet", "--out", "out")
    assert result.code == 2
    assert result.err.count("\n") == 1
    assert "No space left on device" in result.err
    assert "--out" in result.err
    assert not list(tmp_path.glob("out/.*.tmp")), "no half-written file is left"
