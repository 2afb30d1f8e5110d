"""Several sweeps as one."""

import json
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from freewalk.results.base.errors import StoreError
from freewalk.results.files import merge as merge_module
from freewalk.results.files.export import write_json
from freewalk.results.files.merge import merge
from freewalk.results.files.sources import read_source
from freewalk.results.schema.environment import machine_name
from freewalk.results.schema.report_schema import ORIGINS
from freewalk.results.schema.schema import FURTHEST_FIRST, State
from freewalk.results.store.store import CurvePoint, Store, TrialRecord
from freewalk.results.tables.reading import read_table

Records = Callable[..., TrialRecord]

DONE = {
    "outcome": "exhausted",
    "loss_final": 0.5,
    "reached": False,
    "steps": 10,
    "evaluations": 20,
    "train_seconds": 1.0,
}
CURVE = [CurvePoint(0, 0, 0.0, "heldout", "loss", 1.0), CurvePoint(10, 20, 1.0, "heldout", "loss", 0.5)]


def environment(model: str) -> dict[str, Any]:
    return {"cpu": {"model": model, "logical_processors": 4}, "threads": 2, "memory_gb": 8.0, "gpu": None}


def seed_of(name: str) -> int:
    """Another seed for another name: t2 has seed 2."""
    return int(name[1:]) if name[1:] else ord(name)


@pytest.fixture
def sweep(tmp_path: Path, record: Records) -> Callable[..., Path]:
    """Make a sweep's folder from trials (name, fields or None for a pending one, curve)."""

    def make(name: str, trials: Sequence[Any], model: str | None = None) -> Path:
        with Store.create(tmp_path / name, {"name": name}, name) as store:
            store.add_pending(
                record(t[0], seed=seed_of(t[0]), parameters={"stddev": 0.1, "absent": None}) for t in trials
            )
            for trial_id, fields, *curve in trials:
                if fields == "failed":
                    store.fail(trial_id, "out of memory")
                elif fields == "running":
                    store.mark_running([trial_id])
                elif fields is not None:
                    store.finish(trial_id, fields, curve[0] if curve else CURVE)
        if model:
            write_json(environment(model), tmp_path / name / "environment.json")
        return tmp_path / name

    return make


def test_trials_are_united_and_repeated_ones_taken_once(sweep: Callable[..., Path], tmp_path: Path) -> None:
    a = sweep("a", [("t0", DONE), ("t1", DONE), ("t2", None)], "Fast")
    b = sweep("b", [("t0", DONE | {"train_seconds": 9.0}), ("t3", DONE, CURVE[:1])], "Slow")
    before = {path: path.read_bytes() for folder in (a, b) for path in folder.iterdir() if path.is_file()}
    merged = merge([a, b], tmp_path / "out")
    assert (len(merged.trials), merged.n_repeated) == (4, 1)
    with Store.open(tmp_path / "out", read_only=True) as store:
        trials, curves = store.trials(), store.curves()
        assert store.configuration() == {"merged": ["a", "b"]}
    assert trials["trial_id"].tolist() == ["t0", "t1", "t2", "t3"]
    assert trials["state"].tolist() == ["complete", "complete", "pending", "complete"]
    assert trials["train_seconds"].tolist()[0] == 1.0  # of the first that ran it, no average
    assert trials["param_stddev"].tolist() == [0.1] * 4
    assert curves.groupby("trial_id").size().to_dict() == {"t0": 2, "t1": 2, "t3": 1}
    origins = read_table(tmp_path / "out" / "origins.csv", ORIGINS)
    assert origins["sweep_id"].tolist() == ["a", "a", "a", "b"]
    assert origins["source"].tolist() == [str(a)] * 3 + [str(b)]
    assert origins["machine"].tolist() == [machine_name(environment("Fast"))] * 3 + [machine_name(environment("Slow"))]
    for name in ("trials", "curves", "summary"):
        assert len(read_table(tmp_path / "out" / f"{name}.csv", name)) > 0  # type: ignore[arg-type]
    found = json.loads((tmp_path / "out" / "environment.json").read_text())
    assert [entry["environment"]["cpu"]["model"] for entry in found["merged"]] == ["Fast", "Slow"]
    assert {path: path.read_bytes() for path in before} == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "b", "out"]


