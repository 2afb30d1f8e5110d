"""The linear perceptron on which theory says how fast weight and node perturbation learn.

Züge, Klos and Memmesheimer (Weight versus node perturbation learning in temporally extended tasks, Physical Review X
13, 021006, 2023), as their example code has it. N = 100 inputs, M = 10 linear outputs, T timesteps, by default 100.
b_0, b_1, ... are orthonormal functions of time: 1/sqrt(T), then sqrt(2/T) sin(2 pi k t/T) and sqrt(2/T) cos(2 pi k t/T)
for k = 1, 2, ... In a datapoint `trial_dimensions` inputs are active, drawn without replacement from the first
`dimensions`: input i is then sqrt(T alpha^2) b_i(t) with alpha^2 = N / trial_dimensions, and 0 otherwise. Every output
shall be 0.1 times the sum of the active inputs, plus sqrt(T alpha_d^2) b_dimensions(t), which no weights give, with
alpha_d^2 = 2 E_opt / M, for E_opt = `unreachable`.

The paper's error is E = loss / (2 T), as this loss is the sum of squares over outputs and timesteps; no weights have
less than E_opt. The network has no biases and no other connections: hidden neurons have none, give hidden=0. The paper
starts from weights of 0: init_scale=0, where E = 5 + E_opt.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from freewalk.kernels.data.task_functions import data_words
from freewalk.kernels.machine.jit import data_function
from freewalk.tasks.stored import drawn
from freewalk.tasks.task import Problem, Task
from freewalk.tasks.wiring import inputs_only

N_INPUT, N_OUTPUT = 100, 10
WEIGHT = 0.1
"""Of every input that is ever active, in the target."""
_ZERO = np.float32(0.0)
# the argument holds the dimensions, from bit 8 on those of a trial, and from bit 16 on the unreachable error in steps
_TRIAL_SHIFT, _UNREACHABLE_SHIFT, _DIMENSION_MASK = 8, 16, 2**8 - 1
_STEPS = 2**30  # of the unreachable error, that make 1
_MOST_UNREACHABLE = 2.0**16


@data_function
def basis(i: int, t: int, timesteps: int) -> float:
    """Return b_i(t)."""
    if i == 0:
        return math.sqrt(1.0 / timesteps)
    turn = ((i + 1) // 2 * t) % timesteps  # of so many, so that sine and cosine meet small numbers
    angle = 2.0 * math.pi * turn / timesteps
    return math.sqrt(2.0 / timesteps) * (math.sin(angle) if i & 1 else math.cos(angle))


def datapoint(seed: int, stream: Any, step: Any, index: Any, timesteps: int, argument: int, x: Any, y: Any) -> None:
    """Write functions of time into the active inputs, zeros into the others, and y: the targets of every timestep."""
    dimensions, active = argument & _DIMENSION_MASK, (argument >> _TRIAL_SHIFT) & _DIMENSION_MASK
    strength = math.sqrt(timesteps * N_INPUT / active)
    size = math.sqrt(timesteps * 2.0 / N_OUTPUT * ((argument >> _UNREACHABLE_SHIFT) / _STEPS))
    for t in range(timesteps):
        y[t, 0] = np.float32(size * basis(dimensions, t, timesteps)) if size > 0 else _ZERO
    left = active
    for i in range(N_INPUT):
        is_active = False
        if i < dimensions:
            word, _, _, _ = data_words(seed, stream, step, index, i)
            is_active = drawn(word, dimensions - i) < left
        if is_active:
            left -= 1
        for t in range(timesteps):
            x[t, i] = np.float32(strength * basis(i, t, timesteps)) if is_active else _ZERO
            if is_active:
                y[t, 0] += np.float32(WEIGHT * x[t, i])
    for t in range(timesteps):
        for k in range(1, N_OUTPUT):
            y[t, k] = y[t, 0]


def _make_problem(dimensions: int, trial_dimensions: int, unreachable: float) -> Problem:
    if not 1 <= dimensions <= N_INPUT:
        raise ValueError(f"dimensions={dimensions} does not fit task linear-perceptron: from 1 to {N_INPUT}")
    if not 1 <= trial_dimensions <= dimensions:
        raise ValueError(
            f"trial_dimensions={trial_dimensions} does not fit task linear-perceptron:"
            f" from 1 to dimensions={dimensions}"
        )
    if not 0 <= unreachable <= _MOST_UNREACHABLE:
        raise ValueError(
            f"unreachable={unreachable} does not fit task linear-perceptron: from 0 to {_MOST_UNREACHABLE:g}"
        )
    least = 2 * ((dimensions + 1) // 2) + 1  # so that b_0 .. b_dimensions are orthonormal
    return Problem(
        n_input=N_INPUT,
        n_output=N_OUTPUT,
        datapoint=datapoint,
        argument=dimensions | trial_dimensions << _TRIAL_SHIFT | round(unreachable * _STEPS) << _UNREACHABLE_SHIFT,
        sequence_input=True,
        sequence_output=True,
        default_timesteps=max(100, least),
        least_timesteps=least,
        wiring=inputs_only,
        output_activation="linear",
    )


TASK = Task(
    name="linear-perceptron",
    summary="0.1 times the sum of the active ones of 100 inputs, at every timestep: Züge's perceptron; give hidden=0",
    metric="loss",
    target=10.0,
    make_problem=_make_problem,
    parameters={"dimensions": 50, "trial_dimensions": 10, "unreachable": 0.0},
    baseline=996.0,
    baseline_text="the mean target always, at all timesteps; 0 always scores 1,000 + 200 unreachable",
    difficulty=(
        "theory: with the best rates and little noise the error above the unreachable one falls by the factor"
        " 1 - 0.2/502 a trial with weight perturbation, and 1 - 0.2/102 with node perturbation, which ends at twice the"
        " unreachable one (Züge, Klos, Memmesheimer, Phys. Rev. X 13, 021006, 2023)"
    ),
)
