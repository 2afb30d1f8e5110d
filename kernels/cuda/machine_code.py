"""Compile and link every kernel as it is loaded, where there is no GPU, and read off what it costs.

`python -m freewalk.kernels.cuda.machine_code` prints the table. numba-cuda hands LTO-IR to nvJitLink, which inlines,
assembles, and links CUDA's device runtime where a kernel needs it; both come with the extras cuda12 and cuda13. What
`ptxas` makes of the kernels' PTX is other code, with other spills.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import re
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from types import SimpleNamespace
from typing import Any
from unittest import mock

from freewalk.kernels.cuda.elf import section_sizes
from freewalk.kernels.cuda.layout import DEFAULT_SHAPE, OTHER_SHAPES, LaunchShape, Spec

ARCHITECTURE = (9, 0, "a")
"""Compute capability that is compiled for: Hopper, with what only Hopper has."""
_BYTES_OF_AN_INSTRUCTION = 16
_RESERVED_BYTES = 1024
"""Of a block's shared memory, for CUDA itself."""
_COMPILERS = ("numba-cuda", "nvidia-nvvm", "nvidia-nvjitlink")


@dataclass(frozen=True)
class KernelCost:
    """What nvJitLink says of one kernel, and what it made."""

    network: str
    kernel: str
    registers: int
    """Of a thread."""
    shared_bytes: int
    """Of a block."""
    spilled_bytes: int
    """Stored to memory because registers ran out, and loaded again."""
    stack_bytes: int
    """All memory of a thread's own: for what is spilled, and for the slow paths of library functions."""
    instructions: int
    """In the kernel's own code, each once, however often it runs."""


def why_unlinkable() -> str | None:
    """Return None if kernels can be linked here, else one line that says what is missing and how to get it."""
    if importlib.util.find_spec("numba_cuda") is None:
        return "numba-cuda is not installed: pip install 'freewalk[cuda13]'"
    from freewalk.kernels.cuda.jit import SIMULATED, cuda

    if SIMULATED:
        return "the CUDA simulator makes no machine code: unset NUMBA_ENABLE_CUDASIM"
    if not cuda.cudadrv.driver._have_nvjitlink():
        return "nvJitLink was not found: pip install 'freewalk[cuda13]'"
    return None


def cost_of_all(specs: dict[str, Spec], shape: LaunchShape = DEFAULT_SHAPE) -> Iterator[KernelCost]:
    """Link the kernels that each network uses; yield what they cost.

    Parameters
    ----------
    specs
        Networks by a name for the table.
    shape
        How the kernels of small networks are launched.
    """
    for network, spec in specs.items():
        for kernel, function, signature in _kernels_of(spec, shape):
            yield cost_of(network, kernel, function, signature)


def _kernels_of(spec: Spec, shape: LaunchShape) -> Iterator[tuple[str, Any, Any]]:
    from freewalk.kernels.cuda import evaluate, general, resident
    from freewalk.kernels.cuda.family import family_kernels

    if spec.family is not None:
        yield from family_kernels(spec, spec.n_to)
        return
    if spec.is_resident:
        kernels: Any = resident.make_resident(spec, shape)
        signatures = resident.SIGNATURES
    else:
        kernels, signatures = general.make_general(spec, 256), general.SIGNATURES
    for name, signature in signatures.items():
        yield name, getattr(kernels, name), signature
    yield "evaluate", evaluate.make_evaluate(spec, 32 if spec.is_resident else 256), evaluate.SIGNATURE


def cost_of(network: str, kernel: str, function: Any, signature: Any) -> KernelCost:
    """Link one kernel; `network` and `kernel` are names for the table."""
    entry, machine_code, said = link(function, signature)
    sizes = section_sizes(machine_code)

    def number(pattern: str) -> int:
        # the functions that a kernel calls have properties too, before and after its own
        found = re.search(rf"Function properties for {re.escape(entry)}\n(?:.*\n)?.*?{pattern}", said)
        return int(found.group(1)) if found else 0

    return KernelCost(
        network,
        kernel,
        registers=number(r"Used (\d+) registers"),
        shared_bytes=max(0, sizes.get(f".nv.shared.{entry}", 0) - _RESERVED_BYTES),
        spilled_bytes=number(r"(\d+) bytes spill stores") + number(r"(\d+) bytes spill loads"),
        stack_bytes=number(r"(\d+) bytes stack frame"),
        instructions=sizes[f".text.{entry}"] // _BYTES_OF_AN_INSTRUCTION,
    )


