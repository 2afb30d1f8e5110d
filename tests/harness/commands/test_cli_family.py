"""The walk's family on the command line: swept, shown, resumed, and refused in one line where values do not fit."""

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

import freewalk
from freewalk.harness.engine.packing import works_of
from freewalk.harness.parameters.parameters import LATER_PARAMETERS
from freewalk.harness.plan.budget import Budget
from freewalk.harness.plan.plan import Plan
from freewalk.kernels.backend import resolve_backend

Harness = Callable[..., Any]
MakePlan = Callable[..., Plan]

SMALL = (
    *("--task", "xor", "--backend", "reference", "--epochs", "2", "--steps-per-epoch", "3", "--quiet"),
    *("--grid", "hidden=2", "--grid", "timesteps=2", "--grid", "batch_size=8"),
)


def table(harness: Harness, *arguments: str) -> pd.DataFrame:
    return pd.read_csv(io.StringIO(harness("show", "swept", *arguments, "--csv").out))


def test_numbers_and_words_of_one_axis(harness: Harness) -> None:
    axes = ("--grid", "rank=full,10,2,1", "--grid", "datapoints=1,all")
    assert harness("sweep", *SMALL, *axes, "--seeds", "0:2", "--out", "swept").code == 0
    assert table(harness, "--where", "rank == 1")["param_datapoints"].tolist() == ["1", "all"]
    assert len(table(harness, "--where", "rank <= 2 and datapoints == 'all'")) == 2
    assert table(harness, "--sort", "rank,datapoints")["param_rank"].unique().tolist() == ["1", "2", "10", "full"]
    ranked = harness("show", "swept", "--table", "ranking", "--columns", "rank,param_rank").out
    assert ranked.split()[:2] == ["rank", "param_rank"]
    again = harness("sweep", "--grid", "swept/sweep.toml", "--out", "swept")  # it reads its own file
    assert "rank: 1: 0/4, 2: 0/4, 10: 0/4, full: 0/4" in again.out
    assert harness("report", "swept").code == 0


def test_more_values_join_a_sweep_of_before(harness: Harness) -> None:
    assert harness("sweep", *SMALL, "--seeds", "0:2", "--out", "swept").code == 0
    before = table(harness, "--table", "trials")
    assert harness("sweep", *SMALL, "--seeds", "0:2", "--grid", "rank=full,1", "--out", "swept").code == 0
    after = table(harness, "--table", "trials")
    assert set(before["trial_id"]) < set(after["trial_id"])
    assert after["param_rank"].tolist() == ["full", "full", "1", "1"]


