"""The whole hot loop of a walk, alone and sharing noise: vectors in the machine code, and none compiled twice."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from test_jit_options import LIBRARY_CALL, _host_has, needs_avx2, needs_avx512

from freewalk.kernels.cpu.pack import CpuPack
from freewalk.kernels.cpu.together import _run_tile_of_all
from freewalk.kernels.cpu.trial import CpuWalk
from freewalk.kernels.cpu.walk import run_chunk
from freewalk.kernels.machine import jit
from freewalk.kernels.model.pack import PackTrial
from freewalk.kernels.model.walk import WalkConfiguration
from freewalk.tasks.registry import TASKS

XOR = TASKS["xor"].problem({})
pytestmark = pytest.mark.slow
LOOPS = ("alone", "sharing noise")


@pytest.fixture(scope="module")
def assembly() -> dict[str, str]:
    """The code that runs for every datapoint: data, noise, forward passes and sums, but not how the weights move."""
    configuration = WalkConfiguration(stddev=0.1, batch_size=40, timesteps=2)
    w = CpuWalk(XOR.network(3), configuration, XOR.data(), seed=1, evaluation_points=1)
    alone = _assembly_of_call(
        *(run_chunk, w._shape, w._rule, w._training, w._noise, w._tiling),
        *(w._weights.single, w._workspace, 0, w._sums, 0, 0),
    )
    b = CpuPack(XOR.network(3), XOR.data(), [PackTrial(configuration, 1)], evaluation_points=1)
    first, order, groups = b._walks[0], np.zeros(1, dtype=np.int64), int(w._tiling.groups)
    together = _assembly_of_call(
        *(_run_tile_of_all, first._shape, first._training, first._noise),
        *(b._trials, order, b._workspace, 0, 0, groups, 40),
    )
    np.testing.assert_array_equal(b._trials.total[0], w._sums.partial[0])
    assert w._sums.partial.any()
    return dict(zip(LOOPS, (alone, together), strict=True))


def _assembly_of_call(helper: Any, *arguments: Any) -> str:
    """Call a helper as if it were a kernel, and return the code that ran."""
    compiled = jit.uncached_kernel(helper.py_func)
    compiled(*arguments)
    return str(compiled.inspect_asm(compiled.signatures[0]))


@pytest.mark.parametrize("loop", LOOPS)
def test_no_mathematics_library_is_called(assembly: dict[str, str], loop: str) -> None:
    assert not LIBRARY_CALL.findall(assembly[loop])


@needs_avx2
@pytest.mark.parametrize("loop", LOOPS)
def test_multiply_adds_are_in_vectors(assembly: dict[str, str], loop: str) -> None:
    """Of the generator's polynomials, of both forward passes, of the sums: all fused, none of single numbers."""
    fused = re.findall(r"vfn?m(?:add|sub)\d+([ps])s\s.*", assembly[loop])
    assert fused.count("p") > 60
    assert fused.count("s") == 0


@needs_avx2
@pytest.mark.parametrize("loop", LOOPS)
def test_noise_and_sums_are_in_vectors(assembly: dict[str, str], loop: str) -> None:
    """Philox multiplies 32 bits into 64, and the lanes' sums of four positions are added in float64 together."""
    assert "vpmuludq" in assembly[loop]
    assert "vpmullq" not in assembly[loop]
    assert re.search(r"vaddpd\s.*ymm", assembly[loop])


@needs_avx512
@pytest.mark.parametrize("loop", LOOPS)
def test_registers_of_512_bits_are_used(assembly: dict[str, str], loop: str) -> None:
    fused = re.findall(r"vfn?m(?:add|sub)\d+ps\s.*", assembly[loop])
    assert all("zmm" in line for line in fused)
    assert _host_has("avx512f")


PROGRAM = """
import json
from freewalk.kernels.backend import resolve_backend
from freewalk.kernels.model.pack import PackTrial
from freewalk.kernels.cpu.evaluate import evaluate
from freewalk.kernels.cpu.together import train_together
from freewalk.kernels.cpu.walk import train
from freewalk.kernels.data.task_functions import compiled_fill
from freewalk.kernels.model.walk import WalkConfiguration
from freewalk.tasks.registry import TASKS

problem, backend = TASKS["xor"].problem({}), resolve_backend("cpu")
trials = [PackTrial(WalkConfiguration(stddev=0.1, batch_size=size, timesteps=2), 3) for size in (20, 70)]
walk = backend.make_walk(problem.network(4), trials[0].configuration, problem.data(), seed=3, evaluation_points=4)
batch = backend.make_pack(problem.network(4), problem.data(), trials, evaluation_points=4)
walk.train(2), batch.train(2), walk.evaluate(), batch.evaluate()
kernels = {"train": train, "train_together": train_together, "evaluate": evaluate}
found = {
    name: [sum(kernel.stats.cache_hits.values()), sum(kernel.stats.cache_misses.values())]
    for name, kernel in kernels.items()
}
found["data"] = [compiled_fill(problem.datapoint).cache_hits, 0]
print(json.dumps(found))
"""


def test_a_second_process_compiles_nothing(tmp_path: Path) -> None:
    """Walks and batches of any size find all their machine code on disk."""

    def run() -> dict[str, list[int]]:
        command = [sys.executable, "-c", PROGRAM]
        done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=tmp_path)
        found: dict[str, list[int]] = json.loads(done.stdout)
        return found

    run()
    assert run() == {"train": [1, 0], "train_together": [1, 0], "evaluate": [1, 0], "data": [1, 0]}
