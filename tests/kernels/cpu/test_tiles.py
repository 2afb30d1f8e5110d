"""Register tiles: what they add, in which order, and that they stay in registers."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from llvmlite import binding
from numpy.typing import NDArray

from freewalk.kernels.cpu.tiles import (
    add_multiples,
    add_outer_product,
    add_products,
    add_sums_in_a_row,
    add_sums_of_lanes,
    empty_tile,
    store_tile,
)
from freewalk.kernels.machine.jit import uncached_kernel
from freewalk.kernels.machine.lanes import LANES, load_f32, store, sum_of_lanes

HOST = binding.get_host_cpu_features()
_LANES = LANES


@uncached_kernel
def _columns(factors: NDArray[np.float32], vectors: NDArray[np.float32], rows: int, out: NDArray[np.float32]) -> None:
    tile = empty_tile(8)
    for row in range(rows):
        tile = add_products(tile, factors, row * 8, load_f32(vectors, row * _LANES))
    store_tile(out, 0, tile)


@uncached_kernel
def _outer(a: NDArray[np.float32], b: NDArray[np.float32], n: int, totals: NDArray[np.float64]) -> None:
    tile = empty_tile(16)
    for k in range(n):
        tile = add_outer_product(tile, a, k * 4 * _LANES, b, k * 4 * _LANES)
    add_sums_of_lanes(totals, 0, tile)


@uncached_kernel
def _quarters(a: NDArray[np.float32], b: NDArray[np.float32], n: int, totals: NDArray[np.float64]) -> None:
    for j in range(0, 4, 2):
        for i in range(0, 4, 2):
            tile = empty_tile(4)
            for k in range(n):
                tile = add_outer_product(tile, a, (k * 4 + i) * _LANES, b, (k * 4 + j) * _LANES)
            add_sums_of_lanes(totals, j * 4 + i, tile)


@uncached_kernel
def _sums(vectors: NDArray[np.float32], totals: NDArray[np.float64]) -> None:
    for k in range(16):
        totals[k] += sum_of_lanes(load_f32(vectors, k * _LANES))


@uncached_kernel
def _product(a: NDArray[np.float32], b: NDArray[np.float32], out: NDArray[np.float32]) -> None:
    for j in range(4):
        for i in range(4):
            store(out, (4 * j + i) * _LANES, load_f32(a, i * _LANES) * load_f32(b, j * _LANES))


def _random(seed: int, *shape: int) -> NDArray[np.float32]:
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def test_products_of_factors_and_vectors() -> None:
    factors, vectors, out = _random(0, 7, 8), _random(1, 7, LANES), np.zeros((8, LANES), np.float32)
    _columns(factors.reshape(-1), vectors.reshape(-1), 7, out.reshape(-1))
    np.testing.assert_allclose(out, factors.T @ vectors, atol=1e-5)


def test_outer_products_summed_over_lanes() -> None:
    a, b = _random(0, 5, 4, LANES), _random(1, 5, 4, LANES)
    totals = np.arange(16.0)
    _outer(a.reshape(-1), b.reshape(-1), 5, totals)
    wanted = np.einsum("kil,kjl->ji", a.astype(np.float64), b.astype(np.float64)).reshape(-1)
    np.testing.assert_allclose(totals - np.arange(16), wanted, atol=1e-5)


def test_lanes_are_added_in_halves() -> None:
    """To the bit what sum_of_lanes returns, vector by vector."""
    a, b, products = _random(2, 4 * LANES), _random(3, 4 * LANES), np.zeros(16 * LANES, np.float32)
    _product(a, b, products)
    found, wanted = np.zeros(16), np.zeros(16)
    _outer(a, b, 1, found)
    _sums(products, wanted)
    np.testing.assert_array_equal(found, wanted)


@uncached_kernel
def _row(vectors: NDArray[np.float32], factors: NDArray[np.float32], n: int, totals: NDArray[np.float64]) -> None:
    for first in range(0, 16, 4):
        tile = empty_tile(4)
        for k in range(n):
            tile = add_multiples(tile, vectors, (k * 16 + first) * _LANES, load_f32(factors, k * _LANES))
        add_sums_in_a_row(totals, first, tile)


def test_sums_in_a_row() -> None:
    vectors, factors = _random(6, 5, 16, LANES), _random(7, 5, LANES)
    totals = np.arange(16.0)
    _row(vectors.reshape(-1), factors.reshape(-1), 5, totals)
    wanted = np.einsum("kil,kl->i", vectors.astype(np.float64), factors.astype(np.float64))
    np.testing.assert_allclose(totals - np.arange(16), wanted, atol=1e-5)


def test_sums_in_a_row_have_the_bits_of_single_ones() -> None:
    vectors, ones = _random(8, 16 * LANES), np.ones(LANES, np.float32)
    found, wanted = np.zeros(16), np.zeros(16)
    _row(vectors, ones, 1, found)
    _sums(vectors, wanted)
    np.testing.assert_array_equal(found, wanted)


def test_a_tile_in_quarters_has_the_same_bits() -> None:
    """What machines with fewer registers do."""
    a, b = _random(4, 9 * 4 * LANES), _random(5, 9 * 4 * LANES)
    whole, quarters = np.ones(16), np.ones(16)
    _outer(a, b, 9, whole)
    _quarters(a, b, 9, quarters)
    np.testing.assert_array_equal(whole, quarters)


@pytest.mark.skipif(not HOST.get("avx512f"), reason="needs a processor with AVX-512")
@pytest.mark.parametrize("function", [_columns, _outer], ids=["columns", "outer"])
def test_the_loops_hold_their_sums_in_registers(function: Any) -> None:
    """Nothing is stored inside the loop, and every multiply-add is one of 512 bits.

    Newer compilers take two steps at once, and have a last one after the loop.
    """
    test_products_of_factors_and_vectors()
    test_outer_products_summed_over_lanes()
    (text,) = function.inspect_asm().values()
    parts = [part.rpartition("vfmadd") for part in re.split(r"\n\.LBB", text) if "vfmadd" in part]
    (body,) = (before + "vfmadd" + after[: after.index("\tj")] for before, _, after in parts if "\tj" in after)
    count = len(re.findall(r"vfmadd\d+ps\s.*zmm", body))
    assert count in ((8, 16) if function is _columns else (16, 32))
    assert count == body.count("vfmadd")
    assert not re.search(r"vmovu?a?ps\s+%zmm\d+,\s*-?\d*\(", body), "a sum goes to memory"


PROGRAM = """
import hashlib
from freewalk.kernels.cpu.descent import CpuBackprop
from freewalk.kernels.model.descent import BackpropConfiguration
from freewalk.tasks.registry import TASKS

for task, timesteps in (("shifted-sums", 4), ("addition", 5)):
    problem = TASKS[task].problem({})
    configuration = BackpropConfiguration(batch_size=150, timesteps=timesteps, optimizer="adam")
    trainer = CpuBackprop(problem.network(13), configuration, problem.data(), seed=3, evaluation_points=100)
    trainer.train(20)
    print(hashlib.sha256(trainer.weights.tobytes()).hexdigest())
"""


@pytest.mark.slow
@pytest.mark.skipif(not (HOST.get("avx2") and HOST.get("fma")), reason="needs a processor with AVX2 and FMA")
def test_backpropagation_has_the_same_bits_with_avx2_alone(tmp_path: Path) -> None:
    def run(**environment: str) -> list[str]:
        command = [sys.executable, "-c", PROGRAM]
        environment = os.environ | environment
        done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment, cwd=tmp_path)
        return done.stdout.splitlines()

    there = run(
        NUMBA_CPU_NAME="haswell",
        NUMBA_CPU_FEATURES="+avx,+avx2,+fma,+bmi,+bmi2,+f16c,+popcnt,+sse4.2",
        NUMBA_CACHE_DIR=str(tmp_path / "cache"),
    )
    assert len(there) == 2
    assert there == run()
