"""How the kernels are compiled: options in one place, vectors in the machine code, caches that notice an edit."""

from __future__ import annotations

import ast
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from llvmlite import binding
from numpy.typing import NDArray

import freewalk
from freewalk.kernels.cpu import forward as forward_module
from freewalk.kernels.cpu.blocks import COLUMNS, ROWS
from freewalk.kernels.cpu.layout import Shape, make_workspace, noise_source, shape_of
from freewalk.kernels.cpu.low_rank_sums import move_panel
from freewalk.kernels.cpu.noise import DRAWS
from freewalk.kernels.cpu.optimizers import Weights, make_rule
from freewalk.kernels.machine import jit
from freewalk.kernels.machine.lanes import LANES, store
from freewalk.kernels.model.descent import BackpropConfiguration
from freewalk.kernels.model.network import FreeNetwork

PACKAGE = Path(freewalk.__file__).parent
ROOMS = ("kernels", "tasks")
SOURCES = sorted(path for room in ROOMS for path in (PACKAGE / room).resolve().rglob("*.py"))
COMPILERS = {"jit", "njit", "generated_jit", "vectorize", "guvectorize", "cfunc", "stencil"}


def _bare_compilers(source: str) -> list[str]:
    """Return where numba's own decorators are named: `numba.njit`, or an import of them by name."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Attribute) and node.attr in COMPILERS:
            found.append(f"line {node.lineno}: {ast.unparse(node)}")
        elif isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "numba":
            found += [f"line {node.lineno}: {alias.name}" for alias in node.names if alias.name in COMPILERS]
    return found


@pytest.mark.parametrize("path", SOURCES, ids=[f"{path.parent.name}/{path.name}" for path in SOURCES])
def test_numba_is_configured_in_one_place(path: Path) -> None:
    found = _bare_compilers(path.read_text(encoding="utf-8"))
    assert bool(found) == (path.name == "jit.py"), found


def test_a_bare_compiler_would_be_found() -> None:
    assert _bare_compilers("import numba\n@numba.njit\ndef f(): pass") == ["line 2: numba.njit"]
    assert _bare_compilers("from numba import cfunc, types") == ["line 1: cfunc"]
    assert _bare_compilers("import numba as nb\nf = nb.vectorize(g)") == ["line 2: nb.vectorize"]
    assert not _bare_compilers("import numba\nfor i in numba.prange(3): pass")


def test_no_fast_math_anywhere() -> None:
    assert jit._OPTIONS["fastmath"] is False
    for path in SOURCES:
        if path.name != "jit.py":
            assert "fastmath" not in path.read_text(encoding="utf-8"), path


@pytest.mark.parametrize("decorate", [jit.helper_function, jit.inline_function])
def test_a_helper_is_for_kernels_alone(decorate: Any) -> None:
    """Its code is optimised with theirs: Numba would do that once for every level of calls."""
    helper = decorate(lambda x: 2 * x)
    with pytest.raises(TypeError):
        helper(1)
    assert jit.uncached_kernel(lambda x: helper(x) + 1)(3) == 7
    for name in ("_optimize_final_module", "_finalize_final_module", "get_pointer_to_function", "codegen"):
        assert hasattr(jit.JITCodeLibrary, name), f"Numba calls {name} no more: helpers are compiled as all else"


# Machine code -------------------------------------------------------------------------------------

NETWORK = FreeNetwork(3, 2, 6, sequence_input=True)
_forward = forward_module.forward
LIBRARY_CALL = re.compile(
    r"[$\s_](exp2?|expm1|log|log2|log1p|sin|cos|sincos|sqrt|pow|fma)f?(@PLT|\b)\s*(,|$)", re.MULTILINE
)


@jit.uncached_kernel  # one from the cache cannot be inspected
def _run_forward(
    shape: Shape,
    weights: NDArray[np.float32],
    noise: NDArray[np.float32],
    x: NDArray[np.float32],
    y: NDArray[np.float32],
    state: NDArray[np.float32],
    outputs: NDArray[np.float32],
    losses: NDArray[np.float32],
) -> None:
    store(losses, 0, _forward(shape, weights, noise, 0, np.float32(0.1), x, y, state, outputs))


def _assembly(dispatcher: Any) -> str:
    (text,) = dispatcher.inspect_asm().values()
    assert isinstance(text, str)
    return text


@pytest.fixture(scope="module")
def assembly() -> dict[str, str]:
    shape = shape_of(NETWORK, 3)
    work = make_workspace(shape, 1, 1)
    draw = jit.uncached_kernel(DRAWS["gaussian"].py_func)
    draw(shape, noise_source("gaussian", 0), 0, 0, work.noise[0], 0)
    weights, losses = np.zeros(shape.n_to * shape.n_rows, np.float32), np.zeros(LANES, np.float32)
    _run_forward(shape, weights, work.noise[0], work.x[0], work.y[0], work.state[0], work.outputs[0], losses)
    return {"noise": _assembly(draw), "forward": _assembly(_run_forward)}


def _host_has(*features: str) -> bool:
    host = binding.get_host_cpu_features()
    return all(host.get(feature, False) for feature in features)


needs_avx2 = pytest.mark.skipif(not _host_has("avx2", "fma"), reason="needs a processor with AVX2 and FMA")
needs_avx512 = pytest.mark.skipif(not _host_has("avx512f"), reason="needs a processor with AVX-512")


@pytest.mark.parametrize("name", ["noise", "forward"])
def test_no_mathematics_library_is_called(assembly: dict[str, str], name: str) -> None:
    """A call of a scalar exp, log, sine or square root, also through a pointer loaded with `movabsq $expf`."""
    assert not LIBRARY_CALL.findall(assembly[name])


def test_a_library_call_would_be_found() -> None:
    for line in ("\tcallq\texpf@PLT\n", "\tmovabsq\t$logf, %rax\n", "\tbl\tsqrtf\n", "\tcallq\texp\n"):
        assert LIBRARY_CALL.search(line), line


@needs_avx2
@pytest.mark.parametrize("name", ["noise", "forward"])
def test_multiply_adds_are_fused_and_in_vectors(assembly: dict[str, str], name: str) -> None:
    fused = re.findall(r"vfn?m(?:add|sub)\d+([ps])s\s.*", assembly[name])
    assert fused.count("p") > 20
    assert fused.count("s") == 0, "scalar multiply-adds"
    register = "zmm" if _host_has("avx512f") else "ymm"
    vectors = re.findall(r"vfn?m(?:add|sub)\d+ps\s.*", assembly[name])
    assert all(register in line for line in vectors)


@needs_avx2
def test_philox_multiplies_32_bits_into_64(assembly: dict[str, str]) -> None:
    """Two vectors of 8 datapoints, 10 rounds, 2 products, less the 8 of rounds 1 to 3 that no datapoint enters.

    The slow 64-bit product vpmullq would be three of them.
    """
    vectors = 1 if _host_has("avx512f") else 2
    assert len(re.findall(r"\bvpmuludq\s", assembly["noise"])) == 32 * vectors
    assert "vpmullq" not in assembly["noise"]


@needs_avx512
def test_square_roots_and_products_use_512_bits(assembly: dict[str, str]) -> None:
    text = assembly["noise"]
    assert re.search(r"vsqrtps\s.*zmm|vrsqrt14ps\s.*zmm", text)
    assert all("zmm" in line for line in re.findall(r"vpmuludq\s.*", text))


@needs_avx2
def test_a_part_of_the_weights_moves_in_vectors() -> None:
    """Adam's roots of a panel: an index that could be negative would leave them one at a time."""
    rows = 40
    n = rows * LANES
    layer = np.zeros(9, dtype=np.int64)
    layer[[ROWS, COLUMNS]] = rows, LANES
    rule = make_rule(BackpropConfiguration(batch_size=1, timesteps=1, optimizer="adam"))
    weights = Weights(np.zeros(n), np.zeros(n, np.float32), np.zeros(n), np.zeros(n))
    move = jit.uncached_kernel(move_panel.py_func)
    move(layer, rule, weights, np.ones(n), 0.1, 0, 0)
    assert re.search(r"vsqrtpd\s.*[yz]mm", _assembly(move))
    assert weights.single.all()


