"""Expansion: order, defaults, merging, refusals, trial ids."""

import hashlib
import itertools
import pickle
import time
from collections.abc import Mapping, Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from freewalk.harness.base.errors import UsageError
from freewalk.harness.parameters.fields import TaskParameters
from freewalk.harness.parameters.parameters import PARAMETERS, Scalar
from freewalk.harness.parameters.presets import preset_names
from freewalk.harness.plan.configuration import resolve, sweep_id
from freewalk.harness.plan.plan import Plan, expand
from freewalk.harness.plan.registry import BuiltInRegistry


class FakeRegistry(BuiltInRegistry):
    """Tasks and methods enough to plan with."""

    def task_names(self) -> Sequence[str]:
        return ["xor", "sign", "shifted-sums", "parity"]

    def method_names(self) -> Sequence[str]:
        return ["walk", "other"]

    def task_parameters(self, task: str) -> Mapping[str, Scalar]:
        return {"bits": 3, "form": "static"} if task == "parity" else {}

    def default_timesteps(self, task: str, parameters: Mapping[str, Scalar | None]) -> int:
        bits = parameters["bits"]
        return bits if parameters["form"] == "sequence" and isinstance(bits, int) else 2

    def evaluations_per_step(self, task: str, method: str, parameters: Mapping[str, Scalar | None]) -> float:
        bits, timesteps = parameters["bits"], parameters["timesteps"]
        assert isinstance(timesteps, int) == (parameters["architecture"] == "free")
        if (
            parameters["form"] == "sequence"
            and isinstance(bits, int)
            and isinstance(timesteps, int)
            and timesteps < bits
        ):
            raise ValueError(f"timesteps={timesteps} leave no time for bits={bits}")
        return 2.0 * int(parameters["batch_size"] or 0)


REGISTRY = FakeRegistry()
GRADIENT_ONLY = {name: None for name, one in PARAMETERS.items() if one.group == "method" and "walk" not in one.methods}


def plan(*specs: str, **options: object) -> Plan:
    options.setdefault("seeds", "0")
    return expand(resolve(specs, registry=REGISTRY, **options), REGISTRY)  # type: ignore[arg-type]


def refusal(*specs: str, **options: object) -> str:
    with pytest.raises(UsageError) as caught:
        plan(*specs, **options)
    return str(caught.value)


def test_a_cell_carries_every_parameter_that_applies_and_none_for_the_others() -> None:
    (cell,) = plan(tasks=["xor"]).cells
    assert (cell.task, cell.method) == ("xor", "walk")
    assert dict(cell.parameters) == {
        "architecture": "free",
        "hidden": 8,
        "timesteps": 2,
        "activation": "sigmoid",
        "output": "sigmoid",
        "leak": 1.0,
        "init_scale": 1.0,
        "init_biases": "auto",
        "batch_size": 1000,
        "tangent": "difference",
        "stddev": 0.01,
        "update": "normalised",
        "optimizer": "momentum",
        "learning_rate": 0.3,
        "momentum": 0.9,
        "schedule": "constant",
        "sides": "one",
        "rank": "full",
        "directions": "independent",
        "noise": "gaussian",
        "generator": "philox",
        "datapoints": 1,
        "share_data": "no",
        "shaping": "none",
        **GRADIENT_ONLY,
        **dict.fromkeys(TaskParameters.model_fields),
    }
    (cell,) = plan("optimizer=sgd", "form=sequence", "bits=5", tasks=["parity"]).cells
    assert dict(cell.parameters) | {"form": "sequence"} == {
        "architecture": "free",
        "hidden": 8,
        "timesteps": 5,
        "activation": "sigmoid",
        "output": "sigmoid",
        "leak": 1.0,
        "init_scale": 1.0,
        "init_biases": "auto",
        "batch_size": 1000,
        "tangent": "difference",
        "stddev": 0.01,
        "update": "normalised",
        "optimizer": "sgd",
        "learning_rate": 0.1,
        "momentum": None,
        "schedule": "constant",
        "sides": "one",
        "rank": "full",
        "directions": "independent",
        "noise": "gaussian",
        "generator": "philox",
        "datapoints": 1,
        "share_data": "no",
        "shaping": "none",
        **GRADIENT_ONLY,
        **dict.fromkeys(TaskParameters.model_fields),
        "bits": 5,
        "form": "sequence",
    }
    (cell,) = plan(tasks=["xor"], methods=["other"]).cells
    assert {name for name, value in cell.parameters.items() if value is not None} == {
        "architecture",
        "hidden",
        "timesteps",
        "activation",
        "output",
        "leak",
        "init_scale",
        "init_biases",
        "batch_size",
    }


