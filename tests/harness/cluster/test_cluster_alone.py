"""Other users of the machine are kept out of a sweep on worker processes."""

import datetime
import os
import signal
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from commanded import Process
from disturbed import assert_same_tables, states

import freewalk
from freewalk.harness.cluster.keys import Keys

pytest.importorskip("distributed", reason="needs Dask: pip install 'freewalk[cluster]'")
x509 = pytest.importorskip("cryptography.x509", reason="needs cryptography: pip install 'freewalk[cluster]'")
psutil = pytest.importorskip("psutil")  # Dask stands on it

Harness = Callable[..., Any]

STRANGER = """
import asyncio, os, socket, ssl, sys
from concurrent.futures import ThreadPoolExecutor
from distributed import Scheduler
from distributed.core import rpc
from distributed.security import Security

def raw(port, message):
    with socket.create_connection(("127.0.0.1", port), timeout=5) as connection:
        connection.sendall(message)
        answer = b""
        try:
            while more := connection.recv(4096):
                answer += more
        except OSError:
            pass
    # at most an alert of TLS, or a page that is not there
    assert len(answer) < 10 or answer.startswith(b"HTTP/1.1 404"), answer

def with_context(keys=None, trusts_anybody=True):
    context = keys.get_connection_args("client")["ssl_context"] if keys else ssl.create_default_context()
    if trusts_anybody:
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return {"connection_args": {"ssl_context": context, "require_encryption": True}}

async def ask(address, **options):
    async with rpc(address, timeout=5, **options) as somebody:
        return await asyncio.wait_for(somebody.identity(), 5)

def is_refused(call):
    try:
        found = call()
    except Exception as error:
        return True
    return found is None  # of raw bytes

async def tries_succeed_where_nothing_is_refused():
    options = {"host": "127.0.0.1", "port": 0, "dashboard": False, "dashboard_address": "127.0.0.1:0"}
    async with Scheduler(**options) as scheduler:
        assert await ask(scheduler.address)
    async with Scheduler(**options, protocol="tls://", security=other) as scheduler:
        for trusts_anybody in (True, False):
            assert await ask(scheduler.address, **with_context(other, trusts_anybody))

other = Security.temporary()
if os.getuid() == 0:
    os.setgroups([])
    os.setgid(65534)
    os.setuid(65534)
asyncio.run(tries_succeed_where_nothing_is_refused())

def try_all(port):
    ways = {
        "raw HTTP": lambda: raw(port, b"GET /info/main/workers.html HTTP/1.0\\r\\n\\r\\n"),
        "raw bytes": lambda: raw(port, bytes(8) + b"hello" * 100),
        "tcp": lambda: asyncio.run(ask(f"tcp://127.0.0.1:{port}")),
        "tls without a certificate": lambda: asyncio.run(ask(f"tls://127.0.0.1:{port}", **with_context())),
        "tls with another certificate": lambda: asyncio.run(ask(f"tls://127.0.0.1:{port}", **with_context(other))),
        "tls, both trusting the other certificate alone": lambda: asyncio.run(
            ask(f"tls://127.0.0.1:{port}", **with_context(other, trusts_anybody=False))
        ),
    }
    return [f"{name}: {'refused' if is_refused(call) else 'LET IN'}" for name, call in ways.items()]

ports = list(map(int, sys.argv[1:]))
with ThreadPoolExecutor(len(ports) or 1) as pool:
    print(*sum(pool.map(try_all, ports), []), sep="\\n")
"""
N_WAYS = 6

SLEEPS = """
import time
from pydantic import BaseModel
from freewalk.methods import ArrayTrainer, OwnMethod

class Parameters(BaseModel):
    pass

class Sleeps(ArrayTrainer):
    def take_step(self):
        time.sleep(0.05)
        return 0.25

SLEEPS = OwnMethod("sleeps", "takes its time", Sleeps, lambda parameters, batch, n: batch, Parameters)
"""


def run_as_stranger(*arguments: object) -> str:
    """Run the script: as nobody where root tests, else as whoever tests, who has no key either."""
    command = [sys.executable, "-c", STRANGER, *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=180, cwd="/")
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture
def running(tmp_path: Path) -> Iterator[Process]:
    """A sweep on two worker processes that takes longer than the test, and leaves it the processor."""
    (tmp_path / "sleeps.py").write_text(SLEEPS)
    method = ("--plugin", "sleeps.py", "--method", "sleeps", "--task", "xor")
    long = ("sweep", *method, "--epochs", 100_000, "--workers", 2, "--out", "out")
    one = Process(long, tmp_path, {})
    assert "cluster of 2 workers" in one.wait_for_line()
    yield one
    one.send(signal.SIGTERM)
    assert one.finish().code == 130


def processes_of(running: Process) -> list[Any]:
    driver = psutil.Process(running.pid)
    return [driver, *driver.children()]


def ports_of(process: Any) -> list[int]:
    listening = [one for one in process.net_connections("inet") if one.status == psutil.CONN_LISTEN]
    assert {one.laddr.ip for one in listening} == {"127.0.0.1"}
    return [one.laddr.port for one in listening]


def test_everybody_else_is_refused_and_finds_no_keys(running: Process) -> None:
    ports = [port for process in processes_of(running) for port in ports_of(process)]
    assert len(ports) >= 3
    said = run_as_stranger(*ports).splitlines()
    assert len(said) == N_WAYS * len(ports)
    assert not [line for line in said if not line.endswith(": refused")]
    assert_no_keys_in_files_command_lines_and_environments(running)


