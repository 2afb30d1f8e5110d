"""Trials as runs of optimisers, and the two kinds of folders that hold them."""

import json
import math
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from export_sweeps import MAXIMISED, make_sweep, runs_of

from freewalk.results.base.errors import StoreError
from freewalk.results.files import coco, ioh
from freewalk.results.files.coco import save_coco
from freewalk.results.files.export import export_tables
from freewalk.results.files.ioh import save_ioh
from freewalk.results.files.runs import NOTHING, Experiment, Run, collect_runs, file_name
from freewalk.results.files.sources import read_source
from freewalk.results.store.store import Store

DOWN = [(0, 2.0), (10, 1.0), (20, 1.5), (40, 0.5)]
UP = [(0, 0.5), (10, 0.625), (20, 0.5), (40, 0.7)]
PARITY = {"task": "parity", "n_weights": 45, "bits": 3}

Save = Callable[[Experiment, Path], None]
Block = list[tuple[int, float]]


def read_blocks(path: Path, column: int) -> list[Block]:
    """Read the runs of a data file of either format: evaluations and a column, split at the lines with words."""
    blocks: list[Block] = []
    for line in path.read_text().splitlines():
        if line.startswith(("%", "evaluations")):
            blocks.append([])
        else:
            fields = line.split(" ")
            blocks[-1].append((int(fields[0]), float(fields[column])))
    return blocks


def read_index(path: Path) -> tuple[dict[str, str], str, Path, list[tuple[int, int, float]]]:
    """Read an index file of COCO's: its keys, its comment, its data file, and (instance, evaluations, distance)."""
    header, comment, data = path.read_text().splitlines()
    keys = {key: value.strip("'") for key, value in (pair.split(" = ") for pair in header.split(", "))}
    file, *runs = data.split(", ")
    found = [re.fullmatch(r"(\d+):(\d+)\|([-+.e0-9]+)", run) for run in runs]
    numbers = [(int(one[1]), int(one[2]), float(one[3])) for one in found if one]
    assert len(numbers) == len(runs)
    assert comment.startswith("% ")
    return keys, comment[2:], path.parent / file, numbers


def only(experiment: Experiment) -> Run:
    ((run,),) = (part.runs for part in experiment.parts)
    return run


@pytest.fixture
def one(tmp_path: Path) -> Callable[..., Run]:
    """Make the run of a single trial."""

    def make(curve: Any, **more: Any) -> Run:
        return only(runs_of(make_sweep(tmp_path / "sweep", {"t": (curve, more)})))

    return make


def test_a_run_is_the_best_so_far_from_evaluation_1_to_the_end(one: Callable[..., Run]) -> None:
    run = one(DOWN, spent=55, seed=7)
    assert list(zip(run.evaluations, run.best, strict=True)) == [(1, 2.0), (10, 1.0), (20, 1.0), (40, 0.5), (55, 0.5)]
    assert (run.instance, run.improvements, run.telling) == (7, [0, 1, 3], [0, 1, 3, 4])


def test_what_is_to_be_high_rises(one: Callable[..., Run]) -> None:
    run = one(UP, **PARITY)
    assert run.best == [0.5, 0.625, 0.625, 0.7]


def test_two_looks_at_one_evaluation_are_one(one: Callable[..., Run]) -> None:
    run = one([(0, 2.0), (1, 1.0), (3, 1.5)])
    assert list(zip(run.evaluations, run.best, strict=True)) == [(1, 1.0), (3, 1.0)]


@pytest.mark.parametrize(
    ("curve", "more", "expected"),
    [
        pytest.param([(0, 2.0), (10, 0.2)], {"to_target": 10}, [(1, 2.0), (10, 0.2)], id="at a look"),
        pytest.param([(0, 2.0), (10, 0.2)], {"to_target": 5}, [(1, 2.0), (5, 0.25), (10, 0.2)], id="between looks"),
        pytest.param(
            [(0, 2.0), (10, 0.1), (20, 1.0), (30, 0.2)],
            {"to_target": 30},
            [(1, 2.0), (10, math.nextafter(0.25, 1)), (20, math.nextafter(0.25, 1)), (30, 0.2)],
            id="not confirmed before",
        ),
        pytest.param([(0, 2.0), (10, 0.25)], {}, [(1, 2.0), (10, math.nextafter(0.25, 1))], id="never confirmed"),
        pytest.param(
            [(0, 0.5), (10, 1.0), (20, 0.5)],
            PARITY,
            [(1, 0.5), (10, 0.75 - 2**-52), (20, 0.75 - 2**-52)],
            id="never confirmed, a share",
        ),
    ],
)
def test_the_target_is_met_where_the_trials_say_so(
    one: Callable[..., Run], curve: Any, more: dict[str, Any], expected: Block
) -> None:
    run = one(curve, **more)
    assert list(zip(run.evaluations, run.best, strict=True)) == expected


