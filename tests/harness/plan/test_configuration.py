"""Resolution, seeds, and the way through TOML and back."""

import json
import tomllib
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from freewalk.harness.base.errors import UsageError
from freewalk.harness.parameters.presets import preset_names
from freewalk.harness.parameters.seeds import format_seeds, parse_seeds
from freewalk.harness.plan.configuration import (
    SweepConfiguration,
    configuration_dict,
    resolve,
    sweep_id,
    to_toml,
)


def refusal(*specs: str, **options: object) -> str:
    with pytest.raises(UsageError) as caught:
        resolve(specs, **options)  # type: ignore[arg-type]
    return str(caught.value)


@pytest.mark.parametrize(
    ("text", "seeds"),
    [
        ("3", (3,)),
        ("0:5", (0, 1, 2, 3, 4)),
        ("0:10:3", (0, 3, 6, 9)),
        ("1,4,7", (1, 4, 7)),
        (" 0:2 , 9", (0, 1, 9)),
        ("9223372036854775807", (2**63 - 1,)),
        ("9223372036854775806:9223372036854775808", (2**63 - 2, 2**63 - 1)),
    ],
)
def test_seeds(text: str, seeds: tuple[int, ...]) -> None:
    assert parse_seeds(text) == seeds


@given(st.lists(st.integers(0, 30) | st.integers(0, 2**63 - 1), min_size=1, max_size=40, unique=True))
def test_seeds_written_read_back(seeds: list[int]) -> None:
    assert parse_seeds(format_seeds(seeds)) == tuple(seeds)


def test_consecutive_seeds_are_written_short() -> None:
    assert format_seeds([0, 1, 2, 7, 5, 6]) == "0:3,7,5:7"


@pytest.mark.parametrize(
    ("text", "culprit", "remedy"),
    [
        ("", "a seed is empty", "write such as 0:5"),
        ("1,,2", "a seed is empty", "write such as 0:5"),
        ("-1", "'-1' is negative", "write such as 0:5"),
        ("5:2", "'5:2' is empty", "write such as 0:5"),
        ("5:5", "'5:5' is empty", "write such as 0:5"),
        ("x", "'x' is no seed", "write such as 0:5"),
        ("1.5", "'1.5' is no seed", "write such as 0:5"),
        ("0:5:0", "'0:5:0' has step 0", "at least 1"),
        ("0:3,1", "seed 1 is given twice", "remove one"),
        ("9223372036854775808", "9223372036854775808 is out of range", "2**63 - 1"),
        ("0:99999999999999999999", "more than 5,000,000 seeds", "give fewer"),
        ("9" * 5000, "is no seed", "write such as 0:5"),
    ],
)
def test_malformed_seeds_name_culprit_and_remedy(text: str, culprit: str, remedy: str) -> None:
    message = refusal(tasks=["xor"], seeds=text)
    assert message.startswith(f"--seeds {text!r}: ")
    assert culprit in message
    assert remedy in message


def test_defaults() -> None:
    configuration = resolve(tasks=["xor"])
    assert configuration.model_dump() == {
        "name": None,
        "seeds": (0, 1, 2),
        "epochs": 40,
        "steps_per_epoch": 100,
        "evaluations": None,
        "target": None,
        "plateau": None,
        "evaluation_points": 2048,
        "looks": "growing",
        "backend": "auto",
        "plugins": (),
        "grid": ({"task": ("xor",), "method": ("walk",)},),
    }
    assert (configuration.tasks, configuration.methods) == (("xor",), ("walk",))


def test_the_command_line_goes_before_the_file_before_the_defaults(tmp_path: Path) -> None:
    path = tmp_path / "sweep.toml"
    path.write_text("seeds = [4, 2]\nepochs = 7\nplateau = 3\ntarget = 1\n[[grid]]\ntask = 'xor'\n")
    file_only = resolve([str(path)])
    assert (file_only.seeds, file_only.epochs, file_only.plateau, file_only.target) == ((4, 2), 7, 3, 1.0)
    assert file_only.steps_per_epoch == 100
    both = resolve([str(path)], seeds="8", epochs=9, target=0.5, backend="reference")
    assert (both.seeds, both.epochs, both.plateau, both.target) == ((8,), 9, 3, 0.5)
    assert both.backend == "reference"
    assert resolve([str(path)], seeds=[1, 2]).seeds == (1, 2)


