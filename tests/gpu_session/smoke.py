"""Is the GPU right? Small trials on it against the float64 reference, each in a process of its own.

    python tests/gpu_session/smoke.py               every case, several at once, then a table
    python tests/gpu_session/smoke.py --case NAME   one case in this process, for compute-sanitizer and cuda-gdb

An illegal access, a hang or a lost process costs its own case. $OUT/smoke.json is written after every case. Exit codes:
0 all is well, 1 something is wrong. With NUMBA_ENABLE_CUDASIM=1 NUMBA_DISABLE_JIT=1 the same cases run in Numba's
simulator, a few datapoints each.
"""

# ruff: noqa: T201
from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "kernels"))
from cuda_simulation import CASES, FAMILY, Case, configuration_of, mask_of, network_of, uncompiled_data_of
from device_noise import ADDRESSES, HIDDEN, NORMAL_TOLERANCE, datapoints_from, noise_error

from freewalk.kernels.model.network import FreeNetwork
from freewalk.kernels.model.walk import Data, Evaluation
from freewalk.tasks.registry import TASKS

Result: TypeAlias = dict[str, Any]

SIMULATED = os.environ.get("NUMBA_ENABLE_CUDASIM", "0") == "1"
POINTS = 50 if not SIMULATED else 3
MORE_DATAPOINTS = 40 if not SIMULATED else 1
"""A GPU's trials have so many times the datapoints of the simulator's: several rounds of every block."""
SECONDS = 60.0 if not SIMULATED else 300.0
AT_ONCE = max(2, min(10, (os.cpu_count() or 2) - 2))
TOLERANCE = 1e-4
"""Of updates, relative to the largest, and of losses and measures; float32 leaves about 1e-6."""

SMALL: dict[str, tuple[Case, str]] = {
    f"{name}, {way}": (CASES[name], way)
    for name, way in (
        ("default", "across the GPU"),
        ("momentum", "side by side"),
        ("momentum", "step by step"),
        ("rademacher, two sides", "side by side"),
        ("rademacher, two sides", "in turn"),
        ("mask, tanh", "across the GPU"),
        ("one timestep, softmax", "in turn"),
        ("mask, tanh", "side by side"),
        ("no hidden neuron", "across the GPU"),
        ("windows of a text", "side by side"),
    )
} | {f"{name}, in turn": (case, "in turn") for name, case in FAMILY.items()}
"""Between them they reach every kernel; `step by step`: the way of a GPU whose blocks cannot wait for each other."""
RAW = {"stddev": 0.1, "batch_size": 4, "timesteps": 4}
LARGE: dict[str, tuple[Case, str]] = {
    "example, across the GPU": (Case("shifted-sums", {}, 30, RAW, steps=3), "across the GPU"),
    "example, side by side": (Case("shifted-sums", {}, 30, RAW, steps=3), "side by side"),
    "hidden 62, side by side": (Case("shifted-sums", {}, 62, RAW, steps=3), "side by side"),
    "hidden 254, in turn": (Case("shifted-sums", {}, 254, RAW, steps=3), "in turn"),
    "hidden 254, rank 1": (Case("shifted-sums", {}, 254, RAW | {"rank": 1}, steps=3), "in turn"),
    "hidden 254, 8 datapoints": (
        Case("shifted-sums", {}, 254, RAW | {"datapoints": 8, "batch_size": 8}, steps=3),
        "in turn",
    ),
}
"""For a GPU alone: the simulator would take minutes."""


def data_of(case: Case) -> Data:
    """Return the task's data; in the simulator, which compiles nothing, its plain function for the reference too."""
    problem = TASKS[case.task].problem(case.parameters)
    if not SIMULATED:
        return problem.data()
    from freewalk.kernels.data import datapoints

    datapoints.fill_arrays = partial(_fill_plainly, problem.datapoint)
    return uncompiled_data_of(case)


