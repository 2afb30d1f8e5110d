"""How one weight moves, in float64: the twin of freewalk.kernels.cpu.optimizers, one weight a thread."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from freewalk.kernels.cpu.optimizers import MOMENTUM as MOMENTUM_RULE
from freewalk.kernels.cpu.optimizers import RAW, SGD
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
from freewalk.kernels.model.optimizers import ADAM_BETAS, ADAM_EPSILON

_BETA_1, _BETA_2 = ADAM_BETAS
_EPSILON = ADAM_EPSILON


@device_function
def _rate(sizes: NDArray[np.int64], numbers: NDArray[np.float64], trial: int, step: int) -> Any:
    rate = numbers[trial, LEARNING_RATE]
    if sizes[trial, COSINE_STEPS] > 0:
        share = min(1.0, step / sizes[trial, COSINE_STEPS])
        rate *= 0.5 * (1.0 + math.cos(math.pi * share))
    return rate


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
        change = gradient
        if kind != SGD:
            first = state[trial, FIRST, position]
            if kind == MOMENTUM_RULE:
                first = numbers[trial, MOMENTUM] * first + gradient
                change = first
            else:
                second = state[trial, SECOND, position]
                first += (1.0 - _BETA_1) * (gradient - first)
                second += (1.0 - _BETA_2) * (gradient * gradient - second)
                state[trial, SECOND, position] = second
                corrected = first / (1.0 - _BETA_1 ** (step + 1))
                change = corrected / (math.sqrt(second / (1.0 - _BETA_2 ** (step + 1))) + _EPSILON)
            state[trial, FIRST, position] = first
        weight -= _rate(sizes, numbers, trial, step) * change
    state[trial, MASTER, position] = weight
    single[trial, position] = np.float32(weight)
