"""The SQLite file itself: making one whole or not at all, and telling ours from anything else."""

import hashlib
import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Final

from freewalk.results.base.errors import DamageError, StoreError
from freewalk.results.schema.layout import APPLICATION_ID, FIRST_WITH_CHECKSUMS, SWEEP_CHECKSUM, schema_sql
from freewalk.results.schema.schema import SCHEMA_VERSION
from freewalk.results.store.checksums import check_sweep, check_trials, checksum

DATABASE_NAME: Final = "sweep.sqlite"
OUTPUT_NAMES: Final = ("trials.csv", "curves.csv", "summary.csv", "environment.json", "sweep.toml")
BUSY_SECONDS: Final = 30.0
_HEADER_BYTES: Final = 100


def sidecar(path: Path, suffix: str) -> Path:
    """Name a file that SQLite keeps beside a database (``-wal``, ``-shm``, ``-journal``)."""
    return path.with_name(path.name + suffix)


def is_new(path: Path) -> bool:
    """Tell whether a database has still to be made: the file is absent or empty.

    Raises
    ------
    StoreError
        The database is gone but its log is not: a new database would replay a stranger's log.
    """
    log = sidecar(path, "-wal")
    try:
        if path.exists() and (not path.is_file() or path.stat().st_size > 0):
            return False
        if log.exists() and log.stat().st_size > 0:
            raise StoreError(f"{path} is gone but {log.name} is not: restore it or pick another --out")
    except OSError as error:
        raise StoreError(f"cannot look into {path.parent}: {error.strerror}; pick another --out") from error
    return True


def prepare(directory: Path) -> None:
    """Make the folder, and refuse one that holds a sweep's outputs but no database that could resume them.

    Raises
    ------
    StoreError
        The folder cannot be made, or a sweep would overwrite what it holds.
    """
    try:
        directory.mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError) as error:
        raise StoreError(f"{directory} is, or lies below, a file: pick another --out") from error
    except OSError as error:
        raise StoreError(f"cannot create {directory}: {error.strerror}; pick another --out") from error
    if is_new(directory / DATABASE_NAME):
        for name in OUTPUT_NAMES:
            if (directory / name).exists():
                raise StoreError(f"{directory} holds {name} but no {DATABASE_NAME}: pick another --out")


def create_database(path: Path, configuration: str, sweep_id: str | None = None) -> None:
    """Write a new database beside its place, then move it there, so that a kill leaves no half-made one.

    The caller holds the folder's lock, so that the temporary name is its own. Without a `sweep_id` the sweep
    is named by a digest of its configuration.
    """
    name = sweep_id or hashlib.sha256(configuration.encode()).hexdigest()[:12]
    temporary = sidecar(path, ".new")
    leftovers = [temporary, sidecar(temporary, "-journal"), sidecar(path, "-wal"), sidecar(path, "-shm")]
    try:
        for leftover in leftovers:
            leftover.unlink(missing_ok=True)
        with closing(sqlite3.connect(temporary, isolation_level=None)) as connection:
            connection.execute("BEGIN")
            for statement in schema_sql():
                connection.execute(statement)
            connection.execute("INSERT INTO sweep (sweep_id, configuration) VALUES (?, '')", (name,))
            describe(connection, name, configuration)
            connection.execute("COMMIT")
        os.replace(temporary, path)
    except (OSError, sqlite3.Error) as error:
        raise StoreError(f"cannot create {path}: {error}; pick another --out") from error


def describe(connection: sqlite3.Connection, name: str, configuration: str) -> str:
    """Write what describes a sweep, with its checksum, in place of what stood there; give the configuration."""
    values = (name, configuration)
    connection.execute(
        f"UPDATE sweep SET sweep_id = ?, configuration = ?, {SWEEP_CHECKSUM} = ?", (*values, checksum(values))
    )
    return configuration


def _connect(database: Path | str, *pragmas: str, uri: bool = False) -> sqlite3.Connection:
    connection = sqlite3.connect(database, uri=uri, timeout=BUSY_SECONDS, isolation_level=None)
    try:
        for pragma in pragmas:
            connection.execute(f"PRAGMA {pragma}")
    except BaseException:
        connection.close()
        raise
    return connection


def connect_writer(path: Path) -> sqlite3.Connection:
    """Open a checked database for writing; autocommit, transactions are explicit.

    WAL lets readers work beside the writer. synchronous=NORMAL does not wait for the disk at a commit: a
    killed process loses nothing (the pages are the kernel's), and a power cut loses at most the last trials,
    which are then run again; it cannot leave half a transaction.
    """
    with naming(path):
        return _connect(path, "journal_mode = WAL", "synchronous = NORMAL")


