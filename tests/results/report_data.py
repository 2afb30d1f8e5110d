"""Made-up sweeps to report on: any tasks, parameters and outcomes."""

import itertools
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pandas as pd

from freewalk.results.analysis.methods import best_of_methods
from freewalk.results.analysis.ranking import ranking
from freewalk.results.analysis.sensitivity import sensitivity
from freewalk.results.analysis.summary import summarise
from freewalk.results.report.subject import Tables, TaskNote
from freewalk.results.schema.schema import SCHEMA_VERSION
from freewalk.results.tables.frames import build_frame, column_dtypes, frame_of, parameter_series, typed_series

Row = dict[str, Any]
Fate = Callable[[Row], Row]

EVALUATIONS = 1000
NOTE = TaskNote("XOR of two inputs", "<", "largest distance of an output from its target")


def reached(after: int) -> Row:
    """Give the columns of a trial that reached its target after so many evaluations."""
    return {
        "outcome": "reached",
        "reached": True,
        "evaluations": after,
        "evaluations_to_target": after,
        "steps": after // 2,
        "steps_to_target": after // 2,
        "seconds_to_target": after * 1e-6,
        "loss_final": 0.01,
        "metric_final": 0.3,
    }


def missed(loss: float = 0.25, outcome: str = "exhausted") -> Row:
    """Give the columns of a trial that did not."""
    spent = {"evaluations": EVALUATIONS, "steps": EVALUATIONS // 2}
    return {"outcome": outcome, "reached": False, "loss_final": loss, "metric_final": 0.5, **spent}


def failed(error: str) -> Row:
    """Give the columns of a trial that failed."""
    return {"state": "failed", "outcome": None, "error": error}


def waiting(state: str = "pending") -> Row:
    """Give the columns of a trial that has not ended."""
    return {"state": state, "outcome": None}


def make_trials(
    fate: Fate,
    parameters: Mapping[str, Sequence[Any]] | None = None,
    tasks: Sequence[str] = ("xor",),
    methods: Sequence[str] = ("walk",),
    seeds: int = 3,
) -> pd.DataFrame:
    """Make a trials table: every combination, its end as ``fate`` says of its task, method, parameters and seed."""
    axes = {"stddev": [0.1]} if parameters is None else dict(parameters)
    rows = []
    for task, method, *values, seed in itertools.product(tasks, methods, *axes.values(), range(seeds)):
        given = {"task": task, "method": method, "seed": seed, **dict(zip(axes, values, strict=True))}
        fixed = {
            "schema_version": SCHEMA_VERSION,
            "sweep_id": "abc123",
            "trial_id": f"t{len(rows)}",
            "state": "complete",
        }
        goal = {"metric_name": "max_error", "target": 0.4}
        rows.append({**fixed, **goal, **given, **fate(given)})
    columns = {
        name: typed_series([row.get(name) for row in rows], dtype) for name, dtype in column_dtypes("trials").items()
    }
    columns |= {f"param_{name}": parameter_series([row[name] for row in rows]) for name in axes}
    return build_frame("trials", columns, list(axes))


def make_curves(trials: pd.DataFrame, points: int = 6) -> pd.DataFrame:
    """Make the curves of the complete trials: from 0.25 down (or up) to where each one ended."""
    rows: list[Row] = []
    for trial in trials.to_dict("records"):
        if trial["state"] != "complete":
            continue
        last = int(trial["evaluations"])
        for place in range(points):
            share = place / (points - 1)
            at = {"trial_id": trial["trial_id"], "step": place, "evaluations": int(last * share), "split": "heldout"}
            for metric, start, end in (("loss", 0.25, trial["loss_final"]), ("max_error", 0.6, trial["metric_final"])):
                value = start if place == 0 else end if math.isinf(end) else start + share * (end - start)
                rows.append({"train_seconds": share, "metric": metric, "value": value, **at})
    return frame_of("curves", rows)


def make_tables(trials: pd.DataFrame, curves: pd.DataFrame | None = None, **changes: Any) -> Tables:
    """Make what a report needs from trials; with made-up curves unless some are given."""
    summary = summarise(trials)
    ranked = ranking(trials, summary)
    values: dict[str, Any] = {
        "trials": trials,
        "curves": make_curves(trials) if curves is None else curves,
        "summary": summary,
        "ranking": ranked,
        "methods": best_of_methods(trials, ranked),
        "sensitivity": sensitivity(trials),
        "name": "a sweep",
        "sweep_id": "abc123",
        "notes": {"xor": NOTE},
    }
    return Tables(**(values | changes))


def mixed(row: Row) -> Row:
    """Let trials end in many ways: cheap at stddev 0.1, dearer elsewhere, never at stddev 1."""
    if row.get("stddev") == 1:
        return missed(math.inf, "diverged") if row["seed"] == 0 else missed(0.3)
    distance = abs(row.get("stddev", 0.1) - 0.1)
    return reached(int(100 * (1 + 10 * distance) * row.get("batch_size", 1)) + 10 * row["seed"])
