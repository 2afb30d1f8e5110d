"""Guessing a recurrent network for parity in NumPy and by `guess`: the definition of rs-parity, and both side by side.

The definition is that of cybertronai's schmidhuber-problems, in our own words: two tanh units that hear the input, a
bias and each other and themselves; a readout of them and a bias after the last of N symbols, 1 or -1; eleven weights
uniform in [-30, 30], in float32; 1,024 random sequences of exactly N symbols; a trial is right where the readout of
every sequence has the sign of the product of its symbols. Their script runs all sequences with one weight set at a
time.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from freewalk.harness.methods.problem import ResolvedProblem
from freewalk.harness.methods.registered import METHODS
from freewalk.kernels.backend import resolve_backend
from freewalk.kernels.machine.lanes import LANES
from freewalk.kernels.model.network import FreeNetwork
from freewalk.kernels.model.noise import Stream
from freewalk.kernels.model.population import Strategy
from freewalk.tasks.stored import HEADER_WORDS, float_at, whole_at
from freewalk.tasks.table import Table
from freewalk.tasks.task import Problem, Task

Array32 = NDArray[np.float32]

LENGTH, SEQUENCES, HELD_OUT = 500, 1024, 4096
_HIDDEN, _WEIGHTS, _SCALE = 2, 11, 30.0
_AT_ONCE = 4096  # weight sets: the fastest of 32 to 4,096 here, by a tenth
_EVALUATION = np.uint32(Stream.EVALUATION_DATA)
_N_TRAINING, _N_HELD_OUT, _N_ROWS = 0, 1, 2  # places in a table's header
_ZERO, _ONE = np.float32(0.0), np.float32(1.0)


class Sequences(NamedTuple):
    """What a weight set is tried on."""

    x: Array32
    """(n, N) symbols, 1 or -1."""
    y: Array32
    """(n,) their product."""


def draw_sequences(length: int, n: int, rng: np.random.Generator) -> Sequences:
    """Return n random sequences."""
    x = (2 * rng.integers(0, 2, size=(n, length)) - 1).astype(np.float32)
    return Sequences(x, x.prod(axis=1))


# In NumPy: weight sets are (K, 11), in the order of the rows of the free network's weight matrix ----------------------


def one_in_numpy(weights: Array32, data: Sequences) -> bool:
    """Return whether a weight set is right on all sequences, of which each runs to its end."""
    from_x, of_readout, bias, of_hidden = weights[:2], weights[2], weights[3:5], weights[5:].reshape(_HIDDEN, 3)
    hidden = np.zeros((len(data.x), _HIDDEN), dtype=np.float32)
    for t in range(data.x.shape[1]):
        hidden = np.tanh(data.x[:, t : t + 1] @ from_x[None] + hidden @ of_hidden[:, 1:] + bias)
    return bool((np.sign(hidden @ of_hidden[:, 0] + of_readout) == data.y).all())


def first_in_numpy(weights: Array32, data: Sequences) -> bool:
    """Return the same, having looked at the first sixteen sequences first."""
    return one_in_numpy(weights, Sequences(*(a[:LANES] for a in data))) and one_in_numpy(weights, data)


def many_in_numpy(weights: Array32, data: Sequences) -> NDArray[np.bool_]:
    """Return the same of K weight sets, with all of them at once on the first sixteen sequences."""
    symbols, signs = data.x[:LANES].T.copy(), data.y[:LANES]
    w = weights.T[:, :, None]  # (11, K, 1)
    one, two = np.zeros((2, len(weights), len(signs)), dtype=np.float32)
    sum_one, sum_two, part = np.empty_like(one), np.empty_like(one), np.empty_like(one)
    for x in symbols:
        for k, total in enumerate((sum_one, sum_two)):
            np.multiply(w[k], x, out=total)
            total += w[3 + k]
            total += np.multiply(w[6 + k], one, out=part)
            total += np.multiply(w[9 + k], two, out=part)
        np.tanh(sum_one, out=one)
        np.tanh(sum_two, out=two)
    right: NDArray[np.bool_] = (np.sign(w[5] * one + w[8] * two + w[2]) == signs).all(axis=1)
    for at in np.flatnonzero(right):
        right[at] = one_in_numpy(weights[at], data)
    return right


# By `guess` ----------------------------------------------------------------------------------------------------------


def _in_turn(seed: int, stream: Any, step: Any, index: Any, timesteps: int, argument: int, x: Any, y: Any) -> None:
    """Write a row of the table: those of training one after the other at every step, or those held out."""
    n_training = whole_at(argument, _N_TRAINING)
    held_out = n_training + index % whole_at(argument, _N_HELD_OUT)
    row = held_out if stream == _EVALUATION else index % n_training
    for t in range(timesteps):
        x[t, 0] = float_at(argument, HEADER_WORDS + row * timesteps + t)
    y[0, 0] = float_at(argument, HEADER_WORDS + whole_at(argument, _N_ROWS) * timesteps + row)


def _wiring(network: FreeNetwork) -> NDArray[np.float64]:
    """Let hidden neurons hear input, bias and each other, and the output them and the bias."""
    weights = np.full((network.n_from, network.n_to), np.nan)
    outputs = slice(network.n_input + 1, network.n_input + 1 + network.n_output)
    weights[: network.n_input, : network.n_output] = 0.0
    weights[outputs] = 0.0
    return weights


def problem_of(data: Sequences, held_out: Sequences, **parameters: Any) -> ResolvedProblem:
    """Return what `guess` solves where its weights solve the sequences; an output above 1/2 is a positive readout."""

    def rows(some: Sequences) -> tuple[Array32, Array32]:
        return some.x[:, :, None], np.where(some.y > 0, _ONE, _ZERO)[:, None, None]

    empty = (np.zeros((0, data.x.shape[1], 1), np.float32), np.zeros((0, 1, 1), np.float32))
    table = Table((), rows(data), rows(held_out), empty)
    length = data.x.shape[1]
    problem = Problem(
        n_input=1,
        n_output=1,
        datapoint=_in_turn,
        sequence_input=True,
        default_timesteps=length,
        least_timesteps=length,
        most_timesteps=length,
        domain_size=table.n_validation,
        load_stored=lambda: table,
        wiring=_wiring,
        hidden_first=True,
    )
    task = Task("rs-parity", "parity of N symbols", "bit_accuracy", 1.0, lambda: problem)
    network = replace(problem.network(_HIDDEN), hidden_activation="tanh")
    own = {"scale": _SCALE, "tolerance": 0.5, "batch_size": len(data.x)} | parameters
    configuration = METHODS["guess"].configure(own, timesteps=length, steps=1)
    return ResolvedProblem(task, problem, METHODS["guess"], network, None, configuration)


def start(problem: ResolvedProblem, seed: int, threads: int) -> Any:
    """Return a trial of `guess`."""
    trainer: Any = problem.start(resolve_backend("cpu"), seed=seed, evaluation_points=HELD_OUT)
    trainer.use_threads(threads)
    return trainer


class _Watched(Strategy):
    """What another strategy does, with every member and whether it is right kept."""

    def __init__(self, own: Strategy) -> None:
        super().__init__(own.origin)
        self._own = own
        self.members: list[NDArray[np.float64]] = []
        self.right: list[NDArray[np.bool_]] = []

    def ask(self, step: int) -> NDArray[np.float64]:
        members = self._own.ask(step)
        self.members.append(members)
        return members

    def tell(self, step: int, members: NDArray[np.float64], tried: Any) -> None:
        self.right.append(tried.right.copy())
        self._own.tell(step, members, tried)

    @property
    def answer(self) -> NDArray[np.float64]:
        return self._own.answer


def agreement(length: int, n: int, guesses: int, seed: int) -> tuple[int, int, int]:
    """Return how many of so many guesses are right by `guess`, by NumPy, and by one of the two alone."""
    data = draw_sequences(length, n, np.random.default_rng(seed))
    trainer = start(problem_of(data, data, population=guesses), seed, threads=1)
    trainer.strategy = _Watched(trainer.strategy)
    trainer.train(1)
    ours = trainer.strategy.right[0]
    theirs = np.array([one_in_numpy(w, data) for w in trainer.strategy.members[0].astype(np.float32)])
    return int(ours.sum()), int(theirs.sum()), int((ours != theirs).sum())


class Count(NamedTuple):
    """How long a seed took."""

    guesses: int | None
    """To the first right one; None for more than were tried."""
    seconds: float
    held_out: float
    """Share of fresh sequences that it gets right."""
    by_numpy: bool
    """Whether NumPy calls it right too."""


def count(seed: int, length: int, n: int, most: int, threads: int) -> Count:
    """Return how many guesses it took `guess` on sequences of the seed's own."""
    rng = np.random.default_rng(seed)
    data, held_out = draw_sequences(length, n, rng), draw_sequences(length, HELD_OUT, rng)
    trainer = start(problem_of(data, held_out), seed, threads)
    begun = time.perf_counter()
    while not trainer.strategy.guesses and trainer.step * trainer.strategy.origin.members < most:
        trainer.train(1)
    seconds = time.perf_counter() - begun
    if not trainer.strategy.guesses:
        return Count(None, seconds, np.nan, by_numpy=False)
    right = one_in_numpy(trainer.strategy.answer.astype(np.float32), data)
    return Count(trainer.strategy.guesses, seconds, trainer.evaluate().bit_accuracy, right)


