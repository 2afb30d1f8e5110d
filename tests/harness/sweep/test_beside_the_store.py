"""Stores that somebody else made, files beside a store, folders that go away, and what killed writers leave."""

import fcntl
import json
import os
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from freewalk.harness.plan.configuration import resolve
from freewalk.harness.sweep import Opened, Sweep
from freewalk.results.base.errors import StoreError
from freewalk.results.base.writing import replacing
from freewalk.results.files.export import export_tables, read_csv, write_text
from freewalk.results.files.merge import merge
from freewalk.results.schema.environment import read_environment
from freewalk.results.store.store import Store, TrialRecord

Harness = Callable[..., Any]
Refused = Callable[..., str]


def make(folder: Path, n: int = 3, first: int = 0) -> None:
    with Store.create(folder, {"name": folder.name}, folder.name) as store:
        for seed in range(first, first + n):
            store.add_pending(
                [
                    TrialRecord(
                        trial_id=f"t{seed}",
                        task="xor",
                        method="walk",
                        seed=seed,
                        parameters={"stddev": 0.1},
                        target=0.4,
                    )
                ]
            )
            fields = {"outcome": "reached", "reached": True, "steps": 5, "evaluations": 9, "evaluations_to_target": 9}
            store.finish(f"t{seed}", {**fields, "loss_final": 0.5})
        export_tables(store)


FORGET = "UPDATE trials SET plan_checksum = NULL, result_checksum = NULL, curve_checksum = NULL"
FOREIGN = {
    "parameters are a text": ["UPDATE trials SET parameters = '\"x\"' WHERE position = 1"],
    "parameters are a list": ["UPDATE trials SET parameters = '[1]'"],
    "parameters are a number": ["UPDATE trials SET parameters = '5'"],
    "a parameter is a list": ["UPDATE trials SET parameters = '{\"stddev\": [1]}'"],
    "parameters are deep": ["UPDATE trials SET parameters = replace(hex(zeroblob(50000)), '00', '[')"],
    "two sweeps": ["INSERT INTO sweep SELECT * FROM sweep"],
    "no sweep": ["DELETE FROM sweep"],
    "a configuration that is a list": ["UPDATE sweep SET configuration = '[]', checksum = NULL"],
    "a configuration that is none": ["UPDATE sweep SET configuration = '{', checksum = NULL"],
    "a name that is a number": ["UPDATE sweep SET sweep_id = x'00', checksum = NULL"],
    "an unknown state": [
        "PRAGMA ignore_check_constraints = ON",
        "UPDATE trials SET state = 'asleep' WHERE position = 1",
    ],
    "an unknown outcome": ["UPDATE trials SET outcome = 'tired' WHERE position = 1"],
    "a doubled trial": [
        "CREATE TABLE other AS SELECT * FROM trials",
        "UPDATE other SET trial_id = 't0' WHERE position = 1",
        "DROP TABLE trials",
        "ALTER TABLE other RENAME TO trials",
    ],
}


@pytest.mark.parametrize("statements", FOREIGN.values(), ids=FOREIGN)
def test_a_store_that_cannot_be_is_refused_in_one_line(harness: Harness, tmp_path: Path, statements: list[str]) -> None:
    make(tmp_path / "good", first=5)
    make(tmp_path / "bad")
    with closing(sqlite3.connect(tmp_path / "bad" / "sweep.sqlite")) as connection, connection:
        for statement in (FORGET, *statements):
            connection.execute(statement)
    for command in (
        ("show", "bad"),
        ("show", "bad", "--table", "trials", "--csv"),
        ("report", "bad"),
        ("compare", "good", "bad"),
        ("compare", "bad", "bad", "--check", "1.1"),
        ("merge", "good", "bad", "--out", "both"),
        ("sweep", "--task", "xor", "--out", "bad", "--quiet"),
    ):
        result = harness(*command)
        assert result.code == 2, command
        assert result.err.startswith("harness: error: "), command
        assert result.err.count("\n") == 1, command
    assert not (tmp_path / "both").exists()


def test_a_success_without_its_cost_is_left_out_of_the_comparison(harness: Harness, tmp_path: Path) -> None:
    make(tmp_path / "a")
    with closing(sqlite3.connect(tmp_path / "a" / "sweep.sqlite")) as connection, connection:
        connection.execute(FORGET)
        connection.execute("UPDATE trials SET evaluations_to_target = NULL WHERE position = 1")
    result = harness("compare", "a", "a", "--json")
    assert result.code == 0
    assert json.loads(result.out)["cells"][0]["n_a"] == 2


