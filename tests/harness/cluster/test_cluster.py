"""Sweeps on Dask workers: the same tables as on threads, who takes part, and what is refused."""

import gc
import importlib.util
import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pandas as pd
import pytest
from disturbed import assert_same_tables, states, tables

import freewalk
from freewalk.harness import cli
from freewalk.kernels.backend import resolve_backend
from freewalk.results.files.export import read_csv

pytest.importorskip("distributed", reason="needs Dask: pip install dask distributed")
from freewalk.harness.cluster import connection, members, remote, waiting
from freewalk.harness.cluster.connection import Cluster

Harness = Callable[..., Any]
Refused = Callable[..., str]
Start = Callable[..., Any]

EVERY_METHOD = {
    "grid": ["architecture=2-3-1", "batch_size=8", "learning_rate=0.1"],
    "task": "xor",
    "method": ["walk", "backprop", "numerical", "synthetic"],
    "seeds": "0:3",
    "epochs": 3,
    "steps_per_epoch": 20,
    "evaluation_points": 16,
}


def test_every_method_gives_the_tables_that_threads_give(tmp_path: Path) -> None:
    freewalk.sweep(**EVERY_METHOD, out=tmp_path / "threads")
    found = freewalk.sweep(**EVERY_METHOD, out=tmp_path / "workers", workers=2)
    assert_same_tables(tmp_path / "workers", tmp_path / "threads")
    assert (found.trials["compile_seconds"].fillna(0) > 0).any(), "workers loaded kernels"
    assert (found.trials["peak_memory_mb"] > 10).all()


def test_two_hundred_trials_of_milliseconds(harness: Harness, tmp_path: Path, tiny: tuple[str, ...]) -> None:
    many = tuple("0:50" if word == "0:2" else word for word in tiny)
    assert harness("sweep", *many, "--quiet", "--out", "threads").code == 0
    result = harness("sweep", *many, "--workers", 2, "--out", "workers")
    assert result.code == 0
    assert_same_tables(tmp_path / "workers", tmp_path / "threads")
    assert len(tables(tmp_path / "workers")["trials"]) == 200
    lines = result.err.splitlines()
    assert lines[0].startswith("harness: cluster of 2 workers, 2 threads, ready after ")
    (costs,) = [line for line in lines if line.startswith("harness: cluster: ")]
    n_slices, n_journeys = (int(costs.split()[k]) for k in (2, 4))
    assert n_journeys <= n_slices, "works of milliseconds travel together"
    assert not any("distributed" in line or "Traceback" in line for line in lines), "Dask keeps quiet"
    assert lines[-1].startswith("200/200 trials")


def test_quiet_is_quiet_and_json_is_json(harness: Harness, tiny: tuple[str, ...]) -> None:
    result = harness("sweep", *tiny, "--workers", 1, "--quiet", "--json", "--out", "out")
    assert (result.code, result.err) == (0, "")
    assert json.loads(result.out)["states"] == {"complete": 8}


def test_a_finished_sweep_starts_no_workers(
    harness: Harness, tiny: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert harness("sweep", *tiny, "--out", "out").code == 0
    monkeypatch.setattr(Cluster, "__enter__", lambda self: pytest.fail("started"))
    result = harness("sweep", *tiny, "--workers", 2, "--out", "out")
    assert result.code == 0
    assert "8 of them done before" in result.err


def test_a_worker_process_has_one_thread_of_each_kind() -> None:
    def numbers_of_threads() -> dict[str, Any]:
        import numba
        import scipy.linalg  # noqa: F401 - has a BLAS of its own
        from threadpoolctl import threadpool_info

        return {"numba": numba.config.NUMBA_NUM_THREADS, "pools": {pool["num_threads"] for pool in threadpool_info()}}

    with Cluster(n_workers=2) as cluster:

        async def ask() -> dict[str, dict[str, Any]]:
            found: dict[str, dict[str, Any]] = await cluster.client.run(numbers_of_threads)
            return found

        found = cluster.call(ask())
        assert len(found) == 2
        for numbers in found.values():
            assert numbers["numba"] == 1
            assert numbers["pools"] == {1}
        assert [member.threads for member in cluster.members.by_address.values()] == [1, 1]
        hosts = {(member.facts.pid, member.facts.version) for member in cluster.members.by_address.values()}
        assert len(hosts) == 2
        assert {version for _, version in hosts} == {freewalk.__version__}


# what is refused


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--workers", 0), "0 is not in the range x>=1"),
        (("--workers", 10**9), "a process takes 160 MB or more, this machine has "),
        (("--workers", "two"), "'two' is not a valid integer;"),
        (("--workers", 2, "--cluster", "tcp://a:1"), "--cluster and --workers exclude each other"),
        (("--cluster", " "), "--cluster '': the address is empty; give one such as tcp://host:8786"),
    ],
)
def test_mistakes_are_one_line(refused: Refused, tiny: tuple[str, ...], options: Any, message: str) -> None:
    assert message in refused("sweep", *tiny, *options, "--out", "out")


