"""The sums of two numbers of two bits, all sixteen: inputs a1 a0 b1 b0, targets the sum's three bits, highest first.

A step of a batch of 16 sees each pair once.
"""

from __future__ import annotations

from typing import Any

from freewalk.tasks import Problem, Task


def datapoint(seed: int, stream: int, step: int, index: int, timesteps: int, argument: int, x: Any, y: Any) -> None:
    """Write one pair and its sum, the pairs in turn."""
    row = index % 16
    total = (row >> 2) + (row & 3)
    for k in range(4):
        x[0, k] = (row >> (3 - k)) & 1
    for k in range(3):
        y[0, k] = (total >> (2 - k)) & 1


TWO_BIT_ADDITION = Task(
    name="two-bit-addition",
    summary="the sum of two numbers of two bits",
    metric="max_error",
    target=0.5,
    strict=True,
    make_problem=lambda: Problem(n_input=4, n_output=3, datapoint=datapoint, domain_size=16, input_range=(0, 1)),
)
