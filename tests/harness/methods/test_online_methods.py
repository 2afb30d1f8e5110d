"""What the harness knows of RTRL, RFLO and UORO: their networks and their memory."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from freewalk.harness.engine.estimate import memory_mb
from freewalk.harness.ladder.tasks import options_of
from freewalk.harness.methods.problem import resolve_problem
from freewalk.harness.methods.registered import METHODS
from freewalk.harness.plan.single_trial import single_trial
from freewalk.kernels.cpu.carried import RFLO, RTRL, UORO, make_carried
from freewalk.kernels.cpu.layout import shape_of

Harness = Callable[..., Any]
JUDGED_BY = {"rtrl": "stepped", "rflo": "direction", "uoro": "estimate"}
KINDS = {"rtrl": RTRL, "rflo": RFLO, "uoro": UORO}


@pytest.mark.parametrize("method", KINDS)
@pytest.mark.parametrize("hidden", [30, 101])
def test_memory_counts_what_is_carried(method: str, hidden: int) -> None:
    problem = resolve_problem("xor", method, {"hidden": hidden, "batch_size": 50})
    arrays = make_carried(shape_of(problem.network, problem.timesteps), KINDS[method], 1)
    held = sum(array.nbytes for array in arrays)
    assert held / 1.2 < METHODS[method].bytes_carried(problem, float64=False) < held


def test_memory_of_a_trial_grows_with_the_cube_of_its_neurons() -> None:
    def needed(method: str, hidden: int, backend: str = "cpu") -> float:
        cell = single_trial("test", "xor", method, "0", {"hidden": str(hidden), "batch_size": "50"}).cell
        return memory_mb(cell, backend)  # type: ignore[arg-type]

    assert needed("rtrl", 400) / needed("rtrl", 200) == pytest.approx(8, rel=0.1)
    assert needed("rtrl", 200) > 10 * needed("rflo", 200)
    assert needed("rtrl", 200, "reference") > 3 * 50 * 201**3 * 8 / 1e6


@pytest.mark.parametrize("method", KINDS)
def test_layered_networks_are_refused(method: str) -> None:
    with pytest.raises(ValueError, match=f"method {method} learns free networks only; give architecture=free"):
        resolve_problem("xor", method, {"architecture": "2-4-1"})


@pytest.mark.parametrize("method", KINDS)
def test_gradcheck_judges_them_on_free_networks(harness: Harness, method: str) -> None:
    """RTRL's step by the exact gradient, UORO's by its bias, RFLO's by where it leads."""
    options = ("--hidden", 3, "--samples", 100, "--leak", 0.5, "--json")
    found = json.loads(harness("gradcheck", "--task", "delayed-xor", "--method", method, *options).out)
    assert found["passed"]
    assert [name for name in ("stepped", "estimate", "direction") if found.get(name)] == [JUDGED_BY[method]]


def test_the_ladder_gives_free_networks_of_the_same_depth() -> None:
    assert options_of("2-3-4-1", "rtrl") == {"hidden": "7", "timesteps": "3"}
    assert options_of("2-3-4-1", "backprop") == {"architecture": "2-3-4-1"}
