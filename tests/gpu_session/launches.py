"""How fast are trials side by side, with today's launch shape of their kernel and with others?

    python tests/gpu_session/launches.py                        every shape, each in a process of its own, then a table
    python tests/gpu_session/launches.py --shape 0 --trials 132 one of them
    python tests/gpu_session/launches.py --shape 0 --trials 132 --profile   three launches and nothing else, for ncu

The shapes are those of freewalk.kernels.cuda.layout, 0 the default; --trials 1 has the whole GPU. $OUT/launches.json is
written after every shape. In Numba's simulator everything is tiny and the times mean nothing.
"""

# ruff: noqa: T201
from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from freewalk.kernels.cuda.layout import DEFAULT_SHAPE, OTHER_SHAPES, LaunchShape

SHAPES = (DEFAULT_SHAPE, *OTHER_SHAPES)
SIMULATED = os.environ.get("NUMBA_ENABLE_CUDASIM", "0") == "1"
TRIALS = 1056 if not SIMULATED else 2
"""Eight blocks for each of 132 multiprocessors."""
SECONDS_OF_A_ROUND = 0.3
ROUNDS = 3


def make(shape: LaunchShape, n_trials: int) -> Any:
    """Return trials of the example on the device."""
    from freewalk.harness.bench import DEFAULT, PROBLEM
    from freewalk.kernels.cuda.trials import DeviceTrials
    from freewalk.kernels.model.pack import PackTrial
    from freewalk.kernels.model.walk import Data, WalkConfiguration

    configuration = WalkConfiguration(stddev=0.01, batch_size=4, timesteps=2) if SIMULATED else DEFAULT.configuration
    network = PROBLEM.network(2) if SIMULATED else DEFAULT.network
    data = Data(0, PROBLEM.argument, PROBLEM.datapoint) if SIMULATED else PROBLEM.data()
    trials = [PackTrial(configuration, seed) for seed in range(n_trials)]
    made = DeviceTrials(network, data, trials, evaluation_points=10, shape=shape)
    made.compile(side_by_side=n_trials > 1)
    return made


def train(made: Any, n_steps: int) -> float:
    """Take steps of every trial; return the seconds that the GPU took."""
    n_trials = len(made.steps)
    if n_trials > 1:
        made.train_side_by_side(range(n_trials), n_steps)
    else:
        made.train_across_the_gpu(n_steps)
    return float(made.kernel_seconds)


def measure(shape: LaunchShape, n_trials: int) -> dict[str, Any]:
    """Return what a step of all trials takes, the median of three launches, and what the driver says of the kernel."""
    from freewalk.kernels.cuda.resident import make_resident

    made = make(shape, n_trials)
    train(made, 1)
    n_steps = 1 if SIMULATED else max(2, int(SECONDS_OF_A_ROUND / train(made, 2) * 2))
    seconds = sorted(train(made, n_steps) / n_steps for _ in range(1 if SIMULATED else ROUNDS))
    middle = seconds[len(seconds) // 2]
    row = {"shape": shape.name, "trials": n_trials, "steps": n_steps, "us": 1e6 * middle}
    row |= {"least_us": 1e6 * seconds[0], "most_us": 1e6 * seconds[-1], "trial_steps_per_second": n_trials / middle}
    if not SIMULATED:
        kernels = make_resident(made.spec, shape)
        (kernel,) = (kernels.train_trials if n_trials > 1 else kernels.train_one).overloads.values()
        row |= {"registers": kernel.regs_per_thread, "local_bytes": kernel.local_mem_per_thread}
    return row


def make_parser() -> argparse.ArgumentParser:
    """Return the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shape", type=int, choices=range(len(SHAPES)), help="one shape, in this process")
    parser.add_argument("--trials", type=int, default=TRIALS)
    parser.add_argument("--profile", action="store_true", help="launch three times, measure nothing")
    return parser


def main() -> None:
    """Run what is asked for."""
    given = make_parser().parse_args()
    if given.shape is None:
        rows = []
        path = Path(os.environ.get("OUT", ".")) / "launches.json"
        for k in range(len(SHAPES)):
            command = [sys.executable, __file__, "--shape", str(k), "--trials", str(given.trials)]
            done = subprocess.run(command, capture_output=True, text=True)
            print(done.stdout.strip() or f"{SHAPES[k].name}: {done.stderr.strip()[-300:]}", flush=True)
            rows += [json.loads(done.stdout)] if done.returncode == 0 else []
            path.write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")
    elif given.profile:
        made = make(SHAPES[given.shape], given.trials)
        for _ in range(3):
            train(made, 2)
    else:
        print(json.dumps(measure(SHAPES[given.shape], given.trials)))


if __name__ == "__main__":
    main()