# The cache ----------------------------------------------------------------------------------------


def test_the_fingerprint_changes_with_any_file_beside(tmp_path: Path) -> None:
    def fingerprint() -> str:
        jit.source_fingerprint.cache_clear()
        return jit.source_fingerprint(tmp_path)

    folder = tmp_path / "deeper"
    folder.mkdir()
    seen = [fingerprint()]
    for name, text in (("a.py", "A = 1"), ("a.py", "A = 2"), ("deeper/b.py", "A = 2"), ("a.txt", "no source")):
        (tmp_path / name).write_text(text)
        seen.append(fingerprint())
    (tmp_path / "a.py").rename(tmp_path / "c.py")
    seen.append(fingerprint())
    jit.source_fingerprint.cache_clear()
    assert seen[2] == seen[3] == seen[4], "files deeper down, and what is no source, do not count"
    assert len(set(seen)) == 4


PROBE = """
from freewalk.kernels.data.task_functions import data_words, uniform
from freewalk.kernels.machine.jit import kernel

@kernel
def as_kernel(seed):
    return uniform(data_words(seed, 2, 0, 0, 0)[0])

def datapoint(seed, stream, step, index, timesteps, argument, x, y):
    x[0, 0] = uniform(data_words(seed, stream, step, index, 0)[0])
    y[0, 0] = 0
"""
PROGRAMS = {
    "kernel": """
import numpy as np
from freewalk.tasks.probe import as_kernel
value = as_kernel(np.uint64(1))
print(sum(as_kernel.stats.cache_hits.values()), value)
""",
    "c_function": """
from freewalk.kernels.data.task_functions import compiled_fill, fill_arrays
from freewalk.tasks.probe import datapoint
compiled = compiled_fill(datapoint)
shapes = {"x_shape": (1, 1), "y_shape": (1, 1)}
x, _ = fill_arrays(compiled.address, 0, seed=1, stream=2, step=0, n_datapoints=1, timesteps=1, **shapes)
print(compiled.cache_hits, x[0, 0, 0])
""",
}


