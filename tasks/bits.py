"""Random bits for tasks on binary numbers."""

from __future__ import annotations

import numpy as np

from freewalk.kernels.data.task_functions import data_words
from freewalk.kernels.machine.jit import data_function

_ONE = np.uint32(1)


@data_function
def random_bit(seed: int, stream: int, step: int, datapoint: int, k: int) -> np.int64:
    """Return bit k of a datapoint, 0 or 1."""
    w0, w1, w2, w3 = data_words(seed, stream, step, datapoint, k >> 7)
    which = (k >> 5) & 3
    word = w0 if which == 0 else w1 if which == 1 else w2 if which == 2 else w3
    return np.int64((word >> np.uint32(k & 31)) & _ONE)


@data_function
def lowest_bits(word: np.uint32, bits: int) -> np.int64:
    """Return the number that the lowest `bits` bits of a word give."""
    return np.int64(word) & ((np.int64(1) << np.int64(bits)) - np.int64(1))