@pytest.mark.parametrize(
    ("options", "culprit", "remedy"),
    [
        ({"epochs": 0}, "--epochs 0", "at least 1"),
        ({"steps_per_epoch": 0}, "--steps-per-epoch 0", "at least 1"),
        ({"evaluation_points": 0}, "--evaluation-points 0", "at least 1"),
        ({"plateau": 0}, "--plateau 0", "at least 1"),
        ({"target": float("nan")}, "--target nan", "a finite number"),
        ({"backend": "cup"}, "--backend cup (did you mean 'cpu'?)", "one of auto, cuda, cpu, reference"),
        ({"evaluations": 0}, "--evaluations 0", "at least 1"),
        ({"evaluations": 5, "steps_per_epoch": 5}, "evaluations and steps_per_epoch", "give one of them"),
        ({"epochs": 2**16, "steps_per_epoch": 2**16}, "4,294,967,296 steps", "fewer than 2**32"),
    ],
)
def test_values_out_of_range_name_the_option(options: dict[str, object], culprit: str, remedy: str) -> None:
    message = refusal(tasks=["xor"], **options)
    assert culprit in message
    assert remedy in message


def test_evaluations_take_the_place_of_steps_per_epoch(tmp_path: Path) -> None:
    path = tmp_path / "sweep.toml"
    path.write_text("steps_per_epoch = 7\n[[grid]]\ntask = 'xor'\n")
    replaced = resolve([str(path)], evaluations=5000)
    assert (replaced.evaluations, replaced.steps_per_epoch) == (5000, 100)
    assert "steps_per_epoch" not in configuration_dict(replaced)
    path.write_text(to_toml(replaced))
    assert resolve([str(path)]) == replaced
    back = resolve([str(path)], steps_per_epoch=7)
    assert (back.evaluations, back.steps_per_epoch) == (None, 7)
    path.write_text("steps_per_epoch = 7\nevaluations = 50\n[[grid]]\ntask = 'xor'\n")
    assert "both say how long trials train; give one of them" in refusal(str(path))
    many = resolve(tasks=["xor"], epochs=2**31, evaluations=10**15)
    assert many.epochs == 2**31, "the evaluations limit the steps, not the epochs"


def test_a_file_with_values_out_of_range_is_named(tmp_path: Path) -> None:
    path = tmp_path / "sweep.toml"
    path.write_text("epochs = 0\n[[grid]]\ntask = 'xor'\n")
    assert f"--grid {str(path)!r}: epochs = 0: must be a whole number of at least 1" in refusal(str(path))
    path.write_text("seeds = [1, 1]\n[[grid]]\ntask = 'xor'\n")
    message = refusal(str(path))
    assert str(path) in message
    assert "seed 1 is given twice" in message
    path.write_text("seeds = '2:1'\n[[grid]]\ntask = 'xor'\n")
    assert f"{str(path)!r}: seeds = '2:1'" in refusal(str(path))


def test_a_sweep_needs_a_task(tmp_path: Path) -> None:
    message = refusal("stddev=1")
    assert "add --task" in message
    assert "quickstart" in message
    path = tmp_path / "sweep.toml"
    path.write_text("[[grid]]\ntask = 'xor'\n[[grid]]\nstddev = 1\n")
    assert refusal(str(path)).startswith("[[grid]] table 2: no task; add --task")
    path.write_text("epochs = 3\n")
    assert resolve([str(path)], tasks=["xor"]).epochs == 3


