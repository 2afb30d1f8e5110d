"""CUDA kernels link to Hopper's machine code as numba-cuda loads it, without a GPU; the hot ones spill nothing."""

from __future__ import annotations

import pytest

from freewalk.kernels.cuda.layout import LaunchShape
from freewalk.kernels.cuda.machine_code import KernelCost, cost_of_all, networks, why_unlinkable

REASON = why_unlinkable()
pytestmark = pytest.mark.skipif(REASON is not None, reason=REASON or "")
SHARED_BYTES_OF_ANY_GPU = 48 << 10
REGISTERS_OF_A_MULTIPROCESSOR = 1 << 16
MOST_THREADS = 256
STACK_OF_A_COSINE = 40
"""Bytes for the slow path of a cosine, which the learning rate's schedule takes once a step at most."""
SPILLED_BY_AN_OLDER_LINKER = 160
"""Bytes, stored and loaded by `train_one` with nvJitLink 13.0; 13.5 spills nothing."""


NETWORKS = ("hidden 30", "hidden 254", "hidden 30, rank 1")
MORE = (
    *NETWORKS,
    *("hidden 30, two sides", "hidden 30, rademacher", "hidden 62", "hidden 254, rank 1, two sides"),
    *("hidden 254, mask, rank 1, shared data", "hidden 254, 8 datapoints", "hidden 254, orthogonal"),
)
OF_THE_FAMILY = ("rank", "datapoints", "orthogonal")


@pytest.fixture(scope="module", params=[NETWORKS, pytest.param(MORE, marks=pytest.mark.slow)], ids=["", "more"])
def costs(request: pytest.FixtureRequest) -> list[KernelCost]:
    return list(cost_of_all({name: networks()[name] for name in request.param}))


def test_every_kernel_fits_on_a_gpu(costs: list[KernelCost]) -> None:
    assert {cost.kernel for cost in costs} - {"clean"} == {
        *("train_trials", "train_one", "sum_step", "move_step", "evaluate"),
        *("differences", "judge", "accumulate", "finish"),
        *("draw", "losses", "rank"),
    }
    for cost in costs:
        assert 0 < cost.registers * MOST_THREADS <= REGISTERS_OF_A_MULTIPROCESSOR, cost
        assert cost.shared_bytes <= SHARED_BYTES_OF_ANY_GPU, cost


def test_the_hot_kernels_of_the_default_shape_spill_nothing(costs: list[KernelCost]) -> None:
    hot = [cost for cost in costs if cost.network.startswith("hidden 30") and "rank" not in cost.network]
    assert len(hot) == 5 * len({cost.network for cost in hot})
    assert [cost for cost in hot if cost.spilled_bytes and cost.kernel != "train_one"] == []
    assert [cost for cost in hot if cost.spilled_bytes > SPILLED_BY_AN_OLDER_LINKER] == []
    assert [cost for cost in hot if cost.stack_bytes > STACK_OF_A_COSINE] == []
    assert [
        cost for cost in hot if cost.stack_bytes and cost.kernel not in ("train_trials", "train_one", "move_step")
    ] == []


def test_perturbations_of_every_kind_spill_nothing(costs: list[KernelCost]) -> None:
    """Sums of all pairs of a tile, and of a square of the update, are in registers."""
    found = [cost for cost in costs if any(word in cost.network for word in OF_THE_FAMILY)]
    assert len(found) >= 6
    assert [cost for cost in found if cost.spilled_bytes] == []
    assert [cost for cost in found if cost.stack_bytes > (STACK_OF_A_COSINE if cost.kernel == "finish" else 0)] == []
    assert all(cost.registers > 64 for cost in found if cost.kernel == "losses")


def test_noise_lives_in_registers(costs: list[KernelCost]) -> None:
    """A column of 36 rows has 36 numbers of noise and 36 sums; fewer registers would mean that they lie in memory."""
    hot = [cost for cost in costs if cost.network == "hidden 30" and cost.kernel in ("train_trials", "train_one")]
    assert all(cost.registers > 72 for cost in hot)


def test_the_grid_that_meets_is_linked_with_cudas_device_runtime(costs: list[KernelCost]) -> None:
    """What the linker adds is no part of the kernel's own code."""
    one, two = (
        next(cost for cost in costs if (cost.network, cost.kernel) == ("hidden 30", kernel))
        for kernel in ("train_one", "sum_step")
    )
    assert two.instructions < one.instructions < 2 * two.instructions
    assert one.shared_bytes > two.shared_bytes > 40_000


def test_a_launch_shape_bounds_the_registers() -> None:
    """Four warps a scheduler: two blocks of a multiprocessor's registers and shared memory. And spills are counted."""
    shape = LaunchShape(8, 128)
    cost = next(cost_of_all({"default": networks()["hidden 30"]}, shape))
    assert cost.kernel == "train_trials"
    assert cost.registers == 128
    assert cost.spilled_bytes > 0, "or it would be the better default"
