"""A step of each rule on the original program's example: 3-30-2, T 4, 1,000 datapoints, one thread; and T 100.

Off by default; `pytest benchmarks/test_rules.py --benchmark-only` runs it, see docs/benchmarks/rules.md.
"""

from __future__ import annotations

from typing import Any

import pytest

from freewalk.harness.methods.problem import resolve_problem
from freewalk.harness.plan.plan import fill
from freewalk.kernels.backend import resolve_backend
from freewalk.tasks.registry import TASKS

RULES: dict[str, tuple[str, dict[str, Any]]] = {
    "walk": ("walk", {}),
    "walk, signs": ("walk", {"noise": "rademacher"}),
    "walk, rank 1, signs": ("walk", {"rank": 1, "noise": "rademacher"}),
    "forward gradient": ("walk", {"tangent": "exact"}),
    "forward gradient, rank 1, signs": ("walk", {"tangent": "exact", "rank": 1, "noise": "rademacher"}),
    "node": ("node", {}),
    "node, signs": ("node", {"noise": "rademacher"}),
    "node, activity-based": ("node", {"activity": "yes"}),
    "backprop": ("backprop", {}),
    "rflo": ("rflo", {}),
    "uoro": ("uoro", {}),
}


@pytest.mark.parametrize("timesteps", [4, 100])
@pytest.mark.parametrize("rule", RULES)
def test_a_step_of_a_rule(benchmark: Any, rule: str, timesteps: int) -> None:
    method, settings = RULES[rule]
    task, backend = TASKS["shifted-sums"], resolve_backend("cpu")
    parameters = {"hidden": 30, "timesteps": timesteps, "batch_size": 1000, **settings}
    problem = resolve_problem(task.name, method, fill(method, parameters, task.parameters))
    trainer = problem.start(backend, seed=0, evaluation_points=1)
    benchmark.group = f"a step of each rule: 3-30-2, T {timesteps}, B 1000, 1 thread"
    benchmark.pedantic(trainer.train, args=(1,), rounds=100 if timesteps == 4 else 20, warmup_rounds=5)