@pytest.mark.parametrize(("optimizer", "rate"), [("sgd", 0.1), ("momentum", 0.3), ("adam", 0.01)])
def test_the_learning_rate_defaults_by_optimizer(optimizer: str, rate: float) -> None:
    (cell,) = plan("update=normalised", f"optimizer={optimizer}", tasks=["xor"]).cells
    assert cell.parameters["learning_rate"] == rate
    assert cell.parameters["momentum"] == (0.9 if optimizer == "momentum" else None)


def test_order_task_and_method_first_then_the_spec_seeds_innermost() -> None:
    made = plan("stddev=2,1", "hidden=5,4", tasks=["sign", "xor"], seeds="7,3")
    found = [
        (trial.cell.task, trial.cell.parameters["stddev"], trial.cell.parameters["hidden"], trial.seed)
        for trial in made.trials
    ]
    assert found == list(itertools.product(["sign", "xor"], [2.0, 1.0], [5, 4], [7, 3]))
    assert [trial.position for trial in made.trials] == list(range(16))


def test_points_that_differ_only_where_it_does_not_matter_merge() -> None:
    made = plan("update=raw,normalised", "learning_rate=0.1,0.2", tasks=["xor"], seeds="0:2")
    assert [cell.parameters["learning_rate"] for cell in made.cells] == [None, 0.1, 0.2]
    assert made.n_merged == 1
    assert len(made.trials) == 6
    made = plan("bits=2,3", tasks=["xor", "parity"])
    assert [(cell.task, cell.parameters["bits"]) for cell in made.cells] == [
        ("xor", None),
        ("parity", 2),
        ("parity", 3),
    ]
    # A default that is given is the same cell as one that is not.
    assert plan("stddev=0.01", tasks=["xor"]).trials == plan(tasks=["xor"]).trials


def test_parameter_names_are_those_that_apply_somewhere() -> None:
    names = plan("update=raw,normalised", "optimizer=sgd", tasks=["xor"]).parameter_names
    foreign = ("momentum", *GRADIENT_ONLY, *TaskParameters.model_fields)
    assert names == tuple(name for name in PARAMETERS if name not in foreign)


@pytest.mark.parametrize(
    ("specs", "message"),
    [
        (["learning_rate=1", "update=raw"], "learning_rate has no effect with update=raw; add update=normalised"),
        (["optimizer=adam", "update=raw"], "optimizer has no effect with update=raw; add update=normalised"),
        (
            ["momentum=0.5", "update=raw"],
            "momentum has no effect with update=raw; add update=normalised",
        ),
        (
            ["momentum=0.5", "update=normalised", "optimizer=sgd,adam"],
            "momentum has no effect with optimizer=sgd,adam; add optimizer=momentum",
        ),
        (["shaping=std", "update=raw"], "shaping has no effect with update=raw; add update=normalised"),
        (
            ["noise=rademacher", "directions=orthogonal"],
            "noise has no effect with directions=orthogonal; add directions=independent",
        ),
        (
            ["generator=xoshiro", "noise=rademacher"],
            "generator has no effect with noise=rademacher; add noise=gaussian",
        ),
        (["rank=1", "method=other"], "rank has no effect with method other; add method=walk"),
        (["bits=3"], "bits has no effect on xor; add a task that uses it: parity"),
        (["stddev=1", "method=other"], "stddev has no effect with method other; add method=walk"),
    ],
)
def test_a_parameter_without_any_effect_is_refused(specs: list[str], message: str) -> None:
    assert message in refusal(*specs, tasks=["xor"])


