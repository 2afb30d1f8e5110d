"""How many guesses solve a task: `python -m benchmarks.guessing xor architecture=2-2-1 batch_size=100`.

For each seed, method `guess` draws weights until every training datapoint of a step is right; the median over seeds is
what `harness tasks` shows as a task's difficulty. `--paper` takes the network A1 of Schmidhuber, Hochreiter and Bengio
(2001) in the task's place: at each timestep its hidden unit is updated first and its output, which has no bias, hears
it at once. Parity took them 2,906 guesses on average.

`--beside-numpy` sets `guess` beside NumPy on parity of 500 symbols, as cybertronai's rs-parity defines it: guesses a
second, whether both call the same weight sets right, and how many guesses it takes.
"""

from __future__ import annotations

import argparse
import math
import time
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.guessing_in_numpy import lines_of
from freewalk.harness.methods.problem import resolve_problem
from freewalk.harness.parameters.values import parse_values
from freewalk.harness.plan.single_trial import single_trial
from freewalk.kernels.backend import resolve_backend
from freewalk.kernels.machine.jit import data_function, uncached_kernel
from freewalk.kernels.model.population import member_uniforms

_PAPER_SCALE, _PAPER_TOLERANCE = 100.0, 0.1
_AT_ONCE = 1000


@data_function
def _sigmoid(z: float) -> float:
    return 1.0 / (1.0 + math.exp(-z)) if z > -700.0 else 0.0


@uncached_kernel
def _first_right(
    guesses: NDArray[np.float64],  # IN (K, 7): to the hidden unit from input, bias, output, itself; to the output
    lengths: NDArray[np.int64],  # IN (sequences,)
    x: NDArray[np.float64],  # IN (sequences, longest)
    y: NDArray[np.float64],  # IN (sequences,)
) -> int:
    """Return which guess first gets every sequence right; -1 for none."""
    for k in range(len(guesses)):
        w = guesses[k]
        right = True
        for i in range(len(lengths)):
            output = hidden = 0.0
            for t in range(lengths[i]):
                hidden = _sigmoid(w[0] * x[i, t] + w[1] + w[2] * output + w[3] * hidden)
                output = _sigmoid(w[4] * x[i, t] + w[5] * output + w[6] * hidden)
            if not abs(output - y[i]) < _PAPER_TOLERANCE:
                right = False
                break
        if right:
            return k
    return -1


def guess_as_in_the_paper(seed: int, most: int) -> tuple[int | None, int]:
    """Return how many guesses of A1 it took for parity, None for more than `most`, and how many were tried."""
    rng = np.random.default_rng(seed)
    lengths = rng.integers(500, 601, size=100)
    bits = rng.integers(0, 2, size=(100, 600)) * (np.arange(600) < lengths[:, None])
    last = np.arange(100), lengths - 1
    bits[last] ^= (bits.sum(axis=1) + np.arange(100)) % 2  # every second sequence is odd
    x = np.where(np.arange(600) < lengths[:, None], 2.0 * bits - 1.0, 0.0)
    for step in range(-(-most // _AT_ONCE)):
        uniforms = member_uniforms(seed, step, np.arange(_AT_ONCE), 0, 7)
        found = _first_right(_PAPER_SCALE * (2 * uniforms - 1), lengths, x, (bits.sum(axis=1) % 2).astype(float))
        if found >= 0:
            return step * _AT_ONCE + found + 1, (step + 1) * _AT_ONCE
    return None, most


def guess(task: str, options: dict[str, str], seed: int, most: int, threads: int) -> tuple[int | None, int]:
    """Return how many guesses it took, None for more than `most`, and how many were tried."""
    cell = single_trial("guessing", task, "guess", str(seed), options).cell
    problem = resolve_problem(task, "guess", cell.parameters)
    trainer: Any = problem.start(resolve_backend("cpu"), seed=seed, evaluation_points=1)
    trainer.use_threads(threads)
    at_once = trainer.strategy.origin.members
    for _ in range(-(-most // at_once)):
        trainer.train(1)
        if trainer.strategy.guesses:
            break
    return trainer.strategy.guesses or None, trainer.step * at_once


def main(arguments: list[str] | None = None) -> None:
    """Print the median, the range and the mean over seeds, and guesses a second."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.guessing", description=__doc__)
    parser.add_argument("task", nargs="?", help="a task; none with --paper or --beside-numpy")
    parser.add_argument("options", nargs="*", metavar="KEY=VALUE", help="parameters of the task, the network and guess")
    parser.add_argument("--paper", action="store_true", help="the paper's network A1, at parity")
    parser.add_argument("--beside-numpy", action="store_true", help="guess and NumPy in turn on rs-parity")
    parser.add_argument("--blocks", type=int, default=9, help="turns of each beside NumPy")
    parser.add_argument("--seeds", type=int, help="default: 30; 10 beside NumPy")
    parser.add_argument("--most", type=int, default=10**6, help="guesses after which a seed is given up")
    parser.add_argument("--threads", type=int, default=2)
    given = parser.parse_args(arguments)
    if (given.task is not None) + given.paper + given.beside_numpy != 1:
        parser.error("give a task, --paper or --beside-numpy, and one of them only")
    if given.beside_numpy:
        print("\n".join(lines_of(given.blocks, given.seeds or 10, given.most)))  # noqa: T201
        return
    seeds = given.seeds or 30
    options = dict(one.split("=", 1) for one in given.options)
    for name, text in options.items():
        parse_values(text, f"{name}={text}: ")

    def one(seed: int) -> tuple[int | None, int]:
        if given.paper:
            return guess_as_in_the_paper(seed, given.most)
        return guess(given.task, options, seed, given.most, given.threads)

    one(0)  # compiles
    start = time.perf_counter()
    found, tried = zip(*(one(seed) for seed in range(seeds)), strict=True)
    seconds = time.perf_counter() - start
    counts = np.array([math.inf if n is None else n for n in found])
    print(  # noqa: T201
        f"median {np.median(counts):,.0f}, from {counts.min():,.0f} to {counts.max():,.0f}, mean {counts.mean():,.0f}"
        f" of {seeds} seeds; {sum(tried) / seconds:,.0f} guesses a second"
    )


if __name__ == "__main__":
    main()
