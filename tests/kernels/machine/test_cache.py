"""Machine code on disk: damaged, of somebody else, or nowhere to be kept; none of it stops a computation."""

from __future__ import annotations

import hashlib
import os
import pickle
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numba
import pytest

import freewalk
from freewalk.kernels.machine.cache import folder_of_machine_code

PROGRAM = """
from freewalk.kernels.machine.jit import kernel, parallel_kernel
import numba

@kernel
def twice(x):
    return x + x

@parallel_kernel
def count(n):
    total = 0
    for k in numba.prange(n):
        total += 1
    return total

results = twice(21), twice(0.5), count(5)
print(*results, sum(twice.stats.cache_hits.values()) + sum(count.stats.cache_hits.values()))
"""
COMPILED, LOADED = "42 1.0 5 0\n", "42 1.0 5 3\n"
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away or be stopped by nothing else")


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("program") / "program.py"
    path.write_text(PROGRAM)
    return path


@pytest.fixture(scope="module")
def filled(program: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give the cache that the first run of the program leaves."""
    folder = tmp_path_factory.mktemp("filled") / "cache"
    assert run(program, NUMBA_CACHE_DIR=str(folder)) == (COMPILED, "")
    return folder


@pytest.fixture
def cache(filled: Path, tmp_path: Path) -> Path:
    """Give a copy of that cache."""
    return Path(shutil.copytree(filled, tmp_path / "cache"))


def start(program: Path, environment: dict[str, str | None]) -> subprocess.Popen[str]:
    """Start a program that calls kernels of two kinds, three versions in all, and says how many were loaded."""
    merged: dict[str, str | None] = {**os.environ, "PYTHONPATH": str(Path(freewalk.__file__).parent.parent)}
    merged |= {"NUMBA_CACHE_DIR": None, "XDG_CACHE_HOME": None, **environment}
    return subprocess.Popen(
        [sys.executable, "-W", "error", str(program)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={name: value for name, value in merged.items() if value is not None},
    )


def run(program: Path, **environment: str | None) -> tuple[str, str]:
    """Return what the program writes to stdout and stderr, after it has succeeded."""
    process = start(program, environment)
    out, said = process.communicate(timeout=300)
    assert process.returncode == 0, said
    return out, said


def files(cache: Path) -> list[Path]:
    return sorted((cache / "freewalk").iterdir())


def test_what_one_process_compiles_the_next_one_loads(program: Path, cache: Path) -> None:
    assert run(program, NUMBA_CACHE_DIR=str(cache)) == (LOADED, "")
    assert len(files(cache)) == 3
    assert (cache / "freewalk").stat().st_mode & 0o777 == 0o700
    assert all(path.stat().st_mode & 0o777 == 0o600 for path in files(cache))
    assert not list(program.parent.rglob("*.nb*")), "the cache is not beside the sources"


@pytest.mark.parametrize(
    ("environment", "place"),
    [
        ({"XDG_CACHE_HOME": "{}/xdg"}, "xdg/freewalk"),
        ({"XDG_CACHE_HOME": "relative", "HOME": "{}/home"}, "home/.cache/freewalk"),
        ({"HOME": "{}/home"}, "home/.cache/freewalk"),
        ({"HOME": "/proc/none", "NUMBA_CACHE_DIR": "{}/own"}, "own/freewalk"),
    ],
    ids=["XDG_CACHE_HOME", "relative", "HOME", "NUMBA_CACHE_DIR"],
)
def test_where_machine_code_is_kept(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, environment: dict[str, str], place: str
) -> None:
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    for key, value in environment.items():
        monkeypatch.setenv(key, value.format(tmp_path))
    monkeypatch.setattr(numba.config, "CACHE_DIR", environment.get("NUMBA_CACHE_DIR", "").format(tmp_path))
    assert folder_of_machine_code() == tmp_path / place
    assert (tmp_path / place).stat().st_mode & 0o777 == 0o700


def _cut(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 2)


def _flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def _swap(path: Path) -> None:
    path.write_bytes(sorted(path.parent.iterdir())[-1].read_bytes())


DAMAGES: dict[str, Callable[[Path], object]] = {
    "empty": lambda path: path.write_bytes(b""),
    "one byte": lambda path: path.write_bytes(b"\x80"),
    "garbage": lambda path: path.write_bytes(os.urandom(3000)),
    "zeros": lambda path: path.write_bytes(bytes(path.stat().st_size)),
    "cut": _cut,
    "longer": lambda path: path.write_bytes(path.read_bytes() + b"x"),
    "one bit": _flip,
    "of another kernel": _swap,
    "missing": lambda path: path.unlink(),
    "unreadable": lambda path: path.chmod(0),
    "a link to nowhere": lambda path: (path.unlink(), path.symlink_to("/proc/none/file")),
}


PAIRS = [
    ("cut", "missing"),
    *(
        pytest.param(*pair, marks=pytest.mark.slow)
        for pair in (
            ("empty", "garbage"),
            ("one byte", "zeros"),
            ("longer", "one bit"),
            ("of another kernel", "a link to nowhere"),
            ("unreadable", "unreadable"),
        )
    ),
]


def test_every_damage_is_tried() -> None:
    assert {damage for pair in PAIRS for damage in getattr(pair, "values", pair)} == set(DAMAGES)


@pytest.mark.parametrize(("one", "other"), PAIRS)
def test_damaged_files_are_compiled_anew_and_mended(program: Path, cache: Path, one: str, other: str) -> None:
    for path, damage in zip(files(cache)[:-1], (one, other), strict=True):
        DAMAGES[damage](path)
    out, said = run(program, NUMBA_CACHE_DIR=str(cache))
    assert out in ("42 1.0 5 1\n", LOADED if one == "unreadable" else "")  # root can read it nevertheless
    assert said == ""
    assert run(program, NUMBA_CACHE_DIR=str(cache)) == (LOADED, "")


@pytest.mark.parametrize("version", ["other Numba", pytest.param("other content", marks=pytest.mark.slow)])
def test_a_whole_file_that_cannot_be_loaded_is_compiled_anew(program: Path, cache: Path, version: str) -> None:
    payload = pickle.dumps(("sig", ()) if version == "other content" else ValueError) + b"."
    for path in files(cache):
        path.write_bytes(hashlib.sha256(path.name.encode() + payload).digest() + payload)
    assert run(program, NUMBA_CACHE_DIR=str(cache)) == (COMPILED, "")
    assert run(program, NUMBA_CACHE_DIR=str(cache)) == (LOADED, "")


def _says_once(said: str, reason: str) -> bool:
    return said.count("\n") == 1 and "NUMBA_CACHE_DIR" in said and reason in said and "Traceback" not in said


@pytest.mark.parametrize(
    "environment",
    [
        {"HOME": "relative"},
        {"NUMBA_CACHE_DIR": "/dev/null"},
        *(
            pytest.param(environment, marks=pytest.mark.slow)
            for environment in (
                {"HOME": "/proc/none"},
                {"HOME": "/dev/null"},
                {"XDG_CACHE_HOME": "/proc/none"},
                {"NUMBA_CACHE_DIR": "/proc/none"},
            )
        ),
    ],
    ids=lambda environment: "=".join(*environment.items()),
)
def test_without_a_place_every_run_compiles_and_says_so_once(program: Path, environment: dict[str, str]) -> None:
    out, said = run(program, **environment)
    assert out == COMPILED
    assert _says_once(said, environment.get("NUMBA_CACHE_DIR", "")), said


def test_a_full_disk_is_said_once_and_leaves_nothing(program: Path, tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    command = ["sh", "-c", f"ulimit -f 1; exec {sys.executable} {program}"]  # the same path of the code as ENOSPC
    environment = os.environ | {
        "NUMBA_CACHE_DIR": str(cache),
        "PYTHONPATH": str(Path(freewalk.__file__).parent.parent),
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    assert (done.returncode, done.stdout) == (0, COMPILED), done.stderr
    assert _says_once(done.stderr, "File too large")
    assert files(cache) == []


def test_a_folder_that_others_can_write_is_not_used(
    program: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(numba.config, "CACHE_DIR", str(cache))
    for mode in (0o770, 0o1777, 0o777):
        (cache / "freewalk").chmod(mode)
        with pytest.raises(PermissionError, match="other users can write"):
            folder_of_machine_code()
    out, said = run(program, NUMBA_CACHE_DIR=str(cache))
    assert out == COMPILED
    assert _says_once(said, "other users can write")


@needs_root
def test_what_belongs_to_another_user_is_not_loaded(program: Path, cache: Path) -> None:
    for path in files(cache):
        os.chown(path, 65534, 65534)
    assert run(program, NUMBA_CACHE_DIR=str(cache)) == (COMPILED, "")
    os.chown(cache / "freewalk", 65534, 65534)
    out, said = run(program, NUMBA_CACHE_DIR=str(cache))
    assert out == COMPILED
    assert _says_once(said, "belongs to another user")


def test_processes_that_compile_at_once_or_are_killed_do_no_harm(program: Path, tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    processes = [start(program, {"NUMBA_CACHE_DIR": str(cache)}) for _ in range(4)]
    processes[0].kill()
    for process in processes:
        out, said = process.communicate(timeout=300)
        assert process.returncode == -9 or (out in (COMPILED, "42 1.0 5 1\n", "42 1.0 5 2\n", LOADED) and not said)
    assert run(program, NUMBA_CACHE_DIR=str(cache)) == (LOADED, "")


def test_what_nobody_has_used_for_long_is_removed(program: Path, cache: Path) -> None:
    kept = files(cache)
    stale, fresh = cache / "freewalk" / "a-stale.nbc", cache / "freewalk" / "a-fresh.nbc"
    for path, days in ((stale, 40), (fresh, 2), (kept[0], 40)):
        path.touch()
        os.utime(path, (time.time() - days * 24 * 3600,) * 2)
    assert run(program, NUMBA_CACHE_DIR=str(cache))[0] == LOADED
    assert stale.exists(), "nothing was written, nothing is tidied"
    kept[1].unlink()
    run(program, NUMBA_CACHE_DIR=str(cache))
    assert files(cache) == [fresh, *kept]