@pytest.mark.parametrize("address", ["tcp://127.0.0.1:1", "nonsense://x:1", "there is no such host", "missing.json"])
def test_an_address_without_a_scheduler_is_one_line(
    refused: Refused, tiny: tuple[str, ...], address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection, "CONNECT_SECONDS", 0.5)
    line = refused("sweep", *tiny, "--cluster", address, "--out", "out")
    assert line.startswith(f"--cluster {address}: no scheduler answers there (")
    assert line.endswith("start one with `dask scheduler`, and give the address that it prints")


def test_a_cluster_without_workers_is_one_line(
    refused: Refused, tiny: tuple[str, ...], remote_cluster: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection, "WORKERS_SECONDS", 1.0)
    cluster = remote_cluster()
    line = refused("sweep", *tiny, "--cluster", cluster.address, "--out", "out")
    assert line.startswith(f"--cluster {cluster.address}: the cluster has had no worker for 1 s; start some with")
    assert f"`dask worker {cluster.address}`" in line


def test_without_dask_the_error_names_what_to_install(
    refused: Refused, tiny: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    find_spec = importlib.util.find_spec
    missing = ("distributed", "dask")
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *a: None if name in missing else find_spec(name, *a))
    for option in (("--workers", 2), ("--cluster", "tcp://a:1")):
        line = refused("sweep", *tiny, *option, "--out", "out")
        assert line == f"{option[0]} needs Dask: pip install dask distributed"


def make_freewalk(folder: Path, version: str) -> dict[str, str]:
    """Write another freewalk; return the environment of a worker that finds it first."""
    (folder / "freewalk").mkdir(parents=True)
    (folder / "freewalk" / "__init__.py").write_text(f"__version__ = {version!r}\n")
    return {"PYTHONPATH": str(folder)}


@pytest.mark.parametrize(
    ("version", "message"),
    [
        ("0.0.9", f"it has freewalk 0.0.9, here is {freewalk.__version__}; install the same"),
        pytest.param(
            freewalk.__version__,
            f"its freewalk {freewalk.__version__} lacks freewalk.harness.cluster.remote; install the same as here",
            marks=pytest.mark.slow,
        ),
    ],
)
def test_a_worker_with_another_freewalk_is_refused_by_name(
    refused: Refused,
    harness: Harness,
    tiny: tuple[str, ...],
    tmp_path: Path,
    tmp_path_factory: pytest.TempPathFactory,
    remote_cluster: Callable[..., Any],
    version: str,
    message: str,
) -> None:
    other = make_freewalk(tmp_path_factory.mktemp("other"), version)
    cluster = remote_cluster(n_workers=1, environment=other)
    code = cli.run(["sweep", *tiny, "--cluster", cluster.address, "--out", str(tmp_path / "out")])
    assert code == 2
    assert not (tmp_path / "out").exists()
    cluster.add_worker()
    cluster.wait_for_workers(2)
    result = harness("sweep", *tiny, "--cluster", cluster.address, "--out", "out")
    assert result.code == 0, result.err
    (line,) = [line for line in result.err.splitlines() if "left out" in line]
    assert line.startswith("harness: worker tcp://127.0.0.1:")
    assert line.endswith(f" is left out: {message}")
    assert states(tmp_path / "out") == {"complete": 8}