def connect_reader(path: Path, *, at_rest: bool = False) -> sqlite3.Connection:
    """Open a database so that nothing can be changed through the connection.

    Parameters
    ----------
    path : Path
        The database.
    at_rest : bool
        Whether the caller knows that nobody writes and there is no log: then the folder is not touched at all.
    """
    log = sidecar(path, "-wal")
    # A reader beside a writer needs a shared index file in the folder. Where none can be made (a read-only
    # archive) nobody writes either, and SQLite may be told so.
    logged = log.exists() and log.stat().st_size > 0
    frozen = (at_rest or not os.access(path.parent, os.W_OK)) and not logged
    # Only a connection that may write takes these files away again when it is the last to leave; where there is a log
    # it would also move it into the database.
    mode = "rw" if not logged and not frozen and os.access(path, os.W_OK) else "ro"
    uri = f"{path.resolve().as_uri()}?mode={mode}{'&immutable=1' if frozen else ''}"
    with naming(path):
        return _connect(uri, "query_only = ON", uri=True)


def check_database(path: Path) -> None:
    """Refuse anything but a whole database of ours; the file is only read.

    Raises
    ------
    StoreError
        Not a file, not SQLite, damaged (the structure, or a trial's values; curves are checked as they are read),
        another program's, or of a newer layout.
    """
    if not path.is_file():
        raise StoreError(f"{path} is not a file: pick another --out")
    check_header(path)
    with closing(connect_reader(path)) as connection, naming(path), sound(path):
        version = check_layout(connection, path)
        (verdict,) = connection.execute("PRAGMA integrity_check(1)").fetchone()
        if verdict != "ok":
            problem = str(verdict).replace("\n", " ")
            raise StoreError(f"{path} is damaged ({problem}): restore a copy or pick another --out")
        if version >= FIRST_WITH_CHECKSUMS:
            check_sweep(connection)
            check_trials(connection)


def check_layout(connection: sqlite3.Connection, path: Path) -> int:
    """Return the layout of a database; refuse another program's, and one of a newer version, with StoreError."""
    (application,) = connection.execute("PRAGMA application_id").fetchone()
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    if application != APPLICATION_ID:
        raise StoreError(f"{path} belongs to another program: pick another --out")
    if version > SCHEMA_VERSION:
        raise StoreError(
            f"{path} has layout {version}, this version of freewalk reads layouts up to {SCHEMA_VERSION}: "
            "use the version that wrote it, or pick another --out"
        )
    return int(version)


def check_header(path: Path) -> None:
    """Refuse with StoreError what is no SQLite database by its first bytes."""
    # SQLite itself takes a file that ends within its header for an empty database.
    try:
        with path.open("rb") as file:
            header = file.read(_HEADER_BYTES)
    except OSError as error:
        raise StoreError(f"cannot read {path}: {error.strerror}; pick another --out") from error
    if len(header) < _HEADER_BYTES or not header.startswith(b"SQLite format 3\0"):
        raise StoreError(f"{path} is damaged or not a database: restore it or pick another --out")


@contextmanager
def naming(path: Path) -> Iterator[None]:
    """Turn SQLite's errors into one line that names the file and what to do."""
    try:
        yield
    except sqlite3.OperationalError as error:
        if "decode to UTF-8" in str(error):
            raise _damaged(path, error) from error
        # Locked, disk full, read-only, cannot open: the file may be fine.
        raise StoreError(f"cannot use {path}: {error}; free the cause or pick another --out") from error
    except (sqlite3.IntegrityError, sqlite3.ProgrammingError):
        raise  # a fault of the caller's code, not of the file
    except sqlite3.DatabaseError as error:
        raise StoreError(f"{path} is damaged or not a database ({error}): restore it or pick another --out") from error


@contextmanager
def sound(path: Path) -> Iterator[None]:
    """Turn what stored values that nobody wrote lead to (text that is no JSON, say) into one line."""
    try:
        yield
    except (ValueError, TypeError, KeyError, OverflowError, RecursionError) as error:
        raise _damaged(path, error) from error


def _damaged(path: Path, error: Exception) -> StoreError:
    reason = str(error) if isinstance(error, DamageError) else " ".join(f"{type(error).__name__}: {error}".split())
    return StoreError(f"{path} is damaged ({reason}): restore a copy or pick another --out")


@contextmanager
def transaction(connection: sqlite3.Connection, path: Path) -> Iterator[sqlite3.Connection]:
    """Write everything in the block or nothing of it."""
    with naming(path):
        if connection.in_transaction:  # Ctrl-C between the line below and the block that it is for left it open
            connection.execute("ROLLBACK")
        connection.execute("BEGIN IMMEDIATE")
        try:
            yield connection
            connection.execute("COMMIT")
        except BaseException:
            if connection.in_transaction:  # SQLite rolls back by itself on some errors (disk full)
                connection.execute("ROLLBACK")
            raise