ENVIRONMENTS = {
    "deep": "[" * 100_000,
    "deep objects": '{"a":' * 50_000,
    "NaN": '{"cpu": {"model": "Fast"}, "memory_gb": NaN, "data": Infinity}',
    "a number": "5",
    "data of another kind": '{"data": 5, "plugins": 7, "earlier_plugins": "x"}',
    "data in other words": '{"data": {"xor": [1], "characters": 7}}',
}


@pytest.mark.parametrize(
    "text",
    [
        pytest.param(text, id=name, marks=[] if name in ("deep", "NaN", "data of another kind") else pytest.mark.slow)
        for name, text in ENVIRONMENTS.items()
    ],
)
def test_whatever_stands_in_the_environment(harness: Harness, tmp_path: Path, tiny: tuple[str, ...], text: str) -> None:
    tiny = tiny[2:]  # one task
    assert harness("sweep", *tiny, "--out", "a", "--quiet").code == 0
    make(tmp_path / "b")
    (tmp_path / "a" / "environment.json").write_text(text)
    for command in (
        ("show", "a"),
        ("report", "a", "--quiet"),
        ("compare", "a", "a"),
        ("merge", "a", "b", "--out", "ab", "--quiet"),
        ("merge", "ab", "b", "--out", "abb", "--quiet"),
        ("sweep", *tiny, "--out", "a", "--quiet"),
    ):
        result = harness(*command)
        assert result.code == 0, result.err
    found = read_environment(tmp_path / "a")
    assert found is None or "NaN" not in text or found["memory_gb"] is None


@pytest.mark.parametrize("name", ["n\new", "a\rb", "\x1b[2Jx", "tab\there"])
def test_a_refusal_is_one_line_whatever_the_path_holds(harness: Harness, tmp_path: Path, name: str) -> None:
    (tmp_path / name).mkdir()
    for command in (("show", name), ("report", name), ("compare", name, name), ("merge", name, "b", "--out", "c"),
                    ("evaluate", name)):  # fmt: skip
        result = harness(*command)
        assert result.code == 2
        assert result.err.count("\n") == 1
        assert result.err.rstrip("\n").isprintable()


def test_a_contradiction_of_values_with_line_ends_is_one_line(harness: Harness, tmp_path: Path) -> None:
    for name, loss in (("a", 0.5), ("b", 0.25)):
        with Store.create(tmp_path / name, {}, name) as store:
            store.add_pending(
                [TrialRecord(trial_id="t", task="x\ny", method="walk", seed=0, parameters={"source": "p\nq"})]
            )
            store.finish("t", {"outcome": "exhausted", "loss_final": loss})
    result = harness("merge", "a", "b", "--out", "c")
    assert (result.code, result.err.count("\n")) == (2, 1)


@pytest.mark.parametrize("fate", ["deleted", "renamed", "replaced by a file", "replaced by another sweep"])
def test_a_sweep_whose_folder_goes_away_stops_and_writes_nowhere(tmp_path: Path, fate: str) -> None:
    def sweep(folder: str, task: str) -> Sweep:
        grid = ["hidden=2", "timesteps=2", "batch_size=4", "stddev=0.1,0.2"]
        made = resolve(grid, tasks=[task], seeds=[0, 1], epochs=2, steps_per_epoch=4, target=-1.0, backend="cpu")
        return Sweep(made, tmp_path / folder)

    events = sweep("out", "xor").run()
    assert isinstance(next(events), Opened)
    next(events)
    if fate == "renamed":
        (tmp_path / "out").rename(tmp_path / "moved")
    else:
        shutil.rmtree(tmp_path / "out")
    if fate == "replaced by a file":
        (tmp_path / "out").write_text("mine")
    if fate == "replaced by another sweep":
        list(sweep("out", "sign").run())
    with pytest.raises(StoreError, match="deleted, renamed or replaced"):
        list(events)
    if fate == "replaced by a file":
        assert (tmp_path / "out").read_text() == "mine"
    elif fate == "replaced by another sweep":
        assert set(read_csv(tmp_path / "out" / "trials.csv")["task"]) == {"sign"}
    else:
        assert not (tmp_path / "out").exists()
    if fate == "renamed":
        list(sweep("moved", "xor").run())
        assert set(read_csv(tmp_path / "moved" / "trials.csv")["state"]) == {"complete"}


def test_readers_leave_nothing_behind(harness: Harness, tmp_path: Path) -> None:
    make(tmp_path / "a")
    make(tmp_path / "b", first=5)
    before = {path.name for path in (tmp_path / "a").iterdir()}
    for command in (
        ("show", "a"),
        ("compare", "a", "b"),
        ("merge", "a", "b", "--out", "ab"),
        ("report", "a", "--out", "r"),
    ):
        assert harness(*command).code == 0
        assert {path.name for path in (tmp_path / "a").iterdir()} == before


