"""How fast are perturbations other than the plain ones? A table of steps, the plain step of each shape first.

    python tests/gpu_session/perturbations.py                          every row that time is left for, then all of it
    python tests/gpu_session/perturbations.py --row NAME --profile     its launches and nothing else, for ncu

$OUT/perturbations.json is written after every row. In Numba's simulator everything is tiny and the times mean nothing.
"""

# ruff: noqa: T201
from __future__ import annotations

import argparse
import json
import os
import time
from pathlib import Path
from typing import Any

SIMULATED = os.environ.get("NUMBA_ENABLE_CUDASIM", "0") == "1"
SECONDS_OF_A_ROUND = 0.2
ROUNDS = 5
RANK_1 = {"rank": 1}
SIGNS = {"rank": 1, "noise": "rademacher"}
EGGROLL = {"rank": 1, "share_data": True, "datapoints": 4, "sides": "two", "shaping": "ranks"}
NORMALISED = {"update": "normalised", "optimizer": "momentum", "learning_rate": 0.3}
ROWS: dict[str, tuple[dict[str, int], dict[str, Any]]] = {
    "hidden 30: plain": ({}, {}),
    "hidden 30: rank 1": ({}, RANK_1),
    "hidden 30: rank 1, signs": ({}, SIGNS),
    "hidden 254: plain": ({"hidden": 254}, {}),
    "hidden 254: rank 1": ({"hidden": 254}, RANK_1),
    "hidden 254: rank 1, signs": ({"hidden": 254}, SIGNS),
    "hidden 1022: rank 1, signs": ({"hidden": 1022}, SIGNS),
    "hidden 254: rank 1, signs, B 10,000": ({"hidden": 254, "batch_size": 10_000}, SIGNS),
    "hidden 254: 8 datapoints": ({"hidden": 254}, {"datapoints": 8}),
    "hidden 30, 132 trials: plain": ({"n_trials": 132}, {}),
    "hidden 30, 132 trials: rank 1, signs": ({"n_trials": 132}, SIGNS),
    "hidden 30: rank 1, shared data, two sides, ranks": ({}, EGGROLL),
    "hidden 254: orthogonal, rank 1": ({"hidden": 254}, {**RANK_1, "directions": "orthogonal"}),
    "hidden 254: orthogonal": ({"hidden": 254}, {"directions": "orthogonal"}),
    "hidden 254: one perturbation a step": ({"hidden": 254}, {"datapoints": 1000}),
    "T 100: rank 1, signs": ({"timesteps": 100}, SIGNS),
    "hidden 30: rank 1, signs, B 100,000": ({"batch_size": 100_000}, SIGNS),
    "hidden 1022: plain": ({"hidden": 1022}, {}),
}
"""The most telling first: each row is a shape, and what its perturbations are."""


def make(name: str) -> Any:
    """Return the trials of a row on the device."""
    from dataclasses import replace

    from freewalk.harness.bench import PROBLEM, Workload
    from freewalk.kernels.cuda.trials import DeviceTrials
    from freewalk.kernels.model.pack import PackTrial
    from freewalk.kernels.model.walk import Data

    shape, perturbations = ROWS[name]
    if SIMULATED:
        shape = {"hidden": 2, "batch_size": 8, "timesteps": 2, "n_trials": min(2, shape.get("n_trials", 1))}
        perturbations = perturbations | ({"datapoints": 8} if perturbations.get("datapoints", 0) > 8 else {})
    workload = Workload(**shape)  # type: ignore[arg-type]
    configuration = replace(workload.configuration, **NORMALISED, **perturbations)
    data = Data(0, PROBLEM.argument, PROBLEM.datapoint) if SIMULATED else PROBLEM.data()
    trials = [PackTrial(configuration, seed) for seed in range(workload.n_trials)]
    made = DeviceTrials(workload.network, data, trials, evaluation_points=10)
    made.compile(side_by_side=len(trials) > 1)
    return made


def train(made: Any, n_steps: int) -> tuple[float, float]:
    """Take steps of every trial; return the seconds that the GPU took, and those that passed here."""
    begin = time.perf_counter()
    if not made.spec.is_resident:
        made.train_in_turn(range(len(made.steps)), n_steps)
    elif len(made.steps) > 1:
        made.train_side_by_side(range(len(made.steps)), n_steps)
    else:
        made.train_across_the_gpu(n_steps)
    return float(made.kernel_seconds), time.perf_counter() - begin


def measure(name: str) -> dict[str, Any]:
    """Return what a step of all trials of a row takes: the median and the ends of a few rounds."""
    made = make(name)
    train(made, 1)
    n_steps = 1 if SIMULATED else max(2, min(2000, int(SECONDS_OF_A_ROUND / train(made, 2)[0] * 2)))
    found = sorted(train(made, n_steps) for _ in range(1 if SIMULATED else ROUNDS))
    gpu, here = found[len(found) // 2]
    row = {"row": name, "steps": n_steps, "us": 1e6 * gpu / n_steps, "us_here": 1e6 * here / n_steps}
    row |= {"least_us": 1e6 * found[0][0] / n_steps, "most_us": 1e6 * found[-1][0] / n_steps}
    return row | {"compile_seconds": made.compile_seconds}


def make_parser() -> argparse.ArgumentParser:
    """Return the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--row", choices=ROWS, action="append", help="one of them; again for more", metavar="NAME")
    parser.add_argument("--profile", action="store_true", help="take three steps, measure nothing")
    parser.add_argument("--seconds", type=float, default=90.0, help="after which no new row begins")
    return parser


def main() -> None:
    """Run what is asked for."""
    given = make_parser().parse_args()
    rows, begin = [], time.perf_counter()
    path = Path(os.environ.get("OUT", ".")) / "perturbations.json"
    for name in given.row or ROWS:
        if given.profile:
            train(make(name), 3)
        elif time.perf_counter() - begin < given.seconds:
            row = measure(name)
            rows.append(row)
            path.write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")
            print(f"{row['us']:10.1f} us ({row['least_us']:.1f} to {row['most_us']:.1f})  {name}", flush=True)


if __name__ == "__main__":
    main()
