"""A step takes the same by a plain loop, by `harness bench` and by pytest-benchmark, in the processor's own time."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from benchmarks import agreement

# what else the machine does is not in a thread's own time
CLOCK = "import time\ntime.perf_counter = time.thread_time\n"


@pytest.mark.slow
def test_one_truth(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Within a quarter, as neighbours take the cache; `python -m benchmarks.agreement` is for a quiet machine."""
    (tmp_path / "sitecustomize.py").write_text(CLOCK)
    folders = [str(tmp_path), str(Path(__file__).parents[2]), os.environ.get("PYTHONPATH", "")]
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, folders)))
    monkeypatch.setenv("NUMBA_NUM_THREADS", "1")
    found = {name: measure(1) for name, measure in agreement.WAYS.items()}
    print(found)  # noqa: T201
    for seconds in found.values():
        assert seconds["default"] == pytest.approx(found["plain loop"]["default"], rel=0.25), found
