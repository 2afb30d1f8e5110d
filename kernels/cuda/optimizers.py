"""How one weight moves, in float64, one weight a thread."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from freewalk.kernels.cuda.jit import device_function
from freewalk.kernels.cuda.layout import (
    BATCH_SIZE,
    COSINE_STEPS,
    FIRST,
    KIND,
    LEARNING_RATE,
    MASTER,
    MOMENTUM,
    SECOND,
    STDDEV,
)
from freewalk.kernels.model import optimizers
from freewalk.kernels.model.optimizers import RAW

_rate_at, _corrections = device_function(optimizers.rate_at), device_function(optimizers.corrections)
_direction = device_function(optimizers.direction)


@device_function
def move(
    sizes: NDArray[np.int64],  # IN (n_trials, N_SIZES)
    numbers: NDArray[np.float64],  # IN (n_trials, N_NUMBERS)
    state: NDArray[np.float64],  # INOUT (n_trials, N_STATES, n_weights)
    single: NDArray[np.float32],  # OUT (n_trials, n_weights)
    trial: int,
    step: int,
    position: int,
    total: float,  # sum over datapoints of unit noise times how much it lowered the loss
) -> Any:
    """Move one weight; see freewalk.kernels.cpu.optimizers.move for the rules."""
    kind = sizes[trial, KIND]
    scale = 1.0 / sizes[trial, BATCH_SIZE]
    weight = state[trial, MASTER, position]
    if kind == RAW:
        weight += numbers[trial, STDDEV] * scale * total
    else:
        gradient = -total * scale / numbers[trial, STDDEV]
        correction_1, correction_2 = _corrections(kind, step)
        first, second, momentum = state[trial, FIRST], state[trial, SECOND], numbers[trial, MOMENTUM]
        change = _direction(kind, momentum, gradient, first, second, position, correction_1, correction_2)
        weight -= _rate_at(numbers[trial, LEARNING_RATE], sizes[trial, COSINE_STEPS], step) * change
    state[trial, MASTER, position] = weight
    single[trial, position] = np.float32(weight)