def test_a_worker_with_other_source_files_is_refused(
    harness: Harness, tiny: tuple[str, ...], remote_cluster: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    cluster = remote_cluster(n_workers=1)
    monkeypatch.setattr(remote, "fingerprint", lambda: "ours")
    result = harness("sweep", *tiny, "--cluster", cluster.address, "--out", "out")
    assert result.code == 2
    assert result.err.splitlines()[-1].startswith(
        f"harness: error: --cluster {cluster.address}: no worker can take part"
    )
    assert "has other source files (" in result.err
    assert ", here ours); install the same and start the worker again" in result.err


# errors on workers

BROKEN = """
import os
import freewalk.kernels.backend as backend

make_walk = backend.Backend.make_walk
make_pack = type(backend.resolve_backend("cpu")).make_pack

def broken(self, *arguments, **options):
    if options["seed"] == 1:
        {what}
    return make_walk(self, *arguments, **options)

def broken_batch(self, network, data, trials, **options):
    if trials[0].seed == 1:
        {what}
    return make_pack(self, network, data, trials, **options)

backend.Backend.make_walk = broken
type(backend.resolve_backend("cpu")).make_pack = broken_batch
"""


@pytest.mark.parametrize(
    ("what", "error"),
    [
        ("raise MemoryError('no room')", "MemoryError: no room"),
        ("os._exit(3)", "WorkerLost: workers died one after another while they had this trial"),
    ],
    ids=["error", "death"],
)
def test_a_trial_that_fails_or_kills_fails_alone(
    harness: Harness,
    tiny: tuple[str, ...],
    tmp_path: Path,
    tmp_path_factory: pytest.TempPathFactory,
    monkeypatch: pytest.MonkeyPatch,
    what: str,
    error: str,
) -> None:
    home = tmp_path_factory.mktemp("broken")
    (home / "sitecustomize.py").write_text(BROKEN.format(what=what))
    monkeypatch.setattr(waiting, "_MOST_DEATHS", 3)
    monkeypatch.setenv("PYTHONPATH", str(home))
    tiny = tiny[2:]  # one task
    result = harness("sweep", *tiny, "--workers", 2, "--out", "out")
    assert result.code == 1, result.err
    trials = read_csv(tmp_path / "out" / "trials.csv")
    failed = trials[trials["state"] == "failed"]
    assert failed["seed"].tolist() == [1, 1]
    assert failed["error"].str.startswith(error).all()
    assert (trials["state"] == "complete").sum() == 2
    monkeypatch.delenv("PYTHONPATH")
    assert harness("sweep", *tiny, "--retry-failed", "--quiet", "--workers", 1, "--out", "out").code == 0
    assert harness("sweep", *tiny, "--quiet", "--out", "fresh").code == 0
    assert_same_tables(tmp_path / "out", tmp_path / "fresh")


def test_worker_processes_that_cannot_start_are_one_line(
    harness: Harness, tiny: tuple[str, ...], tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = tmp_path_factory.mktemp("broken")
    (home / "sitecustomize.py").write_text("import os\nos.write(2, b'no such luck\\n')\nos._exit(7)\n")
    monkeypatch.setenv("PYTHONPATH", str(home))
    result = harness("sweep", *tiny, "--workers", 2, "--out", "out")
    assert result.code == 2
    said = "harness: error: --workers: the worker processes end as they start: no such luck"
    assert result.err.splitlines()[-1] == said


# workers with a GPU, which Numba's simulator plays


@pytest.fixture
def simulated(monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    # the simulator's hundreds of threads share Python's lock with what answers, which has to wait for all of them
    monkeypatch.setattr(members, "SILENT_SECONDS", 600.0)
    pytest.importorskip("numba_cuda", reason="needs numba-cuda: pip install 'numba-cuda[cu13]'")
    return {"NUMBA_ENABLE_CUDASIM": "1"}


MIXED = (
    *("--task", "xor", "--method", "walk", "--method", "backprop", "--seeds", "0:2", "--epochs", "2"),
    *("--steps-per-epoch", "2", "--grid", "batch_size=4", "--grid", "hidden=2", "--grid", "timesteps=2"),
    *("--grid", "learning_rate=0.1", "--evaluation-points", "4"),
)


def test_the_walk_goes_to_gpu_workers_and_all_else_to_processors(
    harness: Harness, tmp_path: Path, remote_cluster: Callable[..., Any], simulated: dict[str, str]
) -> None:
    cluster = remote_cluster(n_workers=1)
    cluster.add_worker(environment=simulated)
    cluster.wait_for_workers(2)
    for choice in ("auto", "cpu"):
        result = harness("sweep", *MIXED, "--backend", choice, "--cluster", cluster.address, "--out", choice)
        assert result.code == 0, result.err
    assert "cluster of 2 workers, 2 threads, 1 GPU" in result.err
    found = {choice: read_csv(tmp_path / choice / "trials.csv") for choice in ("auto", "cpu")}
    by_method = found["auto"].groupby("method")["backend"].unique()
    assert list(by_method["walk"]) == ["cuda"]
    assert list(by_method["backprop"]) == ["cpu"]
    walks = found["auto"]["method"] == "walk"
    assert set(found["auto"]["device"][walks]) == {"CUDA simulator"}
    assert set(found["cpu"]["backend"]) == {"cpu"}
    pd.testing.assert_series_equal(
        found["auto"]["loss_final"][~walks], found["cpu"]["loss_final"][~walks], check_exact=True
    )


@pytest.mark.skipif(resolve_backend("auto").name == "cuda", reason="this machine has a GPU")
def test_a_demanded_gpu_that_is_not_there_is_one_line(harness: Harness, tiny: tuple[str, ...]) -> None:
    result = harness("sweep", *tiny, "--backend", "cuda", "--workers", 1, "--out", "out")
    assert result.code == 2
    assert result.err.splitlines()[-1].startswith("harness: error: --backend cuda: no worker has a GPU: ")


def test_what_nobody_asked_a_future_is_not_said_after_the_end(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Dask leaves futures that failed, and the interpreter finds them when the sweep's last line is out."""
    left = []

    async def fail(self: Cluster) -> None:
        self.members = SimpleNamespace(by_address={})  # type: ignore[assignment]
        left.append(self.loop.create_future())
        left[0].set_exception(TimeoutError("Timeout"))

    monkeypatch.setattr(Cluster, "_open", fail)
    with Cluster("tcp://127.0.0.1:1"):
        pass
    left.clear()
    gc.collect()
    assert not caplog.records
