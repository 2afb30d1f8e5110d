"""Normal numbers for tasks."""

from __future__ import annotations

import math

import numpy as np

from freewalk.kernels.machine.jit import data_function


@data_function
def two_normals(radius_word: np.uint32, angle_word: np.uint32) -> tuple[float, float]:
    """Return the two standard normals that a pair of words gives, as `freewalk.kernels.model.noise.normal_from_words`.

    Box and Muller, 1958.
    """
    u = float((np.int64(radius_word) >> 1) | 1) / 2147483648.0
    whole = np.int64(angle_word)
    fraction = float(whole & 1073741823) / 1073741824.0
    if fraction >= 0.5:
        fraction -= 1.0
    angle = 0.5 * math.pi * (float(whole >> 30) + fraction)
    radius = math.sqrt(-2.0 * math.log(u))
    return radius * math.cos(angle), radius * math.sin(angle)
