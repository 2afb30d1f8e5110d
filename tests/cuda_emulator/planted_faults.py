"""Kernels with one fault each, launched one after another; a program of its own, which run.py starts.

usage: planted_faults.py OUT.json   (what the emulator said of each kernel; null where it said nothing)
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from freewalk.kernels.cuda.jit import cuda

WARP, BLOCKS, THREADS, ONE_MORE = 32, 2, 64, 65
LAUNCHES: dict[str, Callable[[], None]] = {}


def planted(function: Callable[..., None], blocks: Any = BLOCKS, threads: Any = THREADS) -> Callable[..., None]:
    """Note the launch of a kernel on fresh arrays: numbers, and what the kernel writes."""
    kernel = cuda.jit(function)

    def launch() -> None:
        given = cuda.to_device(np.arange(256, dtype=np.float32))
        fresh = cuda.device_array(256, np.float32)
        kernel[blocks, threads](given, fresh)
        cuda.synchronize()

    LAUNCHES[function.__name__] = launch
    return function


# ---- nothing is wrong with these
@planted
def neighbours_through_shared_memory(given: Any, fresh: Any) -> None:
    shared = cuda.shared.array(THREADS, np.float32)
    thread = cuda.threadIdx.x
    shared[thread] = given[thread]
    cuda.syncthreads()
    fresh[cuda.grid(1)] = shared[THREADS - 1 - thread]


@planted
def neighbours_within_a_warp(given: Any, fresh: Any) -> None:
    shared = cuda.shared.array(THREADS, np.float32)
    thread = cuda.threadIdx.x
    for _ in range(3):
        shared[thread] = given[thread]
        cuda.syncwarp()
        value = shared[thread ^ 1]
        cuda.syncwarp()
        fresh[cuda.grid(1)] = value


@planted
def sum_of_all_blocks(given: Any, fresh: Any) -> None:
    grid = cuda.cg.this_grid()
    if cuda.grid(1) == 0:
        fresh[0] = 0
    grid.sync()
    cuda.atomic.add(fresh, 0, given[cuda.grid(1)])
    grid.sync()
    fresh[1 + cuda.grid(1)] = fresh[0]


# ---- out of bounds, misaligned, never written
@planted
def write_past_the_end(given: Any, fresh: Any) -> None:
    fresh[given.shape[0] + cuda.grid(1)] = 1


@planted
def read_past_the_end(given: Any, fresh: Any) -> None:
    fresh[cuda.grid(1)] = given[cuda.grid(1) + 200]


@planted
def read_before_the_beginning(given: Any, fresh: Any) -> None:
    place = cuda.grid(1) - 70
    fresh[cuda.grid(1)] = given[place - 256 if place < 0 else place]


@planted
def shared_past_the_end(given: Any, fresh: Any) -> None:
    first, second = cuda.shared.array(THREADS, np.float32), cuda.shared.array(THREADS, np.float32)
    thread = cuda.threadIdx.x
    first[thread + int(given[1])] = 1
    second[thread] = 2
    cuda.syncthreads()
    fresh[cuda.grid(1)] = first[thread] + second[thread]


@planted
def local_past_the_end(given: Any, fresh: Any) -> None:
    local = cuda.local.array(8, np.float32)
    for k in range(8):
        local[(k + int(given[2])) % 8] = k
    fresh[cuda.grid(1)] = local[int(given[9])]


@planted
def atomic_past_the_end(given: Any, fresh: Any) -> None:
    cuda.atomic.add(given, given.shape[0] + cuda.grid(1), 1)


def misaligned_read(shifted: Any, fresh: Any) -> None:
    fresh[cuda.grid(1)] = shifted[cuda.grid(1)]


def misaligned_write(shifted: Any, fresh: Any) -> None:
    shifted[cuda.grid(1)] = 1


def misaligned_atomic(shifted: Any, fresh: Any) -> None:
    cuda.atomic.add(shifted, cuda.grid(1), 1)


def launch_on_shifted(function: Callable[..., None]) -> None:
    """Launch a kernel on numbers that begin two bytes beyond where they should."""
    owner = cuda.to_device(np.zeros(256, np.float32))
    place = owner.__cuda_array_interface__["data"][0] + 2
    shifted = {"data": (place, False), "shape": (64,), "typestr": "<f4", "version": 3}
    fresh = cuda.device_array(64, np.float32)
    cuda.jit(function)[1, 4](cuda.from_cuda_array_interface(shifted, owner=owner), fresh)
    cuda.synchronize()


for misaligned in (misaligned_read, misaligned_write, misaligned_atomic):
    LAUNCHES[misaligned.__name__] = partial(launch_on_shifted, misaligned)


@planted
def read_of_unwritten_global_memory(given: Any, fresh: Any) -> None:
    given[cuda.grid(1)] = fresh[cuda.grid(1)]


@planted
def read_of_unwritten_shared_memory(given: Any, fresh: Any) -> None:
    shared = cuda.shared.array(ONE_MORE, np.float32)
    thread = cuda.threadIdx.x
    shared[thread] = given[thread]
    cuda.syncthreads()
    fresh[cuda.grid(1)] = shared[thread + 1]


# ---- races
@planted
def race_between_warps(given: Any, fresh: Any) -> None:
    shared = cuda.shared.array(THREADS, np.float32)
    thread = cuda.threadIdx.x
    shared[thread] = 0
    cuda.syncthreads()
    shared[thread] = given[thread]
    cuda.syncwarp()
    fresh[cuda.grid(1)] = shared[THREADS - 1 - thread]


@planted
def race_within_a_warp(given: Any, fresh: Any) -> None:
    shared = cuda.shared.array(THREADS, np.float32)
    thread = cuda.threadIdx.x
    shared[thread] = 0
    cuda.syncwarp()
    shared[thread] = given[thread]
    fresh[cuda.grid(1)] = shared[thread ^ 1]


@planted
def race_of_a_read_with_the_next_write(given: Any, fresh: Any) -> None:
    shared = cuda.shared.array(THREADS, np.float32)
    thread = cuda.threadIdx.x
    for k in range(2):
        shared[thread] = given[thread + k]
        cuda.syncthreads()
        fresh[cuda.grid(1)] = shared[THREADS - 1 - thread]


@planted
def race_of_two_writes(given: Any, fresh: Any) -> None:
    shared = cuda.shared.array(1, np.float32)
    shared[0] = cuda.threadIdx.x
    cuda.syncthreads()
    fresh[cuda.grid(1)] = shared[0]


@planted
def race_in_global_memory_within_a_block(given: Any, fresh: Any) -> None:
    given[cuda.grid(1)] = 1
    cuda.syncwarp()
    fresh[cuda.grid(1)] = given[cuda.grid(1) ^ WARP]


@planted
def race_between_blocks(given: Any, fresh: Any) -> None:
    given[cuda.grid(1)] = 1
    cuda.syncthreads()
    fresh[cuda.grid(1)] = given[cuda.grid(1) ^ THREADS]


@planted
def race_of_blocks_that_write_one_place(given: Any, fresh: Any) -> None:
    if cuda.threadIdx.x == 0:
        fresh[0] = cuda.blockIdx.x


@planted
def race_of_an_atomic_with_a_plain_write(given: Any, fresh: Any) -> None:
    if cuda.threadIdx.x == 0:
        cuda.atomic.add(given, 0, 1)
    else:
        given[0] = 2


@planted
def race_across_a_missing_grid_barrier(given: Any, fresh: Any) -> None:
    grid = cuda.cg.this_grid()
    fresh[cuda.grid(1)] = given[cuda.grid(1)]
    grid.sync()
    given[cuda.grid(1)] = fresh[cuda.grid(1) ^ THREADS]
    fresh[cuda.grid(1)] = 0


# ---- barriers
@planted
def barrier_that_some_threads_pass_by(given: Any, fresh: Any) -> None:
    if given[cuda.threadIdx.x] < 40:
        cuda.syncthreads()
    fresh[cuda.grid(1)] = 1


@planted
def barrier_that_some_threads_reach_elsewhere(given: Any, fresh: Any) -> None:
    if given[cuda.threadIdx.x] < 40:
        fresh[cuda.grid(1)] = 1
        cuda.syncthreads()
        fresh[cuda.grid(1)] = 2
    else:
        fresh[cuda.grid(1)] = 3
        cuda.syncthreads()


@planted
def barrier_that_one_thread_reaches_once_more(given: Any, fresh: Any) -> None:
    for _ in range(2 if cuda.threadIdx.x == 5 else 1):
        cuda.syncthreads()
    fresh[cuda.grid(1)] = 1


@planted
def warp_barrier_that_some_lanes_pass_by(given: Any, fresh: Any) -> None:
    if given[cuda.threadIdx.x] < 10:
        cuda.syncwarp()
    fresh[cuda.grid(1)] = 1


@planted
def warp_barrier_beside_a_block_barrier(given: Any, fresh: Any) -> None:
    if given[cuda.threadIdx.x] < 10:
        cuda.syncwarp()
    else:
        cuda.syncthreads()
    fresh[cuda.grid(1)] = 1


@planted
def grid_barrier_that_a_block_passes_by(given: Any, fresh: Any) -> None:
    grid = cuda.cg.this_grid()
    if cuda.blockIdx.x == 0:
        grid.sync()
    fresh[cuda.grid(1)] = 1


@planted
def grid_barrier_that_some_threads_pass_by(given: Any, fresh: Any) -> None:
    grid = cuda.cg.this_grid()
    if given[cuda.threadIdx.x] < 40:
        grid.sync()
    fresh[cuda.grid(1)] = 1


# ---- other faults
@planted
def shuffle_from_a_lane_that_is_left_out(given: Any, fresh: Any) -> None:
    if cuda.laneid < 16:
        fresh[cuda.grid(1)] = cuda.shfl_sync(0xFFFF, cuda.threadIdx.x, 20)


def main(path: str) -> None:
    """Launch everything that is planted."""
    found: dict[str, str | None] = {}
    for name, launch in LAUNCHES.items():
        try:
            launch()
            found[name] = None
        except Exception as error:
            found[name] = f"{type(error).__name__}: {error}"
    Path(path).write_text(json.dumps(found))


if __name__ == "__main__":
    main(sys.argv[1])