def test_a_preset_survives_being_overridden() -> None:
    made = plan("quickstart", "update=raw")
    assert {cell.parameters["optimizer"] for cell in made.cells} == {None}
    assert made.n_merged == 0
    (cell,) = plan("quickstart", "stddev=1", "batch_size=1", "timesteps=1", tasks=["parity"]).cells
    assert cell.parameters["bits"] == 3


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"tasks": ["xro"]}, "unknown task 'xro' (did you mean 'xor'?); known: xor, sign"),
        (
            {"tasks": ["xor"], "methods": ["wlak"]},
            "unknown method 'wlak' (did you mean 'walk'?); known: walk",
        ),
    ],
)
def test_unknown_names(options: dict[str, object], message: str) -> None:
    assert message in refusal(**options)


def test_no_task_lists_those_there_are() -> None:
    assert "known: xor, sign, shifted-sums, parity" in refusal("stddev=1")


def test_values_that_do_not_fit_are_refused_with_the_cell() -> None:
    message = refusal("form=sequence", "bits=4", "timesteps=4,2", tasks=["parity"])
    assert "task 'parity': timesteps=2 leave no time for bits=4" in message
    assert "[[grid]]" in message
    message = refusal("stddev=0", "update=normalised", tasks=["xor"])
    assert "divides by stddev squared; use a greater stddev or update=raw" in message
    assert plan("stddev=0", "update=raw", tasks=["xor"]).cells


def test_a_plan_too_large_is_refused_at_once() -> None:
    start = time.perf_counter()
    message = refusal("stddev=linspace(1,2,3000)", "hidden=range(0,3000)", tasks=["xor"], seeds="0:2")
    assert time.perf_counter() - start < 3
    assert "18,000,000 trials" in message
    assert "stddev (3000)" in message
    assert "hidden (3000)" in message
    assert "seeds (2)" in message


def test_trial_ids_name_what_decides_a_result() -> None:
    base = plan(tasks=["xor"]).trials[0].trial_id
    assert len(base) == 16
    int(base, 16)
    changed = [
        plan(tasks=["sign"]),
        plan(tasks=["xor"], methods=["other"]),
        plan(tasks=["xor"], seeds="1"),
        plan(tasks=["xor"], epochs=41),
        plan(tasks=["xor"], steps_per_epoch=26),
        plan(tasks=["xor"], target=0.5),
        plan(tasks=["xor"], plateau=5),
        plan(tasks=["xor"], evaluation_points=5),
        plan("hidden=31", tasks=["xor"]),
        plan("update=raw", tasks=["xor"]),
        plan("architecture=2-3-1", tasks=["xor"]),
        plan("activation=tanh", tasks=["xor"]),
        plan("generator=xoshiro", tasks=["xor"]),
        plan(tasks=["xor"], evaluations=10**6),
        plan(tasks=["xor"], evaluations=10**6 + 1),
    ]
    assert len({base} | {made.trials[0].trial_id for made in changed}) == len(changed) + 1
    assert plan(tasks=["xor"], backend="cpu").trials[0].trial_id == base
    # Written or not, what came later has no part in the name while it says how things were.
    assert plan("architecture=free", "activation=sigmoid", "generator=philox", tasks=["xor"]).trials[0].trial_id == base
    # Stored results are found again by these ids: a change here makes every store start over.
    text = (
        '["xor","walk",{"batch_size":1000,"hidden":30,"noise":"gaussian","sides":"one","stddev":0.01,'
        '"timesteps":2,"update":"raw"},{"epochs":40,"evaluation_points":2048,"plateau":null,'
        '"steps_per_epoch":25,"target":null},0]'
    )
    before: dict[str, Any] = {"tasks": ["xor"], "steps_per_epoch": 25}
    stored = plan("hidden=30", "update=raw", looks="epochs", **before).trials[0].trial_id
    assert stored == hashlib.sha256(text.encode()).hexdigest()[:16] == "73e457e8b66e0930"
    growing = text.replace('"plateau"', '"looks":"growing","plateau"')
    now = plan("hidden=30", "update=raw", **before).trials[0].trial_id
    assert now == hashlib.sha256(growing.encode()).hexdigest()[:16]


