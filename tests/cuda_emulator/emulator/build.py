"""Compiles the stand-in for the driver and the translated kernels, and keeps what was compiled, by its content."""

from __future__ import annotations

import hashlib
import importlib.util
import os
import platform
import shutil
import subprocess
from pathlib import Path

from emulator.ptx import translate

HERE = Path(__file__).parent
DRIVER = HERE / "driver"
CACHE_VARIABLE = "FREEWALK_EMULATOR_CACHE"
# gcc's default would fuse multiplications with additions, and take overflow and aliasing for impossible
_KERNEL_FLAGS = ["-O1", "-march=native", "-ffp-contract=off", "-fwrapv", "-fno-strict-aliasing", "-fno-builtin-printf"]
_DRIVER_FLAGS = ["-O2", "-flto", "-std=c++17", "-fno-strict-aliasing", "-fvisibility=hidden", "-Wall", "-Wextra"]


class EmulatorError(RuntimeError):
    """The emulator cannot be built here; the message says in one line what is missing."""


def cache_folder() -> Path:
    """Return the folder of what was compiled, which is the user's own."""
    chosen = os.environ.get(CACHE_VARIABLE)
    if chosen:
        return Path(chosen)
    caches = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(caches) / "freewalk-cuda-emulator"


def why_impossible() -> str | None:
    """Return what the emulator misses on this machine, in one line; None if it is all there."""
    if platform.system() != "Linux" or platform.machine() != "x86_64":
        return f"the CUDA emulator runs on Linux on x86-64, not on {platform.system()} on {platform.machine()}"
    for compiler in ("gcc", "g++"):
        if shutil.which(compiler) is None:
            return f"the CUDA emulator needs {compiler}: install it, for example with `apt install g++`"
    if importlib.util.find_spec("numba_cuda") is None:
        return "the CUDA emulator needs numba-cuda: pip install 'freewalk[cuda13]'"
    if _cuda_headers() is None:
        return "the CUDA emulator needs cuda.h of the package nvidia-cuda-runtime: pip install 'freewalk[cuda13]'"
    return None


def _cuda_headers() -> Path | None:
    found = importlib.util.find_spec("nvidia")
    for folder in found.submodule_search_locations or () if found else ():
        for header in sorted(Path(folder).glob("*/include/cuda.h")):
            return header.parent
    return None


def build_driver() -> Path:
    """Return the folder that holds the stand-in `libcuda.so.1`.

    Raises
    ------
    EmulatorError
        If something is missing, or it does not compile.
    """
    reason = why_impossible()
    if reason is not None:
        raise EmulatorError(reason)
    headers = _cuda_headers()
    sources = sorted(DRIVER.glob("*.cpp"))
    command = ["g++", *_DRIVER_FLAGS, "-shared", "-fPIC", "-Wl,-soname,libcuda.so.1", "-I", str(headers)]
    texts = [path.read_text() for path in (*sources, *sorted(DRIVER.glob("*.h")))]
    folder = cache_folder() / f"driver-{_digest(*command, *texts)}"
    library = folder / "libcuda.so.1"
    if not library.exists():
        _compile([*command, *map(str, sources), "-ldl"], library)
    return folder


def build_kernel(ptx: str) -> Path:
    """Return the shared object that holds the translation of a kernel.

    Raises
    ------
    emulator.ptx.types.PtxError
        If the translator does not understand something.
    """
    c = translate(ptx)
    headers = [(DRIVER / name).read_text() for name in ("device.h", "instructions.h")]
    path = cache_folder() / f"kernel-{_digest(*_KERNEL_FLAGS, c, *headers, _processor())}.so"
    if not path.exists():
        source = path.with_name(f"{path.stem}.{os.getpid()}.c")
        source.parent.mkdir(parents=True, exist_ok=True)
        source.write_text(c)
        _compile(["gcc", *_KERNEL_FLAGS, "-w", "-shared", "-fPIC", "-I", str(DRIVER), str(source), "-lm"], path)
        source.unlink()
    return path


def _digest(*texts: str) -> str:
    return hashlib.sha256("\0".join(texts).encode()).hexdigest()[:24]


def _processor() -> str:
    """Return what -march=native depends on, so that a cache may lie on a disk that machines share."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    return next((line for line in lines if line.startswith("flags")), "")


def _compile(command: list[str], target: Path) -> None:
    """Compile to a name of this process's own, and give it the name that all look for when it is whole."""
    target.parent.mkdir(parents=True, exist_ok=True)
    unfinished = target.with_name(f"{target.name}.{os.getpid()}")
    done = subprocess.run([*command, "-o", str(unfinished)], capture_output=True, text=True)
    if done.returncode:
        raise EmulatorError(f"{command[0]} does not compile the CUDA emulator: {done.stderr.strip()}")
    unfinished.replace(target)
