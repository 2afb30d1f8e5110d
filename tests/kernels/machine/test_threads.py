"""A process that has computed on several threads may fork: its children compute the same bits, on one thread."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest

import freewalk

SCRIPT = """
import concurrent.futures, multiprocessing, os, sys, warnings
warnings.filterwarnings("ignore", ".*multi-threaded.*", DeprecationWarning)  # Python 3.12 and later
import numpy as np
import freewalk

X = np.random.default_rng(0).uniform(-1, 1, (1000, 3))

def batches():
    while True:
        yield X, 1 / (1 + np.exp(-X[:, :2]))

def network(threads=2):
    sizes = {"num_input": 3, "num_hidden": 30, "num_output": 2, "timesteps": 4, "batch_size": 1000}
    return freewalk.NNRndTraining(sizes | {"epochs": 1, "epoch_steps": 3, "seed": 0, "threads": threads})

def net_threads():
    return made_before._stepper.threads

def train(net=None):
    net = net or network()
    net.train(batches())
    return net.weights.tobytes()

expected = train(network(threads=1))
assert train() == expected
made_before = network()

def child(result):
    os._exit(0 if result == expected else 3)

def grandchild():
    if os.fork() == 0:
        child(train())
    os._exit(os.waitstatus_to_exitcode(os.wait()[1]))

def forked(task):
    if os.fork() == 0:
        task()
    assert os.waitstatus_to_exitcode(os.wait()[1]) == 0

context = multiprocessing.get_context("fork")
with context.Pool(2) as pool:
    assert pool.map_async(train, [None, None]).get(timeout=120) == [expected] * 2
with concurrent.futures.ProcessPoolExecutor(2, mp_context=context) as pool:
    assert list(pool.map(train, [None, None], timeout=120)) == [expected] * 2
process = context.Process(target=lambda: sys.exit(train() != expected))
process.start()
process.join(120)
assert process.exitcode == 0, process.exitcode
forked(lambda: child(train()))
forked(lambda: child(train(made_before)))
forked(grandchild)
assert train(made_before) == expected, "the parent goes on with its threads"
assert net_threads() == 2
"""


@pytest.mark.parametrize(
    "layer", ["default", *(pytest.param(layer, marks=pytest.mark.slow) for layer in ("omp", "workqueue"))]
)
def test_a_forked_child_computes_the_same(tmp_path: Path, layer: str) -> None:
    if layer == "omp" and sys.platform != "linux":
        pytest.skip("OpenMP comes with Numba on Linux alone")
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)
    environment = os.environ | {
        "PYTHONPATH": str(Path(freewalk.__file__).parent.parent),
        "NUMBA_THREADING_LAYER": layer,
        "NUMBA_NUM_THREADS": "2",
    }
    command = [sys.executable, "-W", "error", str(script)]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=300)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize(
    "environment",
    [
        {"NUMBA_THREADING_LAYER": "tbb"},
        {"NUMBA_THREADING_LAYER": "nosuch"},
        {"NUMBA_THREADING_LAYER": "safe"},
        {"NUMBA_THREADING_LAYER_PRIORITY": "tbb"},
        {"NUMBA_NUM_THREADS": "0"},
        {"NUMBA_NUM_THREADS": "-1"},
        {"NUMBA_NUM_THREADS": "many"},
    ],
    ids=lambda environment: "=".join(*environment.items()),
)
def test_threads_that_there_are_not_are_one_line(environment: dict[str, str]) -> None:
    if {"tbb", "safe"} & {*environment.values()} and importlib.util.find_spec("tbb"):
        pytest.skip("TBB is installed")
    paths = {"PYTHONPATH": str(Path(freewalk.__file__).parent.parent)}
    done = subprocess.run(
        [sys.executable, "-m", "freewalk", "sweep", "--task", "xor", "--backend", "reference", "--dry-run"],
        capture_output=True,
        text=True,
        env=os.environ | paths | environment,
    )
    assert (done.returncode, done.stdout) == (2, "")
    (value,) = environment.values()
    assert done.stderr.startswith("harness: error: NUMBA_")
    assert value in done.stderr
    assert done.stderr.count("\n") == 1
