"""Random bits for tasks on binary numbers."""

from __future__ import annotations

import numpy as np

from freewalk.kernels.data import data_words
from freewalk.kernels.jit import inline_function

_ONE = np.uint32(1)


@inline_function
def random_bit(seed: int, stream: int, step: int, datapoint: int, k: int) -> np.int64:
    """Return bit k of a datapoint, 0 or 1."""
    w0, w1, w2, w3 = data_words(seed, stream, step, datapoint, k >> 7)
    which = (k >> 5) & 3
    word = w0 if which == 0 else w1 if which == 1 else w2 if which == 2 else w3
    return np.int64((word >> np.uint32(k & 31)) & _ONE)


@inline_function
def random_integer(seed: int, stream: int, step: int, datapoint: int, bits: int, which: int) -> np.int64:
    """Return the first or the second (which 0 or 1) integer of a datapoint, of at most 32 bits, uniform."""
    w0, w1, _, _ = data_words(seed, stream, step, datapoint, 0)
    word = np.int64(w1 if which else w0)
    return word & ((np.int64(1) << np.int64(bits)) - np.int64(1))
