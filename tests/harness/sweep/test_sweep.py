"""`freewalk.sweep`: grids of every form, tables, and the same bits whatever the threads, the order and the company."""

import itertools
import math
import os
import sqlite3
import subprocess
import sys
import tempfile
import time
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import freewalk
from freewalk.harness.base.errors import UsageError, one_line
from freewalk.harness.plan.configuration import resolve
from freewalk.harness.plan.places import default_directory
from freewalk.harness.plan.registry import BuiltInRegistry
from freewalk.harness.sweep import Opened, Sweep
from freewalk.harness.trial.events import Advanced, Finished
from freewalk.harness.trial.trial import run_trial, start_trial
from freewalk.kernels.backend import Backend
from freewalk.results.files.export import read_csv
from freewalk.results.store.store import StoreError

SHORT: dict[str, Any] = {"epochs": 3, "steps_per_epoch": 5, "evaluation_points": 64}
GRID: dict[str, Any] = {
    "stddev": [0.1, 0.5],
    "hidden": 4,
    "batch_size": 16,
    "timesteps": 2,
    "update": "normalised",
    "optimizer": "momentum",
}
VOLATILE = [
    *("sweep_id", "started_at", "finished_at", "train_seconds", "evaluation_seconds", "compile_seconds"),
    *("seconds_to_target", "peak_memory_mb"),
]


def lasting(trials: pd.DataFrame) -> pd.DataFrame:
    """Give what must be the same in every run, in an order that no run decides."""
    return trials.drop(columns=VOLATILE).sort_values("trial_id", ignore_index=True)


def measured(curves: pd.DataFrame) -> pd.DataFrame:
    keys = ["trial_id", "step", "split", "metric"]
    return curves.drop(columns="train_seconds").sort_values(keys, ignore_index=True)


def same(one: freewalk.SweepResult, other: freewalk.SweepResult) -> None:
    pd.testing.assert_frame_equal(lasting(one.trials), lasting(other.trials), check_exact=True)
    pd.testing.assert_frame_equal(measured(one.curves), measured(other.curves), check_exact=True)


@pytest.fixture(scope="module")
def reference() -> freewalk.SweepResult:
    return freewalk.sweep(GRID, task=["xor", "sign"], seeds=range(3), **SHORT)


def test_tables_are_frames(reference: freewalk.SweepResult) -> None:
    assert isinstance(reference.trials, pd.DataFrame)
    assert (len(reference.trials), len(reference.summary)) == (12, 4)
    assert set(reference.curves["trial_id"]) == set(reference.trials["trial_id"])
    assert reference.directory is None


@pytest.mark.parametrize(
    "grid",
    [
        [f"{key}={','.join(map(str, v)) if isinstance(v, list) else v}" for key, v in GRID.items()],
        GRID | {"stddev": np.array([0.1, 0.5]), "hidden": np.int64(4)},
        GRID | {"stddev": (value for value in (0.1, 0.5)), "timesteps": range(2, 3)},
        GRID | {"stddev": pd.Series([0.1, 0.5]), "batch_size": np.array([16])},
        GRID | {"stddev": "0.1,0.5", "task": ["xor", "sign"]},
        GRID | {"stddev": "linspace(0.1,0.5,2)"},
        GRID | {"stddev": np.array(0.1)},
    ],
    ids=["specs", "arrays", "iterators", "series", "text", "function", "scalar array"],
)
def test_grids_of_every_form(reference: freewalk.SweepResult, grid: Any) -> None:
    single = isinstance(grid, dict) and isinstance(grid["stddev"], np.ndarray) and grid["stddev"].ndim == 0
    tasks = () if isinstance(grid, dict) and "task" in grid else ("xor", "sign")
    found = freewalk.sweep(grid, task=tasks, seeds="0:3", **SHORT)
    if single:
        assert set(found.trials["param_stddev"]) == {0.1}
    else:
        same(found, reference)


def test_one_spec_is_a_string_and_one_task_too() -> None:
    found = freewalk.sweep("hidden=1,2", task="and", method="walk", seeds=[7], epochs=1, steps_per_epoch=1)
    assert found.trials["param_hidden"].tolist() == [1, 2]
    assert found.trials["seed"].tolist() == [7, 7]


def test_values_of_float32_are_the_numbers_that_they_are_written_as() -> None:
    found = freewalk.sweep({"stddev": np.array([0.1], np.float32)}, task="and", seeds=[0], epochs=1, steps_per_epoch=1)
    assert found.trials["param_stddev"].tolist() == [0.1]