def test_a_merged_sweep_can_be_merged_again(sweep: Callable[..., Path], tmp_path: Path) -> None:
    a, b = sweep("a", [("t0", DONE)], "Fast"), sweep("b", [("t1", DONE)], "Slow")
    merge([a, b], tmp_path / "ab")
    merge([tmp_path / "ab", sweep("c", [("t2", DONE)])], tmp_path / "abc")
    source = read_source(tmp_path / "abc")
    assert source.origins["sweep_id"].tolist() == ["a", "b", "c"]
    assert source.origins["source"].tolist() == [str(a), str(b), str(tmp_path / "c")]
    assert source.machines == [machine_name(environment("Fast")), machine_name(environment("Slow")), None]
    found = json.loads((tmp_path / "abc" / "environment.json").read_text())["merged"]
    assert [entry["source"] for entry in found] == [str(a), str(b), str(tmp_path / "c")]
    assert [entry["environment"] is None for entry in found] == [False, False, True]


@pytest.mark.parametrize(
    ("there", "here", "state"),
    [
        (None, DONE, "complete"),
        (DONE, None, "complete"),
        ("failed", DONE, "complete"),
        (None, "failed", "failed"),
        ("running", None, "interrupted"),
        (None, None, "pending"),
    ],
)
def test_the_run_that_is_further_is_taken(
    sweep: Callable[..., Path], tmp_path: Path, there: object, here: object, state: str
) -> None:
    merge([sweep("a", [("t", there)]), sweep("b", [("t", here)])], tmp_path / "out")
    trials = read_table(tmp_path / "out" / "trials.csv")
    assert trials["state"].tolist() == [state]
    assert trials["error"].notna().tolist() == [state == "failed"]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"loss_final": 0.5000001}, "loss_final 0.5 in .*a and 0.5000001 in .*b"),
        ({"outcome": "diverged"}, "outcome exhausted in .*a and diverged in .*b"),
        ({"evaluations": 21}, "evaluations 20 in .*a and 21 in .*b"),
        ({"reached": True}, "reached 0 in .*a and 1 in .*b"),
    ],
)
def test_contradictions_are_refused_by_name(
    sweep: Callable[..., Path], tmp_path: Path, change: dict[str, Any], said: str
) -> None:
    folders = [sweep("a", [("t0", DONE), ("t1", DONE)]), sweep("b", [("t0", DONE), ("t1", DONE | change)])]
    with pytest.raises(StoreError, match=rf"trial t1 .task=xor, method=walk, stddev=0.1, seed=1. has {said}"):
        merge(folders, tmp_path / "out")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "b"]


def test_curves_that_differ_are_a_contradiction_times_are_none(sweep: Callable[..., Path], tmp_path: Path) -> None:
    later = [point._replace(train_seconds=point.train_seconds * 7) for point in CURVE]
    merge([sweep("a", [("t", DONE)]), sweep("b", [("t", DONE, later)])], tmp_path / "out")
    other = [CURVE[0], CURVE[1]._replace(value=0.4)]
    with pytest.raises(StoreError, match=r"trial t .*has a curve in .* and another one in"):
        merge([tmp_path / "a", sweep("c", [("t", DONE, other)])], tmp_path / "out2")


def test_one_name_for_two_trials_is_a_contradiction(
    sweep: Callable[..., Path], tmp_path: Path, record: Records
) -> None:
    with Store.create(tmp_path / "b", {"name": "b"}) as store:
        store.add_pending([record("t", parameters={"stddev": 0.2})])
    with pytest.raises(StoreError, match=r"has stddev 0\.1 in .* and 0\.2 in"):
        merge([sweep("a", [("t", DONE)]), tmp_path / "b"], tmp_path / "out")


def test_exact_values_survive(sweep: Callable[..., Path], tmp_path: Path) -> None:
    odd = DONE | {"loss_final": math.inf, "loss_best": 0.1 + 0.2, "evaluations": 2**62 + 1}
    merge([sweep("a", [("t", odd)]), sweep("b", [("u", DONE)])], tmp_path / "out")
    with Store.open(tmp_path / "a", read_only=True) as a, Store.open(tmp_path / "out", read_only=True) as out:
        pd.testing.assert_frame_equal(
            out.trials().iloc[:1].drop(columns="sweep_id"), a.trials().drop(columns="sweep_id"), check_exact=True
        )


