"""Folders and files that are not what they should be."""

import errno
import json
import os
import re
import sqlite3
import stat
import tempfile
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from freewalk.results.files.export import export_tables, read_csv
from freewalk.results.schema.schema import SCHEMA_VERSION, State
from freewalk.results.store.database import transaction
from freewalk.results.store.store import CurvePoint, Store, StoreError, TrialRecord

Records = Callable[..., TrialRecord]
Curves = Callable[..., list[CurvePoint]]

CONFIGURATION = {"task": "xor"}


def contents(directory: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in directory.iterdir() if path.name != "sweep.lock"}


def test_reader_works_beside_the_writer_and_cannot_write(tmp_path: Path, record: Records, curve: Curves) -> None:
    with Store.create(tmp_path, CONFIGURATION) as writer, Store.open(tmp_path, read_only=True) as reader:
        writer.add_pending([record("a")])
        writer.finish("a", {"outcome": "reached"}, curve())
        assert reader.counts()[State.COMPLETE] == 1
        assert len(reader.curves()) == 3
        with pytest.raises(StoreError, match="readonly"):
            reader.add_pending([record("b")])


def test_closed_store_is_one_file(tmp_path: Path, record: Records) -> None:
    with Store.create(tmp_path, CONFIGURATION) as store:
        store.add_pending([record("a")])
    store.close()  # twice is fine
    assert sorted(contents(tmp_path)) == ["sweep.sqlite"]
    with Store.open(tmp_path, read_only=True) as reader:
        assert reader.unfinished() == ["a"]


@pytest.mark.parametrize("name", ["trials.csv", "curves.csv", "summary.csv", "environment.json", "sweep.toml"])
def test_folder_with_someone_elses_outputs_is_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text("precious")
    for attempt in (Store.create, Store.open_or_create):
        with pytest.raises(StoreError, match=f"holds {name} but no sweep.sqlite"):
            attempt(tmp_path, CONFIGURATION)
    assert contents(tmp_path) == {name: b"precious"}


def test_create_needs_a_folder_without_a_sweep(tmp_path: Path) -> None:
    Store.create(tmp_path, CONFIGURATION).close()
    with pytest.raises(StoreError, match="already holds a sweep"):
        Store.create(tmp_path, CONFIGURATION)


@pytest.mark.parametrize("read_only", [True, False])
def test_open_needs_a_sweep(tmp_path: Path, read_only: bool) -> None:
    with pytest.raises(StoreError, match="holds no sweep"):
        Store.open(tmp_path / "nowhere", read_only=read_only)
    assert contents(tmp_path) == {}


@pytest.mark.parametrize("directory", ["/dev/null", "/dev/null/x", "/proc/nope/x"])
def test_impossible_folders_are_refused(directory: str) -> None:
    with pytest.raises(StoreError, match=rf"{directory}.*--out"):
        Store.open_or_create(Path(directory), CONFIGURATION)


@pytest.fixture
def unwritable() -> Iterator[Path]:
    """Give a folder that this process may not write in, also where it runs as root."""
    nobody = 65534
    with tempfile.TemporaryDirectory() as name:  # pytest's own folders are closed to other users
        folder = Path(name)
        folder.chmod(0o555)
        if os.geteuid() == 0:
            os.seteuid(nobody)
            try:
                yield folder
            finally:
                os.seteuid(0)
        else:
            yield folder
        folder.chmod(stat.S_IRWXU)


def test_unwritable_folder_is_refused(unwritable: Path) -> None:
    for path in (unwritable, unwritable / "sub"):
        with pytest.raises(StoreError, match=rf"cannot .*{path}: Permission denied; pick another --out"):
            Store.open_or_create(path, CONFIGURATION)


def test_a_transaction_that_an_interrupt_left_open_writes_nothing(tmp_path: Path) -> None:
    """Ctrl-C may come after BEGIN and before the block: nobody's __exit__ runs then."""
    with closing(sqlite3.connect(tmp_path / "some.sqlite", isolation_level=None)) as connection:
        connection.execute("CREATE TABLE t (x)")
        connection.execute("BEGIN IMMEDIATE")
        connection.execute("INSERT INTO t VALUES (1)")
        with transaction(connection, tmp_path / "some.sqlite") as own:
            own.execute("INSERT INTO t VALUES (2)")
        assert connection.execute("SELECT x FROM t").fetchall() == [(2,)]


@pytest.mark.parametrize("name", ["ftruncate", "pwrite"])
def test_a_lock_on_a_disk_with_no_byte_left_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(os, name, full)
        with pytest.raises(StoreError, match=r"cannot write .*sweep\.lock: No space left"):
            Store.open_or_create(tmp_path, CONFIGURATION)
    Store.open_or_create(tmp_path, CONFIGURATION).close()  # the lock was given back


HOSTILE = "=HYPERLINK(1) \x1b]0;PWNED\x07\x1b[2J\x9b31m\u202e<script>"


