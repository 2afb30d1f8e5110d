"""Ctrl-C and SIGTERM end every command within seconds, also in a step that would take hours."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import freewalk
from freewalk.harness.base import interrupts
from freewalk.harness.weights.weights_file import SavedWeights, save
from freewalk.kernels.model.network import FreeNetwork
from freewalk.results.files.export import read_csv
from freewalk.results.store.store import Store

ENDLESS = 100_000_000  # timesteps: hours for sixteen datapoints, which no kernel interrupts
SECONDS_TO_END = 4 * interrupts._GRACE_SECONDS


STUCK = """
import ctypes
from pathlib import Path
from pydantic import BaseModel
from freewalk.methods import ArrayTrainer, OwnMethod

class Parameters(BaseModel):
    pass

class Stuck(ArrayTrainer):
    def take_step(self):
        if self.step:
            Path("begun").touch()
            ctypes.CDLL(None).sleep(60)  # in C, as in a kernel
        return 0.25

STUCK = OwnMethod("stuck", "takes its time", Stuck, lambda parameters, batch, n: batch, Parameters)
"""


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Save a network that runs for ENDLESS timesteps."""
    path = tmp_path_factory.mktemp("weights") / "endless.npz"
    network = FreeNetwork(2, 1, 3)
    parameters = {"hidden": 3, "timesteps": ENDLESS}
    matrix = np.full((network.n_from, network.n_to), 0.1)
    save(path, SavedWeights(matrix, network, "xor", parameters, {}, "walk", None, ENDLESS, None))
    return path


def ended(running: Any, number: signal.Signals, *, times: int = 1, says: str = "interrupted") -> Any:
    """Send a signal to a process; return its result, which comes soon and says something on its way."""
    start = time.perf_counter()
    for _ in range(times):
        running.send(number)
        time.sleep(0.3 if times > 1 else 0)
    result = running.finish()
    assert time.perf_counter() - start < SECONDS_TO_END
    assert result.code == 130, result.err
    assert "Traceback" not in result.err
    assert says in result.out + result.err
    return result


ENDLESS_WALK = "sweep --task xor --grid timesteps=TIMES --out out"
ENDLESS_BACKPROP = (
    "sweep --task xor --method backprop --grid hidden=3000 --grid batch_size=1 --grid timesteps=9 --out out"
)


@pytest.mark.parametrize(
    ("arguments", "number"),
    [
        (ENDLESS_WALK, signal.SIGINT),
        (ENDLESS_BACKPROP, signal.SIGTERM),
        (f"{ENDLESS_WALK} --workers 1", signal.SIGINT),
        pytest.param(ENDLESS_WALK, signal.SIGTERM, marks=pytest.mark.slow),
        pytest.param(ENDLESS_BACKPROP, signal.SIGINT, marks=pytest.mark.slow),
        pytest.param(f"{ENDLESS_WALK} --workers 1", signal.SIGTERM, marks=pytest.mark.slow),
    ],
)
def test_a_sweep_in_an_endless_step(
    process: Callable[..., Any], tmp_path: Path, arguments: str, number: signal.Signals
) -> None:
    running = process(*arguments.replace("TIMES", str(ENDLESS)).split())
    assert running.wait_for_line().startswith(("3 trials into out", "harness: cluster of 1 worker"))
    time.sleep(4.0)
    ended(running, number)
    with Store.open(tmp_path / "out", read_only=True) as store:
        assert set(store.trials()["state"]) <= {"interrupted", "pending", "complete"}
    assert len(read_csv(tmp_path / "out" / "trials.csv")) == 3


@pytest.mark.parametrize("number", [signal.SIGINT, pytest.param(signal.SIGTERM, marks=pytest.mark.slow)])
def test_training_in_an_endless_step_saves_what_there_is(
    process: Callable[..., Any], tmp_path: Path, number: signal.Signals
) -> None:
    (tmp_path / "method.py").write_text(STUCK)
    running = process("train", "--plugin", "method.py", "--task", "xor", "--method", "stuck", "--save", "out.npz")
    while not (tmp_path / "begun").exists():
        assert running.is_alive
        time.sleep(0.05)
    result = ended(running, number, says="interrupted after 1 steps")
    assert "weights in out.npz" in result.out
    assert np.isfinite(freewalk.load(tmp_path / "out.npz").weights).all()


@pytest.mark.parametrize("command", ["evaluate", pytest.param("maximize", marks=pytest.mark.slow)])
def test_a_command_whose_main_thread_is_inside_a_kernel(
    process: Callable[..., Any], weights: Path, command: str
) -> None:
    running = process(command, "--weights", weights)
    time.sleep(8.0)
    assert running.is_alive
    ended(running, signal.SIGTERM)


def test_ctrl_c_again_and_again(process: Callable[..., Any]) -> None:
    running = process("sweep", "--task", "xor", "--grid", f"timesteps={ENDLESS}", "--out", "out")
    running.wait_for_line()
    time.sleep(3.0)
    ended(running, signal.SIGINT, times=4)


def test_what_is_ignored_stays_ignored() -> None:
    """As under nohup, or behind & in a script."""
    script = (
        "import signal; signal.signal(signal.SIGINT, signal.SIG_IGN); from freewalk.harness.cli import main; main()"
    )
    arguments = ["sweep", "--task", "xor", "--backend", "reference", "--dry-run"]
    running = subprocess.Popen([sys.executable, "-c", script, *arguments], stdout=subprocess.PIPE, text=True)
    time.sleep(1.0)
    running.send_signal(signal.SIGINT)
    assert "3 trials" in running.communicate(timeout=300)[0]
    assert running.returncode == 0


CALLED_BY_C = """
import ctypes, os, signal, time
from freewalk.harness import cli

@ctypes.CFUNCTYPE(None)
def _raw_object_cache_notify():  # as LLVM calls llvmlite's
    os.kill(os.getpid(), signal.SIGINT)

def run(arguments):
    _raw_object_cache_notify()
    try:
        while True:
            pass
    except KeyboardInterrupt:
        print("heard")
        time.sleep(3.5)  # sooner it would be the same request
        os.kill(os.getpid(), signal.SIGTERM)  # while it is reported
        return 7

cli.run = run
cli.main()
"""


def test_a_request_while_llvm_calls_python_is_not_lost() -> None:
    done = subprocess.run([sys.executable, "-c", CALLED_BY_C], capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stdout, done.stderr) == (130, "heard\n", "")


def test_inside_another_program_kernels_are_waited_for() -> None:
    assert interrupts.patience() == float("inf")
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