# Side by side --------------------------------------------------------------------------------------------------------


def _runs(data: Sequences, seed: int) -> dict[str, Callable[[], int]]:
    """Return what takes a part of a second and returns how many guesses it tried, by its name."""
    rng = np.random.default_rng(seed)

    def draw(n: int) -> Array32:
        return rng.uniform(-_SCALE, _SCALE, size=(n, _WEIGHTS)).astype(np.float32)

    def one_by_one(is_right: Callable[[Array32, Sequences], bool], n: int) -> Callable[[], int]:
        def run() -> int:
            for _ in range(n):
                is_right(draw(1)[0], data)
            return n

        return run

    def many(times: int) -> Callable[[], int]:
        def run() -> int:
            for _ in range(times):
                many_in_numpy(draw(_AT_ONCE), data)
            return times * _AT_ONCE

        return run

    def ours(threads: int, steps: int, **parameters: Any) -> Callable[[], int]:
        trainer = start(problem_of(data, data, **parameters), seed, threads)

        def run() -> int:
            trainer.train(steps)
            return int(steps * trainer.strategy.origin.members)

        return run

    whole = {"tolerance": 2.0, "population": 100}  # no output is as far from its target, and so none is left early
    return {
        "NumPy 1: a weight set at a time, all sequences": one_by_one(one_in_numpy, 50),
        "NumPy 2: a weight set at a time, 16 sequences first": one_by_one(first_in_numpy, 100),
        f"NumPy 3: {_AT_ONCE} weight sets at once, 16 sequences first": many(4),
        "guess, all sequences, 1 thread": ours(1, 2, **whole),
        "guess, all sequences, 2 threads": ours(2, 4, **whole),
        "guess, 1 thread": ours(1, 20),
        "guess, 2 threads": ours(2, 40),
    }


