"""Compile every kernel to machine code where there is no GPU, and read off what it costs in registers and memory.

`python -m freewalk.kernels.cuda.machine_code` prints the table. It needs numba-cuda with NVIDIA's compiler packages and
`ptxas`, which comes with the package nvidia-cuda-nvcc.
"""

from __future__ import annotations

import importlib.util
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast
from unittest import mock

from freewalk.kernels.cuda.layout import Spec

ARCHITECTURE = (9, 0)
"""Compute capability that is compiled for: Hopper."""


@dataclass(frozen=True)
class KernelCost:
    """What `ptxas` says of one kernel."""

    network: str
    kernel: str
    registers: int
    """Of a thread."""
    shared_bytes: int
    """Of a block."""
    spilled_bytes: int
    """Stored to memory because registers ran out, and loaded again."""
    stack_bytes: int
    """Other memory of a thread's own: the slow paths of library functions."""


def find_ptxas() -> Path | None:
    """Return the assembler of the package nvidia-cuda-nvcc, or the one on the PATH; None if there is none."""
    found = importlib.util.find_spec("nvidia")
    for folder in found.submodule_search_locations or () if found else ():
        for path in sorted(Path(folder).glob("*/bin/ptxas")):
            return path
    on_path = shutil.which("ptxas")
    return Path(on_path) if on_path else None


def compile_all(specs: dict[str, Spec], ptxas: Path) -> Iterator[KernelCost]:
    """Compile the kernels that each network uses; yield what they cost.

    Parameters
    ----------
    specs
        Networks by a name for the table.
    ptxas
        The assembler.

    Raises
    ------
    RuntimeError
        If a kernel does not assemble.
    """
    # a kernel that calls device functions asks the driver what it compiles for, and there may be no driver
    stand_in = SimpleNamespace(compute_capability=ARCHITECTURE)
    with mock.patch("numba.cuda.dispatcher.get_current_device", return_value=stand_in):
        for network, spec in specs.items():
            for kernel, function, signature in _kernels_of(spec):
                yield _cost(network, kernel, _assemble(function, signature, ptxas))


def _kernels_of(spec: Spec) -> Iterator[tuple[str, Any, Any]]:
    from freewalk.kernels.cuda import block, evaluate, general, resident

    if spec.is_resident:
        kernels: Any = resident.make_resident(spec, block.teams_of(spec))
        signatures = resident.SIGNATURES
    else:
        kernels, signatures = general.make_general(spec, 256), general.SIGNATURES
    for name, signature in signatures.items():
        yield name, getattr(kernels, name), signature
    yield "evaluate", evaluate.make_evaluate(spec, 32 if spec.is_resident else 256), evaluate.SIGNATURE


def _assemble(function: Any, signature: Any, ptxas: Path) -> str:
    """Return what the assembler prints about a kernel, and the kernel's own declarations of shared memory."""
    from freewalk.kernels.cuda.jit import cuda

    ptx, _ = cuda.compile(function.py_func, signature, cc=ARCHITECTURE, device=False, abi="numba", output="ptx")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "kernel.ptx"
        path.write_text(cast(str, ptx))
        # -c: a grid's meeting point is a function of CUDA's device runtime, which is linked in later
        command = [
            ptxas,
            "-c",
            f"-arch=sm_{ARCHITECTURE[0]}{ARCHITECTURE[1]}",
            "-v",
            path,
            "-o",
            path.with_suffix(".o"),
        ]
        done = subprocess.run(list(map(str, command)), capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"ptxas: {done.stdout}{done.stderr}".strip())
    declared = re.findall(r"\.shared\s.*\[(\d+)\];", cast(str, ptx))
    return f"{done.stdout}{done.stderr}\n{sum(map(int, declared))} bytes declared shared"


def _cost(network: str, kernel: str, said: str) -> KernelCost:
    entry = said[said.index("Compiling entry function") :]

    def number(pattern: str) -> int:
        found = re.search(pattern, entry)
        return int(found.group(1)) if found else 0

    return KernelCost(
        network,
        kernel,
        registers=number(r"Used (\d+) registers"),
        shared_bytes=number(r"(\d+) bytes declared shared"),
        spilled_bytes=number(r"(\d+) bytes spill stores") + number(r"(\d+) bytes spill loads"),
        stack_bytes=number(r"(\d+) bytes stack frame"),
    )


def networks() -> dict[str, Spec]:
    """Return the networks of the table: the default shape in every form, and larger ones."""
    from freewalk.kernels.cuda.layout import spec_of
    from freewalk.kernels.data import data_words, uniform
    from freewalk.kernels.network import FreeNetwork
    from freewalk.kernels.walk import Data, WalkConfiguration

    def datapoint(seed: int, stream: int, step: int, index: int, timesteps: int, argument: int, x: Any, y: Any) -> None:
        word = data_words(seed, stream, step, index, 0)[0]
        for t in range(timesteps):
            for k in range(3):
                x[t, k] = uniform(word)
        y[0, 0] = uniform(word)
        y[0, 1] = uniform(word)

    def spec(hidden: int, masked: bool = False, activation: Any = "sigmoid", **walk: Any) -> Spec:
        network = FreeNetwork(3, 2, hidden, sequence_input=True, hidden_activation=activation)
        configuration = WalkConfiguration(stddev=0.01, batch_size=1000, timesteps=4, **walk)
        return spec_of(network, configuration, Data(0, 0, datapoint), masked=masked)

    return {
        "hidden 30": spec(30),
        "hidden 30, two sides": spec(30, sides="two"),
        "hidden 30, rademacher": spec(30, noise="rademacher"),
        "hidden 30, mask": spec(30, masked=True),
        "hidden 30, tanh": spec(30, activation="tanh"),
        "hidden 62": spec(62),
        "hidden 254": spec(254),
        "hidden 1022, rademacher": spec(1022, noise="rademacher"),
        "hidden 1022": spec(1022),
    }


def main() -> None:
    """Print the table in Markdown."""
    ptxas = find_ptxas()
    if ptxas is None:
        sys.exit("machine_code: no ptxas was found; pip install nvidia-cuda-nvcc")
    sys.stdout.write("| network | kernel | registers | shared memory | spilled | stack |\n|---|---|---|---|---|---|\n")
    for c in compile_all(networks(), ptxas):
        sys.stdout.write(
            f"| {c.network} | `{c.kernel}` | {c.registers} | {c.shared_bytes:,} B | {c.spilled_bytes} B"
            f" | {c.stack_bytes} B |\n"
        )


if __name__ == "__main__":
    main()