def test_a_configuration_made_directly_is_checked_too() -> None:
    made = SweepConfiguration(grid=({"stddev": (1,), "task": ("xor",)},))
    assert list(made.grid[0].items()) == [("task", ("xor",)), ("method", ("walk",)), ("stddev", (1.0,))]
    assert isinstance(made.grid[0]["stddev"][0], float)
    with pytest.raises(UsageError, match="did you mean 'stddev'"):
        SweepConfiguration(grid=({"task": ("xor",), "stdev": (1,)},))


@st.composite
def configurations(draw: st.DrawFn) -> SweepConfiguration:
    values = {
        "task": st.sampled_from(["xor", "shifted-sums", "sign"]),
        "stddev": st.floats(0, 1e300),
        "batch_size": st.integers(1, 2**32 - 1),
        "update": st.sampled_from(["raw", "normalised"]),
    }
    tables = st.fixed_dictionaries(
        {"task": st.lists(values.pop("task"), min_size=1, max_size=3, unique=True)},
        optional={key: st.lists(kind, min_size=1, max_size=3, unique=True) for key, kind in values.items()},
    )
    return SweepConfiguration.model_validate(
        {
            "name": draw(st.none() | st.text(st.characters(exclude_categories=["Cs"]))),
            "seeds": draw(st.lists(st.integers(0, 2**63 - 1), min_size=1, max_size=5, unique=True)),
            "epochs": draw(st.integers(1, 1000)),
            "target": draw(st.none() | st.floats(allow_nan=False, allow_infinity=False)),
            "plateau": draw(st.none() | st.integers(1, 99)),
            **draw(st.sampled_from([{}, {"evaluations": 10**9}, {"steps_per_epoch": 7}])),
            "backend": draw(st.sampled_from(["auto", "cpu", "reference"])),
            "grid": draw(st.lists(tables, min_size=1, max_size=3)),
        }
    )


@settings(deadline=None)  # it writes a file
@given(configuration=configurations())
def test_toml_reads_back_to_an_equal_configuration(
    tmp_path_factory: pytest.TempPathFactory, configuration: SweepConfiguration
) -> None:
    path = tmp_path_factory.getbasetemp() / "sweep.toml"
    path.write_text(to_toml(configuration), encoding="utf-8", newline="")
    again = resolve([str(path)])
    assert again == configuration
    assert [list(table) for table in again.grid] == [list(table) for table in configuration.grid]
    assert sweep_id(again) == sweep_id(configuration)
    assert tomllib.loads(to_toml(configuration)) == json.loads(json.dumps(configuration_dict(configuration)))


@pytest.mark.parametrize("name", preset_names())
def test_presets_resolve_and_read_back(name: str, tmp_path: Path) -> None:
    configuration = resolve([name])
    path = tmp_path / "sweep.toml"
    path.write_text(to_toml(configuration))
    assert resolve([str(path)]) == configuration


def test_the_sweep_id_depends_on_what_decides_results_only() -> None:
    base = resolve(["stddev=1,2", "hidden=3"], tasks=["xor"], seeds="0:3")
    assert len(sweep_id(base)) == 12
    assert int(sweep_id(base), 16) >= 0
    same = resolve(["hidden=3", "stddev=2.0,1.0"], tasks=["xor"], seeds="2,1,0")
    assert sweep_id(same) == sweep_id(base)
    assert sweep_id(base.model_copy(update={"name": "other"})) == sweep_id(base)
    changes: list[dict[str, object]] = [
        {"seeds": (0, 1)},
        {"epochs": 41},
        {"steps_per_epoch": 26},
        {"target": 0.5},
        {"plateau": 1},
        {"evaluation_points": 1},
        {"evaluations": 1000},
        {"backend": "cpu"},
        {"grid": ({"task": ("xor",), "method": ("walk",), "stddev": (1.0,), "hidden": (3,)},)},
    ]
    ids = {sweep_id(base.model_copy(update=change)) for change in changes} | {sweep_id(base)}
    assert len(ids) == len(changes) + 1
