"""Sweeps with curves that are written down, to export."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from freewalk.results.files.runs import Experiment, collect_runs
from freewalk.results.files.sources import read_source
from freewalk.results.store.store import CurvePoint, Store, TrialRecord

Curve = Sequence[tuple[int, float]]

MAXIMISED = ("accuracy", "bit_accuracy", "row_accuracy")
TASK_PARAMETERS = ("bits", "form")
GOALS = {"xor": ("max_error", 0.25), "parity": ("bit_accuracy", 0.75)}


def add(
    store: Store,
    name: str,
    curve: Curve = (),
    *,
    task: str = "xor",
    method: str = "walk",
    seed: int = 0,
    state: str = "complete",
    to_target: int | None = None,
    spent: int | None = None,
    n_weights: int | None = 40,
    **parameters: Any,
) -> None:
    """Add a trial with a curve of its task's metric, as (evaluations, value)."""
    metric, target = GOALS[task]
    known = {"metric_name": metric, "target": target}
    store.add_pending([TrialRecord(trial_id=name, task=task, method=method, seed=seed, parameters=parameters, **known)])
    points = [
        CurvePoint(step, at, at / 1e6, "heldout", what, number)
        for step, (at, value) in enumerate(curve)
        for what, number in ((metric, value), ("loss", 1e3 + at))
    ]
    last = curve[-1][0] if curve else 0
    fields = {"steps": len(curve), "evaluations": last if spent is None else spent, "n_weights": n_weights}
    if state == "failed":
        store.fail(name, "out of memory", {} if n_weights is None else {"n_weights": n_weights}, points)
    elif state == "complete":
        met = {"reached": to_target is not None, "evaluations_to_target": to_target}
        outcome = "exhausted" if to_target is None else "reached"
        store.finish(name, {**fields, **met, "outcome": outcome}, points)
    elif state == "running":
        store.mark_running([name])
        store.add_points({name: points})


def make_sweep(folder: Path, trials: Mapping[str, tuple[Curve, Mapping[str, Any]]]) -> Path:
    """Make a store of trials: a curve and what else ``add`` takes, by name."""
    with Store.create(folder, {"name": folder.name}, folder.name) as store:
        for name, (curve, more) in trials.items():
            add(store, name, curve, **more)
    return folder


def runs_of(*folders: Path) -> Experiment:
    """Collect the runs of sweeps as the command does."""
    return collect_runs([read_source(one) for one in folders], task_parameters=TASK_PARAMETERS, maximised=MAXIMISED)