def test_from_python(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    options: dict[str, Any] = {"task": "xor", "seeds": "0:1", "epochs": 1, "steps_per_epoch": 2, "backend": "reference"}
    grid = {"rank": ["full", 1], "datapoints": [4], "hidden": 2, "batch_size": 8, "share_data": "yes"}
    trials = freewalk.sweep(grid, **options).trials
    assert trials["param_rank"].tolist() == ["full", "1"]
    assert trials["evaluations_per_step"].tolist() == [12.0, 12.0]
    named = freewalk.sweep(["fzoo", {"hidden": 2}], **options).trials
    assert (named["param_shaping"].tolist(), named["evaluations_per_step"].tolist()) == (["std"], [144.0])


@pytest.mark.parametrize(
    ("axes", "message"),
    [
        (("datapoints=3",), "batch_size must be a multiple of datapoints (3), so that every perturbation sees as many"),
        (("datapoints=2,5",), "batch_size must be a multiple of datapoints (5)"),
        (("datapoints=all", "shaping=std"), "shaping=std compares perturbations and needs at least 2 a step"),
        (("shaping=ranks", "update=raw"), "shaping has no effect with update=raw; add update=normalised"),
        (("noise=gaussian", "directions=orthogonal"), "noise has no effect with directions=orthogonal"),
        (("rank=0",), "rank=0: must be full or a whole number of at least 1"),
        (("rank=1.5",), "rank=1.5: must be full or a whole number of at least 1"),
        (("share_data=1",), "share_data=1: must be one of no, yes"),
        (("rank=1,1.0",), "rank has the value 1 twice"),
    ],
)
def test_what_does_not_fit_is_one_line_before_anything_runs(
    refused: Callable[..., str], axes: tuple[str, ...], message: str
) -> None:
    grid = [word for axis in axes for word in ("--grid", axis)]
    assert message in refused("sweep", *SMALL, *grid, "--out", "swept")


@pytest.mark.parametrize(
    ("axes", "n_packs"),
    [
        (("timesteps=1,2", "sides=one,two", "learning_rate=0.1,0.2"), 1),
        (("rank=full,1,2",), 3),
        (("directions=independent,orthogonal",), 2),
        (("datapoints=1,2",), 2),
        (("share_data=no,yes",), 2),
        (("shaping=none,std,ranks",), 3),
        (("rank=1", "timesteps=1,2", "learning_rate=0.1,0.2"), 1),
        (("rank=1", "sides=one,two"), 2),
        (("rank=1", "batch_size=8,16"), 1),
        (("datapoints=2", "batch_size=8,16"), 2),
        (("rank=1", "share_data=yes", "timesteps=1,2"), 2),
    ],
)
def test_trials_share_a_pack_if_they_see_the_same_perturbations(
    plan: MakePlan, axes: tuple[str, ...], n_packs: int
) -> None:
    sized = any(axis.startswith("batch_size") for axis in axes)
    trials = plan(*axes, "stddev=0.1,0.2", *(() if sized else ("batch_size=8",)), tasks=["xor"], seeds=[0]).trials
    works = works_of(trials, Budget(epochs=1, steps_per_epoch=1), resolve_backend("cpu"))
    assert len(works) == n_packs
    assert sum(len(work.trials) for work in works) == len(trials)


def test_the_plain_walk_keeps_its_names(plan: MakePlan) -> None:
    names = ("rank", "directions", "datapoints", "share_data", "shaping")
    plain = plan(*(f"{name}={LATER_PARAMETERS[name]}" for name in names), tasks=["xor"], seeds=[0])
    assert plain.trials == plan(tasks=["xor"], seeds=[0]).trials
    for spec in ("rank=1", "directions=orthogonal", "datapoints=2", "share_data=yes", "shaping=std"):
        assert plan(spec, tasks=["xor"], seeds=[0]).trials[0].trial_id != plain.trials[0].trial_id


@pytest.mark.parametrize(
    "options",
    [
        ("--rank", "1", "--noise", "rademacher", "--datapoints", "4"),
        ("--rank", "2", "--share-data", "yes", "--datapoints", "4", "--sides", "two"),
        ("--directions", "orthogonal", "--rank", "1", "--datapoints", "all", "--architecture", "2-3-1"),
    ],
)
def test_gradcheck_finds_no_bias(harness: Harness, options: tuple[str, ...]) -> None:
    result = harness("gradcheck", "--task", "xor", "--method", "walk", "--backend", "reference", *options)
    assert result.code == 0, result.out


def test_gradcheck_finds_a_bias(harness: Harness, monkeypatch: pytest.MonkeyPatch) -> None:
    from freewalk.kernels.reference import reference

    once = reference.gradient_estimate
    monkeypatch.setattr(reference, "gradient_estimate", lambda *given, **named: 1.5 * once(*given, **named))
    options = ("--rank", "1", "--noise", "rademacher", "--datapoints", "all", "--sides", "two", "--samples", "1500")
    result = harness("gradcheck", "--task", "xor", "--method", "walk", "--backend", "reference", *options)
    assert result.code == 3, result.out


def test_a_trial_goes_on_from_its_weights_in_another_family(harness: Harness) -> None:
    small = ("--hidden", "2", "--epochs", "1", "--steps-per-epoch", "2", "--backend", "reference", "--quiet")
    first = ("--noise", "rademacher", "--rank", "1", "--datapoints", "8", "--batch-size", "16", "--save", "a.npz")
    assert harness("train", "--task", "xor", *small, *first).code == 0
    result = harness("train", "--weights", "a.npz", *small, "--directions", "orthogonal", "--save", "b.npz")
    assert result.code == 0, result.err
    parameters = freewalk.load("b.npz").parameters
    assert (parameters["rank"], parameters["datapoints"], parameters["directions"]) == (1, 8, "orthogonal")
    assert "noise" not in parameters