def test_a_reader_leaves_the_log_of_a_killed_writer_as_it_is(harness: Harness, tmp_path: Path) -> None:
    make(tmp_path / "a")
    store = Store.open(tmp_path / "a")
    store.add_pending([TrialRecord(trial_id="u", task="xor", method="walk", seed=9, parameters={"stddev": 0.1})])
    shutil.copytree(tmp_path / "a", tmp_path / "killed")
    store.close()
    log = (tmp_path / "killed" / "sweep.sqlite-wal").read_bytes()
    assert harness("show", "killed", "--columns", "n_trials", "--csv").out == "n_trials\n4\n"
    assert (tmp_path / "killed" / "sweep.sqlite-wal").read_bytes() == log


@pytest.mark.parametrize("name", ["table.csv", "odd [name]*?.csv"])
def test_what_a_killed_writer_left_is_removed_by_the_next(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    left, held = (tmp_path / f".{name}.{number}.tmp" for number in (99999991, 99999992))
    other = tmp_path / ".another.csv.99999991.tmp"
    for file in (left, held, other):
        file.write_text("half")
    with held.open() as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        write_text("whole", path)
    assert sorted(file.name for file in tmp_path.iterdir()) == sorted([name, held.name, other.name])
    write_text("again", path)
    assert sorted(file.name for file in tmp_path.iterdir()) == sorted([name, other.name])


def test_what_a_killed_merge_left_is_removed_by_the_next(tmp_path: Path) -> None:
    make(tmp_path / "a")
    make(tmp_path / "b", first=5)
    (tmp_path / ".out.99999991.tmp").mkdir()
    (tmp_path / ".out.99999991.tmp" / "sweep.sqlite").write_text("half")
    merge([tmp_path / "a", tmp_path / "b"], tmp_path / "out")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "b", "out"]


def test_merging_into_the_present_folder_and_through_a_link(
    harness: Harness, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make(tmp_path / "a")
    make(tmp_path / "b", first=5)
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    assert harness("merge", "a", "b", "--out", "link", "--quiet").code == 0
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "real" / "trials.csv").exists()
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    from freewalk.harness import cli

    assert cli.run(["merge", "../a", "../b", "--out", ".", "--quiet"]) == 0
    assert len(read_csv(tmp_path / "here" / "trials.csv")) == 6


def test_a_block_that_fails_leaves_what_was_there(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("old")
    with pytest.raises(FileNotFoundError), replacing(tmp_path / "file") as temporary:
        temporary.unlink()
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == {"file": "old"}
    assert not [name for name in os.listdir(tmp_path) if name.endswith(".tmp")]


COMMAND_LINES = {
    "a range of too many digits": ("--grid", f"stddev=range(0,1,0.1{'0' * 5000}1)"),
    "a value of too many digits": ("--evaluations", "9" * 400),
    "a square beyond numbers": ("--grid", "stddev=1e308", "--grid", "update=normalised"),
    "a square beyond numbers, raw": ("--grid", "stddev=1e200"),
    "nested brackets": ("--grid", "deep.toml"),
    "a number of too many digits": ("--grid", "big.toml"),
}


@pytest.mark.parametrize("arguments", COMMAND_LINES.values(), ids=COMMAND_LINES)
def test_numbers_and_nestings_beyond_measure_are_refused(
    refused: Refused, tmp_path: Path, arguments: tuple[str, ...]
) -> None:
    (tmp_path / "deep.toml").write_text("x = " + "[" * 3000 + "]" * 3000)
    (tmp_path / "big.toml").write_text("epochs = " + "1" * 5000)
    refused("sweep", "--task", "xor", *arguments, "--dry-run")


def test_sequences_beyond_the_memory_are_refused(refused: Refused) -> None:
    line = refused("sweep", "--task", "long-parity", "--grid", "length=2147483647", "--dry-run")
    assert "length=2147483647 on task 'long-parity' needs about" in line


@pytest.mark.parametrize("expression", ["~" * 990 + "reached", f"stddev > {'9' * 400}", f"steps in [{'9' * 400}]"])
def test_expressions_beyond_measure_do_not_end_in_a_traceback(
    harness: Harness, tmp_path: Path, expression: str
) -> None:
    make(tmp_path / "a")
    result = harness("show", "a", "--table", "trials", "--where", expression)
    assert result.code in (0, 2)
    assert result.err.count("\n") == (result.code == 2)
