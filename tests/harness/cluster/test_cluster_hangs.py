"""Workers that hang: what they had is done elsewhere, to the same bits, and nothing is counted twice."""

import asyncio
import math
import signal
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from disturbed import (
    N_SLOW,
    SLOW,
    assert_same_tables,
    states,
    wait_until,
)

from freewalk.harness.engine.work import Work
from freewalk.harness.plan import plugins
from freewalk.harness.plan.budget import Budget
from freewalk.harness.plan.plan import Plan
from freewalk.harness.trial.events import Finished, Started
from freewalk.results.files.export import read_csv

pytest.importorskip("distributed", reason="needs Dask: pip install 'freewalk[cluster]'")
from freewalk.harness.cluster import connection, flight, members, remote, waiting
from freewalk.harness.cluster.dispatch import Dispatch
from freewalk.harness.cluster.flight import Flight
from freewalk.harness.cluster.members import Member
from freewalk.harness.cluster.waiting import Piece

psutil = pytest.importorskip("psutil")  # Dask stands on it

Harness = Callable[..., Any]


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Wait seconds where a sweep waits for a minute."""
    for module in (members, flight):
        monkeypatch.setattr(module, "SECONDS_BETWEEN_PULSES", 0.5)
    monkeypatch.setattr(members, "SILENT_SECONDS", 12.0)
    monkeypatch.setattr(flight, "STUCK_SECONDS", 12.0)
    monkeypatch.setattr(flight, "LONGER_EACH_TIME", 1.0)
    monkeypatch.setattr(flight, "_TIMES_THE_LONGEST", 2.0)
    yield
    plugins.unload_all()


def local_workers() -> list[Any]:
    return [one for one in psutil.Process().children() if "freewalk.harness.cluster.process" in one.cmdline()]


def beside(folder: Path, n_complete: int, act: Callable[[], None]) -> threading.Thread:
    """Act in another thread when so many trials of a sweep are complete."""

    def wait_and_act() -> None:
        wait_until((folder / "sweep.sqlite").exists)
        wait_until(lambda: states(folder).get("complete", 0) >= n_complete)
        act()

    thread = threading.Thread(target=wait_and_act)
    thread.start()
    return thread


@pytest.mark.parametrize("n_workers", [2, pytest.param(1, marks=pytest.mark.slow)])
def test_a_stopped_process_is_replaced(harness: Harness, tmp_path: Path, undisturbed: Path, n_workers: int) -> None:
    stopped: list[Any] = []

    def stop() -> None:
        stopped.append(local_workers()[0])
        stopped[0].suspend()

    thread = beside(tmp_path / "out", 3, stop)
    result = harness("sweep", *SLOW, "--workers", n_workers, "--checkpoint", 0.05, "--out", "out")
    thread.join()
    assert result.code == 0, result.err
    said = [line for line in result.err.splitlines() if line.startswith("harness: worker tls://127.0.0.1:")]
    assert len(said) == 1
    assert said[0].endswith(" is ended and replaced: it has not answered for 12 s; what it had is done again")
    assert not stopped[0].is_running()
    assert states(tmp_path / "out") == {"complete": N_SLOW}
    assert_same_tables(tmp_path / "out", undisturbed)


@pytest.mark.slow
def test_a_stopped_worker_elsewhere_is_left_out(
    harness: Harness, tmp_path: Path, undisturbed: Path, remote_cluster: Callable[..., Any]
) -> None:
    cluster = remote_cluster(n_workers=2)
    cluster.wait_for_workers(2)
    thread = beside(tmp_path / "out", 3, lambda: cluster.workers[0].send_signal(signal.SIGSTOP))
    result = harness("sweep", *SLOW, "--cluster", cluster.address, "--checkpoint", 0.05, "--out", "out")
    thread.join()
    assert result.code == 0, result.err
    (line,) = [line for line in result.err.splitlines() if " is left out: " in line]
    assert line.endswith(" is left out: it has not answered for 12 s; what it had is done elsewhere")
    assert cluster.workers[0].poll() is None, "a cluster of somebody else stays"
    assert_same_tables(tmp_path / "out", undisturbed)


class LateClient:
    """Runs slices at once, but holds back what one worker says."""

    def __init__(self) -> None:
        self.held: list[tuple[bytes, asyncio.Future[bytes]]] = []

    def submit(self, run: Callable[[bytes], bytes], payload: bytes, *, workers: list[str], **_: object) -> Any:
        answer: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        if workers == ["late"]:
            self.held.append((payload, answer))
        else:
            answer.set_result(run(payload))
        return answer

    def say_what_was_held(self) -> None:
        for payload, answer in self.held:
            if not answer.done():
                answer.set_result(remote.run(payload))


@pytest.mark.parametrize("again", [False, True], ids=["gone", "says it all later"])
def test_what_a_worker_says_after_it_was_given_up_is_not_counted(plan: Callable[..., Plan], again: bool) -> None:
    trials = plan("hidden=3", "batch_size=16", tasks=["xor"], seeds=range(6), epochs=2, steps_per_epoch=5).trials
    client, events = LateClient(), []
    late, other = (Member(name, 1, facts=None) for name in ("late", "other"))  # type: ignore[arg-type]
    for one in (late, other):
        one.facts = SimpleNamespace(has_gpu=False)  # type: ignore[assignment]
    there: Any = SimpleNamespace(ready=[late, other], notify=lambda text: None)
    budget = Budget(epochs=2, steps_per_epoch=5, evaluation_points=64)
    dispatch = Dispatch(client, there, budget, events.append, math.inf)

    async def disturb() -> None:
        await asyncio.sleep(0.5)
        assert client.held, "it was given work"
        names = [one.name for one in dispatch._flights[late]]
        for _ in range(100):
            if dispatch.heard(late, dict.fromkeys(names, 1)) is not None:
                break
        else:
            pytest.fail("not given up")
        late.hangs = True
        there.ready = [other]
        dispatch.wake()
        if again:
            client.say_what_was_held()

    async def run() -> None:
        pieces = [Piece(Work((trial,), (None,), together=False), "cpu") for trial in trials]
        await asyncio.wait_for(asyncio.gather(dispatch.run(pieces), disturb()), 60)
        client.say_what_was_held()
        await asyncio.sleep(0.1)

    asyncio.run(run())
    finished = [event.trial.seed for event in events if isinstance(event, Finished)]
    assert sorted(finished) == [0, 1, 2, 3, 4, 5]
    assert {type(event) for event in events} == {Started, Finished}


def test_when_the_last_worker_hangs_the_sweep_ends_in_one_line_and_goes_on_later(
    harness: Harness,
    tmp_path: Path,
    undisturbed: Path,
    remote_cluster: Callable[..., Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    cluster = remote_cluster(n_workers=1)

    def stop() -> None:
        monkeypatch.setattr(connection, "WORKERS_SECONDS", 3.0)
        cluster.workers[0].send_signal(signal.SIGSTOP)

    thread = beside(tmp_path / "out", 3, stop)
    result = harness("sweep", *SLOW, "--cluster", cluster.address, "--out", "out")
    thread.join()
    assert result.code == 2, result.err
    assert "Traceback" not in result.err
    assert result.err.splitlines()[-1] == (
        f"harness: error: --cluster {cluster.address}: the cluster has had no worker for 3 s; start some with"
        f" `dask worker {cluster.address}`; the same command resumes"
    )
    assert 3 <= states(tmp_path / "out")["complete"] < N_SLOW
    assert harness("sweep", *SLOW, "--quiet", "--out", "out").code == 0
    assert_same_tables(tmp_path / "out", undisturbed)


METHOD = """
import os, time
from freewalk.methods import ArrayTrainer, OwnMethod

