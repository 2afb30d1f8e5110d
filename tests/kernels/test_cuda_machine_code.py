"""Every CUDA kernel compiles to Hopper's machine code, without a GPU, and the hot ones spill no register."""

from __future__ import annotations

import importlib.util

import pytest

if importlib.util.find_spec("numba_cuda") is None:
    pytest.skip("numba-cuda is not installed (extra cuda13 or cuda12)", allow_module_level=True)

from freewalk.kernels.cuda.machine_code import KernelCost, compile_all, find_ptxas, networks

PTXAS = find_ptxas()
pytestmark = pytest.mark.skipif(PTXAS is None, reason="ptxas was not found (pip install nvidia-cuda-nvcc)")
SHARED_BYTES_OF_ANY_GPU = 48 << 10
REGISTERS_OF_A_MULTIPROCESSOR = 1 << 16
MOST_THREADS = 256


@pytest.fixture(scope="module")
def costs() -> list[KernelCost]:
    assert PTXAS is not None
    wanted = ("hidden 30", "hidden 30, two sides", "hidden 30, rademacher", "hidden 62", "hidden 254")
    return list(compile_all({name: networks()[name] for name in wanted}, PTXAS))


def test_every_kernel_fits_on_a_gpu(costs: list[KernelCost]) -> None:
    assert {cost.kernel for cost in costs} == {
        *("train_trials", "train_one", "sum_step", "move_step", "evaluate"),
        *("differences", "judge", "accumulate", "finish"),
    }
    for cost in costs:
        assert 0 < cost.registers * MOST_THREADS <= REGISTERS_OF_A_MULTIPROCESSOR, cost
        assert cost.shared_bytes <= SHARED_BYTES_OF_ANY_GPU, cost


def test_the_hot_kernels_of_the_default_shape_spill_nothing(costs: list[KernelCost]) -> None:
    hot = [cost for cost in costs if cost.network.startswith("hidden 30")]
    assert len(hot) == 15
    assert [cost for cost in hot if cost.spilled_bytes] == []
    assert [cost for cost in hot if cost.stack_bytes and cost.kernel != "evaluate"] == []


def test_noise_lives_in_registers(costs: list[KernelCost]) -> None:
    """A column of 36 rows has 36 numbers of noise and 36 sums; fewer registers would mean that they lie in memory."""
    hot = [cost for cost in costs if cost.network == "hidden 30" and cost.kernel in ("train_trials", "train_one")]
    assert all(cost.registers > 72 for cost in hot)


def test_a_table_that_counts_shows_what_is_spilled(costs: list[KernelCost]) -> None:
    """The counter works: two warps of 68 rows cannot keep everything, and the table says so."""
    assert any(cost.spilled_bytes for cost in costs if cost.network == "hidden 62")
