"""Print what the sweeps of a session say: `summary.py GPU_DIR CPU_DIR`."""

# ruff: noqa: T201
from __future__ import annotations

import sys
from collections import Counter
from pathlib import Path

import pandas as pd


def sweeps(gpu: str, cpu: str) -> None:
    """Print how many trials of two sweeps have one outcome, and their seconds."""
    tables = {name: pd.read_csv(Path(folder) / "trials.csv") for name, folder in (("GPU", gpu), ("processor", cpu))}
    both = tables["GPU"].merge(tables["processor"], on="trial_id", suffixes=("_gpu", "_cpu"))
    print(f"{len(both)} trials on both, {(both['outcome_gpu'] == both['outcome_cpu']).sum()} with one outcome")
    for name, table in tables.items():
        spent = ", ".join(f"{column} {table[column].sum():.2f}" for column in ("train_seconds", "compile_seconds"))
        print(f"{name}: {len(table)} trials, backends {dict(Counter(table['backend']))}, {spent}")


if __name__ == "__main__":
    sweeps(*sys.argv[1:])
