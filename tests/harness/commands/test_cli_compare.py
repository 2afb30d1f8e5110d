"""`harness compare`: what it says, when it warns, and when a check fails."""

import io
import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from freewalk.results.files.export import export_tables, write_json
from freewalk.results.schema.report_schema import COMPARISON
from freewalk.results.store.store import Store, TrialRecord
from freewalk.results.tables.reading import read_table

Harness = Callable[..., Any]
Refused = Callable[..., str]


def make(
    folder: Path,
    *,
    factor: float = 1.0,
    pace: float = 1.0,
    seeds: int = 8,
    cells: int = 2,
    model: str | None = "Fast",
    task: str = "xor",
    target: float = 0.1,
    backend: str = "cpu",
    extra: dict[str, Any] | None = None,
    state: str = "complete",
) -> None:
    """Make a sweep whose costs share their luck with other sweeps."""
    luck = np.random.default_rng(0).lognormal(size=seeds)
    clock = np.random.default_rng(sum(map(ord, folder.name)))
    with Store.create(folder, {"name": folder.name}, folder.name) as store:
        for cell in range(1, cells + 1):
            for seed in range(seeds):
                parameters = {"stddev": cell / 10, "batch_size": 16} | (extra or {})
                record = TrialRecord(
                    trial_id=f"{cell}-{seed}",
                    task=task,
                    method="walk",
                    seed=seed,
                    parameters=parameters,
                    metric_name="loss",
                    target=target,
                    backend=backend,
                    device="D",
                )
                store.add_pending([record])
                if state != "complete":
                    continue
                spent = round(1000 * cell * factor * luck[seed]) if math.isfinite(factor) else 9999
                reached = math.isfinite(factor)
                fields = {
                    "outcome": "reached" if reached else "exhausted",
                    "reached": reached,
                    "loss_final": 0.05,
                    "evaluations": spent,
                    "evaluations_to_target": spent if reached else None,
                    "steps": spent,
                    "train_seconds": spent * 1e-6 * pace * (1 + 1e-4 * clock.normal()),
                }
                store.finish(record.trial_id, fields)
        export_tables(store)
    if model:
        write_json({"cpu": {"model": model, "logical_processors": 2}, "threads": 2}, folder / "environment.json")


@pytest.fixture
def sweep(tmp_path: Path) -> Callable[..., None]:
    def make_named(name: str, **arguments: Any) -> None:
        make(tmp_path / name, **arguments)

    return make_named


def test_equal_sweeps_are_equal(harness: Harness, sweep: Callable[..., None]) -> None:
    sweep("a")
    sweep("b")
    result = harness("compare", "a", "b", "--check", "1")
    assert result.code == 0
    assert result.err == (
        "harness: note: seconds are not checked: one run on each side: seconds of one run depend on each other; no "
        "test. It takes 3 pairs, run in turn: harness compare A B A2 B2 A3 B3\n"
    )
    assert harness("compare", "a", "b").err == ""
    assert "A: a\nB: b\n" in result.out
    for word in ("evaluations for each success", "seconds a step", "xor stddev=0.1", "8/8", "95 % interval", "no test"):
        assert word in result.out
    assert (
        "all 2 cells: 1 times A; one run on each side: seconds of one run depend on each other; no test." in result.out
    )
    assert "batch_size" not in result.out  # the same everywhere
    assert "told apart: 0 worse, 0 better" in result.out
    assert "\x1b" not in result.out


@pytest.mark.parametrize(
    ("change", "threshold", "code", "said"),
    [
        ({"factor": 1.5}, 1.2, 3, "evaluations for each success: xor stddev=0.2: 1.5 times A (95 %: 0."),
        (
            {"factor": 1.5},
            1.2,
            3,
            "evaluations for each success: 1.5 times A over 2 cells (95 %: 1.5 to 1.5; 8 seeds, p",
        ),
        ({"factor": 1.5}, 1.6, 0, ""),
        ({"factor": 0.5}, 1.0, 0, ""),
        ({"pace": 9.0}, 1.2, 0, ""),
        ({"factor": math.inf}, 100.0, 3, "xor stddev=0.1: never reached in B, in 8 of 8 trials in A (p = 0.0078)"),
    ],
)
def test_a_check_fails_when_b_is_worse_by_more_with_evidence(
    harness: Harness, sweep: Callable[..., None], change: dict[str, float], threshold: float, code: int, said: str
) -> None:
    sweep("a")
    sweep("b", **change)
    result = harness("compare", "a", "b", "--check", threshold)
    assert result.code == code, result.err
    assert (said in result.err) if said else ("check failed" not in result.err)
    assert harness("compare", "a", "b").code == 0, "without --check nothing fails"