@pytest.mark.parametrize("kind", ["file", "folder with something", "a sweep"])
def test_nothing_is_overwritten(sweep: Callable[..., Path], tmp_path: Path, kind: str) -> None:
    folders = [sweep("a", [("t", DONE)]), sweep("b", [("u", DONE)])]
    out = tmp_path / "out"
    if kind == "file":
        out.write_text("mine")
    elif kind == "a sweep":
        out = folders[0]
    else:
        out.mkdir()
        (out / "notes.txt").write_text("mine")
    with pytest.raises(StoreError, match="already holds something: pick another --out"):
        merge(folders, out)


def test_an_empty_folder_is_used_and_parents_are_made(sweep: Callable[..., Path], tmp_path: Path) -> None:
    folders = [sweep("a", [("t", DONE)]), sweep("b", [("u", DONE)])]
    (tmp_path / "empty").mkdir()
    for out in (tmp_path / "empty", tmp_path / "deep" / "er"):
        merge(folders, out)
        assert read_source(out).trials["trial_id"].tolist() == ["t", "u"]


def test_a_merge_that_is_cut_short_leaves_nothing(
    sweep: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folders = [sweep("a", [("t", DONE)]), sweep("b", [("u", DONE)])]

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(merge_module, "export_tables", interrupt)
    with pytest.raises(KeyboardInterrupt):
        merge(folders, tmp_path / "out")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "b"]


def test_what_is_no_sweep_is_named(sweep: Callable[..., Path], tmp_path: Path) -> None:
    a = sweep("a", [("t", DONE)])
    (tmp_path / "empty").mkdir()
    for folder in (tmp_path / "empty", tmp_path / "nowhere"):
        with pytest.raises(StoreError, match=rf"{folder} holds no sweep\.sqlite"):
            merge([a, folder], tmp_path / "out")


def test_sources_without_a_store(sweep: Callable[..., Path], tmp_path: Path) -> None:
    a, b = sweep("a", [("t", DONE), ("p", None)], "Fast"), sweep("b", [("u", DONE)])
    merge([a, b], tmp_path / "out")
    (tmp_path / "out" / "sweep.sqlite").unlink()
    for path in (tmp_path / "out", tmp_path / "out" / "trials.csv"):
        source = read_source(path)
        assert source.trials["trial_id"].tolist() == ["t", "p", "u"]
        assert source.machines == [machine_name(environment("Fast")), None]
        assert len(source.curves()) == 4
    (tmp_path / "out" / "trials.csv").rename(tmp_path / "alone.csv")
    assert read_source(tmp_path / "alone.csv").machines == [None]
    with pytest.raises(StoreError, match="holds no sweep"):
        read_source(tmp_path / "out")
    with pytest.raises(StoreError, match="cannot read"):
        read_source(tmp_path / "nowhere")


@pytest.mark.parametrize("text", ["{", "[]", '"x"', "{}", '{"cpu": 3}', '{"cpu": {"model": ""}}', "\xff"])
def test_an_environment_that_says_nothing_is_an_unknown_machine(
    sweep: Callable[..., Path], tmp_path: Path, text: str
) -> None:
    a = sweep("a", [("t", DONE)])
    (a / "environment.json").write_bytes(text.encode("latin-1"))
    assert read_source(a).machines == [None]


def test_machines_are_told_apart_by_what_decides_speed() -> None:
    base = environment("Fast")
    assert machine_name(base) == "Fast, 2 of 4 threads, 8.0 GB"
    changed = [base | {"threads": 1}, base | {"memory_gb": 16.0}, base | {"gpu": "H1"}, base | {"gpu": {"name": "H2"}}]
    assert len({machine_name(e) for e in [base, *changed]}) == 5
    assert machine_name(None) is None


def test_states_are_what_the_store_knows() -> None:
    assert set(FURTHEST_FIRST) == set(State)