def _fill_plainly(datapoint: Callable[..., None], _: int, argument: int, **how: Any) -> Any:
    n = how["n_datapoints"]
    x, y = (np.zeros((n, *how[name]), np.float32) for name in ("x_shape", "y_shape"))
    for index in range(n):
        where = np.uint64(how["seed"]), np.uint32(how["stream"]), np.uint32(how["step"]), index
        datapoint(*where, how["timesteps"], argument, x[index], y[index])
    return x, y


def run_case(case: Case, way: str) -> Result:
    """Train on the device, at once and in two parts, and in the reference; compare."""
    from freewalk.kernels.cuda import trials as module
    from freewalk.kernels.model.pack import PackTrial
    from freewalk.kernels.trainers.reference_walk import ReferenceWalk

    case = replace(case, walk=case.walk | {"batch_size": MORE_DATAPOINTS * case.walk["batch_size"]})
    network, configuration, data = network_of(case), configuration_of(case), data_of(case)
    options: dict[str, Any] = {"evaluation_points": POINTS, "mask": mask_of(case)}
    if way == "step by step":
        module._grids_can_meet = lambda: False
    begin = time.perf_counter()
    other = PackTrial(replace(configuration, stddev=0.05, batch_size=3 * configuration.datapoints), case.seed + 1)
    trials = [PackTrial(configuration, case.seed), *([other] if way == "side by side" else [])]

    def train(*parts: int) -> tuple[Any, Any, Any]:
        device = module.DeviceTrials(network, data, trials, **options)
        device.compile(side_by_side=way == "side by side")
        before = device.weights(0)
        for steps in parts:
            if way == "side by side":
                progress = device.train_side_by_side([0, 1], steps)[0]
            elif way == "in turn":
                progress = device.train_in_turn([0], steps)[0]
            else:
                progress = device.train_across_the_gpu(steps)[0]
        return device, device.weights(0) - before, progress

    device, found, progress = train(case.steps)
    _, again, _ = train(1, case.steps - 1)
    evaluation = device.evaluate([0])[0]
    seconds = time.perf_counter() - begin
    walk = ReferenceWalk(network, configuration, data, seed=case.seed, **options)
    before = walk.weights
    wanted = walk.train(case.steps)
    change = walk.weights - before
    errors = {
        "update": float(np.abs(found - change).max() / np.abs(change).max()),
        "loss": abs(progress.loss - wanted.loss) / abs(wanted.loss),
        "evaluation": _largest_difference(evaluation, walk.evaluate()),
    }
    wrong = [name for name, error in errors.items() if not error <= TOLERANCE]
    wrong += ["steps"] if progress.steps != case.steps else []
    wrong += ["other bits in two parts"] if not np.array_equal(found, again) else []
    wrong += _compiled_twice(device)
    detail = ", ".join(f"{name} {error:.1e}" for name, error in errors.items())
    detail += f"; compiled in {device.compile_seconds:.1f} s, {seconds:.1f} s in all"
    return {"ok": not wrong, "detail": f"WRONG {', '.join(wrong)}: {detail}" if wrong else detail}


def _largest_difference(found: Evaluation, wanted: Evaluation) -> float:
    a, b = np.array(found), np.array(wanted)
    return float(np.nanmax(np.abs(a - b))) if np.array_equal(np.isnan(a), np.isnan(b)) else float("nan")


def _compiled_twice(device: Any) -> list[str]:
    """Name the kernels whose arrays did not fit the signature that was compiled: right, but a first call pays twice."""
    from freewalk.kernels.cuda.family import family_kernels
    from freewalk.kernels.cuda.general import make_general
    from freewalk.kernels.cuda.resident import make_resident

    spec, threads = device.spec, device._threads
    kernels = [make_resident(spec, device.shape)] if spec.is_resident else []
    used = [*kernels, make_general(spec, threads)] if spec.family is None else []
    counts = {name: len(getattr(k, "overloads", ())) for group in used for name, k in group._asdict().items()}
    if spec.family is not None:
        counts = {name: len(getattr(k, "overloads", ())) for name, k, _ in family_kernels(spec, device._family.widest)}
    return [f"{name} compiled {n} times" for name, n in counts.items() if n > 1]