@pytest.mark.parametrize(("pace", "threshold", "code"), [(1.3, 1.2, 3), (1.3, 1.4, 0), (0.7, 1.0, 0), (1.0, 1.0, 0)])
def test_three_pairs_of_runs_test_the_seconds(
    harness: Harness, sweep: Callable[..., None], pace: float, threshold: float, code: int
) -> None:
    paths = []
    for run, state in enumerate((1.0, 1.65, 1.0)):  # the machine's, which all trials of a run share
        sweep(f"a{run}", pace=state)
        sweep(f"b{run}", pace=state * pace * (1 + 0.004 * run - 0.004))
        paths += [f"a{run}", f"b{run}"]
    result = harness("compare", *paths, "--check", threshold)
    assert result.code == code, result.err
    assert "no test" not in result.out + result.err
    assert "A2: a1\nB2: b1\n" in result.out
    assert f"all 2 cells: {pace:.3g} times A (95 % interval" in result.out
    assert "; 3 pairs of runs, p = " in result.out
    if code:
        assert "check failed: seconds a step: 1.3 times A over 2 cells (95 %: 1.2" in result.err
    found = json.loads(harness("compare", *paths, "--json").out)
    assert found["pairs"] == [["a0", "b0"], ["a1", "b1"], ["a2", "b2"]]
    assert [row["n_a"] for row in found["cells"]] == [8, 8, 24, 24], "of evaluations each cell and seed counts once"
    # Of two pairs nothing is said.
    assert harness("compare", *paths[:4], "--check", threshold).code == 0
    assert "2 runs on each side" in harness("compare", *paths[:4]).out


def test_what_is_lost_in_any_pair_fails_a_check(harness: Harness, sweep: Callable[..., None]) -> None:
    for name in ("a", "b", "a2"):
        sweep(name)
    sweep("b2", seeds=7)
    assert harness("compare", "a", "b", "a2", "b2").err.startswith("harness: note: 2 trials of A without")
    result = harness("compare", "a", "b", "a2", "b2", "--check", "100")
    assert result.code == 3
    assert "xor stddev=0.1: 1 trial of A without a complete partner in B (1 missing)" in result.err


def test_too_few_seeds_are_said_and_fail_no_check(harness: Harness, sweep: Callable[..., None]) -> None:
    sweep("a", seeds=3, cells=8)
    sweep("b", seeds=3, cells=8, factor=9.0)
    result = harness("compare", "a", "b", "--check", "1.2")
    assert result.code == 0
    assert "too few trials to tell any cell apart" in result.err
    assert "too few" in result.out


def test_across_compares_one_value_with_another(harness: Harness, refused: Refused, sweep: Callable[..., None]) -> None:
    sweep("a", extra={"noise": "gaussian", "update": "raw"})
    sweep("b", factor=1.5, extra={"noise": "rademacher", "update": "raw"})
    line = refused("compare", "a", "b")
    assert "a and b have no cell in common: noise is gaussian in A and rademacher in B; to compare these, add " in line
    assert line.rstrip().endswith("add --across noise")
    result = harness("compare", "a", "b", "--across", "noise")
    assert result.code == 0
    assert "noise is gaussian in A and rademacher in B, and does not tell cells apart" in result.err
    assert "told apart: 2 worse, 0 better in B" in result.out
    found = json.loads(harness("compare", "a", "b", "--across", "noise", "--json").out)
    assert found["across"] == {"noise": ["gaussian", "rademacher"]}
    assert "param_noise" not in found["cells"][0]
    sweep("c", factor=1.5, extra={"noise": "rademacher", "update": "normalised"})
    assert refused("compare", "a", "c", "--across", "noise").rstrip().endswith("add --across update")
    assert harness("compare", "a", "c", "--across", "noise", "--across", "update").code == 0


@pytest.mark.parametrize(
    ("a", "b", "named"),
    [
        ({"model": "Fast"}, {"model": "Slow"}, "A on Fast, 2 of 2 threads; B on Slow, 2 of 2 threads"),
        ({"model": None}, {"model": None}, "an unknown machine"),
        ({"model": "Fast"}, {"model": None}, "B on an unknown machine"),
        ({"backend": "cpu"}, {"backend": "cuda"}, "both on Fast, 2 of 2 threads, with several backends"),
    ],
)
def test_seconds_of_different_machines_are_told_and_not_checked(
    harness: Harness, sweep: Callable[..., None], a: dict[str, Any], b: dict[str, Any], named: str
) -> None:
    sweep("a", **a)
    sweep("b", pace=9.0, **b)
    result = harness("compare", "a", "b", "--check", "1.1")
    assert result.code == 0
    assert "from different machines and are not checked" in result.err
    assert named in result.err
    plain = harness("compare", "a", "b")
    assert f"seconds {'may be' if 'unknown' in named else 'are'} from different machines (" in plain.err
    assert json.loads(harness("compare", "a", "b", "--json").out)["same_machine"] is False


def test_a_merged_sweep_knows_its_machines(harness: Harness, sweep: Callable[..., None], tmp_path: Path) -> None:
    sweep("a")
    sweep("b", cells=1, model="Slow")
    with Store.open(tmp_path / "b") as store:  # other trials than those of a
        changed = "UPDATE trials SET trial_id = 'b' || trial_id, seed = seed + 100, plan_checksum = NULL"
        store._connection.execute(changed)
    assert harness("merge", "a", "b", "--out", "both").code == 0
    result = harness("compare", "a", "both")
    assert "B on Fast, 2 of 2 threads, Slow, 2 of 2 threads" in result.err


