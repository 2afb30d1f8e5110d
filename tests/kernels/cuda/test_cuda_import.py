"""numba-cuda is imported once, quietly, and with whatever NumPy is installed, also one that has dropped a name."""

from __future__ import annotations

import ast
import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest

import freewalk

needs_numba_cuda = pytest.mark.skipif(
    importlib.util.find_spec("numba_cuda") is None, reason="numba-cuda is not installed (extra cuda13 or cuda12)"
)
PACKAGE = Path(freewalk.__file__).parent
ROOMS = [*(PACKAGE / room for room in ("kernels", "harness", "tasks", "results")), Path(__file__).parents[2]]
SOURCES = sorted(path for room in ROOMS for path in room.rglob("*.py"))


def _imports_of_numba_cuda(source: str) -> list[str]:
    found = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        else:
            continue
        found += [name for name in names if name.split(".")[:2] in (["numba", "cuda"], ["numba_cuda"])]
    return found


def test_numba_cuda_is_imported_in_one_place() -> None:
    importers = [path for path in SOURCES if _imports_of_numba_cuda(path.read_text(encoding="utf-8"))]
    assert importers == [PACKAGE / "kernels/cuda/jit.py"]


@pytest.mark.parametrize(
    "source", ["import numba.cuda", "from numba import cuda, types", "from numba.cuda.cudadrv import libs"]
)
def test_an_import_elsewhere_would_be_found(source: str) -> None:
    assert _imports_of_numba_cuda(source)


def _run(code: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-W", "error", "-c", code], capture_output=True, text=True)


@needs_numba_cuda
@pytest.mark.parametrize("first", ["device", "backend", "machine_code"])
def test_any_module_can_come_first_without_a_warning(first: str) -> None:
    code = (
        f"import freewalk.kernels.cuda.{first}; from freewalk.kernels.cuda.device import why_unusable; why_unusable()"
    )
    done = _run(code)
    assert (done.returncode, done.stderr) == (0, "")


@needs_numba_cuda
def test_a_kernel_compiles_where_numpy_has_dropped_a_name() -> None:
    """What is given to numba-cuda for its import is taken away again: NumPy stays as it was found."""
    done = _run(
        # Numba itself asks which names there are, and SciPy for all of them
        "import numba.np.arrayobj, numpy as np\n"
        "vars(np).pop('row_stack', None)\n"
        "np.__all__ = list({*np.__all__} - {'row_stack'})\n"
        "from freewalk.kernels.cuda import jit\n"
        "kernel = jit.cuda_kernel(lambda x: None)\n"
        "jit.cuda.compile_ptx(kernel.py_func, jit.types.void(jit.types.float32[::1]), cc=(9, 0))\n"
        "print('row_stack' in vars(np))"
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "False\n", "")


@needs_numba_cuda
def test_few_blocks_are_launched_without_a_word() -> None:
    from freewalk.kernels.cuda.jit import cuda, cuda_kernel

    configured = cuda.dispatcher._LaunchConfiguration(cuda_kernel(lambda x: None), (1, 1, 1), (32, 1, 1), None, 0)
    assert configured.griddim == (1, 1, 1)