def test_text_of_somebody_elses_store_or_table_is_harmless_in_every_table(tmp_path: Path, record: Records) -> None:
    with Store.create(tmp_path, CONFIGURATION) as store:
        store.add_pending([record("a"), record("b")])
        store.fail("a", "ValueError: plain")
    with closing(sqlite3.connect(tmp_path / "sweep.sqlite")) as connection, connection:
        connection.execute("UPDATE trials SET plan_checksum = NULL, result_checksum = NULL")
        connection.execute("UPDATE trials SET error = ?, task = ? WHERE trial_id = 'a'", (HOSTILE, HOSTILE))
        connection.execute("UPDATE trials SET parameters = ?", (json.dumps({"source": HOSTILE}),))
    with Store.open(tmp_path, read_only=True) as store:
        export_tables(store, tmp_path)
    (tmp_path / "pasted.csv").write_text((tmp_path / "trials.csv").read_text().replace(r"\x1b", "\x1b"))
    for name in ("trials", "pasted"):
        row = read_csv(tmp_path / f"{name}.csv", "trials").iloc[0]
        for column in ("error", "task", "param_source"):
            assert row[column] == r"'=HYPERLINK(1) \x1b]0;PWNED\x07\x1b[2J\x9b31m\u202e<script>"
    assert not re.search("[\x1b\x9b\x07\u202e]", (tmp_path / "trials.csv").read_text())


def filled(directory: Path, record: Records, curve: Curves) -> Path:
    with Store.create(directory, CONFIGURATION) as store:
        store.add_pending([record(f"trial-{i}") for i in range(50)])
        for i in range(50):
            store.finish(f"trial-{i}", {"outcome": "exhausted"}, curve(20))
    return directory / "sweep.sqlite"


def truncate(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 2)


def scramble(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[4096:] = bytes(255 - byte for byte in data[4096:])
    path.write_bytes(data)


def replace_by_text(path: Path) -> None:
    path.write_text("no database\n" * 1000)


def cut_in_the_header(path: Path) -> None:
    os.truncate(path, 50)


def make_foreign(path: Path) -> None:
    path.unlink()
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE trials (x)")
        connection.commit()


def make_newer(path: Path) -> None:
    with closing(sqlite3.connect(path)) as connection:
        connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION + 1}")


def make_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (truncate, "damaged"),
        (scramble, "damaged"),
        (replace_by_text, "not a database"),
        (cut_in_the_header, "not a database"),
        (make_foreign, "another program"),
        (make_newer, f"layout {SCHEMA_VERSION + 1}.*reads layouts up to {SCHEMA_VERSION}"),
        (make_folder, "not a file"),
    ],
)
def test_anything_but_a_whole_store_is_refused_and_left_alone(
    tmp_path: Path, record: Records, curve: Curves, spoil: Callable[[Path], None], message: str
) -> None:
    path = filled(tmp_path, record, curve)
    spoil(path)
    before = path.read_bytes() if path.is_file() else None
    attempts: list[Callable[[], Store]] = [
        lambda: Store.open(tmp_path),
        lambda: Store.open(tmp_path, read_only=True),
        lambda: Store.open_or_create(tmp_path, CONFIGURATION),
    ]
    for attempt in attempts:
        with pytest.raises(StoreError, match=rf"sweep\.sqlite.*{message}") as caught:
            attempt()
        assert "\n" not in str(caught.value)
    assert (path.read_bytes() if path.is_file() else None) == before


def test_creation_killed_half_way_is_started_afresh(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class KilledError(BaseException):
        pass

    def killed(*_: object) -> None:
        raise KilledError

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", killed)
        with pytest.raises(KilledError):
            Store.create(tmp_path, CONFIGURATION)
    assert (tmp_path / "sweep.sqlite.new").exists()
    (tmp_path / "sweep.sqlite.new-journal").write_bytes(b"left over")
    (tmp_path / "sweep.sqlite").touch()  # an empty file is a new one
    with pytest.raises(StoreError, match="holds no sweep"):
        Store.open(tmp_path)
    with Store.open_or_create(tmp_path, CONFIGURATION) as store:
        assert store.configuration() == CONFIGURATION
    assert sorted(contents(tmp_path)) == ["sweep.sqlite"]


def test_log_without_its_database_is_not_replayed(tmp_path: Path) -> None:
    (tmp_path / "sweep.sqlite").touch()
    (tmp_path / "sweep.sqlite-wal").write_bytes(b"another sweep's log")
    with pytest.raises(StoreError, match=r"gone but sweep\.sqlite-wal is not"):
        Store.open_or_create(tmp_path, CONFIGURATION)


def test_archive_on_a_read_only_medium_can_be_read(
    tmp_path: Path, record: Records, curve: Curves, monkeypatch: pytest.MonkeyPatch
) -> None:
    filled(tmp_path, record, curve)
    monkeypatch.setattr(os, "access", lambda *_: False)
    with Store.open(tmp_path, read_only=True) as reader:
        assert len(reader.curves()) == 1000
    assert sorted(contents(tmp_path)) == ["sweep.sqlite"]  # nothing was put beside it
