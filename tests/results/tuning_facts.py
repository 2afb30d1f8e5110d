"""What came of races, and trials on fresh seeds that go with it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pandas as pd
from trial_tables import make_trials

from freewalk.results.analysis.tuning import RaceFacts

BUDGET = 1000.0


class Fresh:
    """Trials that facts refer to; a negative cost is a trial that missed, and spent so much."""

    def __init__(self) -> None:
        self.rows: list[dict[str, Any]] = []

    def add(self, task: str, method: str, costs: Sequence[float], state: str = "complete") -> tuple[str, ...]:
        names = []
        for seed, cost in enumerate(costs):
            names.append(f"trial-{len(self.rows)}")
            known = {"trial_id": names[-1], "task": task, "method": method, "seed": seed, "state": state}
            spent = {"evaluations": abs(cost), "reached": cost > 0, "evaluations_budget": BUDGET}
            met = {"evaluations_to_target": cost, "evaluations_resolution": 2} if cost > 0 else {}
            self.rows.append(known | spent | met)
        return tuple(names)

    @property
    def trials(self) -> pd.DataFrame:
        return make_trials(self.rows)


def facts_of(task: str, method: str, tuned: tuple[str, ...], untuned: tuple[str, ...] = (), **more: Any) -> RaceFacts:
    values: dict[str, Any] = {
        "settings": {},
        "n_settings": 8,
        "n_rounds": 2,
        "n_race_trials": 40,
        "tuning_evaluations": 5000.0,
        "stopped_by": "all seeds",
        "edges": (),
        "share_within_two": 0.25,
        "race_cost": 90.0,
        "race_reached": 6,
        "race_seeds": 6,
    }
    return RaceFacts(task=task, method=method, tuned_trials=tuned, untuned_trials=untuned, **(values | more))


def raced(costs: dict[str, dict[str, Sequence[float]]], **more: Any) -> tuple[list[RaceFacts], pd.DataFrame]:
    """Return facts and trials of tuned methods, from task and method to costs."""
    fresh = Fresh()
    facts = [
        facts_of(task, method, fresh.add(task, method, own), **more)
        for task, methods in costs.items()
        for method, own in methods.items()
    ]
    return facts, fresh.trials
