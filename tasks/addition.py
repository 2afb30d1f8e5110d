"""Binary addition: two numbers below 2**(bits - 1), so that their sum has `bits` bits."""

from __future__ import annotations

from typing import Any

from numba import carray

from freewalk.kernels.cpu.lanes import LANES
from freewalk.tasks.bits import random_integer
from freewalk.tasks.task import Problem, Task, check_form

_MOST_BITS = 32


def fill_static(seed: int, stream: int, step: int, first: int, timesteps: int, bits: int, x: Any, y: Any) -> None:
    """Write both numbers, `bits` bits each, most significant first, one after the other; y: their sum likewise."""
    xs = carray(x, (2 * bits, LANES))
    ys = carray(y, (bits, LANES))
    for lane in range(LANES):
        a = random_integer(seed, stream, step, first + lane, bits - 1, 0)
        b = random_integer(seed, stream, step, first + lane, bits - 1, 1)
        for k in range(bits):
            place = bits - 1 - k
            xs[k, lane] = (a >> place) & 1
            xs[bits + k, lane] = (b >> place) & 1
            ys[k, lane] = ((a + b) >> place) & 1


def fill_sequence(seed: int, stream: int, step: int, first: int, timesteps: int, bits: int, x: Any, y: Any) -> None:
    """Write a bit of each number a timestep, least significant first; y: the sum's bits in the same order.

    With more timesteps than bits the inputs end with zeros and the answers come that many timesteps later: 0 first.
    """
    xs = carray(x, (timesteps, 2, LANES))
    ys = carray(y, (timesteps, LANES))
    delay = timesteps - bits
    for lane in range(LANES):
        a = random_integer(seed, stream, step, first + lane, bits - 1, 0)
        b = random_integer(seed, stream, step, first + lane, bits - 1, 1)
        for t in range(timesteps):
            xs[t, 0, lane] = (a >> min(t, 62)) & 1
            xs[t, 1, lane] = (b >> min(t, 62)) & 1
            ys[t, lane] = ((a + b) >> (t - delay)) & 1 if t >= delay else 0


def _make_problem(bits: int, form: str) -> Problem:
    check_form("addition", form)
    if not 2 <= bits <= _MOST_BITS:
        raise ValueError(f"bits={bits} does not fit task addition: from 2 to {_MOST_BITS} bits")
    if form == "static":
        return Problem(n_input=2 * bits, n_output=bits, fill=fill_static, argument=bits)
    return Problem(
        n_input=2,
        n_output=1,
        fill=fill_sequence,
        argument=bits,
        sequence_input=True,
        sequence_output=True,
        default_timesteps=bits + 1,
        least_timesteps=bits,
    )


TASK = Task(
    name="addition",
    summary="binary addition; form=sequence: two bits a timestep, lowest first, form=static: both numbers at once",
    metric="bit_accuracy",
    target=0.99,
    make_problem=_make_problem,
    parameters={"bits": 4, "form": "sequence"},
    also_recorded=("row_accuracy",),
)