def link(function: Any, signature: Any) -> tuple[str, bytes, str]:
    """Return what numba-cuda would load for a kernel: its name there, the machine code, and what nvJitLink said."""
    from freewalk.kernels.cuda.jit import cuda

    with _as_on_a_gpu():
        kernel = cuda.dispatcher._Kernel(function.py_func, signature.args, **function.targetoptions)
        machine_code = kernel.library.get_cubin(ARCHITECTURE).code
        return kernel.entry_name, machine_code, str(kernel.library.get_linkerinfo(ARCHITECTURE))


@contextmanager
def _as_on_a_gpu() -> Iterator[None]:
    """Answer what is asked of the driver, of which there may be none, and let nvJitLink say what it does."""
    from freewalk.kernels.cuda.jit import cuda

    device = SimpleNamespace(compute_capability=ARCHITECTURE[:2])
    talkative = partial(cuda.cudadrv.driver.LinkerOptions, ptxas_options=["-v"])
    with (
        mock.patch("numba.cuda.dispatcher.get_current_device", return_value=device),
        mock.patch("numba.cuda.codegen.CUDACodeLibrary._ensure_cc", return_value=ARCHITECTURE),
        mock.patch("numba.cuda.cudadrv.driver.LinkerOptions", talkative),
    ):
        yield


def networks() -> dict[str, Spec]:
    """Return the networks of the table: the default shape in every form, and larger ones."""
    from freewalk.kernels.cuda.layout import spec_of
    from freewalk.kernels.data.task_functions import data_words, uniform
    from freewalk.kernels.model.network import FreeNetwork
    from freewalk.kernels.model.walk import Data, WalkConfiguration

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
        "hidden 30, rank 1": spec(30, rank=1),
        "hidden 254, rank 1": spec(254, rank=1),
        "hidden 254, rank 1, two sides": spec(254, rank=1, sides="two", noise="rademacher"),
        "hidden 254, mask, rank 1, shared data": spec(254, masked=True, rank=1, datapoints=8, share_data=True),
        "hidden 254, 8 datapoints": spec(254, datapoints=8),
        "hidden 254, orthogonal": spec(254, directions="orthogonal"),
    }


def main() -> None:
    """Print the tables in Markdown: of every network, then of `train_trials` in every launch shape."""
    reason = why_unlinkable()
    if reason is not None:
        sys.exit(f"machine_code: {reason}")
    versions = ", ".join(f"{name} {importlib.metadata.version(name)}" for name in _COMPILERS)
    sys.stdout.write(f"{versions}\n")
    _print("network", cost_of_all(networks()))
    default = {"hidden 30": networks()["hidden 30"]}
    by_shape = ((shape, next(cost_of_all(default, shape))) for shape in (DEFAULT_SHAPE, *OTHER_SHAPES))
    _print("launch shape", (replace(cost, network=shape.name) for shape, cost in by_shape))


def _print(first_column: str, costs: Iterable[KernelCost]) -> None:
    sys.stdout.write(f"\n| {first_column} | kernel | registers | shared memory | spilled | stack | instructions |\n")
    sys.stdout.write("|---|---|---|---|---|---|---|\n")
    for c in costs:
        sys.stdout.write(
            f"| {c.network} | `{c.kernel}` | {c.registers} | {c.shared_bytes:,} B | {c.spilled_bytes} B"
            f" | {c.stack_bytes} B | {c.instructions:,} |\n"
        )
        sys.stdout.flush()


if __name__ == "__main__":
    main()
