"""How RFLO and UORO forget: `python -m benchmarks.forgetting` prints the first table of docs/benchmarks/online.md.

The loss is read once, after T timesteps of random input. The gradient is a sum of parts, one for what entered at each
timestep: lag 0 at the last, lag n n timesteps before. Every rule's estimate is such a sum too, and the parts of one lag
are compared: the cosine between them, and the length of the estimate's over the exact one's, over all weights. Both are
of the mean over a batch, in NumPy float64, at the weights that training starts from.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
from scipy import stats

from freewalk.kernels.model.network import FreeNetwork
from freewalk.kernels.model.noise import initial_weights
from freewalk.kernels.reference import reference
from freewalk.kernels.reference.gradient import output_deltas, timestep_slopes
from freewalk.kernels.reference.online import Carried, Rflo, Uoro, random_feedback, uoro_signs
from freewalk.kernels.reference.reference import Array

TIMESTEPS, BATCH, SEEDS = 21, 64, 20
LAGS = (1, 2, 3, 5, 10, 20)
LEAKS = (1.0, 0.5, 0.1)
NETWORK = FreeNetwork(2, 1, 30, sequence_input=True, hidden_activation="tanh", output_activation="linear")


class Parts(NamedTuple):
    """Of one rule and one seed, a number for each lag."""

    cosine: Array
    ratio: Array


class _UoroByTimestep(Uoro):
    """UORO, with the part of each timestep in its factor for the weights kept apart."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.parts: list[Array] = []

    def advance(self, entering: Array, slopes: Array) -> None:
        before = self.weights
        super().advance(entering, slopes)
        shrink = 1 / self.rho_0[:, None, None]
        self.parts = [part * shrink for part in self.parts] + [self.weights - before * shrink]

    def credits(self, deltas: Array) -> list[Array]:
        """Return what `credit` returns, for each timestep."""
        whole, found = self.weights, []
        for part in self.parts:
            self.weights = part
            found.append(self.credit(deltas).mean(axis=0))
        self.weights = whole
        return found


def rules(network: FreeNetwork, weights: Array, seed: int) -> dict[str, Callable[[], Carried]]:
    """Return the rules that are compared, each as it is before the first timestep."""
    signs = uoro_signs(network, TIMESTEPS, seed=seed, step=0, datapoints=np.arange(BATCH))
    return {
        "RFLO, random": lambda: Rflo(network, weights, BATCH, random_feedback(network, seed)),
        "RFLO, symmetric": lambda: Rflo(network, weights, BATCH),
        "UORO": lambda: _UoroByTimestep(network, weights, BATCH, signs),
    }


class Sequences(NamedTuple):
    """A batch that has run: what entered at each timestep, slopes of all but the last, and the outputs' deltas."""

    entering: list[Array]
    slopes: list[Array]
    deltas: Array


def _exact_parts(network: FreeNetwork, weights: Array, ran: Sequences) -> list[Array]:
    """Return the part of the gradient that comes from each timestep but the last, by backpropagation through time."""
    among, keep = weights[network.n_input + 1 :], reference.kept(network)
    arriving, found = ran.deltas @ among[:, : network.n_output].T, []
    for entering, slopes in zip(ran.entering[-2::-1], ran.slopes[::-1], strict=True):
        delta = arriving * slopes
        found.append(entering.T @ delta / BATCH)
        arriving = delta @ among.T + keep * arriving
    return found[::-1]


def parts_of(ran: Sequences, make: Callable[[], Carried]) -> list[Array]:
    """Return the part of a rule's estimate that comes from each timestep but the last, (n_from, n_to) each."""
    entering, slopes, deltas = ran
    carried = make()
    if isinstance(carried, _UoroByTimestep):
        for t in range(TIMESTEPS - 1):
            carried.advance(entering[t], slopes[t])
        return carried.credits(deltas)
    found = []
    for own in range(TIMESTEPS - 1):  # what they carry is linear in what enters: let it enter at one timestep alone
        carried = make()
        for t in range(own, TIMESTEPS - 1):
            carried.advance(entering[t] if t == own else np.zeros_like(entering[t]), slopes[t])
        found.append(carried.credit(deltas).mean(axis=0))
    return found


