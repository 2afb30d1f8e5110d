"""A linear teacher: learn the matrix that maps normal inputs to targets.

The linear task of Lillicrap, Cownden, Tweed and Akerman (Nature Communications 7:13276, 2016), as a description of
their methods has it: y = W x, x of independent standard normals, W of numbers uniform in [-1, 1), 30 inputs, 10 outputs
and a layer of 20 linear neurons between. W is drawn by the seed, and held-out data have the same one. Outputs are
linear; a free network is the perceptron from inputs to outputs alone, without biases, and its hidden neurons have no
connections: give hidden=0. A layered network is as usual: architecture=30-20-10 activation=linear.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from freewalk.kernels.data.task_functions import data_words, uniform
from freewalk.kernels.machine.jit import data_function
from freewalk.kernels.model.noise import Stream
from freewalk.tasks.normals import two_normals
from freewalk.tasks.task import Problem, Task
from freewalk.tasks.wiring import inputs_only

_ONE, _TWO = np.float32(1.0), np.float32(2.0)
_OF_TEACHER = int(Stream.DATA)
_TEACHER_BLOCK = 2**31  # of words, of datapoint 0 of step 0; those of the inputs start at 0
_MOST = 2**16  # inputs or outputs, so that the teacher's blocks stay below 2**32


@data_function
def _four(seed: int, block: int) -> tuple[Any, Any, Any, Any]:
    """Return the teacher's numbers 4 k to 4 k + 3 of those of an output after another."""
    w0, w1, w2, w3 = data_words(seed, _OF_TEACHER, 0, 0, _TEACHER_BLOCK + block)
    a, b = _TWO * uniform(w0) - _ONE, _TWO * uniform(w1) - _ONE
    return a, b, _TWO * uniform(w2) - _ONE, _TWO * uniform(w3) - _ONE


def datapoint(seed: int, stream: Any, step: Any, index: Any, timesteps: int, argument: int, x: Any, y: Any) -> None:
    """Write standard normals, and y: the teacher's sums of them."""
    n_input, n_output = x.shape[1], y.shape[1]
    for k in range(0, n_input, 4):
        w0, w1, w2, w3 = data_words(seed, stream, step, index, k >> 2)
        a, b = two_normals(w0, w1)
        c, d = two_normals(w2, w3)
        for j in range(min(4, n_input - k)):
            x[0, k + j] = np.float32(a if j == 0 else b if j == 1 else c if j == 2 else d)
    blocks = (n_input + 3) >> 2
    for output in range(n_output):
        total = 0.0
        for k in range(0, n_input, 4):
            a, b, c, d = _four(seed, output * blocks + (k >> 2))
            for j in range(min(4, n_input - k)):
                total += float(a if j == 0 else b if j == 1 else c if j == 2 else d) * float(x[0, k + j])
        y[0, output] = np.float32(total)


def _make_problem(inputs: int, outputs: int) -> Problem:
    for name, value in (("inputs", inputs), ("outputs", outputs)):
        if not 1 <= value <= _MOST:
            raise ValueError(f"{name}={value} does not fit task linear-teacher: from 1 to {_MOST:,}")
    return Problem(
        n_input=inputs,
        n_output=outputs,
        datapoint=datapoint,
        default_timesteps=1,
        wiring=inputs_only,
        output_activation="linear",
    )


TASK = Task(
    name="linear-teacher",
    summary="the sums of `inputs` normal numbers that a random matrix makes; as a free network a perceptron: hidden=0",
    metric="loss",
    target=1.0,
    make_problem=_make_problem,
    parameters={"inputs": 30, "outputs": 10},
    baseline=100.0,
    baseline_text="0 always: inputs x outputs / 3, the variance of the targets",
    difficulty=(
        "a network 30-20-10 of linear neurons learns it by feedback alignment as well as by backpropagation (Lillicrap,"
        " Cownden, Tweed, Akerman, Nature Communications 7:13276, 2016)"
    ),
)
