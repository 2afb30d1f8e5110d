"""What happens in a worker: it says what it is, loads the kernels, and runs bundles of slices.

Everything that travels is bytes: pickled here and by the driver, so that Dask need not look into it. Imports nothing of
Dask.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import os
import pickle
import platform
import threading
import time
from collections import defaultdict
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TypeAlias

from threadpoolctl import threadpool_limits

import freewalk
from freewalk.harness.cluster.same_data import TaskData, refuse_other_sources
from freewalk.harness.cluster.waiting import Piece
from freewalk.harness.engine.slices import Slice, run_slice
from freewalk.harness.methods.problem import resolve_problem
from freewalk.harness.plan.budget import Budget
from freewalk.harness.plan.plan import Cell
from freewalk.harness.plan.plugins import load_plugins
from freewalk.harness.trial.events import Failed
from freewalk.kernels.backend import Backend, BackendName, resolve_backend
from freewalk.tasks.registry import TASKS

_PACKAGES = ("numba", "numpy")

_checks: dict[str, int] = {}
_stops: defaultdict[str, threading.Event] = defaultdict(threading.Event)
_one_at_a_time_on_the_gpu = threading.Lock()


@dataclass(frozen=True)
class Facts:
    """What a worker is."""

    version: str
    """Of freewalk."""
    source: str
    """Hash of freewalk's Python files: versions of a checkout do not change with its code."""
    packages: dict[str, str]
    """Versions that may change the last bits of results: Python's, Numba's, NumPy's."""
    host: str
    pid: int
    backend: Backend
    """What `auto` takes here; it has the facts of the GPU, but computes nothing."""

    @property
    def has_gpu(self) -> bool:
        """Whether there is a GPU that the kernels can use."""
        return self.backend.name == "cuda"


@dataclass(frozen=True)
class Outcome:
    """What came of a bundle."""

    slices: tuple[Slice | None, ...]
    """One for each work of the bundle; None for those that were not begun."""
    seconds: float
    """The worker's time for all of them."""


@dataclass(frozen=True)
class Kind:
    """One of the kinds of trials that a worker prepares for."""

    backend: BackendName
    cell: Cell
    data: TaskData
    """The driver's."""


Job: TypeAlias = tuple[tuple[Piece, ...], Budget, float, str, str]
"""Works, the sweep's budget, seconds for all of the works, and the names of the sweep, which can stop them, and of the
flight that brought them."""


def facts() -> Facts:
    """Return what this process is; also asked of the driver, which compares."""
    auto = resolve_backend("auto")
    versions = {"Python": platform.python_version(), **{name: importlib.metadata.version(name) for name in _PACKAGES}}
    return Facts(
        version=freewalk.__version__,
        source=fingerprint(),
        packages=versions,
        host=platform.node(),
        pid=os.getpid(),
        backend=Backend(**{field.name: getattr(auto, field.name) for field in fields(Backend)}),
    )


def fingerprint() -> str:
    """Return a short hash of freewalk's Python files, wherever they lie."""
    digest = hashlib.sha256()
    for room in ("kernels", "tasks", "results", "harness"):
        folder = Path(freewalk.__path__[0]) / room
        for path in sorted(folder.resolve().rglob("*.py")):
            digest.update(path.relative_to(folder.resolve()).as_posix().encode())
            digest.update(path.read_bytes())
    return digest.hexdigest()[:12]


def prepare(payload: bytes) -> float:
    """Load plug-ins, and compile the kernels of some cells or load them from the cache; return the seconds.

    Data must be the driver's. NumPy's matrix products keep to the thread that asks for them from here on: a worker runs
    as many slices at once as it has Dask threads.

    Raises
    ------
    UsageError
        If a plug-in or the data of a task are missing or others.
    """
    plugins, kinds = pickle.loads(payload)
    start = time.perf_counter()
    load_plugins(plugins)
    for kind in kinds:
        TaskData.of(kind.cell).refuse_others(kind.data)
    threadpool_limits(limits=1, user_api="blas")
    for kind in kinds:
        problem = resolve_problem(kind.cell.task, kind.cell.method, kind.cell.parameters)
        problem.warm_up(resolve_backend(kind.backend))
        problem.data()
    return time.perf_counter() - start


def run(payload: bytes) -> bytes:
    """Run the works of a pickled `Job` one after another until its time is over; return a pickled `Outcome`.

    At least one slice is run. An error that a slice does not turn into events itself fails the trials of its work.

    Raises
    ------
    UsageError
        If the data have changed since the worker was prepared.
    """
    job: Job = pickle.loads(payload)
    pieces, budget, seconds, session, flight = job
    stop = _stops[session]
    start = time.perf_counter()
    slices: list[Slice | None] = []

    def checked() -> None:
        _checks[flight] = _checks.get(flight, 0) + 1

    try:
        for piece in pieces:
            checked()
            _refuse_changed_data(piece)
            left = seconds - (time.perf_counter() - start)
            over = slices and (left <= 0 or stop.is_set())
            slices.append(None if over else _run_one(piece, budget, left, stop, checked))
    finally:
        _checks.pop(flight, None)
    return pickle.dumps(Outcome(tuple(slices), time.perf_counter() - start))


def _refuse_changed_data(piece: Piece) -> None:
    if piece.sources:
        cell = piece.work.trials[0].cell
        refuse_other_sources(cell.task, TASKS[cell.task].problem(cell.parameters).sources, piece.sources)


def _run_one(piece: Piece, budget: Budget, seconds: float, stop: threading.Event, checked: Callable[[], None]) -> Slice:
    try:
        with _one_at_a_time_on_the_gpu if piece.on_gpu else nullcontext():
            return run_slice(piece.work, budget, piece.backend, seconds, stop, checked)
    except Exception as error:
        return Slice(tuple(Failed.of(trial, error) for trial in piece.work.trials), (), 0.0)


def pulse() -> dict[str, int]:
    """Return how often the flights that run here have checked whether they are to stop, by name."""
    return dict(_checks)


def stop(session: str) -> None:
    """Let the running slices of a sweep end at their next check."""
    _stops[session].set()