def run_batch(network: FreeNetwork, weights: Array, seed: int) -> Sequences:
    """Return a batch of random sequences and targets that has run."""
    random = np.random.default_rng(seed)
    x = random.uniform(-1, 1, (BATCH, TIMESTEPS, network.n_input))
    y = random.uniform(-1, 1, (BATCH, network.n_output))
    entering, after = reference.run(network, weights, x, TIMESTEPS)
    read = after[:, -1, : network.n_output]
    slopes = [timestep_slopes(network, entering[t], after[:, t]) for t in range(TIMESTEPS - 1)]
    return Sequences(entering, slopes, output_deltas(network, read, read, y))


def measure(network: FreeNetwork, seed: int) -> dict[str, Parts]:
    """Return each rule's parts against the exact ones, by lag from 1 on; of `exact`, its length over that at lag 1."""
    weights = initial_weights(network.n_from, network.n_to, seed)
    ran = run_batch(network, weights, seed)
    exact = _exact_parts(network, weights, ran)[::-1]
    lengths = np.array([np.linalg.norm(part) for part in exact])
    found = {"exact": Parts(np.ones(len(exact)), lengths / lengths[0])}
    for name, make in rules(network, weights, seed).items():
        parts = parts_of(ran, make)[::-1]
        own = np.array([np.linalg.norm(part) for part in parts])
        along = np.array([np.vdot(part, true) for part, true in zip(parts, exact, strict=True)])
        with np.errstate(invalid="ignore"):
            cosine = np.where(own > 0, along / (own * lengths), 0.0)
        found[name] = Parts(cosine, own / lengths)
    return found


def _interval(values: Sequence[float], digits: int) -> str:
    """Return a mean and half of its 95 % t interval."""
    half = stats.t.ppf(0.975, len(values) - 1) * np.std(values, ddof=1) / np.sqrt(len(values))
    return f"{np.mean(values):.{digits}f} ± {half:.{digits}f}"


def _length(values: Sequence[float]) -> str:
    """Return a geometric mean of lengths with its 95 % t interval."""
    if min(values) <= 0:
        return "0"
    logs = np.log(values)
    half = stats.t.ppf(0.975, len(logs) - 1) * logs.std(ddof=1) / np.sqrt(len(logs))
    centre, low, high = np.exp(logs.mean() + np.array([0, -half, half]))
    return f"{centre:.2g}" if high < 1.001 * low else f"{centre:.2g} ({low:.2g} to {high:.2g})"


def rows(seeds: int = SEEDS) -> Iterator[str]:
    """Yield the table, line by line."""
    yield "| leak | lag | exact, over lag 1 | " + " | ".join(
        f"{name}: {what}"
        for name in ("RFLO random", "RFLO symmetric", "UORO")
        for what in ("cosine", "length")
    ) + " |"  # fmt: skip
    yield "|" + "---|" * 9
    for leak in LEAKS:
        network = replace(NETWORK, leak=leak)
        found = [measure(network, seed) for seed in range(seeds)]
        for lag in LAGS:
            cells = [_length([one["exact"].ratio[lag - 1] for one in found])]
            for name in ("RFLO, random", "RFLO, symmetric", "UORO"):
                cells.append(_interval([one[name].cosine[lag - 1] for one in found], 3))
                cells.append(_length([one[name].ratio[lag - 1] for one in found]))
            yield f"| {leak:g} | {lag} | " + " | ".join(cells) + " |"


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=SEEDS, help="networks, each with its own data and signs")
    print("\n".join(rows(parser.parse_args().seeds)))  # noqa: T201


if __name__ == "__main__":
    main()
