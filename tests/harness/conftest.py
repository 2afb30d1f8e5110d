"""The command line in this process and in others, and folders that must not change."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from commanded import TINY, Harness, Process, Result, Snapshot, take_snapshot
from disturbed import run_undisturbed

from freewalk.harness import cli
from freewalk.harness.base.defaults_files import NO_DEFAULTS
from freewalk.harness.plan import plugins
from freewalk.harness.plan.configuration import resolve
from freewalk.harness.plan.plan import Plan, expand
from freewalk.harness.plan.registry import BuiltInRegistry


@pytest.fixture(autouse=True)
def _plain_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Take away what the tester's own shell would add; compiled kernels stay where they are, whatever a test's home."""
    for name in [*os.environ]:
        if name.startswith("HARNESS_") or name in ("NO_COLOR", "FORCE_COLOR", "COLUMNS", "LINES", "TTY_COMPATIBLE"):
            monkeypatch.delenv(name)
    monkeypatch.setenv(NO_DEFAULTS, "1")
    monkeypatch.setenv("XDG_CACHE_HOME", os.environ.get("XDG_CACHE_HOME", str(Path.home() / ".cache")))


@pytest.fixture(autouse=True)
def _no_plugins_left() -> Iterator[None]:
    """Take away the tasks, methods and parameters that a test's plug-ins have brought."""
    yield
    plugins.unload_all()


@pytest.fixture(scope="session")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The slow sweep, run in one go and from Python; only to be read."""
    folder = tmp_path_factory.mktemp("undisturbed")
    run_undisturbed(folder)
    return folder


@pytest.fixture
def tiny() -> tuple[str, ...]:
    return TINY


@pytest.fixture
def harness(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Harness:
    """Run the command line in this process, inside the test's own folder."""
    monkeypatch.chdir(tmp_path)

    def run(*arguments: object) -> Result:
        capsys.readouterr()
        code = cli.run([str(argument) for argument in arguments])
        captured = capsys.readouterr()
        return Result(code, captured.out, captured.err)

    return run


@pytest.fixture
def snapshot() -> Callable[[Path], Snapshot]:
    return take_snapshot


@pytest.fixture
def refused(harness: Harness, tmp_path: Path) -> Callable[..., str]:
    """Run a command that must be refused: exit code 2, one line on stderr, and nothing else anywhere."""

    def run(*arguments: object, code: int = 2) -> str:
        before = take_snapshot(tmp_path)
        result = harness(*arguments)
        assert result.code == code, result.err
        assert result.out == ""
        assert result.err.startswith("harness: error: ")
        assert result.err.count("\n") == 1, result.err
        assert result.err.endswith("\n")
        assert take_snapshot(tmp_path) == before
        return result.err.removeprefix("harness: error: ").rstrip("\n")

    return run


@pytest.fixture
def plan() -> Callable[..., Plan]:
    """Expand a grid with the tasks there are."""

    def expand_specs(*specs: str, **options: Any) -> Plan:
        return expand(resolve(specs, registry=BuiltInRegistry(), **options), BuiltInRegistry())

    return expand_specs


@pytest.fixture
def process(tmp_path: Path) -> Iterator[Callable[..., Process]]:
    """Start a real `harness` in the test's folder."""
    started: list[Process] = []

    def start(*arguments: object, environment: Mapping[str, str] | None = None) -> Process:
        started.append(Process(arguments, tmp_path, environment or {}))
        return started[-1]

    yield start
    for one in started:
        one.clear()


class RemoteCluster:
    """A scheduler and workers in processes of their own, as on other machines."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.workers: list[subprocess.Popen[bytes]] = []
        file = folder / "scheduler.json"
        options = ["--host", "127.0.0.1", "--port", "0", "--no-dashboard", "--dashboard-address", "127.0.0.1:0"]
        self.scheduler = self._start("scheduler", *options, "--scheduler-file", str(file))
        deadline = time.monotonic() + 60
        while not (file.exists() and file.read_text().endswith("}")):
            assert self.scheduler.poll() is None
            assert time.monotonic() < deadline, "no scheduler"
            time.sleep(0.05)
        self.address: str = json.loads(file.read_text())["address"]
        self.file = file

    def add_worker(self, n_threads: int = 1, environment: Mapping[str, str] | None = None) -> subprocess.Popen[bytes]:
        """Start a worker; it takes a second or two to arrive."""
        options = ["--nthreads", str(n_threads), "--no-nanny", "--no-dashboard", "--host", "127.0.0.1"]
        local = ["--local-directory", str(self._folder), "--memory-limit", "0", "--death-timeout", "60"]
        self.workers.append(self._start("worker", self.address, *options, *local, environment=environment))
        return self.workers[-1]

    def wait_for_workers(self, n: int) -> None:
        """Return when the scheduler knows so many workers."""
        from distributed import Client

        with Client(self.address, set_as_default=False) as client:
            client.wait_for_workers(n, timeout=60)

    def _start(
        self, kind: str, *arguments: str, environment: Mapping[str, str] | None = None
    ) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            [sys.executable, "-m", f"distributed.cli.dask_{kind}", *arguments],
            cwd=self._folder,
            env={**os.environ, **(environment or {})},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )

    def close(self) -> None:
        for one in (*self.workers, self.scheduler):
            one.kill()
            one.wait()


@pytest.fixture
def remote_cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., RemoteCluster]]:
    """Start a Dask cluster that is not the driver's."""
    started: list[RemoteCluster] = []

    def start(n_workers: int = 0, **options: Any) -> RemoteCluster:
        started.append(RemoteCluster(tmp_path_factory.mktemp("cluster")))
        for _ in range(n_workers):
            started[-1].add_worker(**options)
        return started[-1]

    yield start
    for one in started:
        one.close()