class Loops(ArrayTrainer):
    def take_step(self):
        if self.start.seed == 1 and {condition} and os.environ.get("OMP_NUM_THREADS") == "1":
            while True:
                {waits}
        return self.losses(self.values, *self.batch()).mean()

LOOPS = OwnMethod("loops", "never comes back", Loops, lambda parameters, batch, n: batch)
"""
FIRST = "not os.path.exists({marker!r}) and open({marker!r}, 'x')"
LOOPING = ("--task", "xor", "--method", "loops", "--seeds", "0:3", "--epochs", "3", "--steps-per-epoch", "4")
ON_ONE_THREAD = {"OMP_NUM_THREADS": "1"}


def write_method(folder: Path, *, always: bool, waits: str) -> Path:
    condition = "True" if always else FIRST.format(marker=str(folder / "marker"))
    (folder / "loops.py").write_text(METHOD.format(condition=condition, waits=waits))
    return folder / "loops.py"


@pytest.mark.parametrize("waits", ["pass", pytest.param("time.sleep(1)", marks=pytest.mark.slow)])
def test_a_step_that_does_not_end_is_taken_elsewhere(harness: Harness, tmp_path: Path, waits: str) -> None:
    path = write_method(tmp_path, always=False, waits=waits)
    grid = ("--grid", "batch_size=8", "--grid", "hidden=2", "--plugin", path)
    result = harness("sweep", *LOOPING, *grid, "--workers", 2, "--out", "out")
    assert result.code == 0, result.err
    assert "is ended and replaced: xor, seed 1, has not moved for 12 s; what it had is done again" in result.err
    assert harness("sweep", *LOOPING, *grid, "--quiet", "--out", "threads").code == 0
    assert_same_tables(tmp_path / "out", tmp_path / "threads")


def test_a_trial_that_never_ends_fails_alone(harness: Harness, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(waiting, "_MOST_DEATHS", 2 * waiting._DEATHS_IN_A_HANG)
    path = write_method(tmp_path, always=True, waits="time.sleep(1)")
    grid = ("--grid", "batch_size=8", "--grid", "hidden=2", "--plugin", path)
    result = harness("sweep", *LOOPING, *grid, "--workers", 2, "--out", "out")
    assert result.code == 1, result.err
    trials = read_csv(tmp_path / "out" / "trials.csv")
    assert trials["state"].tolist() == ["complete", "failed", "complete"]
    assert trials["error"][1].startswith("WorkerLost: workers hung one after another while they had this trial")


def test_a_thread_that_hangs_is_lost_and_the_others_of_its_worker_go_on(
    harness: Harness, tmp_path: Path, remote_cluster: Callable[..., Any]
) -> None:
    path = write_method(tmp_path, always=False, waits="time.sleep(1)")
    grid = ("--grid", "batch_size=8", "--grid", "hidden=2", "--plugin", path)
    cluster = remote_cluster(n_workers=1, n_threads=2, environment=ON_ONE_THREAD)
    result = harness("sweep", *LOOPING, *grid, "--cluster", cluster.address, "--out", "out")
    assert result.code == 0, result.err
    (line,) = [line for line in result.err.splitlines() if " loses a thread: " in line]
    assert line.endswith(" loses a thread: xor, seed 1, has not moved for 12 s; that is done elsewhere")
    assert harness("sweep", *LOOPING, *grid, "--quiet", "--out", "threads").code == 0
    assert_same_tables(tmp_path / "out", tmp_path / "threads")


def test_a_worker_that_does_not_get_ready_is_left_out(
    harness: Harness, tmp_path: Path, remote_cluster: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(members, "_SECONDS_TO_PREPARE", 5.0)
    path = write_method(tmp_path, always=False, waits="pass")
    path.write_text("import os, time\nif 'SLOW' in os.environ:\n    time.sleep(1000)\n" + path.read_text())
    cluster = remote_cluster(n_workers=1, environment={"SLOW": "1"})
    grid = ("--grid", "batch_size=8", "--grid", "hidden=2", "--plugin", path)
    result = harness("sweep", *LOOPING, *grid, "--cluster", cluster.address, "--out", "out")
    assert result.code == 2, result.err
    last = result.err.splitlines()[-1]
    assert ": no worker can take part: tcp://127.0.0.1:" in last
    assert last.endswith(": it has not become ready in time")


def test_a_long_step_is_waited_for(plan: Callable[..., Plan], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    budget = Budget(epochs=10, steps_per_epoch=10, evaluation_points=64, target=None, plateau=None, evaluations=None)

    def seconds_until_stuck(*specs: str, hangs: int = 0, longest: float = 0.0) -> float:
        (trial,) = plan(*specs, tasks=["xor"], methods=["numerical"], seeds=[0]).trials
        one = Flight((Piece(Work((trial,), (None,), together=False), "cpu"),), member=None)  # type: ignore[arg-type]
        one.heard(7)
        while not one.is_stuck(hangs, longest, budget):
            one.heard(7)
            assert one.stuck_seconds < 1e6
        return one.stuck_seconds

    assert seconds_until_stuck("hidden=3") == 60
    assert seconds_until_stuck("hidden=3", hangs=1) == 300
    assert seconds_until_stuck("hidden=3", longest=30.0) == 300
    assert 1000 < seconds_until_stuck("hidden=100", "batch_size=1000") < 20_000, "such a step takes long"


def test_a_slice_that_moves_or_waits_is_not_stuck() -> None:
    one = Flight((), member=None)  # type: ignore[arg-type]
    for k in range(100):
        one.heard(None if k % 7 == 0 else k // 2)
        assert one.stuck_seconds <= 2 * flight.SECONDS_BETWEEN_PULSES