def test_trials_and_sweeps_keep_the_names_that_stores_have() -> None:
    # Taken from the version that knew the walk on free networks alone.
    for specs, options, sweep, trials in (
        (["quickstart"], {}, "90f83b0b1590", "f1e7f4c3d58f3235"),
        (["original"], {}, "dd9fcaaa172d", "7fdfe11969dcbb8b"),
        (
            ["update=raw,normalised", "hidden=30", "optimizer=sgd"],
            {
                "tasks": ["addition", "parity", "xor"],
                "seeds": "0:2",
                "target": 0.9,
                "plateau": 3,
                "steps_per_epoch": 25,
            },
            "497220b863b0",
            "85af24c916defe5b",
        ),
    ):
        configuration = resolve(specs, registry=BuiltInRegistry(), looks="epochs", **options)  # type: ignore[arg-type]
        names = ",".join(trial.trial_id for trial in expand(configuration, BuiltInRegistry()).trials)
        assert (sweep_id(configuration), hashlib.sha256(names.encode()).hexdigest()[:16]) == (sweep, trials)


def test_evaluations_make_the_steps_of_a_trial_and_are_limited_by_them() -> None:
    made = plan("batch_size=1", tasks=["xor"], evaluations=2 * (2**32 - 1))
    assert len(made.cells) == 1
    message = refusal("batch_size=1", tasks=["xor"], evaluations=2**33)
    assert "evaluations=8589934592 is 4,294,967,296 steps, the limit is 2**32; give fewer" in message


def test_trial_ids_do_not_depend_on_the_rest_of_the_sweep() -> None:
    wide = plan("stddev=3,1,2", tasks=["sign", "xor"], seeds="0:4")
    narrow = plan("stddev=1", tasks=["xor"], seeds="2")
    assert narrow.trials[0].trial_id in {trial.trial_id for trial in wide.trials}
    assert len({trial.trial_id for trial in wide.trials}) == len(wide.trials)


def test_equal_values_written_differently_are_one_trial() -> None:
    ids = {
        plan(spec, tasks=["xor"], target=target).trials[0].trial_id
        for spec in ("stddev=1", "stddev=1.0", "stddev=1e0", "stddev=linspace(1,2,1)")
        for target in (1, 1.0)
    }
    assert len(ids) == 1


@given(
    st.lists(st.floats(0.001, 10), min_size=1, max_size=4, unique=True),
    st.lists(st.sampled_from(["raw", "normalised"]), min_size=1, unique=True),
    st.lists(st.sampled_from(["sgd", "momentum", "adam"]), min_size=1, unique=True),
)
def test_cells_are_unique_and_nothing_is_lost(stddev: list[float], update: list[str], optimizer: list[str]) -> None:
    specs = [f"stddev={','.join(map(repr, stddev))}", f"update={','.join(update)}"]
    if "normalised" in update:
        specs.append(f"optimizer={','.join(optimizer)}")
    made = plan(*specs, tasks=["xor"])
    expected = len(stddev) * (("raw" in update) + ("normalised" in update) * len(optimizer))
    assert len(made.cells) == len(set(made.cells)) == expected
    points = len(stddev) * len(update) * (len(optimizer) if "normalised" in update else 1)
    assert made.n_merged == points - expected


def test_plans_travel_between_processes() -> None:
    made = plan("quickstart")
    assert pickle.loads(pickle.dumps(made)) == made


@pytest.mark.parametrize("name", preset_names())
def test_presets_expand(name: str) -> None:
    registry = BuiltInRegistry()
    made = expand(resolve([name], registry=registry), registry)
    assert made.trials
    assert made.n_merged == 0
    if name == "quickstart":
        assert len(made.trials) >= 100


class WrongRegistry(FakeRegistry):
    """A task with a parameter that nothing describes."""

    def task_parameters(self, task: str) -> Mapping[str, Scalar]:
        return {"stddev": 1.0}


def test_a_task_parameter_that_is_not_described_is_a_programming_error() -> None:
    with pytest.raises(ValueError, match="TaskParameters does not describe"):
        expand(resolve(tasks=["xor"]), WrongRegistry())
