"""`harness bench`: what it refuses, its exit codes, and that it needs neither pydantic nor an installation."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from bench_standins import ProcessorAsGpu

from freewalk.harness.bench import accelerator, suite
from freewalk.harness.bench.checks.check import Check, Measure
from freewalk.harness.bench.peers import table
from freewalk.harness.bench.suite import FILES
from freewalk.harness.bench.workloads import Workload

Harness = Callable[..., Any]
ROOT = Path(__file__).parents[2]


@pytest.fixture
def found() -> list[float]:
    """What the checks find; more than 1 is red."""
    return [0.5]


@pytest.fixture
def gpu(monkeypatch: pytest.MonkeyPatch, found: list[float]) -> None:
    """A GPU that is the processor, one tiny workload, no peers."""

    def make(accelerator: Any, *, quick: bool) -> Iterator[Check]:
        for k, value in enumerate(found):
            yield Check("kind", str(k), lambda value=value: Measure("error", value, 1.0))

    monkeypatch.setattr(accelerator, "why_no_gpu", lambda: None)
    monkeypatch.setattr(accelerator, "Cuda", ProcessorAsGpu)
    monkeypatch.setattr(suite, "all_checks", make)
    monkeypatch.setattr(suite, "workloads", lambda quick: [Workload("batch", hidden=2, batch_size=20)])
    monkeypatch.setattr(suite, "_QUICK_EFFORT", suite.Effort(seconds=0.001, rounds=3))
    monkeypatch.setattr(table, "PEERS", {})


def test_without_a_gpu(refused: Callable[..., str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(accelerator, "why_no_gpu", lambda: "no NVIDIA GPU was found: see nvidia-smi")
    assert refused("bench", "--suite", "gpu") == "--suite gpu: no NVIDIA GPU was found: see nvidia-smi"


def test_the_reason_is_the_kernels_own() -> None:
    from freewalk.kernels.cuda.device import why_unusable

    assert accelerator.why_no_gpu() == why_unusable()


@pytest.mark.usefixtures("gpu")
def test_wrong_usage(refused: Callable[..., str], tmp_path: Path) -> None:
    assert refused("bench", "--suite", "gpus") == "unknown suite 'gpus' (did you mean 'gpu'?); known: cpu, quick, gpu"
    assert refused("bench", "--suite", "gpu", "--only", "peaks").startswith("unknown section of the suite gpu 'peaks'")
    for option in (("--compare", "x"), ("--raw-run", "x"), ("--check",)):
        assert refused("bench", "--suite", "gpu", *option).endswith("are for the suite cpu")
    for limit in ("0", "-1", "nan"):
        assert refused("bench", "--suite", "gpu", "--time-limit", limit).endswith("must be a number of seconds above 0")
    (tmp_path / "file").touch()
    for name in ("file", ""):
        assert "is no folder" in refused("bench", "--suite", "gpu", "--out", name)
    (tmp_path / "old").mkdir()
    (tmp_path / "old" / "gpu.md").write_text("precious")
    assert "gpu.md is there from another run" in refused("bench", "--suite", "gpu", "--out", "old")


@pytest.mark.usefixtures("gpu")
def test_green(harness: Harness, tmp_path: Path) -> None:
    result = harness("bench", "--suite", "gpu", "--quick")
    assert result.code == 0, result.err
    folder = tmp_path / "runs" / "bench-gpu"
    assert {path.name for path in folder.iterdir()} == set(FILES)
    assert result.out == (folder / "gpu.md").read_text()
    assert result.err.splitlines()[0] == "green: kind: 0"
    assert result.err.splitlines()[-1] == "harness: tables in runs/bench-gpu"
    assert "- command: harness bench --suite gpu --quick\n" in result.out
    again = harness("bench", "--suite", "gpu", "--quick", "--only", "correctness", "--time-limit", "60")
    assert again.code == 0
    assert (tmp_path / "runs" / "bench-gpu-2" / "gpu.md").is_file()
    assert "- command: harness bench --suite gpu --quick --only correctness --time-limit 60\n" in again.out


@pytest.mark.usefixtures("gpu")
def test_red_is_3_and_timings_are_run_all_the_same(harness: Harness, found: list[float], tmp_path: Path) -> None:
    found.append(1.5)
    (tmp_path / "empty").mkdir()
    result = harness("bench", "--suite", "gpu", "--quick", "--out", "empty")
    assert result.code == 3
    assert "1 green, 1 red" in result.out
    assert (tmp_path / "empty" / "timings.csv").read_text().count("\n") == 2


@pytest.mark.usefixtures("gpu")
def test_an_interruption_keeps_the_rows(
    harness: Harness, found: list[float], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def interrupted(*_: Any) -> Any:
        raise KeyboardInterrupt

    monkeypatch.setattr(suite, "time_all", interrupted)
    assert harness("bench", "--suite", "gpu", "--out", "x").code == 130
    assert (tmp_path / "x" / "correctness.csv").read_text().count("\n") == 2


SCRIPT = """
import sys
sys.modules["pydantic"] = None  # as where it is not installed
sys.path.insert(0, {tests!r})
from bench_standins import ProcessorAsGpu
from freewalk.harness.bench import accelerator, suite
from freewalk.harness.bench.peers import table
from freewalk.harness.bench.workloads import Workload
from freewalk.harness.cli import run
accelerator.why_no_gpu, accelerator.Cuda = (lambda: None), ProcessorAsGpu
suite.workloads = lambda quick: [Workload("batch", hidden=2, batch_size=20)]
table.PEERS = {{}}
sys.exit(run(["bench", "--suite", "gpu", "--quick", "--out", {out!r}]))
"""


def test_it_needs_no_pydantic(tmp_path: Path) -> None:
    script = SCRIPT.format(tests=str(Path(__file__).parent), out=str(tmp_path / "out"))
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "src")}
    done = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "## Floor" in done.stdout


SIMULATED = """
from dataclasses import replace
import numpy as np
from freewalk.harness.bench.accelerator import Cuda, why_no_gpu
from freewalk.harness.bench.checks import cases, noise, walks
from freewalk.kernels.model.pack import PackTrial
from freewalk.kernels.model.network import FreeNetwork
assert why_no_gpu() is None
device = Cuda()
assert device.facts().multiprocessors > 0
case = replace(cases.CASES[0], configuration=replace(cases.BASE, batch_size=3), hidden=2, steps=1)
walks._POINTS = 4
measure = walks._compare(device, case)
assert measure.found <= measure.allowed, measure
specs = [PackTrial(replace(cases.BASE, batch_size=size, timesteps=2), seed) for seed, size in ((0, 2), (9, 3))]
data = case.data()
batch = device.many(case.network, data, specs, evaluation_points=4)
assert [made.steps for made in batch.train(1)] == [1, 1]
assert len(batch.evaluate()) == 2 and batch.weights(1).shape == (case.network.n_from, case.network.n_to)
for kind in ("gaussian", "rademacher"):
    points = np.array([0, 2**32 - 1], dtype=np.uint64)
    measure = noise._compare(device, FreeNetwork(2, 1, 1), 2**64 - 1, 2**32 - 1, points, kind)
    assert measure.found <= measure.allowed, measure
assert device.seconds(lambda: None) < 1
"""


@pytest.mark.skipif(importlib.util.find_spec("numba_cuda") is None, reason="numba-cuda is not installed")
def test_freewalk_s_cuda_kernels_fit_the_interface() -> None:
    """In Numba's simulator: names, arguments and results; speed and most sizes are for a GPU."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "src"), "NUMBA_ENABLE_CUDASIM": "1"}
    done = subprocess.run([sys.executable, "-c", SIMULATED], env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
