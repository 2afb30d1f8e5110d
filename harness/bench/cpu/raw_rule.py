"""How many steps the original rule needs: read from a sweep that really ran it.

`python -m freewalk.harness.bench.cpu.raw_rule DIR > docs/benchmarks/raw-rule.csv` keeps what of a sweep counts.
"""

from __future__ import annotations

import csv
import math
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from freewalk.harness.base.errors import UsageError
from freewalk.harness.bench.cpu.plan import TARGET
from freewalk.harness.bench.workloads import DEFAULT, TASK

COMMAND = "harness sweep --grid original --seeds 0:5 --out DIR"
COMMITTED = Path(__file__).resolve().parents[3] / "docs" / "benchmarks" / "raw-rule.csv"
"""Of a checkout; an installed copy has none."""
_WANTED: Mapping[str, object] = {
    "task": TASK,
    "method": "walk",
    "param_hidden": DEFAULT.hidden,
    "param_timesteps": DEFAULT.timesteps,
    "param_batch_size": DEFAULT.batch_size,
    "param_stddev": DEFAULT.stddev,
    "param_update": "raw",
    "target": TARGET,
}
_KEPT = ("seed", "backend", "outcome", "loss_final", "steps_to_target", "seconds_to_target")


@dataclass(frozen=True)
class RawRun:
    """Trials of the original rule that reached the target."""

    steps: float
    """To the target, median over trials."""
    seconds: float
    """Measured on freewalk's kernels, as recorded then."""
    trials: int
    source: str


def read_raw_run(given: str | None) -> RawRun | None:
    """Read a sweep's folder, a CSV file, or the one that is committed; None if nothing is given and none is there.

    Raises
    ------
    UsageError
        What is given holds no trial of the original rule that reached the target.
    """
    path = COMMITTED if given is None else Path(given)
    if given is None and not path.is_file():
        return None
    file = path / "trials.csv" if path.is_dir() else path
    if not file.is_file():
        raise UsageError(f"--raw-run {given}: has no trials.csv; make one: {COMMAND}")
    try:
        with file.open(newline="", encoding="utf-8") as stream:
            rows = [row for row in csv.DictReader(stream) if _fits(row) and row["steps_to_target"]]
    except (KeyError, UnicodeDecodeError, csv.Error) as error:
        raise UsageError(f"--raw-run {given}: {file.name} is no table of trials ({error})") from None
    if not rows:
        raise UsageError(f"--raw-run {given}: no trial of the original rule reached {TARGET:g}; make one: {COMMAND}")
    middle = sorted(rows, key=lambda row: float(row["steps_to_target"]))[(len(rows) - 1) // 2]
    return RawRun(float(middle["steps_to_target"]), float(middle["seconds_to_target"]), len(rows), str(file))


def _fits(row: Mapping[str, str]) -> bool:
    return all(_same(row[name], wanted) for name, wanted in _WANTED.items())


def _same(text: str, wanted: Any) -> bool:
    if isinstance(wanted, str):
        return text == wanted
    try:
        return math.isclose(float(text), float(wanted))
    except ValueError:
        return False


def extract(folder: Path) -> str:
    """Return the CSV to commit: what of a sweep's trials counts here."""
    with (folder / "trials.csv").open(newline="", encoding="utf-8") as stream:
        rows: Iterable[Mapping[str, str]] = [row for row in csv.DictReader(stream) if _fits(row)]
    names = [*_WANTED, *_KEPT]
    return "\n".join([",".join(names), *(",".join(row[name] for name in names) for row in rows)]) + "\n"


if __name__ == "__main__":
    sys.stdout.write(extract(Path(sys.argv[1])))
