"""One walk is one trial: merged, shown, reported and compared; and a check that a lost trial fails."""

import io
import itertools
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from freewalk.results.files.export import export_tables, read_csv, write_csv
from freewalk.results.schema.configuration import canonical_json, same_code, settings_difference
from freewalk.results.store.database import DATABASE_NAME, connect_writer, describe
from freewalk.results.store.store import Store, TrialRecord

Harness = Callable[..., Any]
Refused = Callable[..., str]

SETTINGS = {"epochs": 4, "steps_per_epoch": 5, "evaluation_points": 64, "backend": "auto"}
_names = itertools.count()


def sweep(
    folder: Path,
    seeds: range,
    settings: dict[str, Any] | None = None,
    *,
    target: float = 0.4,
    stddevs: tuple[float, ...] = (0.1,),
    lost: Callable[[float, int], str] = lambda stddev, seed: "",
    loss: float = 0.5,
) -> None:
    """Make a sweep's folder; `lost` names what becomes of a trial: failed, pending, absent, or "" for complete."""
    changed = {**SETTINGS, **(settings or {})}
    with Store.create(folder, changed, f"sweep{next(_names)}") as store:
        for stddev, seed in itertools.product(stddevs, seeds):
            if (fate := lost(stddev, seed)) == "absent":
                continue
            name = f"{canonical_json(changed)} {target} {stddev} {seed}"
            planned = TrialRecord(
                trial_id=name,
                task="xor",
                method="walk",
                seed=seed,
                parameters={"stddev": stddev},
                metric_name="m",
                target=target,
            )
            store.add_pending([planned])
            cost = 100 + 10 * seed
            done = {
                "outcome": "reached",
                "reached": True,
                "steps": cost,
                "evaluations": cost,
                "evaluations_to_target": cost,
            }
            if fate == "failed":
                store.fail(name, "RuntimeError: a\nmistake")
            elif not fate:
                store.finish(name, {**done, "loss_final": loss, "metric_final": 0.1, "steps_to_target": cost})
        export_tables(store)


PLUGIN = {"plugins": ["a" * 64], "texts": [{"path": "own.py", "sha256": "a" * 64, "code": "c" * 64}]}
COMMENTED = {"plugins": ["b" * 64], "texts": [{"path": "own.py", "sha256": "b" * 64, "code": "c" * 64}]}
MENDED = {"plugins": ["b" * 64], "texts": [{"path": "own.py", "sha256": "b" * 64, "code": "d" * 64}]}
OTHER_SETTINGS: dict[str, tuple[dict[str, Any], float, str]] = {
    "epochs": ({"epochs": 2}, 0.4, "epochs is 4 in a and 2 in b"),
    "steps": ({"steps_per_epoch": 9}, 0.4, "steps_per_epoch is 5 in a and 9 in b"),
    "looks": ({"evaluation_points": 9}, 0.4, "evaluation_points is 64 in a and 9 in b"),
    "plateau": ({"plateau": 3}, 0.4, "plateau is absent in a and 3 in b"),
    "evaluations": ({"evaluations": 99}, 0.4, "evaluations is absent in a and 99 in b"),
    "target": ({"target": 0.3}, 0.3, "target is 0.4 in a and 0.3 in b"),
}


@pytest.mark.parametrize("seeds", [range(3), range(2, 5), range(3, 6)], ids=["same", "overlapping", "other seeds"])
@pytest.mark.parametrize("other", OTHER_SETTINGS.values(), ids=OTHER_SETTINGS)
def test_trials_that_were_run_otherwise_are_not_put_in_one_cell(
    refused: Refused, tmp_path: Path, other: tuple[dict[str, Any], float, str], seeds: range
) -> None:
    settings, target, message = other
    sweep(tmp_path / "a", range(3))
    sweep(tmp_path / "b", seeds, settings, target=target)
    line = refused("merge", "a", "b", "--out", "both")
    assert f"{message} for trials of one cell (task=xor, method=walk, stddev=0.1)" in line
    assert "leave one of the two out, or see both with harness compare" in line