@pytest.mark.parametrize(
    "kind",
    ["kernel", "c_function"],
)
def test_an_edited_helper_makes_cached_machine_code_stale(tmp_path: Path, kind: str) -> None:
    """`uniform` lives in another file than the cached function that inlines it: Numba alone would not look there."""
    package = tmp_path / "freewalk"
    package.mkdir()
    shutil.copy(PACKAGE / "__init__.py", package)
    for room in ROOMS:
        shutil.copytree((PACKAGE / room).resolve(), package / room, ignore=shutil.ignore_patterns("__pycache__"))
    (package / "tasks" / "probe.py").write_text(PROBE)
    environment = os.environ | {"PYTHONPATH": str(tmp_path), "NUMBA_CACHE_DIR": str(tmp_path / "cache")}

    def run() -> tuple[int, float]:
        command = [sys.executable, "-c", PROGRAMS[kind]]
        done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment, cwd=tmp_path)
        hits, value = done.stdout.split()
        return int(hits), float(value)

    hits, value = run()
    assert hits == 0
    assert run() == (1, value)

    helper = package / "kernels" / "data" / "task_functions.py"
    text = helper.read_text(encoding="utf-8")
    edited = text.replace("np.float32(2.0**-24)", "np.float32(2.0**-25)")
    assert edited != text
    helper.write_text(edited, encoding="utf-8")
    hits, halved = run()
    assert hits == 0
    assert halved == pytest.approx(value / 2, rel=1e-6)