def test_nothing_stays_on_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    freewalk.sweep(GRID, task="xor", seeds=[0], **SHORT)
    with pytest.raises(UsageError):
        freewalk.sweep(GRID, task="xro")
    assert not list(tmp_path.iterdir())


def test_a_folder_keeps_the_tables_and_resumes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = freewalk.sweep(GRID, task="xor", out=str(tmp_path / "out"), **SHORT)
    assert found.directory == tmp_path / "out"
    pd.testing.assert_frame_equal(read_csv(tmp_path / "out" / "trials.csv"), found.trials, check_exact=True)
    monkeypatch.setattr(Backend, "make_walk", lambda *_, **__: pytest.fail("a trial was run again"))
    again = freewalk.sweep(GRID, task="xor", out=tmp_path / "out", **SHORT)
    pd.testing.assert_frame_equal(again.trials, found.trials, check_exact=True)
    with pytest.raises(StoreError, match="holds another sweep"):
        freewalk.sweep(GRID, task="sign", out=tmp_path / "out", **SHORT)


@pytest.mark.parametrize(
    ("arguments", "options", "message"),
    [
        ({}, {}, "no task given"),
        ({"stdev": 1}, {"task": "xor"}, "did you mean 'stddev'"),
        ({"stddev": []}, {"task": "xor"}, "no values"),
        ({"stddev": [0.1, math.nan]}, {"task": "xor"}, "must be a finite number"),
        ({"stddev": None}, {"task": "xor"}, "must hold numbers or texts"),
        ({"batch_size": [True]}, {"task": "xor"}, "must be a whole number"),
        ({}, {"task": "xor", "seeds": []}, "seeds are empty"),
        ({}, {"task": "xor", "seeds": [-1]}, "out of range"),
        ({}, {"task": "xor", "epochs": 0}, "at least 1"),
        ({}, {"task": "xor", "epochs": "many"}, "must be a whole number"),
        ({}, {"task": "xor", "backend": "gpu"}, "one of auto, cuda, cpu, reference"),
        ("nothing.toml", {}, "no such file"),
    ],
)
def test_mistakes_raise_a_usage_error_of_one_line(arguments: Any, options: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message) as caught:
        freewalk.sweep(arguments, **options)
    assert "\n" not in str(caught.value)


def test_seeds_may_be_an_array() -> None:
    found = freewalk.sweep(task="and", seeds=np.arange(2), epochs=1, steps_per_epoch=1)
    assert found.trials["seed"].tolist() == [0, 1]


def test_a_trial_alone_is_the_trial_in_the_sweep(reference: freewalk.SweepResult) -> None:
    alone = freewalk.sweep(GRID | {"stddev": 0.5}, task="sign", seeds=[2], **SHORT)
    (trial_id,) = alone.trials["trial_id"]
    for mine, theirs in ((alone.trials, reference.trials), (alone.curves, reference.curves)):
        found = theirs[theirs["trial_id"] == trial_id].reset_index(drop=True)
        gone = [name for name in VOLATILE if name in found.columns]
        pd.testing.assert_frame_equal(found.drop(columns=gone), mine.drop(columns=gone), check_exact=True)


def test_weights_in_a_sweep_are_those_of_the_trial_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    made: dict[tuple[float, int], Any] = {}
    make_pack = Backend.make_pack

    def remember(self: Backend, network: Any, data: Any, trials: Any, **options: Any) -> Any:
        batch = make_pack(self, network, data, trials, **options)
        for place, trial in enumerate(trials):
            made[trial.configuration.stddev, trial.seed] = partial(batch.weights, place)
        return batch

    specs = ["stddev=0.1,0.5", "batch_size=16", "update=normalised"]
    configuration = resolve(specs, registry=BuiltInRegistry(), tasks=["xor"], seeds="0:3", **SHORT)
    monkeypatch.setattr(Backend, "make_pack", remember)
    with tempfile.TemporaryDirectory() as folder:
        sweep = Sweep(configuration, Path(folder))
        for _ in sweep.run():
            pass
    assert len(made) == 6
    for trial in sweep.plan.trials:
        alone = start_trial(trial.cell, trial.seed, sweep.budget, sweep.backend)
        run_trial(alone, sweep.backend)
        key = float(str(trial.cell.parameters["stddev"])), trial.seed
        assert np.array_equal(alone.trainer.weights, made[key]())
    assert not np.array_equal(made[0.1, 0](), made[0.1, 1]()), "seeds differ"