@pytest.mark.parametrize(
    ("curve", "more", "expected"),
    [
        ([(0, math.nan), (10, 1.0)], {}, [(1, NOTHING), (10, 1.0)]),
        ([(0, math.inf), (10, math.inf)], {}, [(1, NOTHING), (10, NOTHING)]),
        ([(0, 1e300)], {"spent": 9}, [(1, NOTHING), (9, NOTHING)]),
        ([(0, math.nan)], PARITY, [(1, -NOTHING)]),
        ([(20, 1.0)], {}, [(1, NOTHING), (20, 1.0)]),
        ([], {"state": "failed"}, [(1, NOTHING)]),
        ([(0, 2.0), (10, 1.0)], {"state": "failed"}, [(1, 2.0), (10, 1.0)]),
    ],
)
def test_what_is_not_known_is_worse_than_anything(
    one: Callable[..., Run], curve: Any, more: dict[str, Any], expected: Block
) -> None:
    run = one(curve, **more)
    assert list(zip(run.evaluations, run.best, strict=True)) == expected


def test_algorithms_are_what_varies_of_a_method_and_problems_have_the_tasks_parameters(tmp_path: Path) -> None:
    folder = make_sweep(
        tmp_path / "a",
        {
            "t0": (DOWN, {"stddev": 0.1, "timesteps": 2, "batch_size": 16}),
            "t1": (DOWN, {"stddev": 1.0, "timesteps": 2, "batch_size": 16}),
            "t2": (UP, {"stddev": 0.1, "timesteps": 4, "batch_size": 16, **PARITY}),
            "t3": (UP, {"stddev": 0.1, "timesteps": 4, "batch_size": 16, **PARITY, "bits": 5, "n_weights": 60}),
            "t4": (DOWN, {"method": "backprop", "timesteps": 2, "batch_size": 8}),
        },
    )
    found = [(part.algorithm, part.settings, part.problem.name, part.dimension) for part in runs_of(folder).parts]
    assert found == [
        ("walk stddev=0.1", "timesteps=2 batch_size=16", "xor", 40),
        ("walk stddev=1", "timesteps=2 batch_size=16", "xor", 40),
        ("walk stddev=0.1", "timesteps=4 batch_size=16", "parity bits=3", 45),
        ("walk stddev=0.1", "timesteps=4 batch_size=16", "parity bits=5", 60),
        ("backprop", "timesteps=2 batch_size=8", "xor", 40),
    ]
    problems = runs_of(folder).problems
    assert [(one.number, one.metric, one.maximised) for one in problems] == [
        (1, "max_error", False),
        (2, "bit_accuracy", True),
        (3, "bit_accuracy", True),
    ]


def test_what_has_not_ended_is_left_out_and_what_failed_is_not(tmp_path: Path) -> None:
    states = ("complete", "failed", "running", "pending")
    trials = {state: (DOWN, {"seed": seed, "state": state, "stddev": 0.1}) for seed, state in enumerate(states)}
    trials["early"] = ([], {"seed": 9, "state": "failed", "stddev": 0.2, "n_weights": None})
    found = runs_of(make_sweep(tmp_path / "a", trials))
    assert (found.n_runs, found.n_open, found.n_failed, found.n_unknown) == (2, 2, 1, 1)
    assert [run.instance for part in found.parts for run in part.runs] == [0, 1]


def test_a_failed_trial_has_the_dimension_of_its_cell(tmp_path: Path) -> None:
    trials = {"a": ([], {"seed": 0, "state": "failed", "n_weights": None}), "b": (DOWN, {"seed": 1})}
    (part,) = runs_of(make_sweep(tmp_path / "a", trials)).parts
    assert (part.dimension, len(part.runs)) == (40, 2)


def test_several_sweeps_are_one_and_a_walk_counts_once(tmp_path: Path) -> None:
    a = make_sweep(tmp_path / "a", {"t": (DOWN, {"stddev": 0.1, "hidden": 8}), "u": (DOWN, {"seed": 1, "stddev": 0.1})})
    b = make_sweep(tmp_path / "b", {"t": (DOWN[:2], {"stddev": 0.1, "hidden": 8}), "v": (DOWN, {"stddev": 0.2})})
    found = runs_of(a, b)
    assert [(part.algorithm, [run.instance for run in part.runs]) for part in found.parts] == [
        ("walk stddev=0.1 hidden=8", [0]),
        ("walk stddev=0.1", [1]),
        ("walk stddev=0.2", [0]),
    ]
    assert found.parts[0].runs[0].evaluations[-1] == 40, "the first of two that are as far"


