"""Print what a session's files say: `summary.py checks CORRECTNESS.csv`, or `summary.py sweeps GPU_DIR CPU_DIR`."""

# ruff: noqa: T201
from __future__ import annotations

import csv
import sys
from collections import Counter
from pathlib import Path

import pandas as pd


def checks(path: str) -> None:
    """Print how many checks are green, and those that are red."""
    with Path(path).open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    print("checks:", dict(Counter(row["verdict"] for row in rows)))
    for row in rows:
        if row["verdict"] == "red":
            print(f"RED {row['check']}: {row['case']}: {row['measured']} of {row['allowed']}: {row['note'][:150]}")


def sweeps(gpu: str, cpu: str) -> None:
    """Print how many trials of two sweeps have one outcome, and their seconds."""
    tables = {name: pd.read_csv(Path(folder) / "trials.csv") for name, folder in (("GPU", gpu), ("processor", cpu))}
    both = tables["GPU"].merge(tables["processor"], on="trial_id", suffixes=("_gpu", "_cpu"))
    print(f"{len(both)} trials on both, {(both['outcome_gpu'] == both['outcome_cpu']).sum()} with one outcome")
    for name, table in tables.items():
        spent = ", ".join(f"{column} {table[column].sum():.2f}" for column in ("train_seconds", "compile_seconds"))
        print(f"{name}: {len(table)} trials, backends {dict(Counter(table['backend']))}, {spent}")


SUMMARIES = {"checks": checks, "sweeps": sweeps}

if __name__ == "__main__":
    SUMMARIES[sys.argv[1]](*sys.argv[2:])
