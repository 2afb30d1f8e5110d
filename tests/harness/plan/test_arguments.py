"""What Python hands to `freewalk.sweep`: objects, several grids, seeds of any kind; what fits nothing is one line."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import freewalk
from freewalk.harness.base.errors import UsageError
from freewalk.harness.methods.registered import METHODS
from freewalk.harness.plan.arguments import seeds_of, specs_and_tables
from freewalk.harness.plan.plugins import unload_all
from freewalk.harness.plan.settings import RunSettings
from freewalk.methods import ArrayTrainer, OwnMethod
from freewalk.tasks import from_arrays
from freewalk.tasks.registry import TASKS

X = np.random.default_rng(0).normal(size=(60, 2))
OWN_TASK = from_arrays("own-signs", X, (X[:, 0] > 0).astype(int))
SHORT: dict[str, Any] = {"epochs": 1, "steps_per_epoch": 2, "evaluation_points": 16, "seeds": [0]}


class _Still(ArrayTrainer):
    def take_step(self) -> float:
        return float(self.losses(self.values, *self.batch()).mean())


OWN_METHOD = OwnMethod("own-still", "moves nothing", _Still, lambda parameters, batch_size, n_weights: batch_size)


def refusal(**options: Any) -> str:
    with pytest.raises(freewalk.UsageError) as caught:
        freewalk.sweep(**{"grid": {"hidden": 2}, "task": "xor", **SHORT, **options})
    text = str(caught.value)
    assert "\n" not in text
    return text


@pytest.mark.parametrize(
    "values",
    [
        np.array([0.1, 0.25], np.float32),
        [np.float32(0.1), np.float64(0.25)],
        pd.Series([0.1, 0.25], dtype="float32"),
        (value for value in (0.1, 0.25)),
        [Decimal("0.1"), "0.25"],
        "0.1,0.25",
    ],
)
def test_values_of_a_grid_are_those_that_one_reads(values: Any) -> None:
    assert specs_and_tables({"stddev": values})[0] == ("stddev=0.1,0.25",)


@pytest.mark.parametrize(
    "one", [np.float32(0.1), np.array(0.1, np.float32), np.float16(0.1), 0.1, "0.1", Decimal("0.1")]
)
def test_one_value(one: Any) -> None:
    assert specs_and_tables({"stddev": one}) == (("stddev=0.1",), ())


def test_paths_whole_numbers_and_ranges() -> None:
    assert specs_and_tables({"source": Path("a/b.npz"), "hidden": range(1, 4), "bits": np.int64(3)})[0] == (
        "source=a/b.npz",
        "hidden=1,2,3",
        "bits=3",
    )


@pytest.mark.parametrize(
    ("seeds", "expected"),
    [
        (["0", "1"], (0, 1)),
        (["0:3", 7], (0, 1, 2, 7)),
        (np.arange(3), (0, 1, 2)),
        ([0.0, 1.0], (0, 1)),
        ([np.int32(4)], (4,)),
        (0, (0,)),
        (range(2), (0, 1)),
        ((seed for seed in (2, 1)), (2, 1)),
        ("0:3", "0:3"),
        (None, None),
    ],
)
def test_seeds_of_any_kind(seeds: Any, expected: Any) -> None:
    assert seeds_of(seeds) == expected


@pytest.mark.parametrize("seeds", [20, np.int64(20), "20", " 20 "])
def test_a_lone_number_of_seeds_may_mean_two_things(seeds: Any) -> None:
    with pytest.raises(UsageError, match=r"^seeds 20: 20 seeds are 0:20, and seed 20 alone is 20:21; write which"):
        seeds_of(seeds)


def test_several_grids_are_a_union() -> None:
    grids = [{"batch_size": [16]}, {"batch_size": [32], "hidden": [1, 2]}, "stddev=0.1"]
    trials = freewalk.sweep(grids, task="xor", **SHORT).trials
    cells = trials[["param_batch_size", "param_hidden", "param_stddev"]].to_records(index=False).tolist()
    assert sorted(cells) == [(16, 8, 0.1), (32, 1, 0.1), (32, 2, 0.1)]
    assert "not both" in refusal(grid=["quickstart", {"hidden": 1}, {"hidden": 2}])


def test_a_task_and_a_method_of_this_process_run_and_are_forgotten() -> None:
    for task in (OWN_TASK, [OWN_TASK, "xor"]):
        trials = freewalk.sweep({"hidden": 2}, task=task, method=[OWN_METHOD, "walk"], **SHORT).trials
        assert set(trials["state"]) == {"complete"}
        assert {"own-signs"} <= set(trials["task"])
        assert set(trials["method"]) == {"own-still", "walk"}
    assert "own-signs" not in TASKS
    assert "own-still" not in METHODS


def test_the_same_bits_as_by_a_plug_in(tmp_path: Path) -> None:
    plugin = tmp_path / "own.py"
    plugin.write_text(
        "import numpy as np\nfrom freewalk.tasks import from_arrays\n"
        "X = np.random.default_rng(0).normal(size=(60, 2))\n"
        "TASK = from_arrays('own-signs', X, (X[:, 0] > 0).astype(int))\n"
    )
    lent = freewalk.sweep({"hidden": 2}, task=OWN_TASK, **SHORT).trials
    loaded = freewalk.sweep({"hidden": 2}, task="own-signs", plugins=plugin, **SHORT).trials
    assert lent["loss_final"].tolist() == loaded["loss_final"].tolist()
    unload_all()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"task": "own-signs"}, "one of your own needs --plugin FILE, or plugins = [FILE] in Python or TOML"),
        ({"task": 5}, "task must be a value or a list of values, got 5 (int)"),
        ({"task": [5]}, "task must be a name, or Task objects, got 5 (int)"),
        ({"task": None}, "task must be"),
        ({"task": OWN_METHOD}, "task must be a name, or Task objects, got the OwnMethod 'own-still'"),
        ({"method": OWN_TASK}, "method must be a name, or OwnMethod objects, got the Task 'own-signs'"),
        ({"grid": 5}, "grid must be a value or a list of values, got 5 (int)"),
        ({"grid": [5]}, "grid must hold texts or mappings"),
        ({"grid": {5: 1}}, "grid must map names of parameters to values, got 5 (int) as a name"),
        ({"grid": {"task": OWN_TASK}}, "give a Task object as task=, outside the grid"),
        ({"grid": {"task": [OWN_TASK]}}, "grid: task: must hold numbers or texts, got the Task 'own-signs'"),
        ({"grid": {"stddev": None}}, "grid: stddev: must hold numbers or texts, got None"),
        ({"grid": {"stddev": {"a": 1}}}, "grid: stddev: must be a value or a list of values"),
        ({"grid": {"stddev": [[0.1]]}}, "grid: stddev: must hold numbers or texts, got [0.1] (list)"),
        ({"grid": {"stddev": 1j}}, "grid: stddev: must hold numbers or texts"),
        ({"grid": {"stddev": []}}, "stddev"),
        ({"seeds": [1.5]}, "seeds must be whole numbers, or texts such as '0:5', got 1.5 (float)"),
        ({"seeds": [None]}, "seeds must be whole numbers"),
        ({"seeds": True}, "seeds must be whole numbers"),
        ({"seeds": ["a"]}, "'a' is no seed"),
        ({"seeds": {"a": 1}}, "seeds must be a value or a list of values"),
        ({"plugins": 5}, "plugins must be a value or a list of values"),
        ({"plugins": [OWN_TASK]}, "plugins must be a path, got the Task 'own-signs'; a task or a method as an object"),
        ({"out": 5}, "out must be a path, got 5 (int)"),
        ({"workers": "2"}, "workers must be a whole number, got '2' (str)"),
        ({"checkpoint_seconds": math.nan}, "--checkpoint nan: must be a number of seconds above 0"),
        ({"checkpoint_seconds": None}, "--checkpoint None: must be a number of seconds above 0"),
        ({"checkpoint_seconds": 0}, "--checkpoint 0: must be a number of seconds above 0"),
        ({"checkpoint_seconds": "x"}, "checkpoint_seconds must be a number, got 'x' (str)"),
        ({"epochs": "x"}, "--epochs x: must be a whole number of at least 1"),
        ({"epochs": [1]}, "--epochs [1]: must be a whole number"),
        ({"target": "low"}, "--target low: must be a finite number"),
        ({"backend": 5}, "--backend 5: must be one of"),
    ],
)
def test_what_fits_nothing_is_one_line(options: dict[str, Any], words: str) -> None:
    assert words in refusal(**options)


@pytest.mark.parametrize("kind", [np.int64, np.int32])
def test_numbers_of_numpy(kind: Callable[[int], Any]) -> None:
    found = freewalk.sweep(
        {"hidden": kind(2)},
        task="xor",
        seeds=[kind(3)],
        epochs=kind(1),
        steps_per_epoch=kind(2),
        evaluation_points=kind(16),
    )
    assert found.trials[["param_hidden", "seed", "steps"]].to_numpy().tolist() == [[2, 3, 2]]


def test_the_settings_are_keywords() -> None:
    parameters = inspect.signature(freewalk.sweep).parameters
    assert {*RunSettings.model_fields} < {*parameters}
    assert "settings" not in parameters
    assert ", ".join(RunSettings.model_fields) in str(freewalk.sweep.__doc__)
    with pytest.raises(TypeError, match=r"unexpected keyword argument 'epoch' \(did you mean 'epochs'\?\)"):
        freewalk.sweep(task="xor", epoch=3)