def test_tables_alone_are_enough_and_no_curves_are_too_few(tmp_path: Path) -> None:
    folder = make_sweep(tmp_path / "a", {"t": (DOWN, {"stddev": 0.1})})
    with Store.open(folder, read_only=True) as store:
        export_tables(store, tmp_path / "tables")
    expected = runs_of(folder)
    assert runs_of(tmp_path / "tables") == expected
    assert runs_of(tmp_path / "tables" / "trials.csv") == expected
    (tmp_path / "tables" / "curves.csv").unlink()
    with pytest.raises(StoreError, match=r"cannot read .*curves\.csv"):
        runs_of(tmp_path / "tables")


def test_a_sweep_without_an_end_has_nothing_to_export(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="no trial that has ended: run the sweep first"):
        runs_of(make_sweep(tmp_path / "a", {"t": (DOWN, {"state": "running"})}))


@pytest.mark.parametrize(
    ("seeds", "expected"), [([5, 0, 65535], [5, 0, 65535]), ([2**40, 7, 9], [3, 1, 2]), ([-1, 0, 1], [1, 2, 3])]
)
def test_instances_are_seeds_that_readers_take(tmp_path: Path, seeds: list[int], expected: list[int]) -> None:
    trials = {f"t{seed}": (DOWN, {"seed": seed}) for seed in seeds}
    (part,) = runs_of(make_sweep(tmp_path / "a", trials)).parts
    assert [run.instance for run in part.runs] == expected


def test_folders_have_names_of_their_own(tmp_path: Path) -> None:
    words = ("a/b", "a:b", "A_B", "x" * 200, "x" * 201, "../up.data")
    trials = {f"t{number}": (DOWN, {"word": word}) for number, word in enumerate(words)}
    found = runs_of(make_sweep(tmp_path / "a", trials)).folders
    assert len({name.casefold() for name in found.values()}) == len(words)
    assert all(re.fullmatch(r"walk_word=[A-Za-z0-9_+=-]+", name) and len(name) < 90 for name in found.values())
    assert file_name("walk stddev=0.1 rate=1e-05") == "walk_stddev=0.1_rate=1e-05"


@pytest.fixture
def mixed(tmp_path: Path) -> Experiment:
    """Two cells of the walk on two tasks, one of them a failed trial's; one to be low, one to be high."""
    trials: dict[str, Any] = {}
    for stddev in (0.1, 0.5):
        for seed in (0, 1):
            more = {"stddev": stddev, "seed": seed, "timesteps": 2}
            trials[f"x{stddev}{seed}"] = (DOWN, {**more, "spent": 50 + seed})
            trials[f"p{stddev}{seed}"] = (UP, {**more, **PARITY})
    trials["f"] = ([(0, 2.0)], {"stddev": 0.5, "seed": 2, "timesteps": 2, "state": "failed"})
    return runs_of(make_sweep(tmp_path / "sweep", trials))