def run_noise() -> Result:
    """Compare the device's noise with NumPy's: signs bit by bit, normals to what float32 can hold."""
    errors: dict[str, list[float]] = {"gaussian": [], "rademacher": []}
    for seed, step, first in ADDRESSES:
        for hidden in HIDDEN[:2] if SIMULATED else HIDDEN:
            for noise, found in errors.items():
                found.append(noise_error(FreeNetwork(3, 2, hidden), seed, step, datapoints_from(first), noise))
        if SIMULATED:
            break
    worst, bits = max(errors["gaussian"]), sum(errors["rademacher"])
    return {
        "ok": worst <= NORMAL_TOLERANCE and bits == 0,
        "detail": f"{bits:.0f} bits differ; normals by {max(worst, 0):.1e} beyond what rounding of u explains",
    }


def run_environment() -> Result:
    """Say what is there; fail if no GPU can be used."""
    import importlib.metadata

    from freewalk.kernels.cuda.device import gpu, why_unusable

    names = ("numba", "numba-cuda", "numpy", "cuda-core", "cuda-bindings", "pydantic")
    found = {d.metadata["Name"]: d.version for d in importlib.metadata.distributions() if d.metadata["Name"] in names}
    versions = ", ".join(f"{name} {found.get(name, '-')}" for name in names)
    reason = why_unusable()
    return {"ok": reason is None, "detail": f"{gpu() if reason is None else reason}; {versions}"}


RUNS: dict[str, Callable[[], Result]] = {
    "environment": run_environment,
    "noise": run_noise,
    **{name: partial(run_case, *given) for name, given in (SMALL | ({} if SIMULATED else LARGE)).items()},
}


def in_a_process(name: str, seconds: float) -> Result:
    """Run one case in a process of its own."""
    command = [sys.executable, *(f"-W{w}" for w in sys.warnoptions), str(Path(__file__).resolve()), "--case", name]
    begin = time.perf_counter()
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=seconds)
    except subprocess.TimeoutExpired:
        return {"ok": False, "detail": f"no end after {seconds:.0f} s: hung, or slow to compile", "seconds": seconds}
    last = next((line[7:] for line in reversed(done.stdout.splitlines()) if line.startswith("RESULT ")), None)
    said = " | ".join(done.stderr.strip().splitlines()[-3:])[-500:]
    result = {"ok": False, "detail": f"exit {done.returncode}: {said}"} if last is None else json.loads(last)
    return dict(result) | {"seconds": round(time.perf_counter() - begin, 1)}


def run_all(seconds: float) -> Iterator[Result]:
    """Yield the results of all cases in their order; of the first alone if there is no GPU."""
    first, *others = RUNS
    result = in_a_process(first, seconds)
    yield {"name": first} | result
    if result["ok"]:
        with ThreadPoolExecutor(AT_ONCE) as pool:
            for name, result in zip(others, pool.map(partial(in_a_process, seconds=seconds), others), strict=True):
                yield {"name": name} | result


def make_parser() -> argparse.ArgumentParser:
    """Return the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--case", choices=RUNS, help="one case, in this process", metavar="NAME")
    parser.add_argument("--seconds", type=float, default=SECONDS, help="limit of one case")
    return parser


def main() -> int:
    """Run what is asked for; return the exit code."""
    given = make_parser().parse_args()
    if given.case:
        result = RUNS[given.case]()
        print("RESULT", json.dumps(result), flush=True)
        return 0 if result["ok"] else 1
    rows: list[Result] = []
    path = Path(os.environ.get("OUT", ".")) / "smoke.json"
    for row in run_all(given.seconds):
        rows.append(row)
        path.write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")
        print(
            f"{'ok  ' if row['ok'] else 'FAIL'} {row['seconds']:5.1f} s  {row['name']:32} {row['detail']}", flush=True
        )
    print(f"{sum(row['ok'] for row in rows)} of {len(RUNS)} ok; {path}")
    return 0 if len(rows) == len(RUNS) and all(row["ok"] for row in rows) else 1


if __name__ == "__main__":
    sys.exit(main())
