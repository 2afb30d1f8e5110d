"""A task made of arrays: points on two rings, inner and outer, a class each.

harness sweep --plugin examples/own_arrays.py --task rings --method backprop --grid architecture=2-16-2
"""

import numpy as np

from freewalk.tasks import from_arrays

rng = np.random.default_rng(0)
which = np.arange(1000) % 2
angle, radius = rng.uniform(0, 2 * np.pi, 1000), np.where(which == 0, 0.4, 1.0) + rng.normal(0, 0.1, 1000)
points = np.stack([radius * np.cos(angle), radius * np.sin(angle)], axis=1)

RINGS = from_arrays("rings", points, which, target=0.95, summary="the inner or the outer of two rings")
