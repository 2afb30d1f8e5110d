"""Kills at any moment, and second drivers."""

import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from freewalk.results.schema.schema import State
from freewalk.results.store.store import Store, StoreError, TrialRecord

Records = Callable[..., TrialRecord]

CONFIGURATION = {"task": "xor"}


@contextmanager
def child(script: str, *arguments: object) -> Iterator[subprocess.Popen[str]]:
    """Run a script beside the test; it is dead when the block ends."""
    command = [sys.executable, "-c", textwrap.dedent(script), *map(str, arguments)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield process
        finally:
            process.kill()


HOLD = """
    import sys, time
    from pathlib import Path
    from freewalk.results.store.store import Store
    store = Store.open_or_create(Path(sys.argv[1]), {"task": "xor"})
    print("open", flush=True)
    time.sleep(60)
"""

# Every trial has as many points as its row has steps, all with the row's loss: a mixture would show.
WRITE = """
    import sys
    from pathlib import Path
    from freewalk.results.store.store import CurvePoint, Store, TrialRecord
    store = Store.open_or_create(Path(sys.argv[1]), {"task": "xor"})
    names = [f"trial-{i}" for i in range(3000)]
    plan = dict(task="xor", method="walk", seed=0, parameters={})
    store.add_pending(TrialRecord(trial_id=name, **plan) for name in names)
    print("open", flush=True)
    for i, name in enumerate(names):
        steps = 1 + i % 40
        store.mark_running([name])
        curve = [CurvePoint(s, s, 0.0, "heldout", "loss", float(i)) for s in range(steps)]
        store.finish(name, {"outcome": "exhausted", "steps": steps, "loss_final": float(i)}, curve)
"""


@pytest.mark.parametrize("delay", [0.03, 0.15])
def test_after_a_kill_each_trial_is_wholly_there_or_not(tmp_path: Path, delay: float) -> None:
    with child(WRITE, tmp_path) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "open\n"
        time.sleep(delay)
        process.send_signal(signal.SIGKILL)
        process.wait()
    with Store.open(tmp_path, read_only=True) as reader:
        reader.trials()
    with Store.open_or_create(tmp_path, CONFIGURATION) as store:
        trials, curves = store.trials(), store.curves()
        complete = trials[trials["state"] == "complete"]
        assert len(trials) == 3000
        assert len(complete) < 3000, "the kill came too late to test anything"
        assert len(complete) > 0
        assert store.unfinished() == trials["trial_id"][trials["state"] == "pending"].tolist()
        assert len(complete) + len(store.unfinished()) == 3000
        points = curves.groupby("trial_id", sort=False)["value"].agg(["size", "min", "max"])
        assert points.index.tolist() == complete["trial_id"].tolist()
        assert points["size"].tolist() == complete["steps"].tolist()
        assert points["min"].tolist() == points["max"].tolist() == complete["loss_final"].tolist()


FINISH = """
    import os, signal, sys
    from pathlib import Path
    from freewalk.results.store.store import CurvePoint, Store, TrialRecord

    def trace(statement):
        countdown.pop()
        if not countdown:
            os.kill(os.getpid(), signal.SIGKILL)

    store = Store.open_or_create(Path(sys.argv[1]), {"task": "xor"})
    store.add_pending([TrialRecord(trial_id="a", task="xor", method="walk", seed=0, parameters={})])
    store.fail("a", "first attempt", curve=[CurvePoint(9, 9, 0.0, "heldout", "loss", 9.0)])
    countdown = list(range(int(sys.argv[2])))
    store._connection.set_trace_callback(trace)
    points = [CurvePoint(s, s, 0.0, "heldout", "loss", 1.0) for s in range(2)]
    store.finish("a", {"outcome": "exhausted", "steps": 2}, points)
"""


# BEGIN, SELECT, UPDATE, DELETE, INSERT, INSERT, COMMIT: the kill comes before the statement of that number.
@pytest.mark.parametrize("statement", range(1, 8))
def test_a_kill_at_any_statement_leaves_the_row_and_curve_of_one_attempt(tmp_path: Path, statement: int) -> None:
    with child(FINISH, tmp_path, statement) as process:
        assert process.wait() == -signal.SIGKILL
    with Store.open(tmp_path, read_only=True) as store:
        assert store.trials()["error"].tolist() == ["first attempt"]
        assert store.curves()["step"].tolist() == [9]


def test_second_writer_is_refused_by_process_id(tmp_path: Path, record: Records) -> None:
    with child(HOLD, tmp_path) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "open\n"
        for attempt in (Store.create, Store.open_or_create):
            with pytest.raises(StoreError, match=rf"written by process {process.pid}\b.*--out"):
                attempt(tmp_path, CONFIGURATION)
        with Store.open(tmp_path, read_only=True) as reader:
            assert reader.counts()[State.PENDING] == 0
        process.kill()
        process.wait()
    with Store.open_or_create(tmp_path, CONFIGURATION) as store:  # the lock went with its holder
        store.add_pending([record("a")])


def test_second_writer_in_the_same_process_is_refused(tmp_path: Path) -> None:
    with (
        Store.create(tmp_path, CONFIGURATION),
        pytest.raises(StoreError, match=rf"process {os.getpid()}\b"),
    ):
        Store.open(tmp_path)
    Store.open(tmp_path).close()


def test_forked_child_does_not_keep_the_lock(tmp_path: Path) -> None:
    script = """
        import os, sys, time
        from pathlib import Path
        from freewalk.results.store.lock import WriterLock
        lock = WriterLock(Path(sys.argv[1]))
        worker = os.fork()
        if worker == 0:
            os.close(1)
            time.sleep(60)
            os._exit(0)
        print(worker, flush=True)
        os._exit(0)
    """
    with child(script, tmp_path) as process:
        worker = int(process.communicate()[0])
        try:
            os.kill(worker, 0)  # it is alive
            Store.create(tmp_path, CONFIGURATION).close()
        finally:
            os.kill(worker, signal.SIGKILL)
