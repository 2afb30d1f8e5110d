"""What a step computes, counted: multiply-adds that are not dead, and the least time that a GPU could take.

Counted for the GPU are thread instructions of one step of one trial: B datapoints, P = n_from * n_to weights and T
timesteps.

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
some kinds (CUDA C++ Best Practices Guide, throughput of native arithmetic instructions).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from freewalk.harness.bench import Workload
from freewalk.kernels.model.network import FreeNetwork

_NORMALS_OF_A_BLOCK = 4
_PHILOX_INTEGERS = 40
_PAIR_FLOATS, _PAIR_INTEGERS, _PAIR_CONVERSIONS, _PAIR_SPECIALS = 26, 15, 3, 1
_SIGMOID_FLOATS, _SIGMOID_SPECIALS = 2, 2
_ISSUED, _INTEGERS, _SPECIALS = 128, 64, 16
"""A clock and multiprocessor."""
_FLOATS = {"7.0": 64, "7.5": 64, "8.0": 64, "8.6": 128, "8.9": 128, "9.0": 128}
"""The same, by compute capability."""


def live_multiply_adds(network: FreeNetwork, timesteps: int) -> int:
    """Return the multiply-adds of one pass of one datapoint that are not dead."""
    fed = network.n_input + 1
    columns = [network.n_to] * (timesteps - 1) + [network.n_output]
    return sum((fed if t == 0 else network.n_from) * columns[t] for t in range(timesteps))


def live_activations(network: FreeNetwork, timesteps: int) -> int:
    """Return the sigmoids of one pass of one datapoint that are not dead."""
    return (timesteps - 1) * network.n_to + network.n_output


def operations(workload: Workload) -> dict[str, int]:
    """Return the thread instructions of one step of one trial: floats, integers, specials and all that are issued."""
    network, batch_size = workload.network, workload.batch_size
    blocks = batch_size * network.n_to * -(-network.n_from // _NORMALS_OF_A_BLOCK)
    pairs = 2 * blocks
    multiply_adds = 2 * batch_size * (network.n_weights + live_multiply_adds(network, workload.timesteps))
    sigmoids = 2 * batch_size * live_activations(network, workload.timesteps)
    pipes = {
        "floats": pairs * _PAIR_FLOATS + multiply_adds + sigmoids * _SIGMOID_FLOATS,
        "integers": blocks * _PHILOX_INTEGERS + pairs * _PAIR_INTEGERS,
        "specials": pairs * _PAIR_SPECIALS + sigmoids * _SIGMOID_SPECIALS,
    }
    return {**pipes, "issue": sum(pipes.values()) + pairs * _PAIR_CONVERSIONS}


def gpu_floor(workload: Workload, gpu: Mapping[str, Any]) -> tuple[float, str] | None:
    """Return the least seconds of a step of all trials and what sets them; None for a GPU whose rates are not known.

    The largest of instructions over rate, at the highest clock that the device names; `gpu` as
    freewalk.harness.base.environment.gpu_facts gives it.
    """
    floats = _FLOATS.get(gpu["compute_capability"])
    if floats is None:
        return None
    rates = {"floats": floats, "integers": _INTEGERS, "specials": _SPECIALS, "issue": _ISSUED}
    clocks = {name: count / rates[name] for name, count in operations(workload).items()}
    bound = max(clocks, key=lambda name: clocks[name])
    return workload.n_trials * clocks[bound] / (gpu["multiprocessors"] * gpu["clock_mhz"] * 1e6), bound
