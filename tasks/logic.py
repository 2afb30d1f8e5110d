"""The two-input logic gates: four rows, repeated to fill the batch."""

from __future__ import annotations

from typing import Any

from freewalk.tasks.task import Guesses, Problem, Task

_AND, _OR, _XOR = 0b1000, 0b1110, 0b0110  # bit 2 a + b is the gate's output for inputs a and b
_TOLERANCE = 0.4


def datapoint(seed: int, stream: int, step: int, index: int, timesteps: int, gate: int, x: Any, y: Any) -> None:
    """Write inputs of 0 or 1 and their output by `gate`, the truth table, one bit a row.

    Rows turn with the step, so that a batch smaller than four still meets all of them in time.
    """
    row = (index + step) & 3
    x[0, 0] = row >> 1
    x[0, 1] = row & 1
    y[0, 0] = (gate >> row) & 1


def _gate(name: str, table: int, guesses: Guesses) -> Task:
    return Task(
        name=name,
        summary=f"{name.upper()} of two inputs; learned when every row is within {_TOLERANCE} of its target",
        metric="max_error",
        target=_TOLERANCE,
        strict=True,
        baseline=0.5,
        baseline_text="1/2 always",
        guesses=guesses,
        make_problem=lambda: Problem(
            n_input=2, n_output=1, datapoint=datapoint, argument=table, domain_size=4, input_range=(0, 1)
        ),
    )


AND = _gate("and", _AND, Guesses("architecture=2-1 batch_size=100", 28, 4, 276))
OR = _gate("or", _OR, Guesses("architecture=2-1 batch_size=100", 11, 1, 59))
XOR = _gate("xor", _XOR, Guesses("architecture=2-2-1 batch_size=100", 1_254, 82, 6_013))