def test_what_is_left_out_is_said(harness: Harness, sweep: Callable[..., None]) -> None:
    sweep("a", cells=3)
    sweep("b", cells=2, target=0.2, extra={"architecture": "free"})
    result = harness("compare", "a", "b")
    assert result.code == 0
    assert "1 cell only in A" in result.err
    assert "architecture is known to one side only" in result.err
    assert "evaluations for each success: 2 cells left out (other targets, or" in result.err
    assert "evaluations for each success" not in result.out
    assert "seconds a step" in result.out


def test_csv_and_json(harness: Harness, sweep: Callable[..., None], tmp_path: Path) -> None:
    sweep("a")
    sweep("b", factor=math.inf)
    result = harness("compare", "a", "b", "--csv")
    (tmp_path / "comparison.csv").write_text(result.out)
    table = read_table(tmp_path / "comparison.csv", COMPARISON)
    assert table["ratio"].tolist()[:2] == [math.inf] * 2
    assert len(pd.read_csv(io.StringIO(result.out))) == 4
    found = json.loads(
        harness("compare", "a", "b", "--json", "--check", "2").out,
        parse_constant=lambda name: pytest.fail(f"{name} is no JSON"),
    )
    assert (found["n_cells"], found["same_machine"], len(found["cells"])) == (2, True, 4)
    assert found["cells"][0]["ratio"] == "inf"
    assert (found["overall"][0]["n_missed"], found["overall"][1]["p_value"]) == (16, None)
    assert len(found["failures"]) == 3
    assert [note[:27] for note in found["notes"]] == ["seconds are not checked: on"]
    assert [(row["measure"], row["verdict"]) for row in found["cells"][1:3]] == [
        ("evaluations_to_target", "worse"),
        ("seconds_per_step", None),
    ]


def test_csv_files_of_two_versions_are_compared(harness: Harness, sweep: Callable[..., None], tmp_path: Path) -> None:
    sweep("a")
    sweep("b", factor=1.5)
    with_stores = harness("compare", "a", "b", "--csv").out
    for name in ("a", "b"):
        (tmp_path / name / "sweep.sqlite").unlink()
    assert harness("compare", "a", "b", "--csv").out == with_stores
    assert harness("compare", "a/trials.csv", "b/trials.csv", "--csv").out == with_stores


@pytest.mark.parametrize(
    ("arguments", "culprit", "remedy"),
    [
        (["a"], "a has no partner", "harness compare --help"),
        ([], "A B [A2 B2 ...]", "harness compare --help"),
        (["a", "b", "a"], "a has no partner", "A B A2 B2"),
        (["a", "b", "--across", "nose"], "unknown parameter 'nose'", "known: method, "),
        (["a", "b", "--across", "Stdev"], "unknown parameter 'Stdev'", "did you mean 'stddev'?"),
        (["a", "b", "--across", "methods"], "unknown parameter 'methods'", "did you mean 'method'?"),
        (["a", "b", "--across", "stddev"], "stddev has several values in A: 0.1, 0.2", "give another --across"),
        (["a", "nowhere"], "nowhere", "check the path"),
        (["a", "b", "--check", "0.5"], "--check 0.5", "such as 1.1"),
        (["a", "b", "--check", "nan"], "--check nan", "such as 1.1"),
        (["a", "b", "--check", "10%"], "10%", "harness compare --help"),
        (["a", "b", "--csv", "--json"], "--csv and --json", "give one"),
        (["a", "other"], "no cell in common", "same tasks"),
        (["a", "varied"], "param_shape varies in B", "sweep it in both or none"),
        (["a", "pending", "--check", "1.1"], "--check", "run both to their end"),
    ],
)
def test_mistakes_are_one_line_with_the_remedy(
    refused: Refused, sweep: Callable[..., None], tmp_path: Path, arguments: list[str], culprit: str, remedy: str
) -> None:
    for name, change in (
        ("a", {}),
        ("b", {}),
        ("other", {"task": "and"}),
        ("varied", {"extra": {"shape": "x"}}),
        ("pending", {"state": "pending"}),
    ):
        sweep(name, seeds=2, **change)  # type: ignore[arg-type]
    with Store.open(tmp_path / "varied") as store:
        changed = "UPDATE trials SET parameters = replace(parameters, '\"x\"', '\"y\"'), plan_checksum = NULL"
        store._connection.execute(f"{changed} WHERE position > 1")
    line = refused("compare", *arguments)
    assert culprit in line
    assert remedy in line


def test_sweeps_without_results_have_nothing_to_show(harness: Harness, sweep: Callable[..., None]) -> None:
    sweep("a", state="pending")
    result = harness("compare", "a", "a")
    assert result.code == 0
    assert "2 cells left out" in result.err
