"""The task whose answer is an input: of two bits, (0, 1) gives 1 and the other three give 0."""

from __future__ import annotations

from typing import Any

from freewalk.tasks import Problem, Task


def datapoint(seed: int, stream: int, step: int, index: int, timesteps: int, argument: int, x: Any, y: Any) -> None:
    """Write one of the four rows, which turn with the step."""
    row = (index + step) & 3
    x[0, 0] = row >> 1
    x[0, 1] = row & 1
    y[0, 0] = row == 1


SECOND_ALONE = Task(
    name="second-alone",
    summary="1 if the second of two inputs is set and the first is not; learned when every row is within 0.4",
    metric="max_error",
    target=0.4,
    strict=True,
    make_problem=lambda: Problem(n_input=2, n_output=1, datapoint=datapoint, domain_size=4, input_range=(0, 1)),
    baseline=0.75,
    baseline_text="the mean of the targets, 1/4, for every input: 3/4 from the row whose target is 1",
)