def side_by_side(length: int, n: int, blocks: int, seed: int) -> dict[str, NDArray[np.float64]]:
    """Return (blocks,) guesses a second by name: in a block each has its turn, and every block begins with another."""
    runs = _runs(draw_sequences(length, n, np.random.default_rng(seed)), seed)
    rates: dict[str, list[float]] = {name: [] for name in runs}
    for run in runs.values():
        run()  # compiles
    names = list(runs)
    for block in range(blocks):
        first = block % len(names)
        for name in names[first:] + names[:first]:
            begun = time.perf_counter()
            tried = runs[name]()
            rates[name].append(tried / (time.perf_counter() - begun))
    return {name: np.array(found) for name, found in rates.items()}


def _spread(values: NDArray[np.float64]) -> str:
    """Return the median with the range."""

    def text(value: float) -> str:
        return f"{value:,.0f}" if value >= 20 else f"{value:.2f}"

    return f"{text(float(np.median(values)))} ({text(values.min())} to {text(values.max())})"


def lines_of_rates(length: int, n: int, blocks: int) -> list[str]:
    """Return how many guesses a second each tries, and how many times as many as NumPy ours do, block by block."""
    rates = side_by_side(length, n, blocks, seed=0)
    theirs = [name for name in rates if name.startswith("NumPy")]
    ratios = [(own, [_spread(rates[own] / rates[other]) for other in theirs]) for own in rates if own not in theirs]
    return [
        f"parity of {length} symbols, {n:,} sequences; NumPy {np.__version__} on one thread; median (range) of {blocks}"
        " blocks in turn",
        "",
        "guesses a second",
        *(f"  {name:56}{_spread(found)}" for name, found in rates.items()),
        "",
        f"{'times as many as':34}" + "".join(f"{name.partition(':')[0]:26}" for name in theirs),
        *(f"  {own:32}" + "".join(f"{text:26}" for text in texts) for own, texts in ratios),
        "",
        "NumPy 1 is the definition as its script runs it: every sequence of every weight set. NumPy 2 and 3 and guess",
        "leave a weight set where one of the first 16 is wrong, as nearly all have one: 64 times less work. Like with",
        "like: guess with all sequences beside NumPy 1, guess beside NumPy 3.",
    ]


def lines_of_agreement(*cases: tuple[int, int, int]) -> list[str]:
    """Return which weight sets both call right, for lengths, numbers of sequences and of guesses."""
    lines = []
    for length, n, guesses in cases:
        ours, theirs, alone = agreement(length, n, guesses, seed=1)
        lines.append(
            f"{length} symbols, {n:,} sequences, {guesses:,} guesses: {ours} right by guess, {theirs} by NumPy 1,"
            f" {alone} by one of them alone"
        )
    return lines


def lines_of_counts(length: int, n: int, seeds: int, most: int) -> list[str]:
    """Return how many guesses it takes."""
    found = [count(seed, length, n, most, threads=2) for seed in range(seeds)]
    counts = np.array([np.inf if one.guesses is None else one.guesses for one in found])
    return [
        f"guesses to the first right one: median {np.median(counts):,.0f}, from {counts.min():,.0f} to"
        f" {counts.max():,.0f} of {seeds} seeds, in {_spread(np.array([one.seconds for one in found]))} s",
        f"of these, {sum(one.by_numpy for one in found)} are right by NumPy 1 too, and"
        f" {sum(one.held_out == 1 for one in found)} on all of {HELD_OUT:,} fresh sequences",
    ]


def lines_of(blocks: int, seeds: int, most: int) -> list[str]:
    """Return all of that for the definition's 500 symbols; what agrees also where weight sets are right by chance."""
    return [
        *lines_of_rates(LENGTH, SEQUENCES, blocks),
        "",
        *lines_of_agreement((2, 16, 20_000), (4, 64, 200_000), (LENGTH, 2, 2_000), (LENGTH, SEQUENCES, 300)),
        "",
        *lines_of_counts(LENGTH, SEQUENCES, seeds, most),
    ]