def test_a_target_written_out_is_the_same_and_other_cells_may_be_run_otherwise(
    harness: Harness, tmp_path: Path
) -> None:
    sweep(tmp_path / "a", range(3))
    sweep(tmp_path / "b", range(2, 5), {"target": 0.4})
    sweep(tmp_path / "c", range(2), {"epochs": 9}, stddevs=(0.2,))
    result = harness("merge", "a", "b", "c", "--out", "all")
    assert (result.code, result.err) == (0, "")
    assert "7 trials in all, 1 of them met more than once" in result.out
    assert read_csv(tmp_path / "all" / "summary.csv", "summary")["n_trials"].tolist() == [5, 2]


def test_more_than_two_sweeps_and_merges_of_merges_remember_how_they_were_run(
    harness: Harness, refused: Refused, tmp_path: Path
) -> None:
    for name, seeds, epochs in (
        ("a", range(2), 4),
        ("b", range(2, 4), 4),
        ("c", range(4, 6), 4),
        ("d", range(6, 8), 2),
    ):
        sweep(tmp_path / name, seeds, {"epochs": epochs})
    assert "epochs is 4 in a and 2 in d" in refused("merge", "a", "b", "c", "d", "--out", "all")
    assert harness("merge", "a", "b", "--out", "ab", "--quiet").code == 0
    assert "epochs is 4 in ab and 2 in d" in refused("merge", "ab", "d", "--out", "abd")
    assert harness("merge", "ab", "c", "a", "--out", "abc", "--quiet").code == 0
    assert len(read_csv(tmp_path / "abc" / "trials.csv")) == 6
    assert "epochs is 4 in abc and 2 in d" in refused("merge", "abc", "d", "--out", "abcd")
    assert "6 trials in twice, 6 of them" in harness("merge", "abc", "ab", "c", "--out", "twice").out


@pytest.mark.parametrize("other", [COMMENTED, MENDED], ids=["a comment", "code"])
def test_a_walk_under_two_texts_of_a_plug_in_counts_once(
    harness: Harness, refused: Refused, tmp_path: Path, other: dict[str, Any]
) -> None:
    sweep(tmp_path / "a", range(3), PLUGIN, lost=lambda stddev, seed: "failed" if seed == 2 else "")
    sweep(tmp_path / "b", range(3), other)
    assert "3 trials in both, 3 of them met more than once" in harness("merge", "a", "b", "--out", "both").out
    trials = read_csv(tmp_path / "both" / "trials.csv")
    assert (trials["seed"].tolist(), set(trials["state"])) == ([0, 1, 2], {"complete"})
    sweep(tmp_path / "c", range(3), other, loss=0.25)
    assert "loss_final 0.5 in a and 0.25 in c" in refused("merge", "a", "c", "--out", "ac")
    sweep(tmp_path / "d", range(3, 6), other)
    if other is COMMENTED:
        assert harness("merge", "a", "d", "--out", "ad", "--quiet").code == 0
    else:
        assert "SHA-256 of the plug-ins is aaaaaaaaaaaa in a and bbbbbbbbbbbb" in refused(
            "merge", "a", "d", "--out", "ad"
        )


def test_plug_ins_are_the_same_by_bytes_or_by_code() -> None:
    known, unknown = PLUGIN["texts"], [{"sha256": "a" * 64}]
    assert same_code(known, unknown)
    assert same_code(known, COMMENTED["texts"])
    assert not same_code(unknown, [{"sha256": "b" * 64}])
    assert not same_code([], known)
    assert same_code([], [])
    assert settings_difference({"epochs": 1}, {"epochs": 1}) is None


@pytest.fixture
def doubled(tmp_path: Path) -> Path:
    """A sweep that an older version merged: every walk twice, the second time under another name."""
    sweep(tmp_path / "old", range(3))
    sweep(tmp_path / "more", range(3), {"epochs": 9})
    with Store.open(tmp_path / "more", read_only=True) as store:
        rows = store.trials()
    with Store.open(tmp_path / "old") as store:
        for row in rows.itertuples():
            store.add_pending(
                [
                    TrialRecord(
                        trial_id=row.trial_id,
                        task="xor",
                        method="walk",
                        seed=row.seed,
                        parameters={"stddev": 0.1},
                        target=0.4,
                    )
                ]
            )
            store.finish(
                row.trial_id,
                {"outcome": "reached", "reached": True, "steps": 100, "evaluations": 100, "evaluations_to_target": 100},
            )
        export_tables(store)
    with closing(connect_writer(tmp_path / "old" / DATABASE_NAME)) as connection:
        describe(connection, "old", '{"merged":["x","y"]}')
    return tmp_path / "old"


