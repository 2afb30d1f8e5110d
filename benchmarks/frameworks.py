"""What a step on a PyTorch network takes: `python -m benchmarks.frameworks --threads 1`.

A network of 128-256-256-10, 101,386 weights, float32. Every way takes whole steps, with Adam, of K perturbations that
all see the same batch, each with both sides: 2 K passes of the batch. Noise, passes and update count. Each way runs in
a process of its own, which is asked in turn for a block of steps; it also says how much memory it took beyond a small
step.

walk     freewalk.torch.walk, rank 1 and full
loop     the same by hand, as it is usually written: normal noise, weights set, two passes a perturbation,
         torch.optim.Adam
evox     EvoX's OpenES with mirrored sampling (2 K members) and its SupervisedLearningProblem, which vmaps over whole
         weight sets
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
import warnings
from collections.abc import Callable
from contextlib import suppress
from itertools import pairwise
from statistics import median
from typing import Any

from benchmarks.processes import environment, status_bytes

Way = tuple[Callable[[], object], Callable[[], Any]]
WAYS = ("walk rank 1", "walk full", "loop", "evox")
_STDDEV, _RATE = 0.01, 0.01
_BLOCK_SECONDS = 1.0
_HEAD = (
    "| K | batch | way | passes a second | least to most | rank 1 is faster by | memory |\n"
    "|--:|--:|---|--:|--:|--:|--:|"
)
_WIDTHS = (128, 256, 256, 10)


def network(torch: Any) -> Any:
    """Return the network at its start."""
    torch.manual_seed(0)
    nn = torch.nn
    first, *rest = (nn.Linear(n, m) for n, m in pairwise(_WIDTHS))
    return nn.Sequential(first, *(part for layer in rest for part in (nn.Tanh(), layer)))


def batch(torch: Any, n: int) -> tuple[Any, Any]:
    """Return n datapoints and their classes."""
    torch.manual_seed(1)
    return torch.randn(n, _WIDTHS[0]), torch.randint(_WIDTHS[-1], (n,))


def _walk(torch: Any, rank: int | None, k: int, x: Any, y: Any) -> Way:
    import freewalk.torch

    own, loss = network(torch), torch.nn.functional.cross_entropy
    how: dict[str, Any] = {"stddev": _STDDEV, "learning_rate": _RATE, "rank": rank, "perturbations": k}
    walk = freewalk.torch.walk(own, loss, batched=True, **how)
    return lambda: walk.step(x, y), lambda: torch.nn.utils.parameters_to_vector(own.parameters())


def _loop(torch: Any, k: int, x: Any, y: Any) -> Way:
    own, loss = network(torch), torch.nn.functional.cross_entropy
    optimizer = torch.optim.Adam(own.parameters(), _RATE)
    parameters = list(own.parameters())

    def step() -> None:
        with torch.no_grad():
            for parameter in parameters:
                parameter.grad = torch.zeros_like(parameter)
            for _ in range(k):
                noise = [torch.randn_like(parameter) for parameter in parameters]
                losses = []
                for by in (_STDDEV, -2 * _STDDEV):
                    for parameter, one in zip(parameters, noise, strict=True):
                        parameter.add_(one, alpha=by)
                    losses.append(float(loss(own(x), y)))
                slope = (losses[0] - losses[1]) / (2 * _STDDEV * k)
                for parameter, one in zip(parameters, noise, strict=True):
                    parameter.add_(one, alpha=_STDDEV)
                    parameter.grad.add_(one, alpha=slope)
            optimizer.step()

    return step, lambda: torch.nn.utils.parameters_to_vector(parameters)


def _evox(torch: Any, k: int, x: Any, y: Any) -> Way:
    from evox.algorithms import OpenES
    from evox.problems.neuroevolution.supervised_learning import SupervisedLearningProblem
    from evox.utils import ParamsAndVector
    from evox.workflows import StdWorkflow

    own, loss = network(torch), torch.nn.CrossEntropyLoss(reduction="none")
    adapter = ParamsAndVector(dummy_model=own)
    problem = SupervisedLearningProblem(own, [(x, y)], loss, n_batch_per_eval=1, pop_size=2 * k)
    centre = adapter.to_vector(dict(own.named_parameters())).detach()
    algorithm = OpenES(2 * k, centre, _RATE, _STDDEV, optimizer="adam", mirrored_sampling=True)
    workflow = StdWorkflow(algorithm, problem, solution_transform=adapter)

    def step() -> None:
        with torch.no_grad():
            workflow.step()

    return step, lambda: algorithm.center


def make(way: str, k: int, n: int, threads: int) -> Way:
    """Return what takes a step of a way, and what returns its weights as one row."""
    import torch

    torch.set_num_threads(threads)
    x, y = batch(torch, n)
    if way.startswith("walk"):
        return _walk(torch, 1 if way.endswith("1") else None, k, x, y)
    return {"loop": _loop, "evox": _evox}[way](torch, k, x, y)


def _serve(way: str, k: int, n: int, threads: int) -> None:
    """Take a block of steps for each line read; write the seconds of a step, and after each the peak memory."""
    warnings.simplefilter("ignore")
    make(way, 2, 1, threads)[0]()  # loads and compiles
    base = status_bytes("VmRSS")
    step, _ = make(way, k, n, threads)
    step()
    for _ in sys.stdin:
        start, steps = time.perf_counter(), 0
        while time.perf_counter() - start < _BLOCK_SECONDS:
            step()
            steps += 1
        seconds = (time.perf_counter() - start) / steps
        print(seconds, max(0, status_bytes("VmHWM") - base), flush=True)  # noqa: T201


def compare(k: int, n: int, threads: int, rounds: int) -> dict[str, tuple[list[float], float]]:
    """Return the seconds of a step of each way, block by block in turn, and the most memory that it took, in bytes."""
    command = [sys.executable, "-m", "benchmarks.frameworks", "--serve"]
    variables = {**environment(threads, "cpu"), "OMP_WAIT_POLICY": "passive"}
    servers = {
        way: subprocess.Popen(
            [*command, way, "--perturbations", str(k), "--batch", str(n), "--threads", str(threads)],
            env=variables,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        for way in WAYS
    }
    seconds: dict[str, list[float]] = {way: [] for way in WAYS}
    memory = dict.fromkeys(WAYS, 0.0)
    for _ in range(rounds):
        for way, server in servers.items():
            assert server.stdin is not None
            assert server.stdout is not None
            with suppress(BrokenPipeError):  # it died: its answer will be empty
                server.stdin.write("\n")
                server.stdin.flush()
            if answer := server.stdout.readline().split():
                seconds[way].append(float(answer[0]))
                memory[way] = float(answer[1])
    for server in servers.values():
        with suppress(BrokenPipeError):
            server.communicate()
    return {way: (seconds[way], memory[way]) for way in WAYS}


def main() -> None:
    """Print perturbed passes a second, medians with the range of blocks, ratios and memory, as rows of Markdown."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.frameworks", description=__doc__)
    parser.add_argument("--perturbations", type=int, nargs="+", default=[64, 256, 1024])
    parser.add_argument("--batch", type=int, nargs="+", default=[1, 32])
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--serve", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.serve:
        _serve(given.serve, given.perturbations[0], given.batch[0], given.threads)
        return
    print(_HEAD)  # noqa: T201
    for k in given.perturbations:
        for n in given.batch:
            found = compare(k, n, given.threads, given.rounds)
            for way, (seconds, memory) in found.items():
                if not seconds:
                    print(f"| {k} | {n} | {way} | failed | | | |")  # noqa: T201
                    continue
                rates = sorted(2 * k * n / one for one in seconds)
                ratio = median(a / b for a, b in zip(seconds, found[WAYS[0]][0], strict=False))
                spread = f"{rates[0]:,.0f} to {rates[-1]:,.0f}"
                shown = f"{median(rates):,.0f} | {spread} | {ratio:.1f} | {memory / 2**20:,.0f} MB |"
                print(f"| {k} | {n} | {way} | {shown}", flush=True)  # noqa: T201


if __name__ == "__main__":
    main()