def assert_no_keys_in_files_command_lines_and_environments(running: Process) -> None:
    _, *workers = processes_of(running)
    (folder,) = {Path(worker.cmdline()[-1]).parent for worker in workers}
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    files = [path for path in folder.rglob("*") if path.is_file()]
    texts = [path.read_text(errors="replace") for path in files]
    texts += [f"{worker.cmdline()} {worker.environ()}" for worker in workers]
    assert not [text for text in texts if "-----BEGIN" in text]
    assert all(text.startswith("-----BEGIN") for text in (Keys.new().key, Keys.new().certificate)), "looked for"


def test_each_sweep_has_keys_of_its_own_that_hold_at_any_time() -> None:
    one, other = Keys.new(), Keys.new()
    assert one.key != other.key
    assert Keys.from_line(one.to_line()) == one
    assert one.key not in repr(one)
    found = x509.load_pem_x509_certificate(one.certificate.encode())
    years = [getattr(found, f"not_valid_{side}_utc").year for side in ("before", "after")]
    assert years[0] < 2000 < datetime.date.today().year + 50 < years[1], "a clock may be set while a sweep runs"


@pytest.mark.slow
@pytest.mark.parametrize(
    "settings",
    [
        {"TLS__CA_FILE": "/no/ca.pem", "TLS__WORKER__CERT": "/no/cert.pem", "TLS__CIPHERS": "none-such"}
        | {"DEFAULT_SCHEME": "tls", "REQUIRE_ENCRYPTION": "True"},
        {"TLS__MAX_VERSION": "1.2", "DEFAULT_SCHEME": "tcp", "REQUIRE_ENCRYPTION": "False"},
    ],
    ids=["tls, and files that are not there", "old versions"],
)
def test_a_users_own_settings_of_dask_change_nothing(
    process: Callable[..., Process], tmp_path: Path, tiny: tuple[str, ...], settings: dict[str, str]
) -> None:
    own = {f"DASK_DISTRIBUTED__COMM__{name}": value for name, value in settings.items()}
    running = process("sweep", *tiny, "--workers", 1, "--quiet", "--out", "out", environment=own)
    found = running.finish(120)
    assert (found.code, found.err) == (0, "")
    specs = ["stddev=0.1,0.5", "batch_size=16", "hidden=4", "timesteps=2", "update=normalised", "optimizer=momentum"]
    budget = {"epochs": 4, "steps_per_epoch": 5, "evaluation_points": 64}
    freewalk.sweep(specs, task=["xor", "sign"], seeds="0:2", **budget, out=tmp_path / "threads")
    assert_same_tables(tmp_path / "out", tmp_path / "threads")


def test_workers_take_nothing_from_the_present_folder_and_dasks_settings(tmp_path: Path, tiny: tuple[str, ...]) -> None:
    """Anybody may have put a file there; `harness` itself does not look. The settings are a user's own."""
    own = {"DEFAULT_SCHEME": "tls", "REQUIRE_ENCRYPTION": "True", "TLS__CA_FILE": "/no/ca.pem"}
    (tmp_path / "cryptography.py").write_text("open('planted', 'w')\n")
    (tmp_path / "dask.py").write_text("open('planted', 'w')\n")
    command = [sys.executable, "-P", "-c", "from freewalk.harness.cli import main; main()"]
    done = subprocess.run(
        [*command, "sweep", *tiny, "--workers", "1", "--quiet", "--out", "out"],
        cwd=tmp_path,
        env={**os.environ, **{f"DASK_DISTRIBUTED__COMM__{name}": value for name, value in own.items()}},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    assert not (tmp_path / "planted").exists()


def test_without_cryptography_the_error_names_what_to_install(
    refused: Callable[..., str], tiny: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    import importlib.util

    find_spec = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name, *a: None if name == "cryptography" else find_spec(name, *a)
    )
    line = refused("sweep", *tiny, "--workers", 2, "--out", "out")
    assert line == "--workers needs cryptography, which keeps other users of this machine out: pip install cryptography"


def test_a_cluster_with_certificates_of_its_own(
    process: Callable[..., Process],
    tmp_path: Path,
    tiny: tuple[str, ...],
    remote_cluster: Callable[..., Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    keys = Keys.new()
    for name, text in (("crt", keys.certificate), ("key", keys.key)):
        (tmp_path / f"cluster.{name}").write_text(text)
    comm = "DASK_DISTRIBUTED__COMM__"
    monkeypatch.setenv(f"{comm}TLS__CA_FILE", str(tmp_path / "cluster.crt"))
    for role in ("SCHEDULER", "WORKER", "CLIENT"):
        monkeypatch.setenv(f"{comm}TLS__{role}__CERT", str(tmp_path / "cluster.crt"))
        monkeypatch.setenv(f"{comm}TLS__{role}__KEY", str(tmp_path / "cluster.key"))
    monkeypatch.setenv(f"{comm}REQUIRE_ENCRYPTION", "True")
    monkeypatch.setenv(f"{comm}DEFAULT_SCHEME", "tls")
    cluster = remote_cluster(n_workers=1)
    assert cluster.address.startswith("tls://")
    found = process("sweep", *tiny, "--cluster", cluster.file, "--quiet", "--out", "out").finish(120)
    assert (found.code, found.err) == (0, "")
    assert states(tmp_path / "out") == {"complete": 8}
    for name in ("CERT", "KEY"):
        monkeypatch.delenv(f"{comm}TLS__CLIENT__{name}")
    found = process("sweep", *tiny, "--cluster", cluster.address, "--out", "refused").finish(120)
    assert found.code == 2
    assert found.err.count("\n") == 1
    assert "; for tls:// Dask's settings name the certificates); start one with" in found.err
