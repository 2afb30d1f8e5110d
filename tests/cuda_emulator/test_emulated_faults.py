"""The emulator finds faults that are planted in small kernels, and names the kernel, the statement and the fault."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from emulator.build import why_impossible

HERE = Path(__file__).parent
REASON = why_impossible()
pytestmark = pytest.mark.skipif(REASON is not None, reason=REASON or "")

CORRECT = ("neighbours_through_shared_memory", "neighbours_within_a_warp", "sum_of_all_blocks")
BEYOND = "|".join(map(str, range(1024, 2048, 4)))  # whichever thread comes first
PAST_THE_END = rf"out of bounds: {{}} of 4 bytes at byte (?:{BEYOND}) of an array of 1024 bytes in global memory"
FAULTS = {
    "write_past_the_end": PAST_THE_END.format("write"),
    "read_past_the_end": PAST_THE_END.format("read"),
    "read_before_the_beginning": "out of bounds: read of 4 bytes",
    "atomic_past_the_end": PAST_THE_END.format("atomic access"),
    "shared_past_the_end": r"out of bounds: write of 4 bytes at byte 256 of shared memory, outside its arrays",
    "local_past_the_end": "out of bounds: read of 4 bytes outside the thread's local arrays",
    "misaligned_read": "misaligned read of 4 bytes, 2 beyond a multiple of them",
    "misaligned_write": "misaligned write of 4 bytes, 2 beyond a multiple of them",
    "misaligned_atomic": "misaligned atomic access of 4 bytes, 2 beyond a multiple of them",
    "read_of_unwritten_global_memory": "read of global memory that was never written",
    "read_of_unwritten_shared_memory": "read of shared memory that was never written",
    "race_between_warps": "race in shared memory: .* another thread has .* with no barrier between",
    "race_within_a_warp": "race in shared memory: .* another thread has .* with no barrier between",
    "race_of_a_read_with_the_next_write": "race in shared memory: .* another thread has .* with no barrier between",
    "race_of_two_writes": "race in shared memory: writes what another thread has written at `st.shared",
    "race_in_global_memory_within_a_block": "race in global memory: .* another thread has .* with no barrier between",
    "race_between_blocks": "race in global memory: .* another block has .* with no barrier between",
    "race_of_blocks_that_write_one_place": "race in global memory: writes what another block has written at",
    "race_of_an_atomic_with_a_plain_write": "race in global memory: writes what another thread has written at",
    "race_across_a_missing_grid_barrier": "race in global memory: .* another block has .* with no barrier between",
    "barrier_that_some_threads_pass_by": "a barrier of the block that only some of its threads reach: .* has ended",
    "barrier_that_some_threads_reach_elsewhere": "threads of a block meet at different barriers: .* waits at `bar.sync",
    "barrier_that_one_thread_reaches_once_more": "a barrier of the block that only some of its threads reach: ",
    "warp_barrier_that_some_lanes_pass_by": "lanes of a warp wait for one that does not come: .* has ended",
    "warp_barrier_beside_a_block_barrier": "a barrier of the block that only some of its threads reach: ",
    "grid_barrier_that_a_block_passes_by": "a barrier of the grid that not all threads reach: .* has ended",
    "grid_barrier_that_some_threads_pass_by": "a barrier of the grid that not all threads reach: .* has ended",
    "shuffle_from_a_lane_that_is_left_out": "a shuffle from a lane that does not take part",
}


@pytest.fixture(scope="module", params=["random", pytest.param("forward", marks=pytest.mark.slow)])
def said(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str | None]:
    """What the emulator said of each kernel, in one order of threads and blocks."""
    out = tmp_path_factory.mktemp("planted") / "said.json"
    command = [sys.executable, HERE / "run.py", HERE / "planted_faults.py", out]
    environment = os.environ | {"FREEWALK_EMULATOR_ORDER": request.param}
    done = subprocess.run(list(map(str, command)), env=environment, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr
    found: dict[str, str | None] = json.loads(out.read_text())
    assert {*found} == {*CORRECT, *FAULTS}
    lines = [line.removeprefix("CUDA emulator: ") for line in done.stderr.splitlines()]
    assert lines == [text.removeprefix("KernelFaultError: ") for text in found.values() if text is not None]
    return found


@pytest.mark.parametrize("kernel", CORRECT)
def test_correct_kernels_run(said: dict[str, str | None], kernel: str) -> None:
    assert said[kernel] is None


@pytest.mark.parametrize(("kernel", "fault"), FAULTS.items())
def test_a_planted_fault_is_named_in_one_line(said: dict[str, str | None], kernel: str, fault: str) -> None:
    text = said[kernel]
    assert text is not None
    assert re.match(f"KernelFaultError: kernel {kernel}: {fault}", text), text
    assert re.search(r"thread \(\d+, 0, 0\) of block \(\d, 0, 0\)", text), text
    assert re.search(r"`[a-z]+\.?[\w.]* [^`]*`", text), text