@pytest.mark.parametrize("threads", [1, 2])
def test_threads_change_no_bit(reference: freewalk.SweepResult, tmp_path: Path, threads: int) -> None:
    if threads > (os.cpu_count() or 1):
        pytest.skip("needs two processors")
    script = (
        "import sys, freewalk\n"
        f"found = freewalk.sweep({GRID!r}, task=['xor', 'sign'], seeds=range(3), out=sys.argv[1], **{SHORT!r})\n"
        "from freewalk.kernels.machine.threads import usable_threads\n"
        "print(usable_threads())\n"
    )
    environment = {**os.environ, "NUMBA_NUM_THREADS": str(threads)}
    command = [sys.executable, "-c", script, str(tmp_path)]
    found = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    assert int(found.stdout) == threads
    tables = [read_csv(tmp_path / f"{name}.csv", name) for name in ("trials", "curves", "summary")]  # type: ignore[arg-type]
    same(freewalk.SweepResult(*tables, directory=None), reference)


def test_the_order_of_the_grid_changes_no_bit(reference: freewalk.SweepResult) -> None:
    turned = dict(reversed((GRID | {"stddev": [0.5, 0.1]}).items()))
    found = freewalk.sweep(turned, task=["sign", "xor"], seeds=[2, 0, 1], **SHORT)
    assert found.trials["trial_id"].tolist() != reference.trials["trial_id"].tolist()
    same(found, reference)


def test_the_numpy_reference_agrees(reference: freewalk.SweepResult) -> None:
    found = freewalk.sweep(GRID, task=["xor", "sign"], seeds=range(3), backend="reference", **SHORT)
    assert set(found.trials["backend"]) == {"reference"}
    assert set(found.trials["dtype"]) == {"float64"}
    assert set(reference.trials["dtype"]) == {"float32"}
    for name in ("trial_id", "outcome", "steps", "evaluations", "steps_to_target", "n_weights"):
        pd.testing.assert_series_equal(found.trials[name], reference.trials[name])
    assert np.abs(found.curves["value"] - reference.curves["value"]).max() < 1e-4
    assert not (found.curves["value"] == reference.curves["value"]).all(), "they compute in different precision"


def test_a_sweep_yields_opened_then_events(tmp_path: Path) -> None:
    configuration = resolve(["batch_size=4"], registry=BuiltInRegistry(), tasks=["xor"], epochs=1, steps_per_epoch=1)
    sweep = Sweep(configuration, tmp_path / "out")
    assert not sweep.tables
    assert not (tmp_path / "out").exists(), "nothing is made before it runs"
    first, *events = sweep.run()
    assert isinstance(first, Opened)
    assert (len(first.trials), first.n_total, first.n_reached_before) == (3, 3, 0)
    assert sum(isinstance(event, Finished) for event in events) == 3
    assert {*sweep.tables} == {"trials", "summary"}
    seconds = sweep.tables["trials"]["compile_seconds"]
    assert (seconds > 0).sum() == 1, "whoever compiled paid once"
    (only,) = Sweep(configuration, tmp_path / "out").run()
    assert isinstance(only, Opened)
    assert not only.trials


def test_a_consumer_that_stops_early_leaves_a_sweep_to_resume(tmp_path: Path) -> None:
    specs = ["batch_size=64", "hidden=20"]
    configuration = resolve(specs, registry=BuiltInRegistry(), tasks=["shifted-sums"], seeds="0:6", epochs=5)
    sweep = Sweep(configuration, tmp_path)
    for event in sweep.run():
        if isinstance(event, Finished):
            break
    trials = read_csv(tmp_path / "trials.csv")
    n_before = (trials["state"] == "complete").sum()
    assert 0 < n_before < 6
    assert set(trials["state"]) <= {"complete", "pending", "interrupted"}
    again = Sweep(configuration, tmp_path)
    first, *_ = again.run()
    assert isinstance(first, Opened)
    assert len(first.trials) == 6 - n_before
    assert (again.tables["trials"]["state"] == "complete").all()
    undisturbed = freewalk.sweep(specs, task="shifted-sums", seeds="0:6", epochs=5)
    pd.testing.assert_frame_equal(lasting(again.tables["trials"]), lasting(undisturbed.trials), check_exact=True)