@pytest.mark.parametrize("kind", ["store", "tables"])
def test_doubled_walks_of_an_older_merge_count_once(harness: Harness, doubled: Path, kind: str) -> None:
    if kind == "tables":
        (doubled / DATABASE_NAME).unlink()
    assert harness("show", "old", "--table", "trials", "--csv").out.count("\n") == 1 + 6, "all that is there"
    result = harness("show", "old", "--columns", "n_trials,n_complete", "--csv")
    assert result.out == "n_trials,n_complete\n3,3\n"
    assert "harness: note: 3 trials left aside: of their cell and seed another one is counted already" in result.err
    assert "3 of 3" in (report := harness("report", "old")).out, report.err
    assert "3 trials left aside" in (doubled / "report.html").read_text()
    found = harness("compare", "old", "old", "--csv")
    assert pd.read_csv(io.StringIO(found.out))["n_a"].tolist()[:1] == [3]
    assert "A: 3 trials left aside" in found.err


@pytest.mark.parametrize("name", ["trials", "curves"])
def test_rows_that_were_pasted_twice_are_refused(refused: Refused, tmp_path: Path, name: Any) -> None:
    sweep(tmp_path / "a", range(2))
    (tmp_path / "a" / DATABASE_NAME).unlink()
    table = read_csv(tmp_path / "a" / f"{name}.csv", name)
    if name == "curves":
        point = {"schema_version": 3, "trial_id": "t", "step": 0, "evaluations": 0, "train_seconds": 0.0}
        table = pd.DataFrame([point | {"split": "heldout", "metric": "loss", "value": 1.0}])
    write_csv(pd.concat([table, table]), tmp_path / "a" / f"{name}.csv")
    for command in (
        ["show", "a", "--table", name],
        ["report", "a"],
        *([["compare", "a", "a"]] if name == "trials" else []),
    ):
        line = refused(*command)
        assert f"{name}.csv is damaged (trial " in line
        assert "mend it, or export it again" in line


FATES: dict[str, tuple[Callable[[float, int], str], str]] = {
    "a cell is absent": (lambda stddev, seed: "absent" if stddev == 0.2 else "", "stddev=0.2: 4 trials .*4 missing"),
    "a cell failed": (
        lambda stddev, seed: "failed" if stddev == 0.2 else "",
        "stddev=0.2: 4 .*4 failed: RuntimeError: a mist",
    ),
    "half failed": (lambda stddev, seed: "failed" if seed % 2 else "", "stddev=0.1: 2 trials .*2 failed"),
    "one failed": (lambda stddev, seed: "failed" if (stddev, seed) == (0.1, 3) else "", "stddev=0.1: 1 trial of A"),
    "one is unfinished": (lambda stddev, seed: "pending" if (stddev, seed) == (0.1, 3) else "", "1 unfinished"),
    "one is absent": (lambda stddev, seed: "absent" if (stddev, seed) == (0.1, 3) else "", "1 missing"),
}


@pytest.mark.parametrize("fate", FATES.values(), ids=FATES)
def test_a_check_fails_where_trials_are_lost(
    harness: Harness, tmp_path: Path, fate: tuple[Callable[[float, int], str], str]
) -> None:
    sweep(tmp_path / "a", range(4), stddevs=(0.1, 0.2))
    sweep(tmp_path / "b", range(4), stddevs=(0.1, 0.2), lost=fate[0])
    result = harness("compare", "a", "b", "--check", "100")
    assert result.code == 3
    failures = [line for line in result.err.splitlines() if line.startswith("harness: check failed: ")]
    assert pd.Series(failures).str.contains(fate[1]).any(), failures
    assert harness("compare", "a", "b").code == 0, "without a check nothing fails"
    assert harness("compare", "b", "a", "--check", "100").code == 0, "A lacks them, not B"
    assert harness("compare", "b", "b", "--check", "100").code == 0


def test_as_many_trials_of_other_seeds_are_no_loss(harness: Harness, tmp_path: Path) -> None:
    sweep(tmp_path / "a", range(4))
    sweep(tmp_path / "b", range(10, 15))
    assert harness("compare", "a", "b", "--check", "100").code == 0
    sweep(tmp_path / "c", range(10, 15), lost=lambda stddev, seed: "failed" if seed == 12 else "")
    assert harness("compare", "a", "c", "--check", "100").code == 3
