"""The least time that a step can take on a GPU, counted from its operations.

Counted are thread instructions of one step of one trial: B datapoints, P = n_from * n_to weights, T timesteps.

Noise, for each block of 4 normals (B * n_to * ceil(n_from / 4) blocks)
    Philox4x32-10: 10 rounds of 2 wide multiplications and 2 three-way exclusive-ors = 20 + 20 integer instructions.
    Box-Muller on freewalk's polynomials, for each of 2 pairs, counted in kernels/cpu/functions.py with every
    three-input logic function as one instruction: 26 float, 15 integer, 3 conversions, 1 square root.
Perturbed weights and update
    One multiply-add a weight and datapoint for W + D, one for adding the loss difference times D: 2 * B * P.
Network, perturbed and unperturbed
    2 * B * M multiply-adds, M those of a pass that are not dead: at t = 0 only the input and bias rows
    (the state is 0), at the last timestep only the output columns (no state follows).
Sigmoids
    2 * B * A of them, A = (T - 1) * n_to + n_output: 2 float instructions, an exponential and a reciprocal.

Left out, so that the floor stays one: data, losses, memory, addresses, loops, reductions over threads, conversions'
own pipe. A multiprocessor issues at most 4 warp instructions a clock, 128 thread instructions; its pipes take fewer of
some kinds (CUDA C++ Best Practices Guide, throughput of native arithmetic instructions). The floor is the largest of
    all instructions / 128, float / rate, integer / rate, special functions / rate
over multiprocessors times clock, the clock being the highest that the device names.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from freewalk.harness.bench.rows import FloorRow, TimingRow
from freewalk.harness.bench.workloads import Workload
from freewalk.kernels.cuda.device import GpuInfo
from freewalk.kernels.model.network import FreeNetwork

_NORMALS_OF_A_BLOCK = 4
_PHILOX_INTEGERS = 40
_PAIR_FLOATS, _PAIR_INTEGERS, _PAIR_CONVERSIONS, _PAIR_SPECIALS = 26, 15, 3, 1
_SIGMOID_FLOATS, _SIGMOID_SPECIALS = 2, 2
_ISSUED = 128


@dataclass(frozen=True)
class Operations:
    """Thread instructions of one step of one trial, by the pipe that they need."""

    floats: int
    integers: int
    conversions: int
    specials: int

    @property
    def total(self) -> int:
        """All of them."""
        return self.floats + self.integers + self.conversions + self.specials


@dataclass(frozen=True)
class Rates:
    """Results a clock and multiprocessor."""

    floats: int
    integers: int
    specials: int


_RATES: Mapping[tuple[int, int], Rates] = {
    (7, 0): Rates(64, 64, 16),
    (7, 5): Rates(64, 64, 16),
    (8, 0): Rates(64, 64, 16),
    (8, 6): Rates(128, 64, 16),
    (8, 9): Rates(128, 64, 16),
    (9, 0): Rates(128, 64, 16),
}


@dataclass(frozen=True)
class Floor:
    """The least time of a step of a workload, all its trials."""

    seconds: float
    bound: str
    """What sets it: issue, floats, integers or specials."""


def rates_of(compute_capability: tuple[int, int]) -> Rates | None:
    """Return the rates of a kind of GPU; None if this table has none."""
    return _RATES.get(compute_capability)


def live_multiply_adds(network: FreeNetwork, timesteps: int) -> int:
    """Return the multiply-adds of one pass of one datapoint that are not dead."""
    fed = network.n_input + 1
    columns = [network.n_to] * (timesteps - 1) + [network.n_output]
    return sum((fed if t == 0 else network.n_from) * columns[t] for t in range(timesteps))


def live_activations(network: FreeNetwork, timesteps: int) -> int:
    """Return the sigmoids of one pass of one datapoint that are not dead."""
    return (timesteps - 1) * network.n_to + network.n_output


def operations(workload: Workload) -> Operations:
    """Return the instructions of one step of one trial."""
    network, batch_size = workload.network, workload.batch_size
    blocks = batch_size * network.n_to * -(-network.n_from // _NORMALS_OF_A_BLOCK)
    pairs = 2 * blocks
    multiply_adds = 2 * batch_size * (network.n_weights + live_multiply_adds(network, workload.timesteps))
    sigmoids = 2 * batch_size * live_activations(network, workload.timesteps)
    return Operations(
        floats=pairs * _PAIR_FLOATS + multiply_adds + sigmoids * _SIGMOID_FLOATS,
        integers=blocks * _PHILOX_INTEGERS + pairs * _PAIR_INTEGERS,
        conversions=pairs * _PAIR_CONVERSIONS,
        specials=pairs * _PAIR_SPECIALS + sigmoids * _SIGMOID_SPECIALS,
    )


def floor_of(workload: Workload, facts: GpuInfo) -> Floor | None:
    """Return the floor of a workload on a GPU; None where the GPU's rates are not known here."""
    rates = rates_of(facts.compute_capability)
    if rates is None:
        return None
    count = operations(workload)
    clocks = {
        "issue": count.total / _ISSUED,
        "floats": count.floats / rates.floats,
        "integers": count.integers / rates.integers,
        "specials": count.specials / rates.specials,
    }
    bound = max(clocks, key=lambda name: clocks[name])
    clocks_a_second = facts.multiprocessors * facts.clock_mhz * 1e6
    return Floor(workload.n_trials * clocks[bound] / clocks_a_second, bound)


def floor_row(row: TimingRow, facts: GpuInfo) -> FloorRow | None:
    """Return the floor beside a measured time; None where the GPU's rates are not known here."""
    workload = Workload(row.workload, row.hidden, row.timesteps, row.batch_size, row.n_trials)
    floor = floor_of(workload, facts)
    if floor is None or row.median is None:
        return None
    network, n = workload.network, workload.n_trials
    passes = 2 * row.batch_size * live_multiply_adds(network, row.timesteps)
    normals = row.batch_size * network.n_weights
    return FloorRow(
        workload=row.workload,
        n_trials=n,
        batch_size=row.batch_size,
        hidden=row.hidden,
        timesteps=row.timesteps,
        normals=n * normals,
        multiply_adds=n * (passes + 2 * normals),
        instructions=n * operations(workload).total,
        bound=floor.bound,
        unit=row.unit,
        floor=1000 * floor.seconds,
        measured=row.median,
        share=1000 * floor.seconds / row.median,
    )