def test_a_store_from_before_architectures_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = freewalk.sweep(GRID, task="xor", out=tmp_path, **SHORT)
    with closing(sqlite3.connect(tmp_path / "sweep.sqlite")) as connection:
        connection.execute("UPDATE trials SET plan_checksum = NULL, result_checksum = NULL")
        connection.execute("ALTER TABLE trials DROP COLUMN evaluations_per_step")
        for name in ("architecture", "activation"):
            connection.execute(f"UPDATE trials SET parameters = json_remove(parameters, '$.{name}')")
        connection.commit()
    monkeypatch.setattr(Backend, "make_walk", lambda *_, **__: pytest.fail("a trial was run again"))
    again = freewalk.sweep(GRID, task="xor", out=tmp_path, **SHORT).trials
    assert again["trial_id"].tolist() == found.trials["trial_id"].tolist()
    assert again["loss_final"].tolist() == found.trials["loss_final"].tolist()
    assert "param_architecture" not in again
    assert again["evaluations_per_step"].isna().all()


def test_the_cost_of_a_sweep_grows_with_its_trials_and_not_with_their_square(tmp_path: Path) -> None:
    def processor_seconds(n_stddevs: int, out: Path) -> float:
        specs = [f"stddev=linspace(0.01,1,{n_stddevs})", "batch_size=1", "hidden=1", "update=normalised"]
        registry = BuiltInRegistry()
        configuration = resolve(specs, registry=registry, tasks=["xor"], seeds="0:5", epochs=1, steps_per_epoch=1)
        sweep = Sweep(configuration, out)
        start = time.process_time()
        # how often running trials tell how far they are goes by the clock
        assert sum(not isinstance(event, Advanced) for event in sweep.run()) == 1 + 2 * 5 * n_stddevs
        return time.process_time() - start

    processor_seconds(5, tmp_path / "loads the kernels")
    before = processor_seconds(60, tmp_path / "before")
    large = processor_seconds(360, tmp_path / "large")
    after = processor_seconds(60, tmp_path / "after")
    # Six times the trials; what grows with the square of the plan would make it 12.
    assert large < 9 * (before + after) / 2


def test_the_default_folder_depends_on_what_decides_results() -> None:
    def folder(**options: Any) -> Path:
        return default_directory(resolve(["stddev=0.1,1"], registry=BuiltInRegistry(), tasks=["xor"], **options))

    assert folder() == folder(seeds="0:3", epochs=40)
    assert len({folder(), folder(seeds="0:4"), folder(epochs=3), folder(target=0.1)}) == 4


def test_errors_are_told_in_one_line() -> None:
    assert one_line(ValueError("a\n  b")) == "ValueError: a b"
    assert len(one_line(ValueError("x" * 10_000))) == 400
    assert one_line(ValueError("x" * 10_000)).endswith("…")


def test_compiled_data_of_every_task_runs() -> None:
    tasks = ["shifted-sums", "and", "or", "xor", "sign", "parity", "addition"]
    found = freewalk.sweep("batch_size=4", task=tasks, seeds=[0], epochs=1, steps_per_epoch=2)
    assert found.trials["task"].tolist() == tasks
    assert (found.trials["steps"] == 2).sum() >= 6
    for form, task in itertools.product(("static", "sequence"), ("parity", "addition")):
        found = freewalk.sweep({"form": form, "batch_size": 4}, task=task, seeds=[0], epochs=1, steps_per_epoch=2)
        assert found.trials["state"].tolist() == ["complete"]


@pytest.mark.parametrize("name", freewalk.__all__)
def test_public_names_are_there(name: str) -> None:
    assert getattr(freewalk, name)


def test_a_name_that_is_not_public() -> None:
    with pytest.raises(AttributeError, match=r"freewalk.*swep"):
        getattr(freewalk, "swep")  # noqa: B009 - an attribute access would not pass the type check


def test_a_sweep_of_several_methods_says_which_is_better() -> None:
    grid = {"timesteps": 3, "batch_size": [4, 64], "learning_rate": [0.3, 1.0], "stddev": 0.1}
    result = freewalk.sweep(grid, task="xor", method=["walk", "backprop"], seeds="0:4", epochs=10)
    assert result.ranking["rank"].tolist() == list(range(1, 9))
    assert result.methods["method"].tolist() == ["backprop", "walk"]
    walk = result.methods.iloc[1]
    assert walk["cost_ratio"] > 1
    assert walk["cost_ratio_low"] <= walk["cost_ratio"] <= walk["cost_ratio_high"]
    assert walk["n_cells"] == 4
