"""What the comparisons share: processes, contests, and what their JSON says of the machine."""

from __future__ import annotations

import importlib.metadata
import os
import shlex
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import pytest

from benchmarks.contest import Contest, Outcome
from benchmarks.implementations import IMPLEMENTATIONS
from benchmarks.peers.peer import Device
from freewalk.harness.base.environment import environment
from freewalk.harness.bench import Effort, Workload
from freewalk.kernels.backend import resolve_backend

_LOAD = os.getloadavg()[0]
_OTHER_NAMES = {"cupy": ("cupy-cuda13x", "cupy-cuda12x"), "tensorflow": ("tensorflow-cpu",)}
"""Distributions that hold a package of another name."""
Outcomes = Callable[[Device, Workload, str], Outcome]


@pytest.fixture(scope="session")
def outcome_of(request: pytest.FixtureRequest) -> Iterator[Outcomes]:
    """Return what an implementation took; the first that asks lets all that were chosen take their turns."""
    contest, found = Contest(), {}
    most = float(request.config.getoption("benchmark_max_time"))

    def outcome(device: Device, workload: Workload, name: str) -> Outcome:
        if (device, workload) not in found:
            chosen = [
                item.callspec.params["name"]
                for item in request.session.items
                if hasattr(item, "callspec") and item.callspec.params.get("contest") == (device, workload)
            ]
            found[device, workload] = contest.run(device, workload, chosen, Effort(min(0.1, most / 3), 11, most))
        outcomes: Mapping[str, Outcome] = found[device, workload]
        return outcomes[name]

    yield outcome
    contest.close()


def _version(package: str) -> str | None:
    for name in (package, *_OTHER_NAMES.get(package, ())):
        try:
            return importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return None


def pytest_benchmark_update_json(config: Any, benchmarks: Any, output_json: dict[str, Any]) -> None:
    """Add what decides speed to the JSON."""
    packages = dict.fromkeys(entry.package for entry in IMPLEMENTATIONS.values() if entry.kind == "peer")
    output_json["freewalk"] = {
        **environment(resolve_backend("auto")),
        "peers": {package: _version(package) for package in packages},
        "load_before": _LOAD,
        "command": shlex.join(["pytest", *map(str, config.invocation_params.args)]),
    }
