"""Launch kernels that are given as PTX, without numba-cuda; a program of its own, since the emulated driver stays.

usage: run_ptx.py TASKS.json OUT.json

A task is {"ptx", "threads", "words" (64 bits each, what the first argument points to), "n_out" (words of the second)}.
Its result is {"code" (0, or the driver's error), "message", "words"}.
"""

from __future__ import annotations

import ctypes
import json
import re
import sys
from pathlib import Path
from typing import Any

from emulator.build import build_driver, build_kernel


def main(tasks: str, out: str) -> None:
    """Launch every task's kernel."""
    driver = ctypes.CDLL(str(build_driver() / "libcuda.so.1"))
    driver.emulator_message.restype = ctypes.c_char_p
    results = [_launch(driver, **task) for task in json.loads(Path(tasks).read_text())]
    Path(out).write_text(json.dumps(results))


def _launch(driver: Any, ptx: str, threads: int, words: list[int], n_out: int) -> dict[str, Any]:
    image = ctypes.create_string_buffer(b"EMULATED:" + str(build_kernel(ptx)).encode())
    module, function = ctypes.c_void_p(), ctypes.c_void_p()
    name = re.search(r"\.entry\s+(\w+)", ptx)
    assert name
    assert driver.cuModuleLoadData(ctypes.byref(module), image) == 0
    assert driver.cuModuleGetFunction(ctypes.byref(function), module, name[1].encode()) == 0
    given, filled = ctypes.c_uint64(), ctypes.c_uint64()
    assert driver.cuMemAlloc_v2(ctypes.byref(given), ctypes.c_size_t(max(8, 8 * len(words)))) == 0
    assert driver.cuMemAlloc_v2(ctypes.byref(filled), ctypes.c_size_t(8 * n_out)) == 0
    source = (ctypes.c_uint64 * len(words))(*words)
    assert driver.cuMemcpyHtoD_v2(given, source, ctypes.c_size_t(8 * len(words))) == 0
    arguments = (ctypes.c_void_p * 2)(*(ctypes.cast(ctypes.byref(a), ctypes.c_void_p) for a in (given, filled)))
    code = driver.cuLaunchKernel(function, 1, 1, 1, threads, 1, 1, 0, None, arguments, None)
    target = (ctypes.c_uint64 * n_out)()
    assert driver.cuMemcpyDtoH_v2(target, filled, ctypes.c_size_t(8 * n_out)) == 0
    return {"code": code, "message": driver.emulator_message().decode() if code else "", "words": list(target)}


if __name__ == "__main__":
    main(*sys.argv[1:])