def files_below(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def test_the_files_of_ioh(mixed: Experiment, tmp_path: Path) -> None:
    save_ioh(mixed, tmp_path / "out")
    expected = [
        "IOHprofiler_f1_xor.json",
        "IOHprofiler_f2_parity_bits=3.json",
        "data_f1_xor/IOHprofiler_f1_DIM40.dat",
        "data_f2_parity_bits=3/IOHprofiler_f2_DIM45.dat",
    ]
    algorithms = ("walk_stddev=0.1", "walk_stddev=0.5")
    assert files_below(tmp_path / "out") == [f"{one}/{name}" for one in algorithms for name in expected]
    folder = tmp_path / "out" / "walk_stddev=0.5"
    facts = json.loads((folder / "IOHprofiler_f1_xor.json").read_text())
    (scenario,) = facts.pop("scenarios")
    assert facts == {
        "version": "0.4.2",
        "suite": "freewalk",
        "function_id": 1,
        "function_name": "xor",
        "maximization": False,
        "algorithm": {"name": "walk stddev=0.5", "info": "timesteps=2"},
        "attributes": ["evaluations", "raw_y"],
    }
    assert (scenario["dimension"], scenario["path"]) == (40, "data_f1_xor/IOHprofiler_f1_DIM40.dat")
    assert scenario["runs"] == [
        {"instance": 0, "evals": 50, "best": {"evals": 40, "y": 0.5, "x": []}},
        {"instance": 1, "evals": 51, "best": {"evals": 40, "y": 0.5, "x": []}},
        {"instance": 2, "evals": 1, "best": {"evals": 1, "y": 2.0, "x": []}},
    ]
    down = [(1, 2.0), (10, 1.0), (40, 0.5)]
    assert read_blocks(folder / scenario["path"], 1) == [[*down, (50, 0.5)], [*down, (51, 0.5)], [(1, 2.0)]]
    facts = json.loads((folder / "IOHprofiler_f2_parity_bits=3.json").read_text())
    assert facts["maximization"] is True
    assert read_blocks(folder / facts["scenarios"][0]["path"], 1) == [[(1, 0.5), (10, 0.625), (40, 0.7)]] * 2


def test_the_files_of_coco(mixed: Experiment, tmp_path: Path) -> None:
    save_coco(mixed, tmp_path / "out")
    folder = tmp_path / "out" / "walk_stddev=0.5"
    assert files_below(folder) == [
        "bbobexp_f1.info",
        "bbobexp_f2.info",
        *(f"data_f1/bbobexp_f1_DIM40.{kind}" for kind in ("dat", "tdat")),
        *(f"data_f2/bbobexp_f2_DIM45.{kind}" for kind in ("dat", "tdat")),
    ]
    keys, comment, data, runs = read_index(folder / "bbobexp_f1.info")
    assert keys == {"funcId": "1", "DIM": "40", "Precision": "1.000e-08", "algId": "walk stddev=0.5"}
    assert comment == "xor: max_error on held-out data; timesteps=2"
    assert runs == [(0, 50, 0.5), (1, 51, 0.5), (2, 1, 2.0)]
    down = [(1, 2.0), (10, 1.0), (40, 0.5)]
    assert read_blocks(data, 2) == [[*down, (50, 0.5)], [*down, (51, 0.5)], [(1, 2.0)]]
    every = [(1, 2.0), (10, 1.0), (20, 1.0), (40, 0.5)]
    assert read_blocks(data.with_suffix(".tdat"), 2) == [[*every, (50, 0.5)], [*every, (51, 0.5)], [(1, 2.0)]]
    keys, comment, data, runs = read_index(folder / "bbobexp_f2.info")
    assert (keys["funcId"], keys["DIM"]) == ("2", "45")
    assert comment.startswith("parity bits=3: 1 - bit_accuracy on held-out data")
    assert read_blocks(data, 2) == [[(1, 0.5), (10, 0.375), (40, 1 - 0.7)]] * 2
    assert runs == [(0, 40, 1 - 0.7), (1, 40, 1 - 0.7)]
    assert {len(line.split(" ")) for line in data.read_text().splitlines() if not line.startswith("%")} == {5}


def test_values_keep_every_digit_and_names_stay_between_their_quotes(tmp_path: Path) -> None:
    odd = [(0, 0.1 + 0.2), (2**60, 1e-300)]
    found = runs_of(make_sweep(tmp_path / "a", {"t": (odd, {"word": "it's, 'so'"}), "u": (DOWN, {"word": "b"})}))
    save_coco(found, tmp_path / "coco")
    save_ioh(found, tmp_path / "ioh")
    (index,) = (path for path in (tmp_path / "coco").rglob("*.info") if "it" in path.parent.name)
    keys, _, data, runs = read_index(index)
    assert keys["algId"] == "walk word=it_s; _so_"
    short = math.nextafter(0.25, 1)  # the trial did not reach its target
    assert read_blocks(data, 2) == [[(1, 0.1 + 0.2), (2**60, short)]]
    assert runs == [(0, 2**60, short)]
    (described,) = (path for path in (tmp_path / "ioh").rglob("*.json") if "it" in path.parent.name)
    assert json.loads(described.read_text())["algorithm"]["name"] == "walk word=it's, 'so'"


@pytest.mark.parametrize(("module", "save"), [(ioh, save_ioh), (coco, save_coco)])
def test_an_export_that_is_cut_short_leaves_nothing(
    mixed: Experiment, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, module: Any, save: Save
) -> None:
    write, left = module.write_text, [3]

    def interrupt(text: str, path: Path) -> None:
        left[0] -= 1
        if not left[0]:
            raise KeyboardInterrupt
        assert not (tmp_path / "out").exists(), "nothing is seen before all is there"
        write(text, path)

    monkeypatch.setattr(module, "write_text", interrupt)
    with pytest.raises(KeyboardInterrupt):
        save(mixed, tmp_path / "out")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["sweep"]


@pytest.mark.parametrize("save", [save_ioh, save_coco])
def test_what_a_killed_export_left_is_removed_and_what_is_there_stays(
    mixed: Experiment, tmp_path: Path, save: Save
) -> None:
    (tmp_path / ".out.1-1.tmp" / "walk").mkdir(parents=True)
    (tmp_path / "out").mkdir()
    save(mixed, tmp_path / "out")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out", "sweep"]
    before = files_below(tmp_path / "out")
    with pytest.raises(StoreError, match="cannot write"):
        save(mixed, tmp_path / "out")
    assert files_below(tmp_path / "out") == before


def test_a_table_that_knows_no_metric_is_judged_by_its_loss(tmp_path: Path) -> None:
    source = read_source(make_sweep(tmp_path / "a", {"t": (DOWN, {})}))
    source.trials["metric_name"] = None
    (part,) = collect_runs([source], maximised=MAXIMISED).parts
    assert (part.problem.metric, part.runs[0].best[0]) == ("loss", 1e3)
