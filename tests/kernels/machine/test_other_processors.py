"""The bits do not depend on the vector instructions: the same walks compiled for a processor with AVX2 alone."""

import os
import subprocess
import sys
from pathlib import Path

import llvmlite.binding as llvm
import pytest

PROGRAM = """
import hashlib
from freewalk.kernels.cpu.trial import CpuWalk
from freewalk.kernels.model.walk import WalkConfiguration
from freewalk.tasks.registry import TASKS

for task, options in (
    ("shifted-sums", {"update": "raw"}),
    ("addition", {"update": "normalised", "optimizer": "adam", "schedule": "cosine", "schedule_steps": 30}),
    ("xor", {"update": "normalised", "optimizer": "momentum", "sides": "two", "noise": "rademacher"}),
):
    problem = TASKS[task].problem({})
    options = {"stddev": 0.05, "batch_size": 150, "timesteps": problem.default_timesteps, **options}
    walk = CpuWalk(
        problem.network(13), WalkConfiguration(**options), problem.data(), seed=3, evaluation_points=100
    )
    walk.train(20)
    print(hashlib.sha256(walk.weights.tobytes()).hexdigest(), *walk.evaluate())
"""
FEATURES = llvm.get_host_cpu_features()


def run(tmp_path: Path, **environment: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        capture_output=True,
        text=True,
        check=True,
        env=os.environ | environment,
        cwd=tmp_path,
    )
    return done.stdout


@pytest.mark.slow
@pytest.mark.skipif(
    not (FEATURES.get("avx2") and FEATURES.get("fma")), reason="needs a processor with AVX2 and fused multiply-add"
)
def test_the_same_bits_with_avx2_alone(tmp_path: Path) -> None:
    """Lanes are never reordered and multiply-adds are written out, so no vector width can show."""
    here = run(tmp_path)
    there = run(
        tmp_path,
        NUMBA_CPU_NAME="haswell",
        NUMBA_CPU_FEATURES="+avx,+avx2,+fma,+bmi,+bmi2,+f16c,+popcnt,+sse4.2",
        NUMBA_CACHE_DIR=str(tmp_path / "cache"),
    )
    assert len(here.splitlines()) == 3
    assert there == here
