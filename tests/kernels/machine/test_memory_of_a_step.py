"""Memory does not grow with the batch: noise is drawn, used and forgotten a group at a time."""

from __future__ import annotations

import subprocess
import sys

import pytest

PROGRAM = """
import sys
from pathlib import Path
from freewalk.kernels.cpu.trial import CpuWalk
from freewalk.kernels.model.walk import WalkConfiguration
from freewalk.tasks.registry import TASKS

def peak_mb():
    # not getrusage: a child's ru_maxrss starts at that of the process that started it
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM"):
            return int(line.split()[1]) / 1024

problem = TASKS["shifted-sums"].problem({})
for batch_size in (1_000, 1_000_000):
    configuration = WalkConfiguration(stddev=0.01, batch_size=batch_size, timesteps=4)
    walk = CpuWalk(problem.network(30), configuration, problem.data(), seed=0, evaluation_points=10, threads=2)
    Path("/proc/self/clear_refs").write_text("5")  # the peak from here on
    before = peak_mb()
    assert walk.train(2).steps == 2
    print(batch_size, before, peak_mb())
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads the peak memory from /proc, which is Linux's")
def test_a_thousand_times_the_batch_takes_no_more_memory() -> None:
    """All its noise would be 4,600 MB, its data 56 MB; one float32 a datapoint would be 4 MB."""
    run = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True)
    small, large = ([float(number) for number in line.split()] for line in run.stdout.splitlines())
    assert large[0] == 1_000_000
    assert large[2] - small[2] < 50, run.stdout
    assert large[2] - large[1] < 50, run.stdout
